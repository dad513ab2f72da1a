//! The list of runs: how each stands, and what in its settings differs from the run on the screen.

use super::theme::Theme;
use super::{Line, Scene, Span, wrapped};
use crate::dashboard::model::Ui;
use crate::dashboard::runs::Run;
use crate::fmt;
use crate::monitor::settings::{changed, settings};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Columns of a line beside the name, up to the newest step; and the least that a name has.
const STATE: usize = 52;
const LEAST_NAME: usize = 14;

/// Draws the part of the list around the run that it points at, and below it the differences.
pub fn render(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) {
    let width = area.width.saturating_sub(2);
    let differences = differences(scene, ui, usize::from(width), theme);
    let rows = usize::from(area.height);
    let below = differences.len().min(rows / 2);
    let room = (rows - below).min(scene.runs.len());
    let selected = ui.selected.min(scene.runs.len().saturating_sub(1));
    let first = (selected + 1).saturating_sub(room).min(scene.runs.len() - room);
    let prefix = common(scene.runs.iter().map(name));
    let names: Vec<&str> = scene.runs.iter().map(|run| &name(run)[prefix..]).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let columns = longest.min(usize::from(width).saturating_sub(STATE).max(LEAST_NAME));
    let lines = (first..first + room).map(|index| {
        let name = shortened(names[index], columns, theme);
        line(scene, index, &format!(" {name:<columns$}  "), ui, theme)
    });
    for (line, row) in lines.chain(differences).zip(area.rows()) {
        buffer.set_line(row.x + 1, row.y, &line, width);
    }
}

/// What a run is called.
pub fn name(run: &Run) -> &str {
    let told = run.monitor.snapshot().run.name.as_str();
    [run.name.as_str(), told].into_iter().find(|name| !name.is_empty()).unwrap_or("run")
}

/// Bytes that all names begin with, up to a sign between words; none of one name alone.
fn common<'a>(mut names: impl Iterator<Item = &'a str>) -> usize {
    let Some(first) = names.next() else { return 0 };
    let (mut shared, mut others) = (first, false);
    for name in names {
        others = true;
        let same = shared.char_indices().zip(name.chars()).take_while(|((_, a), b)| a == b);
        shared = &shared[..same.last().map_or(0, |((at, c), _)| at + c.len_utf8())];
    }
    let between = |c: char| matches!(c, '/' | '\\' | '-' | '_' | '.' | ' ');
    if others { shared.rfind(between).map_or(0, |at| at + 1) } else { 0 }
}

/// The end of a name that is too long: names of one folder differ there.
fn shortened(name: &str, columns: usize, theme: Theme) -> String {
    let over = name.chars().count().saturating_sub(columns);
    if over == 0 {
        return name.to_owned();
    }
    theme.sign("…", "~").chars().chain(name.chars().skip(over + 1)).collect()
}

fn line<'a>(scene: &Scene<'a>, index: usize, name: &str, ui: &Ui, theme: Theme) -> Line<'a> {
    let run = &scene.runs[index];
    let snapshot = run.monitor.snapshot();
    let places = snapshot.run.places();
    let pointer = if index == ui.selected { theme.sign("▸", ">") } else { " " };
    let shown = index == ui.shown;
    let drawn = shown || scene.others(ui).any(|(other, _)| other == index);
    let curve = if drawn { theme.sign("━", "-") } else { " " };
    let style = if shown { theme.strong() } else { theme.layer_of(index) };
    let mut line = Line::from(vec![
        Span::raw(pointer),
        Span::styled(format!("{:>2} ", index + 1), theme.faint()),
        Span::styled(curve, style),
        Span::styled(name.to_owned(), if shown { theme.strong() } else { style }),
        Span::styled(format!("{:<11}", snapshot.diagnosis.verdict), theme.strong()),
    ]);
    if let Some(best) = snapshot.diagnosis.best.and_then(|best| snapshot.curves.eval.get(best)) {
        line.push_span(format!("  best {} @ {}", fmt::loss(best.loss), places.number(best.step)));
    }
    let standing = match run.stale_s() {
        Some(idle) => format!(", no new line for {}", fmt::duration(idle as f64)),
        None if run.is_over() => String::new(),
        None => ", running".into(),
    };
    line.push_span(Span::styled(
        format!("  {}{}", places.at(snapshot.progress.step), standing),
        theme.faint(),
    ));
    line
}

/// What the run that the list points at has other than the one on the screen.
fn differences<'a>(scene: &Scene<'_>, ui: &Ui, width: usize, theme: Theme) -> Vec<Line<'a>> {
    let (Some(shown), Some(other)) = (scene.runs.get(ui.shown), scene.runs.get(ui.selected)) else {
        return Vec::new();
    };
    let keys = if scene.is_crowded() { "Enter shows it" } else { "Enter shows it, Space hides its curve" };
    let mut lines = vec![Line::styled(keys, theme.faint())];
    if ui.shown == ui.selected {
        return lines;
    }
    let (here, there) = (shown.monitor.snapshot().run, other.monitor.snapshot().run);
    let changed = changed(here, there);
    let text = match changed.as_slice() {
        // Nothing is known of either.
        [] if settings(here).iter().all(|(_, value)| value == "-") => return lines,
        [] => format!("settings as in run {}", ui.shown + 1),
        changed => {
            let arrow = theme.sign("→", "->");
            let part = |(key, a, b): &(&str, String, String)| format!("{key} {a} {arrow} {b}");
            format!(
                "against run {}: {}",
                ui.shown + 1,
                changed.iter().map(part).collect::<Vec<_>>().join(", ")
            )
        }
    };
    lines.extend(wrapped(&theme.text(&text), width).into_iter().map(Line::raw));
    lines
}
