//! What trainers print: every line is offered to each format until one knows it as its own.
//!
//! Until then anyone's lines are read for what they are worth. When a trainer is known after all,
//! its run begins anew, and those figures are forgotten. After very many of them it is looked for no more.

use super::ending::{Traceback, ending};
use super::lines::Lines;
use super::names::{self, Side};
use super::{Format, Options, Parsed, Points, Reader};
use super::{
    boosting, fastai, general, hf, jsonl, keras, lightning, litgpt, llama_cpp, mlx, nanogpt, table, torchtune,
};
use crate::event::{NoteLevel, StopReason};
use memchr::memchr;

/// Points of nobody in particular that show that none of the known trainers writes the log.
const NOBODY: u64 = 2000;
/// Points of nobody that are no preamble any more of the log that the user has named.
const MANY: u64 = 10;

/// Every trainer whose lines are known. Where a line could be of two, the stricter comes first.
fn formats(options: &Options, file: &str, side: Option<Side>) -> Vec<Box<dyn Format>> {
    let map = &options.map;
    let all: Vec<Box<dyn Format>> = vec![
        Box::new(hf::Hf::new(map)),
        Box::new(jsonl::Jsonl::new(map)),
        Box::new(nanogpt::NanoGpt),
        Box::new(litgpt::LitGpt),
        Box::new(mlx::Mlx::default()),
        Box::new(torchtune::Torchtune::new(map)),
        Box::new(llama_cpp::LlamaCpp::default()),
        Box::new(keras::Keras::new(map)),
        Box::new(lightning::Lightning::new(map, options.format.as_deref() == Some("lightning"))),
        Box::new(fastai::Fastai::new(map)),
        Box::new(boosting::Xgboost::new(map)),
        Box::new(boosting::Lightgbm::new(map)),
        Box::new(boosting::Catboost::new(map)),
        Box::new(table::Table::new(map, file, side)),
    ];
    let wanted = |format: &dyn Format| match options.format.as_deref() {
        None | Some("auto") => true,
        // Of these the lines are those of another.
        Some("trl") => format.trainer() == "hf-trainer",
        Some("llama-factory" | "ms-swift") => matches!(format.trainer(), "hf-trainer" | "jsonl"),
        Some("lightning" | "keras" | "fastai" | "litgpt" | "catboost") => {
            format.trainer() == "csv" || Some(format.trainer()) == options.format.as_deref()
        }
        Some(name) => format.trainer() == name,
    };
    all.into_iter().filter(|format| wanted(&**format)).collect()
}

/// Reads lines of whatever trainer it is.
pub(super) struct Text {
    lines: Lines,
    reading: Reading,
}

struct Reading {
    /// The formats that it may still be; the one, once it is known.
    formats: Vec<Box<dyn Format>>,
    points: Points,
    known: bool,
    /// The trainer or container that the user has named.
    named: Option<String>,
    /// Anyone's lines, as long as nothing better is known.
    general: general::General,
    loose: Points,
    /// The process of several whose lines are read.
    rank: Option<u64>,
    traceback: Traceback,
    /// How many points there were when Python told of an error, which may be the end or not.
    failed: Option<u64>,
}

impl Text {
    /// `name` is the file's, which may say which side its figures are of.
    pub(super) fn new(name: &str, options: &Options) -> Self {
        let stem = name.split('.').next().unwrap_or_default();
        let side = stem.split(['_', '-']).find_map(|word| names::side(word.as_bytes()));
        let reading = Reading {
            formats: formats(options, name, side),
            points: Points::new("text"),
            known: false,
            named: options.format.clone().filter(|name| !matches!(name.as_str(), "auto" | "text")),
            general: general::General::new(&options.map),
            loose: Points::new("text"),
            rank: None,
            traceback: Traceback::default(),
            failed: None,
        };
        Self { lines: Lines::default(), reading }
    }
}

impl Reading {
    fn line(&mut self, number: u64, line: &[u8]) {
        let (rank, line) = ranked(line);
        if rank.is_some() && self.rank.is_some() && rank != self.rank {
            return;
        }
        self.points.line = number;
        if self.known {
            if !self.formats[0].line(line, &mut self.points) {
                self.failed = last_words(line, &mut self.traceback, &mut self.points).or(self.failed);
            }
            return;
        }
        for index in 0..self.formats.len() {
            // Its first point starts the run, which bears its name.
            self.points.written_by(self.formats[index].trainer());
            if self.formats[index].line(line, &mut self.points) {
                let format = self.formats.swap_remove(index);
                self.formats = vec![format];
                (self.known, self.rank) = (true, rank);
                return;
            }
        }
        self.loose.line = number;
        if self.loose.count() >= NOBODY {
            self.formats.clear();
        }
        if self.general.line(line, &mut self.loose) {
            self.rank = self.rank.or(rank);
            self.admit(MANY);
        } else {
            self.failed = last_words(line, &mut self.traceback, &mut self.loose).or(self.failed);
        }
    }

    /// Says, once, that what the user has named is not what is read, when there are so many points of nobody.
    fn admit(&mut self, points: u64) {
        if self.known || self.loose.count() < points {
            return;
        }
        if let Some(name) = self.named.take() {
            let text = format!(
                "no line of it is of {name}: these figures are from what anyone's lines say; \
                 without --format its trainer is looked for"
            );
            self.loose.note(NoteLevel::Warning, text);
        }
    }

    fn drain(&mut self, out: &mut Parsed) {
        // What was read loosely comes first: a trainer that is known begins its run after it.
        self.loose.drain(out);
        self.points.drain(out);
    }
}

/// A line without figures may say that the training is over, or that something went wrong: how many points there
/// were by then. Training may go on after an error.
fn last_words(line: &[u8], traceback: &mut Traceback, points: &mut Points) -> Option<u64> {
    if let Some(reason) = ending(line) {
        points.end(reason);
        return None;
    }
    let error = traceback.line(line).filter(|_| points.started())?;
    let (number, error) = (points.line, String::from_utf8_lossy(error));
    points.note(NoteLevel::Warning, format!("a Python error in line {number}: {error}"));
    Some(points.count())
}

/// The process that a line is of (`[rank1]:`, `[default0]:`), and the line without that.
fn ranked(line: &[u8]) -> (Option<u64>, &[u8]) {
    if line.first() != Some(&b'[') {
        return (None, line);
    }
    let Some(close) = memchr(b']', &line[..line.len().min(24)]) else { return (None, line) };
    let name = &line[1..close];
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (word, number) = name.split_at(name.len() - digits);
    let known = matches!(word, b"rank" | b"rank " | b"Rank " | b"default" | b"trainer" | b"worker" | b"");
    let Some(rest) = line[close + 1..].strip_prefix(b":") else { return (None, line) };
    match super::scan::whole(number) {
        Some((rank, _)) if known => (Some(rank), rest.strip_prefix(b" ").unwrap_or(rest)),
        _ => (None, line),
    }
}

impl Reader for Text {
    fn push(&mut self, chunk: &[u8], out: &mut Parsed) {
        let reading = &mut self.reading;
        self.lines.push(chunk, &mut out.skipped, |number, line| reading.line(number, line));
        reading.drain(out);
    }

    fn settle(&mut self, out: &mut Parsed) {
        let reading = &mut self.reading;
        if reading.known {
            reading.formats[0].settle(&mut reading.points);
            reading.drain(out);
        }
    }

    fn restart(&mut self) -> bool {
        self.lines = Lines::default();
        true
    }

    fn finish(&mut self, out: &mut Parsed) {
        let reading = &mut self.reading;
        self.lines.finish(|number, line| reading.line(number, line));
        if reading.known {
            reading.formats[0].finish(&mut reading.points);
        }
        reading.admit(1);
        let points = if reading.known { &mut reading.points } else { &mut reading.loose };
        if reading.failed == Some(points.count()) {
            points.end(StopReason::Interrupted);
        }
        reading.drain(out);
    }

    fn trainer(&self) -> &'static str {
        if self.reading.known { self.reading.formats[0].trainer() } else { "text" }
    }
}
