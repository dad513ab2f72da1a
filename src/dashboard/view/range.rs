//! Which part of the plane the chart shows: the steps so far and a little of what is to come, and the
//! losses that tell the story.

use super::axis::{Axis, robust_range};
use super::series::{Place, Point};
use crate::dashboard::model::{Scale, XAxis};
use crate::monitor::Snapshot;

/// From the start to a round share of the whole, so that the picture does not move at every step;
/// once the run is over, to its last step.
pub fn x_axis(snapshot: &Snapshot<'_>, kind: XAxis, ended: bool) -> Axis {
    const STAGES: f64 = 8.0;
    let curves = snapshot.curves;
    let ends = [
        curves.train.first().map(|p| p.x(kind)),
        curves.train.last().map(|p| p.x(kind)),
        curves.eval.first().map(|p| p.x(kind)),
        curves.eval.last().map(|p| p.x(kind)),
    ];
    let ends = ends.into_iter().flatten().filter(|x| x.is_finite());
    let (first, last) = ends.fold((f64::MAX, 0.0f64), |(lo, hi), x| (lo.min(x), hi.max(x)));
    let progress = &snapshot.progress;
    let unit = match kind {
        XAxis::Step => 1.0,
        XAxis::Epoch => progress.epoch.unwrap_or(0.0) / (progress.step.max(1) as f64),
    };
    let total =
        progress.total_steps.map(|total| total as f64 * unit).filter(|&total| total >= last && total > 0.0);
    let hi = match total {
        _ if ended || snapshot.ended.is_some() => last,
        Some(total) => (last / total * STAGES).ceil().max(1.0) / STAGES * total,
        None => last * 1.1,
    };
    // A log that starts late is shown from its start.
    let lo = if first > last / 2.0 { first } else { 0.0 };
    Axis::new(lo, hi.max(lo), Scale::Linear)
}

/// The range around the best point: evaluations from there on and the bulk of what was before.
pub fn y_axis(snapshot: &Snapshot<'_>, eval: &[Point], train: &[Point], scale: Scale) -> Axis {
    /// Beyond this many times the best loss a curve explodes, and leaves the picture.
    const EXPLODED: f64 = 8.0;
    /// Below this share of the best loss the train curve leaves the logarithmic picture.
    const VANISHED: f64 = 0.003;
    let values = |points: &[Point]| points.iter().map(|p| p.1).filter(|y| y.is_finite()).collect::<Vec<_>>();
    let best = snapshot.diagnosis.best.unwrap_or(0).min(eval.len());
    let best_loss = eval.get(best).map(|p| p.1).filter(|y| y.is_finite());
    let bulk = |mut points: Vec<f64>| {
        // Without the highest quarter: where curves start.
        points.sort_by(f64::total_cmp);
        points.truncate(points.len() - points.len().div_ceil(4));
        points
    };
    let mut core = values(&eval[best..]);
    core.extend(bulk(values(&eval[..best])));
    core.extend(bulk(values(train)));
    if let Some(best) = best_loss.filter(|&best| best > 0.0) {
        core.retain(|y| (VANISHED * best..=EXPLODED * best).contains(y));
    }
    let mut rest = values(eval);
    rest.extend(values(train));
    if rest.is_empty() {
        rest.extend(snapshot.curves.train.iter().map(|p| p.loss));
    }
    // What has turned is the story then; until it does, the fall is.
    let stretch = if snapshot.diagnosis.onset.is_some() { 0.25 } else { 1.2 };
    let (lo, hi) = robust_range(&core, &rest, stretch, scale).unwrap_or((0.0, 1.0));
    Axis::new(lo, hi, scale).padded(0.04)
}
