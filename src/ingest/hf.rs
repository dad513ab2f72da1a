//! Hugging Face Trainer and TRL on stdout: a Python dictionary a figure, in both dialects, often on
//! one line with progress bars.
//!
//! The dictionary says no step. The bar does, which is drawn anew right after the dictionary, so a
//! figure is held back for one piece of the line; where the bar has gone on by then, the one before the figure is its
//! own, and the first figure tells which of the two it is. Without bars the step follows from the epoch and
//! the numbers that the trainer prints as it starts.

use super::points::At;
use super::rows::{Cell, Rows};
use super::{Format, Map, Points, dict, names, scan};
use crate::event::StopReason;
use memchr::memchr;

pub(super) struct Hf {
    rows: Rows,
    trainer: &'static str,
    /// A figure that waits for the bar after it.
    waits: bool,
    /// Optimiser steps in all, by the bar.
    total: Option<u64>,
    /// The newest bar: its step, and of how many.
    bar: Option<(u64, u64)>,
    /// Whether figures are of the bar before them, and not of the one after.
    of_bar_before: bool,
    /// Steps in one epoch, from a bar and an epoch that belong together.
    per_epoch: Option<f64>,
    /// `Num Epochs` and `Total optimization steps`, as they are printed at the start.
    epochs: Option<f64>,
    steps: Option<u64>,
}

impl Hf {
    pub(super) fn new(map: &Map) -> Self {
        Self {
            rows: Rows::new(map),
            trainer: "hf-trainer",
            waits: false,
            total: None,
            bar: None,
            of_bar_before: false,
            per_epoch: None,
            epochs: None,
            steps: None,
        }
    }

    /// What the trainer says of the run before its first step.
    fn start(&mut self, line: &[u8], points: &mut Points) {
        if !points.started() && self.trainer == "hf-trainer" && scan::has(line, b"llamafactory") {
            self.trainer = "llama-factory";
        }
        if memchr(b'=', line).is_none() {
            return;
        }
        if let Some(epochs) = scan::number_after(line, b"Num Epochs = ") {
            (self.epochs, self.steps, self.per_epoch) = (Some(epochs), None, None);
            if epochs >= 1.0 {
                points.epochs_in_all(epochs as u64);
            }
        }
        if let Some(steps) = scan::whole_after(line, b"Total optimization steps = ") {
            self.steps = Some(steps);
        }
    }

    /// Gives out the figure that waits, with the bar after it or without one.
    fn give_waiting(&mut self, bar: Option<(u64, u64)>, points: &mut Points) {
        if !std::mem::take(&mut self.waits) {
            return;
        }
        let (_, epoch) = self.rows.place();
        self.of_bar_before |= self.total.is_none() && self.is_of_bar_before(bar, epoch);
        let bar = if self.of_bar_before { self.bar } else { bar };
        let bar = bar.filter(|(_, total)| self.total.is_none_or(|known| known == *total));
        let hint = match (bar, epoch) {
            (Some((step, total)), Some(epoch)) if self.fits(step, epoch) => {
                self.total = Some(total);
                points.info().total_steps = Some(total);
                if epoch > 0.0 && step > 0 {
                    self.per_epoch = Some(step as f64 / epoch);
                }
                At { step: Some(step), from_bar: true, epoch: None }
            }
            (Some((step, _)), None) => At { step: Some(step), from_bar: true, epoch: None },
            (_, Some(epoch)) => At { step: self.by_epoch(epoch, points), from_bar: true, epoch: None },
            (None, None) => {
                At { step: self.total.and(self.bar).map(|(step, _)| step), from_bar: true, epoch: None }
            }
        };
        points.fine_epochs();
        self.rows.give(hint, points);
    }

    /// Whether a figure is of the newest bar and not of the one after it, which may not have come: with the one the
    /// run takes a whole number of epochs, with the other it does not.
    fn is_of_bar_before(&self, after: Option<(u64, u64)>, epoch: Option<f64>) -> bool {
        // Epochs are rounded to a few digits.
        const WHOLE: f64 = 0.002;
        const NOT_WHOLE: f64 = 0.05;
        let (Some(before), Some(epoch)) = (self.bar, epoch) else { return false };
        let from_whole = |(step, total): (u64, u64)| {
            let epochs = total as f64 * epoch / step as f64;
            (epochs - epochs.round()).abs()
        };
        // Evaluations have bars too, which end before their figure comes.
        let of_training = before.0 > 0 && before.0 < before.1 && epoch > 0.0;
        of_training
            && from_whole(before) < WHOLE
            && after.is_none_or(|after| after.1 == before.1 && from_whole(after) > NOT_WHOLE)
    }

    /// Whether a bar may be that of the training: its step agrees with those before.
    fn fits(&self, step: u64, epoch: f64) -> bool {
        self.per_epoch.is_none_or(|per_epoch| {
            let expected = epoch * per_epoch;
            (step as f64 - expected).abs() <= 2.0 + 0.02 * expected
        })
    }

    /// The step of an epoch, where a bar has told how long an epoch is.
    fn by_epoch(&mut self, epoch: f64, points: &mut Points) -> Option<u64> {
        if let Some(per_epoch) = self.per_epoch.filter(|_| self.total.is_some()) {
            return Some((epoch * per_epoch).round().max(0.0) as u64);
        }
        if points.info().steps_per_epoch.is_none() && epoch > 0.0 {
            let per_epoch = steps_in_epoch(self.steps?, self.epochs?, epoch)?;
            points.info().steps_per_epoch = Some(per_epoch as f64);
            points.info().total_steps = self.steps;
        }
        None
    }
}

/// The whole number of steps in an epoch that fits what is printed: `total` of them in `epochs`, the
/// last of which may be cut short, and one figure at `epoch`, which is rounded.
fn steps_in_epoch(total: u64, epochs: f64, epoch: f64) -> Option<u64> {
    if epochs < 1.0 || total == 0 {
        return None;
    }
    let least = (total as f64 / epochs).ceil() as u64;
    let most = if epochs > 1.0 { (total as f64 / (epochs - 1.0)).ceil() as u64 } else { least };
    let miss = |per_epoch: u64| {
        let step = epoch * per_epoch as f64;
        (step - step.round()).abs()
    };
    // Equal parts are by far the most common; else the nearest to a whole step, of the first few thousand.
    if total as f64 % epochs == 0.0 && miss(least) < 0.02 * (1.0 + epoch) {
        return Some(least);
    }
    (least..=most.min(least + 5000)).min_by(|a, b| miss(*a).total_cmp(&miss(*b)))
}

/// The epoch that a dictionary is of, by the words before it: `Epoch 3:`, at the end of whatever else there is.
fn epoch_before(head: &[u8]) -> Option<f64> {
    let mut words = head.trim_ascii_end().strip_suffix(b":")?.rsplit(|byte| *byte == b' ');
    let (epoch, _) = scan::number(words.next()?)?;
    words.next()?.eq_ignore_ascii_case(b"epoch").then_some(epoch)
}

impl Format for Hf {
    fn trainer(&self) -> &'static str {
        self.trainer
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        let Some(at) = memchr(b'{', line).and_then(|at| Some(at + scan::find(&line[at..], b"{'")?)) else {
            if let Some(bar) = scan::bar(line) {
                self.give_waiting(Some(bar), points);
                self.bar = Some(bar);
            } else if self.waits && !line.trim_ascii().is_empty() {
                self.give_waiting(None, points);
            }
            if line.len() < 400 {
                self.start(line, points);
            }
            return false;
        };
        self.give_waiting(None, points);
        // `train:{'loss': 1.2} val:{'loss': 1.3}` is of a loop of one's own.
        let label = line[..at].strip_suffix(b":").and_then(|line| line.rsplit(|byte| *byte == b' ').next());
        if label.and_then(names::side).is_some() {
            return false;
        }
        self.rows.begin();
        // `epoch 3: {'accuracy': 0.8, 'eval_loss': 0.5}`, as the examples print that have their own loop.
        if let Some(epoch) = epoch_before(&line[..at]) {
            self.rows.cell(b"epoch", Cell::Number(epoch));
        }
        let mut trl = false;
        let rows = &mut self.rows;
        let whole = dict::pairs(&line[at..], |name, cell| {
            trl |= names::of_trl(name);
            rows.cell(name, cell);
        });
        if !whole {
            if points.started() {
                points.skip("a dictionary that is cut short");
            }
            return false;
        }
        // A dictionary before it shares the line: the bar between them has been drawn over it.
        if let Some(bar) = scan::bar(&line[..at]) {
            self.bar = Some(bar);
        }
        if !self.rows.is_point() {
            if self.rows.is_summary() {
                points.end(StopReason::Finished);
            }
            return false;
        }
        if trl && self.trainer == "hf-trainer" {
            self.trainer = "trl";
        }
        points.written_by(self.trainer);
        self.waits = true;
        if self.of_bar_before {
            self.give_waiting(None, points);
        }
        true
    }

    fn settle(&mut self, points: &mut Points) {
        // The first bar that belongs to a figure says how long an epoch is; until then nobody else knows.
        if self.bar.is_none() || self.total.is_some() {
            self.give_waiting(None, points);
        }
    }

    fn finish(&mut self, points: &mut Points) {
        self.give_waiting(None, points);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::event::record::Record;
    use crate::ingest::{Options, Parsed, open};
    use std::path::Path;

    #[test]
    fn what_waits_for_a_bar_is_given_out_when_none_comes_or_none_is_needed() {
        let evals = |pieces: &[&str]| -> Vec<u64> {
            let (mut reader, mut out) = (open(Path::new("a.log"), &Options::default()), Parsed::default());
            for piece in pieces {
                reader.push(piece.as_bytes(), &mut out);
                reader.settle(&mut out);
            }
            let step =
                |record: &Record| if let Event::Eval(eval) = &record.event { Some(eval.step) } else { None };
            out.records.iter().filter_map(step).collect()
        };
        let [first, second] = ["{'eval_loss': 1.5, 'epoch': 1.0}\n", "{'eval_loss': 1.4, 'epoch': 2.0}\n"];
        // Epochs are counted in their place, in thousandths.
        assert_eq!(evals(&[first]), [1000]);
        assert_eq!(evals(&[first, second]), [1000, 2000]);
        let [zero, ten] =
            [" 0%|     | 0/30 [00:00<?, ?it/s]\r", " 33%|###    | 10/30 [00:09<00:10, 2it/s]\r"];
        assert_eq!(evals(&[zero, first]), [0; 0], "the bar after it will tell");
        assert_eq!(evals(&[zero, first, ten]), [10]);
        assert_eq!(evals(&[zero, first, ten, second]), [10, 20]);
    }

    #[test]
    fn figures_whose_bar_is_drawn_before_them_are_of_that_step() {
        let read = |evaluated: bool| {
            let (mut reader, mut out) = (open(Path::new("a.log"), &Options::default()), Parsed::default());
            for figure in 1..=4_u32 {
                let bars = (figure * 10 - 9..=figure * 10)
                    .map(|step| format!("\r 5%|#   | {step}/40 [00:01<00:10]"));
                let epoch = f64::from(figure) / 2.0;
                let eval = if evaluated {
                    format!("{{'eval_loss': 2.6, 'epoch': {epoch}}}\n")
                } else {
                    String::new()
                };
                let dicts = format!("\r{{'loss': 2.5, 'epoch': {epoch}}}\n{eval}");
                reader.push((bars.collect::<String>() + &dicts).as_bytes(), &mut out);
            }
            reader.finish(&mut out);
            out.records
        };
        let steps = |records: &[Record]| -> Vec<u64> {
            let step = |record: &Record| match &record.event {
                Event::Eval(eval) => Some(eval.step),
                Event::Step(step) => Some(step.step),
                _ => None,
            };
            records.iter().filter_map(step).collect()
        };
        let evaluated = read(true);
        assert_eq!(steps(&evaluated), [10, 10, 20, 20, 30, 30, 40, 40]);
        let starts = evaluated.iter().filter(|record| matches!(record.event, Event::RunStarted(_)));
        assert_eq!(starts.count(), 1);
        // Right behind the figure comes the bar of the next step.
        assert_eq!(steps(&read(false)), [10, 20, 30, 40]);
    }

    #[test]
    fn an_epoch_in_steps_by_what_is_printed() {
        assert_eq!(steps_in_epoch(180, 30.0, 0.8333), Some(6));
        assert_eq!(steps_in_epoch(100, 6.0, 0.2632), Some(19));
        assert_eq!(steps_in_epoch(50, 1.0, 0.1), Some(50));
        assert_eq!(steps_in_epoch(0, 3.0, 0.1), None);
    }
}
