//! One event with its time stamp, and its one line in the run log.
//!
//! A run log is JSON Lines: one [`Record`] a line, the first of them `run_started` with the format
//! number. Reading a file, following it and repairing its end are the business of `store`.

use super::Event;
use serde::{Deserialize, Serialize};

/// Version of the run log's format. Readers accept any version up to their own.
pub const FORMAT: u32 = 1;

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Seconds of training time since the run started, pauses between sessions excluded.
    pub t: f64,
    pub event: Event,
}

impl Record {
    /// The record as one line, without a line break at its end.
    ///
    /// # Panics
    /// Never: every event has a JSON form, whatever its numbers are.
    #[expect(
        clippy::expect_used,
        reason = "no map has keys that are not strings, no number fails to be written"
    )]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("an event is always representable")
    }

    /// Reads one line.
    ///
    /// # Errors
    /// When the line is not a record: cut short, or not written by this program.
    pub fn from_line(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EvalStats, ExampleLoss, Split, StepStats};

    fn step(loss: f64) -> Record {
        let event = Event::Step(StepStats {
            step: 3,
            epoch: Some(0.5),
            loss,
            tokens: 7,
            input_tokens: 9,
            learning_rate: Some(1e-3),
            grad_norm: Some(f64::INFINITY),
        });
        Record { t: 1.5, event }
    }

    #[test]
    fn a_diverged_step_survives_the_log() {
        let line = step(f64::NAN).to_line();
        assert!(line.contains(r#""loss":"nan""#), "{line}");
        let Event::Step(read) = Record::from_line(&line).unwrap().event else { panic!("not a step") };
        assert!(read.loss.is_nan());
        assert_eq!(read.grad_norm, Some(f64::INFINITY));
    }

    #[test]
    fn a_finite_record_reads_back_the_same() {
        let eval = Record {
            t: 2.0,
            event: Event::Eval(EvalStats {
                step: 3,
                epoch: Some(0.5),
                split: Split::Valid,
                loss: 0.1 + 0.2,
                tokens: 12,
                token_accuracy: Some(1.0 / 3.0),
                examples: vec![ExampleLoss { nats: 1e-300, tokens: 12 }],
                ..EvalStats::default()
            }),
        };
        for record in [step(1.25), eval] {
            assert_eq!(Record::from_line(&record.to_line()).unwrap(), record);
        }
    }

    #[test]
    fn an_event_of_a_later_version_is_passed_over() {
        let record = Record::from_line(r#"{"t":1.0,"event":{"kind":"sampled","texts":["a"]}}"#).unwrap();
        assert_eq!(record.event, Event::Unknown);
    }
}
