//! The viewport of the chart: which part of the x axis is shown, whether it follows the run, and
//! where the crosshair stands. Pure, as [`update`](mod@super::update) is.

use super::message::Message;
use super::model::{Ui, Window};

/// How much closer one zoom goes, and what share of the screen one move goes on.
pub const ZOOM: f64 = 0.7;
pub const PAN: f64 = 0.5;

/// Moves the window and the crosshair, by what the newest frame said is shown.
pub fn adjust(ui: &mut Ui, message: Message) {
    let plot = ui.extent.plot;
    let span = plot.hi - plot.lo;
    if plot.columns < 2 || span <= 0.0 {
        return;
    }
    let shown = (plot.lo, plot.hi);
    match message {
        Message::Zoom(factor) => {
            let newest = plot.newest.min(plot.hi);
            zoom(ui, ui.cursor.filter(|x| (shown.0..=shown.1).contains(x)).unwrap_or(newest), factor);
        }
        Message::ZoomAt(x, factor) => zoom(ui, x, factor),
        Message::Pan(share) => {
            // Not beyond what there is.
            let by =
                (span * share).clamp(plot.whole.0.min(shown.0) - shown.0, plot.newest.max(shown.1) - shown.1);
            ui.window = settled(ui, shown.0 + by, shown.1 + by, share > 0.0);
        }
        Message::Whole => ui.window = Window::Whole,
        Message::ToggleFollow => {
            ui.window = match ui.window {
                Window::Fixed(..) if shown == plot.whole => Window::Whole,
                Window::Fixed(..) => Window::Latest(span),
                Window::Whole | Window::Latest(_) => Window::Fixed(shown.0, shown.1),
            }
        }
        Message::Cursor(columns) => {
            // It appears at the newest point.
            let from = ui.cursor.unwrap_or(plot.newest.min(plot.hi));
            let by = if ui.cursor.is_some() { columns as f64 * plot.column_width() } else { 0.0 };
            ui.cursor = Some((from + by).clamp(shown.0, shown.1));
        }
        Message::CursorAt(x) => ui.cursor = Some(x),
        _ => ui.cursor = None,
    }
}

/// Shows this share of what is shown, so that `x` stays where it is.
fn zoom(ui: &mut Ui, x: f64, factor: f64) {
    /// No further in than this share of the whole.
    const CLOSEST: f64 = 1e-6;
    let plot = ui.extent.plot;
    let whole = plot.whole.1 - plot.whole.0;
    let (lo, hi) = (x - (x - plot.lo) * factor, x + (plot.hi - x) * factor);
    if hi - lo >= whole {
        ui.window = Window::Whole;
    } else if hi - lo > whole * CLOSEST {
        ui.window = settled(ui, lo.max(plot.whole.0), hi.min(plot.whole.1), true);
    }
}

/// A window that follows where it reaches the newest point and may, else one that stands still.
fn settled(ui: &Ui, lo: f64, hi: f64, may_follow: bool) -> Window {
    let newest = ui.extent.plot.newest;
    if may_follow && hi >= newest { Window::Latest(newest - lo) } else { Window::Fixed(lo, hi) }
}
