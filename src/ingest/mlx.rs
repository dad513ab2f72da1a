//! mlx-lm in both dialects: `Iter 10: Train loss 1.975, Learning Rate 4.501e-04, ...` up to 0.31, and
//! the table of 0.32 (`    10    1.975 ▼      853      4.8k`, `     1    val 2.045    1.53s`).
//!
//! The evaluation of iteration N is made before its update; the number is kept as it is printed.

use super::points::{At, Train};
use super::{Format, Points, scan};
use crate::event::EvalStats;

#[derive(Default)]
pub(super) struct Mlx {
    /// Whether the header of the table has been seen: its rows say little by themselves.
    table: bool,
}

impl Format for Mlx {
    fn trainer(&self) -> &'static str {
        "mlx-lm"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        if let Some(rest) = scan::after(line, b"Iter ") {
            return old(rest, points);
        }
        let line = line.trim_ascii_start();
        if !points.started() {
            // `Starting training..., iters: 120`, or `batch · iters   4 · 120` in a box.
            let boxed = || scan::after(scan::after(line, "batch · iters".as_bytes())?, "· ".as_bytes());
            if let Some((total, _)) = scan::after(line, b", iters: ").or_else(boxed).and_then(scan::whole) {
                points.info().total_steps = Some(total);
            }
        }
        if !self.table {
            self.table = line.starts_with(b"iter") && scan::after(line, b"train_loss").is_some();
            return false;
        }
        row(line, points)
    }
}

/// What follows `Iter ` in the dialect up to 0.31.
fn old(rest: &[u8], points: &mut Points) -> bool {
    let Some((step, digits)) = scan::whole(rest) else { return false };
    let at = At::step(step);
    let rest = &rest[digits..];
    if let Some(loss) = scan::number_after(rest, b": Train loss ") {
        let learning_rate = scan::number_after(rest, b"Learning Rate ");
        points.train(Train { at, loss, learning_rate, grad_norm: None });
    } else if let Some(loss) = scan::number_after(rest, b": Val loss ") {
        points.eval(at, EvalStats { loss, ..EvalStats::default() });
    } else {
        return false;
    }
    true
}

/// A row of the table of 0.32.
fn row(line: &[u8], points: &mut Points) -> bool {
    let Some((step, digits)) = scan::whole(line) else { return false };
    let at = At::step(step);
    let rest = line[digits..].trim_ascii_start();
    if rest.len() + digits == line.len() {
        return false;
    }
    if let Some(rest) = rest.strip_prefix(b"val ") {
        let Some((loss, _)) = scan::number(rest.trim_ascii_start()) else { return false };
        points.eval(at, EvalStats { loss, ..EvalStats::default() });
        return true;
    }
    let Some((loss, length)) = scan::number(rest) else { return false };
    // The arrow, then tokens a second and tokens: without them it is some other line of numbers.
    let mut columns = rest[length..].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let arrow = |word: &[u8]| word == "\u{25bc}".as_bytes() || word == "\u{25b2}".as_bytes();
    let ends_in_k = columns.clone().next_back().is_some_and(|word| word.ends_with(b"k"));
    if !ends_in_k && !columns.next().is_some_and(arrow) {
        return false;
    }
    points.train(Train { at, loss, ..Train::default() });
    true
}
