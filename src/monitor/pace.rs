//! How fast a run goes, from the stamps of its records and nothing else.
//!
//! A stamp is taken when its event is emitted, so the time since the record before is what the event
//! took. Training and evaluation are told apart: an evaluation slows no step down, but has to be
//! waited for.

use super::Expected;
use crate::event::record::Record;
use crate::event::{EvalStats, Event, RunInfo, Split};
use std::collections::VecDeque;

/// Steps that the pace is averaged over.
const RECENT_STEPS: usize = 32;
/// Evaluations that the pace is averaged over.
const RECENT_EVALS: usize = 4;

/// The recent pace of a run.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Stamp of the record before.
    last_t: Option<f64>,
    last_step: u64,
    steps: VecDeque<Lap>,
    /// Seconds that each recent evaluation took, saving what came of it included.
    evals: VecDeque<f64>,
    /// Steps between the last two evaluations, and the step of the last.
    eval_every: Option<u64>,
    last_eval: Option<u64>,
    /// Seconds spent on the evaluation to come.
    probing: f64,
}

#[derive(Clone, Copy, Debug)]
struct Lap {
    seconds: f64,
    steps: u64,
    input_tokens: u64,
}

impl Pace {
    /// Takes in the next record.
    pub fn apply(&mut self, record: &Record) {
        if let Event::Note(_) = record.event {
            // It takes no time, and may be stamped by someone else.
            return;
        }
        let seconds = self.last_t.map(|last| (record.t - last).max(0.0));
        self.last_t = Some(record.t);
        match (&record.event, seconds) {
            (Event::Step(stats), seconds) => {
                let steps = stats.step.saturating_sub(self.last_step).max(1);
                self.last_step = stats.step;
                if let Some(seconds) = seconds {
                    push(
                        &mut self.steps,
                        Lap { seconds, steps, input_tokens: stats.input_tokens },
                        RECENT_STEPS,
                    );
                }
            }
            // What comes before an evaluation at the same step is part of it.
            (Event::Eval(EvalStats { split: Split::TrainProbe, .. }) | Event::Generated(_), seconds) => {
                self.probing += seconds.unwrap_or_default();
            }
            (Event::Eval(stats), seconds) => {
                let seconds = seconds.map(|seconds| seconds + std::mem::take(&mut self.probing));
                let since = self.last_eval.map(|last| stats.step.saturating_sub(last));
                self.eval_every = since.filter(|steps| *steps > 0).or(self.eval_every);
                self.last_eval = Some(stats.step);
                if let Some(seconds) = seconds {
                    push(&mut self.evals, seconds, RECENT_EVALS);
                }
            }
            (Event::CheckpointSaved(_), Some(seconds)) => {
                if let Some(eval) = self.evals.back_mut() {
                    *eval += seconds;
                }
            }
            (Event::RunResumed(resumed), _) => {
                // Perhaps another machine.
                *self = Self { last_t: self.last_t, last_step: resumed.step, ..Self::default() };
            }
            _ => {}
        }
    }

    /// Tokens computed per second of training; `None` where stamps or counts do not tell.
    pub fn tokens_per_s(&self) -> Option<f64> {
        let tokens: u64 = self.steps.iter().map(|lap| lap.input_tokens).sum();
        let seconds: f64 = self.steps.iter().map(|lap| lap.seconds).sum();
        (seconds > 0.0 && tokens > 0).then(|| tokens as f64 / seconds)
    }

    /// Seconds to the end from `step` on, evaluations included, if nothing stops the run early.
    pub fn eta_s(&self, step: u64, run: &RunInfo) -> Option<f64> {
        run.total_steps?;
        let expected = self.expected(step, run);
        let evaluating = expected.evals_left as f64 * expected.eval_s.unwrap_or(0.0);
        Some(expected.steps_left as f64 * expected.step_s? + evaluating)
    }

    /// What a step and an evaluation take, and how many are to come after `step`.
    pub fn expected(&self, step: u64, run: &RunInfo) -> Expected {
        let steps: u64 = self.steps.iter().map(|lap| lap.steps).sum();
        let seconds: f64 = self.steps.iter().map(|lap| lap.seconds).sum();
        let total = run.total_steps.unwrap_or(step);
        let every = run.eval_every.or(self.eval_every).filter(|every| *every > 0);
        let evals_left = every.map_or(0, |every| {
            evals_upto(total, total, every).saturating_sub(evals_upto(step, total, every))
        });
        let evaluating: f64 = self.evals.iter().sum();
        Expected {
            step_s: (steps > 0 && seconds > 0.0).then(|| seconds / steps as f64),
            // A log without times of its own has one stamp for an evaluation and the step before it.
            eval_s: (evaluating > 0.0).then(|| evaluating / self.evals.len() as f64),
            steps_left: total.saturating_sub(step),
            evals_left,
        }
    }
}

/// Evaluations after the start up to `step`: every so many steps, and one at the end.
fn evals_upto(step: u64, total: u64, every: u64) -> u64 {
    step / every + u64::from(step >= total && !total.is_multiple_of(every))
}

fn push<T>(recent: &mut VecDeque<T>, value: T, most: usize) {
    if recent.len() == most {
        recent.pop_front();
    }
    recent.push_back(value);
}
