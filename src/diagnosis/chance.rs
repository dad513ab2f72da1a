//! Tails and quantiles: how often chance alone goes this far.
//!
//! Pure arithmetic, to the accuracy that a judgement needs; each function names its source.

use std::f64::consts::PI;

/// Chance that Student's t with `freedom` degrees exceeds `t`, by the incomplete beta function
/// (Abramowitz & Stegun 1964, 26.7.1 and 26.5.27). Not a number where `t` is none.
pub fn t_above(t: f64, freedom: f64) -> f64 {
    let tail = 0.5 * beta_share(freedom / (freedom + t * t), 0.5 * freedom, 0.5);
    if t < 0.0 { 1.0 - tail } else { tail }
}

/// The `t` that Student's with `freedom` degrees exceeds with the chance `p`, at most one half: by halving,
/// to a thousandth.
pub fn t_exceeded(p: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while t_above(high, freedom) > p && high < 1e9 {
        high *= 2.0;
    }
    while high - low > 1e-3 * high {
        let middle = f64::midpoint(low, high);
        if t_above(middle, freedom) > p { low = middle } else { high = middle }
    }
    high
}

/// The regularised incomplete beta function, by Lentz's continued fraction (Press et al. 2007,
/// "Numerical Recipes", 6.4).
fn beta_share(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast below the mean; above it, the other tail does.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_share(1.0 - x, b, a);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let floor = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let (mut c, mut d) = (1.0, 1.0 / floor(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..300 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for step in [even, odd] {
            d = 1.0 / floor(1.0 + step * d);
            c = floor(1.0 + step / c);
            change = c * d;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-12 {
            break;
        }
    }
    front * fraction
}

/// Logarithm of the gamma function of a positive number, by Lanczos' series (Press et al. 2007, 6.1).
fn ln_gamma(x: f64) -> f64 {
    const SERIES: [f64; 6] = [
        76.180_091_729_471_46,
        -86.505_320_329_416_77,
        24.014_098_240_830_91,
        -1.231_739_572_450_155,
        0.120_865_097_386_617_9e-2,
        -0.539_523_938_495_3e-5,
    ];
    let base = x + 5.5;
    let sum = SERIES.iter().zip(1..).fold(1.000_000_000_190_015, |sum, (c, j)| sum + c / (x + f64::from(j)));
    (x + 0.5) * base.ln() - base + ((2.0 * PI).sqrt() * sum / x).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_the_tables() {
        // Abramowitz & Stegun 1964, table 26.10.
        for (t, freedom, p) in [(6.314, 1.0, 0.05), (2.571, 5.0, 0.025), (2.764, 10.0, 0.01)] {
            assert!((t_above(t, freedom) / p - 1.0).abs() < 2e-3, "{t} {freedom}");
        }
        assert!((t_above(1.96, 1e6) - 0.025).abs() < 1e-5);
        assert!((t_above(-1.0, 7.0) + t_above(1.0, 7.0) - 1.0).abs() < 1e-12);
        assert!(t_above(12.0, 200.0) < 1e-20);
        assert!(t_above(f64::NAN, 5.0).is_nan());
        for (t, freedom, p) in [(6.314, 1.0, 0.05), (2.571, 5.0, 0.025), (2.764, 10.0, 0.01)] {
            assert!((t_exceeded(p, freedom) / t - 1.0).abs() < 2e-3, "{t} {freedom}");
        }
    }
}
