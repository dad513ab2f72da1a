//! A learning rate that does not suit: steps so long that they throw the model out of where it was, or
//! so short that the run ends in mid-fall.
//!
//! Told by what the losses do, since most logs do not give the rate. How far the eval loss has risen,
//! and whether that is noise, is for `overfit` to say.

use super::finding::{Rise, Words};
use super::{Case, Evidence, Finding, Severity, overfit};
use crate::curve::{EvalPoint, TrainPoint, smooth};
use crate::event::Places;
use crate::fmt::fixed;
use serde::Serialize;
use std::fmt;

/// The train loss was thrown up, the eval loss with it, and the eval loss has not come back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Thrown {
    #[serde(flatten)]
    pub throw: Throw,
    #[serde(flatten)]
    pub rise: Rise,
}

/// Where the train loss was thrown up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Throw {
    /// The end of the steps over which it was highest.
    pub peak_step: u64,
    /// Its median over these, and before.
    pub train_peak: f64,
    pub train_before: f64,
    /// The highest learning rate until then.
    pub learning_rate: Option<f64>,
}

/// The eval loss falls as fast at the end as it did before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StillFalling {
    pub last_step: u64,
    pub last_loss: f64,
    /// The fall over the first half of the run and over the second, as shares of the first loss.
    pub first_half: f64,
    pub second_half: f64,
    /// Fall over the second half, as a share of the loss an epoch, where epochs are known.
    pub per_epoch: Option<f64>,
    /// The highest learning rate so far.
    pub learning_rate: Option<f64>,
}

/// A train loss so far above that before is no batch of hard rows.
const THROWN: f64 = 1.25;
/// ... and so many times the noise of a stretch.
const THROWN_NOISE: f64 = 4.0;
/// Steps of a stretch whose median counts, at the least, and stretches between two evaluations.
const STRETCH_STEPS: usize = 3;
const STRETCHES: usize = 4;
/// Evaluations after the best by which a throw must have happened to be the cause of the rise.
const THROWN_EVALS: usize = 3;

/// Whether the train loss was thrown up soon after evaluation `best`, and the eval loss with it.
pub fn thrown(case: &Case, eval: &[EvalPoint], best: usize) -> Option<Throw> {
    let curves = case.curves;
    let upto = eval.get((best + THROWN_EVALS).min(eval.len() - 1))?.step;
    let steps = curves.train_between(Some(eval[best].step), upto);
    let stretch = (steps.len() / (THROWN_EVALS * STRETCHES)).max(STRETCH_STEPS);
    let middle = |steps: &[TrainPoint]| smooth::median(steps.iter().map(|step| step.loss));
    // Of a log with fewer steps, the means between evaluations.
    let stretches: Vec<(u64, f64)> = if steps.len() >= 2 * STRETCH_STEPS {
        steps.chunks_exact(stretch).filter_map(|steps| Some((steps.last()?.step, middle(steps)?))).collect()
    } else {
        steps.iter().map(|step| (step.step, step.loss)).filter(|(_, loss)| loss.is_finite()).collect()
    };
    let before = overfit::train_at(curves, eval, best)?;
    let (peak_step, train_peak) = stretches.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let losses: Vec<f64> = stretches.iter().map(|(_, loss)| *loss).collect();
    let noise = smooth::noise(&losses).unwrap_or(0.0);
    if train_peak < THROWN * before || train_peak - before < THROWN_NOISE * noise {
        return None;
    }
    // The first evaluation after it, or that of its own step, must show it too.
    let shown = eval[best + 1..].iter().find(|point| point.step >= peak_step)?;
    if shown.loss < (1.0 + case.limits.warn_rise) * eval[best].loss {
        return None;
    }
    let rates = curves.train_between(None, peak_step).iter().filter_map(TrainPoint::learning_rate);
    let learning_rate = rates.reduce(f64::max).or(case.run.settings.learning_rate);
    Some(Throw { peak_step, train_peak, train_before: before, learning_rate })
}

/// Evaluations from which on a pace is told.
const PACE_EVALS: usize = 7;
/// The fall over the second half of the run, as a share of that over the first, and over its last third, as a
/// share of the pace before, that has not slowed; of an exponential or a power law it is far less.
const NOT_SLOWED: f64 = 0.7;
/// ... and that is faster.
const FASTER: f64 = 1.0 / NOT_SLOWED;
/// A fall worth a word, and one that is large: where so much has been learnt the pace is no lack.
const FALL: (f64, f64) = (0.02, 0.5);

/// Whether the eval loss falls as fast at its end as before: more of the same would lower it.
pub fn still_falling(case: &Case) -> Option<Finding> {
    let eval: Vec<&EvalPoint> = case.curves.eval.iter().filter(|point| point.loss.is_finite()).collect();
    if eval.len() < PACE_EVALS || case.standing.as_ref()?.best + 2 < case.curves.eval.len() {
        return None;
    }
    // Medians of three, at the ends and in the middle: one evaluation is no pace.
    let newest = eval.len() - 2;
    let around = |at: usize| smooth::median(eval[at - 1..=at + 1].iter().map(|point| point.loss));
    // Halves of equal length: of an even number the middle is between two.
    let middle = f64::midpoint(around((eval.len() - 1) / 2)?, around(eval.len() / 2)?);
    let (first, last) = (around(1)?, around(newest)?);
    let (first_half, second_half) = (1.0 - middle / first, (middle - last) / first);
    let whole = first_half + second_half;
    // The end itself, and not a fall that is over by then: the last third against the rest.
    let third = newest - (newest - 1).div_ceil(3);
    let pace = |from: usize, to: usize| Some((around(from)? - around(to)?) / (to - from) as f64);
    let slowed = pace(third, newest)? < NOT_SLOWED * pace(1, third)?;
    let trained = case.curves.train.last().is_none_or(|step| step.loss.is_finite());
    if !trained || !(FALL.0..FALL.1).contains(&whole) || second_half < NOT_SLOWED * first_half || slowed {
        return None;
    }
    let (halfway, end) = (eval[(eval.len() - 1) / 2], eval[eval.len() - 1]);
    let epochs = end.epoch.zip(halfway.epoch).map(|(end, halfway)| end - halfway);
    let rates = case.curves.train.iter().filter_map(TrainPoint::learning_rate);
    let evidence = StillFalling {
        last_step: end.step,
        last_loss: end.loss,
        first_half,
        second_half,
        per_epoch: epochs.filter(|epochs| *epochs > 0.0).map(|epochs| second_half / epochs),
        learning_rate: rates.reduce(f64::max).or(case.run.settings.learning_rate),
    };
    Some(Finding { severity: Severity::None, evidence: Evidence::StillFalling(evidence) })
}

impl Words for Thrown {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        let Throw { peak_step, train_peak, train_before, learning_rate } = self.throw;
        write!(f, "train loss was thrown from {} to {} by ", fixed(train_before, 3), fixed(train_peak, 3))?;
        f.write_str(&places.at(peak_step))?;
        if let Some(rate) = learning_rate {
            write!(f, " (learning rate up to {rate:.1e})")?;
        }
        f.write_str(", and eval loss has not come back: ")?;
        self.rise.words(f, places)
    }
}

impl Words for StillFalling {
    fn words(&self, f: &mut dyn fmt::Write, _: Places) -> fmt::Result {
        let faster = self.second_half > FASTER * self.first_half;
        let how = if faster { "faster at the end than before" } else { "about as fast at the end as before" };
        write!(
            f,
            "eval loss falls {how} ({:.1} % over the second half of the run, {:.1} % over the first",
            100.0 * self.second_half,
            100.0 * self.first_half
        )?;
        if let Some(pace) = self.per_epoch {
            write!(f, "; {:.1} % an epoch", 100.0 * pace)?;
        }
        f.write_str("): the run is short, or its learning rate low")?;
        self.learning_rate.map_or(Ok(()), |rate| write!(f, " ({rate:.1e} at most)"))
    }
}
