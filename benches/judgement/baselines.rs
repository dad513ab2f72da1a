//! What others judge a loss curve by: the rules that ours is measured against.
//!
//! Each is asked two things: when it would first have stopped the run, and whether it condemns the
//! run as it stands at its end.

use crate::simulate::Pair;
use tune::diagnosis::stopping::{GeneralisationLoss, Patience, ProgressQuotient, Uphill};

/// What a rule says of a whole run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// Index of the evaluation at which it first fired.
    pub first: Option<usize>,
    /// Whether it condemns the run at its end.
    pub end: bool,
}

/// A rule by its name.
pub type Baseline = (&'static str, fn(&[Pair]) -> Said);

pub const BASELINES: &[Baseline] = &[
    ("patience 1", |run| patience(run, 1)),
    ("patience 3", |run| patience(run, 3)),
    ("patience 5", |run| patience(run, 5)),
    ("patience 10", |run| patience(run, 10)),
    ("HF patience 3, threshold 0.5 %", |run| hugging_face(run, 3)),
    ("HF patience 5, threshold 0.5 %", |run| hugging_face(run, 5)),
    ("GL 5", |run| {
        let mut rule = GeneralisationLoss::new(5.0);
        stops(run, |pair| rule.observe(pair.eval))
    }),
    ("PQ 1", |run| {
        let mut rule = ProgressQuotient::new(1.0);
        stops(run, |pair| rule.observe(pair.eval, Some(pair.train)))
    }),
    ("UP 3", |run| {
        let mut rule = Uphill::new(3);
        stops(run, |pair| rule.observe(pair.eval))
    }),
    ("Spearman(train, eval) < 0", spearman_negative),
    ("last eval 5 % above the best", |run| above_best(run, 0.05)),
];

/// A rule that, once it has fired, has ended the run.
fn stops(run: &[Pair], observe: impl FnMut(&Pair) -> bool) -> Said {
    let first = run.iter().position(observe);
    Said { first, end: first.is_some() }
}

fn patience(run: &[Pair], evals: usize) -> Said {
    let mut rule = Patience::new(evals, 0.0);
    stops(run, |pair| rule.observe(pair.eval))
}

/// As transformers' `EarlyStoppingCallback` counts: the best is the lowest of all, and an improvement
/// on it counts only if it is larger than the threshold, so many small ones count for none.
fn hugging_face(run: &[Pair], evals: usize) -> Said {
    let (mut best, mut waited) = (f64::INFINITY, 0);
    stops(run, |pair| {
        let improved = pair.eval < best * (1.0 - 0.005);
        best = best.min(pair.eval);
        waited = if improved { 0 } else { waited + 1 };
        waited >= evals
    })
}

fn above_best(run: &[Pair], share: f64) -> Said {
    let mut best = f64::INFINITY;
    let mut above = run.iter().map(|pair| {
        best = best.min(pair.eval);
        pair.eval > best * (1.0 + share)
    });
    let flags: Vec<bool> = above.by_ref().collect();
    Said { first: flags.iter().position(|flag| *flag), end: flags.last().copied().unwrap_or(false) }
}

/// Rank correlation of the two curves, on the whole history: it is no causal rule.
fn spearman_negative(run: &[Pair]) -> Said {
    let ranks = |value: fn(&Pair) -> f64| -> Vec<f64> {
        let mut order: Vec<usize> = (0..run.len()).collect();
        order.sort_by(|a, b| value(&run[*a]).total_cmp(&value(&run[*b])));
        let mut ranks = vec![0.0; run.len()];
        for (rank, index) in order.into_iter().enumerate() {
            ranks[index] = rank as f64;
        }
        ranks
    };
    let middle = (run.len() - 1) as f64 / 2.0;
    let (train, eval) = (ranks(|pair| pair.train), ranks(|pair| pair.eval));
    let covariance: f64 = train.iter().zip(&eval).map(|(a, b)| (a - middle) * (b - middle)).sum();
    Said { first: None, end: covariance < 0.0 }
}
