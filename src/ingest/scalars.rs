//! Scalars into records: what a log holds as single named figures, each with its step, is grouped into
//! the steps and evaluations that they are figures of.
//!
//! Knows nothing of files. A group is over when a figure of another step comes, or one that the group
//! has already; so the records do not depend on the pieces in which a file is read. A reader that has
//! nothing more for now says so with [`Scalars::settle`], and a live screen need not wait.

use super::roles::{Grain, Role, Side, is_objective, role};
use crate::event::record::{FORMAT, Record};
use crate::event::{EvalStats, Event, Metric, RunInfo, Split, StepStats};
use std::collections::HashMap;

/// Names that are remembered; what comes after is looked at anew each time.
const NAMES: usize = 20_000;
/// Losses of single steps between two of whole epochs from which on they make the better curve.
const FINE: u32 = 8;
/// Task metrics of one evaluation that are kept.
const METRICS: usize = 32;

/// One named figure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar<'a> {
    pub name: &'a str,
    pub step: u64,
    /// Seconds since 1970, or 0 where unknown.
    pub time: f64,
    pub value: f64,
}

/// Collects scalars and makes records of them.
#[derive(Debug)]
pub(super) struct Scalars {
    side: Option<Side>,
    /// What holds the log, to name where nothing tells the trainer.
    container: &'static str,
    names: HashMap<Box<str>, Role>,
    /// Who writes names like these, and how surely.
    trainer: Option<(u8, &'static str)>,
    /// When the first figure was taken.
    start: Option<f64>,
    group: Group,
    grains: Grains,
    begun: bool,
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
            container,
            names: HashMap::new(),
            trainer: None,
            start: None,
            group: Group::default(),
            grains: Grains::default(),
            begun: false,
        }
    }

    /// Takes one figure in; records that are complete go to `out`.
    pub(super) fn put(&mut self, scalar: Scalar, out: &mut Vec<Record>) {
        let role = match self.names.get(scalar.name) {
            Some(Role::Ignored) => return,
            Some(role) => role.clone(),
            None => self.meet(scalar.name),
        };
        if role == Role::Ignored || matches!(role, Role::Step(_)) {
            return;
        }
        let start = *self.start.get_or_insert(scalar.time);
        let t = (scalar.time - start).max(0.0);
        if self.group.step != scalar.step || self.group.has(&role, scalar.value) {
            self.close(out);
            self.group = Group { step: scalar.step, ..Group::default() };
        }
        let group = &mut self.group;
        group.t = if t.is_finite() { t } else { 0.0 };
        match role {
            Role::TrainLoss(grain) => {
                if self.grains.accepts(grain) {
                    group.loss = Some(scalar.value);
                }
            }
            Role::EvalLoss(set) => group.evals.push((set, scalar.value)),
            Role::TestLoss => group.test = Some(scalar.value),
            Role::LearningRate => group.learning_rate = Some(scalar.value),
            Role::GradNorm => group.grad_norm = Some(scalar.value),
            Role::Epoch => group.epoch = Some(scalar.value),
            Role::EvalMetric if group.metrics.len() < METRICS => {
                group.metrics.push(Metric { name: scalar.name.to_owned(), value: scalar.value });
            }
            Role::EvalMetric | Role::Step(_) | Role::Ignored => {}
        }
        group.fresh = true;
    }

    /// What a name is, for the first time.
    #[cold]
    fn meet(&mut self, name: &str) -> Role {
        let mut found = role(name, self.side);
        // CatBoost has no loss by that name, only the function it minimises.
        if found == Role::Ignored && is_objective(name) {
            found = match self.side {
                Some(Side::Train) => Role::TrainLoss(Grain::Steps),
                Some(Side::Eval) => Role::EvalLoss(None),
                None => Role::Ignored,
            };
        }
        self.trainer = self.trainer.max(writer(name));
        if self.names.len() < NAMES {
            self.names.insert(name.into(), found.clone());
        }
        found
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
            let run = RunInfo { format: FORMAT, trainer: self.trainer().into(), ..RunInfo::default() };
            out.push(Record { t: 0.0, event: Event::RunStarted(Box::new(run)) });
        }
        let group = &self.group;
        if let Some(loss) = group.loss {
            let Group { learning_rate, grad_norm, .. } = *group;
            let stats = StepStats { step, epoch, loss, learning_rate, grad_norm, ..StepStats::default() };
            out.push(Record { t, event: Event::Step(stats) });
        }
        for (index, (set, loss)) in group.evals.iter().enumerate() {
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
        "train/mean_token_accuracy" | "eval/mean_token_accuracy" => (3, "trl"),
        "train/global_step" | "train/grad_norm" | "eval/samples_per_second" => (2, "hf-trainer"),
        "hp_metric" | "trainer/global_step" | "train_loss_step" | "train_loss_epoch" => (1, "lightning"),
        "epoch_loss" => (0, "keras"),
        _ => return None,
    })
}

impl Group {
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
