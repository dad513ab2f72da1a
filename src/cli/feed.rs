//! Files that other programs write, followed and read: what comes of them goes into one channel, a run
//! an id, to whoever shows or judges it.
//!
//! Opens and polls files, and asks [`ingest`] what is in them; knows nothing of screens. A run may be
//! in several files. What begins anew in its file begins anew on the screen.

use crate::dashboard::Update;
use crate::event::record::Record;
use crate::event::{Event, Note, NoteLevel};
use crate::ingest::{self, Options, Parsed, Reader, Skipped};
use crate::store::follow::{Follower, News};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bytes of a file that are read before another has its turn.
const TURN: usize = 1 << 20;

/// The files of one run.
pub(super) struct Run {
    pub(super) id: usize,
    name: String,
    files: Vec<File>,
    options: Options,
    announced: bool,
}

/// One file, and how far it is read.
struct File {
    follower: Follower,
    reader: Box<dyn Reader>,
    parsed: Parsed,
    /// Whether its run has begun in it.
    begun: bool,
    /// Whether all that is there was given out.
    settled: bool,
    /// Lines that could not be used, of which something was said.
    told: u64,
    /// Why it cannot be read, as it was said.
    trouble: Option<String>,
}

/// Nobody listens any more.
pub(super) struct Left;

impl File {
    fn new(path: &Path, options: &Options) -> Self {
        Self {
            follower: Follower::new(path),
            reader: ingest::open(path, options),
            parsed: Parsed::default(),
            begun: false,
            settled: false,
            told: 0,
            trouble: None,
        }
    }

    /// Looks once; whether there was anything new.
    fn look(&mut self, bytes: &mut Vec<u8>, options: &Options) -> bool {
        bytes.clear();
        match self.follower.poll(bytes) {
            Ok(News::Bytes) => {
                (self.settled, self.trouble) = (false, None);
                self.reader.push(bytes, &mut self.parsed);
                true
            }
            Ok(News::Restarted) => {
                if !self.reader.restart() {
                    self.reader = ingest::open(self.follower.path(), options);
                }
                true
            }
            Ok(News::Nothing | News::Missing) => {
                if !std::mem::replace(&mut self.settled, true) {
                    self.reader.settle(&mut self.parsed);
                    self.tell();
                }
                false
            }
            Err(error) => {
                let trouble = error.to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    self.note(format!("{}: cannot be read: {trouble}", self.follower.path().display()));
                    self.trouble = Some(trouble);
                }
                false
            }
        }
    }

    /// Says how much could not be used, when that has become much more than was said.
    fn tell(&mut self) {
        let total = self.parsed.skipped.total();
        if total > 2 * self.told {
            self.told = total;
            self.note(skipped(&self.parsed.skipped));
        }
    }

    fn note(&mut self, text: String) {
        let event = Event::Note(Note { level: NoteLevel::Warning, text });
        let t = self.parsed.records.last().map_or(0.0, |record| record.t);
        self.parsed.records.push(Record { t, event });
    }
}

/// What could not be used, in words.
pub(super) fn skipped(skipped: &Skipped) -> String {
    let first =
        skipped.first.first().map_or(String::new(), |(line, why)| format!(", the first is {line}: {why}"));
    match skipped.total() {
        1 => format!("one line or record could not be used{first}"),
        total => format!("{total} lines or records could not be used{first}"),
    }
}

impl Run {
    pub(super) fn new(id: usize, name: String, files: &[PathBuf], options: Options) -> Self {
        let files = files.iter().map(|path| File::new(path, &options)).collect();
        Self { id, name, files, options, announced: false }
    }

    /// Its first file.
    pub(super) fn first(&self) -> Option<&Path> {
        self.files.first().map(|file| file.follower.path())
    }

    /// The run is in this file too.
    pub(super) fn add(&mut self, path: &Path) {
        if !self.files.iter().any(|file| file.follower.path() == path) {
            self.files.push(File::new(path, &self.options));
        }
    }

    /// Says that the run is there, if that was not said yet.
    pub(super) fn begin(&mut self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        if std::mem::replace(&mut self.announced, true) { Ok(()) } else { self.announce(send) }
    }

    /// Looks at every file once; whether there was anything new.
    pub(super) fn turn(&mut self, send: &mut dyn FnMut(Update) -> bool) -> Result<bool, Left> {
        let mut bytes = Vec::with_capacity(TURN);
        let mut any = false;
        self.begin(send)?;
        for index in 0..self.files.len() {
            let file = &mut self.files[index];
            any |= file.look(&mut bytes, &self.options);
            let records = std::mem::take(&mut file.parsed.records);
            self.give(index, records, send)?;
        }
        Ok(any)
    }

    /// Nothing more will come: a last line without an end is read as it stands.
    pub(super) fn finish(&mut self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        for index in 0..self.files.len() {
            let file = &mut self.files[index];
            file.reader.finish(&mut file.parsed);
            file.tell();
            let records = std::mem::take(&mut file.parsed.records);
            self.give(index, records, send)?;
        }
        Ok(())
    }

    fn announce(&self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        heard(send(Update::Run { id: self.id, name: self.name.clone() }))
    }

    fn give(
        &mut self,
        index: usize,
        records: Vec<Record>,
        send: &mut dyn FnMut(Update) -> bool,
    ) -> Result<(), Left> {
        for record in records {
            if matches!(record.event, Event::RunStarted(_)) {
                if self.files[index].begun {
                    // Another run in the same place: nothing of the one before is of it.
                    self.announce(send)?;
                    for (other, file) in self.files.iter_mut().enumerate() {
                        if other != index {
                            *file = File::new(file.follower.path(), &self.options);
                        }
                    }
                } else if self.files.iter().any(|file| file.begun) {
                    // A second file of the same run begins no new one.
                    self.files[index].begun = true;
                    continue;
                }
                self.files[index].begun = true;
            }
            heard(send(Update::Record { id: self.id, record }))?;
        }
        Ok(())
    }
}

fn heard(heard: bool) -> Result<(), Left> {
    if heard { Ok(()) } else { Err(Left) }
}

/// What another program prints, read as it comes and kept for the log panel.
pub(super) struct Stream {
    id: usize,
    name: String,
    reader: Box<dyn Reader>,
    parsed: Parsed,
    started: Instant,
    begun: bool,
    /// Evaluations so far.
    pub(super) evals: u64,
    panel: Panel,
}

impl Stream {
    pub(super) fn new(id: usize, name: &str, options: &Options) -> Self {
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
    pub(super) fn push(&mut self, bytes: &[u8], send: &mut dyn FnMut(Update) -> bool) -> bool {
        let id = self.id;
        self.reader.push(bytes, &mut self.parsed);
        self.give(send) && self.panel.push(bytes, &mut |line| send(Update::Output { id, line }))
    }

    /// There is no more.
    pub(super) fn finish(&mut self, send: &mut dyn FnMut(Update) -> bool) -> bool {
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

/// Printed bytes as lines for a panel: without colours, and of a progress bar only what it ends as.
#[derive(Default)]
struct Panel {
    line: Vec<u8>,
    /// A carriage return came last: the next byte overwrites the line, unless it ends it.
    returned: bool,
    code: Code,
}

/// Where in a terminal's control sequence a byte is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Code {
    #[default]
    None,
    Escape,
    /// Until a letter.
    Control,
    /// Until a bell.
    Title,
}

/// Bytes of a line that are kept.
const LINE: usize = 4096;

impl Panel {
    fn push(&mut self, bytes: &[u8], give: &mut dyn FnMut(String) -> bool) -> bool {
        for &byte in bytes {
            self.code = match (self.code, byte) {
                (Code::None, 0x1b) => Code::Escape,
                (Code::None, _) => {
                    if byte == b'\n' {
                        self.returned = false;
                        let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
                        self.line.clear();
                        if !line.is_empty() && !give(line) {
                            return false;
                        }
                    } else if byte == b'\r' {
                        self.returned = true;
                    } else {
                        if std::mem::take(&mut self.returned) {
                            self.line.clear();
                        }
                        if self.line.len() < LINE && (byte >= 0x20 || byte == b'\t') {
                            self.line.push(byte);
                        }
                    }
                    Code::None
                }
                (Code::Escape, b'[') => Code::Control,
                (Code::Escape, b']') => Code::Title,
                (Code::Control, 0x40..=0x7e) | (Code::Title, 0x07) | (Code::Escape, _) => Code::None,
                (code, _) => code,
            };
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
