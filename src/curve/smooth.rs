//! The scale of noise, robustly: what to look through a noisy series with.
//!
//! Pure functions of slices. A value that is not finite is passed over, never smoothed into its
//! neighbours.

/// The median of the finite values: of an even number, the mean of the middle two.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut finite: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    let middle = finite.len() / 2;
    if finite.is_empty() {
        return None;
    }
    let even = finite.len().is_multiple_of(2);
    let (below, upper, _) = finite.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = if even { below.iter().copied().fold(f64::NEG_INFINITY, f64::max) } else { upper };
    Some(f64::midpoint(lower, upper))
}

/// Fewer points than this say nothing about their noise.
pub const NOISE_MIN_POINTS: usize = 6;
/// The newest points that noise is taken from: bounds the cost to some 8,000 pairs.
const NOISE_MAX_POINTS: usize = 128;

/// Standard deviation of the noise of a curve about a smooth trend, from its second differences:
/// these cancel any straight line and have the variance `(1 + 4 + 1) sigma^2` under independent
/// noise (Gasser, Sroka & Jennen-Steinmetz 1986, Biometrika 73:625). Their scale is taken by
/// [`qn`], which passes over turns and spikes.
pub fn noise(losses: &[f64]) -> Option<f64> {
    let mut recent: Vec<f64> = losses.iter().rev().copied().filter(|loss| loss.is_finite()).collect();
    recent.truncate(NOISE_MAX_POINTS);
    if recent.len() < NOISE_MIN_POINTS {
        return None;
    }
    let second: Vec<f64> = recent.windows(3).map(|w| w[0] - 2.0 * w[1] + w[2]).collect();
    Some(qn(&second) / 6.0_f64.sqrt())
}

/// The scale Qn of Rousseeuw & Croux (1993, JASA 88:1273): the lower quartile of all distances
/// between two values, scaled to the standard deviation of normal ones. Half of the values may be
/// wild, as with the median absolute deviation, but it wastes 18 % of the values and not 63 %,
/// which is what counts with ten evaluations.
fn qn(values: &[f64]) -> f64 {
    let n = values.len();
    let half = n / 2 + 1;
    let mut distances: Vec<f64> = values
        .iter()
        .enumerate()
        .flat_map(|(i, a)| values[i + 1..].iter().map(move |b| (a - b).abs()))
        .collect();
    if distances.is_empty() {
        return 0.0;
    }
    // Factors for few values: Croux & Rousseeuw 1992, "Time-efficient algorithms", section 3.
    let few = [0.399, 0.994, 0.512, 0.844, 0.611, 0.857, 0.669, 0.872];
    let factor =
        few.get(n - 2).copied().unwrap_or(n as f64 / (n as f64 + if n % 2 == 1 { 1.4 } else { 3.8 }));
    let (_, quartile, _) = distances.select_nth_unstable_by(half * (half - 1) / 2 - 1, f64::total_cmp);
    2.2219 * factor * *quartile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_pass_over_what_is_no_number() {
        assert_eq!(median([3.0, f64::NAN, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
        assert_eq!(median([f64::INFINITY]), None);
    }

    #[test]
    fn a_straight_line_has_no_noise_however_steep() {
        let line: Vec<f64> = (0..10).map(|i| 5.0 - 0.5 * f64::from(i)).collect();
        assert!(noise(&line).unwrap() < 1e-12);
        assert_eq!(noise(&line[..5]), None);
    }
}
