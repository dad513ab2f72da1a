//! Losses that cannot be right: above what knowing nothing costs, or exactly zero.
//!
//! The sign of a broken set-up (labels, masks, a sum over accumulated batches) or of one that has
//! blown up; whether a right loss is a good one is for the other rules.

use super::finding::Words;
use super::{Case, Evidence, Finding, Severity};
use crate::event::Places;
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

/// The train loss is exactly zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ExactZeros {
    /// The first step of those that are.
    pub step: u64,
    pub steps: usize,
    pub eval_loss: Option<f64>,
}

/// `ln` of a vocabulary larger than any in use, some 1.2 million tokens.
const LARGEST_CHANCE: f64 = 14.0;
/// Trainers whose loss is that of a language model, in nats a token, by construction.
const LANGUAGE: &[&str] = &[
    "tune",
    "hf-trainer",
    "trl",
    "mlx-lm",
    "llama.cpp",
    "torchtune",
    "nanogpt",
    "litgpt",
    "llama-factory",
    "ms-swift",
];

/// Whether the eval losses are those of a language model, in nats a token.
pub fn is_language(case: &Case) -> bool {
    let known = case.run.eval_loss.unit == crate::event::LossUnit::NatsPerToken;
    known || LANGUAGE.contains(&case.run.trainer.as_str())
}

/// More than half of the evaluations are above chance.
pub fn above_chance(case: &Case) -> Option<Finding> {
    if !is_language(case) {
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

/// Steps in a row that must be exactly zero.
const ZEROS: usize = 3;

/// The newest train losses are exactly zero while rows are trained on: no cross entropy is. A filter
/// of NaN writes 0, and so does a batch whose every token is masked.
pub fn exact_zeros(case: &Case) -> Option<Finding> {
    let train = &case.curves.train;
    let steps = train.iter().rev().take_while(|step| step.loss == 0.0).count();
    let eval_loss = case.curves.eval.iter().rev().map(|point| point.loss).find(|loss| loss.is_finite());
    // A task that is solved on both sides may print as zero.
    if !is_language(case) || steps < ZEROS || eval_loss.is_some_and(|loss| loss < case.limits.near_zero_train)
    {
        return None;
    }
    let evidence = ExactZeros { step: train[train.len() - steps].step, steps, eval_loss };
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
        write!(
            f,
            "train loss is exactly 0 since {}, which no cross entropy is: NaN was filtered to 0, or every \
             token is masked",
            places.at(self.step)
        )
    }
}
