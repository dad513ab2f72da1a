//! When to stop: the classic rules by their names, and the judgement itself as a rule.
//!
//! Each is a value that is fed one evaluation at a time. The classic ones know nothing of noise or of
//! causes; those are for the diagnosis. Definitions of GL, PQ and UP: Prechelt 1998, "Early Stopping -
//! but when?", where one evaluation of ours is one of his epochs.

use super::{Diagnosis, Severity, Verdict};
use std::collections::VecDeque;

/// What a rule is shown after an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Loss of the validation rows; may be NaN.
    pub eval_loss: f64,
    /// Mean train loss since the evaluation before; `None` at a baseline before the first step.
    pub train_loss: Option<f64>,
    /// The judgement of the run, this evaluation included.
    pub diagnosis: &'a Diagnosis,
}

/// A stopping rule, with what it remembers of the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Stops when the judgement finds the run worth stopping, [`is_spent`].
    Verdict,
    Patience(Patience),
    GeneralisationLoss(GeneralisationLoss),
    ProgressQuotient(ProgressQuotient),
    Uphill(Uphill),
}

impl Rule {
    /// Takes in the next evaluation; true when it is time to stop.
    pub fn observe(&mut self, seen: &Observation) -> bool {
        match self {
            Self::Verdict => is_spent(seen.diagnosis),
            Self::Patience(rule) => rule.observe(seen.eval_loss),
            Self::GeneralisationLoss(rule) => rule.observe(seen.eval_loss),
            Self::ProgressQuotient(rule) => rule.observe(seen.eval_loss, seen.train_loss),
            Self::Uphill(rule) => rule.observe(seen.eval_loss),
        }
    }
}

/// Whether going on is waste by the judgement: overfitting, memorising or divergence at `warn` or above.
pub fn is_spent(diagnosis: &Diagnosis) -> bool {
    let spent = |verdict| matches!(verdict, Verdict::Overfitting | Verdict::Memorizing | Verdict::Diverged);
    diagnosis.findings.iter().any(|found| found.severity >= Severity::Warn && spent(found.verdict()))
}

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

/// `GL_a`: stops once the loss is more than `alpha` percent above its lowest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneralisationLoss {
    alpha: f64,
    best: f64,
}

impl GeneralisationLoss {
    pub fn new(alpha: f64) -> Self {
        Self { alpha, best: f64::INFINITY }
    }

    /// Takes in the loss of the next evaluation; true when it is time to stop. A loss that is not
    /// finite is infinitely far above the best, if there is one.
    pub fn observe(&mut self, loss: f64) -> bool {
        self.loss(loss) > self.alpha
    }

    /// The generalisation loss in percent, this evaluation included.
    fn loss(&mut self, loss: f64) -> f64 {
        if loss.is_finite() {
            self.best = self.best.min(loss);
            return 100.0 * (loss / self.best - 1.0);
        }
        if self.best.is_finite() { f64::INFINITY } else { 0.0 }
    }
}

/// Evaluations in a strip, Prechelt's `k`.
const STRIP: usize = 5;

/// `PQ_a`: stops once the generalisation loss is more than `alpha` times the progress of training
/// over the newest strip, `P_k = 1000 (mean / min - 1)` of its train losses: a rise is tolerated
/// while training still learns fast.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgressQuotient {
    alpha: f64,
    generalisation: GeneralisationLoss,
    strip: VecDeque<f64>,
}

impl ProgressQuotient {
    pub fn new(alpha: f64) -> Self {
        Self { alpha, generalisation: GeneralisationLoss::new(0.0), strip: VecDeque::new() }
    }

    /// Takes in the next evaluation and the mean train loss before it; true when it is time to stop,
    /// never before a strip is full.
    pub fn observe(&mut self, loss: f64, train_loss: Option<f64>) -> bool {
        let generalisation = self.generalisation.loss(loss);
        self.strip.extend(train_loss.filter(|loss| loss.is_finite()));
        if self.strip.len() > STRIP {
            self.strip.pop_front();
        }
        if self.strip.len() < STRIP {
            return false;
        }
        let mean = self.strip.iter().sum::<f64>() / STRIP as f64;
        let least = self.strip.iter().copied().fold(f64::INFINITY, f64::min);
        let progress = 1000.0 * (mean / least - 1.0);
        // As a product, so that no progress at all is no division by zero.
        generalisation > self.alpha * progress.max(0.0)
    }
}

/// `UP_s`: stops when the loss has risen from the end of one strip to the end of the next, `strips`
/// times in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uphill {
    strips: usize,
    evals: usize,
    before: Option<f64>,
    risen: usize,
}

impl Uphill {
    pub fn new(strips: usize) -> Self {
        Self { strips, evals: 0, before: None, risen: 0 }
    }

    /// Takes in the loss of the next evaluation; true when it is time to stop. A loss that is not
    /// finite counts as risen.
    pub fn observe(&mut self, loss: f64) -> bool {
        self.evals += 1;
        if !self.evals.is_multiple_of(STRIP) {
            return false;
        }
        let risen = self.before.is_some_and(|before| !loss.is_finite() || loss > before);
        self.risen = if risen { self.risen + 1 } else { 0 };
        if loss.is_finite() {
            self.before = Some(loss);
        }
        self.risen >= self.strips.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index of the evaluation that stops.
    fn stops(losses: &[f64], mut observe: impl FnMut(f64) -> bool) -> Option<usize> {
        losses.iter().position(|loss| observe(*loss))
    }

    #[test]
    fn generalisation_loss_is_percent_above_the_lowest() {
        let losses = [3.0, 2.0, 2.08, 1.9, 1.99, 2.0];
        let mut five = GeneralisationLoss::new(5.0);
        assert_eq!(stops(&losses, |loss| five.observe(loss)), Some(5), "measured from the lowest so far");
        let mut broken = GeneralisationLoss::new(5.0);
        assert_eq!(stops(&[f64::NAN, 3.0, f64::NAN], |loss| broken.observe(loss)), Some(2));
    }

    #[test]
    fn fast_learning_excuses_a_rise_until_it_slows() {
        let eval = [2.0, 2.0, 2.0, 2.0, 2.1, 2.1, 2.1, 2.1];
        let train = [2.0, 1.8, 1.6, 1.4, 1.2, 1.2, 1.2, 1.2];
        // GL is 5 %. P5 is 333 at the fifth evaluation; at the eighth, of 1.4 and four times 1.2, 33.
        let mut rule = ProgressQuotient::new(0.1);
        let fed = eval.iter().zip(train).position(|(eval, train)| rule.observe(*eval, Some(train)));
        assert_eq!(fed, Some(7));
        let mut flat = ProgressQuotient::new(0.1);
        assert!(!(0..9).any(|_| flat.observe(2.0, Some(1.0))), "neither risen nor learning");
    }

    #[test]
    fn uphill_counts_strips_and_not_evaluations() {
        let ends = |losses: [f64; 4]| -> Vec<f64> {
            losses.iter().flat_map(|loss| [9.0, 9.0, 9.0, 9.0, *loss]).collect()
        };
        let mut rule = Uphill::new(2);
        assert_eq!(stops(&ends([2.0, 2.1, 2.2, 2.3]), |loss| rule.observe(loss)), Some(14));
        let mut rule = Uphill::new(2);
        assert_eq!(stops(&ends([2.0, 2.1, 2.0, 2.1]), |loss| rule.observe(loss)), None);
    }
}
