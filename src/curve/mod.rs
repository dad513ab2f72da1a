//! The curves of a run: a fold of its events into series aligned by step.
//!
//! Nothing is smoothed here and nothing is judged; `smooth` and `trend` are the tools for that.

use crate::event::{EvalStats, Event, ExampleLoss, Split, StepStats};
use std::sync::Arc;

/// All series of one run, each in the order of its steps.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    /// One point an optimiser step (or a logged interval, in foreign logs).
    pub train: Vec<TrainPoint>,
    /// One point an evaluation of the validation set.
    pub eval: Vec<EvalPoint>,
    /// The evaluation of the test set, once the run is over.
    pub test: Option<EvalPoint>,
}

/// One training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainPoint {
    pub step: u64,
    pub epoch: f64,
    /// Seconds since the run started.
    pub t: f64,
    /// Mean over the tokens of this step; may be NaN or infinite.
    pub loss: f64,
    /// Tokens that carried loss.
    pub tokens: u64,
    /// All tokens computed.
    pub input_tokens: u64,
    pub learning_rate: f64,
    /// Before clipping.
    pub grad_norm: Option<f64>,
}

/// One evaluation.
#[derive(Clone, Debug)]
pub struct EvalPoint {
    pub step: u64,
    pub epoch: f64,
    /// Seconds since the run started.
    pub t: f64,
    /// Mean over all tokens that carry loss; may be NaN or infinite.
    pub loss: f64,
    /// Tokens that carried loss; 0 where unknown.
    pub tokens: u64,
    pub token_accuracy: Option<f64>,
    /// Loss of every example, empty where unknown.
    pub examples: Arc<[ExampleLoss]>,
    /// Token-weighted mean of the train losses since the evaluation before this one: the train curve
    /// on the scale of the evaluations. `None` where no step was logged in between.
    pub train_loss: Option<f64>,
}

impl Curves {
    /// Takes in one event, stamped `t` seconds after the start of the run.
    pub fn apply(&mut self, t: f64, event: &Event) {
        let _ = (t, event);
    }

    /// Index in `eval` of the lowest finite loss, the first of equals.
    pub fn best(&self) -> Option<usize> {
        None
    }
}
