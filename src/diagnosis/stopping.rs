//! Early stopping by patience: the classic rule, as a value that is fed one loss at a time.
//!
//! It knows nothing of noise or of causes; those are for the diagnosis.

/// Stops after `patience` evaluations in a row without an improvement on the best.
///
/// "Improvement" is anchored on the best loss of all, not on the one before, so that many small
/// rises cannot pass for progress (Prechelt 1998 measures against the best likewise).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    evals: usize,
    min_delta: f64,
    best: Option<f64>,
    waited: usize,
}

impl Patience {
    /// `min_delta` is a share of the best loss: 0.01 asks for a loss 1 % lower.
    pub fn new(patience: usize, min_delta: f64) -> Self {
        Self { evals: patience, min_delta, best: None, waited: 0 }
    }

    /// Takes in the loss of the next evaluation; true when it is time to stop.
    ///
    /// A loss that is not finite is no improvement. A patience of 0 stops at the first evaluation
    /// that does not improve, as 1 does.
    pub fn observe(&mut self, loss: f64) -> bool {
        let improved =
            loss.is_finite() && self.best.is_none_or(|best| loss < best - self.min_delta * best.abs());
        if improved {
            self.best = Some(loss);
            self.waited = 0;
            return false;
        }
        self.waited += 1;
        self.waited >= self.evals
    }
}
