//! Anyone's lines: `Epoch [3/10], Step [100/600], Loss: 0.5`, `step=100 eval_loss=2.5`, `Train Loss: 1.2 Valid Loss: 1.3`.
//!
//! A number is named by the words before it. Only lines that speak of a loss are read; a line that
//! gives no more than an epoch or a step is the place of those after it.

use super::aside;
use super::between::{leads_to_place, place};
use super::figures::{LONGEST, Piece, heading, pieces};
use super::names::{self, Side};
use super::points::At;
use super::rows::{Cell, Rows};
use super::{Format, Map, Points, scan};

pub(super) struct General {
    rows: Rows,
    mapped: Vec<String>,
    /// The place that a line before has given.
    place: At,
    /// The side that a heading has said for the next loss: `Test Error:`, `***** Evaluating *****`.
    heading: Option<Side>,
}

impl General {
    pub(super) fn new(map: &Map) -> Self {
        let mapped = [&map.eval, &map.train].into_iter().flatten().cloned().collect();
        Self { rows: Rows::new(map), mapped, place: At::default(), heading: None }
    }

    /// Keeps what a line says of the one after it, if it is a heading.
    fn head(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        if line.len() < 100 && (line.ends_with(b":") || line.starts_with(b"***")) {
            self.heading = spoken_side(line);
        }
    }

    /// Takes the figures of a line; where `bare` is asked for, those whose names are no more than a side as losses.
    fn fill(&mut self, line: &[u8], loss: bool, bare: bool) {
        self.rows.begin();
        if loss {
            self.rows.set_side(spoken_side(line).or(self.heading));
        }
        let rows = &mut self.rows;
        // `LOSS train 0.5 valid 0.7`: what stands after a loss may say no more than whose it is.
        let (mut after_loss, mut mean) = (false, None);
        pieces(line, |piece| {
            let (name, value) = match piece {
                Piece::Side(side) => return rows.set_side(Some(side)),
                Piece::Mean(value, named) => return mean = Some((value, named)),
                Piece::Figure(name, value) => (&name[name.len().saturating_sub(60)..], value),
            };
            let bared = match name {
                b"valid" | b"val" | b"eval" | b"validation" if after_loss => Some(Side::Valid),
                b"test" if after_loss => Some(Side::Test),
                _ if bare => heading(name),
                _ => None,
            };
            after_loss = names::any_of_loss(name);
            let name = match bared {
                Some(Side::Train) => b"train loss".as_slice(),
                Some(Side::Valid) => b"valid loss",
                Some(Side::Test) => b"test loss",
                None => without_logger(name),
            };
            // Of train rows the step's own, of held-out rows the mean: there the others are of a batch.
            let mean = mean.take().filter(|_| after_loss && rows.is_held_out(name));
            let value = mean.filter(|(_, named)| *named || shows_means(line)).map_or(value, |(mean, _)| mean);
            rows.cell(name, Cell::Number(value));
        });
    }

    /// Whether the line may hold a loss.
    fn speaks_of_loss(&self, line: &[u8]) -> bool {
        // `loss`, `mse` and `rmse`, `ppl`, `perplexity`, `nll`, `bpb`, `bpc`.
        has_any(line, &[*b"oss", *b"mse", *b"ppl", *b"rpl", *b"nll", *b"bpb", *b"bpc"])
            || self.mapped.iter().any(|word| scan::has(line, word.as_bytes()))
    }
}

/// Whether any of these three letters, small ones, occur in either case. All are looked for at once and
/// without a branch, so that the compiler takes many places at a time.
pub(super) fn has_any<const N: usize>(line: &[u8], letters: &[[u8; 3]; N]) -> bool {
    let near = line.iter().zip(line.get(1..).unwrap_or_default()).zip(line.get(2..).unwrap_or_default());
    let found = near.fold(0, |found, ((first, second), third)| {
        letters.iter().fold(found, |found, [a, b, c]| {
            found | u8::from(first | 32 == *a) & u8::from(second | 32 == *b) & u8::from(third | 32 == *c)
        })
    });
    found > 0
}

impl Format for General {
    fn trainer(&self) -> &'static str {
        "text"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        if line.len() > LONGEST {
            return false;
        }
        let digits = line.iter().any(u8::is_ascii_digit);
        let loss = digits && self.speaks_of_loss(line);
        if !digits || !loss && !has_any(line, &[*b"poc"]) {
            self.head(line);
            return false;
        }
        let Some(line) = aside::without_asides(line) else { return false };
        let line = &*line;
        self.fill(line, loss, false);
        // `loss at epoch 3: train 2.5, val 2.6`: the only figures of the line, but for its place.
        if loss && !self.rows.is_point() && is_of_sides(line) {
            self.fill(line, loss, true);
        }
        if self.rows.is_point() {
            self.heading = None;
            return self.rows.give(self.place, points);
        }
        self.head(line);
        let (step, epoch) = self.rows.place();
        // `=== Epoch 3 ===`, `-- Epoch 3`.
        let rule = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'=' | b'-' | b'*' | b'#'));
        let head = &line[rule.count()..];
        if epoch.is_some()
            && (line.trim_ascii_start().starts_with(b"=")
                || head.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"epoch")))
        {
            self.place = At { step, from_bar: false, epoch };
        }
        false
    }
}

/// A name without what Python's logger writes before it: `INFO:trainer:Epoch`.
fn without_logger(name: &[u8]) -> &[u8] {
    const LEVELS: [&[u8]; 5] = [b"DEBUG:", b"INFO:", b"WARNING:", b"ERROR:", b"CRITICAL:"];
    // Most names are short, and begin with no capital.
    let may_be = name.len() > 6 && name[0].is_ascii_uppercase();
    if !may_be || !LEVELS.iter().any(|level| name.starts_with(level)) {
        return name;
    }
    name.iter().rposition(|byte| *byte == b':').map_or(name, |at| &name[at + 1..])
}

/// Whether a line gives its figures as `PyTorch`'s meters do, `x (mean of x)`, while it counts batches: with a loss and
/// something else in that form. In brackets behind a loss alone others write its deviation, an accuracy, the best.
fn shows_means(line: &[u8]) -> bool {
    let (mut other, mut mean) = (false, false);
    pieces(line, |piece| match piece {
        Piece::Mean(..) => mean = true,
        Piece::Figure(name, _) => other |= std::mem::take(&mut mean) && !names::any_of_loss(name),
        Piece::Side(_) => {}
    });
    let counts = |at: usize| {
        let rest = &line[at + 1..];
        let count =
            scan::whole(rest.trim_ascii_start()).map(|(_, length)| &rest.trim_ascii_start()[length..]);
        let total = count.and_then(|rest| scan::whole(rest.strip_prefix(b"/")?.trim_ascii_start()));
        total.is_some()
    };
    other && memchr::memchr_iter(b'[', line).any(counts)
}

/// Whether a line says `loss`, perhaps its place, and then whose: `loss at epoch 3: train 2.5, val 2.6`.
fn is_of_sides(line: &[u8]) -> bool {
    let mut words = line.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut before: &[u8] = b"";
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case(b"loss") || word.eq_ignore_ascii_case(b"losses") {
            let leads = |word: &&[u8]| {
                word.iter().all(u8::is_ascii_digit)
                    || place(word).is_some()
                    || leads_to_place(word)
                    || word.eq_ignore_ascii_case(b"the")
                    || word.eq_ignore_ascii_case(b"end")
            };
            return !names::is_aside(before)
                && words.find(|word| !leads(word)).and_then(names::side).is_some();
        }
        before = word;
    }
    false
}

/// The side that the line is of as a whole: `[Eval] step 100 loss 1.2`.
fn spoken_side(line: &[u8]) -> Option<Side> {
    // A part of each word that stands for held-out rows: most lines have none.
    if !has_any(line, &[*b"val", *b"dev", *b"eld", *b"old", *b"tes"]) {
        return None;
    }
    // `train.py:120` before it is the place in a program; behind it, there is nothing more to read.
    let line = scan::after(line, b".py:").filter(|rest| scan::has(rest, b"oss")).unwrap_or(line);
    let words = line.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    // Neither dates nor the gaps between words count.
    for word in words.filter(|word| word.first().is_some_and(u8::is_ascii_alphabetic)).take(12) {
        if let Some(side) = names::side(word) {
            return (side != Side::Train).then_some(side);
        }
        if names::speaks_of_loss(word) {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::ingest::Parsed;

    /// The points of some lines, as `T step loss` and `E step loss`.
    fn read(lines: &[&str]) -> String {
        events(lines).trim_start_matches("S, ").to_owned()
    }

    /// As [`read`], with `S` where a run starts and `R step` where it goes on.
    fn events(lines: &[&str]) -> String {
        let (mut general, mut points) = (General::new(&Map::default()), Points::new("text"));
        for line in lines {
            general.line(line.as_bytes(), &mut points);
        }
        let mut parsed = Parsed::default();
        points.drain(&mut parsed);
        let point = |event: &Event| match event {
            Event::Step(step) => Some(format!("T{} {}", step.step, step.loss)),
            Event::Eval(eval) => Some(format!("E{} {}", eval.step, eval.loss)),
            Event::RunResumed(resumed) => Some(format!("R{}", resumed.step)),
            Event::RunStarted(_) => Some("S".into()),
            _ => None,
        };
        parsed.records.iter().filter_map(|record| point(&record.event)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn lines_as_people_write_them() {
        for (line, expected) in [
            ("Epoch [3/10], Step [100/600], Loss: 0.5", "T100 0.5"),
            ("step=100 loss=2.3 eval_loss=2.5 lr=1e-4", "T100 2.3, E100 2.5"),
            ("2026-11-20 20:11:55,111 - INFO - step 7: train loss 2.6, valid loss 2.7", "T7 2.6, E7 2.7"),
            ("Epoch: 3 | Train Loss: 1.2 | Val. Loss: 1.3 |  Val. PPL: 3.6", "T3 1.2, E3 1.3"),
            ("Epoch 3/10 - loss: 0.5 - acc: 0.9 - val_loss: 0.7 - val_acc: 0.8", "T3 0.5, E3 0.7"),
            ("[Eval] step 100 loss 1.2", "E100 1.2"),
            ("Test set: Average loss: 0.0300, Accuracy: 9893/10000 (99%)", "E0 0.03"),
            ("Step 1,200/10,000 - train loss: 1.5 - val loss: 1.7", "T1200 1.5, E1200 1.7"),
            ("step: 1,200 loss: 1,945 eval_loss: 2,9 lr: 1,0e-4", "T1200 1.945, E1200 2.9"),
            ("step 7 train loss 12,5, val loss 1,9e-1", "T7 12.5, E7 0.19"),
            ("Step 250 | Validation bpb: 0.98", "E250 0.98"),
            ("iteration 100 | validation lm loss value: 2.5E+00 | lm loss PPL: 1.2E+01", "E100 2.5"),
            ("LOSS train 0.5 valid 0.7", "T1 0.5, E1 0.7"),
            ("loss at epoch 3: train 2.5, val 2.6", "T3 2.5, E3 2.6"),
            ("epoch=3, loss=(train: 2.5, val: 2.6)", "T3 2.5, E3 2.6"),
            ("Epoch 3 loss train/val: 2.5 / 2.6", "T3 2.5, E3 2.6"),
            ("INFO:my.train:Epoch 3: valloss 2.6", "E3 2.6"),
            ("After epoch 3, train loss 2.5, valid loss 2.6", "T3 2.5, E3 2.6"),
            ("Finished epoch 3 of 40. Train loss: 2.5, valid loss: 2.6", "T3 2.5, E3 2.6"),
            ("Epoch: [2][10/50] Loss 2.46e+00 (2.50e+00) Acc 3 (4)", "T2 2.46"),
            ("Test: [25/50] Time 0.1 (0.2) Loss 2.46e+00 (2.50e+00) Acc 3 (4)", "E0 2.5"),
            ("Step 3 | val loss 2.4 (avg: 2.5) | val ppl 7 (12)", "E3 2.5"),
            ("step 5 loss 1.3 (val), loss 1.2 (train)", "T5 1.2, E5 1.3"),
            ("Train Epoch: 1 [640/60000 (1%)]\tLoss: 1.25", "T1 1.25"),
            ("  Step 10/60 | Loss: 1.2345 | Grad: 0.12 | LR: 2.00e-04 | Peak: 5.10 GB", "T10 1.2345"),
            ("iteration 40 loss nan", "T40 NaN"),
            ("step 12 val_loss: nan", "E12 NaN"),
            ("Validation loss decreased (0.61 --> 0.58).  Saving model", ""),
            ("EarlyStopping: best val_loss 0.5 at epoch 3", ""),
            ("loss scale: 65536, step 3", ""),
            ("Validation accuracy 0.93 at step 4, no loss", ""),
        ] {
            assert_eq!(read(&[line]), expected, "{line}");
        }
    }

    #[test]
    fn what_is_no_loss_is_none_beside_one() {
        for (line, expected) in [
            // Accuracies, as the examples of graph libraries print them; times; a fit.
            ("Epoch: 001, Loss: 1.95, Train: 0.22, Val: 0.17, Test: 0.18", "T1 1.95"),
            ("Run: 01, Epoch: 3, Loss: 1.95, Train: 91.20%, Valid: 85.30%", "T3 1.95"),
            ("Epoch 3 loss 2.5 train 12.3s eval 1.2s", "T3 2.5"),
            ("step 10 loss 2.8 val_loss 2.9 learn 0.001", "T10 2.8, E10 2.9"),
            ("epoch 3 loss 2.5 acc 0.5 val_loss 2.6 train 0.91", "T3 2.5, E3 2.6"),
            // In brackets: an accuracy, a deviation, the best so far, a change, rows, a step.
            ("Epoch 3, Train Loss: 2.64 (0.53), Valid Loss: 2.80 (0.46)", "T3 2.64, E3 2.8"),
            ("[3/10] Train Loss: 2.64 (0.53), Valid Loss: 2.80 (0.46)", "T1 2.64, E1 2.8"),
            ("Epoch 3 val loss 2.99 (0.03)", "E3 2.99"),
            ("Step 3 | val loss 2.4 (best 2.3)", "E3 2.4"),
            ("epoch 3 val loss 2.4 (-0.0123) acc 3 (4)", "E3 2.4"),
            ("epoch 3 val loss 2.99 (64)", "E3 2.99"),
            ("Eval step 500 (1000): loss 2.5", "E500 2.5"),
            // Lines that speak of a loss and tell none.
            ("epoch 3: time train 32.5 val 2.1, loss ok", ""),
            ("epoch 3 accuracy: train 0.91 val 0.85 (best loss so far)", ""),
            ("Epoch 3 time train 12.5 val 2.25 loss", ""),
            ("Epoch 3 lowest loss; train 0.91, val 0.85", ""),
            ("Step 1: train 400, val 100 rows, loss: cross entropy", ""),
            ("step 300: train 0.8, val 0.9", ""),
            // Of value and policy.
            ("iter 10 loss 2.9 ploss 0.10 vloss 1.08", "T10 2.9"),
            // Two names, not one of both sides.
            ("step 10 eval_train_loss 2.88, 12 eval_loss 3.0", "E10 3"),
            ("INFO train.py val loss: 3.0, 100 steps", "T1 3"),
        ] {
            assert_eq!(read(&[line]), expected, "{line}");
        }
    }

    #[test]
    fn a_side_between_the_figures_is_of_those_after_it() {
        for (line, expected) in [
            ("3epoch results: [train] loss=1.2, acc=0.5, [valid] loss=1.3, acc=0.4", "T1 1.2, E1 1.3"),
            ("epoch:3 train:{'loss': 1.2, 'acc': 0.5} val:{'loss': 1.3, 'acc': 0.4}", "T3 1.2, E3 1.3"),
            ("Valid | Epoch 3 | Loss 1.3", "E3 1.3"),
            ("I1121 20:10:11.123456 140 train.py:120] eval at step: 7. loss: 2.5. accuracy: 50", "E7 2.5"),
        ] {
            assert_eq!(read(&[line]), expected, "{line}");
        }
    }

    #[test]
    fn a_line_may_be_the_place_of_those_after_it() {
        let lines = [
            "Epoch 0/24",
            "train Loss: 0.58 Acc: 0.70",
            "val Loss: 0.24 Acc: 0.91",
            "Epoch 1/24",
            "train Loss: 0.4",
            "val Loss: 0.2",
        ];
        assert_eq!(read(&lines), "T0 0.58, E0 0.24, T1 0.4, E1 0.2");
        let lines = [
            "EPOCH 1:",
            "  batch 1000 loss: 2.1",
            "LOSS train 2.0 valid 2.5",
            "EPOCH 2:",
            "  batch 1000 loss: 1.1",
            "LOSS train 1.0 valid 2.2",
        ];
        assert_eq!(read(&lines), "T1000 2.1, T1000 2, E1000 2.5, T2000 1.1, T2000 1, E2000 2.2");
    }

    #[test]
    fn a_heading_says_whose_the_next_loss_is() {
        let lines = [
            "Epoch 1",
            "loss: 2.3  [   64/60000]",
            "Test Error: ",
            " Accuracy: 50.0%, Avg loss: 2.5 ",
            "Epoch 2",
            "loss: 2.0  [   64/60000]",
            "***** Evaluating perplexity, Epoch 2/5 *****",
            "ppl: 9.0, loss: 2.2",
        ];
        assert_eq!(read(&lines), "T1 2.3, E1 2.5, T2 2, E2 2.2");
    }

    #[test]
    fn a_run_goes_on_from_a_step_that_it_has_or_begins_anew() {
        let lines = |steps: &[u64]| {
            let lines: Vec<String> = steps.iter().map(|step| format!("step {step} loss 2")).collect();
            events(&lines.iter().map(String::as_str).collect::<Vec<_>>())
        };
        assert_eq!(lines(&[10, 20, 30, 40, 30]), "S, T10 2, T20 2, T30 2, T40 2, R20, T30 2");
        assert_eq!(lines(&[1, 10, 20, 20, 10]), "S, T1 2, T10 2, T20 2, T20 2, R1, T10 2");
        assert_eq!(lines(&[1, 2, 3, 2]), "S, T1 2, T2 2, T3 2, R1, T2 2");
    }
}
