//! The line of keys at the foot of the screen, and the two boxes over it: help, and the question
//! whether to stop.

use super::theme::Theme;
use super::{Line, Span, fitted};
use crate::dashboard::message::{may_ask, may_detach, may_order};
use crate::dashboard::model::{Panel, Phase, Scale, Ui, XAxis};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, BorderType, Clear, Widget};

/// The keys that do something now, or what is being typed, or what was written.
pub fn status(
    buffer: &mut Buffer,
    area: Rect,
    ui: &Ui,
    theme: Theme,
    next_x: Option<XAxis>,
    side_by_side: bool,
) {
    let width = area.width.saturating_sub(1);
    let line = if let Some(notice) = &ui.notice {
        Line::styled(theme.text(notice).into_owned(), theme.strong())
    } else if ui.typing {
        let cursor = theme.sign("▏", "_");
        Line::from(vec![Span::styled("/", theme.key()), Span::raw(format!("{}{cursor}", ui.search))])
    } else {
        keys(ui, theme, next_x, side_by_side, width)
    };
    buffer.set_line(area.x + 1, area.y, &line, width);
}

fn keys<'a>(ui: &Ui, theme: Theme, next_x: Option<XAxis>, side_by_side: bool, width: u16) -> Line<'a> {
    let mut keys = vec![("q", if ui.phase == Phase::Ended { "leave" } else { "quit" })];
    if may_ask(ui) && ui.phase == Phase::Running {
        keys.push(("s", if may_order(ui) { "stop & save" } else { "stop" }));
    }
    keys.push(("?", "help"));
    if !ui.search.is_empty() {
        keys.push(("Esc", "all lines"));
    }
    if ui.runs > 1 {
        keys.extend([("n", "next run"), ("r", "runs")]);
    }
    keys.push(("l", if ui.y == Scale::Linear { "log" } else { "linear" }));
    keys.extend(next_x.map(|next| match next {
        XAxis::Epoch => ("x", "epochs"),
        XAxis::Time => ("x", "time"),
        XAxis::Step => ("x", "steps"),
    }));
    keys.push(("Tab", if ui.panel == Panel::Verdict && !side_by_side { "events" } else { "next panel" }));
    keys.push((theme.sign("←→", "Left/Right"), "crosshair"));
    keys.push(("+ -", "zoom"));
    keys.push((theme.sign("↑↓", "Up/Down"), "scroll"));
    let part = |(key, what): (&'static str, &'static str)| {
        vec![Span::styled(key, theme.key()), Span::styled(format!(" {what}"), theme.faint())]
    };
    fitted(keys.into_iter().map(part).collect(), "   ", width)
}

/// All keys, in two columns where they fit; on a low screen the most needed ones.
pub fn render(buffer: &mut Buffer, area: Rect, ui: &Ui, theme: Theme) {
    let mut keys =
        vec![("q", if ui.owns_run { "leave (asks while running)" } else { "leave; the run goes on" })];
    if may_order(ui) {
        keys.push(("s", "stop, now or after the next eval"));
    } else if may_ask(ui) {
        keys.push(("s", "ask the trainer to stop"));
    }
    if may_order(ui) {
        keys.push(("w v P", "save, evaluate, pause"));
    }
    if ui.owns_run {
        let stops =
            if may_order(ui) { "save and leave; again: now" } else { "the same, and leave; again: now" };
        keys.push(("Ctrl-C", stops));
    }
    if ui.detaches {
        keys.push(("d", "leave; it goes on in background"));
    }
    keys.extend([
        ("l p", "log or linear; perplexity"),
        ("x", "steps, epochs or time below"),
        (theme.sign("← →", "Lf Rt"), "crosshair (Shift: far; Esc: off)"),
        ("+ - 0", "zoom in, out, all"),
        ("< >", "back and on"),
        ("f", "stand still, or follow"),
        ("Tab", "next panel (also 1 to 6)"),
        ("m", "panel in the chart's place"),
        (theme.sign("↑ ↓", "Up Dn"), "scroll (PgUp PgDn Home End)"),
        ("/", "search events and output"),
        ("c", "copy data or screen to a file"),
        ("a b t", "average, drawing, background"),
        ("n N r", "next run, the one before, all"),
        ("Ctrl-L", "draw the screen anew"),
        ("?", "this help"),
    ]);
    let line = |(key, what): &(&'static str, &'static str)| {
        vec![Span::styled(format!("{key:<7}"), theme.key()), Span::raw(format!("{what:<34}"))]
    };
    let rows = usize::from(area.height.saturating_sub(2));
    let two = keys.len() > rows && area.width >= 88;
    let count = if two { keys.len().div_ceil(2) } else { keys.len() };
    let lines: Vec<Line<'_>> = (0..count)
        .map(|row| {
            let mut spans = line(&keys[row]);
            if let Some(second) = keys.get(row + count) {
                spans.extend(line(second));
            }
            Line::from(spans)
        })
        .collect();
    boxed(buffer, area, "Keys", &lines, theme);
}

/// Whether to stop.
pub fn confirm(buffer: &mut Buffer, area: Rect, ui: &Ui, theme: Theme) {
    // Someone else's trainer is sent what Ctrl-C would send, and saves or does not.
    let mut answers =
        vec![("y", if may_order(ui) { "stop and save" } else { "ask it to stop, as Ctrl-C does" })];
    if may_order(ui) {
        answers.push(("e", "after the next eval"));
    }
    if may_detach(ui) {
        answers.push(("d", "leave; it goes on in the background"));
    }
    answers.push(("n", "go on"));
    let lines: Vec<Line<'_>> = answers.into_iter().map(|answer| choice(answer, theme)).collect();
    boxed(buffer, area, "Stop the run?", &lines, theme);
}

/// What to write to a file.
pub fn copy(buffer: &mut Buffer, area: Rect, theme: Theme) {
    let answers = [
        ("d", "the chart's data, CSV"),
        ("s", "the screen, SVG"),
        ("t", "the screen, text"),
        ("n", "nothing"),
    ];
    boxed(buffer, area, "Write to a file", &answers.map(|answer| choice(answer, theme)), theme);
}

fn choice<'a>((key, what): (&'static str, &'static str), theme: Theme) -> Line<'a> {
    Line::from(vec![Span::styled(key, theme.key()), Span::raw(format!("  {what}"))])
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
