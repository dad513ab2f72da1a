//! The list of runs: how each stands, and what in its settings differs from the run on the screen.

use super::theme::Theme;
use super::{Line, Scene, Span, wrapped};
use crate::dashboard::model::Ui;
use crate::dashboard::runs::Run;
use crate::fmt;
use crate::monitor::settings::changed;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the part of the list around the run that it points at, and below it the differences.
pub fn render(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) {
    let width = area.width.saturating_sub(2);
    let differences = differences(scene, ui, usize::from(width), theme);
    let rows = usize::from(area.height);
    let below = differences.len().min(rows / 2);
    let room = (rows - below).min(scene.runs.len());
    let selected = ui.selected.min(scene.runs.len().saturating_sub(1));
    let first = (selected + 1).saturating_sub(room).min(scene.runs.len() - room);
    let names = scene.runs.iter().map(|run| Span::raw(name(run)).width()).max().unwrap_or(0);
    let names = names.min(usize::from(width) / 2);
    let lines = (first..first + room).map(|index| line(&scene.runs[index], index, names, ui, theme));
    for (line, row) in lines.chain(differences).zip(area.rows()) {
        buffer.set_line(row.x + 1, row.y, &line, width);
    }
}

/// What a run is called.
pub fn name(run: &Run) -> &str {
    let told = run.monitor.snapshot().run.name.as_str();
    [run.name.as_str(), told].into_iter().find(|name| !name.is_empty()).unwrap_or("run")
}

fn line<'a>(run: &'a Run, index: usize, names: usize, ui: &Ui, theme: Theme) -> Line<'a> {
    let snapshot = run.monitor.snapshot();
    let pointer = if index == ui.selected { theme.sign("▸", ">") } else { " " };
    let curve = if ui.hidden.contains(&index) { " " } else { theme.sign("━", "-") };
    let shown = index == ui.shown;
    let style = if shown { theme.strong() } else { theme.layer_of(index) };
    let mut line = Line::from(vec![
        Span::raw(pointer),
        Span::styled(format!("{:>2} ", index + 1), theme.faint()),
        Span::styled(curve, style),
        Span::styled(format!(" {:<names$.names$}  ", name(run)), if shown { theme.strong() } else { style }),
        Span::styled(format!("{:<11}", snapshot.diagnosis.verdict), theme.strong()),
    ]);
    if let Some(best) = snapshot.diagnosis.best.and_then(|best| snapshot.curves.eval.get(best)) {
        line.push_span(format!("  best {} @ {}", fmt::loss(best.loss), best.step));
    }
    line.push_span(Span::styled(
        format!("  step {}{}", snapshot.progress.step, if run.is_over() { "" } else { ", running" }),
        theme.faint(),
    ));
    line
}

/// What the run that the list points at has other than the one on the screen.
fn differences<'a>(scene: &Scene<'_>, ui: &Ui, width: usize, theme: Theme) -> Vec<Line<'a>> {
    let (Some(shown), Some(other)) = (scene.runs.get(ui.shown), scene.runs.get(ui.selected)) else {
        return Vec::new();
    };
    let mut lines = vec![Line::styled("Enter shows it, Space hides its curve", theme.faint())];
    if ui.shown == ui.selected {
        return lines;
    }
    let (here, there) = (shown.monitor.snapshot().run, other.monitor.snapshot().run);
    let changed = changed(here, there);
    let text = match changed.as_slice() {
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
