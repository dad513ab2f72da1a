//! Tables with a header: CSV and TSV of any trainer (Lightning, Keras, fastai, LitGPT, CatBoost), and
//! the columns that fastai prints.
//!
//! A header has no number, and names a loss beside something else; the rows after it have as many
//! cells, some of which may be empty.

use super::points::At;
use super::rows::{Cell, Rows};
use super::{Format, Map, Points, names};
use crate::ingest::names::{Side, What};
use memchr::{memchr, memchr_iter, memchr3};

/// Columns of a table; a wider one is none.
const WIDEST: usize = 4000;

pub(super) struct Table {
    rows: Rows,
    map: Map,
    header: Vec<Vec<u8>>,
    separator: Separator,
    trainer: &'static str,
    /// What the name of the file says of its figures.
    side: Option<Side>,
}

#[derive(Clone, Copy, PartialEq)]
enum Separator {
    Byte(u8),
    /// Any run of spaces.
    Blank,
}

impl Table {
    pub(super) fn new(map: &Map, side: Option<Side>) -> Self {
        let mut rows = Rows::new(map);
        rows.set_side(side);
        let map = map.clone();
        Self { rows, map, header: Vec::new(), separator: Separator::Blank, trainer: "csv", side }
    }

    /// Whether the line is a header, which is then kept.
    fn begins(&mut self, line: &[u8]) -> bool {
        let separator = [b',', b'\t', b';']
            .into_iter()
            .find(|&byte| memchr(byte, line).is_some())
            .map_or(Separator::Blank, Separator::Byte);
        if separator == Separator::Blank && !line.trim_ascii_start().starts_with(b"epoch ") {
            return false;
        }
        // Prose and dictionaries have commas too.
        if memchr3(b'=', b':', b'{', line).is_some() {
            return false;
        }
        let cells: Vec<&[u8]> = cells(line, separator).take(WIDEST + 1).collect();
        if cells.len() < 2 || cells.len() > WIDEST {
            return false;
        }
        let word = |cell: &&[u8]| cell.len() <= 100;
        if !cells.iter().all(|cell| matches!(Cell::of(cell), Cell::Words(_)) && word(cell)) {
            return false;
        }
        let mapped = |cell: &&[u8]| {
            let map = [&self.map.eval, &self.map.train];
            map.iter().any(|column| column.as_ref().is_some_and(|name| name.as_bytes() == *cell))
        };
        let is_loss =
            |cell: &&[u8]| matches!(names::read(cell).what, What::Loss(_) | What::Perplexity) || mapped(cell);
        let is_place = |cell: &&[u8]| matches!(names::read(cell).what, What::Step(_) | What::Epoch);
        let losses = cells.iter().filter(|cell| is_loss(cell)).count();
        let enough = losses > 1 || losses == 1 && cells.iter().any(is_place);
        if !enough {
            return false;
        }
        self.trainer = author(&cells, separator, self.side);
        self.header = cells.iter().map(|&cell| cell.to_vec()).collect();
        self.separator = separator;
        // A header in the middle: another table, of which nothing is known.
        self.rows = Rows::new(&self.map);
        self.rows.set_side(self.side);
        true
    }
}

/// Who wrote a table, by its columns.
fn author(cells: &[&[u8]], separator: Separator, side: Option<Side>) -> &'static str {
    let has = |name: &str| cells.contains(&name.as_bytes());
    if separator == Separator::Blank || has("train_loss") && has("valid_loss") && has("time") {
        "fastai"
    } else if separator == Separator::Byte(b'\t') && cells[0] == b"iter" && side.is_some() {
        "catboost"
    } else if has("iter_time") {
        "litgpt"
    } else if has("epoch") && has("step") {
        "lightning"
    } else if cells[0] == b"epoch" && has("loss") && cells.iter().any(|cell| cell.starts_with(b"val_")) {
        "keras"
    } else {
        "csv"
    }
}

/// The cells of a line, without blanks and quotes around them.
fn cells(line: &[u8], separator: Separator) -> impl Iterator<Item = &[u8]> {
    let is_end = move |byte: &u8| match separator {
        Separator::Byte(end) => *byte == end,
        Separator::Blank => matches!(byte, b' ' | b'\t'),
    };
    let bare = |cell: &'_ [u8]| -> std::ops::Range<usize> {
        // Nearly all are.
        let plain = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
        if plain(cell.first()) && plain(cell.last()) {
            return 0..cell.len();
        }
        let start = cell.len() - cell.trim_ascii_start().len();
        let inner = cell.trim_ascii();
        let quoted = inner.len() >= 2 && inner.starts_with(b"\"") && inner.ends_with(b"\"");
        let edge = usize::from(quoted);
        start + edge..start + inner.len() - edge
    };
    let parts = line.split(is_end).map(move |cell| &cell[bare(cell)]);
    parts.filter(move |cell| separator != Separator::Blank || !cell.is_empty())
}

impl Format for Table {
    fn trainer(&self) -> &'static str {
        self.trainer
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        let first = line.iter().find(|byte| !byte.is_ascii_whitespace());
        let headlike =
            first.is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'"' | b'_' | 0xef | b','));
        if self.header.is_empty() {
            if headlike && line.len() < 100_000 {
                self.begins(line);
            }
            return false;
        }
        let width = match self.separator {
            Separator::Byte(end) => memchr_iter(end, line).count() + 1,
            Separator::Blank => cells(line, Separator::Blank).count(),
        };
        if width != self.header.len() {
            // A row that is cut short is one of a table all the same.
            if points.started() && matches!(self.separator, Separator::Byte(_)) {
                points.skip("a row with another number of cells than the header");
            }
            return false;
        }
        self.rows.begin();
        let mut numbers = 0;
        for (name, cell) in self.header.iter().zip(cells(line, self.separator)) {
            if !cell.is_empty() {
                let cell = Cell::of(cell);
                numbers += u32::from(matches!(cell, Cell::Number(_)));
                self.rows.cell(name, cell);
            }
        }
        if numbers == 0 && headlike {
            self.begins(line);
            return false;
        }
        points.written_by(self.trainer);
        self.rows.give(At::default(), points)
    }
}
