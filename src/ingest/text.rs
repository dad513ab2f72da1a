//! What trainers print: every line is offered to each format until one knows it as its own.

use super::lines::Lines;
use super::{Format, Parsed, Points, Reader, mlx, nanogpt};

/// Every trainer whose lines are known. The order matters where a line could be of two: the stricter
/// comes first.
fn formats() -> Vec<Box<dyn Format>> {
    vec![Box::new(nanogpt::NanoGpt), Box::new(mlx::Mlx::default())]
}

/// Reads lines of whatever trainer it is.
pub(super) struct Text {
    lines: Lines,
    /// The formats that may still be; the one, once it is known.
    formats: Vec<Box<dyn Format>>,
    points: Points,
    known: bool,
}

impl Text {
    pub(super) fn new() -> Self {
        Self { lines: Lines::default(), formats: formats(), points: Points::new("text"), known: false }
    }

    fn line(&mut self, number: u64, line: &[u8]) {
        self.points.line = number;
        if self.known {
            self.formats[0].line(line, &mut self.points);
            return;
        }
        for index in 0..self.formats.len() {
            let trainer = self.formats[index].trainer();
            self.points.info().trainer = trainer.into();
            if self.formats[index].line(line, &mut self.points) {
                let format = self.formats.swap_remove(index);
                self.formats = vec![format];
                self.known = true;
                return;
            }
        }
    }
}

impl Reader for Text {
    fn push(&mut self, chunk: &[u8], out: &mut Parsed) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.push(chunk, &mut out.skipped, |number, line| self.line(number, line));
        self.lines = lines;
        self.points.drain(out);
    }

    fn restart(&mut self) -> bool {
        self.lines = Lines::default();
        true
    }

    fn finish(&mut self, out: &mut Parsed) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.finish(|number, line| self.line(number, line));
        for format in &mut self.formats {
            format.finish(&mut self.points);
        }
        self.points.drain(out);
    }

    fn trainer(&self) -> &'static str {
        if self.known { self.formats[0].trainer() } else { "text" }
    }
}
