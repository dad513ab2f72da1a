//! The line above the chart: the newest values and the best, or every series at the crosshair.

use super::series::{self, Place};
use super::theme::{Layer, Theme};
use super::{Line, Scene, Span, fitted, runs};
use crate::curve::{EvalPoint, TrainPoint};
use crate::dashboard::model::{Ui, XAxis};
use crate::fmt;
use crate::monitor::Snapshot;

/// From this width on the crosshair reads out more than the two losses.
const ROOMY: u16 = 64;

/// Which of the two is wanted.
pub fn line<'a>(scene: &Scene<'_>, ui: &Ui, width: u16, theme: Theme) -> Line<'a> {
    match ui.cursor {
        Some(x) => readout(scene, ui, x, width, theme),
        None => newest(&scene.snapshot, ui, width, theme),
    }
}

/// A place on the x axis, in words.
pub fn place(snapshot: &Snapshot<'_>, axis: XAxis, x: f64) -> String {
    match axis {
        XAxis::Step => format!("{} {x:.0}", snapshot.run.places().unit()),
        XAxis::Epoch => format!("epoch {x:.1}"),
        XAxis::Time => fmt::clock(x),
    }
}

/// The newest values and the best one: the longest form that fits.
pub fn newest<'a>(snapshot: &Snapshot<'_>, ui: &Ui, width: u16, theme: Theme) -> Line<'a> {
    let curves = snapshot.curves;
    let x_kind = series::x_axis(snapshot, ui.x);
    let train = series::train_now(curves).map(|loss| ui.unit.of(loss));
    let eval = curves.eval.last().map(|p| ui.unit.of(p.loss));
    let best = snapshot.diagnosis.best.and_then(|i| curves.eval.get(i));
    let none = || theme.sign("–", "-").to_owned();
    let value = |value: Option<f64>| value.map_or_else(none, fmt::loss);
    let (blue, orange, green) = (theme.layer(Layer::Train), theme.layer(Layer::Eval), theme.best());
    let mut long = vec![
        named(theme.sign("━━ ", "++ "), "train ", value(train), blue),
        named(theme.sign("●━ ", "o* "), "eval ", value(eval), orange),
    ];
    let mut short = vec![named("", "train ", value(train), blue), named("", "eval ", value(eval), orange)];
    if let Some(best) = best {
        let loss = fmt::loss(ui.unit.of(best.loss));
        let at = place(snapshot, x_kind, best.x(x_kind));
        long.push(named(theme.sign("◆ ", "@ "), "best ", format!("{loss} @ {at}"), green));
        short.push(named("", "best ", format!("{loss}@{}", snapshot.run.places().number(best.step)), green));
    }
    let needed = long.len();
    if let Some(probe) = curves.probe.last() {
        long.push(named("", "probe ", fmt::loss(ui.unit.of(probe.loss)), theme.layer(Layer::Probe)));
    }
    for (name, points) in &curves.others {
        if let Some(point) = points.last() {
            long.push(set(name, ui.unit.of(point.loss), theme));
        }
    }
    // The probe and other sets may give way, the three others not.
    let whole = fitted(long[..needed].to_vec(), "   ", u16::MAX);
    if whole.width() <= usize::from(width) {
        return fitted(long, "   ", width);
    }
    let short_line = fitted(short[..2].to_vec(), "  ", u16::MAX);
    if short_line.width() <= usize::from(width) {
        return fitted(short, "  ", width);
    }
    let rough = |value: Option<f64>| value.map_or_else(none, |v| format!("{v:.2}"));
    let parts = vec![named("", "train ", rough(train), blue), named("", "eval ", rough(eval), orange)];
    fitted(parts, " ", u16::MAX)
}

/// Every series at a place: the training steps of its column, and of the others the newest value
/// up to there.
fn readout<'a>(scene: &Scene<'_>, ui: &Ui, x: f64, width: u16, theme: Theme) -> Line<'a> {
    let curves = scene.snapshot.curves;
    let axis = series::x_axis(&scene.snapshot, ui.x);
    let none = || theme.sign("–", "-").to_owned();
    let half = ui.extent.plot.column_width() / 2.0;
    let mut here = series::between(&curves.train, axis, x - half, x + half);
    // Between two sparse steps the one before counts.
    if here.is_empty() && here.start > 0 {
        here = here.start - 1..here.start;
    }
    // On a narrow screen there is room for the two losses and no more.
    let brief = width < ROOMY;
    let head = if brief && axis == XAxis::Step { format!("{x:.0}") } else { place(&scene.snapshot, axis, x) };
    let mut parts = vec![vec![Span::styled(head, theme.crosshair())]];
    let step = curves.train.get(here.start).filter(|_| !here.is_empty());
    if let Some(step) = step {
        let all = curves.train_summary(here.clone());
        let value = |loss: f64| fmt::loss(ui.unit.of(loss));
        let text = match here.len() {
            1 => value(step.loss),
            _ if brief => value(all.mean()),
            count => {
                let (low, mean, high) = (value(all.low), value(all.mean()), value(all.high));
                format!("{mean} ({low}{}{high}, {count} steps)", theme.sign("…", ".."))
            }
        };
        parts.push(named("", "train ", text, theme.layer(Layer::Train)));
    } else {
        parts.push(named("", "train ", none(), theme.layer(Layer::Train)));
    }
    let upto =
        |points: &[EvalPoint]| points.partition_point(|point| point.x(axis) <= x + half).checked_sub(1);
    if let Some(point) = upto(&curves.eval).map(|index| &curves.eval[index]) {
        let error = series::standard_error(&point.examples).map_or(String::new(), |error| {
            let error = ui.unit.of(point.loss + error) - ui.unit.of(point.loss);
            format!(" {} {}", theme.sign("±", "+-"), fmt::loss(error))
        });
        let at = place(&scene.snapshot, axis, point.x(axis));
        let loss = fmt::loss(ui.unit.of(point.loss));
        let text = if brief { loss } else { format!("{loss}{error} @ {at}") };
        parts.push(named("", "eval ", text, theme.layer(Layer::Eval)));
        for metric in &point.metrics {
            parts.push(vec![Span::raw(format!("{} {}", metric.name, fmt::loss(metric.value)))]);
        }
    } else {
        parts.push(named("", "eval ", none(), theme.layer(Layer::Eval)));
    }
    if let Some(point) = upto(&curves.probe).map(|index| &curves.probe[index]) {
        parts.push(named("", "probe ", fmt::loss(ui.unit.of(point.loss)), theme.layer(Layer::Probe)));
    }
    for (name, points) in &curves.others {
        if let Some(point) = upto(points).map(|index| &points[index]) {
            parts.push(set(name, ui.unit.of(point.loss), theme));
        }
    }
    if let Some(rate) = step.and_then(TrainPoint::learning_rate) {
        parts.push(vec![Span::raw(format!("lr {rate:.2e}"))]);
    }
    if let Some(norm) = step.and_then(TrainPoint::grad_norm) {
        parts.push(vec![Span::raw(format!("grad {norm:.3}"))]);
    }
    for (index, run) in scene.others(ui) {
        let eval = &run.monitor.snapshot().curves.eval;
        if let Some(point) = upto(eval).map(|at| &eval[at]) {
            let text = format!("{} {}", runs::name(run), fmt::loss(ui.unit.of(point.loss)));
            parts.push(vec![Span::styled(text, theme.layer(Layer::Other(index as u8)))]);
        }
    }
    fitted(parts, if brief { " " } else { "  " }, width)
}

/// A loss of another validation set.
fn set<'a>(name: &str, loss: f64, theme: Theme) -> Vec<Span<'a>> {
    let name = Span::styled(format!("{} ", theme.text(name)), theme.layer(Layer::Set));
    vec![name, Span::raw(fmt::loss(loss))]
}

fn named<'a>(
    sign: &'static str,
    name: &'static str,
    value: String,
    style: ratatui::style::Style,
) -> Vec<Span<'a>> {
    vec![Span::styled(sign, style), Span::styled(name, style), Span::raw(value)]
}
