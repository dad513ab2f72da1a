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
    /// Tokens that the model ranked first.
    pub hits: u64,
}

impl SetLoss {
    /// Mean over all tokens, in nats.
    pub fn mean(&self) -> f64 {
        self.examples.iter().map(|example| example.nats).sum::<f64>() / self.tokens as f64
    }

    /// Share of the tokens that the model ranked first.
    pub fn token_accuracy(&self) -> f64 {
        self.hits as f64 / self.tokens as f64
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
    let none = ExampleLoss { nats: 0.0, tokens: 0 };
    let mut set = SetLoss { examples: vec![none; rows.len()], tokens: 0, hits: 0 };
    for EvalBatch { rows, packed } in eval_batches(rows, batch_size) {
        let targets: Vec<Range<usize>> = (0..rows.len()).map(|row| packed.targets_of(row)).collect();
        let loss = model.evaluate(&batch(packed), adapter)?;
        for (row, targets) in rows.into_iter().zip(targets) {
            let nats = loss.nats[targets.clone()].iter().map(|&nats| f64::from(nats)).sum();
            set.examples[row] = ExampleLoss { nats, tokens: targets.len() as u32 };
            set.tokens += targets.len() as u64;
            set.hits += loss.hits[targets].iter().filter(|&&hit| hit).count() as u64;
        }
    }
    Ok(set)
}
