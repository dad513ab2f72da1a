//! Recitation: the trained rows come back by heart, the held-out ones do not.
//!
//! Two witnesses: what the model writes when it is given prompts of both sides, and the staircase
//! that the train loss makes where each new pass meets rows that the last one taught.

use super::finding::Words;
use super::{Case, Evidence, Finding, Severity};
use crate::curve::{TrainPoint, smooth};
use crate::event::{Places, Split};
use serde::Serialize;
use std::fmt;

/// What came back of trained and of held-out rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recited {
    pub step: u64,
    pub prompts: u32,
    /// Shares of the prompts of each side whose completion came back word for word.
    pub exact_train: f64,
    pub exact_valid: f64,
    /// Mean shares of the 8-token sequences of the reference that were written.
    pub overlap_train: f64,
    pub overlap_valid: f64,
}

/// The train loss steps down where an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Staircase {
    /// Epochs whose beginning shows the step.
    pub epochs: usize,
    /// The last step down, as a share of the loss before it, beyond the fall within the epoch.
    pub drop: f64,
    /// The epoch that it begins.
    pub epoch: f64,
}

/// How much more of the trained rows than of the held-out ones must come back, and in how many
/// standard errors of so few prompts.
const RECITED_MORE: f64 = 0.15;
const RECITED_ERRORS: f64 = 2.5;
/// A share of trained rows that is most of them.
const RECITED_MOST: f64 = 0.5;

/// Whether trained rows are regenerated and held-out ones are not.
pub fn generated(case: &Case) -> Option<Finding> {
    let newest = |split| case.curves.generated.iter().rev().find(|generated| generated.split == split);
    let (train, valid) = (newest(Split::TrainProbe)?, newest(Split::Valid)?);
    if train.step != valid.step || train.prompts.min(valid.prompts) == 0 {
        return None;
    }
    // One more row of each kind than there are, so that none of four is not certainty (Agresti & Caffo 2000).
    let variance = |share: f64, prompts: u32| {
        let n = f64::from(prompts) + 2.0;
        let share = (share * f64::from(prompts) + 1.0) / n;
        share * (1.0 - share) / n
    };
    let more = |a: f64, b: f64| {
        let error = (variance(a, train.prompts) + variance(b, valid.prompts)).sqrt();
        a - b > RECITED_MORE && a - b > RECITED_ERRORS * error
    };
    if !more(train.exact, valid.exact) && !more(train.overlap, valid.overlap) {
        return None;
    }
    let most = train.exact.max(train.overlap) >= RECITED_MOST;
    let evidence = Recited {
        step: train.step,
        prompts: train.prompts,
        exact_train: train.exact,
        exact_valid: valid.exact,
        overlap_train: train.overlap,
        overlap_valid: valid.overlap,
    };
    // While held-out rows still gain, what is learnt by heart does no harm yet.
    let gaining = case.standing.as_ref().is_none_or(|standing| standing.best == standing.last);
    let severity = if most && !gaining { Severity::Warn } else { Severity::Watch };
    Some(Finding { severity, evidence: Evidence::Recited(evidence) })
}

/// Steps that a quarter of an epoch must have for its median to mean something.
const QUARTER_STEPS: usize = 4;
/// A step down beyond the fall within the epoch that is one.
const STAIR: f64 = 0.05;

/// Whether the train loss falls at the beginnings of epochs and hardly between. With Adam a small
/// sawtooth is there without any learning by heart (arXiv 2410.10056), so small steps are none.
pub fn staircase(case: &Case) -> Option<Finding> {
    let train = &case.curves.train;
    let last = train.last()?.epoch()?;
    let begins = (1..(last + 0.75).floor() as u32).map(f64::from);
    let stairs: Vec<(f64, f64)> = begins
        .filter_map(|begin| Some((begin, stair(train, begin)?)))
        .filter(|(_, drop)| *drop > STAIR)
        .collect();
    let ((first, _), (epoch, drop)) = (*stairs.first()?, *stairs.last()?);
    let evidence = Evidence::Staircase(Staircase { epochs: stairs.len(), drop, epoch });
    let eval = &case.curves.eval;
    // Held-out rows that gained since say that something else was learnt too; without any, nobody knows.
    let gained = match &case.standing {
        None => true,
        Some(standing) => {
            let before = eval.iter().filter(|point| point.epoch.is_some_and(|at| at <= first));
            let lowest = before.map(|point| point.loss).fold(f64::INFINITY, f64::min);
            let after = eval.iter().filter(|point| point.epoch.is_some_and(|at| at > first)).count();
            let gain = 1.0 - eval[standing.best].loss / lowest;
            !lowest.is_finite() || after < 2 || gain > case.limits.recovered_rise
        }
    };
    let severity = if gained { Severity::None } else { Severity::Watch };
    Some(Finding { severity, evidence })
}

/// How much the train loss falls at the beginning of an epoch, beyond what it falls over the same
/// distance within the epoch.
fn stair(train: &[TrainPoint], begin: f64) -> Option<f64> {
    let quarter = |from: f64| {
        let at = |epoch: f64| train.partition_point(|point| point.epoch().is_some_and(|at| at <= epoch));
        let steps = &train[at(begin + from)..at(begin + from + 0.25).max(at(begin + from))];
        (steps.len() >= QUARTER_STEPS).then(|| smooth::median(steps.iter().map(|step| step.loss)))?
    };
    let (before, after, later) = (quarter(-0.25)?, quarter(0.0)?, quarter(0.25)?);
    let within = (1.0 - later / after).max(0.0);
    Some(1.0 - after / before - within)
}

impl Words for Recited {
    fn words(&self, f: &mut dyn fmt::Write, _: Places) -> fmt::Result {
        write!(
            f,
            "of {} trained prompts {:.0} % come back word for word, of held-out ones {:.0} %; {:.0} % and {:.0} % \
             of their 8-token sequences",
            self.prompts,
            100.0 * self.exact_train,
            100.0 * self.exact_valid,
            100.0 * self.overlap_train,
            100.0 * self.overlap_valid
        )
    }
}

impl Words for Staircase {
    fn words(&self, f: &mut dyn fmt::Write, _: Places) -> fmt::Result {
        write!(
            f,
            "train loss steps down where an epoch begins ({} so far, the last by {:.0} % at epoch {:.0}): rows \
             are remembered from the pass before",
            super::finding::times(self.epochs),
            100.0 * self.drop,
            self.epoch
        )
    }
}
