//! Two evaluations of the same rows: how far apart they are, how sure that is, and how sure it
//! still is after many looks.
//!
//! Both evaluations ran over the same rows, so that what makes a row hard cancels in its
//! difference. What is covered is the chance of having drawn these rows and no others; what another
//! seed of training would change is not.

use super::chance;
use crate::event::ExampleLoss;

/// The difference of two token-weighted mean losses over the same rows, in nats per token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// How far the second is above the first.
    pub mean: f64,
    /// One standard error.
    pub error: f64,
    /// Degrees of freedom: what the rows are worth, less one.
    pub freedom: f64,
    /// Chance that rows which make no difference show one this large upwards (one-sided, for one look).
    pub p: f64,
}

impl Difference {
    /// Chance of a difference as large, either way, where there is none.
    pub fn two_sided(&self) -> f64 {
        // Equal rows are no sign of anything, and all by the same amount a sure one.
        if self.mean == 0.0 { 1.0 } else { 2.0 * self.p.min(1.0 - self.p) }
    }
}

/// The difference of two evaluations. `None` where the examples cannot be the same ones (that they
/// are is for the caller to know) or a loss is not finite.
///
/// The mean of all tokens is a ratio of two sums over examples, sum of nats to sum of tokens; its
/// variance by linearisation is that of the residuals `d_i - D t_i` (Cochran 1977, "Sampling
/// Techniques", 6.3; with examples as clusters of tokens, Miller 2024, arXiv 2411.00640), where
/// `d_i` is the difference of example i in nats, `t_i` its tokens and `D = sum d / sum t`. The tail
/// is Student's with as many degrees of freedom as the residuals are worth: `(sum t)^2 / sum t^2`,
/// less one, so that few rows, or a few long ones, do not pass for many (Kish 1965, "Survey
/// Sampling", 8.2).
pub fn difference(before: &[ExampleLoss], after: &[ExampleLoss]) -> Option<Difference> {
    let same_rows = before.len() == after.len()
        && before.len() > 1
        && before.iter().zip(after).all(|(a, b)| a.tokens == b.tokens);
    if !same_rows {
        return None;
    }
    let differences = || before.iter().zip(after).map(|(a, b)| (b.nats - a.nats, f64::from(b.tokens)));
    let (nats, tokens, squared) =
        differences().fold((0.0, 0.0, 0.0), |sum, (d, t)| (sum.0 + d, sum.1 + t, sum.2 + t * t));
    let mean = nats / tokens;
    let squares: f64 = differences().map(|(d, t)| (d - mean * t).powi(2)).sum();
    let n = before.len() as f64;
    let error = (squares * n / (n - 1.0)).sqrt() / tokens;
    if !error.is_finite() {
        return None;
    }
    let worth = (tokens * tokens / squared - 1.0).max(1.0);
    let p = match error {
        // Every row moved by the same amount a token, or none did.
        0.0 => f64::from(u8::from(mean <= 0.0)),
        error => chance::t_above(mean / error, worth),
    };
    Some(Difference { mean, error, freedom: worth, p })
}

/// What `p` of one comparison is worth at the `look`-th evaluation of a run, where the evaluation is
/// compared with the best of all before it: below `alpha` at any time of a run without a true rise
/// happens in at most the share `alpha` of such runs, however long they are.
///
/// Look k spends `alpha 6 / (pi^2 k^2)` (these sum to `alpha` over all k), shared by the `k - 1`
/// evaluations that might have been the best (Bonferroni): all looks are at the same rows, so the
/// many chances are in the checkpoints, and a union over them holds under any dependence. The first evaluation has
/// none before it, so that three fifths of `alpha` are left unspent: a margin for few rows of unequal length, with
/// which the whole of it was exceeded a little on simulated runs, for 1 % more power.
pub fn over_all_looks(p: f64, look: usize) -> f64 {
    (p * looks_factor(look)).min(1.0)
}

/// How many times smaller than the whole the chance is that one comparison at the `look`-th evaluation may take.
pub fn looks_factor(look: usize) -> f64 {
    let look = look as f64;
    let spent = 6.0 / (std::f64::consts::PI * look).powi(2);
    (look - 1.0).max(1.0) / spent
}

/// The smallest mean difference that so many rows of equal length tell from chance at the `look`-th evaluation
/// of a run, in standard deviations of the difference from row to row.
pub fn smallest_effect(rows: usize, look: usize, alpha: f64) -> f64 {
    chance::t_exceeded(alpha / looks_factor(look), rows as f64 - 1.0) / (rows as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(nats: &[f64]) -> Vec<ExampleLoss> {
        nats.iter().map(|nats| ExampleLoss { nats: *nats, tokens: 1 }).collect()
    }

    #[test]
    fn with_equal_lengths_it_is_the_t_test_of_a_mean() {
        let before = examples(&[1.0, 2.0, 3.0, 4.0]);
        let after = examples(&[1.5, 2.0, 3.5, 5.0]);
        // Differences .5, 0, .5, 1: standard deviation .4082, over the root of 4; t is 2.449 at 3.
        let found = difference(&before, &after).unwrap();
        assert!((found.mean - 0.5).abs() < 1e-12 && (found.error - 0.204_124).abs() < 1e-6);
        assert!((found.p - 0.0459).abs() < 1e-3, "{}", found.p);
    }

    #[test]
    fn a_shift_by_the_same_amount_a_token_is_certain() {
        let before: Vec<_> = (1..9).map(|t| ExampleLoss { nats: 2.0 * f64::from(t), tokens: t }).collect();
        let after: Vec<_> = (1..9).map(|t| ExampleLoss { nats: 2.5 * f64::from(t), tokens: t }).collect();
        assert!(difference(&before, &after).unwrap().p < 1e-9);
        assert_eq!(difference(&before, &before).unwrap().p, 1.0);
        // Either way: equal losses are no sign of anything.
        let two_sided = |a: &[ExampleLoss], b: &[ExampleLoss]| difference(a, b).unwrap().two_sided();
        assert_eq!(two_sided(&before, &before), 1.0);
        assert!(two_sided(&before, &after) < 1e-9 && two_sided(&after, &before) < 1e-9);
    }

    #[test]
    fn one_long_row_among_short_ones_is_not_many_rows() {
        let rows = |level: f64, long: u32| -> Vec<ExampleLoss> {
            let tokens = (0..20).map(|i| if i == 0 { long } else { 10 });
            let wobble = |i: u32| if i.is_multiple_of(2) { 0.1 } else { -0.1 };
            tokens
                .zip(0..)
                .map(|(t, i)| ExampleLoss { nats: f64::from(t) * (level + level * wobble(i)), tokens: t })
                .collect()
        };
        let p = |long| difference(&rows(0.0, long), &rows(0.04, long)).unwrap().p;
        assert!(p(10) < p(2000), "{} {}", p(10), p(2000));
    }

    #[test]
    fn other_rows_or_broken_losses_give_nothing() {
        let before = examples(&[1.0, 2.0]);
        assert_eq!(difference(&before, &examples(&[1.0])), None);
        assert_eq!(difference(&before, &examples(&[1.0, f64::NAN])), None);
        assert_eq!(difference(&before, &[ExampleLoss { nats: 1.0, tokens: 2 }; 2]), None);
        assert_eq!(difference(&[], &[]), None);
    }

    #[test]
    fn all_looks_together_spend_what_the_first_leaves() {
        let spent: f64 = (2..100_000).map(|k| 0.05 / looks_factor(k) * (k as f64 - 1.0)).sum();
        let first = 6.0 / std::f64::consts::PI.powi(2);
        assert!((spent - 0.05 * (1.0 - first)).abs() < 1e-6, "{spent}");
        assert_eq!(over_all_looks(0.5, 20), 1.0);
    }
}
