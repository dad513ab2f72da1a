//! What is drawn between the axes: every training step behind its average, the evaluations with
//! their errors, the gap between the two, the best and the turn, other runs, and the crosshair.
//!
//! Values far off the story are cut, with an arrow where; what is not a number is a gap, with a cross
//! below.

use super::axis::Axis;
use super::chart::y_limit;
use super::range::{x_axis, y_axis};
use super::raster::Raster;
use super::series::{self, Column, Lines, Place, Point};
use super::theme::{Layer, Theme};
use super::{Scene, legend};
use crate::dashboard::model::{Ui, Unit, XAxis};
use crate::monitor::Snapshot;

/// Evaluations closer than this many columns are a line without marks.
const MARK_GAP: usize = 2;
/// A name is not cut to fewer letters than those of our own curves have.
const SHORTEST_NAME: usize = 5;

/// The cells there are for the plot and the labels beside it.
#[derive(Clone, Copy)]
pub struct Room {
    pub width: u16,
    pub rows: u16,
    /// Columns to the right of the plot.
    pub gutter: u16,
}

/// The drawing between the axes, and the axes.
pub struct Plot {
    theme: Theme,
    unit: Unit,
    pub raster: Raster,
    pub x: Axis,
    pub y: Axis,
    pub x_kind: XAxis,
    /// The axis that would show all, and the x of the newest point.
    pub whole: Axis,
    pub newest: f64,
    /// Cells across that the x axis spans; the raster is wider by the gutter.
    pub columns: u16,
    pub rows: u16,
    /// Cells to the left: the labels of the y axis.
    pub margin: u16,
    /// The training steps, column by column.
    pub steps: Vec<Column>,
}

impl Plot {
    pub fn new(scene: &Scene<'_>, ui: &Ui, theme: Theme, room: Room) -> Self {
        let snapshot = &scene.snapshot;
        let curves = snapshot.curves;
        let x_kind = series::x_axis(snapshot, ui.x);
        let (x, whole, newest) = x_axis(snapshot, x_kind, ui);
        let others = scene.others(ui).map(|(index, run)| {
            let eval = &run.monitor.snapshot().curves.eval;
            (index, series::eval(eval, x_kind, ui.unit))
        });
        let lines = Lines {
            eval: series::eval(&curves.eval, x_kind, ui.unit),
            train: series::train(curves, x_kind, ui.unit, ui.average, x.ends()),
            probe: series::eval(&curves.probe, x_kind, ui.unit),
            sets: curves
                .others
                .iter()
                .map(|(name, points)| (name.clone(), series::eval(points, x_kind, ui.unit)))
                .collect(),
            others: others.collect(),
        };
        let y = y_axis(snapshot, &x, &lines, ui);
        let labels = y.ticks(y_limit(room.rows));
        let margin = labels.iter().map(|tick| tick.label.len()).max().unwrap_or(0).min(8) as u16;
        let columns = room.width - margin - 1 - room.gutter;
        let mut plot = Self {
            theme,
            unit: ui.unit,
            raster: Raster::new(theme.drawing, columns + room.gutter, room.rows),
            x,
            y,
            x_kind,
            whole,
            newest,
            columns,
            rows: room.rows,
            margin,
            steps: Vec::new(),
        };
        let (lo, hi) = x.ends();
        let shown = series::between(&curves.train, x_kind, lo, hi);
        plot.steps = series::steps(curves, shown, x_kind, ui.unit, |x| plot.column(x));
        plot.all(scene, ui, &lines);
        plot
    }

    /// Everything, from the back to the front.
    fn all(&mut self, scene: &Scene<'_>, ui: &Ui, lines: &Lines) {
        let steps = std::mem::take(&mut self.steps);
        self.every_step(&steps);
        for (index, points) in &lines.others {
            let layer = Layer::Other(*index as u8);
            self.error_bars(&scene.runs[*index].monitor.snapshot(), layer);
            self.curve(points, layer);
        }
        self.error_bars(&scene.snapshot, Layer::Error);
        for (_, points) in &lines.sets {
            self.curve(points, Layer::Set);
        }
        self.curve(&lines.probe, Layer::Probe);
        self.curve(&lines.train, Layer::Train);
        self.curve(&lines.eval, Layer::Eval);
        self.gap(lines);
        self.marks(&scene.snapshot, lines);
        self.numbers(&lines.others);
        self.far_steps(&steps);
        if let Some(x) = ui.cursor {
            self.crosshair(x);
        }
        self.steps = steps;
    }

    /// What the x axis counts.
    pub fn x_name(&self, snapshot: &Snapshot<'_>) -> &'static str {
        match self.x_kind {
            XAxis::Step => snapshot.run.places().unit(),
            XAxis::Epoch => "epoch",
            XAxis::Time => "time",
        }
    }

    /// The column of the plot in which an x lies.
    pub fn cell(&self, x: f64) -> Option<u16> {
        let (column, _) = self.raster.cell_of(self.x.place(x)? * self.size().0, 0.0)?;
        (column < usize::from(self.columns)).then_some(column as u16)
    }

    /// The x in the middle of a column of the plot.
    pub fn x_of(&self, column: u16) -> f64 {
        let (lo, hi) = self.x.ends();
        lo + (f64::from(column) + 0.5) / f64::from(self.columns) * (hi - lo)
    }

    /// Dots across and down, without the gutter.
    pub fn size(&self) -> (f64, f64) {
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

    /// Whether a dot column is one of the plot and not of what is beside it.
    fn is_shown(&self, x: f64) -> bool {
        (-0.5..=self.size().0 + 0.5).contains(&x)
    }

    /// Every training step: of each column from the lowest to the highest.
    fn every_step(&mut self, columns: &[Column]) {
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
    fn error_bars(&mut self, snapshot: &Snapshot<'_>, layer: Layer) {
        let (lo, hi) = self.x.ends();
        let shown = series::between(&snapshot.curves.eval, self.x_kind, lo, hi);
        if shown.len() * MARK_GAP > usize::from(self.columns) {
            return;
        }
        for point in &snapshot.curves.eval[shown] {
            let Some(error) = series::standard_error(&point.examples) else { continue };
            let x = point.x(self.x_kind);
            let end = |loss: f64| self.dot((x, self.unit.of(loss)));
            if let (Some(low), Some(high)) = (end(point.loss - error), end(point.loss + error)) {
                self.raster.line(low, high, layer);
            }
        }
    }

    fn curve(&mut self, points: &[Point], layer: Layer) {
        let points = series::thinned(points, |x| self.column(x).clamp(-2, i64::from(u16::MAX)));
        let right = self.size().0;
        for pair in points.windows(2) {
            if let (Some(from), Some(to)) = (self.dot(pair[0]), self.dot(pair[1])) {
                self.raster.line_left_of(right, from, to, layer);
            }
        }
        for point in &points {
            if let Some(dot) = self.dot(*point).filter(|dot| self.is_shown(dot.0)) {
                self.raster.line(dot, dot, layer);
            }
        }
    }

    /// Lightly shades what lies between train and eval: by the probe where there is one, which is
    /// measured as the evaluations are.
    fn gap(&mut self, lines: &Lines) {
        let train = if lines.probe.len() > 1 { &lines.probe } else { &lines.train };
        for column in 0..self.columns {
            let x = self.x_of(column);
            let (Some(train), Some(eval)) = (series::height(train, x), series::height(&lines.eval, x)) else {
                continue;
            };
            let (Some(a), Some(b)) = (self.dot((x, train)), self.dot((x, eval))) else { continue };
            let bottom = self.size().1;
            let (upper, lower) = (a.1.min(b.1), a.1.max(b.1));
            if upper > bottom || lower < 0.0 {
                continue;
            }
            let row = |y: f64| self.raster.cell_of(0.0, y.clamp(0.0, bottom)).map_or(0, |(_, row)| row);
            let (from, to) = (row(upper), row(lower));
            for row in from..=to {
                self.raster.shade(usize::from(column), row);
            }
        }
    }

    /// The evaluations, the best, the turn, and the names of the curves.
    fn marks(&mut self, snapshot: &Snapshot<'_>, lines: &Lines) {
        let bottom = self.size().1;
        let (lo, hi) = self.x.ends();
        let shown = series::between(&snapshot.curves.eval, self.x_kind, lo, hi);
        let sparse = shown.len() * MARK_GAP <= usize::from(self.columns);
        for &(x, y) in &lines.eval[shown] {
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
        let best = find(snapshot.diagnosis.best);
        let best = best.and_then(|p| self.dot((p.x(self.x_kind), self.unit.of(p.loss))));
        let cell = best.filter(|dot| self.is_shown(dot.0));
        let cell = cell.and_then(|dot| self.raster.cell_of(dot.0, dot.1));
        if let Some((column, row)) = cell {
            self.raster.mark(column, row, self.pick('◆', '@'), self.theme.best());
        }
        self.name("eval", &lines.eval, Layer::Eval);
        self.name("train", &lines.train, Layer::Train);
        self.name("probe", &lines.probe, Layer::Probe);
        for (name, points) in &lines.sets {
            self.name(&self.theme.text(name), points, Layer::Set);
        }
        if let Some(onset) = find(snapshot.diagnosis.onset) {
            let x = onset.x(self.x_kind);
            // Of a step the number alone, as on the axis.
            let place = match self.x_kind {
                XAxis::Step => snapshot.run.places().number(onset.step),
                kind => legend::place(snapshot, kind, x),
            };
            self.onset(self.column(x) as f64, &place);
        }
        // A best to the left of what is shown still has its height.
        if let Some(dot) = best.filter(|dot| dot.0 <= self.size().0)
            && let Some((_, row)) = self.raster.cell_of(0.0, dot.1)
        {
            self.best_line(cell.map_or(0, |(column, _)| column + 1), row);
        }
    }

    /// A dashed line from the best point to the right end, with its name.
    fn best_line(&mut self, from: usize, row: usize) {
        let (columns, style) = (usize::from(self.columns), self.theme.best());
        for column in from..columns {
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
        let Some((column, _)) = self.raster.cell_of(x, 0.0).filter(|_| self.is_shown(x)) else { return };
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

    /// A line from top to bottom behind everything, with a sign at its head.
    fn crosshair(&mut self, x: f64) {
        let x = self.column(x) as f64;
        let Some((column, _)) = self.raster.cell_of(x, 0.0).filter(|_| self.is_shown(x)) else { return };
        let style = self.theme.crosshair();
        for row in 0..usize::from(self.rows) {
            self.raster.guide(column, row, self.pick('│', '|'), style);
        }
        self.raster.mark(column, 0, self.pick('▼', 'V'), style);
    }

    /// The name of a curve beside its end, or as much of it as there is room for.
    fn name(&mut self, name: &str, points: &[Point], layer: Layer) {
        let right = self.x.ends().1;
        let shown = points.partition_point(|point| point.0 <= right);
        let end = points[..shown].iter().rev().find_map(|&point| self.dot(point));
        let bottom = self.size().1;
        let Some((column, row)) = end.and_then(|(x, y)| self.raster.cell_of(x, y.clamp(0.0, bottom))) else {
            return;
        };
        let room = self.raster.columns().saturating_sub(column + 2);
        let cut = |name: &str| name.chars().take(room - 1).chain([self.pick('…', '~')]).collect();
        let fits = name.chars().count() <= room || room < SHORTEST_NAME;
        let name = if fits { name.to_owned() } else { cut(name) };
        let count = name.chars().count();
        for row in [row, row.wrapping_sub(1), row + 1, row.wrapping_sub(2), row + 2] {
            if self.raster.is_free(column + 1, row, count + 1) {
                self.raster.text(column + 1, row, &format!(" {name} "), self.theme.layer(layer));
                return;
            }
        }
    }

    /// The numbers of other runs, at the ends of their curves.
    fn numbers(&mut self, others: &[(usize, Vec<Point>)]) {
        for (index, points) in others {
            // A longer run leaves the picture on its way.
            let right = self.x.ends().1;
            let leaves = series::height(points, right).and_then(|y| self.dot((right, y)));
            let end = leaves.or_else(|| points.iter().rev().find_map(|&point| self.dot(point)));
            let bottom = self.size().1;
            let end = end.and_then(|(x, y)| self.raster.cell_of(x, y.clamp(0.0, bottom)));
            let Some((column, row)) = end else { continue };
            let labels = [format!(" run {}", index + 1), format!(" {}", index + 1)];
            if let Some(label) = labels.iter().find(|label| self.raster.is_free(column + 1, row, label.len()))
            {
                self.raster.text(column + 1, row, label, self.theme.layer(Layer::Other(*index as u8)));
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
        if let Some((column, row)) = self.raster.cell_of(x, bottom).filter(|_| self.is_shown(x)) {
            self.raster.mark(column, row, self.pick('×', 'x'), self.theme.warning());
        }
    }
}
