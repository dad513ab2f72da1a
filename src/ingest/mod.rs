//! Foreign logs as events: what any trainer wrote, read into the vocabulary that everything else speaks.
//!
//! ```text
//! bytes -> Reader -> Parsed { records, skipped } -> Monitor, as if the run had been our own
//! text:   lines -> Format (one file a trainer) -> Points (order, steps, restarts) -> records
//! ```
//!
//! A [`Reader`] is fed chunks of one stream and knows nothing of files: following, rotation and the clock
//! are the business of whoever pushes. Any split of a stream into chunks gives the same records, and no
//! byte sequence makes it panic; what it cannot use it counts in [`Skipped`].
//!
//! # Another trainer
//!
//! A file that implements [`Format`] for one line at a time, its line in `text::formats`, its name and what its
//! losses are in [`crate::event::trainer`], and a log of it under `tests/logs/<trainer>/<case>/` with its
//! `truth.json`. Where it has options that advice should name, they are a line in `diagnosis::advice`. The names of
//! columns (`val_loss`, `eval/mails_loss`) are understood in [`names`], those of scalars in [`roles`].

mod aside;
mod between;
mod boosting;
mod dict;
pub mod discover;
mod document;
mod ending;
mod fastai;
mod figures;
mod general;
mod hf;
mod jsonl;
mod keras;
mod lightning;
pub mod lines;
mod litgpt;
mod llama_cpp;
pub mod mlflow;
mod mlx;
pub mod names;
mod nanogpt;
mod no_log;
mod open;
mod own;
mod pairs;
mod pieces;
pub mod points;
mod proto;
mod roles;
pub mod rows;
mod scalars;
pub mod scan;
pub mod seen;
mod steps;
mod table;
mod text;
pub mod tfevents;
mod torchtune;
mod utf16;
pub mod wandb;

pub use no_log::MADE_OF_A_LOG;
pub use open::{Opener, open};
pub use points::Points;
pub use roles::Side;

use crate::event::record::Record;
use std::path::Path;

/// An incremental reader of one stream of bytes.
pub trait Reader: Send {
    /// Takes the next bytes; what has become certain is appended to `out`.
    fn push(&mut self, chunk: &[u8], out: &mut Parsed);

    /// Nothing more has come for a while: what was held back for more of the same step is given out, and
    /// given out anew should more come after all.
    fn settle(&mut self, _out: &mut Parsed) {}

    /// The file was emptied or replaced, and what comes next is its new beginning. True where the reader
    /// takes that as it comes, as one of lines does; otherwise a new one is needed.
    fn restart(&mut self) -> bool {
        false
    }

    /// Whether the stream is no log, and need not be read on.
    fn is_useless(&self) -> bool {
        false
    }

    /// The stream is over: a last line that was never ended is read as it stands.
    fn finish(&mut self, out: &mut Parsed);

    /// Who wrote the stream, as far as it can be told yet; else what holds it (`text`, `csv`).
    fn trainer(&self) -> &'static str;
}

/// What the user says of a source, where it cannot say so itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--format`: the name of a trainer or a container.
    pub format: Option<String>,
    /// `--map`: the columns that are what, by their names in the file.
    pub map: Map,
}

/// Which columns hold what, as `--map eval=COLUMN,train=COLUMN,step=COLUMN` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    pub eval: Option<String>,
    pub train: Option<String>,
    pub step: Option<String>,
}

/// A reader for a file whose name says what is in it, where that is bytes and not lines.
fn by_name(path: &Path, beside: &mlflow::Beside) -> Option<Box<dyn Reader>> {
    let name = path.file_name()?.to_string_lossy();
    let folder = |up: usize| Some(path.ancestors().nth(up)?.file_name()?.to_string_lossy().into_owned());
    let is_binary = path.extension().is_some_and(|extension| extension == "wandb");
    if is_binary {
        return Some(Box::new(wandb::Wandb::new()));
    }
    if name == "run.jsonl" {
        return Some(Box::new(own::Own::default()));
    }
    if name.contains("tfevents") {
        return Some(Box::new(tfevents::TfEvents::new(&folder(1).unwrap_or_default())));
    }
    if name == mlflow::STATUS && folder(1).is_some_and(|run| mlflow::is_run(&run)) {
        return Some(Box::new(mlflow::Status::of_run(beside.clone())));
    }
    // A slash in the name of a metric is a folder.
    let metrics = (1..4).find(|&up| folder(up).is_some_and(|folder| folder == "metrics"))?;
    let parts: Vec<String> = (0..metrics).rev().filter_map(folder).collect();
    let run = folder(metrics + 1)?;
    let metric = || mlflow::Mlflow::of_run(parts.join("/"), None, beside.clone());
    mlflow::is_run(&run).then(|| Box::new(metric()) as Box<dyn Reader>)
}

/// What a reader has made of its stream. Whoever drains `records` keeps memory flat.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// Times (`t`) are 0 where the stream does not tell them.
    pub records: Vec<Record>,
    pub skipped: Skipped,
}

/// Lines that looked like something and could not be used, by reason. Bounded, however long the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Skipped {
    /// How many there were of each reason.
    pub counts: Vec<(&'static str, u64)>,
    /// The first few, with the number of the line, or of the record in files without lines, from 1.
    pub first: Vec<(u64, &'static str)>,
}

impl Skipped {
    /// How many are kept with their numbers.
    const KEPT: usize = 20;

    /// Counts one.
    pub fn add(&mut self, line: u64, reason: &'static str) {
        match self.counts.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((reason, 1)),
        }
        if self.first.len() < Self::KEPT {
            self.first.push((line, reason));
        }
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: Self) {
        let room = Self::KEPT.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
        for (reason, more) in other.counts {
            match self.counts.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += more,
                None => self.counts.push((reason, more)),
            }
        }
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// The lines of one trainer. Called for every line until one format claims one, and from then on for
/// that format alone.
pub trait Format: Send {
    /// The trainer's name, as reports give it.
    fn trainer(&self) -> &'static str;

    /// Reads one line (colours, carriage returns and rank prefixes are gone); true claims the stream:
    /// the line can have come from this trainer only. A line of no interest has to be turned away
    /// cheaply: most are.
    fn line(&mut self, line: &[u8], points: &mut Points) -> bool;

    /// Nothing more has come for a while: what was held back for a line that would have come by now is given out.
    fn settle(&mut self, _points: &mut Points) {}

    /// The stream is over; what was held back for a later line is given out.
    fn finish(&mut self, _points: &mut Points) {}
}
