//! What the model says by itself to a prompt that it was trained on and to one that it was not, side
//! by side with what the rows say; and above them how much of it is recited.

use super::theme::{Layer, Theme};
use super::{Line, Scene, Span, wrapped};
use crate::dashboard::model::Ui;
use crate::event::{Generated, Sample, Split};
use crate::monitor::samples::{facts, newest, parts, recited};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Lines of a prompt and of what its row says, where the panel is below the chart: what the model
/// writes is what is looked for.
const BRIEF: (usize, usize) = (2, 3);
/// From this width on the two sides stand beside each other.
const BESIDE: u16 = 56;
/// Cells of a bar.
const BAR: usize = 10;

/// Draws the newest samples; how many lines do not fit.
pub fn render(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) -> usize {
    let curves = scene.snapshot.curves;
    let sides = [newest(curves, Split::TrainProbe), newest(curves, Split::Valid)];
    let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    if sides.iter().all(Option::is_none) {
        let text = "the model has not been asked to write yet";
        buffer.set_stringn(inner.x, inner.y, text, usize::from(inner.width), theme.faint());
        return 0;
    }
    let columns = if inner.width >= BESIDE {
        let half = (inner.width - 2) / 2;
        [Rect { width: half, ..inner }, Rect { x: inner.x + half + 2, width: half, ..inner }]
    } else {
        [inner, inner]
    };
    let names = [("trained on", Layer::Train), ("held out", Layer::Eval)];
    let [train, valid] = [0, 1].map(|side| {
        let (name, layer) = names[side];
        let width = usize::from(columns[side].width);
        sides[side].map_or_else(Vec::new, |generated| {
            text(generated, name, theme.layer(layer), width, ui.tall, theme)
        })
    });
    if columns[0] == columns[1] {
        let lines: Vec<Line<'_>> = train.into_iter().chain([Line::default()]).chain(valid).collect();
        return scrolled(buffer, inner, &lines, ui.samples_scroll, theme);
    }
    // Both sides scroll together.
    let hidden = train.len().max(valid.len()).saturating_sub(usize::from(inner.height));
    for (lines, column) in [train, valid].iter().zip(columns) {
        let shown = lines.get(ui.samples_scroll.min(hidden)..).unwrap_or_default();
        scrolled(buffer, column, shown, 0, theme);
    }
    hidden
}

fn scrolled(buffer: &mut Buffer, area: Rect, lines: &[Line<'_>], scroll: usize, theme: Theme) -> usize {
    let hidden = lines.len().saturating_sub(usize::from(area.height));
    let first = scroll.min(hidden);
    for (line, row) in lines[first..].iter().zip(area.rows()) {
        buffer.set_line(row.x, row.y, line, row.width);
    }
    if first < hidden && area.width > 0 {
        buffer.set_string(area.right(), area.bottom() - 1, theme.sign("▼", "v"), theme.faint());
    }
    hidden
}

/// One side: its gauge, then prompt by prompt.
fn text<'a>(
    generated: &Generated,
    name: &str,
    style: Style,
    width: usize,
    whole: bool,
    theme: Theme,
) -> Vec<Line<'a>> {
    let full = (generated.exact.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    let mut lines = vec![Line::from(vec![
        Span::styled(format!("{name}: "), style),
        Span::raw(format!("recited {:>5} ", recited(generated))),
        Span::styled(theme.sign("█", "#").repeat(full), style),
        Span::styled(theme.sign("░", "-").repeat(BAR - full), theme.faint()),
    ])];
    lines.extend(wrapped(&facts(generated), width).into_iter().map(|text| Line::styled(text, theme.faint())));
    for sample in &generated.samples {
        lines.extend(spoken(sample, style, width, whole, theme));
    }
    lines
}

fn spoken<'a>(sample: &Sample, style: Style, width: usize, whole: bool, theme: Theme) -> Vec<Line<'a>> {
    let (verbatim, [prompt, reference, (_, output)]) = parts(sample);
    let says = if verbatim { "writes it word for word" } else { "writes" };
    let mut lines = vec![Line::default()];
    let limit = |lines| if whole { usize::MAX } else { lines };
    for ((name, text), of_text, limit) in [
        (prompt, theme.faint(), limit(BRIEF.0)),
        (reference, Style::new(), limit(BRIEF.1)),
        ((says, output), style, usize::MAX),
    ] {
        lines.push(Line::styled(format!("{name}:"), theme.strong()));
        let text = if text.trim().is_empty() { "(nothing)" } else { text };
        let paragraphs = text.lines().flat_map(|line| wrapped(&theme.text(line), width.saturating_sub(2)));
        let mut paragraphs: Vec<String> = paragraphs.collect();
        if paragraphs.len() > limit {
            paragraphs.truncate(limit);
            if let Some(last) = paragraphs.last_mut() {
                // The end of the line makes room for the sign that there is more.
                while last.chars().count() + 4 > width {
                    last.pop();
                }
                last.push_str(theme.sign(" …", " .."));
            }
        }
        lines.extend(paragraphs.into_iter().map(|text| Line::styled(format!("  {text}"), of_text)));
    }
    lines
}
