//! What a foreign trainer printed, the newest last, and those of its lines that contain what is
//! searched for.

use super::theme::Theme;
use super::{Line, Scene, Span};
use crate::dashboard::model::Ui;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the newest lines that fit; how many more there are before them.
pub fn render(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) -> usize {
    let width = area.width.saturating_sub(2);
    let Some(run) = scene.runs.get(scene.shown).filter(|run| !run.output.is_empty()) else {
        let text = "no output: this run has no trainer that was started here";
        buffer.set_stringn(area.x + 1, area.y, text, usize::from(width), theme.faint());
        return 0;
    };
    let found: Vec<&String> = run.output.iter().filter(|line| ui.finds(line)).collect();
    let room = usize::from(area.height);
    let hidden = found.len().saturating_sub(room);
    let end = found.len() - ui.output_scroll.min(hidden);
    let shown = &found[end.saturating_sub(room)..end];
    for (text, row) in shown.iter().zip(area.rows()) {
        buffer.set_line(row.x + 1, row.y, &marked(&theme.text(text), ui, theme), width);
    }
    if end < found.len() && area.height > 0 {
        buffer.set_string(area.right() - 1, area.bottom() - 1, theme.sign("▼", "v"), theme.faint());
    }
    hidden
}

/// A line with what was searched for in bold.
fn marked<'a>(text: &str, ui: &Ui, theme: Theme) -> Line<'a> {
    // Control signs of progress bars would move the cursor of a real terminal.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let lower = text.to_lowercase();
    let search = ui.search.to_lowercase();
    let same_length = lower.len() == text.len();
    match lower.find(&search).filter(|_| same_length && !search.is_empty()) {
        Some(at) if text.is_char_boundary(at) && text.is_char_boundary(at + search.len()) => {
            Line::from(vec![
                Span::raw(text[..at].to_owned()),
                Span::styled(text[at..at + search.len()].to_owned(), theme.notice()),
                Span::raw(text[at + search.len()..].to_owned()),
            ])
        }
        _ => Line::raw(text),
    }
}
