//! Tables with a header: CSV and TSV of any trainer (Lightning, Keras, fastai, LitGPT, CatBoost), what
//! `TensorBoard` lets one download as CSV, columns that blanks align as fastai prints them, and tables between bars,
//! of Markdown or of box-drawing characters.
//!
//! A header has no number, and names a loss beside something else; the rows after it have as many
//! cells, some of which may be empty.

use super::points::At;
use super::rows::{Cell, Rows};
use super::{Format, Map, Points, names, roles, scan};
use crate::ingest::names::{Side, What};
use memchr::{memchr, memchr3};
use std::ops::Range;

/// Columns of a table; a wider one is none.
const WIDEST: usize = 4000;
/// The columns of a scalar that was downloaded from `TensorBoard`, whose name is in that of the file.
const SCALAR: [&[u8]; 3] = [b"Wall time", b"Step", b"Value"];

pub(super) struct Table {
    rows: Rows,
    map: Map,
    /// What the columns are, as the rows know their names.
    columns: Vec<usize>,
    /// Where the cells of a line are, kept for its memory.
    cells: Vec<Range<usize>>,
    /// A row without the bars around it, kept for its memory.
    inner: Vec<u8>,
    separator: Separator,
    trainer: &'static str,
    /// The name of the file, without what follows its last dot, and which side it says the figures are of.
    stem: String,
    side: Option<Side>,
}

#[derive(Clone, Copy, PartialEq)]
enum Separator {
    Byte(u8),
    /// Any run of spaces.
    Blank,
}

impl Table {
    pub(super) fn new(map: &Map, file: &str, side: Option<Side>) -> Self {
        let mut rows = Rows::new(map);
        rows.set_side(side);
        let map = map.clone();
        Self {
            rows,
            map,
            columns: Vec::new(),
            cells: Vec::new(),
            inner: Vec::new(),
            separator: Separator::Blank,
            trainer: "csv",
            stem: file.rsplit_once('.').map_or(file, |(stem, _)| stem).into(),
            side,
        }
    }

    /// Whether the line is a header, which is then kept.
    fn begins(&mut self, line: &[u8]) -> bool {
        // A bar may be part of a name, unless the line begins with one.
        let bars = if line.trim_ascii_start().starts_with(b"|") { *b"|,\t;" } else { *b",\t;|" };
        let separator = bars
            .into_iter()
            .find(|&byte| memchr(byte, line).is_some())
            .map_or(Separator::Blank, Separator::Byte);
        if separator == Separator::Blank && !self.may_be_columns(line) {
            return false;
        }
        // Prose and dictionaries have commas too, but no tabs.
        let tabs = separator == Separator::Byte(b'\t');
        if !tabs && memchr3(b'=', b':', b'{', line).is_some() {
            return false;
        }
        separator.cut(line, &mut self.cells);
        if separator == Separator::Blank {
            self.join_names(line);
        }
        let mut cells: Vec<&[u8]> = self.cells.iter().map(|cell| &line[cell.clone()]).collect();
        // CatBoost's have no loss by that name, only the function that is minimised.
        let objectives: Vec<Vec<u8>> = if tabs && cells[0] == b"iter" && self.map == Map::default() {
            cells.iter().map(|cell| roles::objective(cell).unwrap_or_else(|| cell.to_vec())).collect()
        } else {
            Vec::new()
        };
        if !objectives.is_empty() {
            cells = objectives.iter().map(Vec::as_slice).collect();
        }
        let is_scalar = cells == SCALAR;
        if is_scalar && self.map == Map::default() {
            cells[2] = scalar_of(&self.stem).as_bytes();
        }
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
        let place = cells.iter().any(is_place);
        // Prose has blanks too; what is a table begins with the place.
        let led = separator != Separator::Blank || is_place(&cells[0]) || self.is_step(cells[0]);
        let enough = losses > 1 || losses == 1 && place;
        if !enough || !led {
            return false;
        }
        self.trainer = if is_scalar { "tensorboard" } else { author(&cells, separator, self.side) };
        self.separator = separator;
        // A header in the middle: another table, of which nothing is known.
        self.rows = Rows::new(&self.map);
        self.rows.set_side(self.side);
        self.columns = cells.iter().map(|cell| self.rows.find(cell)).collect();
        true
    }
}

impl Table {
    /// Whether the user has said that this column holds the step.
    fn is_step(&self, name: &[u8]) -> bool {
        self.map.step.as_ref().is_some_and(|step| step.as_bytes() == name)
    }

    /// Whether a line without any separator but blanks may be a header; most are turned away by their first word.
    fn may_be_columns(&self, line: &[u8]) -> bool {
        const LONGEST_HEADER: usize = 400;
        let first =
            line.trim_ascii_start().split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default();
        let known: [&[u8]; 7] = [b"epoch", b"step", b"iter", b"iteration", b"global_step", b"ep", b"batch"];
        let mapped = || self.map.step.as_ref().is_some_and(|step| step.as_bytes().starts_with(first));
        line.len() < LONGEST_HEADER
            && (known.iter().any(|known| first.eq_ignore_ascii_case(known)) || !first.is_empty() && mapped())
    }

    /// Puts the words together that are one name: `Training Loss`, what the user has named, and, where columns are
    /// two blanks or more apart, those that are one apart.
    fn join_names(&mut self, line: &[u8]) {
        let mut wide = self.cells.clone();
        join_words(&mut wide);
        let losses = |cell: &Range<usize>| {
            line[cell.clone()].split(|byte| *byte == b' ').filter(|word| names::speaks_of_loss(word)).count()
        };
        // `valid_loss` is the whole name of a column that the blank behind it ends.
        let whole = |cell: &Range<usize>| {
            let mut words = line[cell.clone()].split(|byte| *byte == b' ');
            words.clone().count() > 1 && words.any(|word| word.contains(&b'_') && names::any_of_loss(word))
        };
        if wide.len() > 1 && wide.iter().all(|cell| losses(cell) < 2 && !whole(cell)) {
            self.cells = wide;
            return;
        }
        let map = &self.map;
        let mapped = |name: &[u8]| {
            [&map.eval, &map.train, &map.step].into_iter().flatten().any(|known| known.as_bytes() == name)
        };
        let (words, mut joined) = (std::mem::take(&mut self.cells), Vec::new());
        let mut rest = words.as_slice();
        while let [first, after @ ..] = rest {
            let of_side =
                |next: &Range<usize>| names::side(&line[first.clone()]).is_some() && losses(next) == 1;
            let more = (1..rest.len().min(5))
                .rev()
                .find(|&more| mapped(&line[first.start..rest[more].end]))
                .unwrap_or_else(|| usize::from(after.first().is_some_and(of_side)));
            joined.push(first.start..rest[more].end);
            rest = &rest[more + 1..];
        }
        self.cells = joined;
    }

    /// Takes the cells of a row; how many are numbers, where there are as many cells as columns.
    fn row(&mut self, line: &[u8]) -> Option<u32> {
        self.rows.begin();
        let (mut columns, mut numbers) = (self.columns.iter(), 0);
        let mut take = |cell: Cell| {
            let column = columns.next()?;
            if cell != Cell::Words(b"") {
                numbers += u32::from(matches!(cell, Cell::Number(_)));
                self.rows.cell_at(*column, cell);
            }
            Some(())
        };
        match self.separator {
            Separator::Byte(end) => {
                let mut rest = line;
                loop {
                    // Nearly all cells are empty, or a number that the separator follows.
                    let read = if rest.first() == Some(&end) { None } else { scan::number(rest) };
                    let length = match read {
                        Some((value, length)) if rest.get(length).is_none_or(|byte| *byte == end) => {
                            take(Cell::Number(value))?;
                            length
                        }
                        _ => {
                            let length = memchr(end, rest).unwrap_or(rest.len());
                            let cell = &rest[bare(rest, 0..length)];
                            let number = if end == b';' { decimal_comma(cell) } else { None };
                            take(number.map_or_else(|| Cell::of(cell), Cell::Number))?;
                            length
                        }
                    };
                    match rest.get(length) {
                        Some(_) => rest = &rest[length + 1..],
                        None => break,
                    }
                }
            }
            Separator::Blank => {
                self.separator.cut(line, &mut self.cells);
                for (index, cell) in self.cells.iter().enumerate() {
                    let cell = Cell::of(&line[cell.clone()]);
                    // A sentence of as many words begins with another.
                    if index == 0 && !matches!(cell, Cell::Number(_)) {
                        return None;
                    }
                    take(cell)?;
                }
            }
        }
        columns.next().is_none().then_some(numbers)
    }
}

/// The run and the scalar of a file that was downloaded from `TensorBoard`: `run-RUN-tag-SCALAR`.
pub(super) fn download(stem: &str) -> Option<(&str, &str)> {
    stem.starts_with("run-").then(|| stem.rsplit_once("-tag-")).flatten()
}

fn scalar_of(stem: &str) -> &str {
    download(stem).map_or(stem, |(_, scalar)| scalar)
}

/// Who wrote a table, by its columns.
fn author(cells: &[&[u8]], separator: Separator, side: Option<Side>) -> &'static str {
    let has = |name: &str| cells.contains(&name.as_bytes());
    let fastai = cells[0] == b"epoch" && has("train_loss");
    if separator == Separator::Byte(b'|') || separator == Separator::Blank && !fastai {
        "text"
    } else if separator == Separator::Blank || has("train_loss") && has("valid_loss") && has("time") {
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

impl Separator {
    /// Where the cells of a line are, without blanks and quotes around them.
    fn cut(self, line: &[u8], cells: &mut Vec<Range<usize>>) {
        cells.clear();
        match self {
            Self::Byte(end) => {
                let cut = line.split(|byte| *byte == end).scan(0, |from, cell| {
                    let at = *from;
                    *from += cell.len() + 1;
                    Some(at..at + cell.len())
                });
                cells.extend(cut.map(|cell| bare(line, cell)));
            }
            Self::Blank => {
                let words = line.split(|byte| matches!(byte, b' ' | b'\t')).scan(0, |from, word| {
                    let at = *from;
                    *from += word.len() + 1;
                    Some(at..at + word.len())
                });
                cells.extend(words.map(|word| bare(line, word)).filter(|word| !word.is_empty()));
            }
        }
    }
}

/// Puts cells together that one blank is between.
fn join_words(cells: &mut Vec<Range<usize>>) {
    cells.dedup_by(|next, cell| {
        let one = next.start == cell.end + 1;
        if one {
            cell.end = next.end;
        }
        one
    });
}

/// A cell that is a number as half of the world writes it: `2,5`.
fn decimal_comma(cell: &[u8]) -> Option<f64> {
    let (value, length) = scan::decimal_comma(cell, memchr(b',', cell)?)?;
    (length == cell.len()).then_some(value)
}

/// The row between the bars of `| 1 | 2.5 |`, whatever they are made of, with plain ones between its cells.
fn between_bars<'a>(line: &[u8], inner: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    const BARS: [&str; 4] = ["|", "\u{2502}", "\u{2503}", "\u{2551}"];
    fn bar(text: &[u8]) -> Option<&[u8]> {
        BARS.iter().find_map(|bar| text.strip_prefix(bar.as_bytes()))
    }
    let mut rest = bar(line.trim_ascii())?;
    inner.clear();
    while let [first, after @ ..] = rest {
        let behind = if matches!(first, b'|' | 0xe2) { bar(rest) } else { None };
        inner.push(if behind.is_some() { b'|' } else { *first });
        rest = behind.unwrap_or(after);
    }
    inner.strip_suffix(b"|")
}

/// A cell without blanks and quotes around it.
fn bare(line: &[u8], cell: Range<usize>) -> Range<usize> {
    let text = &line[cell.clone()];
    let start = cell.start + text.len() - text.trim_ascii_start().len();
    let inner = text.trim_ascii();
    let edge = usize::from(inner.len() >= 2 && inner.starts_with(b"\"") && inner.ends_with(b"\""));
    start + edge..start + inner.len() - edge
}

impl Format for Table {
    fn trainer(&self) -> &'static str {
        self.trainer
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        let first = line.iter().find(|byte| !byte.is_ascii_whitespace());
        if matches!(first, Some(b'|' | 0xe2)) {
            let mut inner = std::mem::take(&mut self.inner);
            let taken = between_bars(line, &mut inner).is_some_and(|row| self.row_or_header(row, points));
            self.inner = inner;
            return taken;
        }
        self.row_or_header(line, points)
    }
}

impl Table {
    fn row_or_header(&mut self, line: &[u8], points: &mut Points) -> bool {
        let first = line.iter().find(|byte| !byte.is_ascii_whitespace());
        let headlike =
            first.is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'"' | b'_' | 0xef | b','));
        if self.columns.is_empty() {
            if headlike && line.len() < 100_000 {
                self.begins(line);
            }
            return false;
        }
        let Some(numbers) = self.row(line) else {
            // A row that is cut short is one of a table all the same.
            if points.started() && matches!(self.separator, Separator::Byte(end) if end != b'|') {
                points.skip("a row with another number of cells than the header");
            } else if headlike && !points.started() && self.separator == Separator::Blank {
                // Words that only look like a header must not hide the one after them.
                self.begins(line);
            }
            return false;
        };
        if numbers == 0 && headlike {
            self.begins(line);
            return false;
        }
        points.written_by(self.trainer);
        self.rows.give(At::default(), points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::ingest::Parsed;

    /// The points of some lines, as `T step loss` and `E step loss`.
    fn read(map: &Map, lines: &[&str]) -> String {
        let (mut table, mut points) = (Table::new(map, "a.log", None), Points::new("text"));
        for line in lines {
            table.line(line.as_bytes(), &mut points);
        }
        let mut parsed = Parsed::default();
        points.drain(&mut parsed);
        let point = |event: &Event| match event {
            Event::Step(step) => Some(format!("T{} {}", step.step, step.loss)),
            Event::Eval(eval) => Some(format!("E{} {}", eval.step, eval.loss)),
            _ => None,
        };
        parsed.records.iter().filter_map(|record| point(&record.event)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn names_of_two_words_over_columns_that_blanks_align() {
        for lines in [
            [" Epoch   Train Loss   Valid Loss   Time", "   1       2.7000     2.9000   00:12"],
            ["Epoch Training Loss Validation Loss Accuracy", "1 2.7 2.9 0.712"],
            ["Epoch  Train Loss Valid Loss  Time", "1  2.7 2.9  0.12"],
            ["step   train_loss   val_loss", "   1       2.7000     2.9000"],
            ["Step  Grad Norm  Train Loss  Val Loss", "1   0.5   2.7   2.9"],
            ["epoch      train_loss lr         valid_loss time", "1   2.7   1e-4   2.9   0:12"],
        ] {
            assert_eq!(read(&Map::default(), &lines), "T1 2.7, E1 2.9", "{lines:?}");
        }
        let map = Map { eval: Some("Dev Score".into()), train: Some("My Own Score".into()), step: None };
        for header in ["Epoch My Own Score Dev Score", "Epoch   My Own Score   Dev Score"] {
            assert_eq!(read(&map, &[header, "1 2.7 2.9"]), "T1 2.7, E1 2.9", "{header}");
        }
    }

    #[test]
    fn prose_is_no_header_and_hides_none() {
        let lines = ["Step loss is written below", "Step train_loss val_loss", "1 2.7 2.9", "saving model 3"];
        assert_eq!(read(&Map::default(), &lines), "T1 2.7, E1 2.9");
    }
}
