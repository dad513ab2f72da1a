//! What happened, a line each, the newest last.

use super::theme::Theme;
use super::{Line, Span};
use crate::dashboard::model::Ui;
use crate::fmt;
use crate::monitor::Snapshot;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the newest events that fit; how many more there are.
pub fn render(buffer: &mut Buffer, area: Rect, snapshot: &Snapshot<'_>, ui: &Ui, theme: &Theme) -> usize {
    let room = usize::from(area.height);
    let hidden = snapshot.log.len().saturating_sub(room);
    if snapshot.log.is_empty() && room > 0 {
        let line = Line::styled("Nothing has happened yet.", theme.faint());
        buffer.set_line(area.x + 1, area.y, &line, area.width.saturating_sub(1));
    }
    let first = hidden - ui.event_scroll.min(hidden);
    let clock_width = snapshot.log.last().map_or(0, |entry| fmt::clock(entry.t).len());
    for (entry, row) in snapshot.log[first..].iter().zip(area.rows()) {
        let (sign, style) = if entry.warning {
            (theme.sign("▲ ", "! "), theme.warning())
        } else {
            ("", ratatui::style::Style::new())
        };
        let line = Line::from(vec![
            Span::styled(format!("{:>clock_width$}  ", fmt::clock(entry.t)), theme.faint()),
            Span::styled(sign, style),
            Span::styled(entry.text.as_str(), style),
        ]);
        buffer.set_line(row.x + 1, row.y, &line, row.width.saturating_sub(1));
    }
    hidden
}
