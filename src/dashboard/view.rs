//! What the screen looks like: one frame from one [`Snapshot`] and the user's choices.
//!
//! Pure: no file, no clock, no randomness, no log; the same snapshot gives the same cells.
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
mod range;
mod raster;
mod series;
mod theme;

pub use theme::Theme;

use crate::dashboard::model::{Extent, Panel, Popup, Ui};
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

/// Draws one frame; says how much there is to scroll.
pub fn render(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot<'_>, ui: &Ui, theme: Theme) -> Extent {
    let area = area.intersection(frame.area());
    let buffer = frame.buffer_mut();
    let extent = if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        summary(buffer, area, snapshot, theme);
        Extent::default()
    } else {
        screen(buffer, area, snapshot, ui, theme)
    };
    match ui.popup {
        Some(Popup::Help) => help::render(buffer, area, ui, theme),
        Some(Popup::Confirm { .. }) => help::confirm(buffer, area, theme),
        None => {}
    }
    extent
}

fn screen(buffer: &mut Buffer, area: Rect, snapshot: &Snapshot<'_>, ui: &Ui, theme: Theme) -> Extent {
    let roomy = area.height >= ROOMY_HEIGHT;
    let (header_lines, panel_lines) =
        if roomy { (2, (area.height / 3).clamp(PANEL_LINES.0, PANEL_LINES.1)) } else { (1, 2) };
    let [header, chart, panels, status] = Layout::vertical([
        Constraint::Length(header_lines),
        Constraint::Min(5),
        Constraint::Length(panel_lines),
        Constraint::Length(1),
    ])
    .areas(area);
    header::render(buffer, header, snapshot, ui, theme);
    chart::render(buffer, chart, snapshot, ui, theme);
    help::status(buffer, status, ui, theme, area.width >= WIDE);
    if !roomy {
        return Extent { page: 1, ..findings::brief(buffer, panels, snapshot, ui, theme) };
    }
    let mut extent = Extent { page: usize::from(panel_lines.saturating_sub(2)), ..Extent::default() };
    if area.width >= WIDE {
        let [left, _, right] =
            Layout::horizontal([Constraint::Fill(3), Constraint::Length(2), Constraint::Fill(2)])
                .areas(panels);
        let body = titled(buffer, left, &[("Verdict", ui.panel == Panel::Verdict)], theme);
        extent.verdict = findings::render(buffer, body, snapshot, ui, theme);
        let body = titled(buffer, right, &[("Events", ui.panel == Panel::Events)], theme);
        extent.events = events::render(buffer, body, snapshot, ui, theme);
    } else {
        let tabs = [("Verdict", ui.panel == Panel::Verdict), ("Events", ui.panel == Panel::Events)];
        let body = titled(buffer, panels, &tabs, theme);
        match ui.panel {
            Panel::Verdict => extent.verdict = findings::render(buffer, body, snapshot, ui, theme),
            Panel::Events => extent.events = events::render(buffer, body, snapshot, ui, theme),
        }
    }
    extent
}

/// A rule that names the panels below it, the one that is shown in bold; the room that is left.
fn titled(buffer: &mut Buffer, area: Rect, names: &[(&str, bool)], theme: Theme) -> Rect {
    let rule = theme.sign("─", "-");
    let mut line = Line::from(Span::styled(rule.repeat(2), theme.faint()));
    for (i, (name, active)) in names.iter().enumerate() {
        let style = if *active { theme.strong() } else { theme.faint() };
        if i > 0 {
            line.push_span(Span::styled(theme.sign("│", "|"), theme.faint()));
        }
        line.push_span(Span::styled(format!(" {name} "), style));
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
        chart::legend(snapshot, crate::dashboard::model::XAxis::Step, area.width, theme),
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
