//! Losses that cannot be right: above what knowing nothing costs, or exactly zero.
//!
//! The sign of a broken set-up (labels, masks, a sum over accumulated batches) or of one that has
//! blown up; whether a right loss is a good one is for the other rules.

use super::finding::Words;
use super::{Case, Evidence, Finding, Severity};
use crate::curve::EvalPoint;
use crate::event::trainer::Losses;
use crate::event::{BestPoint, LossUnit, Places, metric};
use serde::Serialize;
use std::fmt;

/// Most losses so far are above that of a model that knows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AboveChance {
    /// The first step that was.
    pub step: u64,
    /// The newest eval loss.
    pub eval_loss: f64,
    /// The loss of giving every token the same chance, `ln(vocab)`.
    pub chance_loss: f64,
    /// Whether the vocabulary is known; else one larger than any in use was taken.
    pub vocab_known: bool,
}

/// Losses are exactly zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ExactZeros {
    /// Which: `train loss`, `eval loss`, or `train and eval loss`.
    pub series: &'static str,
    /// The first step of those that are, and how many are.
    pub step: u64,
    pub steps: usize,
    /// Whether these series have never been anything else.
    pub throughout: bool,
    pub eval_loss: Option<f64>,
    /// The best evaluation before.
    pub best: Option<BestPoint>,
}

/// `ln` of a vocabulary larger than any in use, some 1.2 million tokens.
const LARGEST_CHANCE: f64 = 14.0;
/// A train loss of so many times the first has blown up.
const BLOWN: f64 = 2.0;

/// Whether the eval losses are those of a language model, in nats a token: by their unit, by their trainer, or by the
/// accuracy of single tokens beside them.
fn is_language(case: &Case) -> bool {
    let unit = case.run.eval_loss.unit;
    let of_tokens = |point: &EvalPoint| point.metrics.iter().any(|m| metric::is_of_tokens(&m.name));
    unit == LossUnit::NatsPerToken
        || unit == LossUnit::Unknown
            && (case.losses() == Losses::Language || case.curves.eval.last().is_some_and(of_tokens))
}

/// More than half of the evaluations are above chance.
pub fn above_chance(case: &Case) -> Option<Finding> {
    // What is a language model as a rule is taken for one where its losses have blown up.
    let blown = || {
        let mut train = case.curves.train.iter().map(|step| step.loss).filter(|loss| loss.is_finite());
        let first = train.next().unwrap_or(f64::INFINITY);
        case.losses() == Losses::MostlyLanguage
            && case.run.eval_loss.unit == LossUnit::Unknown
            && train.any(|loss| loss > BLOWN * first)
    };
    if !is_language(case) && !blown() {
        return None;
    }
    let vocab = case.run.model.as_ref().map(|model| model.vocab).filter(|vocab| *vocab > 1);
    // A little above is where an untrained model may start.
    let chance_loss = vocab.map_or(LARGEST_CHANCE, |vocab| 1.1 * (vocab as f64).ln());
    let above = || case.curves.eval.iter().filter(|point| point.loss > chance_loss);
    if case.curves.eval.len() < case.limits.min_evals || 2 * above().count() <= case.curves.eval.len() {
        return None;
    }
    let evidence = AboveChance {
        step: above().next()?.step,
        eval_loss: case.curves.eval.last()?.loss,
        chance_loss,
        vocab_known: vocab.is_some(),
    };
    Some(Finding { severity: Severity::Severe, evidence: Evidence::AboveChance(evidence) })
}

/// Losses in a row that must be exactly zero.
const ZEROS: usize = 3;

/// Where the exact zeros begin that a series ends with; none where it came down to them: a task that is
/// solved prints as zero in the end, while a filter of NaN and a mask do it at once.
///
/// Where the loss may be one of margins, which are met one after another, it has come down to zero once it is below
/// half of its median.
fn zeros_from(len: usize, loss: impl Fn(usize) -> f64, near_zero: f64, may_be_margin: bool) -> Option<usize> {
    let from = len - (0..len).rev().take_while(|index| loss(*index) == 0.0).count();
    // Nearly always there are none.
    if from == len {
        return None;
    }
    let mut before: Vec<f64> = (0..from).map(loss).filter(|loss| loss.is_finite()).collect();
    let last = before.last().copied();
    let middle = before.len() / 2;
    let least = if may_be_margin && last.is_some() {
        near_zero.max(*before.select_nth_unstable_by(middle, f64::total_cmp).1 / 2.0)
    } else {
        near_zero
    };
    last.is_none_or(|loss| loss > least).then_some(from)
}

/// The newest losses are exactly zero, and were not nearly so before: no cross entropy is. A filter of NaN
/// writes 0, and so does a batch whose every token is masked.
pub fn exact_zeros(case: &Case) -> Option<Finding> {
    // A share of wrong answers may be none, and so may what is no cross entropy.
    if case.losses() == Losses::Tabular || case.run.train_loss.unit == LossUnit::Surrogate {
        return None;
    }
    let (train, eval, near_zero) = (&case.curves.train, &case.curves.eval, case.limits.near_zero_train);
    let margin = !is_language(case);
    let of_train = zeros_from(train.len(), |index| train[index].loss, near_zero, margin);
    let of_eval = zeros_from(eval.len(), |index| eval[index].loss, near_zero, margin);
    let eval_loss = eval.iter().rev().map(|point| point.loss).find(|loss| loss.is_finite());
    // A task that is solved on both sides may print as zero.
    let solved = of_eval.is_none() && eval_loss.is_some_and(|loss| loss < near_zero);
    let steps = of_train.map_or(0, |from| train.len() - from) + of_eval.map_or(0, |from| eval.len() - from);
    if steps < ZEROS || solved {
        return None;
    }
    let series = match (of_train, of_eval) {
        (Some(_), Some(_)) => "train and eval loss",
        (Some(_), None) => "train loss",
        (None, _) => "eval loss",
    };
    let starts = [of_train.map(|from| train[from].step), of_eval.map(|from| eval[from].step)];
    let before = eval[..of_eval.unwrap_or(eval.len())].iter().filter(|point| point.loss.is_finite());
    let evidence = ExactZeros {
        series,
        step: starts.into_iter().flatten().min()?,
        steps,
        throughout: of_train.unwrap_or(0) + of_eval.unwrap_or(0) == 0,
        eval_loss,
        best: before.min_by(|a, b| a.loss.total_cmp(&b.loss)).map(EvalPoint::place),
    };
    Some(Finding { severity: Severity::Warn, evidence: Evidence::ExactZeros(evidence) })
}

impl Words for AboveChance {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        write!(f, "most eval losses since {} are above {:.1}", places.at(self.step), self.chance_loss)?;
        let whom = if self.vocab_known { "this vocabulary" } else { "any vocabulary" };
        write!(f, ", what knowing nothing costs with {whom}; the newest is {:.2}", self.eval_loss)
    }
}

impl Words for ExactZeros {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        let verb = if self.series.contains(" and ") { "are" } else { "is" };
        write!(f, "{} {verb} exactly 0 ", self.series)?;
        if self.throughout {
            return f.write_str(
                "from the first figure on, which no cross entropy is: every token is masked, or NaN was \
                 filtered to 0",
            );
        }
        write!(
            f,
            "since {}, which no cross entropy is: NaN was filtered to 0, or every token is masked",
            places.at(self.step)
        )
    }
}
