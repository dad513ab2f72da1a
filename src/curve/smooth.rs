//! Smoothing and the scale of noise, robustly: what to look through a noisy series with.
//!
//! Pure functions of slices. A value that is not finite is passed over, never smoothed into its
//! neighbours.

/// Exponential moving average with Adam's correction for its start at zero (Kingma & Ba 2015,
/// section 3): the first value is the first loss, not a fraction of it.
///
/// `decay` is the share of the past that each value keeps, from 0 (nothing is smoothed) to below 1.
/// A value that is not finite stays as it is, so that a chart shows the gap.
pub fn ema(values: impl IntoIterator<Item = f64>, decay: f64) -> Vec<f64> {
    let (mut mean, mut weight) = (0.0, 0.0);
    let smooth = |value: f64| {
        if !value.is_finite() {
            return value;
        }
        mean = decay * mean + (1.0 - decay) * value;
        weight = decay * weight + (1.0 - decay);
        mean / weight
    };
    values.into_iter().map(smooth).collect()
}

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

/// Median absolute deviation from the median, scaled to be the standard deviation of normal noise
/// (Hampel 1974: the factor is `1 / Phi^-1(3/4)`).
pub fn mad(values: &[f64]) -> Option<f64> {
    let centre = median(values.iter().copied())?;
    let deviation = median(values.iter().map(|value| (value - centre).abs()))?;
    Some(1.4826 * deviation)
}

/// Fewer points than this say nothing about their noise.
pub const NOISE_MIN_POINTS: usize = 6;

/// Standard deviation of the noise of a curve about a smooth trend, from its second differences:
/// these cancel any straight line and have the variance `(1 + 4 + 1) sigma^2` under independent
/// noise; the median passes over turns and spikes. After Gasser, Sroka & Jennen-Steinmetz 1986
/// (Biometrika 73:625), made robust.
pub fn noise(losses: &[f64]) -> Option<f64> {
    let finite: Vec<f64> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
    if finite.len() < NOISE_MIN_POINTS {
        return None;
    }
    let second: Vec<f64> = finite.windows(3).map(|w| w[0] - 2.0 * w[1] + w[2]).collect();
    mad(&second).map(|deviation| deviation / 6.0_f64.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_starts_at_the_first_value_and_shows_gaps() {
        let smoothed = ema([4.0, f64::NAN, 2.0], 0.5);
        assert!((smoothed[0] - 4.0).abs() < 1e-12);
        assert!(smoothed[1].is_nan());
        assert!((smoothed[2] - (0.5 * 2.0 + 0.25 * 4.0) / 0.75).abs() < 1e-12);
        assert_eq!(ema([3.0, 1.0], 0.0), vec![3.0, 1.0]);
    }

    #[test]
    fn medians_pass_over_what_is_no_number() {
        assert_eq!(median([3.0, f64::NAN, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
        assert_eq!(median([f64::INFINITY]), None);
        assert_eq!(mad(&[1.0, 1.0, 1.0, 9.0]), Some(0.0));
    }

    #[test]
    fn a_straight_line_has_no_noise_however_steep() {
        let line: Vec<f64> = (0..10).map(|i| 5.0 - 0.5 * f64::from(i)).collect();
        assert!(noise(&line).unwrap() < 1e-12);
        assert_eq!(noise(&line[..5]), None);
    }
}
