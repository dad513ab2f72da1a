//! What happened, in order, the newest last.

use super::theme::Theme;
use super::{Line, Span, wrapped};
use crate::dashboard::model::Ui;
use crate::fmt;
use crate::monitor::{LogLine, Snapshot};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the newest events that fit; how many more there are before them.
pub fn render(buffer: &mut Buffer, area: Rect, snapshot: &Snapshot<'_>, ui: &Ui, theme: Theme) -> usize {
    let (room, width) = (usize::from(area.height), area.width.saturating_sub(2));
    let log: Vec<&LogLine> = snapshot.log.iter().filter(|entry| ui.finds(&entry.text)).collect();
    if log.is_empty() && room > 0 {
        let none = if snapshot.log.is_empty() { "nothing has happened yet" } else { "no event has that" };
        buffer.set_line(area.x + 1, area.y, &Line::styled(none, theme.faint()), width);
    }
    // Most trainers' logs have no times.
    let timed = log.last().filter(|entry| entry.t > 0.0);
    let clock_width = timed.map_or(0, |entry| fmt::clock(entry.t).len());
    let lines = |entry: &LogLine| event(entry, clock_width, usize::from(width), theme);
    let mut first_page = 0;
    let on_first_page = log.iter().take_while(|entry| {
        first_page += lines(entry).len();
        first_page <= room
    });
    let hidden = log.len() - on_first_page.count();
    let end = log.len() - ui.event_scroll.min(hidden);
    let mut shown: Vec<Line<'_>> = Vec::new();
    for entry in log[..end].iter().rev() {
        let mut lines = lines(entry);
        lines.append(&mut shown);
        shown = lines;
        if shown.len() >= room {
            break;
        }
    }
    let cut = shown.len().saturating_sub(room);
    for (line, row) in shown[cut..].iter().zip(area.rows()) {
        buffer.set_line(row.x + 1, row.y, line, width);
    }
    if end < log.len() && room > 0 {
        buffer.set_string(area.right() - 1, area.bottom() - 1, theme.sign("▼", "v"), theme.faint());
    }
    hidden
}

/// One event, broken into lines that stand behind its time.
fn event(entry: &LogLine, clock_width: usize, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let (sign, style) =
        if entry.warning { (theme.sign("▲ ", "! "), theme.warning()) } else { ("", Style::new()) };
    let time =
        if clock_width == 0 { String::new() } else { format!("{:>clock_width$}  ", fmt::clock(entry.t)) };
    let texts = wrapped(&format!("{sign}{}", theme.text(&entry.text)), width.saturating_sub(time.len()));
    let blank = " ".repeat(time.len());
    let lead = std::iter::once(time).chain(std::iter::repeat(blank));
    let line = |(lead, text)| Line::from(vec![Span::styled(lead, theme.faint()), Span::styled(text, style)]);
    lead.zip(texts).map(line).collect()
}
