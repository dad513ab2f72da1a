//! How many steps there are, and at which of them something else happens. Pure arithmetic.

use crate::config::Config;

/// The steps of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Batches in one pass over the training rows, the last one perhaps smaller.
    pub batches_per_epoch: u64,
    /// Batches summed in one optimiser step.
    pub accumulation: u64,
    /// Optimiser steps in one pass; the last one takes the batches that are left.
    pub steps_per_epoch: u64,
    pub total_steps: u64,
    /// Optimiser steps between two evaluations.
    pub eval_every: u64,
}

impl Plan {
    /// The plan for a number of training rows.
    pub fn new(config: &Config, rows: usize) -> Self {
        let batches_per_epoch = (rows as u64).div_ceil(config.train.batch_size as u64).max(1);
        let accumulation = config.train.gradient_accumulation as u64;
        let steps_per_epoch = batches_per_epoch.div_ceil(accumulation);
        let steps_in = |epochs: f64| (epochs * steps_per_epoch as f64).round().max(1.0) as u64;
        let total_steps = config.train.steps.unwrap_or_else(|| steps_in(config.train.epochs));
        let eval_every = config.eval.every_steps.unwrap_or_else(|| steps_in(config.eval.every_epochs));
        Self { batches_per_epoch, accumulation, steps_per_epoch, total_steps, eval_every }
    }

    /// The epoch, counted from 0, and the batches of it that optimiser step `step` takes; steps count from 1.
    pub fn batches_of(&self, step: u64) -> (u64, std::ops::Range<u64>) {
        let (epoch, within) = ((step - 1) / self.steps_per_epoch, (step - 1) % self.steps_per_epoch);
        let first = within * self.accumulation;
        (epoch, first..(first + self.accumulation).min(self.batches_per_epoch))
    }

    /// Passes over the training rows after `step` steps.
    pub fn epoch_at(&self, step: u64) -> f64 {
        step as f64 / self.steps_per_epoch as f64
    }

    /// Whether the held-out rows are evaluated after `step`.
    pub fn evaluates_at(&self, step: u64) -> bool {
        step.is_multiple_of(self.eval_every) || step == self.total_steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rows: usize, batch: usize, accumulation: usize) -> Plan {
        let mut config = Config::default();
        config.train.batch_size = batch;
        config.train.gradient_accumulation = accumulation;
        config.train.epochs = 2.0;
        Plan::new(&config, rows)
    }

    #[test]
    fn the_last_partial_accumulation_is_a_step_of_its_own() {
        let plan = plan(50, 8, 3);
        assert_eq!((plan.batches_per_epoch, plan.steps_per_epoch, plan.total_steps), (7, 3, 6));
        let taken: Vec<_> = (1..=6).map(|step| plan.batches_of(step)).collect();
        assert_eq!(taken, [(0, 0..3), (0, 3..6), (0, 6..7), (1, 0..3), (1, 3..6), (1, 6..7)]);
        assert!((plan.epoch_at(3) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn evaluations_fall_on_the_cadence_and_on_the_end() {
        let mut config = Config::default();
        config.train.steps = Some(25);
        config.eval.every_steps = Some(10);
        let plan = Plan::new(&config, 100);
        let at: Vec<u64> = (1..=25).filter(|&step| plan.evaluates_at(step)).collect();
        assert_eq!(at, [10, 20, 25]);
    }
}
