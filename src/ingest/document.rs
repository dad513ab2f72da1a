//! One JSON document over many lines: `trainer_state.json`, `history.json`, `evals_result.json`.
//!
//! Read as it comes, whatever its length: every flat object in it is a row, and every array of
//! numbers a column whose rows are counted from 0, and are put together at the end, when all columns are
//! known. So a document that is cut short gives what was complete. NaN and Infinity are numbers here.

use super::jsonl::Jsonl;
use super::points::At;
use super::rows::{Cell, Rows};
use super::text::Text;
use super::{Format, Options, Parsed, Points, Reader, names, scan};
use crate::event::StopReason;

/// The longest flat object, and the longest name or number.
const LONGEST: usize = 1 << 20;
const LONGEST_WORD: usize = 200;
/// Objects within objects, as far as their names are kept.
const DEEPEST: usize = 16;
/// Columns, and numbers in all of them, that are kept.
const MOST_COLUMNS: usize = 200;
const MOST_NUMBERS: usize = 2 << 20;

pub(super) struct Document {
    jsonl: Jsonl,
    rows: Rows,
    points: Points,
    /// The flat object that is being read, from its brace on; `None` outside, or where it is not flat.
    object: Option<Vec<u8>>,
    /// The string, or the bare word, that is being read.
    word: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// The last string, which may be a name.
    name: Vec<u8>,
    /// For every open bracket: its name, and for an array how many numbers it has had.
    open: Vec<(Vec<u8>, Option<u64>)>,
    too_deep: usize,
    /// The arrays of numbers so far, each with its name.
    columns: Vec<(Vec<u8>, Vec<f64>)>,
    numbers: usize,
    line: u64,
    trainer: &'static str,
    /// Whether the file is called after results: an array named after a side only is a loss.
    results: bool,
    run: Whole,
    /// Text that comes after the document, which was not all.
    text: Option<Text>,
    name_of_file: String,
    options: Options,
}

/// What a document says of the run as a whole.
#[derive(Clone, Copy, Default)]
struct Whole {
    /// `global_step` and `max_steps`.
    step: Option<f64>,
    steps: Option<f64>,
    /// Whether a row sums it up.
    summed: bool,
}

impl Document {
    /// `name` is the file's.
    pub(super) fn new(name: &str, options: &Options) -> Self {
        let map = &options.map;
        Self {
            results: name.contains("evals_result"),
            run: Whole::default(),
            text: None,
            name_of_file: name.to_owned(),
            options: options.clone(),
            jsonl: Jsonl::new(map),
            rows: Rows::new(map).last_decides(),
            points: Points::new("jsonl"),
            object: None,
            word: Vec::new(),
            in_string: false,
            escaped: false,
            name: Vec::new(),
            open: Vec::new(),
            too_deep: 0,
            columns: Vec::new(),
            numbers: 0,
            line: 1,
            trainer: "jsonl",
        }
    }

    fn byte(&mut self, byte: u8) {
        if let Some(object) = &mut self.object {
            object.push(byte);
            if object.len() > LONGEST {
                self.object = None;
            }
        }
        self.line += u64::from(byte == b'\n');
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    std::mem::swap(&mut self.name, &mut self.word);
                    self.word.clear();
                }
                _ if self.word.len() < LONGEST_WORD => self.word.push(byte),
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.word.clear();
            }
            b'{' => {
                self.open(None);
                self.object = Some(vec![b'{']);
            }
            b'[' => {
                self.open(Some(0));
                self.object = None;
            }
            b'}' => {
                self.number();
                self.close();
                if let Some(object) = self.object.take() {
                    self.points.line = self.line;
                    self.row(&object);
                }
            }
            b',' | b']' => {
                self.number();
                if byte == b']' {
                    self.close();
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            b':' => self.word.clear(),
            byte if self.word.len() < LONGEST_WORD => self.word.push(byte),
            _ => {}
        }
    }

    fn open(&mut self, array: Option<u64>) {
        self.word.clear();
        if self.open.len() == DEEPEST {
            self.too_deep += 1;
        } else {
            let name = std::mem::take(&mut self.name);
            self.open.push((name, array));
        }
    }

    fn close(&mut self) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
        } else {
            self.open.pop();
        }
    }

    /// A flat object is complete.
    fn row(&mut self, object: &[u8]) {
        if self.trainer == "jsonl" && self.open.iter().any(|(name, _)| name == b"log_history") {
            self.trainer = "hf-trainer";
        }
        self.points.written_by(self.trainer);
        self.points.fine_epochs();
        let trainer = self.trainer;
        self.jsonl.object_of(object, trainer, &mut self.points);
        self.trainer = self.jsonl.trainer();
        if self.jsonl.is_summary() {
            self.run.summed = true;
            self.points.sum_up();
        }
    }

    /// A number of an array is complete: one row of the column that the array is.
    fn number(&mut self) {
        let read = scan::number(&self.word).filter(|(_, length)| *length == self.word.len());
        self.word.clear();
        if let (Some((value, _)), [(_, None)]) = (read, self.open.as_slice()) {
            match self.name.as_slice() {
                b"global_step" => self.run.step = Some(value),
                b"max_steps" => self.run.steps = Some(value),
                _ => {}
            }
        }
        let (Some((value, _)), 0, Some((_, Some(count)))) = (read, self.too_deep, self.open.last_mut())
        else {
            return;
        };
        let first = *count == 0;
        *count += 1;
        if first {
            let names = self.open.iter().map(|(name, _)| name.as_slice()).filter(|name| !name.is_empty());
            let mut name = names.collect::<Vec<_>>().join(&b'/');
            if self.results && names::side(&name).is_some() {
                name.extend_from_slice(b"/loss");
            }
            if name.is_empty() || self.columns.len() == MOST_COLUMNS {
                return;
            }
            self.columns.push((name, Vec::new()));
        }
        if let Some((_, column)) = self.columns.last_mut()
            && self.numbers < MOST_NUMBERS
        {
            self.numbers += 1;
            column.push(value);
        }
    }

    /// Gives out what is known once the document is whole: its columns, and whether the run is over.
    fn conclude(&mut self) {
        self.give_columns();
        let Whole { step, steps, summed } = self.run;
        if let Some(steps) = steps.filter(|steps| *steps > 0.0) {
            self.points.info().total_steps = Some(steps as u64);
        }
        if summed || steps.is_some() && step >= steps {
            self.points.end(StopReason::Finished);
        }
    }

    /// Gives the columns out, a row a step.
    fn give_columns(&mut self) {
        let columns = std::mem::take(&mut self.columns);
        if self.results && self.trainer == "jsonl" {
            self.trainer = booster(&columns);
        }
        self.points.written_by(self.trainer);
        let rows = columns.iter().map(|(_, column)| column.len()).max().unwrap_or(0);
        for row in 0..rows {
            self.rows.begin();
            for (name, column) in &columns {
                if let Some(&value) = column.get(row) {
                    self.rows.cell(name, Cell::Number(value));
                }
            }
            self.rows.give(At::step(row as u64), &mut self.points);
        }
    }
}

/// Who wrote a table of results, by the names of its sets and metrics.
fn booster(columns: &[(Vec<u8>, Vec<f64>)]) -> &'static str {
    const LIGHTGBM: [&[u8]; 6] =
        [b"l1", b"l2", b"binary_logloss", b"multi_logloss", b"binary_error", b"multi_error"];
    let parts = || columns.iter().flat_map(|(name, _)| name.split(|byte| *byte == b'/'));
    // That which was added to the name of a mere side does not count.
    let nested = columns.iter().any(|(name, _)| name.contains(&b'/') && !name.ends_with(b"/loss"));
    if parts().any(|part| LIGHTGBM.contains(&part) || part == b"training" || part.starts_with(b"valid_")) {
        "lightgbm"
    } else if nested {
        "xgboost"
    } else {
        "jsonl"
    }
}

impl Reader for Document {
    fn push(&mut self, chunk: &[u8], out: &mut Parsed) {
        if let Some(text) = &mut self.text {
            return text.push(chunk, out);
        }
        for (at, &byte) in chunk.iter().enumerate() {
            let outside = self.open.is_empty() && self.too_deep == 0 && !self.in_string;
            if outside && !matches!(byte, b'{' | b'[' | b',' | b'\"') && !byte.is_ascii_whitespace() {
                // A configuration that was printed before the log proper, say.
                self.give_columns();
                self.points.drain(out);
                let mut text = Text::new(&self.name_of_file, &self.options);
                text.push(&chunk[at..], out);
                self.text = Some(text);
                return;
            }
            self.byte(byte);
        }
        self.points.drain(out);
    }

    fn settle(&mut self, out: &mut Parsed) {
        // Not of one that is being written.
        if self.open.is_empty() && self.text.is_none() {
            self.conclude();
            self.points.drain(out);
        }
    }

    fn finish(&mut self, out: &mut Parsed) {
        if let Some(text) = &mut self.text {
            return text.finish(out);
        }
        self.conclude();
        self.points.drain(out);
    }

    fn trainer(&self) -> &'static str {
        self.text.as_ref().map_or(self.trainer, Text::trainer)
    }
}
