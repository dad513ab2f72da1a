//! The state of one run as its records come in, and the view of it that every reader shares.
//!
//! The dashboard, the reports and early stopping all look at a [`Snapshot`]; live, replayed and
//! foreign runs therefore look the same. No clock: time is what the records say.

use crate::curve::Curves;
use crate::diagnosis::Diagnosis;
use crate::diagnosis::advice::Advice;
use crate::event::record::Record;
use crate::event::{CheckpointSaved, RunEnded, RunInfo};

/// Folds the records of one run.
pub struct Monitor {}

/// A run as it stands: everything that there is to show.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    pub run: &'a RunInfo,
    pub curves: &'a Curves,
    pub diagnosis: &'a Diagnosis,
    /// What to do about the findings, most useful first; empty when there is nothing to do.
    pub advice: &'a [Advice],
    pub progress: Progress,
    /// What happened, for the event list: time, and a line of text.
    pub log: &'a [LogLine],
    /// The newest checkpoints, best and last.
    pub best_saved: Option<CheckpointSaved>,
    pub last_saved: Option<CheckpointSaved>,
    /// Set once the run is over.
    pub ended: Option<&'a RunEnded>,
}

/// One line of the event list.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// Seconds since the run started.
    pub t: f64,
    pub text: String,
    pub warning: bool,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    pub step: u64,
    pub total_steps: Option<u64>,
    pub epoch: f64,
    /// Seconds of training so far, by the newest record.
    pub elapsed_s: f64,
    /// Seconds to the end at the recent pace, evaluations included; `None` before it can be told or after the end.
    pub eta_s: Option<f64>,
    /// Tokens computed per second of training, over the recent steps.
    pub tokens_per_s: Option<f64>,
}

impl Monitor {
    pub fn apply(&mut self, record: &Record) {
        let _ = record;
    }
}
