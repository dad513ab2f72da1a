//! LitGPT: `Epoch 1 | iter 8 step 1 | loss train: 1.234, val: n/a | ...` and `iter 800: val loss 1.1234, ...`.
//!
//! The `val:` of a train line is the last value known, repeated: it is no point.

use super::points::{At, Train};
use super::{Format, Points, scan};
use crate::event::EvalStats;

pub(super) struct LitGpt;

impl Format for LitGpt {
    fn trainer(&self) -> &'static str {
        "litgpt"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        // Every line of its own has it.
        if !scan::has(line, b"val") {
            return false;
        }
        let Some(rest) = scan::after(line, b"iter ") else { return false };
        let Some((iter, digits)) = scan::whole(rest) else { return false };
        let rest = &rest[digits..];
        if let Some(rest) = rest.strip_prefix(b": val loss ") {
            let Some((loss, length)) = scan::number(rest) else { return false };
            if !scan::has(&rest[length..], b"val time") {
                return false;
            }
            points.eval(At::step(iter), EvalStats { loss, ..EvalStats::default() });
            return true;
        }
        let Some(loss) = scan::number_after(rest, b"| loss train: ") else { return false };
        points.train(Train { at: At::step(iter), loss, ..Train::default() });
        true
    }
}
