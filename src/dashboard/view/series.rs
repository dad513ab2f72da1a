//! The curves as points of the chart: what is plotted over what, with no more points than columns
//! can show. Nothing is lost by that: a spike is the highest or the lowest point of its column.

use crate::curve::{Curves, EvalPoint, TrainPoint};
use crate::dashboard::model::XAxis;
use crate::event::ExampleLoss;

/// A place on the chart in units of the data; a `y` that is not finite is a gap.
pub type Point = (f64, f64);

/// Averages of the train loss where there are no evaluations to align them with.
const BINS: usize = 24;

/// The x of training steps and evaluations.
pub trait Place {
    fn x(&self, axis: XAxis) -> f64;
}

impl Place for TrainPoint {
    fn x(&self, axis: XAxis) -> f64 {
        if axis == XAxis::Step { self.step as f64 } else { self.epoch().unwrap_or(f64::NAN) }
    }
}

impl Place for EvalPoint {
    fn x(&self, axis: XAxis) -> f64 {
        if axis == XAxis::Step { self.step as f64 } else { self.epoch.unwrap_or(f64::NAN) }
    }
}

/// Steps, or epochs where they are asked for and known.
pub fn x_axis(curves: &Curves, wish: XAxis) -> XAxis {
    let known = |epoch: f64| epoch.is_finite() && epoch > 0.0;
    let newest = curves.train.last().map(TrainPoint::epoch).or(curves.eval.last().map(|p| p.epoch));
    if newest.flatten().is_some_and(known) { wish } else { XAxis::Step }
}

/// The training steps that fall into one column.
pub struct Column {
    pub x: f64,
    /// The lowest and the highest loss that is a number; NaN where none is.
    pub low: f64,
    pub high: f64,
    /// Whether some loss is not a number.
    pub gap: bool,
}

/// Every training step, column by column.
pub fn steps(steps: &[TrainPoint], axis: XAxis, column: impl Fn(f64) -> i64) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut rest = steps;
    while let Some(first) = rest.first() {
        let here = column(first.x(axis));
        let count = rest.partition_point(|step| column(step.x(axis)) <= here).max(1);
        let (steps, after) = rest.split_at(count);
        let finite = steps.iter().map(|step| step.loss).filter(|loss| loss.is_finite());
        // `min` and `max` pass over a NaN.
        let (low, high) = finite.fold((f64::NAN, f64::NAN), |(lo, hi), y| (y.min(lo), y.max(hi)));
        let gap = steps.iter().any(|step| !step.loss.is_finite());
        columns.push(Column { x: first.x(axis), low, high, gap });
        rest = after;
    }
    columns
}

/// Every evaluation.
pub fn eval(curves: &Curves, axis: XAxis) -> Vec<Point> {
    curves.eval.iter().map(|point| (point.x(axis), point.loss)).collect()
}

/// The train loss on the scale of the evaluations: its mean over each interval between two of
/// them, in the middle of the interval. The line ends at the newest step, with the mean of as many
/// steps as are in a quarter of an interval.
pub fn train(curves: &Curves, axis: XAxis) -> Vec<Point> {
    let Some(newest) = curves.train.last() else { return Vec::new() };
    let mut line = Vec::new();
    let mut from = curves.train[0].x(axis);
    for point in &curves.eval {
        line.extend(point.train_loss.map(|loss| (f64::midpoint(from, point.x(axis)), loss)));
        from = point.x(axis);
    }
    if line.len() < 2 {
        let bin = curves.train.len().div_ceil(BINS).max(1);
        let middle = |steps: &[TrainPoint]| f64::midpoint(steps[0].x(axis), steps[steps.len() - 1].x(axis));
        return curves.train.chunks(bin).map(|steps| (middle(steps), mean(steps))).collect();
    }
    line.push((newest.x(axis), mean(newest_steps(curves, interval(curves).div_ceil(4)))));
    line
}

/// The train loss now: its mean over as many steps as are in an interval between evaluations, which
/// is what the newest evaluation compares with.
pub fn train_now(curves: &Curves) -> Option<f64> {
    (!curves.train.is_empty()).then(|| mean(newest_steps(curves, interval(curves))))
}

/// Steps between the newest two evaluations; where there are none a share of all steps.
fn interval(curves: &Curves) -> usize {
    let steps = match curves.eval.as_slice() {
        [.., before, last] => curves.train_between(Some(before.step), last.step).len(),
        _ => curves.train.len().div_ceil(BINS),
    };
    steps.max(1)
}

fn newest_steps(curves: &Curves, count: usize) -> &[TrainPoint] {
    &curves.train[curves.train.len().saturating_sub(count)..]
}

/// Mean train loss over all tokens of some steps.
fn mean(steps: &[TrainPoint]) -> f64 {
    let (sum, weight) = steps.iter().fold((0.0, 0.0), |(sum, weight), step| {
        let tokens = f64::from(step.tokens.max(1));
        (sum + step.loss * tokens, weight + tokens)
    });
    sum / weight
}

/// Standard error of a token-weighted mean loss, as a ratio of sums over examples.
pub fn standard_error(examples: &[ExampleLoss]) -> Option<f64> {
    let n = examples.len() as f64;
    let tokens: f64 = examples.iter().map(|e| f64::from(e.tokens)).sum();
    if n < 2.0 || tokens <= 0.0 {
        return None;
    }
    let mean = examples.iter().map(|e| e.nats).sum::<f64>() / tokens;
    let squares: f64 = examples.iter().map(|e| (e.nats - mean * f64::from(e.tokens)).powi(2)).sum();
    Some((squares * n / (n - 1.0)).sqrt() / tokens).filter(|error| error.is_finite())
}

/// Of the points that fall into one column the first, the lowest, the highest and the last, in
/// order. A gap stays where it is.
pub fn thinned(points: &[Point], column: impl Fn(f64) -> i64) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::new();
    let same = |a: &Point, b: &Point| column(a.0) == column(b.0) && a.1.is_finite() == b.1.is_finite();
    for run in points.chunk_by(same) {
        let (mut low, mut high) = (0, 0);
        for (i, point) in run.iter().enumerate() {
            if point.1 < run[low].1 {
                low = i;
            }
            if point.1 > run[high].1 {
                high = i;
            }
        }
        let mut kept = [0, low.min(high), low.max(high), run.len() - 1].to_vec();
        kept.dedup();
        out.extend(kept.into_iter().map(|i| run[i]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_survives_thinning() {
        let mut points: Vec<Point> = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
        points[54_321].1 = 50.0;
        points[54_400].1 = -1.0;
        points[70_000].1 = f64::NAN;
        let kept = thinned(&points, |x| (x / 1000.0) as i64);
        assert!(kept.len() <= 410, "{}", kept.len());
        assert!(kept.contains(&(54_321.0, 50.0)) && kept.contains(&(54_400.0, -1.0)));
        assert_eq!(kept.iter().filter(|p| p.1.is_nan()).count(), 1);
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn few_points_are_all_kept() {
        let points = [(0.0, 3.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 4.0)];
        let kept = thinned(&points, |x| x as i64);
        assert_eq!(format!("{kept:?}"), format!("{points:?}"));
        assert!(thinned(&[], |_| 0).is_empty());
    }
}
