//! Which part of the plane the chart shows: the steps so far and a little of what is to come, or the
//! part that the user has chosen; and the losses that tell the story.

use super::axis::{Axis, robust_range};
use super::series::{self, Lines, Place, Point};
use crate::dashboard::model::{Phase, Scale, Ui, Window, XAxis};
use crate::monitor::Snapshot;

/// The x axis as the window has it; then that of the whole run, and the x of its newest point.
pub fn x_axis(snapshot: &Snapshot<'_>, kind: XAxis, ui: &Ui) -> (Axis, Axis, f64) {
    let (whole, newest) = whole(snapshot, kind, ui.phase == Phase::Ended);
    let axis = match ui.window {
        Window::Whole => whole,
        Window::Latest(span) => Axis::new((newest - span).max(whole.ends().0), newest, Scale::Linear),
        Window::Fixed(lo, hi) => Axis::new(lo, hi, Scale::Linear),
    };
    let timed = |axis: Axis| if kind == XAxis::Time { axis.of_seconds() } else { axis };
    (timed(axis), timed(whole), newest)
}

/// From the start to a round share of the whole, so that the picture does not move at every step;
/// once the run is over, to its last step. And the newest point.
fn whole(snapshot: &Snapshot<'_>, kind: XAxis, ended: bool) -> (Axis, f64) {
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
    let total = match kind {
        XAxis::Step => progress.total_steps.map(|total| total as f64),
        XAxis::Epoch => {
            let epoch_a_step = progress.epoch.unwrap_or(0.0) / (progress.step.max(1) as f64);
            progress.total_steps.map(|total| total as f64 * epoch_a_step)
        }
        XAxis::Time => progress.eta_s.map(|eta| progress.elapsed_s + eta),
    };
    let hi = match total.filter(|&total| total >= last && total > 0.0) {
        _ if ended || snapshot.ended.is_some() => last,
        Some(total) => (last / total * STAGES).ceil().max(1.0) / STAGES * total,
        None => last * 1.1,
    };
    // A log that starts late is shown from its start.
    let lo = if first > last / 2.0 { first } else { 0.0 };
    (Axis::new(lo, hi.max(lo), Scale::Linear), last)
}

/// The losses to show: of the whole run the range around the best point, with the lowest of each run that is
/// laid over it and the lowest and the last of each other set; of a part of it what is there.
pub fn y_axis(snapshot: &Snapshot<'_>, x: &Axis, lines: &Lines, ui: &Ui) -> Axis {
    let range = if ui.window == Window::Whole {
        let lowest = |points: &[Point]| finite(points).into_iter().min_by(f64::total_cmp);
        let last = |points: &[Point]| finite(points).pop();
        let runs = lines.others.iter().filter_map(|(_, points)| lowest(points));
        let sets = lines.sets.iter().flat_map(|(_, points)| [lowest(points), last(points)]).flatten();
        story(snapshot, lines, &runs.chain(sets).collect::<Vec<_>>(), ui)
    } else {
        part(snapshot, x, &lines.eval, &lines.train, ui)
    };
    let (lo, hi) = range.unwrap_or((0.0, 1.0));
    Axis::new(lo, hi, ui.y).padded(0.04)
}

fn finite(points: &[Point]) -> Vec<f64> {
    points.iter().map(|p| p.1).filter(|y| y.is_finite()).collect()
}

/// Evaluations from the best on and the bulk of what was before, and a few losses `beside` them.
fn story(snapshot: &Snapshot<'_>, lines: &Lines, beside: &[f64], ui: &Ui) -> Option<(f64, f64)> {
    /// Beyond this many times the best loss a curve explodes, and leaves the picture.
    const EXPLODED: f64 = 8.0;
    /// Below this share of the best loss the train curve leaves the logarithmic picture.
    const VANISHED: f64 = 0.003;
    let Lines { eval, train, probe, .. } = lines;
    let best = snapshot.diagnosis.best.unwrap_or(0).min(eval.len());
    let best_loss = eval.get(best).map(|p| p.1).filter(|y| y.is_finite());
    let bulk = |mut points: Vec<f64>| {
        // Without the highest quarter: where curves start.
        points.sort_by(f64::total_cmp);
        points.truncate(points.len() - points.len().div_ceil(4));
        points
    };
    let mut core = finite(&eval[best..]);
    core.extend(bulk(finite(&eval[..best])));
    core.extend(bulk(finite(train)));
    core.extend(bulk(finite(probe)));
    core.extend(beside);
    if let Some(best) = best_loss.filter(|&best| best > 0.0) {
        let least = if ui.y == Scale::Linear { f64::NEG_INFINITY } else { VANISHED * best };
        core.retain(|y| (least..=EXPLODED * best).contains(y));
    }
    let mut rest = finite(eval);
    rest.extend(finite(train));
    if rest.is_empty() {
        let all = snapshot.curves.train_summary(0..snapshot.curves.train.len());
        rest.extend([all.low, all.high].map(|loss| ui.unit.of(loss)));
    }
    // What has turned is the story then; until it does, the fall is.
    let stretch = if snapshot.diagnosis.onset.is_some() { 0.25 } else { 1.2 };
    robust_range(&core, &rest, stretch, ui.y)
}

/// Every point of the curves between the ends of the axis, and the steps around them as far as they
/// are not far off.
fn part(snapshot: &Snapshot<'_>, x: &Axis, eval: &[Point], train: &[Point], ui: &Ui) -> Option<(f64, f64)> {
    let (lo, hi) = x.ends();
    // One point beyond each end: the lines to them are seen too.
    let within = |points: &[Point]| {
        let from = points.partition_point(|p| p.0 < lo).saturating_sub(1);
        let to = (points.partition_point(|p| p.0 <= hi) + 1).min(points.len());
        finite(&points[from..to.max(from)])
    };
    let mut core = within(eval);
    core.extend(within(train));
    let kind = series::x_axis(snapshot, ui.x);
    let steps = snapshot.curves.train_summary(series::between(&snapshot.curves.train, kind, lo, hi));
    robust_range(&core, &[steps.low, steps.high].map(|loss| ui.unit.of(loss)), 1.0, ui.y)
}
