//! A grid of cells to draw lines into, finer than the cells: braille dots, half blocks, or letters.
//!
//! Knows no axis and no series: coordinates are dots, counted from the upper left corner.

use super::theme::{Layer, Theme};
use crate::dashboard::model::Drawing;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A drawing of `width` by `height` cells.
pub struct Raster {
    drawing: Drawing,
    width: usize,
    height: usize,
    cells: Vec<Cell>,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    /// One bit a dot, row by row.
    dots: u8,
    layer: Option<Layer>,
    /// A sign that takes the place of the dots.
    mark: Option<(char, Style)>,
    /// Whether it lies between two curves.
    shaded: bool,
}

impl Raster {
    pub fn new(drawing: Drawing, width: u16, height: u16) -> Self {
        let (width, height) = (usize::from(width), usize::from(height));
        Self { drawing, width, height, cells: vec![Cell::default(); width * height] }
    }

    /// Dots to a cell, across and down.
    fn grain(&self) -> (usize, usize) {
        match self.drawing {
            Drawing::Braille => (2, 4),
            Drawing::HalfBlock => (1, 2),
            Drawing::Ascii => (1, 1),
        }
    }

    /// Cells across.
    pub fn columns(&self) -> usize {
        self.width
    }

    /// Dots across and down.
    pub fn size(&self) -> (usize, usize) {
        let (across, down) = self.grain();
        (self.width * across, self.height * down)
    }

    /// The cell that holds a dot.
    pub fn cell_of(&self, x: f64, y: f64) -> Option<(usize, usize)> {
        let (across, down) = self.grain();
        let within = x > -0.5 && y > -0.5;
        let (column, row) = (x.round() as usize / across, y.round() as usize / down);
        (within && column < self.width && row < self.height).then_some((column, row))
    }

    fn dot(&mut self, x: usize, y: usize, layer: Layer) {
        let (across, down) = self.grain();
        let (column, row) = (x / across, y / down);
        if column >= self.width || row >= self.height {
            return;
        }
        let bit = 1 << ((y % down) * across + x % across);
        let cell = &mut self.cells[row * self.width + column];
        // What is behind makes room for the curves; curves that cross are both seen.
        if cell.layer.is_some_and(|behind| behind <= Layer::Error && behind < layer) {
            cell.dots = 0;
        }
        if layer <= Layer::Error && cell.layer > Some(layer) {
            return;
        }
        cell.dots |= bit;
        cell.layer = cell.layer.max(Some(layer));
    }

    /// A straight line between two places, of which only the part within the drawing is seen.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), layer: Layer) {
        let (width, height) = self.size();
        let Some((from, to)) = clip(from, to, width as f64 - 1.0, height as f64 - 1.0) else { return };
        let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).ceil().max(1.0);
        for i in 0..=steps as usize {
            let share = i as f64 / steps;
            let (x, y) = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            self.dot(x.round() as usize, y.round() as usize, layer);
        }
    }

    /// The same, without what is right of `right`: beside the plot there is room for names only.
    pub fn line_left_of(&mut self, right: f64, from: (f64, f64), to: (f64, f64), layer: Layer) {
        if from.0 > right {
            return;
        }
        let share = if to.0 > right { (right - from.0) / (to.0 - from.0) } else { 1.0 };
        let to = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
        self.line(from, to, layer);
    }

    /// Shades one cell, behind whatever is there. ASCII has no sign that is lighter than a curve.
    pub fn shade(&mut self, column: usize, row: usize) {
        if column < self.width && row < self.height && self.drawing != Drawing::Ascii {
            self.cells[row * self.width + column].shaded = true;
        }
    }

    /// A sign in one cell, over whatever is there.
    pub fn mark(&mut self, column: usize, row: usize, sign: char, style: Style) {
        if column < self.width && row < self.height {
            self.cells[row * self.width + column].mark = Some((sign, style));
        }
    }

    /// A sign in one cell, if nothing is there.
    pub fn guide(&mut self, column: usize, row: usize, sign: char, style: Style) {
        if self.is_free(column, row, 1) {
            self.mark(column, row, sign, style);
        }
    }

    /// Whether `count` cells from here on to the right exist and are empty.
    pub fn is_free(&self, column: usize, row: usize, count: usize) -> bool {
        row < self.height
            && column + count <= self.width
            && self.cells[row * self.width + column..][..count]
                .iter()
                .all(|c| c.layer.is_none() && c.mark.is_none())
    }

    /// Text over whatever is there.
    pub fn text(&mut self, column: usize, row: usize, text: &str, style: Style) {
        for (i, sign) in text.chars().enumerate() {
            self.mark(column + i, row, sign, style);
        }
    }

    /// Puts the drawing on the screen, its upper left corner at that of `area`.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, theme: Theme) {
        for row in 0..self.height.min(usize::from(area.height)) {
            for column in 0..self.width.min(usize::from(area.width)) {
                let cell = self.cells[row * self.width + column];
                let (sign, style) = match (cell.mark, cell.layer) {
                    (Some(mark), _) => mark,
                    (None, Some(layer)) => (self.sign(cell.dots, layer), theme.layer(layer)),
                    (None, None) => (' ', Style::new()),
                };
                let (sign, style) = match cell.shaded {
                    true => {
                        (if sign == ' ' { theme.shade_sign(column, row) } else { sign }, theme.shaded(style))
                    }
                    false if sign == ' ' => continue,
                    false => (sign, style),
                };
                if let Some(target) = buffer.cell_mut((area.x + column as u16, area.y + row as u16)) {
                    target.set_char(sign).set_style(style);
                }
            }
        }
    }

    fn sign(&self, dots: u8, layer: Layer) -> char {
        match (self.drawing, layer) {
            (Drawing::Braille, _) => braille(dots),
            (Drawing::HalfBlock, _) => match dots {
                1 => '▀',
                2 => '▄',
                _ => '█',
            },
            (Drawing::Ascii, Layer::Raw) => '.',
            (Drawing::Ascii, Layer::Other(_)) => ',',
            (Drawing::Ascii, Layer::Error) => '|',
            (Drawing::Ascii, Layer::Set) => '~',
            (Drawing::Ascii, Layer::Probe) => '=',
            (Drawing::Ascii, Layer::Train) => '+',
            (Drawing::Ascii, Layer::Eval) => '*',
        }
    }
}

/// The braille sign of eight dots, given row by row. Unicode numbers the upper six column by column.
fn braille(dots: u8) -> char {
    const BITS: [u32; 8] = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80];
    let code = (0..8).filter(|i| dots >> i & 1 == 1).map(|i| BITS[i]).sum::<u32>();
    char::from_u32(0x2800 + code).unwrap_or(' ')
}

const FAR: f64 = 1e8;

type Segment = ((f64, f64), (f64, f64));

/// The part of a line within `0..=right` by `0..=bottom` (Liang and Barsky); `None` where there is none.
fn clip(from: (f64, f64), to: (f64, f64), right: f64, bottom: f64) -> Option<Segment> {
    // Further out the arithmetic of the cut would lose the dots.
    let tame = |(x, y): (f64, f64)| (x.clamp(-FAR, FAR), y.clamp(-FAR, FAR));
    let (from, to) = (tame(from), tame(to));
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (mut enter, mut leave) = (0.0f64, 1.0f64);
    for (delta, room) in [(-dx, from.0), (dx, right - from.0), (-dy, from.1), (dy, bottom - from.1)] {
        // Half a dot of tolerance: what rounds to the edge is on it.
        let room = room + 0.49;
        if delta == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if delta < 0.0 {
            enter = enter.max(room / delta);
        } else {
            leave = leave.min(room / delta);
        }
    }
    let at = |share: f64| {
        let place = (from.0 + dx * share, from.1 + dy * share);
        (place.0.clamp(0.0, right), place.1.clamp(0.0, bottom))
    };
    (enter <= leave).then(|| (at(enter), at(leave)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(drawing: Drawing, draw: impl Fn(&mut Raster)) -> String {
        let area = Rect::new(0, 0, 4, 2);
        let mut raster = Raster::new(drawing, area.width, area.height);
        draw(&mut raster);
        let mut buffer = Buffer::empty(area);
        raster.draw(&mut buffer, area, Theme::new(false, drawing));
        buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect()
    }

    #[test]
    fn a_diagonal_in_every_drawing() {
        let draw = |raster: &mut Raster| {
            let (w, h) = raster.size();
            raster.line((0.0, 0.0), (w as f64 - 1.0, h as f64 - 1.0), Layer::Eval);
        };
        assert_eq!(shown(Drawing::Braille, draw), "⠑⢄    ⠑⢄");
        assert_eq!(shown(Drawing::HalfBlock, draw), "▀▄    ▀▄");
        assert_eq!(shown(Drawing::Ascii, draw), "**    **");
    }

    #[test]
    fn lines_are_cut_at_the_edges() {
        let draw = |raster: &mut Raster| {
            raster.line((-1e30, 3.0), (1e30, 3.0), Layer::Eval);
            raster.line((0.0, 50.0), (7.0, 60.0), Layer::Eval);
        };
        assert_eq!(shown(Drawing::Braille, draw), "⣀⣀⣀⣀    ");
    }

    #[test]
    fn steps_make_room_for_curves() {
        let draw = |raster: &mut Raster| {
            raster.line((0.0, 0.0), (3.0, 0.0), Layer::Raw);
            raster.line((0.0, 1.0), (0.0, 1.0), Layer::Train);
            raster.line((0.0, 0.0), (0.0, 0.0), Layer::Raw);
        };
        assert_eq!(shown(Drawing::Ascii, draw), "....+   ");
    }
}
