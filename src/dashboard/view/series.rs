//! The curves as points of the chart: what is plotted over what, with no more points than columns
//! can show. Nothing is lost by that: a spike is the highest or the lowest point of its column.

use crate::curve::{Curves, EvalPoint, TrainPoint};
use crate::dashboard::model::{Average, Unit, XAxis};
use crate::event::ExampleLoss;
use crate::monitor::Snapshot;
use std::ops::Range;

/// A place on the chart in units of the data; a `y` that is not finite is a gap.
pub type Point = (f64, f64);

/// What is drawn as lines.
pub struct Lines {
    pub eval: Vec<Point>,
    pub train: Vec<Point>,
    /// The train probe.
    pub probe: Vec<Point>,
    /// The evaluations of the other validation sets, by name.
    pub sets: Vec<(String, Vec<Point>)>,
    /// The evaluations of the runs that are laid over this one, each with its index.
    pub others: Vec<(usize, Vec<Point>)>,
}

/// Averages of the train loss where there are no evaluations to align them with.
const BINS: usize = 24;
/// A moving average is over this share of what is on the screen.
const MOVING: f64 = 1.0 / 30.0;

/// The x of training steps and evaluations.
pub trait Place {
    fn x(&self, axis: XAxis) -> f64;
}

impl Place for TrainPoint {
    fn x(&self, axis: XAxis) -> f64 {
        match axis {
            XAxis::Step => self.step as f64,
            XAxis::Epoch => self.epoch().unwrap_or(f64::NAN),
            XAxis::Time => self.t(),
        }
    }
}

impl Place for EvalPoint {
    fn x(&self, axis: XAxis) -> f64 {
        match axis {
            XAxis::Step => self.step as f64,
            XAxis::Epoch => self.epoch.unwrap_or(f64::NAN),
            XAxis::Time => self.t,
        }
    }
}

/// What is asked for where it is known; else steps.
pub fn x_axis(snapshot: &Snapshot<'_>, wish: XAxis) -> XAxis {
    let curves = snapshot.curves;
    // A log without steps has nothing better.
    let wish = if wish == XAxis::Step && snapshot.run.counts_epochs() { XAxis::Epoch } else { wish };
    let newest = match (curves.train.last(), curves.eval.last()) {
        (Some(train), _) => train.x(wish),
        (None, Some(eval)) => eval.x(wish),
        (None, None) => return XAxis::Step,
    };
    if newest.is_finite() && newest > 0.0 { wish } else { XAxis::Step }
}

/// What the axis counts next in turn, of what is known of the run; `None` where there is nothing else.
pub fn next_axis(snapshot: &Snapshot<'_>, wish: XAxis) -> Option<XAxis> {
    let now = x_axis(snapshot, wish);
    let turn = [XAxis::Step, XAxis::Epoch, XAxis::Time];
    let after = turn.into_iter().cycle().skip_while(|axis| *axis != now).skip(1).take(turn.len() - 1);
    after.into_iter().find(|axis| x_axis(snapshot, *axis) == *axis)
}

/// The indices of the points from `lo` to `hi`.
pub fn between<T: Place>(points: &[T], axis: XAxis, lo: f64, hi: f64) -> Range<usize> {
    let from = points.partition_point(|point| point.x(axis) < lo);
    from..points.partition_point(|point| point.x(axis) <= hi).max(from)
}

/// The training steps that fall into one column.
pub struct Column {
    pub x: f64,
    /// The lowest and the highest loss that is a number; NaN where none is.
    pub low: f64,
    pub high: f64,
    /// Whether some loss is not a number.
    pub gap: bool,
    /// The largest gradient norm; NaN where none is known.
    pub grad_norm: f64,
    pub learning_rate: Option<f64>,
}

/// The training steps of a range, column by column. Costs little for each column, however many
/// steps there are.
pub fn steps(
    curves: &Curves,
    range: Range<usize>,
    axis: XAxis,
    unit: Unit,
    column: impl Fn(f64) -> i64,
) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut start = range.start;
    while let Some(first) = curves.train[..range.end].get(start) {
        let here = column(first.x(axis));
        let rest = &curves.train[start..range.end];
        let count = rest.partition_point(|step| column(step.x(axis)) <= here).max(1);
        let summary = curves.train_summary(start..start + count);
        columns.push(Column {
            x: first.x(axis),
            low: unit.of(summary.low),
            high: unit.of(summary.high),
            gap: summary.broken,
            grad_norm: summary.grad_norm,
            learning_rate: first.learning_rate(),
        });
        start += count;
    }
    columns
}

/// Every evaluation.
pub fn eval(points: &[EvalPoint], axis: XAxis, unit: Unit) -> Vec<Point> {
    points.iter().map(|point| (point.x(axis), unit.of(point.loss))).collect()
}

/// The line through the training steps; the range of x on the screen is what a moving average is
/// narrowed by.
pub fn train(curves: &Curves, axis: XAxis, unit: Unit, average: Average, screen: (f64, f64)) -> Vec<Point> {
    let mut line = match average {
        Average::Interval => by_interval(curves, axis),
        Average::Moving => moving(curves, axis, screen),
        Average::None => Vec::new(),
    };
    for point in &mut line {
        point.1 = unit.of(point.1);
    }
    line
}

/// The train loss on the scale of the evaluations: its mean over each interval between two of
/// them, in the middle of the interval. The line ends at the newest step, with the mean of as many
/// steps as are in a quarter of an interval.
fn by_interval(curves: &Curves, axis: XAxis) -> Vec<Point> {
    let Some(newest) = curves.train.last() else { return Vec::new() };
    let mut line = Vec::new();
    let mut from = curves.train[0].x(axis);
    for point in &curves.eval {
        line.extend(point.train_loss.map(|loss| (f64::midpoint(from, point.x(axis)), loss)));
        from = point.x(axis);
    }
    let count = curves.train.len();
    if line.len() < 2 {
        let bin = count.div_ceil(BINS).max(1);
        let bins = (0..count).step_by(bin).map(|start| start..(start + bin).min(count));
        let middle = |bin: &Range<usize>| {
            f64::midpoint(curves.train[bin.start].x(axis), curves.train[bin.end - 1].x(axis))
        };
        return bins.map(|bin| (middle(&bin), curves.train_summary(bin).mean())).collect();
    }
    line.push((newest.x(axis), newest_mean(curves, interval(curves).div_ceil(4))));
    line
}

/// The mean around each of a few hundred places.
fn moving(curves: &Curves, axis: XAxis, (lo, hi): (f64, f64)) -> Vec<Point> {
    const PLACES: usize = 400;
    let half = (hi - lo) * MOVING / 2.0;
    let shown = between(&curves.train, axis, lo - half, hi + half);
    let stride = (shown.len() / PLACES).max(1);
    let mean_around = |index: usize| {
        let x = curves.train[index].x(axis);
        let mut around = between(&curves.train, axis, x - half, x + half);
        // At the ends as far to one side as to the other, so that a slope is not bent.
        let reach = (index - around.start).min(around.end.saturating_sub(index + 1));
        around = index - reach..index + reach + 1;
        (x, curves.train_summary(around).mean())
    };
    shown.step_by(stride).map(mean_around).collect()
}

/// The train loss now: its mean over as many steps as are in an interval between evaluations, which
/// is what the newest evaluation compares with.
pub fn train_now(curves: &Curves) -> Option<f64> {
    (!curves.train.is_empty()).then(|| newest_mean(curves, interval(curves)))
}

/// Steps between the newest two evaluations; where there are none a share of all steps.
pub fn interval(curves: &Curves) -> usize {
    let steps = match curves.eval.as_slice() {
        [.., before, last] => curves.train_between(Some(before.step), last.step).len(),
        _ => curves.train.len().div_ceil(BINS),
    };
    steps.max(1)
}

fn newest_mean(curves: &Curves, count: usize) -> f64 {
    let end = curves.train.len();
    curves.train_summary(end.saturating_sub(count)..end).mean()
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

/// The height of a line at `x`; `None` beyond its ends and in its gaps.
pub fn height(points: &[Point], x: f64) -> Option<f64> {
    let after = points.partition_point(|point| point.0 < x);
    let to = points.get(after)?;
    if to.0 == x {
        return Some(to.1).filter(|y| y.is_finite());
    }
    let from = points.get(after.checked_sub(1)?)?;
    let y = from.1 + (to.1 - from.1) * (x - from.0) / (to.0 - from.0);
    Some(y).filter(|y| y.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, StepStats};

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
    fn a_spike_of_one_step_in_many_is_in_its_column() {
        let mut curves = Curves::default();
        for step in 1..=16_000 {
            let loss = match step {
                12_345 => 40.0,
                777 => f64::NAN,
                _ => 2.0,
            };
            let stats = StepStats { step, loss, ..StepStats::default() };
            curves.apply(step as f64, &Event::Step(stats));
        }
        let columns = steps(&curves, 0..16_000, XAxis::Step, Unit::Nats, |x| (x / 200.0) as i64);
        assert!((80..=81).contains(&columns.len()));
        let spiked: Vec<f64> = columns.iter().filter(|c| c.high == 40.0).map(|c| c.x).collect();
        assert_eq!(spiked, [12_200.0]);
        assert_eq!(columns.iter().filter(|c| c.gap).count(), 1);
        // Zoomed in, the same spike.
        let near = between(&curves.train, XAxis::Time, 12_340.0, 12_350.0);
        let columns = steps(&curves, near, XAxis::Time, Unit::Nats, |x| x as i64);
        assert_eq!((columns.len(), columns[5].high), (11, 40.0));
    }

    #[test]
    fn few_points_are_all_kept() {
        let points = [(0.0, 3.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 4.0)];
        let kept = thinned(&points, |x| x as i64);
        assert_eq!(format!("{kept:?}"), format!("{points:?}"));
        assert!(thinned(&[], |_| 0).is_empty());
    }

    #[test]
    fn a_line_has_a_height_between_its_ends() {
        let line = [(0.0, 2.0), (4.0, 4.0), (5.0, f64::NAN), (6.0, 1.0)];
        let heights = [-1.0, 0.0, 1.0, 4.0, 4.5, 6.0, 7.0].map(|x| height(&line, x));
        assert_eq!(heights, [None, Some(2.0), Some(2.5), Some(4.0), None, Some(1.0), None]);
    }
}
