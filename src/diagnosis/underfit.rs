//! A run that has learnt nothing: both losses are where they began.
//!
//! A run that still falls at its end is no case for this rule: that is `plateau`'s opposite and an
//! advice at most, for nobody can tell from a curve how low it would go.

use super::finding::Words;
use super::{Case, Evidence, Finding, Severity};
use crate::curve::smooth;
use crate::event::Places;
use crate::fmt::fixed;
use serde::Serialize;
use std::fmt;

/// Both losses are where they began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NothingLearnt {
    pub first_step: u64,
    pub first_loss: f64,
    pub last_step: u64,
    pub last_loss: f64,
    /// Change of the train loss from the first third of the run to the last, as a share.
    pub train_change: f64,
    /// The highest learning rate so far.
    pub learning_rate: Option<f64>,
}

/// Evaluations that all must lie where the first one does.
const EVALS: usize = 4;
/// How far from their median these may lie, as a share of it...
const FLAT: f64 = 0.01;
/// ... or in standard deviations of their noise.
const SPREAD: f64 = 3.5;
/// How far the train loss may move, which is noisier.
const TRAIN_FLAT: f64 = 0.04;
/// Training steps that a third of the run must have for its median to mean something.
const STEPS: usize = 3;

/// Whether both losses never left the start.
pub fn rule(case: &Case) -> Option<Finding> {
    let finite: Vec<_> = case.curves.eval.iter().filter(|point| point.loss.is_finite()).collect();
    let (first, last) = (finite.first()?, finite.last()?);
    let losses: Vec<f64> = finite.iter().map(|point| point.loss).collect();
    let middle_of = |losses: &[f64]| smooth::median(losses.iter().copied());
    let middle = middle_of(&losses)?;
    // Noise is no learning: it is allowed for, but not to hide a trend.
    let noise = smooth::noise(&losses).unwrap_or(0.0) / middle;
    let (room, part) = (FLAT.max(SPREAD * noise), losses.len() / 3);
    let flat = losses.iter().all(|loss| (loss / middle - 1.0).abs() < room);
    let trend =
        |part: usize| Some(middle_of(&losses[losses.len() - part..])? / middle_of(&losses[..part])? - 1.0);
    let third = case.curves.train.len() / 3;
    if finite.len() < EVALS || !flat || third < STEPS || trend(part.max(1))?.abs() > FLAT.max(noise) {
        return None;
    }
    let train = &case.curves.train;
    let middle = |steps: &[crate::curve::TrainPoint]| smooth::median(steps.iter().map(|step| step.loss));
    let train_change = middle(&train[train.len() - third..])? / middle(&train[..third])? - 1.0;
    if train_change.abs() > TRAIN_FLAT {
        return None;
    }
    let rates = train.iter().filter_map(crate::curve::TrainPoint::learning_rate);
    let evidence = NothingLearnt {
        first_step: first.step,
        first_loss: first.loss,
        last_step: last.step,
        last_loss: last.loss,
        train_change,
        learning_rate: rates.reduce(f64::max),
    };
    Some(Finding { severity: Severity::Watch, evidence: Evidence::NothingLearnt(evidence) })
}

impl Words for NothingLearnt {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        write!(
            f,
            "nothing has been learnt: eval loss was {} at {} and is {} at {}, and train \
             loss has not moved either",
            fixed(self.first_loss, 3),
            places.at(self.first_step),
            fixed(self.last_loss, 3),
            places.at(self.last_step)
        )?;
        self.learning_rate.map_or(Ok(()), |rate| write!(f, " (learning rate at most {rate:.1e})"))
    }
}
