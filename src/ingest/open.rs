//! Which reader a stream needs, told by its first bytes and its first line.

use super::document::Document;
use super::mlflow::Beside;
use super::no_log::{self, NoLog};
use super::own::Own;
use super::rows::Cell;
use super::text::Text;
use super::tfevents::TfEvents;
use super::utf16::Utf16;
use super::wandb::Wandb;
use super::{Options, Parsed, Reader, dict, scan};
use memchr::{memchr, memchr_iter};
use std::path::Path;

/// Bytes that are waited for where no line ends.
pub(super) const HEAD: usize = 4096;
/// Bytes that tell what is not text.
const MARK: usize = 16;

/// A reader for a stream by itself, as [`Opener::open`] gives it.
pub fn open(path: &Path, options: &Options) -> Box<dyn Reader> {
    Opener::default().open(path, options)
}

/// Opens the files of one run, which may say something of each other's points.
#[derive(Clone, Debug, Default)]
pub struct Opener {
    beside: Beside,
}

impl Opener {
    /// A reader for the stream of this name. It looks at the first bytes that it is given, and chooses.
    pub fn open(&self, path: &Path, options: &Options) -> Box<dyn Reader> {
        if options.format.is_none()
            && let Some(reader) = super::by_name(path, &self.beside)
        {
            return reader;
        }
        let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        Box::new(Auto::new(&name, options))
    }
}

/// Waits for the first line, then hands everything to the reader of its choice.
struct Auto {
    name: String,
    options: Options,
    head: Vec<u8>,
    chosen: Option<Box<dyn Reader>>,
}

impl Auto {
    fn new(name: &str, options: &Options) -> Self {
        Self { name: name.to_owned(), options: options.clone(), head: Vec::new(), chosen: None }
    }

    /// A reader for what is not text, or not UTF-8.
    fn by_bytes(&self) -> Option<Box<dyn Reader>> {
        if let Some(big_endian) = Utf16::sniff(&self.head) {
            let text = Self::new(&self.name, &self.options);
            return Some(Box::new(Utf16::new(big_endian, Box::new(text))));
        }
        if let Some(kind) = no_log::sniff(&self.head) {
            return Some(Box::new(NoLog::new(kind)));
        }
        if Wandb::sniff(&self.head) {
            return Some(Box::new(Wandb::new()));
        }
        TfEvents::sniff(&self.head).then(|| Box::new(TfEvents::new("")) as Box<dyn Reader>)
    }

    /// The head without the mark that some editors put before UTF-8.
    fn text(&self) -> &[u8] {
        self.head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&self.head)
    }

    /// The first line, blank ones passed over; of a page of Markdown or a document that begins with a
    /// line of no meaning those after it as well. `None` while they may still go on.
    fn first_lines(&self, over: bool) -> Option<&[u8]> {
        let head = self.text().trim_ascii_start();
        let count = match head {
            [b'#', b' ', ..] => 3,
            [b'{', b'\r' | b'\n', ..] => 2,
            _ => 1,
        };
        match memchr_iter(b'\n', head).nth(count - 1) {
            Some(end) => Some(&head[..end]),
            None if over || self.head.len() >= HEAD => Some(head),
            None => None,
        }
    }

    fn choose(&self, line: &[u8]) -> Box<dyn Reader> {
        let as_told = self.options.format.is_some();
        if let Some(kind) = no_log::sniff_text(line).filter(|_| !as_told) {
            return Box::new(NoLog::new(kind));
        }
        match self.options.format.as_deref() {
            Some("tune") => return Box::new(Own::default()),
            Some(_) | None if is_document(line) => return Box::new(Document::new(&self.name, &self.options)),
            // Also as `tune watch --json` prints them, each with its run.
            None if [&b"{\"t\":"[..], b"{\"run\":"].iter().any(|begin| line.starts_with(begin))
                && scan::has(line, b"\"event\":{") =>
            {
                return Box::new(Own::default());
            }
            _ => {}
        }
        Box::new(Text::new(&self.name, &self.options))
    }

    fn begin(&mut self, out: &mut Parsed, over: bool) {
        if self.chosen.is_some() {
            return;
        }
        let found = if self.head.len() >= MARK || over { self.by_bytes() } else { None };
        let found =
            found.or_else(|| self.first_lines(over).map(|line| self.choose(&line[..line.len().min(HEAD)])));
        // A line that is shorter than a mark can be nothing else.
        if let Some(mut reader) = found.filter(|_| self.head.len() >= MARK || over) {
            reader.push(self.text(), out);
            self.head = Vec::new();
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
        // A document may be one short line that nothing ends.
        let line = self.text().trim_ascii();
        if is_document(line) && matches!(line.last(), Some(b'}' | b']')) {
            self.begin(out, true);
        }
        if let Some(reader) = &mut self.chosen {
            reader.settle(out);
        }
    }

    fn is_useless(&self) -> bool {
        self.chosen.as_ref().is_some_and(|reader| reader.is_useless())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_document_is_read_as_soon_as_it_rests() {
        let records = |text: &str| {
            let (mut reader, mut out) =
                (open(Path::new("evals_result.json"), &Options::default()), Parsed::default());
            reader.push(text.as_bytes(), &mut out);
            reader.settle(&mut out);
            out.records.len()
        };
        let whole = r#"{"train": [1.9, 1.8], "eval": [1.7, 1.6], "metric": "rmse"}"#;
        assert!(records(whole) > 1);
        // Of one that is being written, and of a row of JSON Lines, there may be more.
        assert_eq!(records(&whole[..40]), 0);
        assert_eq!(records(r#"{"step": 1, "loss": 1.5}"#), 0);
    }
}
