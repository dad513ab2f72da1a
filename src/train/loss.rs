//! The loss of examples: sums of token cross entropies, and nothing else.
//!
//! Training and evaluation add up what the same head says about the same targets. A mean is over
//! tokens, never over batches or rows.

use crate::data::Example;
use crate::data::batch::{EvalBatch, Packed, eval_batches};
use crate::event::ExampleLoss;
use crate::kernel::Layout;
use crate::model::lora::Adapter;
use crate::model::{Batch, CausalLm, TargetLoss};
use anyhow::Result;
use std::ops::Range;

/// The loss of a set of examples.
#[derive(Clone, Debug, PartialEq)]
pub struct SetLoss {
    /// In the order of the set.
    pub examples: Vec<ExampleLoss>,
    /// Tokens that carry loss.
    pub tokens: u64,
    /// Tokens of each example that the model ranked first.
    pub hits: Vec<u32>,
}

impl SetLoss {
    /// Mean over all tokens, in nats.
    pub fn mean(&self) -> f64 {
        self.examples.iter().map(|example| example.nats).sum::<f64>() / self.tokens as f64
    }

    /// Share of the tokens that the model ranked first.
    pub fn token_accuracy(&self) -> f64 {
        self.hits.iter().map(|&hits| f64::from(hits)).sum::<f64>() / self.tokens as f64
    }

    /// One standard error of [`SetLoss::mean`]; `None` for a single example.
    pub fn mean_error(&self) -> Option<f64> {
        let nats: Vec<f64> = self.examples.iter().map(|example| example.nats).collect();
        self.error(&nats)
    }

    /// One standard error of [`SetLoss::token_accuracy`]; `None` for a single example.
    pub fn accuracy_error(&self) -> Option<f64> {
        let hits: Vec<f64> = self.hits.iter().map(|&hits| f64::from(hits)).collect();
        self.error(&hits)
    }

    /// The error of `sum of parts / sum of tokens`, had other examples of the same kind been drawn: that of a
    /// ratio, by linearisation (Cochran 1977, "Sampling Techniques", 6.3; with examples as clusters of
    /// tokens, Miller 2024, arXiv 2411.00640).
    fn error(&self, parts: &[f64]) -> Option<f64> {
        let (n, tokens) = (parts.len() as f64, self.tokens as f64);
        let ratio = parts.iter().sum::<f64>() / tokens;
        let residual = |(part, example): (&f64, &ExampleLoss)| part - ratio * f64::from(example.tokens);
        let squares: f64 = parts.iter().zip(&self.examples).map(residual).map(|r| r * r).sum();
        let error = (squares * n / (n - 1.0)).sqrt() / tokens;
        error.is_finite().then_some(error)
    }
}

/// What the model takes of a packed batch.
pub fn batch(packed: Packed) -> Batch {
    let Packed { ids, positions, starts, targets } = packed;
    let targets = targets.into_iter().map(|target| (target.row, target.token)).collect();
    Batch { ids, layout: Layout { starts, positions }, targets }
}

/// Sum of the token losses, in nats.
pub fn total(loss: &TargetLoss) -> f64 {
    loss.nats.iter().map(|&nats| f64::from(nats)).sum()
}

/// Evaluates a set: dropout off, nothing kept.
pub fn evaluate(model: &CausalLm, adapter: &Adapter, rows: &[Example], batch_size: usize) -> Result<SetLoss> {
    evaluate_with(model, adapter, rows, batch_size, &mut |_| ())
}

/// As [`evaluate`]; `progress` hears after each batch how many examples are done.
pub fn evaluate_with(
    model: &CausalLm,
    adapter: &Adapter,
    rows: &[Example],
    batch_size: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<SetLoss> {
    let none = ExampleLoss { nats: 0.0, tokens: 0 };
    let mut set = SetLoss { examples: vec![none; rows.len()], tokens: 0, hits: vec![0; rows.len()] };
    let mut done = 0;
    for EvalBatch { rows, packed } in eval_batches(rows, batch_size) {
        done += rows.len();
        let targets: Vec<Range<usize>> = (0..rows.len()).map(|row| packed.targets_of(row)).collect();
        let loss = model.evaluate(&batch(packed), adapter)?;
        for (row, targets) in rows.into_iter().zip(targets) {
            let nats = loss.nats[targets.clone()].iter().map(|&nats| f64::from(nats)).sum();
            set.examples[row] = ExampleLoss { nats, tokens: targets.len() as u32 };
            set.tokens += targets.len() as u64;
            set.hits[row] = loss.hits[targets].iter().filter(|&&hit| hit).count() as u32;
        }
        progress(done);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(examples: &[(f64, u32)]) -> SetLoss {
        let examples: Vec<_> = examples.iter().map(|&(nats, tokens)| ExampleLoss { nats, tokens }).collect();
        let tokens = examples.iter().map(|example| u64::from(example.tokens)).sum();
        SetLoss { hits: vec![0; examples.len()], examples, tokens }
    }

    #[test]
    fn with_equal_lengths_the_error_is_that_of_a_mean() {
        let set = set(&[(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1)]);
        // Standard deviation 1.291, over the root of 4.
        assert!((set.mean_error().unwrap() - 0.645_497).abs() < 1e-6);
        assert_eq!(set.accuracy_error(), Some(0.0));
    }

    #[test]
    fn the_same_loss_a_token_is_certain_and_one_example_says_nothing() {
        assert!(set(&[(2.0, 1), (6.0, 3), (10.0, 5)]).mean_error().unwrap() < 1e-12);
        assert_eq!(set(&[(2.0, 3)]).mean_error(), None);
        assert_eq!(set(&[(f64::NAN, 3), (1.0, 1)]).mean_error(), None);
    }
}
