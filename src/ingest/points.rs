//! Points of a foreign log put in order: which step they are of, where a run begins again, what it goes on from.
//!
//! Every reader hands its points to [`Points`], and gets the same rules: the run starts with its first
//! point; a step that is not written is worked out, and a note says how; a train or eval series that
//! steps back is a resumed run, or, from its first step on, another run.

use super::steps::Steps;
use super::{Parsed, Skipped};
use crate::event::record::Record;
use crate::event::{
    EvalStats, Event, LossMeaning, Note, NoteLevel, Resumed, RunEnded, RunInfo, Split, StepKind, StepStats,
    StopReason,
};

/// Evaluation sets whose order is followed.
const MOST_SETS: usize = 1000;

/// Where in the run a point lies, as far as its line says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct At {
    /// Optimiser steps (or whatever the trainer counts), where the line or a bar beside it says so.
    pub step: Option<u64>,
    /// Whether `step` was read from a progress bar beside the line.
    pub from_bar: bool,
    pub epoch: Option<f64>,
}

impl At {
    pub fn step(step: u64) -> Self {
        Self { step: Some(step), ..Self::default() }
    }

    pub fn epoch(epoch: f64) -> Self {
        Self { epoch: Some(epoch), ..Self::default() }
    }
}

/// One training figure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Train {
    pub at: At,
    pub loss: f64,
    pub learning_rate: Option<f64>,
    pub grad_norm: Option<f64>,
}

/// How the steps of points without one are worked out, decided by the first of them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    /// The line says the step.
    Written,
    /// The progress bar beside the line does.
    Bar,
    /// By the epoch and the known number of steps in one.
    PerEpoch(f64),
    /// Whole epochs are counted.
    Epochs,
    /// No more than the epoch is known, and it is not whole: thousandths of an epoch are counted.
    Thousandths,
    /// The points themselves are counted.
    Ordinal,
}

/// What an epoch counts where no more than the epoch is known.
const THOUSANDTHS: f64 = 1000.0;

/// What is known of the end of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ending {
    #[default]
    Open,
    /// All its steps are counted, and that it is over has been given out.
    Counted,
    /// The log has summed it up; whether it goes on another time is not told yet.
    SummedUp,
    /// The log has said that it is over, and that has been given out.
    Told,
}

/// An evaluation set, by its name: its first and its last step, and the lowest loss so far.
#[derive(Debug)]
struct Followed {
    set: Option<String>,
    first: u64,
    last: u64,
    lowest: f64,
}

/// Whether two losses of one set are of one model, evaluated twice.
pub(super) fn is_again(loss: f64, earlier: f64) -> bool {
    // The same batches on the same device: but for the last digits of a sum it is the same figure.
    (loss - earlier).abs() <= 1e-6 * earlier.abs()
}

/// Makes records of points.
#[derive(Debug, Default)]
pub struct Points {
    /// Who writes the log.
    trainer: &'static str,
    info: RunInfo,
    records: Vec<Record>,
    skipped: Skipped,
    /// Number of the line that is being read.
    pub line: u64,
    /// Seconds since the start of the run, where the log says them.
    pub t: f64,
    started: bool,
    scale: Option<Scale>,
    /// The step of the first train point of the run, and of the last.
    first_train: Option<u64>,
    last_train: Option<u64>,
    /// Train points so far.
    trained: u64,
    /// Whether there was a train point after the last evaluation.
    train_since_eval: bool,
    sets: Vec<Followed>,
    /// The steps of train points, and of evaluations.
    steps: [Steps; 2],
    /// Evaluations of the set that has the most.
    evaluated: u64,
    /// The whole epoch of the last point with a written step, to tell steps that begin anew in every epoch.
    last_epoch: Option<f64>,
    /// Whether epochs are parts of wholes, even if the first one is not.
    fine_epochs: bool,
    /// Steps before the current epoch, where steps begin anew in every one.
    before_epoch: u64,
    /// Epochs that the run will take if nothing stops it, where they are counted.
    epochs: Option<u64>,
    /// Steps between the two newest train points.
    spacing: u64,
    ending: Ending,
    /// Runs that this log held before.
    earlier: usize,
}

impl Points {
    pub fn new(trainer: &'static str) -> Self {
        let info = RunInfo { format: crate::event::record::FORMAT, ..RunInfo::default() };
        Self { trainer, info, ..Self::default() }
    }

    /// Moves what has been made to `out`.
    pub fn drain(&mut self, out: &mut Parsed) {
        if out.records.is_empty() {
            // No record is moved.
            std::mem::swap(&mut out.records, &mut self.records);
        } else {
            out.records.append(&mut self.records);
        }
        if self.skipped.total() > 0 {
            out.skipped.merge(std::mem::take(&mut self.skipped));
        }
    }

    /// What is known of the run; a change after the first point is announced with the next run only.
    pub fn info(&mut self) -> &mut RunInfo {
        &mut self.info
    }

    /// What the losses are.
    pub fn means(&mut self, meaning: LossMeaning) {
        (self.info.train_loss, self.info.eval_loss) = (meaning, meaning);
    }

    /// Who writes the log, as far as it is known; for every line, so it must cost nothing.
    pub fn written_by(&mut self, trainer: &'static str) {
        self.trainer = trainer;
    }

    /// Whether a point has been made.
    pub fn started(&self) -> bool {
        self.started
    }

    /// Epochs come in parts, so where there are no steps their thousandths are counted.
    pub fn fine_epochs(&mut self) {
        self.fine_epochs = true;
    }

    /// How many epochs the run will take, for where epochs are what is counted.
    pub fn epochs_in_all(&mut self, epochs: u64) {
        self.epochs = Some(epochs);
    }

    /// The run is over, as its log says. More points may come all the same: a last evaluation is of the
    /// run still, and a step beyond the end shows that it goes on.
    pub fn end(&mut self, reason: StopReason) {
        if self.started {
            self.give_end(reason);
            self.ending = Ending::Told;
        }
    }

    fn give_end(&mut self, reason: StopReason) {
        let newest = self.sets.iter().map(|set| set.last).chain(self.last_train).max();
        let given = matches!(self.ending, Ending::Counted | Ending::Told);
        let Some(newest) = newest.filter(|_| !given) else { return };
        // A rule of the trainer's may have ended it without a word. The last steps may go without a figure.
        let missing = self.info.total_steps.map_or(0, |total| total.saturating_sub(newest));
        let all = missing <= self.spacing;
        let (reason, step) = match (reason, self.info.total_steps) {
            (StopReason::Finished, Some(total)) if all => (StopReason::Finished, total.max(newest)),
            (StopReason::Finished, Some(_)) => (StopReason::EarlyStopping, newest),
            (reason, _) => (reason, newest),
        };
        self.push(Event::RunEnded(RunEnded { reason, step, epoch: None, best: None, restored_best: false }));
    }

    /// The trainer has said what it has to say of the whole run. It may be over, or go on later.
    pub fn sum_up(&mut self) {
        self.ending = match self.ending {
            Ending::Open => Ending::SummedUp,
            Ending::Counted => Ending::Told,
            told => told,
        };
    }

    /// How many points of this run have been made.
    pub fn count(&self) -> u64 {
        self.trained + self.evaluated
    }

    /// The step of the newest train point.
    pub fn last_train(&self) -> Option<u64> {
        self.last_train
    }

    /// The line holds a loss that cannot be used.
    pub fn skip(&mut self, reason: &'static str) {
        self.skipped.add(self.line, reason);
    }

    /// A remark for the reader of the log.
    pub fn note(&mut self, level: NoteLevel, text: impl Into<String>) {
        let event = Event::Note(Note { level, text: text.into() });
        self.records.push(Record { t: self.t, event });
    }

    /// Another run begins: what comes now is not of the one before.
    pub fn restart(&mut self) {
        let (info, records, skipped) =
            (self.info.clone(), std::mem::take(&mut self.records), std::mem::take(&mut self.skipped));
        let (line, t, fine_epochs, epochs) = (self.line, self.t, self.fine_epochs, self.epochs);
        let earlier = self.earlier + usize::from(self.started);
        // How it counts will be seen.
        let info = if info.counts_epochs() {
            RunInfo { steps_per_epoch: None, total_steps: None, ..info }
        } else {
            info
        };
        *self =
            Self { info, records, skipped, line, t, fine_epochs, epochs, earlier, ..Self::new(self.trainer) };
    }

    /// A training figure.
    pub fn train(&mut self, train: Train) {
        let mut step = self.step(train.at, true);
        if self.turn_back(step, self.first_train, self.last_train) {
            step = self.step(train.at, true);
        }
        self.start();
        self.push(Event::Step(StepStats {
            step,
            epoch: train.at.epoch,
            loss: train.loss,
            tokens: 0,
            input_tokens: 0,
            learning_rate: train.learning_rate,
            grad_norm: train.grad_norm,
        }));
        self.steps[0].add(step);
        let before = self.last_train.replace(step);
        self.first_train = self.first_train.or(Some(step));
        if let Some(before) = before.filter(|before| *before < step) {
            (self.spacing, self.ending) = (step - before, Ending::Open);
        }
        self.trained += 1;
        self.train_since_eval = true;
        self.end_at_total(step);
    }

    /// An evaluation, whose `step` and `epoch` are taken from `at`.
    pub fn eval(&mut self, at: At, stats: EvalStats) {
        let mut step = self.step(at, false);
        if stats.split == Split::Valid {
            let seen = self.sets.iter().find(|known| known.set == stats.set);
            // What is evaluated once more after the training is the model that is kept, which may be that of the best step.
            let of_kept = |seen: &Followed| {
                self.ending != Ending::Open && seen.last == step
                    || matches!(self.ending, Ending::SummedUp | Ending::Told)
                        && is_again(stats.loss, seen.lowest)
            };
            if seen.is_some_and(of_kept) {
                self.skip("an evaluation of the kept model, after the training");
                return;
            }
            let (first, last) = (seen.map(|seen| seen.first), seen.map(|seen| seen.last));
            if self.turn_back(step, first, last) {
                step = self.step(at, false);
            }
            self.steps[1].add(step);
            // Another run may have begun.
            let room = self.sets.len() < MOST_SETS;
            match self.sets.iter_mut().find(|known| known.set == stats.set) {
                Some(known) => (known.last, known.lowest) = (step, known.lowest.min(stats.loss)),
                // A log that names a set for every evaluation is no reason to run out of memory.
                None if room => {
                    let set = stats.set.clone();
                    self.sets.push(Followed { set, first: step, last: step, lowest: stats.loss });
                }
                None => {}
            }
        }
        self.start();
        self.evaluated += 1;
        self.train_since_eval = false;
        self.push(Event::Eval(EvalStats { step, epoch: at.epoch, ..stats }));
        self.end_at_total(step);
    }

    /// All steps are taken.
    fn end_at_total(&mut self, step: u64) {
        if self.info.total_steps.is_some_and(|total| step == total) {
            self.give_end(StopReason::Finished);
            self.ending = if self.ending == Ending::Open { Ending::Counted } else { Ending::Told };
        }
    }

    #[inline]
    fn push(&mut self, event: Event) {
        self.records.push(Record { t: self.t, event });
    }

    fn start(&mut self) {
        if self.started {
            return;
        }
        self.started = true;
        self.info.trainer = self.trainer.into();
        let (kind, counted) = match self.scale {
            Some(Scale::Bar) => (StepKind::Bar, None),
            Some(Scale::PerEpoch(_)) => (StepKind::WorkedOut, None),
            Some(Scale::Epochs) => (StepKind::Epoch, Some(1.0)),
            Some(Scale::Thousandths) => (StepKind::EpochThousandth, Some(THOUSANDTHS)),
            Some(Scale::Ordinal) => (StepKind::Ordinal, None),
            Some(Scale::Written) | None => (StepKind::Explicit, None),
        };
        self.info.step_kind = kind;
        if counted.is_some() {
            self.info.steps_per_epoch = counted;
            let total = self.epochs.zip(counted).map(|(epochs, counted)| epochs * counted as u64);
            self.info.total_steps = total;
        }
        let event = Event::RunStarted(Box::new(self.info.clone()));
        self.records.push(Record { t: self.t, event });
        if self.earlier > 0 {
            let which = if self.earlier == 1 { "an earlier run is" } else { "earlier runs are" };
            self.note(NoteLevel::Info, format!("{which} in this log: what is judged is the newest"));
        }
        if let Some(text) = kind.words() {
            self.note(NoteLevel::Info, text);
        }
    }

    /// A series that steps back was resumed, from the last step that stays, or, from its first step on, is of another run.
    ///
    /// True where it is another run, whose steps may be written otherwise.
    fn turn_back(&mut self, step: u64, first: Option<u64>, last: Option<u64>) -> bool {
        let (Some(first), Some(last)) = (first, last) else { return false };
        if step >= last || !self.started {
            return false;
        }
        let kept = self.steps.iter().filter_map(|steps| steps.before(step)).max();
        if step <= first {
            self.restart();
            return true;
        }
        let kept = kept.unwrap_or(step - 1);
        self.steps.iter_mut().for_each(|steps| steps.cut(kept));
        self.push(Event::RunResumed(Resumed { step: kept }));
        self.last_train = self.last_train.map(|last| last.min(kept));
        for set in &mut self.sets {
            set.last = set.last.min(kept);
        }
        false
    }

    /// The step of a point.
    fn step(&mut self, at: At, train: bool) -> u64 {
        if let Some(step) = at.step {
            // What was counted before is left behind once steps are written.
            if matches!(self.scale, None | Some(Scale::Ordinal)) {
                self.scale = Some(if at.from_bar { Scale::Bar } else { Scale::Written });
            }
            return self.unwrapped(step, at.epoch, train);
        }
        let written = matches!(self.scale, Some(Scale::Written | Scale::Bar));
        if written && let Some(last) = self.last_train {
            // The evaluation, or the figure, belongs to the last step that was written.
            return last;
        }
        let scale = match (self.scale, at.epoch, self.info.steps_per_epoch) {
            (Some(scale), ..) if !written => scale,
            (_, Some(_), Some(per_epoch)) if per_epoch > 0.0 => Scale::PerEpoch(per_epoch),
            (_, Some(epoch), _) if epoch.fract() == 0.0 && !self.fine_epochs => Scale::Epochs,
            (_, Some(epoch), _) if epoch.is_finite() => Scale::Thousandths,
            _ => Scale::Ordinal,
        };
        self.scale = Some(scale);
        let by_epoch = |scale: f64| at.epoch.map(|epoch| (epoch * scale).round().max(0.0) as u64);
        let step = match scale {
            Scale::PerEpoch(per_epoch) => by_epoch(per_epoch),
            Scale::Epochs => by_epoch(1.0),
            Scale::Thousandths => by_epoch(THOUSANDTHS),
            _ => None,
        };
        let ordinal = if train {
            self.trained + 1
        } else if self.train_since_eval {
            self.trained
        } else {
            // Before any step, if steps come at all.
            self.evaluated
        };
        step.unwrap_or(match scale {
            Scale::Ordinal => ordinal,
            _ => self.last_train.unwrap_or(ordinal),
        })
    }

    /// The step in the whole run, where the log counts the steps of every epoch from the start.
    fn unwrapped(&mut self, step: u64, epoch: Option<f64>, train: bool) -> u64 {
        let Some(epoch) = epoch.filter(|epoch| epoch.fract() == 0.0) else { return step };
        let advanced = self.last_epoch.is_some_and(|last| epoch > last);
        if let Some(last) = self.last_train.filter(|_| advanced)
            && step.saturating_add(self.before_epoch) < last.saturating_add(u64::from(train))
        {
            self.before_epoch = last;
        }
        if self.last_epoch.is_some_and(|last| epoch < last) {
            self.before_epoch = 0;
        }
        self.last_epoch = Some(epoch);
        step.saturating_add(self.before_epoch)
    }
}
