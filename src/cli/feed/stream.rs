//! What another program prints, read for its figures, and as lines for the log panel.

use super::skipped;
use crate::dashboard::Update;
use crate::event::Event;
use crate::ingest::lines::Lines;
use crate::ingest::{self, Options, Parsed, Reader, Skipped};
use std::path::Path;
use std::time::Instant;

/// What another program prints, read as it comes and kept for the log panel.
pub(in crate::cli) struct Stream {
    id: usize,
    name: String,
    reader: Box<dyn Reader>,
    parsed: Parsed,
    started: Instant,
    begun: bool,
    /// Evaluations so far.
    pub(in crate::cli) evals: u64,
    panel: Panel,
}

impl Stream {
    pub(in crate::cli) fn new(id: usize, name: &str, options: &Options) -> Self {
        Self {
            id,
            name: name.into(),
            reader: ingest::open(Path::new(name), options),
            parsed: Parsed::default(),
            started: Instant::now(),
            begun: false,
            evals: 0,
            panel: Panel::default(),
        }
    }

    /// Takes in what was printed; false when nobody listens any more.
    pub(in crate::cli) fn push(&mut self, bytes: &[u8], send: &mut dyn FnMut(Update) -> bool) -> bool {
        let id = self.id;
        self.reader.push(bytes, &mut self.parsed);
        let mut heard = self.give(send);
        // Whoever prints a line and stops there has said all of it; the next may be an hour away.
        if heard && self.begun && bytes.ends_with(b"\n") {
            self.reader.settle(&mut self.parsed);
            heard = self.give(send);
        }
        heard && self.panel.push(bytes, &mut |line| send(Update::Output { id, line }))
    }

    /// There is no more.
    pub(in crate::cli) fn finish(&mut self, send: &mut dyn FnMut(Update) -> bool) -> bool {
        self.reader.finish(&mut self.parsed);
        let told = self.parsed.skipped.total() == 0
            || send(Update::Output { id: self.id, line: format!("tune: {}", skipped(&self.parsed.skipped)) });
        told && self.give(send)
    }

    fn give(&mut self, send: &mut dyn FnMut(Update) -> bool) -> bool {
        let now = self.started.elapsed().as_secs_f64();
        for mut record in std::mem::take(&mut self.parsed.records) {
            // Printed just now: what the text does not say the clock does.
            record.t = now;
            match record.event {
                Event::RunStarted(_) if std::mem::replace(&mut self.begun, true) => {
                    self.evals = 0;
                    if !send(Update::Run { id: self.id, name: self.name.clone() }) {
                        return false;
                    }
                }
                Event::Eval(_) => self.evals += 1,
                _ => {}
            }
            if !send(Update::Record { id: self.id, record }) {
                return false;
            }
        }
        true
    }
}

/// Bytes of a line that are kept for the panel.
const LINE: usize = 4096;

/// Printed bytes as lines for a panel: without colours, and of a progress bar only what it ends as.
#[derive(Default)]
struct Panel {
    lines: Lines,
    /// The newest piece of a line that has not ended, with the line's number.
    held: Option<(u64, String)>,
}

impl Panel {
    fn push(&mut self, bytes: &[u8], give: &mut dyn FnMut(String) -> bool) -> bool {
        let (held, mut heard) = (&mut self.held, true);
        // Lines that are too long for figures are told by their reader.
        self.lines.push(bytes, &mut Skipped::default(), |number, piece| {
            if let Some((_, line)) = held.take_if(|(of, _)| *of != number) {
                heard = heard && (line.is_empty() || give(line));
            }
            let text = String::from_utf8_lossy(&piece[..piece.len().min(LINE)]);
            let shown: String = text.chars().filter(|&c| c == '\t' || !c.is_control()).collect();
            *held = Some((number, shown.trim_end().to_owned()));
        });
        if let Some((_, line)) = self.held.take_if(|(of, _)| *of <= self.lines.ended()) {
            heard = heard && (line.is_empty() || give(line));
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_figure_that_was_printed_is_not_held_back_for_the_next() {
        let mut stream = Stream::new(0, "stdin", &Options::default());
        for (epoch, evals) in [(1, 1), (2, 2)] {
            let text = format!("{{'loss': 1.0, 'epoch': {epoch}}}\n{{'eval_loss': 1.2, 'epoch': {epoch}}}\n");
            assert!(stream.push(text.as_bytes(), &mut |_| true));
            assert_eq!(stream.evals, evals);
        }
    }

    #[test]
    fn a_panel_shows_what_a_terminal_would_line_by_line() {
        let text = b"one\r\n 1%|#  |\r 50%|## |\r100%|###| done\n\x1b[1;32mgreen\x1b[0m\n\n\x1b]0;title\x07two\xff\nhalf";
        for chunk in 1..text.len() {
            let (mut panel, mut lines) = (Panel::default(), Vec::new());
            for piece in text.chunks(chunk) {
                panel.push(piece, &mut |line| {
                    lines.push(line);
                    true
                });
            }
            assert_eq!(lines, ["one", "100%|###| done", "green", "two\u{fffd}"], "in pieces of {chunk}");
        }
    }
}
