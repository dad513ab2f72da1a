//! Round numbers for an axis, and how they are written. Shared by everything that draws a curve.

/// At most `at_most` multiples of 1, 2 or 5 times a power of ten that lie in `lo..=hi`.
pub fn ticks(lo: f64, hi: f64, at_most: usize) -> Vec<f64> {
    if !(lo.is_finite() && hi.is_finite() && lo < hi) || at_most == 0 {
        return Vec::new();
    }
    let mut step = 10.0_f64.powf(((hi - lo) / at_most as f64).log10().floor());
    for factor in [2.0, 2.5, 2.0].iter().cycle() {
        // A hair of tolerance keeps an end that is itself round.
        let first = (lo / step - 1e-9).ceil();
        let last = (hi / step + 1e-9).floor();
        let count = last - first + 1.0;
        if count <= at_most as f64 {
            return (0..count.max(0.0) as usize).map(|i| (first + i as f64) * step + 0.0).collect();
        }
        step *= factor;
    }
    Vec::new()
}

/// The labels of `ticks`, all with the decimals and the unit that tell them apart.
pub fn labels(ticks: &[f64]) -> Vec<String> {
    let largest = ticks.iter().fold(0.0, |largest: f64, tick| largest.max(tick.abs()));
    let (unit, letter) = match largest {
        1e6.. => (1e6, "M"),
        1e4.. => (1e3, "k"),
        _ => (1.0, ""),
    };
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(largest, f64::min) / unit;
    let decimals =
        if step > 0.0 { (-(step * 1.000_001).log10().floor()).clamp(0.0, 12.0) as usize } else { 0 };
    let write = |tick: &f64| {
        if *tick == 0.0 && unit > 1.0 { "0".into() } else { format!("{:.decimals$}{letter}", tick / unit) }
    };
    ticks.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lo: f64, hi: f64, at_most: usize, expected: &[&str]) {
        assert_eq!(labels(&ticks(lo, hi, at_most)), expected, "{lo}..{hi} in {at_most}");
    }

    #[test]
    fn round_numbers() {
        check(0.0, 560.0, 6, &["0", "100", "200", "300", "400", "500"]);
        check(1.83, 4.42, 6, &["2.0", "2.5", "3.0", "3.5", "4.0"]);
        check(0.0, 1.0, 6, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        check(2.991, 3.012, 5, &["2.995", "3.000", "3.005", "3.010"]);
        check(0.0, 12_000.0, 5, &["0", "5k", "10k"]);
        check(0.0, 9_000.0, 5, &["0", "2000", "4000", "6000", "8000"]);
        check(-0.3, 0.3, 4, &["-0.2", "0.0", "0.2"]);
        check(0.0, 1_000_000.0, 6, &["0", "0.2M", "0.4M", "0.6M", "0.8M", "1.0M"]);
    }

    #[test]
    fn an_axis_without_an_extent_has_no_ticks() {
        assert!(ticks(1.0, 1.0, 5).is_empty());
        assert!(ticks(f64::NAN, 1.0, 5).is_empty());
        assert!(ticks(0.0, 1.0, 0).is_empty());
    }
}
