//! A figure in two bytes, for what is kept of each of a million steps and only looked at.

/// A positive number to within 0.05 %, zero, a number that is none, or nothing at all.
///
/// Logarithms between those of [`SMALLEST`] and [`LARGEST`] in equal steps; what lies outside is at
/// the nearer end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Small(u16);

const NOTHING: u16 = 0;
const ZERO: u16 = 1;
const NOT_FINITE: u16 = 2;
const FIRST: u16 = 3;
const SMALLEST: f64 = 1e-12;
const LARGEST: f64 = 1e12;

/// The width of a step in natural logarithms: 0.084 %.
fn step() -> f64 {
    (LARGEST / SMALLEST).ln() / f64::from(u16::MAX - FIRST)
}

impl Small {
    /// The nearest that there is. Negative figures are of no use here, and nothing.
    pub fn new(value: Option<f64>) -> Self {
        Self(match value {
            Some(0.0) => ZERO,
            Some(value) if !value.is_finite() => NOT_FINITE,
            Some(value) if value > 0.0 => {
                let place = (value.clamp(SMALLEST, LARGEST) / SMALLEST).ln() / step();
                // `round` is a call into a library for processors that the build does not presume.
                FIRST + (place + 0.5) as u16
            }
            _ => NOTHING,
        })
    }

    pub fn get(self) -> Option<f64> {
        match self.0 {
            NOTHING => None,
            ZERO => Some(0.0),
            NOT_FINITE => Some(f64::NAN),
            place => Some(SMALLEST * (f64::from(place - FIRST) * step()).exp()),
        }
    }
}

impl std::fmt::Debug for Small {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_back_to_within_half_a_step() {
        for exponent in -119..119 {
            let value = 10f64.powf(f64::from(exponent) / 10.0) * 1.017;
            let back = Small::new(Some(value)).get().unwrap();
            assert!((back / value - 1.0).abs() < 5e-4, "{value} {back}");
        }
        assert_eq!(Small::new(None).get(), None);
        assert_eq!(Small::new(Some(-1.0)).get(), None);
        assert_eq!(Small::new(Some(0.0)).get(), Some(0.0));
        assert!(Small::new(Some(f64::INFINITY)).get().unwrap().is_nan());
        assert!((Small::new(Some(1e300)).get().unwrap() / 1e12 - 1.0).abs() < 1e-3);
    }
}
