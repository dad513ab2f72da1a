//! The line of keys at the foot of the screen, and the two boxes over it: help, and the question
//! whether to stop.

use super::theme::Theme;
use super::{Line, Span, fitted};
use crate::dashboard::model::{Panel, Phase, Scale, Ui, XAxis};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, BorderType, Clear, Widget};

/// The keys that do something now.
pub fn status(buffer: &mut Buffer, area: Rect, ui: &Ui, theme: Theme, side_by_side: bool) {
    let mut keys = vec![("q", if ui.phase == Phase::Ended { "leave" } else { "quit" })];
    if ui.owns_run && ui.phase == Phase::Running {
        keys.push(("s", "stop & save"));
    }
    keys.push(("?", "help"));
    keys.push(("l", if ui.y == Scale::Linear { "log" } else { "linear" }));
    let next = match ui.x {
        XAxis::Step => "epochs",
        XAxis::Epoch => "time",
        XAxis::Time => "steps",
    };
    keys.push(("x", next));
    if !side_by_side {
        keys.push(("Tab", if ui.panel == Panel::Verdict { "events" } else { "next panel" }));
    }
    keys.push((theme.sign("↑↓", "Up/Down"), "scroll"));
    if ui.runs > 1 {
        keys.push(("n", "next run"));
        keys.push(("r", "runs"));
    }
    let part = |(key, what): (&'static str, &'static str)| {
        vec![Span::styled(key, theme.key()), Span::styled(format!(" {what}"), theme.faint())]
    };
    let line = fitted(keys.into_iter().map(part).collect(), "   ", area.width.saturating_sub(1));
    buffer.set_line(area.x + 1, area.y, &line, area.width.saturating_sub(1));
}

/// All keys.
pub fn render(buffer: &mut Buffer, area: Rect, ui: &Ui, theme: Theme) {
    let quit = if ui.owns_run { "leave (asks while running)" } else { "leave; the run goes on" };
    let mut keys = vec![("q", quit)];
    if ui.owns_run {
        keys.push(("s", "stop, save, stay here"));
        keys.push(("Ctrl-C", "save and leave; again: now"));
    }
    keys.extend([
        ("l", "log or linear loss"),
        ("x", "steps or epochs below"),
        ("Tab", "next panel"),
        ("e", "events"),
        (theme.sign("↑ ↓", "Up Down"), "scroll (PgUp PgDn Home End)"),
        ("n N r", "next run, the one before, all runs"),
        ("?", "this help"),
    ]);
    let lines: Vec<Line<'_>> = keys
        .into_iter()
        .map(|(key, what)| Line::from(vec![Span::styled(format!("{key:<7}"), theme.key()), Span::raw(what)]))
        .collect();
    boxed(buffer, area, "Keys", &lines, theme);
}

/// Whether to stop.
pub fn confirm(buffer: &mut Buffer, area: Rect, theme: Theme) {
    let answer = Line::from(vec![
        Span::styled("y", theme.key()),
        Span::raw(" stop and save   "),
        Span::styled("n", theme.key()),
        Span::raw(" go on"),
    ]);
    boxed(buffer, area, "Stop the run?", &[answer], theme);
}

/// A box in the middle of `area`, as large as its lines need and the area allows.
fn boxed(buffer: &mut Buffer, area: Rect, title: &'static str, lines: &[Line<'_>], theme: Theme) {
    let width = lines.iter().map(Line::width).max().unwrap_or(0).max(title.len()) as u16 + 4;
    let height = lines.len() as u16 + 2;
    let outer = Rect {
        x: area.x + area.width.saturating_sub(width) / 2,
        y: area.y + area.height.saturating_sub(height) / 2,
        width: width.min(area.width),
        height: height.min(area.height),
    };
    Clear.render(outer, buffer);
    if outer.width < 8 || outer.height < 3 {
        // No room for a frame.
        for (line, row) in lines.iter().zip(outer.rows()) {
            buffer.set_line(row.x, row.y, line, row.width);
        }
        return;
    }
    let mut block = Block::bordered().title(Span::styled(format!(" {title} "), theme.strong()));
    block =
        if theme.unicode() { block.border_type(BorderType::Rounded) } else { block.border_set(ASCII_BORDER) };
    let inner = block.inner(outer);
    block.render(outer, buffer);
    for (line, row) in lines.iter().zip(inner.rows()) {
        buffer.set_line(row.x + 1, row.y, line, row.width.saturating_sub(1));
    }
}

const ASCII_BORDER: ratatui::symbols::border::Set<'static> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};
