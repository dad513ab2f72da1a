//! One optimiser step: its batches forward and backward, clipping, the update.

use super::loss::{batch, total};
use super::optim::{AdamW, clip, global_norm};
use super::plan::Plan;
use super::schedule::learning_rate;
use crate::config;
use crate::config::Config;
use crate::data::batch::{Batches, Epoch, Packed};
use crate::data::{Augmenter, Example};
use crate::device::is_out_of_memory;
use crate::event::StepStats;
use crate::kernel::{Dropout, on_a_worker};
use crate::model::lora::{Adapter, Gradients};
use crate::model::noise::Noise;
use crate::model::plan::Size;
use crate::model::{Batch, CausalLm, Keep, Training};
use anyhow::Result;
use rayon::prelude::*;
use std::borrow::Cow;

/// What a step keeps of its forward pass.
pub fn keep(config: &config::Train) -> Keep {
    if config.gradient_checkpointing { Keep::Inputs } else { Keep::Activations }
}

/// Epochs whose batches are looked at: rows meet in other batches in each, and later ones are hardly larger.
const EPOCHS: u64 = 1000;

/// The batch of a run that has the most tokens, by its first thousand epochs.
pub fn largest_batch(rows: &[Example], config: &config::Train, plan: Plan) -> Size {
    let batches = Batches::new(rows, config.batch_size, config.seed);
    let size = |rows_of: &[usize]| Size {
        tokens: rows_of.iter().map(|&row| rows[row].ids.len()).sum(),
        targets: rows_of.iter().map(|&row| rows[row].loss_tokens()).sum(),
    };
    (0..plan.total_steps.div_ceil(plan.steps_per_epoch).min(EPOCHS))
        .map(|number| batches.epoch(number))
        .flat_map(|epoch| {
            (0..batches.per_epoch()).map(move |index| size(epoch.rows(index))).collect::<Vec<_>>()
        })
        .max_by_key(|size| size.tokens)
        .unwrap_or(Size { tokens: 0, targets: 0 })
}

/// What a step works with.
pub struct Stepper<'a> {
    pub model: &'a CausalLm,
    pub config: &'a config::Train,
    pub plan: Plan,
    rows: &'a [Example],
    /// Varies the rows, where that is asked for.
    augmenter: Option<Augmenter<'a>>,
    /// Of the noise on embeddings.
    noise_alpha: f64,
    batches: Batches<'a>,
    /// The epoch in progress, with its number.
    epoch: Option<(u64, Epoch)>,
    /// Parts that each batch is cut into, because the device has no memory for more rows together.
    parts: usize,
    /// Tokens beyond which the device of a test runs out of memory.
    #[cfg(test)]
    pub(super) memory: Option<usize>,
}

impl<'a> Stepper<'a> {
    pub fn new(
        model: &'a CausalLm,
        rows: &'a [Example],
        augmenter: Option<Augmenter<'a>>,
        config: &'a Config,
        plan: Plan,
    ) -> Self {
        let batches = Batches::new(rows, config.train.batch_size, config.train.seed);
        Self {
            model,
            config: &config.train,
            plan,
            rows,
            augmenter,
            noise_alpha: config.augment.neftune_noise_alpha,
            batches,
            epoch: None,
            parts: 1,
            #[cfg(test)]
            memory: None,
        }
    }

    /// Takes step number `step`, from 1.
    ///
    /// When the loss or the gradient is not finite, the adapter is left as it is; the figures say so. When the
    /// device runs out of memory, batches are cut in two and summed, from this step on: the same step, up to
    /// the masks of dropout and the noise.
    pub fn take(&mut self, step: u64, adapter: &mut Adapter, optimiser: &mut AdamW) -> Result<StepStats> {
        let device = self.model.device.clone();
        on_a_worker(&device, || self.take_here(step, adapter, optimiser))
    }

    fn take_here(&mut self, step: u64, adapter: &mut Adapter, optimiser: &mut AdamW) -> Result<StepStats> {
        let (batches, nats, gradients) = loop {
            let batches = self.batches(step);
            match self.gradients(step, &batches, adapter) {
                Ok((nats, gradients)) => break (batches, nats, gradients),
                Err(error) if is_out_of_memory(&error) && self.parts < self.config.batch_size => {
                    self.parts *= 2;
                }
                Err(error) => return Err(error),
            }
        };
        let tokens: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        let loss = nats / tokens as f64;
        let norm = global_norm(self.model.kernels, &gradients)?;
        let rate = self.learning_rate(step);
        if loss.is_finite() && norm.is_finite() {
            let clip = clip(norm, self.config.max_grad_norm);
            optimiser.step(self.model.kernels, adapter, &gradients, clip, step, rate)?;
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

    /// Parts that each batch is cut into; more than 1 once the device has run out of memory.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// The sum of the losses of a step, and the gradients of their mean.
    fn gradients(&self, step: u64, batches: &[Batch], adapter: &Adapter) -> Result<(f64, Gradients)> {
        let tokens: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        let dropout = self.dropout(step, adapter.config.dropout);
        let mut gradients = Gradients::default();
        let mut nats = 0.0;
        for (index, batch) in batches.iter().enumerate() {
            #[cfg(test)]
            anyhow::ensure!(self.memory.is_none_or(|most| batch.ids.len() <= most), "out of memory");
            let training = Training {
                keep: keep(self.config),
                dropout: dropout.fork(index as u32),
                noise: self.noise(step, index),
                grad_scale: 1.0 / tokens as f32,
            };
            let (loss, part) = self.model.forward_backward(training, batch, adapter)?;
            nats += total(&loss);
            gradients.add(part)?;
        }
        Ok((nats, gradients))
    }

    fn batches(&mut self, step: u64) -> Vec<Batch> {
        let (number, taken) = self.plan.batches_of(step);
        let epoch = match self.epoch.take() {
            Some((of, epoch)) if of == number => epoch,
            _ => self.batches.epoch(number),
        };
        let rows = taken.flat_map(|index| epoch.parts(index as usize, self.parts));
        let batches = rows.map(|rows| batch(self.pack(number, rows))).collect();
        self.epoch = Some((number, epoch));
        batches
    }

    /// Rows as they are trained on in epoch number `epoch`.
    fn pack(&self, epoch: u64, rows: &[usize]) -> Packed {
        let example = |&row: &usize| match &self.augmenter {
            Some(augmenter) => augmenter.example(epoch, row),
            None => Cow::Borrowed(&self.rows[row]),
        };
        let examples: Vec<Cow<Example>> = rows.par_iter().map(example).collect();
        Packed::new(examples.iter().map(Cow::as_ref))
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let warmup = (self.config.warmup_ratio * self.plan.total_steps as f64).round() as u64;
        learning_rate(self.config.schedule, self.config.learning_rate, warmup, step, self.plan.total_steps)
    }

    /// Noise of its own for each step and part of it, the same whenever that step is taken.
    fn noise(&self, step: u64, part: usize) -> Noise {
        Noise::new(self.noise_alpha, self.config.seed, ((part as u64) << 48) | step)
    }

    /// A mask of its own for each step, the same whenever that step is taken.
    fn dropout(&self, step: u64, p: f64) -> Dropout {
        Dropout::new(p, self.config.seed as u32).fork(step as u32)
    }
}
