//! fastai where bars are off (`learn.no_bar()`): a list an epoch, `[0, 0.7031, 0.6857, 0.5937, '00:00']`.
//!
//! They are the epoch, the train and the valid loss, the metrics, whose names are not said, and the time.
//! Its tables and its CSV file are read as [`super::table`] reads any.

use super::points::At;
use super::rows::{Cell, Rows};
use super::{Format, Map, Points};

pub(super) struct Fastai {
    rows: Rows,
}

impl Fastai {
    pub(super) fn new(map: &Map) -> Self {
        Self { rows: Rows::new(map) }
    }
}

/// The cells of a list whose last one is a clock in quotes.
fn cells(line: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let list = line.strip_prefix(b"[")?.strip_suffix(b"']")?;
    let quote = list.iter().rposition(|byte| *byte == b'\'')?;
    let (list, clock) = (list[..quote].strip_suffix(b", ")?, &list[quote + 1..]);
    let is_clock = clock.contains(&b':') && clock.iter().all(|byte| byte.is_ascii_digit() || *byte == b':');
    is_clock.then(|| list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
}

impl Format for Fastai {
    fn trainer(&self) -> &'static str {
        "fastai"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        if line.first() != Some(&b'[') {
            return false;
        }
        let Some(cells) = cells(line.trim_ascii_end()) else { return false };
        self.rows.begin();
        let names: [&[u8]; 3] = [b"epoch", b"train_loss", b"valid_loss"];
        let mut said = 0;
        for (name, cell) in names.into_iter().zip(cells) {
            self.rows.cell(name, Cell::of(cell));
            said += 1;
        }
        said == names.len() && self.rows.place().1.is_some() && self.rows.give(At::default(), points)
    }
}
