//! The state of one run as its records come in, and the view of it that every reader shares.
//!
//! The dashboard, the reports and early stopping all look at a [`Snapshot`]; live, replayed and
//! foreign runs therefore look the same. No clock: time is what the records say.

pub mod log;
pub mod samples;
mod pace;
pub mod settings;

use crate::curve::{Curves, TrainPoint};
use crate::diagnosis::advice::{self, Advice};
use crate::diagnosis::{Diagnosis, Limits, diagnose};
use crate::event::record::Record;
use crate::event::{CheckpointRole, CheckpointSaved, Event, RunEnded, RunInfo, Split, StepStats, StopReason};
use pace::Pace;

/// Folds the records of one run.
#[derive(Clone, Debug)]
pub struct Monitor {
    limits: Limits,
    run: RunInfo,
    curves: Curves,
    diagnosis: Diagnosis,
    advice: Vec<Advice>,
    progress: Progress,
    pace: Pace,
    log: Vec<LogLine>,
    best_saved: Option<CheckpointSaved>,
    last_saved: Option<CheckpointSaved>,
    earliest_saved: Option<CheckpointSaved>,
    ended: Option<RunEnded>,
    /// Steps from before the newest evaluation have come since the run was judged.
    behind: bool,
    /// Whether the newest step had a number that is none.
    unwell: bool,
}

/// A run as it stands: everything that there is to show.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// What the run is.
    pub run: &'a RunInfo,
    /// Its losses and what else was measured.
    pub curves: &'a Curves,
    /// The judgement of it.
    pub diagnosis: &'a Diagnosis,
    /// What to do about the findings, most useful first; empty when there is nothing to do.
    pub advice: &'a [Advice],
    /// How far it is, and how fast.
    pub progress: Progress,
    /// What happened, for the event list: time, and a line of text.
    pub log: &'a [LogLine],
    /// The newest checkpoints, best and last.
    pub best_saved: Option<CheckpointSaved>,
    /// The newest adapter that was saved as the last one.
    pub last_saved: Option<CheckpointSaved>,
    /// The newest adapter that was put by as no worse than the best and trained for less long.
    pub earliest_saved: Option<CheckpointSaved>,
    /// Set once the run is over.
    pub ended: Option<&'a RunEnded>,
}

/// One line of the event list.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// Seconds since the run started.
    pub t: f64,
    /// In words.
    pub text: String,
    /// Whether it must not be overlooked.
    pub warning: bool,
}

impl Snapshot<'_> {
    /// Of a run that was ended before all was done: that it was, and where. A verdict on such a run is
    /// one on a part of it.
    pub fn cut_short(&self) -> Option<String> {
        let ended = self.ended?;
        let total = self.run.total_steps.filter(|total| ended.step < *total)?;
        let cut = matches!(ended.reason, StopReason::Interrupted | StopReason::Requested);
        cut.then(|| format!("{} at step {} of {total}", log::reason(ended.reason), ended.step))
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// The newest step.
    pub step: u64,
    /// All steps, where the run said.
    pub total_steps: Option<u64>,
    /// Passes over the rows.
    pub epoch: Option<f64>,
    /// Seconds of training so far, by the newest record.
    pub elapsed_s: f64,
    /// Seconds to the end at the recent pace, evaluations included; `None` before it can be told or after the end.
    pub eta_s: Option<f64>,
    /// Tokens computed per second of training, over the recent steps.
    pub tokens_per_s: Option<f64>,
    /// What the rest is expected to take.
    pub pace: Expected,
}

/// What a step and an evaluation take, and how many are to come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// Seconds of a recent step.
    pub step_s: Option<f64>,
    /// Seconds of a recent evaluation.
    pub eval_s: Option<f64>,
    /// Steps until the end.
    pub steps_left: u64,
    /// Evaluations until the end.
    pub evals_left: u64,
}

impl Monitor {
    /// Nothing has happened yet; what does is judged by `limits`.
    pub fn new(limits: Limits) -> Self {
        let (run, curves) = (RunInfo::default(), Curves::default());
        Self {
            diagnosis: diagnose(&curves, &run, &limits),
            limits,
            run,
            curves,
            advice: Vec::new(),
            progress: Progress::default(),
            pace: Pace::default(),
            log: Vec::new(),
            best_saved: None,
            last_saved: None,
            earliest_saved: None,
            ended: None,
            behind: false,
            unwell: false,
        }
    }

    /// Takes in the next record. Cheap for a step; after an evaluation the run is judged anew.
    pub fn apply(&mut self, record: &Record) {
        if matches!(record.event, Event::RunStarted(_)) {
            // Another run in the same log: nothing of the one before is of it.
            *self = Self::new(self.limits);
        }
        let best_before = self.curves.best().map(|best| self.curves.eval[best].loss);
        self.curves.apply(record.t, &record.event);
        self.pace.apply(record);
        self.progress.elapsed_s = self.progress.elapsed_s.max(record.t);
        match &record.event {
            Event::RunStarted(run) => {
                self.run = RunInfo::clone(run);
                self.log.extend(log::started(run).map(|text| LogLine { t: record.t, text, warning: false }));
            }
            Event::RunResumed(resumed) => {
                let kept = |saved: &CheckpointSaved| saved.step <= resumed.step;
                (self.progress.step, self.ended) = (resumed.step, None);
                self.progress.epoch = self.curves.train.last().and_then(TrainPoint::epoch);
                self.best_saved = self.best_saved.filter(kept);
                self.last_saved = self.last_saved.filter(kept);
                self.earliest_saved = self.earliest_saved.filter(kept);
                self.say(record.t, format!("resumed from {}", self.run.places().at(resumed.step)), false);
                self.judge(record.t);
            }
            Event::Step(stats) => {
                (self.progress.step, self.progress.epoch) = (stats.step, stats.epoch);
                // A foreign trainer may go on after what looked like its end.
                self.ended.take_if(|ended| stats.step > ended.step);
                // The first step is news, and so is a number that is none after one that was, or the other way round.
                let news = self.curves.train.len() == 1 || is_finite(stats) == self.unwell;
                self.unwell = !is_finite(stats);
                let (newest, step) = (self.curves.eval.last().map(|eval| eval.step), Some(stats.step));
                // Steps that come late change what the evaluation is compared with; they are judged together.
                let behind = self.behind && step > newest;
                self.behind |= step < newest;
                if news || behind || step == newest {
                    self.judge(record.t);
                }
            }
            Event::Eval(stats) => {
                self.progress.step = self.progress.step.max(stats.step);
                let furthest = [self.progress.epoch, stats.epoch].into_iter().flatten();
                self.progress.epoch = furthest.reduce(f64::max);
                // What is best is of the first set.
                let other = stats.set.as_deref().filter(|set| self.curves.set() != Some(set));
                let best = best_before.filter(|_| other.is_none());
                self.say(record.t, log::eval(stats, other, best, self.run.places()), false);
                if stats.split == Split::Valid {
                    self.judge(record.t);
                }
            }
            Event::CheckpointSaved(saved) => {
                match saved.role {
                    CheckpointRole::Best => self.best_saved = Some(*saved),
                    CheckpointRole::Last => self.last_saved = Some(*saved),
                    CheckpointRole::Earliest => self.earliest_saved = Some(*saved),
                }
                // That everything is saved after each evaluation is no news.
                if saved.role == CheckpointRole::Best || saved.loss.is_none() {
                    self.say(record.t, log::saved(saved), false);
                }
            }
            Event::Note(note) => {
                self.say(record.t, note.text.clone(), note.level == crate::event::NoteLevel::Warning);
            }
            Event::RunEnded(ended) => {
                self.progress.step = self.progress.step.max(ended.step);
                self.settle();
                self.say(record.t, log::ended(ended, self.run.places()), false);
                self.ended = Some(ended.clone());
            }
            Event::Generated(_) | Event::Unknown => {}
        }
        self.progress.total_steps = self.run.total_steps;
        self.progress.tokens_per_s = self.pace.tokens_per_s();
        let running = self.ended.is_none();
        self.progress.pace = self.pace.expected(self.progress.step, &self.run);
        self.progress.eta_s = self.pace.eta_s(self.progress.step, &self.run).filter(|_| running);
    }

    /// The run as it stands.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            run: &self.run,
            curves: &self.curves,
            diagnosis: &self.diagnosis,
            advice: &self.advice,
            progress: self.progress,
            log: &self.log,
            best_saved: self.best_saved,
            last_saved: self.last_saved,
            earliest_saved: self.earliest_saved,
            ended: self.ended.as_ref(),
        }
    }

    /// No more comes for now: what was put off is judged.
    pub fn settle(&mut self) {
        if self.behind {
            self.judge(self.progress.elapsed_s);
        }
    }

    fn judge(&mut self, t: f64) {
        self.behind = false;
        let diagnosis = diagnose(&self.curves, &self.run, &self.limits);
        let news = log::changes(&self.diagnosis, &diagnosis, self.run.places());
        self.advice = advice::advise(&diagnosis, &self.run);
        self.diagnosis = diagnosis;
        self.log.extend(news.into_iter().map(|(text, warning)| LogLine { t, text, warning }));
    }

    fn say(&mut self, t: f64, text: String, warning: bool) {
        self.log.push(LogLine { t, text, warning });
    }
}

fn is_finite(stats: &StepStats) -> bool {
    stats.loss.is_finite() && stats.grad_norm.is_none_or(f64::is_finite)
}
