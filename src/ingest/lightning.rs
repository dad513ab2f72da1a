//! Lightning's progress bar: `Epoch 39: 100%|...| 4/4 [..., train_loss_step=0.0002, val_loss=1.790, ...]`.
//!
//! During an epoch the bar shows the `val_loss` of the epoch before, so only its last frame counts,
//! and that is known when the next epoch begins. Steps are counted from 0, as in its `metrics.csv`. The
//! train loss of a frame is that of one batch: the mean of an epoch's frames is given, if the bar has no other.

use super::names::{self, Side};
use super::points::At;
use super::rows::{Cell, Rows};
use super::{Format, Map, Points, ending, scan};
use memchr::memchr;

pub(super) struct Lightning {
    rows: Rows,
    /// The epoch and the batches of the full bar that waits.
    full: Option<(u64, u64)>,
    /// The epoch that was given out: its full bar may be drawn again.
    given: Option<u64>,
    frames: Frames,
    /// Whether something has shown that it is Lightning's log: a loop of one's own may call its bar `Epoch 3` too,
    /// and prints its evaluations on lines of their own.
    signed: bool,
}

/// Beginnings of lines that only Lightning prints, around its bars and of the processes.
const SIGNS: [&[u8]; 4] =
    [b"LOCAL_RANK: ", b"Sanity Checking", b"Validation DataLoader ", b"Validation sanity check"];

/// Whether a line without a bar shows that the log is Lightning's.
fn is_of_lightning(line: &[u8]) -> bool {
    // The name of a logger may stand before what it says of the hardware.
    SIGNS.iter().any(|sign| line.starts_with(sign)) || scan::has(line, b"GPU available: ")
}

/// Whether a figure in a bar shows that Lightning has drawn it.
fn is_sign(name: &[u8]) -> bool {
    name == b"v_num"
        || name.ends_with(b"loss_step")
        || name.ends_with(b"loss_epoch")
        || names::read(name).side == Some(Side::Valid)
}

/// The train losses of single batches that the frames of one epoch have shown.
#[derive(Default)]
struct Frames {
    epoch: u64,
    /// The batch of the newest.
    batch: u64,
    sum: f64,
    count: u32,
}

impl Frames {
    fn add(&mut self, epoch: u64, batch: u64, loss: f64) {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
        }
        // Before the first batch it is that of the epoch before, and a frame may be drawn again.
        if batch > self.batch {
            self.sum += loss;
            self.count += 1;
        }
        self.batch = batch;
    }

    fn mean(&self, epoch: u64) -> Option<f64> {
        (self.epoch == epoch && self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

impl Lightning {
    /// `named` where the user has said that the log is Lightning's.
    pub(super) fn new(map: &Map, named: bool) -> Self {
        Self { rows: Rows::new(map), full: None, given: None, frames: Frames::default(), signed: named }
    }

    fn settle(&mut self, points: &mut Points) {
        let Some((epoch, batches)) = self.full.take() else { return };
        if !self.signed {
            return;
        }
        self.given = Some(epoch);
        if let Some(mean) = self.frames.mean(epoch)
            && let Some(loss) = self.rows.loss_of_step()
        {
            *loss = mean;
        }
        let step = epoch.saturating_add(1).saturating_mul(batches).saturating_sub(1);
        self.rows.give(At { step: Some(step), from_bar: true, epoch: Some(epoch as f64) }, points);
    }
}

impl Format for Lightning {
    fn trainer(&self) -> &'static str {
        "lightning"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        if line.first() == Some(&b'`') {
            // "`Trainer.fit` stopped".
            self.settle(points);
            return false;
        }
        let Some(rest) = line.strip_prefix(b"Epoch ") else {
            self.signed = self.signed || is_of_lightning(line);
            return false;
        };
        let Some((epoch, digits)) = scan::whole(rest) else { return false };
        let Some(rest) = rest[digits..].strip_prefix(b":") else { return false };
        if self.full.is_some_and(|(full, _)| full != epoch) {
            self.settle(points);
        }
        let Some((done, all)) = scan::bar(rest) else { return false };
        let Some(open) = rest.iter().rposition(|&byte| byte == b'[') else { return false };
        let mut own = false;
        self.rows.begin();
        for part in rest[open + 1..].split(|&byte| byte == b',') {
            let Some(equals) = memchr(b'=', part) else { continue };
            own = true;
            if let Some((value, _)) = scan::number(&part[equals + 1..]) {
                let name = part[..equals].trim_ascii();
                self.rows.cell(name, Cell::Number(value));
                self.signed = self.signed || is_sign(name);
            }
        }
        if let Some(loss) = self.rows.loss_of_step() {
            self.frames.add(epoch, done, *loss);
        }
        if done < all {
            self.given = None;
        } else if self.given != Some(epoch) {
            self.full = Some((epoch, all));
        }
        // Behind the bar, or on a line of its own.
        if let Some(reason) = ending::of_lightning(&rest[open..]) {
            self.signed = true;
            self.settle(points);
            points.end(reason);
        }
        own && self.signed
    }

    fn finish(&mut self, points: &mut Points) {
        self.settle(points);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::ingest::Parsed;

    #[test]
    fn a_bar_that_is_called_epoch_is_of_lightning_where_something_else_shows_it() {
        let bar = "Epoch 1: 100%|##| 3/3 [00:01<00:00, 9.3it/s, loss=2.1]";
        for (before, named, known) in [
            ("Epoch 0: 100%|##| 3/3 [00:01<00:00, 9.3it/s, loss=2.4]", false, false),
            ("Epoch 0: train loss 2.4, val loss 2.2", false, false),
            ("INFO:pytorch_lightning:GPU available: True (cuda), used: True", false, true),
            ("Epoch 0: 100%|##| 3/3 [00:01<00:00, 9.3it/s, loss=2.4, v_num=0]", false, true),
            ("", true, true),
        ] {
            let (mut format, mut points) = (Lightning::new(&Map::default(), named), Points::new("lightning"));
            format.line(before.as_bytes(), &mut points);
            assert_eq!(format.line(bar.as_bytes(), &mut points), known, "{before}");
            format.finish(&mut points);
            assert_eq!(points.count() > 0, known, "{before}");
        }
    }

    #[test]
    fn one_batch_is_not_the_loss_of_an_epoch() {
        let (mut format, mut points) = (Lightning::new(&Map::default(), false), Points::new("lightning"));
        for (epoch, losses) in [(0, [3.0, 2.0, 1.0]), (1, [1.0, 9.0, 2.0])] {
            // The frame before the first batch still shows the last of the epoch before.
            for (batch, loss) in [(0, 50.0), (1, losses[0]), (1, losses[0]), (2, losses[1]), (3, losses[2])] {
                let frame = format!(
                    "Epoch {epoch}:  33%|\u{2588}  | {batch}/3 [00:00<00:00, 9.31it/s, v_num=0, train_loss={loss}]"
                );
                format.line(frame.as_bytes(), &mut points);
            }
        }
        format.finish(&mut points);
        let mut parsed = Parsed::default();
        points.drain(&mut parsed);
        let loss = |event: &Event| if let Event::Step(step) = event { Some(step.loss) } else { None };
        let losses: Vec<f64> = parsed.records.iter().filter_map(|record| loss(&record.event)).collect();
        assert_eq!(losses, [2.0, 4.0]);
    }
}
