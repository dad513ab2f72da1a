//! Keras: `Epoch 3/40`, then `5/5 - 0s - loss: 0.39 - val_loss: 0.67`, or a bar that is drawn over
//! and over with running means, of which only the last frame counts.

use super::points::At;
use super::rows::{Cell, Rows};
use super::{Format, Map, Points, scan};
use memchr::memchr;

pub(super) struct Keras {
    rows: Rows,
    epoch: Option<u64>,
    /// The frame of a full bar without an evaluation, which may come yet.
    waits: bool,
}

impl Keras {
    pub(super) fn new(map: &Map) -> Self {
        Self { rows: Rows::new(map), epoch: None, waits: false }
    }

    fn settle(&mut self, points: &mut Points) {
        if std::mem::take(&mut self.waits) {
            self.give(points);
        }
    }

    fn give(&mut self, points: &mut Points) {
        let epoch = self.epoch.map(|epoch| epoch as f64);
        self.rows.give(At { epoch, ..At::default() }, points);
    }
}

impl Format for Keras {
    fn trainer(&self) -> &'static str {
        "keras"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        let line = line.trim_ascii();
        if let Some(rest) = line.strip_prefix(b"Epoch ") {
            self.settle(points);
            // `Epoch 3/40` and nothing more.
            if let Some((epoch, digits)) = scan::whole(rest)
                && let Some(rest) = rest[digits..].strip_prefix(b"/")
                && let Some((epochs, digits)) = scan::whole(rest)
                && digits == rest.len()
            {
                self.epoch = Some(epoch);
                points.epochs_in_all(epochs);
            }
            return false;
        }
        if self.epoch.is_none() || !line.first().is_some_and(u8::is_ascii_digit) {
            return false;
        }
        let Some((done, digits)) = scan::whole(line) else { return false };
        let Some(rest) = line[digits..].strip_prefix(b"/") else { return false };
        let Some((all, _)) = scan::whole(rest) else { return false };
        let Some(at) = scan::find(rest, b" - ").filter(|_| scan::has(rest, b"loss: ")) else {
            return false;
        };
        if done < all {
            return true;
        }
        self.rows.begin();
        let mut evaluated = false;
        for part in Parts(&rest[at + 3..]) {
            if let Some(colon) = memchr(b':', part)
                && let Some((value, _)) = scan::number(part[colon + 1..].trim_ascii())
            {
                let name = part[..colon].trim_ascii();
                evaluated |= name.starts_with(b"val_");
                self.rows.cell(name, Cell::Number(value));
            }
        }
        self.waits = !evaluated;
        if evaluated {
            self.give(points);
        }
        true
    }

    fn finish(&mut self, points: &mut Points) {
        self.settle(points);
    }
}

/// What stands between ` - `.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = scan::find(self.0, b" - ").unwrap_or(self.0.len());
        let part = &self.0[..end];
        self.0 = self.0.get(end + 3..).unwrap_or_default();
        Some(part)
    }
}
