//! How uncertain the difference of two evaluations is, from the losses of their examples.
//!
//! Both evaluations ran over the same rows, so that what makes a row hard cancels in its
//! difference. This is the error of drawing these rows and no others; it does not contain what
//! another seed of training would change.

use crate::event::ExampleLoss;

/// Standard error of the difference of two token-weighted mean losses over the same examples, in
/// nats per token. `None` where the examples cannot be the same ones (that they are is for the caller
/// to know) or a loss is not finite.
///
/// The mean of all tokens is a ratio of two sums over examples, sum of nats to sum of tokens; its
/// variance by linearisation is that of the residuals `d_i - D t_i` (Cochran 1977, "Sampling
/// Techniques", 6.3; with examples as clusters of tokens, Miller 2024, arXiv 2411.00640), where
/// `d_i` is the difference of example i in nats, `t_i` its tokens and `D = sum d / sum t`.
pub fn standard_error(before: &[ExampleLoss], after: &[ExampleLoss]) -> Option<f64> {
    let same_rows = before.len() == after.len()
        && before.len() > 1
        && before.iter().zip(after).all(|(a, b)| a.tokens == b.tokens);
    if !same_rows {
        return None;
    }
    let differences = || before.iter().zip(after).map(|(a, b)| (b.nats - a.nats, f64::from(b.tokens)));
    let (nats, tokens) = differences().fold((0.0, 0.0), |sum, (d, t)| (sum.0 + d, sum.1 + t));
    let mean = nats / tokens;
    let squares: f64 = differences().map(|(d, t)| (d - mean * t).powi(2)).sum();
    let n = before.len() as f64;
    let error = (squares * n / (n - 1.0)).sqrt() / tokens;
    error.is_finite().then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(nats: &[f64]) -> Vec<ExampleLoss> {
        nats.iter().map(|nats| ExampleLoss { nats: *nats, tokens: 1 }).collect()
    }

    #[test]
    fn with_equal_lengths_it_is_the_error_of_a_mean() {
        let before = examples(&[1.0, 2.0, 3.0, 4.0]);
        let after = examples(&[1.5, 2.0, 3.5, 5.0]);
        // Differences .5, 0, .5, 1: standard deviation .4082, over the root of 4.
        assert!((standard_error(&before, &after).unwrap() - 0.204_124).abs() < 1e-6);
    }

    #[test]
    fn a_shift_by_the_same_amount_a_token_is_certain() {
        let before: Vec<_> = (1..9).map(|t| ExampleLoss { nats: 2.0 * f64::from(t), tokens: t }).collect();
        let after: Vec<_> = (1..9).map(|t| ExampleLoss { nats: 2.5 * f64::from(t), tokens: t }).collect();
        assert!(standard_error(&before, &after).unwrap() < 1e-12);
    }

    #[test]
    fn other_rows_or_broken_losses_give_nothing() {
        let before = examples(&[1.0, 2.0]);
        assert_eq!(standard_error(&before, &examples(&[1.0])), None);
        assert_eq!(standard_error(&before, &examples(&[1.0, f64::NAN])), None);
        assert_eq!(standard_error(&before, &[ExampleLoss { nats: 1.0, tokens: 2 }; 2]), None);
        assert_eq!(standard_error(&[], &[]), None);
    }
}
