//! The log of a run of this program: every line is a record already.

use super::lines::Lines;
use super::{Parsed, Reader};
use crate::event::record::Record;

/// Reads one `run.jsonl`.
#[derive(Debug, Default)]
pub struct Own {
    lines: Lines,
}

impl Reader for Own {
    fn push(&mut self, chunk: &[u8], out: &mut Parsed) {
        let Parsed { records, skipped } = out;
        let mut spoilt = Vec::new();
        self.lines.push(chunk, skipped, |number, line| match record(line) {
            Some(record) => records.push(record),
            None => spoilt.push(number),
        });
        for number in spoilt {
            skipped.add(number, "not a record");
        }
    }

    fn finish(&mut self, out: &mut Parsed) {
        // A torn last line is what a killed process leaves.
        self.lines.finish(|_, line| out.records.extend(record(line)));
    }

    fn trainer(&self) -> &'static str {
        "tune"
    }
}

fn record(line: &[u8]) -> Option<Record> {
    Record::from_line(std::str::from_utf8(line).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, StepStats};

    #[test]
    fn records_come_back_and_a_spoilt_line_is_counted() {
        let step = |step| Record {
            t: 1.0,
            event: Event::Step(StepStats { step, loss: 2.0, ..StepStats::default() }),
        };
        let text = format!("{}\nspoilt\n{}\n{}", step(1).to_line(), step(2).to_line(), step(3).to_line());
        for chunk in [1, 10, 10_000] {
            let (mut reader, mut out) = (Own::default(), Parsed::default());
            for piece in text.as_bytes().chunks(chunk) {
                reader.push(piece, &mut out);
            }
            reader.finish(&mut out);
            assert_eq!(out.records, [step(1), step(2), step(3)]);
            assert_eq!(out.skipped.first, [(2, "not a record")]);
        }
    }
}
