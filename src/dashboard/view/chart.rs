//! The heart of the screen: train and eval loss over one step axis, with the best point and the
//! turn marked, between axes with round ticks.
//!
//! The legend is a line of its own, so that the newest values are read without measuring. Values far
//! off the story are cut, with an arrow where; what is not a number is a gap, with a cross below.

use super::axis::Axis;
use super::range::{x_axis, y_axis};
use super::raster::Raster;
use super::series::{self, Column, Place, Point};
use super::theme::{Layer, Theme};
use super::{Line, Scene, Span, fitted};
use crate::dashboard::model::{Phase, Scale, Ui, XAxis};
use crate::event::LossUnit;
use crate::fmt;
use crate::monitor::Snapshot;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Columns to the right of the plot for the names of the curves, from this width on.
const GUTTER: u16 = 6;
const GUTTER_FROM: u16 = 56;
/// Evaluations closer than this many columns are a line without marks.
const MARK_GAP: usize = 2;

/// Legend, plot and axes.
pub fn render(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) {
    let snapshot = &scene.snapshot;
    let line = legend(snapshot, ui.x, area.width.saturating_sub(1), theme);
    buffer.set_line(area.x + 1, area.y, &line, area.width.saturating_sub(1));
    let unit = unit(snapshot, ui);
    let start = area.right().saturating_sub(unit.len() as u16 + 1);
    if area.x + 1 + line.width() as u16 + 3 <= start {
        buffer.set_string(start, area.y, &unit, theme.faint());
    }
    let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if area.height < 4 || area.width < 20 {
        return;
    }
    if snapshot.curves.train.is_empty() && snapshot.curves.eval.is_empty() {
        let text = "waiting for the first step";
        let x = area.x + area.width.saturating_sub(text.len() as u16) / 2;
        buffer.set_stringn(x, area.y + area.height / 2, text, usize::from(area.width), theme.faint());
        return;
    }
    let plot = Plot::new(scene, ui, theme, area);
    plot.draw(buffer, area);
}

/// The eval curves of the other runs that are not hidden, each with its index.
fn others(scene: &Scene<'_>, ui: &Ui, axis: XAxis) -> Vec<(usize, Vec<Point>)> {
    let others = scene.runs.iter().enumerate();
    let others = others.filter(|(index, _)| *index != scene.shown && !ui.hidden.contains(index));
    others.map(|(index, run)| (index, series::eval(run.monitor.snapshot().curves, axis))).collect()
}

/// The newest values and the best one: the longest form that fits.
pub fn legend<'a>(snapshot: &Snapshot<'_>, x: XAxis, width: u16, theme: Theme) -> Line<'a> {
    let curves = snapshot.curves;
    let train = series::train_now(curves);
    let eval = curves.eval.last().map(|p| p.loss);
    let best = snapshot.diagnosis.best.and_then(|i| curves.eval.get(i));
    let best_at = best.map(|best| match series::x_axis(curves, x) {
        XAxis::Step => format!("step {}", best.step),
        XAxis::Epoch => format!("epoch {:.1}", best.epoch.unwrap_or(f64::NAN)),
    });
    let none = || theme.sign("–", "-").to_owned();
    let value = |value: Option<f64>| value.map_or_else(none, fmt::loss);
    let named = |sign: &'static str, name: &'static str, value: String, style| {
        vec![Span::styled(sign, style), Span::styled(name, style), Span::raw(value)]
    };
    let (blue, orange, green) = (theme.layer(Layer::Train), theme.layer(Layer::Eval), theme.best());
    let mut long = vec![
        named(theme.sign("━━ ", "++ "), "train ", value(train), blue),
        named(theme.sign("●━ ", "o* "), "eval ", value(eval), orange),
    ];
    let mut short = vec![named("", "train ", value(train), blue), named("", "eval ", value(eval), orange)];
    if let (Some(best), Some(at)) = (best, best_at) {
        let loss = fmt::loss(best.loss);
        long.push(named(theme.sign("◆ ", "@ "), "best ", format!("{loss} @ {at}"), green));
        short.push(named("", "best ", format!("{loss}@{}", best.step), green));
    }
    let whole = fitted(long.clone(), "   ", u16::MAX);
    if whole.width() <= usize::from(width) {
        return whole;
    }
    let short_line = fitted(short[..2].to_vec(), "  ", u16::MAX);
    if short_line.width() <= usize::from(width) {
        return fitted(short, "  ", width);
    }
    let rough = |value: Option<f64>| value.map_or_else(none, |v| format!("{v:.2}"));
    let parts = vec![named("", "train ", rough(train), blue), named("", "eval ", rough(eval), orange)];
    fitted(parts, " ", u16::MAX)
}

fn unit(snapshot: &Snapshot<'_>, ui: &Ui) -> String {
    let unit = match snapshot.run.eval_loss.unit {
        LossUnit::NatsPerToken => "loss, nats/token",
        LossUnit::Unknown => "loss",
    };
    if ui.y == Scale::Log { format!("{unit}, log") } else { unit.into() }
}

/// The drawing between the axes, and the axes.
struct Plot {
    theme: Theme,
    raster: Raster,
    x: Axis,
    y: Axis,
    x_name: &'static str,
    /// Cells across that the x axis spans; the raster is wider by the gutter.
    columns: u16,
    rows: u16,
    /// Cells to the left: the labels of the y axis.
    margin: u16,
}

impl Plot {
    fn new(scene: &Scene<'_>, ui: &Ui, theme: Theme, area: Rect) -> Self {
        let snapshot = &scene.snapshot;
        let curves = snapshot.curves;
        let x_kind = series::x_axis(curves, ui.x);
        let (eval, train) = (series::eval(curves, x_kind), series::train(curves, x_kind));
        let others = others(scene, ui, x_kind);
        let y = y_axis(snapshot, &eval, &train, ui.y);
        let x = x_axis(snapshot, x_kind, ui.phase == Phase::Ended);
        let rows = area.height - 2;
        let labels = y.ticks(y_limit(rows));
        let margin = labels.iter().map(|tick| tick.label.len()).max().unwrap_or(0).min(8) as u16;
        let gutter = if area.width >= GUTTER_FROM { GUTTER } else { 1 };
        let columns = area.width - margin - 1 - gutter;
        let mut plot = Self {
            theme,
            raster: Raster::new(theme.drawing, columns + gutter, rows),
            x,
            y,
            x_name: if x_kind == XAxis::Step { "step" } else { "epoch" },
            columns,
            rows,
            margin,
        };
        let steps = series::steps(&curves.train, x_kind, |x| plot.column(x));
        plot.steps(&steps);
        for (index, points) in &others {
            plot.curve(points, Layer::Other(*index as u8));
        }
        plot.error_bars(snapshot, x_kind);
        plot.curve(&train, Layer::Train);
        plot.curve(&eval, Layer::Eval);
        plot.marks(snapshot, &eval, &train, x_kind);
        plot.number(&others);
        plot.far_steps(&steps);
        plot
    }

    /// Dots across and down, without the gutter.
    fn size(&self) -> (f64, f64) {
        let (across, down) = self.raster.size();
        let gutter_and_plot = self.raster.columns();
        ((across / gutter_and_plot * usize::from(self.columns)) as f64 - 1.0, down as f64 - 1.0)
    }

    /// The dot of a value; `None` for a gap.
    fn dot(&self, (x, y): Point) -> Option<(f64, f64)> {
        let (right, bottom) = self.size();
        Some((self.x.place(x)? * right, (1.0 - self.y.place(y)?) * bottom))
    }

    /// The dot column of an x.
    fn column(&self, x: f64) -> i64 {
        self.x.place(x).map_or(-1, |place| (place * self.size().0).round() as i64)
    }

    /// Every training step: of each column from the lowest to the highest.
    fn steps(&mut self, columns: &[Column]) {
        let bottom = self.size().1;
        for column in columns {
            let (low, high) = (self.dot((column.x, column.low)), self.dot((column.x, column.high)));
            if let (Some(low), Some(high)) = (low, high) {
                self.raster.line(low, high, Layer::Raw);
            }
            if column.gap {
                self.cross(self.column(column.x) as f64, bottom);
            }
        }
    }

    /// Small arrows where all steps of a column are above the picture.
    fn far_steps(&mut self, columns: &[Column]) {
        for column in columns {
            let place = self.dot((column.x, column.low)).filter(|low| low.1 < -0.5);
            if let Some((column, row)) = place.and_then(|(x, _)| self.raster.cell_of(x, 0.0)) {
                self.raster.guide(column, row, self.pick('▴', '^'), self.theme.layer(Layer::Raw));
            }
        }
    }

    /// One standard error up and down from every evaluation whose examples are known.
    fn error_bars(&mut self, snapshot: &Snapshot<'_>, axis: XAxis) {
        if snapshot.curves.eval.len() * MARK_GAP > usize::from(self.columns) {
            return;
        }
        for point in &snapshot.curves.eval {
            let Some(error) = series::standard_error(&point.examples) else { continue };
            let x = point.x(axis);
            if let (Some(low), Some(high)) =
                (self.dot((x, point.loss - error)), self.dot((x, point.loss + error)))
            {
                self.raster.line(low, high, Layer::Error);
            }
        }
    }

    fn curve(&mut self, points: &[Point], layer: Layer) {
        let points = series::thinned(points, |x| self.column(x));
        for pair in points.windows(2) {
            if let (Some(from), Some(to)) = (self.dot(pair[0]), self.dot(pair[1])) {
                self.raster.line(from, to, layer);
            }
        }
        for point in &points {
            if let Some(dot) = self.dot(*point) {
                self.raster.line(dot, dot, layer);
            }
        }
    }

    /// The evaluations, the best, the turn, and the names of the curves.
    fn marks(&mut self, snapshot: &Snapshot<'_>, eval: &[Point], train: &[Point], axis: XAxis) {
        let bottom = self.size().1;
        let sparse = eval.len() * MARK_GAP <= usize::from(self.columns);
        for &(x, y) in eval {
            let Some(dot) = self.dot((x, y)) else {
                self.cross(self.column(x) as f64, bottom);
                continue;
            };
            if dot.1 < -0.5 {
                self.sign_at(dot.0, 0.0, '▲', '^', Layer::Eval);
            } else if dot.1 > bottom + 0.5 {
                self.sign_at(dot.0, bottom, '▼', 'v', Layer::Eval);
            } else if sparse {
                self.sign_at(dot.0, dot.1, '●', 'o', Layer::Eval);
            }
        }
        let find = |i: Option<usize>| i.and_then(|i| snapshot.curves.eval.get(i));
        let best = find(snapshot.diagnosis.best).and_then(|p| self.dot((p.x(axis), p.loss)));
        let best = best.and_then(|dot| self.raster.cell_of(dot.0, dot.1));
        if let Some((column, row)) = best {
            self.raster.mark(column, row, self.pick('◆', '@'), self.theme.best());
        }
        self.name("eval", eval, Layer::Eval);
        self.name("train", train, Layer::Train);
        if let Some(onset) = find(snapshot.diagnosis.onset) {
            let at = if axis == XAxis::Step {
                onset.step.to_string()
            } else {
                format!("epoch {:.1}", onset.epoch.unwrap_or(f64::NAN))
            };
            self.onset(self.column(onset.x(axis)) as f64, &at);
        }
        if let Some((column, row)) = best {
            self.best_line(column, row);
        }
    }

    /// A dashed line from the best point to the right end, with its name.
    fn best_line(&mut self, column: usize, row: usize) {
        let (columns, style) = (usize::from(self.columns), self.theme.best());
        for column in column + 1..columns {
            self.raster.guide(column, row, self.pick('┈', '-'), style);
        }
        for row in [row, row + 1, row.wrapping_sub(1)] {
            if self.raster.is_free(columns, row, 5) {
                self.raster.text(columns + 1, row, "best", style);
                break;
            }
        }
    }

    /// A dashed line from top to bottom at the turn, with its name.
    fn onset(&mut self, x: f64, at: &str) {
        let Some((column, _)) = self.raster.cell_of(x, 0.0) else { return };
        let (style, line) = (self.theme.onset(), self.pick('┊', ':'));
        let text = format!("onset {at}");
        let count = text.len();
        // As high as there is room, to the right of the line or to the left.
        let rows = 0..usize::from(self.rows).div_ceil(2);
        let spots = rows.flat_map(|row| [(column + 2, row), (column.wrapping_sub(count + 1), row)]);
        let plot = usize::from(self.columns);
        let mut free = spots.filter(|&(start, row)| {
            start < plot
                && start + count <= plot
                && self.raster.is_free(start.saturating_sub(1), row, count + 1)
        });
        if let Some((start, row)) = free.next() {
            self.raster.text(start, row, &text, style);
        }
        for row in 0..usize::from(self.rows) {
            self.raster.guide(column, row, line, style);
        }
    }

    /// The name of a curve beside its end.
    fn name(&mut self, name: &str, points: &[Point], layer: Layer) {
        let end = points.iter().rev().find_map(|&point| self.dot(point));
        let bottom = self.size().1;
        let Some((column, row)) = end.and_then(|(x, y)| self.raster.cell_of(x, y.clamp(0.0, bottom))) else {
            return;
        };
        for row in [row, row.wrapping_sub(1), row + 1, row.wrapping_sub(2), row + 2] {
            if self.raster.is_free(column + 1, row, name.len() + 1) {
                self.raster.text(column + 1, row, &format!(" {name} "), self.theme.layer(layer));
                return;
            }
        }
    }

    /// The numbers of other runs, at the ends of their curves.
    fn number(&mut self, others: &[(usize, Vec<Point>)]) {
        for (index, points) in others {
            let end = points.iter().rev().find_map(|&point| self.dot(point));
            let right = self.size().0;
            let Some((column, row)) = end.and_then(|(x, y)| self.raster.cell_of(x.min(right), y)) else {
                continue;
            };
            let label = format!(" {}", index + 1);
            if self.raster.is_free(column + 1, row, label.len()) {
                self.raster.text(column + 1, row, &label, self.theme.layer(Layer::Other(*index as u8)));
            }
        }
    }

    fn pick(&self, unicode: char, ascii: char) -> char {
        if self.theme.unicode() { unicode } else { ascii }
    }

    fn sign_at(&mut self, x: f64, y: f64, unicode: char, ascii: char, layer: Layer) {
        if let Some((column, row)) = self.raster.cell_of(x, y) {
            self.raster.mark(column, row, self.pick(unicode, ascii), self.theme.layer(layer));
        }
    }

    /// Where a value is not a number.
    fn cross(&mut self, x: f64, bottom: f64) {
        if let Some((column, row)) = self.raster.cell_of(x, bottom) {
            self.raster.mark(column, row, self.pick('×', 'x'), self.theme.warning());
        }
    }

    /// Puts drawing and axes on the screen.
    fn draw(&self, buffer: &mut Buffer, area: Rect) {
        let (theme, faint) = (self.theme, self.theme.faint());
        let left = area.x + self.margin;
        let foot = area.y + self.rows;
        let inner = Rect { x: left + 1, width: area.right() - left - 1, height: self.rows, ..area };
        self.raster.draw(buffer, inner, theme);

        for y in area.y..foot {
            buffer.set_string(left, y, theme.sign("│", "|"), faint);
        }
        for tick in self.y.ticks(y_limit(self.rows)) {
            let Some(place) = self.y.place(tick.value) else { continue };
            let dot = (1.0 - place) * self.size().1;
            let Some((_, row)) = self.raster.cell_of(0.0, dot) else { continue };
            let y = area.y + row as u16;
            let label = format!("{:>width$}", tick.label, width = usize::from(self.margin));
            buffer.set_stringn(area.x, y, label, usize::from(self.margin), faint);
            buffer.set_string(left, y, theme.sign("┤", "+"), faint);
        }

        buffer.set_string(left, foot, theme.sign("└", "+"), faint);
        let line = theme.sign("─", "-").repeat(usize::from(self.columns));
        buffer.set_string(left + 1, foot, line, faint);
        let name_start = area.right().saturating_sub(self.x_name.len() as u16 + 1);
        buffer.set_string(name_start, foot + 1, self.x_name, faint);
        let mut free_from = area.x;
        for tick in self.x.ticks(usize::from(self.columns / 10).max(2)) {
            let Some(place) = self.x.place(tick.value) else { continue };
            let Some((column, _)) = self.raster.cell_of(place * self.size().0, 0.0) else { continue };
            let x = left + 1 + column as u16;
            buffer.set_string(x, foot, theme.sign("┬", "+"), faint);
            let width = tick.label.len() as u16;
            let start = x.saturating_sub(width / 2).max(area.x);
            if start >= free_from && start + width < name_start {
                buffer.set_string(start, foot + 1, &tick.label, faint);
                free_from = start + width + 1;
            }
        }
    }
}

fn y_limit(rows: u16) -> usize {
    usize::from(rows / 2).clamp(2, 7)
}
