//! nanoGPT's own lines: `step 100: train loss 2.6786, val loss 2.6778`.
//!
//! Both figures of a `step` line are estimates over many batches; the `iter` lines between them are
//! single batches, which are left out, since the two kinds of train loss are not of one curve.

use super::points::{At, Train};
use super::{Format, Points, scan};
use crate::event::EvalStats;

pub(super) struct NanoGpt;

impl Format for NanoGpt {
    fn trainer(&self) -> &'static str {
        "nanogpt"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        if !scan::has(line, b"val") {
            return false;
        }
        let Some(rest) = scan::after(line, b"step ") else { return false };
        let Some((step, digits)) = scan::whole(rest) else { return false };
        let Some(rest) = rest[digits..].strip_prefix(b": train loss ") else { return false };
        let Some((train, length)) = scan::number(rest) else { return false };
        let Some(rest) = rest[length..].strip_prefix(b", val loss ") else { return false };
        let Some((val, _)) = scan::number(rest) else { return false };
        let at = At::step(step);
        points.train(Train { at, loss: train, ..Train::default() });
        points.eval(at, EvalStats { loss: val, ..EvalStats::default() });
        true
    }
}
