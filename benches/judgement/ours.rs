//! Our own judgement, asked the same things as the others.

use crate::baselines::Said;
use crate::simulate::Pair;
use tune::curve::Curves;
use tune::diagnosis::{Diagnosis, Limits, Severity, Verdict, diagnose};
use tune::event::{EvalStats, Event, RunInfo, StepStats};

/// Optimiser steps between two evaluations, and in an epoch.
const EVERY: u64 = 20;
const EPOCH: f64 = 40.0;

/// A run as it is told, one evaluation at a time.
#[derive(Default)]
pub struct Told {
    pub curves: Curves,
    evals: u64,
}

impl Told {
    /// Takes in the next evaluation; its train loss too, where the log has one.
    pub fn push(&mut self, pair: &Pair, with_train: bool) {
        self.evals += 1;
        let step = self.evals * EVERY;
        let epoch = Some(step as f64 / EPOCH);
        if with_train && pair.train.is_finite() {
            let stats = StepStats { step, epoch, loss: pair.train, tokens: 100, ..StepStats::default() };
            self.curves.apply(0.0, &Event::Step(stats));
        }
        let stats = EvalStats { step, epoch, loss: pair.eval, tokens: 100, ..EvalStats::default() };
        self.curves.apply(0.0, &Event::Eval(stats));
    }

    pub fn judge(&self, limits: &Limits) -> Diagnosis {
        diagnose(&self.curves, &RunInfo::default(), limits)
    }
}

/// How grave the judgement finds a rise of the eval loss.
pub fn alarm(diagnosis: &Diagnosis) -> Severity {
    let rises = |verdict| matches!(verdict, Verdict::Overfitting | Verdict::Diverged);
    let grave = diagnosis.findings.iter().filter(|finding| rises(finding.verdict()));
    grave.map(|finding| finding.severity).max().unwrap_or_default()
}

/// What the judgement says at `watch` and at `warn`, and where it puts the turn in the end.
pub fn said(run: &[Pair], limits: &Limits, with_train: bool) -> ([Said; 2], Option<usize>) {
    let mut told = Told::default();
    let mut said = [Said::default(); 2];
    let mut onset = None;
    for (index, pair) in run.iter().enumerate() {
        told.push(pair, with_train);
        let diagnosis = told.judge(limits);
        let alarm = alarm(&diagnosis);
        for (said, level) in said.iter_mut().zip([Severity::Watch, Severity::Warn]) {
            said.end = alarm >= level;
            said.first = said.first.or(said.end.then_some(index));
        }
        onset = diagnosis.onset;
    }
    (said, onset)
}

/// How grave the judgement finds the rise of a run at its end.
pub fn at_end(run: &[Pair], limits: &Limits, with_train: bool) -> Severity {
    let mut told = Told::default();
    for pair in run {
        told.push(pair, with_train);
    }
    alarm(&told.judge(limits))
}
