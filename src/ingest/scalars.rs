//! Scalars into records: what a log holds as single named figures, each with its step, is grouped into
//! the steps and evaluations that they are figures of.
//!
//! Knows nothing of files. A group is over when a figure of another step comes, or one that the group
//! has already; so the records do not depend on the pieces in which a file is read. A reader that has
//! nothing more for now says so with [`Scalars::settle`], and a live screen need not wait.

use super::names;
use super::points::is_again;
use super::roles::{Grain, Role, Side, is_objective, role};
use crate::event::record::{FORMAT, Record};
use crate::event::{EvalStats, Event, LossMeaning, Metric, RunInfo, Split, StepStats};
use std::collections::HashMap;

/// Names that are looked at; what a log has more of is passed over.
const NAMES: usize = 100_000;
/// Losses of single steps between two of whole epochs from which on they make the better curve.
const FINE: u32 = 8;
/// Evaluation sets of one step that are kept.
const SETS: usize = 1000;
/// Task metrics of one evaluation that are kept.
const METRICS: usize = 32;

/// One figure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub step: u64,
    /// Seconds since 1970, or 0 where unknown.
    pub time: f64,
    pub value: f64,
}

/// Collects scalars and makes records of them.
#[derive(Debug)]
pub(super) struct Scalars {
    side: Option<Side>,
    /// The folder of the file, which may be that of one series.
    folder: String,
    /// What holds the log, to name where nothing tells the trainer.
    container: &'static str,
    names: Names,
    /// Who writes names like these, and how surely.
    trainer: Option<(u8, &'static str)>,
    /// What the losses are, by the names beside them.
    meaning: LossMeaning,
    /// When the first figure was taken.
    start: Option<f64>,
    group: Group,
    grains: Grains,
    begun: bool,
    /// The step at which the training was summed up, unless it has gone on since.
    summed_up: Option<u64>,
    /// The evaluation sets, each with its last step and its lowest loss.
    evaluated: Vec<(Option<String>, u64, f64)>,
}

/// The figures of one step.
#[derive(Debug, Default)]
struct Group {
    step: u64,
    t: f64,
    loss: Option<f64>,
    learning_rate: Option<f64>,
    grad_norm: Option<f64>,
    epoch: Option<f64>,
    test: Option<f64>,
    /// Losses by evaluation set.
    evals: Vec<(Option<String>, f64)>,
    metrics: Vec<Metric>,
    /// Whether there is something that no record says yet.
    fresh: bool,
}

/// Which of two curves of the same loss is used, where a log has it by steps and by epochs.
#[derive(Clone, Copy, Debug, Default)]
struct Grains {
    choice: Option<Grain>,
    /// Losses of steps since the newest of an epoch.
    fine: u32,
    /// Whether there was a loss of an epoch.
    coarse: bool,
}

impl Grains {
    fn accepts(&mut self, grain: Grain) -> bool {
        match grain {
            Grain::Steps => {
                self.fine = self.fine.saturating_add(1);
                self.choice != Some(Grain::Epoch)
            }
            Grain::Epoch => {
                // The second one shows how many steps an epoch has.
                if self.choice.is_none() && std::mem::replace(&mut self.coarse, true) {
                    self.choice = Some(if self.fine >= FINE { Grain::Steps } else { Grain::Epoch });
                }
                self.fine = 0;
                self.choice != Some(Grain::Steps)
            }
        }
    }
}

impl Scalars {
    /// For a log all of which is about `side`, where that is known.
    pub(super) fn new(container: &'static str, side: Option<Side>) -> Self {
        Self {
            side,
            folder: String::new(),
            container,
            names: Names::default(),
            trainer: None,
            meaning: LossMeaning::default(),
            start: None,
            group: Group::default(),
            grains: Grains::default(),
            begun: false,
            summed_up: None,
            evaluated: Vec::new(),
        }
    }

    /// As [`Scalars::new`], for a file in the folder of this name.
    pub(super) fn in_folder(container: &'static str, folder: &str) -> Self {
        Self { folder: folder.to_owned(), ..Self::new(container, Side::of_folder(folder)) }
    }

    /// Takes one figure in; records that are complete go to `out`.
    pub(super) fn put(&mut self, name: &[u8], figure: Figure, out: &mut Vec<Record>) {
        let name = self.name(name);
        self.put_named(name, figure, out);
    }

    /// Looks a name up, for [`Scalars::role`] and [`Scalars::put_named`].
    pub(super) fn name(&mut self, name: &[u8]) -> usize {
        match self.names.find(name) {
            Some(known) => known,
            None => self.meet(name),
        }
    }

    /// What the figures of this name are.
    pub(super) fn role(&self, name: usize) -> &Role {
        &self.names.list[name].role
    }

    /// As [`Scalars::put`], of a name that was looked up already.
    pub(super) fn put_named(&mut self, name: usize, figure: Figure, out: &mut Vec<Record>) {
        let role = &self.names.list[name].role;
        if matches!(role, Role::Ignored | Role::Step(_) | Role::Time) {
            return;
        }
        match role {
            Role::Summary => {
                self.close(out);
                self.summed_up = Some(figure.step);
                return;
            }
            Role::EvalLoss(set) if self.summed_up.is_some() && self.is_of_kept(set.as_ref(), figure) => {
                return;
            }
            Role::TrainLoss(_) if self.summed_up.is_some_and(|step| step < figure.step) => {
                self.summed_up = None;
            }
            _ => {}
        }
        let start = *self.start.get_or_insert(figure.time);
        let t = (figure.time - start).max(0.0);
        if self.group.step != figure.step || self.group.has(role, figure.value) {
            self.close(out);
            self.group.begin(figure.step);
        }
        let (group, role) = (&mut self.group, &self.names.list[name].role);
        group.t = if t.is_finite() { t } else { 0.0 };
        match role {
            Role::TrainLoss(grain) => {
                if self.grains.accepts(*grain) {
                    group.loss = Some(figure.value);
                }
            }
            Role::EvalLoss(set) if group.evals.len() < SETS => {
                group.evals.push((set.clone(), figure.value));
            }
            Role::TestLoss => group.test = Some(figure.value),
            Role::LearningRate => group.learning_rate = Some(figure.value),
            Role::GradNorm => group.grad_norm = Some(figure.value),
            Role::Epoch => group.epoch = Some(figure.value),
            Role::EvalMetric if group.metrics.len() < METRICS => {
                group.metrics.push(Metric { name: self.names.list[name].text(), value: figure.value });
            }
            Role::EvalLoss(_)
            | Role::EvalMetric
            | Role::Step(_)
            | Role::Time
            | Role::Summary
            | Role::Ignored => {}
        }
        group.fresh = true;
    }

    /// Whether an evaluation after the training is of the model that is kept, as [`super::Points`] has it.
    fn is_of_kept(&self, set: Option<&String>, figure: Figure) -> bool {
        let known = self.evaluated.iter().find(|(known, ..)| known.as_ref() == set);
        known.is_some_and(|(_, last, lowest)| *last == figure.step || is_again(figure.value, *lowest))
    }

    /// What a name is, for the first time.
    #[cold]
    fn meet(&mut self, bytes: &[u8]) -> usize {
        let name = &*String::from_utf8_lossy(bytes);
        let mut found = role(name, self.side.or_else(|| Side::of_series(&self.folder, name)));
        // CatBoost has no loss by that name, only the function it minimises.
        if found == Role::Ignored && is_objective(name) {
            found = match self.side {
                Some(Side::Train) => Role::TrainLoss(Grain::Steps),
                Some(Side::Eval) => Role::EvalLoss(None),
                None => Role::Ignored,
            };
        }
        self.trainer = self.trainer.max(writer(name));
        if names::of_reward(name.as_bytes()) {
            self.meaning = LossMeaning::SURROGATE;
        }
        self.names.add(bytes, found)
    }

    /// Says what the log has told so far, without waiting for more of the same step.
    pub(super) fn settle(&mut self, out: &mut Vec<Record>) {
        self.close(out);
    }

    /// Who wrote the log, where its names say so; else what holds it.
    pub(super) fn trainer(&self) -> &'static str {
        self.trainer.map_or(self.container, |(_, trainer)| trainer)
    }

    fn close(&mut self, out: &mut Vec<Record>) {
        let group = &mut self.group;
        if !std::mem::take(&mut group.fresh) {
            return;
        }
        let (t, step, epoch) = (group.t, group.step, group.epoch);
        let says = group.loss.is_some() || group.test.is_some() || !group.evals.is_empty();
        if says && !std::mem::replace(&mut self.begun, true) {
            let (trainer, meaning) = (self.trainer().into(), self.meaning);
            let run = RunInfo {
                format: FORMAT,
                trainer,
                train_loss: meaning,
                eval_loss: meaning,
                ..RunInfo::default()
            };
            out.push(Record { t: 0.0, event: Event::RunStarted(Box::new(run)) });
        }
        let group = &self.group;
        if let Some(loss) = group.loss {
            let Group { learning_rate, grad_norm, .. } = *group;
            let stats = StepStats { step, epoch, loss, learning_rate, grad_norm, ..StepStats::default() };
            out.push(Record { t, event: Event::Step(stats) });
        }
        for (index, (set, loss)) in group.evals.iter().enumerate() {
            let room = self.evaluated.len() < SETS;
            match self.evaluated.iter_mut().find(|(known, ..)| known == set) {
                Some((_, last, lowest)) => (*last, *lowest) = (step, lowest.min(*loss)),
                None if room => self.evaluated.push((set.clone(), step, *loss)),
                None => {}
            }
            let metrics =
                group.metrics.iter().filter(|metric| group.owner(metric) == index).cloned().collect();
            let stats =
                EvalStats { step, epoch, set: set.clone(), loss: *loss, metrics, ..EvalStats::default() };
            out.push(Record { t, event: Event::Eval(stats) });
        }
        if let Some(loss) = group.test {
            let stats = EvalStats { step, epoch, split: Split::Test, loss, ..EvalStats::default() };
            out.push(Record { t, event: Event::Eval(stats) });
        }
    }
}

/// Who gives a scalar this name, and how surely: of two the higher is right.
fn writer(name: &str) -> Option<(u8, &'static str)> {
    Some(match name {
        name if names::of_trl(name.as_bytes()) => (3, "trl"),
        "train/global_step" | "train/grad_norm" | "eval/samples_per_second" => (2, "hf-trainer"),
        "hp_metric" | "trainer/global_step" | "train_loss_step" | "train_loss_epoch" => (1, "lightning"),
        "epoch_loss" => (0, "keras"),
        _ => return None,
    })
}

/// The names of a log, each with what it is. Names come in the same order again and again, so the one
/// that came next the last time is looked at first.
#[derive(Debug, Default)]
struct Names {
    list: Vec<Name>,
    places: HashMap<Box<[u8]>, usize>,
    last: usize,
}

#[derive(Debug)]
struct Name {
    bytes: Box<[u8]>,
    role: Role,
    /// The one that came after it.
    next: usize,
}

impl Name {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Names {
    fn find(&mut self, name: &[u8]) -> Option<usize> {
        let next = self.list.get(self.last)?.next;
        if let Some(expected) = self.list.get(next)
            && *expected.bytes == *name
        {
            self.last = next;
            return Some(next);
        }
        let found = *self.places.get(name)?;
        self.follow(found);
        Some(found)
    }

    fn add(&mut self, name: &[u8], role: Role) -> usize {
        let place = self.list.len();
        if place >= NAMES {
            // The last one stands for all that follow.
            self.list[NAMES - 1].role = Role::Ignored;
            return NAMES - 1;
        }
        self.list.push(Name { bytes: name.into(), role, next: place + 1 });
        self.places.insert(name.into(), place);
        self.follow(place);
        place
    }

    fn follow(&mut self, found: usize) {
        if let Some(last) = self.list.get_mut(self.last) {
            last.next = found;
        }
        self.last = found;
    }
}

impl Group {
    /// Empties it for another step; its memory is kept.
    fn begin(&mut self, step: u64) {
        self.evals.clear();
        self.metrics.clear();
        let (evals, metrics) = (std::mem::take(&mut self.evals), std::mem::take(&mut self.metrics));
        *self = Self { step, evals, metrics, ..Self::default() };
    }

    /// Whether a figure is there already, with another value.
    fn has(&self, role: &Role, value: f64) -> bool {
        let other = |old: Option<f64>| old.is_some_and(|old| old.to_bits() != value.to_bits());
        match role {
            Role::TrainLoss(_) => other(self.loss),
            Role::EvalLoss(set) => self.evals.iter().any(|(old, _)| old == set),
            Role::TestLoss => other(self.test),
            Role::Epoch => other(self.epoch),
            _ => false,
        }
    }

    /// Which of several evaluations a metric belongs to: the one whose name it bears, else the first.
    fn owner(&self, metric: &Metric) -> usize {
        let named = |(set, _): &(Option<String>, f64)| {
            set.as_ref().is_some_and(|set| metric.name.contains(set.as_str()))
        };
        self.evals.iter().position(named).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_end_are_passed_over() {
        let (mut scalars, mut out) = (Scalars::new("wandb", None), Vec::new());
        let figure = Figure { step: 1, time: 0.0, value: 2.0 };
        scalars.put(b"loss", figure, &mut out);
        for name in 0..NAMES + 10 {
            scalars.put(format!("eval/{name}_loss").as_bytes(), figure, &mut out);
        }
        assert_eq!(scalars.names.list.len(), NAMES);
        scalars.put(b"loss", Figure { step: 2, ..figure }, &mut out);
        scalars.settle(&mut out);
        assert!(matches!(out.last(), Some(Record { event: Event::Step(stats), .. }) if stats.step == 2));
    }

    #[test]
    fn what_is_evaluated_after_the_training_is_no_point_of_it() {
        let (mut scalars, mut out) = (Scalars::new("wandb", None), Vec::new());
        let mut put = |name: &str, step, value| {
            scalars.put(name.as_bytes(), Figure { step, time: 0.0, value }, &mut out);
        };
        for (step, loss) in [(10, 2.0), (20, 1.5), (30, 1.9)] {
            put("train/loss", step, 1.0);
            put("eval/loss", step, loss);
        }
        put("train/train_runtime", 35, 60.0);
        put("eval/loss", 30, 1.7);
        put("eval/loss", 35, 1.5);
        // It has gone on after all.
        put("train/loss", 40, 0.9);
        put("eval/loss", 40, 1.5);
        scalars.settle(&mut out);
        let evals = out.iter().filter_map(|record| match &record.event {
            Event::Eval(eval) => Some((eval.step, eval.loss)),
            _ => None,
        });
        assert_eq!(evals.collect::<Vec<_>>(), [(10, 2.0), (20, 1.5), (30, 1.9), (40, 1.5)]);
    }

    #[test]
    fn of_steps_and_epochs_the_finer_makes_the_curve() {
        for (steps, expected) in [(4, 6), (10, 21)] {
            let (mut scalars, mut out) = (Scalars::new("tensorboard", None), Vec::new());
            for step in 1..=2 * steps {
                let figure = Figure { step, time: 0.0, value: step as f64 };
                scalars.put(b"train_loss_step", figure, &mut out);
                if step % steps == 0 {
                    scalars.put(b"train_loss_epoch", Figure { value: 0.5, ..figure }, &mut out);
                }
            }
            scalars.settle(&mut out);
            let points = out.iter().filter(|record| matches!(record.event, Event::Step(_))).count();
            assert!(points >= expected, "{points} points of {steps} steps an epoch");
        }
    }
}
