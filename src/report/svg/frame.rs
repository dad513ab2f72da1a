//! The card, the axes and where a loss lies between them.

use super::{FAINT, INK};
use crate::curve::{Curves, axis, lowest};
use crate::event::Places;
use crate::fmt::xml;
use std::fmt::Write as _;

pub const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 424.0;
/// The plot within the card.
pub const LEFT: f64 = 56.0;
pub const RIGHT: f64 = 742.0;
pub const TOP: f64 = 104.0;
pub const BOTTOM: f64 = 362.0;

/// What another set has beyond this many times the best loss is drawn on the edge.
const FAR: f64 = 8.0;

/// Which steps and losses the plot shows.
pub struct Frame {
    steps: (f64, f64),
    losses: (f64, f64),
    /// What the steps are called.
    pub places: Places,
}

impl Frame {
    /// Shows every evaluation and the train curve but for its wildest steps; `None` where there is
    /// no finite loss.
    pub fn around(curves: &Curves, step: u64, places: Places) -> Option<Self> {
        let means = curves.eval.iter().filter_map(|p| p.train_loss);
        let mut losses: Vec<f64> = curves.eval.iter().map(|p| p.loss).chain(means).collect();
        // Of the other sets where they are best and where they end, but not what would flatten the rest.
        let best = lowest(&curves.eval).map(|best| curves.eval[best].loss);
        let near = |loss: &f64| best.is_none_or(|best| *loss <= FAR * best.abs());
        for (_, points) in &curves.others {
            let told = [lowest(points).map(|best| &points[best]), points.last()];
            losses.extend(told.into_iter().flatten().map(|point| point.loss).filter(near));
        }
        let mut raw: Vec<f64> = curves.train.iter().map(|p| p.loss).filter(|loss| loss.is_finite()).collect();
        raw.sort_by(f64::total_cmp);
        // One step in fifty may leave the plot: a spike must not flatten the story.
        let tail = raw.len() / 50;
        losses.extend(
            raw.get(tail).into_iter().chain(raw.len().checked_sub(tail + 1).and_then(|i| raw.get(i))),
        );
        let finite = || losses.iter().copied().filter(|loss| loss.is_finite());
        let (low, high) =
            (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        if low > high {
            return None;
        }
        // Twice as much below: the label of the best stands there.
        let margin = (0.07 * (high - low)).max(1e-3 * high.abs()).max(1e-9);
        let evals = [&curves.eval].into_iter().chain(curves.others.iter().map(|(_, points)| points));
        let evals = evals.filter_map(|points| Some(points.last()?.step));
        let last = evals.chain(curves.train.last().map(|p| p.step)).max().unwrap_or(step);
        Some(Self {
            steps: (0.0, (last as f64).max(1.0)),
            losses: (low - 2.0 * margin, high + margin),
            places,
        })
    }

    /// Where a loss lies on the card; `y` is not finite where the loss is not.
    pub fn point(&self, step: u64, loss: f64) -> (f64, f64) {
        let x = LEFT + (RIGHT - LEFT) * (step as f64 - self.steps.0) / (self.steps.1 - self.steps.0);
        let share = (loss - self.losses.0) / (self.losses.1 - self.losses.0);
        // What lies outside is drawn on the edge.
        (x, if loss.is_finite() { BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0) } else { f64::NAN })
    }

    /// Grid lines at round numbers, their labels, and what the axes are.
    pub fn grid(&self, out: &mut String) {
        let losses = axis::ticks(self.losses.0, self.losses.1, 7);
        for (tick, label) in losses.iter().zip(axis::labels(&losses)) {
            let y = self.point(0, *tick).1;
            let _ = write!(
                out,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"#e4e8ec\"/>"
            );
            text(out, (LEFT - 8.0, y + 4.0), "end", FAINT, 12, &label);
        }
        let one = self.places.one();
        let steps = axis::ticks(self.steps.0 / one, self.steps.1 / one, 9);
        for (tick, label) in steps.iter().zip(axis::labels(&steps)) {
            let x = self.point((tick * one).round() as u64, self.losses.0).0;
            let _ = write!(
                out,
                "<line x1=\"{x:.1}\" y1=\"{BOTTOM}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{FAINT}\"/>",
                BOTTOM + 4.0
            );
            text(out, (x, BOTTOM + 18.0), "middle", FAINT, 12, &label);
        }
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{BOTTOM}\" x2=\"{RIGHT}\" y2=\"{BOTTOM}\" stroke=\"{FAINT}\"/>"
        );
        text(out, (RIGHT + 22.0, BOTTOM + 18.0), "start", FAINT, 12, self.places.unit());
        text(out, (LEFT - 8.0, TOP - 12.0), "end", FAINT, 12, "loss");
    }
}

/// The start of the document: the card and its name for those who do not see it.
pub fn open(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" font-family=\"system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, \
         sans-serif\"><title>{}</title><rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\" \
         fill=\"#ffffff\" stroke=\"#d5dbe1\"/>",
        xml(title),
        WIDTH - 1.0,
        HEIGHT - 1.0
    )
}

/// Text at a place, legible over lines.
pub fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, colour: &str, size: u32, text: &str) {
    let halo =
        if colour == INK { "" } else { " stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\"" };
    let _ = write!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{colour}\"{halo}>{}</text>",
        xml(text)
    );
}
