//! Which reader a stream needs, told by its first line.

use super::document::Document;
use super::own::Own;
use super::rows::Cell;
use super::text::Text;
use super::{Options, Parsed, Reader, dict, scan};
use memchr::memchr;
use std::path::Path;

/// Bytes that are waited for where no line ends.
const HEAD: usize = 4096;

/// A reader for the stream of this name. It looks at the first bytes that it is given, and chooses.
pub fn open(path: &Path, options: &Options) -> Box<dyn Reader> {
    if options.format.is_none()
        && let Some(reader) = super::by_name(path)
    {
        return reader;
    }
    let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    Box::new(Auto { name, options: options.clone(), head: Vec::new(), chosen: None })
}

/// Waits for the first line, then hands everything to the reader of its choice.
struct Auto {
    name: String,
    options: Options,
    head: Vec<u8>,
    chosen: Option<Box<dyn Reader>>,
}

impl Auto {
    /// The first line, blank ones passed over; `None` while it may still go on.
    fn first_line(&self, over: bool) -> Option<&[u8]> {
        let head = self.head.trim_ascii_start();
        match memchr(b'\n', head) {
            Some(end) => Some(&head[..end]),
            None if over || self.head.len() >= HEAD => Some(head),
            None => None,
        }
    }

    fn choose(&self, line: &[u8]) -> Box<dyn Reader> {
        match self.options.format.as_deref() {
            Some("tune") => return Box::new(Own::default()),
            Some(_) | None if is_document(line) => return Box::new(Document::new(&self.name, &self.options)),
            None if line.starts_with(b"{\"t\":") && scan::has(line, b"\"event\"") => {
                return Box::new(Own::default());
            }
            _ => {}
        }
        Box::new(Text::new(&self.name, &self.options))
    }

    fn begin(&mut self, out: &mut Parsed, over: bool) {
        if self.chosen.is_none()
            && let Some(line) = self.first_line(over)
        {
            let mut reader = self.choose(&line[..line.len().min(HEAD)]);
            reader.push(&std::mem::take(&mut self.head), out);
            self.chosen = Some(reader);
        }
    }
}

/// Whether one JSON document begins, which goes on over the next lines; else a line is a row.
fn is_document(line: &[u8]) -> bool {
    match line.trim_ascii_end() {
        [b'{', rest @ ..] if rest.is_empty() || rest.trim_ascii_start().starts_with(b"\"") => {
            !line.starts_with(b"{\"t\":")
                && (!dict::pairs(line, |_, _| {}) || scan::has(line, b"\"log_history\"") || has_columns(line))
        }
        [b'[', rest @ ..] => rest.is_empty() || rest.trim_ascii_start().starts_with(b"{"),
        _ => false,
    }
}

/// Whether an object holds no figures but in arrays.
fn has_columns(line: &[u8]) -> bool {
    let mut figures = 0;
    let count = |_: &[u8], cell| figures += u32::from(matches!(cell, Cell::Number(_)));
    dict::pairs(line, count) && figures == 0 && memchr(b'[', line).is_some()
}

impl Reader for Auto {
    fn push(&mut self, chunk: &[u8], out: &mut Parsed) {
        if let Some(reader) = &mut self.chosen {
            return reader.push(chunk, out);
        }
        // Only the head is kept: a large chunk is not copied.
        let kept = chunk.len().min(HEAD.saturating_sub(self.head.len()).max(1));
        let (head, rest) = chunk.split_at(kept);
        self.head.extend_from_slice(head);
        self.begin(out, false);
        if !rest.is_empty() {
            self.push(rest, out);
        }
    }

    fn settle(&mut self, out: &mut Parsed) {
        if let Some(reader) = &mut self.chosen {
            reader.settle(out);
        }
    }

    fn restart(&mut self) -> bool {
        self.chosen.as_mut().is_none_or(|reader| reader.restart())
    }

    fn finish(&mut self, out: &mut Parsed) {
        self.begin(out, true);
        if let Some(reader) = &mut self.chosen {
            reader.finish(out);
        }
    }

    fn trainer(&self) -> &'static str {
        self.chosen.as_ref().map_or("text", |reader| reader.trainer())
    }
}
