//! The lowest, the highest and the mean of any stretch of the train curve, without walking along it:
//! what a chart of a million steps needs for each of its columns, thirty times a second.
//!
//! Blocks of steps are summed up as they come in; a stretch is a few blocks and two loose ends.

use super::TrainPoint;
use std::ops::Range;

/// Steps to a block: a stretch costs at most two of them, and its blocks.
const BLOCK: usize = 64;

/// What a stretch of training steps comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The lowest and the highest loss that is a number; NaN where none is.
    pub low: f64,
    pub high: f64,
    /// Whether some loss is not a finite number.
    pub broken: bool,
    /// The largest gradient norm that is a finite number; NaN where none is.
    pub grad_norm: f64,
    /// Sum of the losses, each times its weight, and of the weights.
    sum: f64,
    weight: f64,
}

impl Summary {
    const NOTHING: Self =
        Self { low: f64::NAN, high: f64::NAN, broken: false, grad_norm: f64::NAN, sum: 0.0, weight: 0.0 };

    /// Mean over the tokens, or over the steps where those are not known; NaN where a loss is.
    pub fn mean(&self) -> f64 {
        self.sum / self.weight
    }

    // `min` and `max` pass over a NaN.
    fn and(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            broken: self.broken || other.broken,
            grad_norm: self.grad_norm.max(other.grad_norm),
            sum: self.sum + other.sum,
            weight: self.weight + other.weight,
        }
    }

    fn of(points: &[TrainPoint]) -> Self {
        points.iter().fold(Self::NOTHING, |summary, point| {
            let weight = f64::from(point.tokens.max(1));
            let loss = if point.loss.is_finite() { point.loss } else { f64::NAN };
            let grad_norm = point.grad_norm().filter(|norm| norm.is_finite()).unwrap_or(f64::NAN);
            summary.and(Self {
                low: loss,
                high: loss,
                broken: loss.is_nan(),
                grad_norm,
                sum: loss * weight,
                weight,
            })
        })
    }
}

/// The blocks of a train curve.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    blocks: Vec<Summary>,
    /// How many points are in them.
    counted: usize,
}

impl Blocks {
    /// Takes note that the points from `from` on have changed: one more, one replaced, or some gone.
    pub(super) fn renew(&mut self, points: &[TrainPoint], from: usize) {
        let first = from / BLOCK;
        if from == self.counted && points.len() == from + 1 {
            // The next step of a run, as nearly all are.
            let summary = Summary::of(&points[from..]);
            match self.blocks.get_mut(first) {
                Some(block) => *block = block.and(summary),
                None => self.blocks.push(summary),
            }
        } else {
            self.blocks.truncate(first);
            self.blocks.extend(points[(first * BLOCK).min(points.len())..].chunks(BLOCK).map(Summary::of));
        }
        self.counted = points.len();
    }

    /// What a stretch comes to.
    pub(super) fn over(&self, points: &[TrainPoint], range: Range<usize>) -> Summary {
        let (start, end) = (range.start.min(points.len()), range.end.min(points.len()));
        let (first, last) = (start.div_ceil(BLOCK), end / BLOCK);
        if first >= last {
            return Summary::of(&points[start..end.max(start)]);
        }
        let blocks = self.blocks[first..last].iter().fold(Summary::NOTHING, |sum, block| sum.and(*block));
        Summary::of(&points[start..first * BLOCK]).and(blocks).and(Summary::of(&points[last * BLOCK..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Curves;
    use super::*;
    use crate::event::{Event, Resumed, StepStats};

    fn apply(curves: &mut Curves, step: u64) {
        // Jagged, the same every time, and now and then no number.
        let loss = if step % 97 == 5 { f64::NAN } else { (step * 7919 % 1009) as f64 / 100.0 };
        let grad_norm = Some((step % 13) as f64);
        let stats = StepStats { step, loss, tokens: step % 7, grad_norm, ..StepStats::default() };
        curves.apply(0.0, &Event::Step(stats));
    }

    /// Every stretch from `from` on, against a walk along it.
    fn check(curves: &Curves) {
        let n = curves.train.len();
        for (start, end) in
            [(0, n), (0, 1), (1, 65), (63, 64), (64, 128), (10, 400), (n - 1, n), (5, 5), (3, n + 9)]
        {
            let (found, walked) =
                (curves.train_summary(start..end), Summary::of(&curves.train[start..end.min(n)]));
            assert_eq!(
                (found.low.to_bits(), found.high.to_bits(), found.broken, found.grad_norm.to_bits()),
                (walked.low.to_bits(), walked.high.to_bits(), walked.broken, walked.grad_norm.to_bits()),
                "{start}..{end}"
            );
            assert!(
                (found.mean() - walked.mean()).abs() < 1e-9
                    || found.mean().is_nan() && walked.mean().is_nan(),
                "{start}..{end}"
            );
        }
    }

    #[test]
    fn a_summary_is_what_a_walk_finds_whatever_happened_before() {
        let mut curves = Curves::default();
        (0..500).filter(|step| step % 3 != 1).for_each(|step| apply(&mut curves, step));
        check(&curves);
        // Late, and again.
        (0..500).step_by(11).for_each(|step| apply(&mut curves, step));
        check(&curves);
        curves.apply(0.0, &Event::RunResumed(Resumed { step: 300 }));
        (280..520).for_each(|step| apply(&mut curves, step));
        check(&curves);
        assert!(curves.train_summary(0..500).broken && !curves.train_summary(0..3).broken);
    }
}
