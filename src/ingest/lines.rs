//! Bytes into lines: any chunks in, whole lines out, without what terminals add.
//!
//! A carriage return ends a piece of its own, since progress bars share lines with what matters.
//! Colour codes and backspaces are taken out; bytes that are not UTF-8 stay as they are.

use super::Skipped;
use memchr::memchr2;

/// The longest line that is kept whole; the rest of a longer one is passed over.
const LONGEST: usize = 16 << 20;

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    /// A line without colour codes, kept for its memory.
    clean: Vec<u8>,
    /// Number of the line that is being read, less one.
    number: u64,
    /// Whether the line is over [`LONGEST`] and is being passed over.
    overlong: bool,
}

impl Lines {
    /// How many lines have ended with a newline; pieces of the one after it may follow.
    pub fn ended(&self) -> u64 {
        self.number
    }

    /// Calls `each` for every line that ends in `chunk`, with its number from 1.
    pub fn push(&mut self, mut chunk: &[u8], skipped: &mut Skipped, mut each: impl FnMut(u64, &[u8])) {
        while let Some(at) = memchr2(b'\n', b'\r', chunk) {
            let (piece, end) = (&chunk[..at], chunk[at]);
            chunk = &chunk[at + 1..];
            if self.overlong {
                self.overlong = false;
            } else if self.begun.is_empty() && piece.len() <= LONGEST {
                give(self.number + 1, piece, &mut self.clean, &mut each);
            } else {
                self.extend(piece, skipped);
                if !self.overlong {
                    give(self.number + 1, &self.begun, &mut self.clean, &mut each);
                }
                self.overlong = false;
                self.begun.clear();
            }
            self.number += u64::from(end == b'\n');
        }
        if !self.overlong {
            self.extend(chunk, skipped);
        }
    }

    /// The last line, if its end never came.
    pub fn finish(&mut self, mut each: impl FnMut(u64, &[u8])) {
        if !self.overlong && !self.begun.is_empty() {
            give(self.number + 1, &self.begun, &mut self.clean, &mut each);
        }
        self.begun.clear();
    }

    fn extend(&mut self, piece: &[u8], skipped: &mut Skipped) {
        if self.begun.len() + piece.len() > LONGEST {
            skipped.add(self.number + 1, "line longer than 16 MiB");
            self.overlong = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(piece);
        }
    }
}

fn give(number: u64, line: &[u8], clean: &mut Vec<u8>, each: &mut impl FnMut(u64, &[u8])) {
    if line.is_empty() {
        return;
    }
    if memchr2(0x1b, 0x08, line).is_none() {
        return each(number, line);
    }
    clean.clear();
    let mut rest = line;
    while let Some(at) = memchr2(0x1b, 0x08, rest) {
        clean.extend_from_slice(&rest[..at]);
        rest = &rest[at + code_length(&rest[at..])..];
    }
    clean.extend_from_slice(rest);
    each(number, clean);
}

/// The length of the control code that `text` begins with: a backspace, or an escape sequence.
fn code_length(text: &[u8]) -> usize {
    match text {
        // Parameters and intermediates, then one final byte (ECMA-48, 5.4).
        [0x1b, b'[', rest @ ..] => {
            let body = rest.iter().take_while(|byte| (0x20..0x40).contains(*byte)).count();
            (2 + body + 1).min(text.len())
        }
        // An operating system command, up to BEL or the string terminator, which is ESC and a backslash.
        [0x1b, b']', rest @ ..] => match memchr2(0x07, 0x1b, rest) {
            Some(end) => (2 + end + 1 + usize::from(rest[end] == 0x1b)).min(text.len()),
            None => text.len(),
        },
        [0x1b, _, ..] => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<(u64, String)> {
        let (mut lines, mut skipped, mut out) = (Lines::default(), Skipped::default(), Vec::new());
        let mut keep = |number, line: &[u8]| out.push((number, String::from_utf8_lossy(line).into_owned()));
        for chunk in chunks {
            lines.push(chunk, &mut skipped, &mut keep);
        }
        lines.finish(&mut keep);
        out
    }

    #[test]
    fn any_chunks_give_the_same_lines() {
        let text =
            b"one\r\n\x1b[1;35mval\x1b[0m 2\rbar\r\x1b]0;title\x07three\xff\x08\n\x1b]8;;url\x1b\\last";
        let whole = lines(&[text]);
        let words = ["one", "val 2", "bar", "three\u{fffd}", "last"];
        assert_eq!(whole.iter().map(|line| line.1.as_str()).collect::<Vec<_>>(), words);
        assert_eq!(whole.iter().map(|line| line.0).collect::<Vec<_>>(), [1, 2, 2, 2, 3]);
        for cut in 0..text.len() {
            assert_eq!(lines(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory() {
        let (mut lines, mut skipped) = (Lines::default(), Skipped::default());
        let mut found = Vec::new();
        for _ in 0..400 {
            lines.push(&vec![b'x'; 100_000], &mut skipped, |_, line| found.push(line.to_vec()));
        }
        lines.push(b"\nafter\n", &mut skipped, |_, line| found.push(line.to_vec()));
        assert_eq!(found, [b"after"]);
        assert_eq!(skipped.counts, [("line longer than 16 MiB", 1)]);
    }
}
