//! One optimiser step: its batches forward and backward, clipping, the update.

use super::loss::{batch, total};
use super::optim::{AdamW, clip, global_norm};
use super::plan::Plan;
use super::schedule::learning_rate;
use crate::config;
use crate::data::Example;
use crate::data::batch::{Batches, Epoch};
use crate::event::StepStats;
use crate::kernel::Dropout;
use crate::model::lora::{Adapter, Gradients};
use crate::model::{Batch, CausalLm};
use anyhow::Result;

/// What a step works with.
pub struct Stepper<'a> {
    pub model: &'a CausalLm,
    pub config: &'a config::Train,
    pub plan: Plan,
    batches: Batches<'a>,
    /// The epoch in progress, with its number.
    epoch: Option<(u64, Epoch<'a>)>,
}

impl<'a> Stepper<'a> {
    pub fn new(model: &'a CausalLm, rows: &'a [Example], config: &'a config::Train, plan: Plan) -> Self {
        let batches = Batches::new(rows, config.batch_size, config.seed);
        Self { model, config, plan, batches, epoch: None }
    }

    /// Takes step number `step`, from 1.
    ///
    /// When the loss or the gradient is not finite, the adapter is left as it is; the figures say so.
    pub fn take(&mut self, step: u64, adapter: &mut Adapter, optimiser: &mut AdamW) -> Result<StepStats> {
        let batches = self.batches(step);
        let tokens: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        let dropout = self.dropout(step, adapter.config.dropout);
        let mut gradients = Gradients::default();
        let mut nats = 0.0;
        for (index, batch) in batches.iter().enumerate() {
            let dropout = dropout.fork(index as u32);
            let (loss, part) = self.model.forward_backward(batch, adapter, dropout, 1.0 / tokens as f32)?;
            nats += total(&loss);
            gradients.add(part)?;
        }
        let loss = nats / tokens as f64;
        let norm = global_norm(&gradients)?;
        let rate = self.learning_rate(step);
        if loss.is_finite() && norm.is_finite() {
            optimiser.step(adapter, &gradients, clip(norm, self.config.max_grad_norm), step, rate)?;
        }
        Ok(StepStats {
            step,
            epoch: Some(self.plan.epoch_at(step)),
            loss,
            tokens: tokens as u64,
            input_tokens: batches.iter().map(|batch| batch.ids.len() as u64).sum(),
            learning_rate: Some(rate),
            grad_norm: Some(norm),
        })
    }

    fn batches(&mut self, step: u64) -> Vec<Batch> {
        let (number, taken) = self.plan.batches_of(step);
        let epoch = match self.epoch.take() {
            Some((of, epoch)) if of == number => epoch,
            _ => self.batches.epoch(number),
        };
        let batches = taken.map(|index| batch(epoch.batch(index as usize))).collect();
        self.epoch = Some((number, epoch));
        batches
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let warmup = (self.config.warmup_ratio * self.plan.total_steps as f64).round() as u64;
        learning_rate(self.config.schedule, self.config.learning_rate, warmup, step, self.plan.total_steps)
    }

    /// A mask of its own for each step, the same whenever that step is taken.
    fn dropout(&self, step: u64, p: f64) -> Dropout {
        Dropout::new(p, self.config.seed as u32).fork(step as u32)
    }
}
