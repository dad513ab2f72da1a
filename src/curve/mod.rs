//! The curves of a run: a fold of its events into series aligned by step.
//!
//! Nothing is smoothed here and nothing is judged; [`smooth`] and [`trend`] are the tools for that,
//! and [`axis`] puts round numbers beside a curve.

pub mod axis;
pub mod small;
pub mod smooth;
pub mod summary;
pub mod trend;

use crate::event::{BestPoint, EvalStats, Event, ExampleLoss, Generated, Metric, Split, StepStats};
use small::Small;
use std::ops::Range;
use std::sync::Arc;
use summary::{Blocks, Summary};

/// Points of the train curve that are kept, 32 MiB of them. Of a longer log the older half is told in half
/// as many: no chart and no rule looks closer.
const MOST_TRAIN: usize = if cfg!(test) { 1 << 14 } else { 1 << 20 };

/// All series of one run, each in the order of its steps.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    /// One point an optimiser step (or a logged interval, in foreign logs).
    pub train: Vec<TrainPoint>,
    /// One point an evaluation of the validation set; of the first one, where there are several.
    pub eval: Vec<EvalPoint>,
    /// The other validation sets by name, in the order of their first evaluation.
    pub others: Vec<(String, Vec<EvalPoint>)>,
    /// One point an evaluation of the train probe: a fixed sample of the training rows, dropout off.
    pub probe: Vec<EvalPoint>,
    /// What the model wrote by itself, in the order of the steps, both sides in one series.
    pub generated: Vec<Generated>,
    /// The evaluation of the test set, once the run is over.
    pub test: Option<EvalPoint>,
    /// Name of the set in `eval`, where it has one.
    first_set: Option<String>,
    /// Of `train`.
    blocks: Blocks,
}

/// One training step, in 32 bytes: a long run has a million of them.
#[derive(Clone, Copy, Debug)]
pub struct TrainPoint {
    pub step: u64,
    /// Mean over the tokens of this step; may be NaN or infinite.
    pub loss: f64,
    /// Tokens that carried loss.
    pub tokens: u32,
    t: f32,
    /// NaN where unknown.
    epoch: f32,
    learning_rate: Small,
    grad_norm: Small,
}

impl TrainPoint {
    fn new(t: f64, stats: &StepStats) -> Self {
        Self {
            step: stats.step,
            loss: as_single(stats.loss),
            tokens: u32::try_from(stats.tokens).unwrap_or(u32::MAX),
            t: t as f32,
            epoch: stats.epoch.unwrap_or(f64::NAN) as f32,
            learning_rate: Small::new(stats.learning_rate),
            grad_norm: Small::new(stats.grad_norm),
        }
    }

    /// Both as one, in the place of the later: the loss is the mean over the tokens of both.
    fn and(&self, later: &Self) -> Self {
        let weights = (f64::from(self.tokens.max(1)), f64::from(later.tokens.max(1)));
        let loss = (self.loss * weights.0 + later.loss * weights.1) / (weights.0 + weights.1);
        Self { loss, tokens: self.tokens.saturating_add(later.tokens), ..*later }
    }

    /// Passes over the training rows so far, to six digits.
    pub fn epoch(&self) -> Option<f64> {
        Some(f64::from(self.epoch)).filter(|epoch| !epoch.is_nan())
    }

    /// Seconds since the run started, to six digits.
    pub fn t(&self) -> f64 {
        f64::from(self.t)
    }

    /// To three digits.
    pub fn learning_rate(&self) -> Option<f64> {
        self.learning_rate.get()
    }

    /// Before clipping, to three digits.
    pub fn grad_norm(&self) -> Option<f64> {
        self.grad_norm.get()
    }
}

/// One evaluation.
#[derive(Clone, Debug)]
pub struct EvalPoint {
    pub step: u64,
    pub epoch: Option<f64>,
    /// Seconds since the run started.
    pub t: f64,
    /// Mean over all tokens that carry loss; may be NaN or infinite.
    pub loss: f64,
    /// Tokens that carried loss; 0 where unknown.
    pub tokens: u64,
    pub token_accuracy: Option<f64>,
    /// Task metrics of a foreign trainer, by their names in its log.
    pub metrics: Vec<Metric>,
    /// Loss of every example, empty where unknown.
    pub examples: Arc<[ExampleLoss]>,
    /// Token-weighted mean of the train losses since the evaluation before this one: the train curve
    /// on the scale of the evaluations. `None` where no step was logged in between.
    pub train_loss: Option<f64>,
}

impl EvalPoint {
    /// Where it is and what it is, as a best evaluation is told.
    pub fn place(&self) -> BestPoint {
        BestPoint { step: self.step, epoch: self.epoch, loss: self.loss }
    }
}

impl Curves {
    /// Takes in one event, stamped `t` seconds after the start of the run.
    ///
    /// Series stay in the order of their steps, whatever the order of a foreign log is; a step that
    /// comes again replaces the one before. A run that begins forgets the one before it.
    pub fn apply(&mut self, t: f64, event: &Event) {
        match event {
            Event::RunStarted(_) => *self = Self::default(),
            Event::Step(stats) => self.push_train(t, stats),
            Event::Eval(stats) => self.push_eval(t, stats),
            Event::Generated(generated) => self.generated.push(generated.clone()),
            Event::RunResumed(resumed) => self.drop_after(resumed.step),
            _ => {}
        }
    }

    /// Index in `eval` of the lowest finite loss, the first of equals.
    pub fn best(&self) -> Option<usize> {
        lowest(&self.eval)
    }

    /// The training steps in `(after, upto]`.
    pub fn train_between(&self, after: Option<u64>, upto: u64) -> &[TrainPoint] {
        let to = upto_step(&self.train, upto);
        let from = after.map_or(0, |after| upto_step(&self.train[..to], after));
        &self.train[from..to]
    }

    /// What the training steps of these indices come to, without a walk along them.
    pub fn train_summary(&self, steps: Range<usize>) -> Summary {
        self.blocks.over(&self.train, steps)
    }

    fn push_train(&mut self, t: f64, stats: &StepStats) {
        if self.train.len() == self.train.capacity() {
            self.make_room();
        }
        let index = insert_by_step(&mut self.train, TrainPoint::new(t, stats), |point| point.step);
        self.blocks.renew(&self.train, index);
        // Some trainers log the evaluation before the steps that led to it.
        if self.eval.last().is_none_or(|eval| eval.step < stats.step) {
            return;
        }
        let index = self.eval.partition_point(|eval| eval.step < stats.step);
        self.average_train(index);
    }

    /// Makes room for more training steps: by moving them, seldom, or by thinning them. Fresh memory
    /// costs more than the reading of a log does.
    fn make_room(&mut self) {
        let length = self.train.len();
        if length >= MOST_TRAIN {
            self.thin();
        } else {
            let room = (4 * length).clamp(64, MOST_TRAIN);
            self.train.reserve_exact(room - length);
        }
    }

    /// Puts the points of the older half together, two into one, but not over an evaluation: the mean
    /// train loss between two of them stays what it was, but for the weight of an odd point.
    fn thin(&mut self) {
        let half = self.train.len() / 2;
        let (mut kept, mut eval, mut open) = (0, 0, false);
        for index in 0..half {
            let (point, begun) = (self.train[index], eval);
            while self.eval.get(eval).is_some_and(|eval| eval.step < point.step) {
                eval += 1;
            }
            let joins = open && eval == begun;
            if joins {
                self.train[kept - 1] = self.train[kept - 1].and(&point);
            } else {
                self.train[kept] = point;
                kept += 1;
            }
            open = !joins;
        }
        self.train.drain(kept..half);
        self.blocks.renew(&self.train, 0);
    }

    fn push_eval(&mut self, t: f64, stats: &EvalStats) {
        let point = EvalPoint {
            step: stats.step,
            epoch: stats.epoch,
            t,
            loss: as_single(stats.loss),
            tokens: stats.tokens,
            token_accuracy: stats.token_accuracy,
            metrics: stats.metrics.clone(),
            examples: stats.examples.as_slice().into(),
            train_loss: None,
        };
        match stats.split {
            Split::Valid if !self.decides(stats.set.as_ref()) => {
                let name = stats.set.as_deref().unwrap_or_default();
                let index = self.others.iter().position(|(other, _)| other == name).unwrap_or_else(|| {
                    self.others.push((name.to_owned(), Vec::new()));
                    self.others.len() - 1
                });
                insert_by_step(&mut self.others[index].1, point, |point| point.step);
            }
            Split::Valid => {
                self.first_set.clone_from(&stats.set);
                let index = insert_by_step(&mut self.eval, point, |point| point.step);
                self.average_train(index);
                self.average_train(index + 1);
            }
            Split::Test => self.test = Some(point),
            Split::TrainProbe => {
                insert_by_step(&mut self.probe, point, |point| point.step);
            }
        }
    }

    /// Name of the set in `eval`, where it has one.
    pub fn set(&self) -> Option<&str> {
        self.first_set.as_deref()
    }

    /// The same where there are others beside it, so that its figures have to be told from theirs.
    pub fn named_set(&self) -> Option<&str> {
        self.set().filter(|_| !self.others.is_empty())
    }

    /// Whether the evaluation set of this name is the first one.
    fn decides(&self, set: Option<&String>) -> bool {
        self.eval.is_empty() || self.first_set.as_ref() == set
    }

    /// Forgets what happened after `step`, as a run does that goes on from a state saved there.
    fn drop_after(&mut self, step: u64) {
        self.train.truncate(self.train.partition_point(|point| point.step <= step));
        self.blocks.renew(&self.train, self.train.len());
        let others = self.others.iter_mut().map(|(_, points)| points);
        for points in others.chain([&mut self.eval, &mut self.probe]) {
            points.truncate(points.partition_point(|point| point.step <= step));
        }
        self.generated.truncate(self.generated.partition_point(|generated| generated.step <= step));
        self.test = self.test.take().filter(|point| point.step <= step);
    }

    /// Sets the train loss of the evaluation at `index`, if there is one.
    fn average_train(&mut self, index: usize) {
        let Some(upto) = self.eval.get(index).map(|point| point.step) else { return };
        let after = index.checked_sub(1).map(|before| self.eval[before].step);
        let mean = mean_loss(self.train_between(after, upto));
        self.eval[index].train_loss = mean;
    }
}

/// How many points are at `step` or before it. Looked for from the end, where it nearly always is.
fn upto_step(points: &[TrainPoint], step: u64) -> usize {
    let mut reach = 1;
    while reach < points.len() && points[points.len() - reach].step > step {
        reach *= 2;
    }
    let start = points.len().saturating_sub(reach);
    start + points[start..].partition_point(|point| point.step <= step)
}

/// Index of the lowest loss that was measured, the first of equals.
pub fn lowest(points: &[EvalPoint]) -> Option<usize> {
    measured(points).min_by(|a, b| points[*a].loss.total_cmp(&points[*b].loss))
}

/// Indices of the evaluations that measured something: a loss that is not finite is none, nor is one of exactly 0
/// from which the loss came back, which a filter of NaN writes.
pub fn measured(points: &[EvalPoint]) -> impl Iterator<Item = usize> {
    let is_loss = |point: &EvalPoint| point.loss.is_finite() && point.loss != 0.0;
    let zeros = points.iter().rposition(is_loss).map_or(0, |last| last + 1);
    (0..points.len()).filter(move |index| {
        let point = &points[*index];
        is_loss(point) || *index >= zeros && point.loss == 0.0
    })
}

/// A loss in the range of an `f32`, in which trainers compute: what is larger is a sentinel or an overflow, infinite
/// here, and what is smaller is 0. So no share of two losses, nor its square, leaves the range of an `f64`.
fn as_single(loss: f64) -> f64 {
    let smallest = f64::from(f32::from_bits(1));
    match loss.abs() {
        size if size > f64::from(f32::MAX) => f64::INFINITY.copysign(loss),
        size if size < smallest => 0.0,
        _ => loss,
    }
}

/// Mean over the tokens of several steps, or over the steps where the tokens are not known.
fn mean_loss(points: &[TrainPoint]) -> Option<f64> {
    let (mut plain, mut weighted, mut tokens) = (0.0, 0.0, 0.0);
    for point in points {
        plain += point.loss;
        // A step without a token has no loss, and may call that NaN.
        if point.tokens > 0 {
            weighted += f64::from(point.tokens) * point.loss;
            tokens += f64::from(point.tokens);
        }
    }
    if tokens > 0.0 {
        Some(weighted / tokens)
    } else {
        (!points.is_empty()).then(|| plain / points.len() as f64)
    }
}

/// Puts a point where its step belongs, in place of one of the same step; returns where that is.
fn insert_by_step<T>(series: &mut Vec<T>, point: T, step: impl Fn(&T) -> u64) -> usize {
    let index = match series.last() {
        Some(last) if step(last) >= step(&point) => series.partition_point(|old| step(old) < step(&point)),
        _ => series.len(),
    };
    match series.get_mut(index) {
        Some(old) if step(old) == step(&point) => *old = point,
        _ => series.insert(index, point),
    }
    index
}

#[cfg(test)]
mod tests;
