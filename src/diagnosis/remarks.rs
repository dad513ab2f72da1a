//! Remarks: what a reader should know that is no sickness, and names no verdict.
//!
//! Signs of a leak between the splits, a train loss on another scale, a curve that has gone flat. Each
//! has an innocent explanation too, which its words give.

use super::finding::Words;
use super::{Case, Evidence, Finding, Severity, finding};
use crate::curve::smooth;
use crate::event::{LossUnit, Places};
use crate::fmt::fixed;
use serde::Serialize;
use std::fmt;

/// The eval loss keeps to the train loss although the rows have been seen many times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LeakSign {
    pub step: u64,
    pub epoch: f64,
    pub train_loss: f64,
    pub eval_loss: f64,
}

/// The train loss is a whole multiple of the eval loss throughout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OtherScale {
    pub ratio: f64,
    /// The whole number that it is near.
    pub times: u32,
}

/// The eval loss has stopped improving and does not rise either.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Flat {
    pub best_step: u64,
    pub best_loss: f64,
    /// Evaluations since then.
    pub evals: usize,
    /// Whether the first evaluation is still the best one.
    pub never_improved: bool,
}

/// Several evaluations are equally low, by the figures of the log.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tie {
    pub evals: usize,
    pub loss: f64,
    pub first_step: u64,
    pub last_step: u64,
    /// The one that is named the best.
    pub best_step: u64,
}

/// The gap between held-out rows and a sample of the trained ones, both evaluated alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// At the best evaluation, and now.
    pub at_best: f64,
    pub now: f64,
    pub last_step: u64,
    /// Growth an epoch, where epochs are known.
    pub per_epoch: Option<f64>,
    pub unit: LossUnit,
}

/// The newest evaluation is far above the best, and no rule calls that a rise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NewestAbove {
    pub step: u64,
    pub loss: f64,
    /// How far it is above the best, as a share of the best, and how far the highest since the best is.
    pub above: f64,
    pub highest: f64,
    /// Standard deviation of one evaluation, as a share of the best, where enough of them have shown it.
    pub noise: Option<f64>,
}

fn remark(evidence: Evidence) -> Finding {
    Finding { severity: Severity::None, evidence }
}

/// Passes over the rows after which an eval loss that keeps to the train loss is worth a word, and
/// what the train loss must have fallen to, as a share of its start.
const LEAK_EPOCHS: f64 = 3.0;
const LEAK_FALL: f64 = 0.5;
/// Within this of each other, the losses keep together.
const TOGETHER: f64 = 0.03;

/// Whether the eval loss keeps to a train loss that repetition alone should have driven below it.
pub fn leak(case: &Case) -> Option<Finding> {
    let comparable = case.run.train_loss.comparable(case.run.eval_loss);
    let last = case.curves.eval.last().filter(|point| comparable && point.loss.is_finite())?;
    let epoch = last.epoch.filter(|epoch| *epoch >= LEAK_EPOCHS)?;
    let start = case.curves.train.first()?.loss;
    // Of the train rows as the held-out ones are evaluated, where that is known.
    let probe = case.curves.probe.iter().rev().find(|point| point.step == last.step);
    let train_loss = probe.map(|point| point.loss).or(last.train_loss)?;
    let together = last.loss <= train_loss * (1.0 + TOGETHER);
    if train_loss.partial_cmp(&(LEAK_FALL * start)) != Some(std::cmp::Ordering::Less) || !together {
        return None;
    }
    let sign = LeakSign { step: last.step, epoch, train_loss, eval_loss: last.loss };
    Some(remark(Evidence::LeakSign(sign)))
}

/// Evaluations from which a ratio is told.
const RATIO_EVALS: usize = 4;

/// Whether the train loss is a whole multiple of the eval loss from the first evaluation to the last:
/// some trainers print the sum over accumulated batches.
pub fn other_scale(case: &Case) -> Option<Finding> {
    let ratio = |point: &crate::curve::EvalPoint| {
        point.train_loss.map(|train| train / point.loss).filter(|ratio| ratio.is_finite())
    };
    let ratios: Vec<f64> = case.curves.eval.iter().filter_map(ratio).collect();
    let middle = smooth::median(ratios.iter().copied())?;
    let times = middle.round();
    let close = |ratio: &f64| (ratio / times - 1.0).abs() < 0.12;
    let apart = ratios.iter().filter(|ratio| !close(ratio)).count();
    // The first interval holds the fall from the start, and may be apart.
    let whole = times >= 2.0 && (middle / times - 1.0).abs() < 0.05 && apart <= 1;
    (whole && ratios.len() >= RATIO_EVALS)
        .then(|| remark(Evidence::OtherScale(OtherScale { ratio: middle, times: times as u32 })))
}

/// Evaluations without a new best that make a flat stretch, and the share of the run that they are.
const FLAT_EVALS: usize = 4;
const FLAT_SHARE: f64 = 0.4;

/// Whether the eval loss has gone flat. That it has risen is for another rule to say.
pub fn flat(case: &Case) -> Option<Finding> {
    let standing = case.standing.as_ref()?;
    let eval = &case.curves.eval;
    let evals = eval[standing.best + 1..].iter().filter(|point| point.loss.is_finite()).count();
    let long = evals >= FLAT_EVALS && evals as f64 >= FLAT_SHARE * standing.finite as f64;
    if !long || standing.rise > case.limits.watch_rise {
        return None;
    }
    let best = &eval[standing.best];
    let never_improved = standing.best == 0;
    let flat = Flat { best_step: best.step, best_loss: best.loss, evals, never_improved };
    Some(remark(Evidence::Flat(flat)))
}

/// Whether several evaluations are equally low; not where most of them are, which is a flat line.
pub fn tie(case: &Case) -> Option<Finding> {
    let eval = &case.curves.eval;
    let best = &eval[super::named_best(case.curves, case.run)?];
    let tied: Vec<_> = eval.iter().filter(|point| point.loss == best.loss).collect();
    let (first, last) = (tied.first()?, tied.last()?);
    let tie = Tie {
        evals: tied.len(),
        loss: best.loss,
        first_step: first.step,
        last_step: last.step,
        best_step: best.step,
    };
    (tied.len() > 1 && 2 * tied.len() <= eval.len()).then(|| remark(Evidence::Tie(tie)))
}

/// A newest evaluation so far above the best is not left without a word beside `healthy`.
const NEWEST_ABOVE: f64 = 0.05;
/// What was higher by this factor is coming back.
const COMING_BACK: f64 = 1.5;
/// Standard deviations of its noise that chance takes an evaluation above the best of them.
const BY_CHANCE: f64 = 5.0;

/// Whether the newest evaluation is far above the best; to be said where no rule has found a rise.
pub fn newest_above(case: &Case) -> Option<Finding> {
    let standing = case.standing.as_ref()?;
    let (best, last) = (&case.curves.eval[standing.best], &case.curves.eval[standing.last]);
    let above = last.loss / best.loss - 1.0;
    if standing.finite < case.limits.min_evals || above <= NEWEST_ABOVE {
        return None;
    }
    let since = case.curves.eval[standing.best..=standing.last].iter().map(|point| point.loss);
    let highest = since.filter(|loss| loss.is_finite()).fold(last.loss, f64::max) / best.loss - 1.0;
    let noise = (standing.finite >= smooth::NOISE_MIN_POINTS).then_some(standing.climb.noise);
    let newest = NewestAbove { step: last.step, loss: last.loss, above, highest, noise };
    Some(remark(Evidence::NewestAbove(newest)))
}

/// Growth of the gap since the best evaluation that is worth a word, in shares of the best loss.
const GAP_GROWTH: f64 = 0.10;

/// How far the held-out rows are behind a sample of the trained ones. Both are evaluated without
/// dropout at the same step, so neither dropout nor a mean over past steps can fake a gap.
pub fn gap(case: &Case) -> Option<Finding> {
    let standing = case.standing.as_ref()?;
    let (eval, probe) = (&case.curves.eval, &case.curves.probe);
    let at = |index: usize| {
        let point = &eval[index];
        let of_train = probe.iter().find(|probe| probe.step == point.step)?;
        Some(point.loss - of_train.loss).filter(|gap| gap.is_finite())
    };
    let (at_best, now) = (at(standing.best)?, at(standing.last)?);
    if now - at_best < GAP_GROWTH * eval[standing.best].loss {
        return None;
    }
    let (best, last) = (&eval[standing.best], &eval[standing.last]);
    let epochs = last.epoch.zip(best.epoch).map(|(last, best)| last - best).filter(|epochs| *epochs > 0.0);
    let per_epoch = epochs.map(|epochs| (now - at_best) / epochs);
    let unit = case.run.eval_loss.unit;
    Some(remark(Evidence::Gap(Gap { at_best, now, last_step: last.step, per_epoch, unit })))
}

impl Words for LeakSign {
    fn words(&self, f: &mut dyn fmt::Write, _: Places) -> fmt::Result {
        write!(
            f,
            "after {:.0} epochs eval loss ({}) is hardly above that of trained rows ({}): the task is easy, or \
             held-out rows are among the trained ones (`tune data` finds them)",
            self.epoch,
            fixed(self.eval_loss, 3),
            fixed(self.train_loss, 3)
        )
    }
}

impl Words for OtherScale {
    fn words(&self, f: &mut dyn fmt::Write, _: Places) -> fmt::Result {
        write!(
            f,
            "train loss is {:.1} times eval loss throughout: it looks like a sum over {} accumulated batches, \
             so the gap between the two says nothing",
            self.ratio, self.times
        )
    }
}

impl Words for Flat {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        if self.never_improved {
            return write!(
                f,
                "eval loss has never improved on its first evaluation ({} at {})",
                fixed(self.best_loss, 3),
                places.at(self.best_step)
            );
        }
        write!(
            f,
            "eval loss is flat: no better than {} at {} for {} evaluations",
            fixed(self.best_loss, 3),
            places.at(self.best_step),
            self.evals
        )
    }
}

impl Words for Tie {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        let Self { evals, loss, first_step, last_step, best_step } = *self;
        write!(
            f,
            "{evals} evaluations are equally low ({}), from {} to {}: the best is taken to be at ",
            fixed(loss, 4),
            places.at(first_step),
            places.at(last_step)
        )?;
        write!(f, "{}, ", places.at(best_step))?;
        f.write_str(if best_step == last_step {
            "where a curve that still falls is lowest"
        } else {
            "which was trained for the least long"
        })
    }
}

impl Words for NewestAbove {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        write!(
            f,
            "the newest eval loss ({} at {}) is {} the best",
            fixed(self.loss, 3),
            places.at(self.step),
            finding::above(self.above, None, false)
        )?;
        if self.highest > COMING_BACK * self.above {
            return write!(
                f,
                ", and was {} it: it is coming back",
                finding::above(self.highest, None, false)
            );
        }
        match self.noise.filter(|noise| self.above > BY_CHANCE * noise) {
            Some(noise) => write!(
                f,
                ", far more than this log's noise ({:.1} %): too few are so high for a verdict, the next will tell",
                100.0 * noise
            ),
            None => f.write_str(": within what this log's noise, or its few evaluations, can do by chance"),
        }
    }
}

impl Words for Gap {
    fn words(&self, f: &mut dyn fmt::Write, _: Places) -> fmt::Result {
        write!(
            f,
            "held-out rows cost {}{} more than trained ones, {} at the best evaluation",
            fixed(self.now, 3),
            finding::unit(self.unit),
            fixed(self.at_best, 3)
        )?;
        self.per_epoch.map_or(Ok(()), |growth| write!(f, "; the gap grows by {} an epoch", fixed(growth, 3)))
    }
}
