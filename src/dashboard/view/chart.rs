//! The heart of the screen: train and eval loss over one axis, between axes with round ticks, with a
//! line above that reads out the newest values or those at the crosshair, and thin strips below.
//!
//! What is drawn between the axes is the business of [`super::plot`].

use super::plot::{self, Plot};
use super::series::{self, Place};
use super::theme::Theme;
use super::{Line, Scene, Span, legend, strip, wrapped};
use crate::dashboard::model::{Average, PlotExtent, Scale, Ui, Unit, Window, XAxis};
use crate::event::LossUnit;
use crate::monitor::Snapshot;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Columns to the right of the plot for the names of the curves, from this width on.
const GUTTER: u16 = 6;
/// The same beside strips, which have their highest value there.
const STRIP_GUTTER: u16 = 8;
const GUTTER_FROM: u16 = 56;
/// From this height on there are strips below the chart.
const STRIPS_FROM: u16 = 17;

/// What is said in the place of an empty plot, with what may be the reason.
fn waiting(buffer: &mut Buffer, area: Rect, snapshot: &Snapshot<'_>, theme: Theme) {
    let (width, middle) = (usize::from(area.width), area.y + area.height / 2);
    let reason = snapshot.log.iter().rev().find(|line| line.warning);
    let reason =
        reason.map_or_else(Vec::new, |line| wrapped(&theme.text(&line.text), width.saturating_sub(4)));
    let first = [("waiting for the first step", theme.faint())];
    let lines = first.into_iter().chain(reason.iter().map(|line| (line.as_str(), theme.warning())));
    for ((text, style), y) in lines.zip(middle..area.bottom()) {
        let x = area.x + (width.saturating_sub(text.chars().count()) / 2) as u16;
        buffer.set_stringn(x, y, text, width, style);
    }
}

/// Legend, plot, axes and strips; where the plot is.
pub fn render(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) -> PlotExtent {
    let snapshot = &scene.snapshot;
    top(buffer, area, scene, ui, theme);
    let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if area.height < 4 || area.width < 20 {
        return PlotExtent::default();
    }
    if snapshot.curves.train.is_empty() && snapshot.curves.eval.is_empty() {
        waiting(buffer, area, snapshot, theme);
        return PlotExtent::default();
    }
    let strips = if area.height >= STRIPS_FROM { strip::all(snapshot) } else { Vec::new() };
    let height = area.height - strips.len() as u16;
    let (chart, below) =
        (Rect { height, ..area }, Rect { y: area.y + height, height: strips.len() as u16, ..area });
    let rows = height - 2;
    let gutter = match area.width {
        ..GUTTER_FROM => 1,
        _ if strips.is_empty() => GUTTER,
        _ => STRIP_GUTTER,
    };
    let room = plot::Room { width: area.width, rows, gutter };
    let plot = Plot::new(scene, ui, theme, room);
    let left = area.x + plot.margin + 1;
    let inner = Rect { x: left, width: area.right() - left, height: rows, ..area };
    plot.raster.draw(buffer, inner, theme);
    axes(buffer, chart, &plot, snapshot, theme);
    for (strip, row) in strips.iter().zip(below.rows()) {
        strip::render(buffer, row, strip, &plot, theme);
    }
    let (lo, hi) = plot.x.ends();
    PlotExtent {
        left,
        top: area.y,
        columns: plot.columns,
        rows,
        lo,
        hi,
        newest: plot.newest,
        whole: plot.whole.ends(),
    }
}

/// The line above the chart, and to its right what the chart shows. That it stands still must be
/// seen, in which unit it is may give way.
fn top(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) {
    let width = |text: &str| Span::raw(text).width() as u16 + 1;
    let room = area.width.saturating_sub(1);
    let (mut mode, style) = mode(&scene.snapshot, ui, theme);
    let mut line = legend::line(scene, ui, room, theme);
    let fits = |line: &Line<'_>, mode: &str| line.width() as u16 + 3 + width(mode) <= room;
    let mut shown = fits(&line, &mode);
    if !shown && matches!(ui.window, Window::Fixed(..)) {
        mode = " STILL, f ".into();
        line = legend::line(scene, ui, room.saturating_sub(width(&mode)), theme);
        shown = true;
    }
    buffer.set_line(area.x + 1, area.y, &line, room);
    if shown {
        buffer.set_string(area.right().saturating_sub(width(&mode)).max(area.x), area.y, &mode, style);
    }
}

/// What the chart shows in which unit; of a chart that stands still, that it does.
fn mode(snapshot: &Snapshot<'_>, ui: &Ui, theme: Theme) -> (String, ratatui::style::Style) {
    if let Window::Fixed(lo, hi) = ui.window {
        let x = series::x_axis(snapshot, ui.x);
        let dash = theme.sign("–", "-");
        let text = format!(
            " STANDS STILL at {}{dash}{}, f follows ",
            legend::place(snapshot, x, lo),
            plain(snapshot, x, hi)
        );
        return (text, theme.notice());
    }
    let unit = match (snapshot.run.eval_loss.unit, ui.unit) {
        (_, Unit::Perplexity) => "perplexity",
        (LossUnit::NatsPerToken, _) => "loss, nats/token",
        (LossUnit::Surrogate | LossUnit::Unknown, _) => "loss",
    };
    let log = if ui.y == Scale::Log { ", log" } else { "" };
    let latest = if matches!(ui.window, Window::Latest(_)) { ", the latest" } else { "" };
    let average = match ui.average {
        Average::Interval => "",
        Average::Moving => ", moving average",
        Average::None => ", every step",
    };
    (format!("{unit}{log}{latest}{average}"), theme.faint())
}

/// A place without its unit.
fn plain(snapshot: &Snapshot<'_>, axis: XAxis, x: f64) -> String {
    let place = legend::place(snapshot, axis, x);
    place.rsplit(' ').next().unwrap_or_default().to_owned()
}

/// The two axes with their ticks, and where the epochs begin.
fn axes(buffer: &mut Buffer, area: Rect, plot: &Plot, snapshot: &Snapshot<'_>, theme: Theme) {
    let faint = theme.faint();
    let left = area.x + plot.margin;
    let foot = area.y + plot.rows;
    for y in area.y..foot {
        buffer.set_string(left, y, theme.sign("│", "|"), faint);
    }
    for tick in plot.y.ticks(y_limit(plot.rows)) {
        let Some(place) = plot.y.place(tick.value) else { continue };
        let Some((_, row)) = plot.raster.cell_of(0.0, (1.0 - place) * plot.size().1) else { continue };
        let y = area.y + row as u16;
        let label = format!("{:>width$}", tick.label, width = usize::from(plot.margin));
        buffer.set_stringn(area.x, y, label, usize::from(plot.margin), faint);
        buffer.set_string(left, y, theme.sign("┤", "+"), faint);
    }
    buffer.set_string(left, foot, theme.sign("└", "+"), faint);
    let line = theme.sign("─", "-").repeat(usize::from(plot.columns));
    buffer.set_string(left + 1, foot, line, faint);
    let epochs = epochs(plot, snapshot);
    for &column in &epochs {
        buffer.set_string(left + 1 + column, foot, theme.sign("┴", "'"), faint);
    }
    let name = plot.x_name(snapshot);
    let name_start = area.right().saturating_sub(name.len() as u16 + 1);
    buffer.set_string(name_start, foot + 1, name, faint);
    if !epochs.is_empty() && left + 1 + plot.columns + 6 < area.right() + 1 {
        buffer.set_string(left + 1 + plot.columns, foot, theme.sign("┴epoch", "'epoch"), faint);
    }
    let mut free_from = area.x;
    for tick in plot.x.ticks(usize::from(plot.columns / 10).max(2)) {
        let Some(column) = plot.cell(tick.value) else { continue };
        let x = left + 1 + column;
        let both = epochs.contains(&column);
        buffer.set_string(x, foot, if both { theme.sign("┼", "+") } else { theme.sign("┬", "+") }, faint);
        let width = tick.label.len() as u16;
        let start = x.saturating_sub(width / 2).max(area.x);
        if start >= free_from && start + width < name_start {
            buffer.set_string(start, foot + 1, &tick.label, faint);
            free_from = start + width + 1;
        }
    }
}

/// The columns in which an epoch begins, while they are not too many to tell apart.
fn epochs(plot: &Plot, snapshot: &Snapshot<'_>) -> Vec<u16> {
    let curves = snapshot.curves;
    let (lo, hi) = plot.x.ends();
    let shown = series::between(&curves.train, plot.x_kind, lo, hi);
    let ends = (curves.train.get(shown.start), curves.train[..shown.end].last());
    let (Some(first), Some(last)) = ends else { return Vec::new() };
    let (Some(from), Some(to)) = (first.epoch(), last.epoch()) else { return Vec::new() };
    if to - from > f64::from(plot.columns / 4) {
        return Vec::new();
    }
    // The last step of an epoch is the boundary.
    let boundary = |epoch: u32| {
        let at = curves.train.partition_point(|p| p.epoch().is_some_and(|e| e < f64::from(epoch) - 1e-6));
        curves.train.get(at).and_then(|point| plot.cell(point.x(plot.x_kind)))
    };
    (from.ceil().max(1.0) as u32..=to.floor() as u32).filter_map(boundary).collect()
}

/// How many ticks the y axis may have.
pub fn y_limit(rows: u16) -> usize {
    usize::from(rows / 2).clamp(2, usize::from(rows / 6).max(7))
}

/// The legend by itself, for the smallest screens.
pub fn legend<'a>(snapshot: &Snapshot<'_>, width: u16, theme: Theme) -> Line<'a> {
    legend::newest(snapshot, &Ui::default(), width, theme)
}
