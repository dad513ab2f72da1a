//! What the screen looks like: one frame from one [`Scene`] and the user's choices.
//!
//! Pure: no file, no clock, no randomness, no log; the same scene gives the same cells.
//!
//! ```text
//! tune  NAME                             model · rows · device     header
//! running  step/total  epoch  ━━━━━━───  60%  elapsed  ETA  tok/s
//! ━ train 0.412  ● eval 2.913  ◆ best 2.345 @ step 450   loss      chart: legend
//! 3.0┤           ┊              ●──●  eval                                plot
//!    │    ●      ┊   ●──●──●──●
//! 2.0┤      ●────◆┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈  best
//!    └────┬──────────┬──────────┬─────                                    x axis
//!        200        400        600    step
//! ── Verdict │ Events ────────────────────────────────────────     panels, side by side
//! ▐OVERFITTING▌ since step 450 · warn · eval +24.2% ± 1.1%         where there is room
//! evidence, then what to change
//! q quit  s stop & save  l log  x epoch  Tab events  ? help        status
//! ```

mod axis;
pub mod chart;
pub mod events;
pub mod findings;
pub mod header;
pub mod help;
mod legend;
mod output;
mod plot;
mod range;
mod raster;
pub mod runs;
mod samples;
mod series;
mod strip;
mod system;
mod theme;

pub use theme::Theme;

use crate::dashboard::model::{Extent, Panel, Phase, Popup, Ui};
use crate::dashboard::runs::{Run, Runs};
use crate::dashboard::system::System;
use crate::monitor::Snapshot;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

/// Below this size there is a summary of a few lines instead of the screen.
const SMALLEST: (u16, u16) = (34, 9);
/// From this height on the header has two lines and the panels have more than two.
const ROOMY_HEIGHT: u16 = 18;
/// From this width on verdict and events stand side by side.
const WIDE: u16 = 104;
/// Lines of the panels, their title included.
const PANEL_LINES: (u16, u16) = (7, 12);

/// Runs whose curves can be told apart in one chart.
pub const MOST_CURVES: usize = 8;

/// All that there is to show, beside the user's choices.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The run on the screen.
    pub snapshot: Snapshot<'a>,
    /// All of them.
    pub runs: &'a [Run],
    /// Its index among the runs.
    pub shown: usize,
    /// The machine, where it is measured.
    pub system: Option<&'a System>,
}

impl<'a> Scene<'a> {
    /// The run of this index in front, the others behind it. `None` before there is any.
    pub fn of(runs: &'a Runs, shown: usize) -> Option<Self> {
        let snapshot = runs.get(shown)?.monitor.snapshot();
        Some(Self { snapshot, runs: runs.list(), shown, system: None })
    }

    /// What the run on the screen is called: as it says itself, else as its source is named.
    fn name(&self) -> &'a str {
        let named = self.runs.get(self.shown).map_or("", |run| run.name.as_str());
        if self.snapshot.run.name.is_empty() { named } else { self.snapshot.run.name.as_str() }
    }

    /// The runs whose curves are laid over that of the one on the screen, each with its index: all but the
    /// marked ones, and of more than can be told apart only those, as many as can be.
    fn others(&self, ui: &'a Ui) -> impl Iterator<Item = (usize, &'a Run)> {
        let (shown, crowded) = (self.shown, self.is_crowded());
        let others = self.runs.iter().enumerate();
        let wanted = move |index: &usize| *index != shown && ui.marked.contains(index) == crowded;
        others.filter(move |(index, _)| wanted(index)).take(MOST_CURVES - 1)
    }

    /// Whether there are more runs than one chart can show.
    fn is_crowded(&self) -> bool {
        self.runs.len() > MOST_CURVES
    }

    /// How far the run on the screen has come: the one that this process trains, or another.
    fn phase(&self, ui: &Ui) -> Phase {
        match self.runs.get(self.shown) {
            Some(run) if !ui.owns_run || self.shown > 0 => {
                if run.is_over() {
                    Phase::Ended
                } else {
                    Phase::Running
                }
            }
            _ => ui.phase,
        }
    }
}

/// Draws one frame; says how much there is to scroll.
pub fn render(frame: &mut Frame<'_>, area: Rect, scene: Option<&Scene<'_>>, ui: &Ui, theme: Theme) -> Extent {
    let area = area.intersection(frame.area());
    let buffer = frame.buffer_mut();
    let extent = match scene {
        None => {
            let text = "waiting for a run";
            buffer.set_stringn(
                area.x,
                area.y + area.height / 2,
                text,
                usize::from(area.width),
                theme.faint(),
            );
            Extent::default()
        }
        Some(scene) if area.width < SMALLEST.0 || area.height < SMALLEST.1 => {
            summary(buffer, area, &scene.snapshot, theme);
            Extent::default()
        }
        Some(scene) => screen(buffer, area, scene, ui, theme),
    };
    match ui.popup {
        Some(Popup::Help) => help::render(buffer, area, ui, theme),
        Some(Popup::Confirm { .. }) => help::confirm(buffer, area, ui, theme),
        Some(Popup::Copy) => help::copy(buffer, area, theme),
        None => {}
    }
    extent
}

/// Lets the clocks run on in a frame of which nothing else has changed: much less work than a new one.
pub fn tick(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return;
    }
    let header = Rect { height: header_lines(area), ..area };
    header.positions().for_each(|at| buffer[at].reset());
    let ui = &Ui { phase: scene.phase(ui), ..ui.clone() };
    header::render(buffer, header, scene, ui, theme);
}

fn header_lines(area: Rect) -> u16 {
    if area.height >= ROOMY_HEIGHT { 2 } else { 1 }
}

fn screen(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) -> Extent {
    let snapshot = &scene.snapshot;
    let roomy = area.height >= ROOMY_HEIGHT;
    let panel_lines = match (roomy, ui.tall) {
        (true, true) => area.height - 4,
        (true, false) => (area.height * 3 / 8).clamp(PANEL_LINES.0, PANEL_LINES.1),
        (false, true) => area.height - 3,
        (false, false) => 2,
    };
    let [header, chart, panels, status] = Layout::vertical([
        Constraint::Length(header_lines(area)),
        Constraint::Min(if ui.tall { 1 } else { 5 }),
        Constraint::Length(panel_lines),
        Constraint::Length(1),
    ])
    .areas(area);
    let next_x = series::next_axis(snapshot, ui.x);
    help::status(buffer, status, ui, theme, next_x, area.width >= WIDE);
    // From here on it is about the run on the screen.
    let ui = &Ui { phase: scene.phase(ui), ..ui.clone() };
    header::render(buffer, header, scene, ui, theme);
    let mut extent = Extent {
        plot: chart::render(buffer, chart, scene, ui, theme),
        next_x,
        has_samples: !snapshot.curves.generated.is_empty(),
        has_output: scene.runs.get(scene.shown).is_some_and(|run| !run.output.is_empty()),
        page: usize::from(panel_lines.saturating_sub(2)).max(1),
        ..Extent::default()
    };
    if !roomy && !ui.tall {
        brief(buffer, panels, scene, &mut extent, (ui, theme));
        return extent;
    }
    let there = |panel: &Panel| match panel {
        Panel::Samples => extent.has_samples,
        Panel::Output => extent.has_output,
        Panel::Runs => scene.runs.len() > 1,
        _ => true,
    };
    let names: Vec<Panel> = Panel::ALL.into_iter().filter(there).collect();
    // What is long and wide gets all there is.
    let alone = matches!(ui.panel, Panel::Samples | Panel::Output | Panel::Runs) || ui.tall;
    if area.width >= WIDE && !alone {
        let [left, _, right] =
            Layout::horizontal([Constraint::Fill(3), Constraint::Length(2), Constraint::Fill(2)])
                .areas(panels);
        let body = titled(buffer, left, &[Panel::Verdict], ui.panel, theme);
        extent.verdict = findings::render(buffer, body, snapshot, ui, theme);
        let body = titled(buffer, right, &names[1..], ui.panel, theme);
        let beside = if ui.panel == Panel::Verdict { Panel::Events } else { ui.panel };
        panel(buffer, body, scene, beside, &mut extent, (ui, theme));
    } else {
        let body = titled(buffer, panels, &names, ui.panel, theme);
        if ui.panel != Panel::Verdict {
            // The verdict is never out of sight.
            let plate = findings::plate(snapshot, theme);
            let width = plate.width() as u16;
            buffer.set_span(panels.right().saturating_sub(width), panels.y, &plate, width);
        }
        panel(buffer, body, scene, ui.panel, &mut extent, (ui, theme));
    }
    extent
}

/// One panel.
fn panel(
    buffer: &mut Buffer,
    area: Rect,
    scene: &Scene<'_>,
    panel: Panel,
    extent: &mut Extent,
    (ui, theme): (&Ui, Theme),
) {
    match panel {
        Panel::Verdict => extent.verdict = findings::render(buffer, area, &scene.snapshot, ui, theme),
        Panel::Events => extent.events = events::render(buffer, area, &scene.snapshot, ui, theme),
        Panel::Samples => extent.samples = samples::render(buffer, area, scene, ui, theme),
        Panel::System => system::render(buffer, area, scene, theme),
        Panel::Output => extent.output = output::render(buffer, area, scene, ui, theme),
        Panel::Runs => runs::render(buffer, area, scene, ui, theme),
    }
}

/// On a low screen the state on one line, and below it a line of the chosen panel.
fn brief(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, extent: &mut Extent, (ui, theme): (&Ui, Theme)) {
    let line = findings::headline(&scene.snapshot, area.width, theme);
    buffer.set_line(area.x, area.y, &line, area.width);
    let below = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if ui.panel == Panel::Verdict {
        extent.verdict = findings::brief(buffer, below, &scene.snapshot, ui, theme);
    } else {
        panel(buffer, below, scene, ui.panel, extent, (ui, theme));
    }
}

/// A rule that names the panels below it, the one that is shown in bold; the room that is left.
fn titled(buffer: &mut Buffer, area: Rect, names: &[Panel], chosen: Panel, theme: Theme) -> Rect {
    let rule = theme.sign("─", "-");
    let mut line = Line::from(Span::styled(rule.repeat(2), theme.faint()));
    for (i, panel) in names.iter().enumerate() {
        let style = if *panel == chosen { theme.strong() } else { theme.faint() };
        if i > 0 {
            line.push_span(Span::styled(theme.sign("│", "|"), theme.faint()));
        }
        line.push_span(Span::styled(format!(" {} ", panel.name()), style));
    }
    let rest = usize::from(area.width).saturating_sub(line.width());
    line.push_span(Span::styled(rule.repeat(rest), theme.faint()));
    buffer.set_line(area.x, area.y, &line, area.width);
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
}

/// The state, the losses and the progress, on as many lines as there are.
fn summary(buffer: &mut Buffer, area: Rect, snapshot: &Snapshot<'_>, theme: Theme) {
    let lines = [
        findings::headline(snapshot, area.width, theme),
        chart::legend(snapshot, area.width, theme),
        header::brief(snapshot, area.width),
    ];
    for (line, row) in lines.iter().zip(area.rows()) {
        buffer.set_line(row.x, row.y, line, row.width);
    }
}

/// As many of the parts, in order, as fit into the width; of the first as much as fits.
fn fitted<'a>(parts: Vec<Vec<Span<'a>>>, separator: &'static str, width: u16) -> Line<'a> {
    let mut line = Line::default();
    for part in parts {
        let gap = if line.spans.is_empty() { 0 } else { Span::raw(separator).width() };
        let part_width: usize = part.iter().map(Span::width).sum();
        if !line.spans.is_empty() && line.width() + gap + part_width > usize::from(width) {
            break;
        }
        if gap > 0 {
            line.push_span(Span::raw(separator));
        }
        for span in part {
            line.push_span(span);
        }
    }
    line
}

/// Text broken at spaces into lines of at most `width` columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let columns = |s: &str| Span::raw(s).width();
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().map_or(0, |line| columns(line));
        if line > 0 && line + 1 + columns(word) > width {
            lines.push(word.to_owned());
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}
