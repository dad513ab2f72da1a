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
        let Some((step, digits)) = scan::grouped(rest) else { return false };
        let Some(rest) = rest[digits..].strip_prefix(b": train loss ") else { return false };
        let losses = scan::number(rest).and_then(|(train, length)| {
            let (val, _) = scan::number(rest[length..].strip_prefix(b", val loss ")?)?;
            Some((train, val))
        });
        let Some((train, val)) = losses else {
            // A line of nobody's before the first one of its own.
            if points.started() {
                points.skip("a loss that is no number");
            }
            return false;
        };
        let at = At::step(step);
        points.train(Train { at, loss: train, ..Train::default() });
        points.eval(at, EvalStats { loss: val, ..EvalStats::default() });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::ingest::Parsed;

    #[test]
    fn a_step_may_have_its_thousands_apart() {
        let (mut points, mut parsed) = (Points::new("nanogpt"), Parsed::default());
        for step in ["900", "1,000", "1,200,300"] {
            let line = format!("step {step}: train loss 1.2345, val loss 1.3456");
            assert!(NanoGpt.line(line.as_bytes(), &mut points), "{line}");
        }
        assert!(!NanoGpt.line(b"step 1,400: train loss one, val loss two", &mut points));
        points.drain(&mut parsed);
        let step = |event: &Event| if let Event::Eval(eval) = event { Some(eval.step) } else { None };
        let steps: Vec<u64> = parsed.records.iter().filter_map(|record| step(&record.event)).collect();
        assert_eq!(steps, [900, 1000, 1_200_300]);
        assert_eq!(parsed.skipped.total(), 1);
    }
}
