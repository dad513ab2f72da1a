//! The axes of the chart: which range of values to show, and where its ticks are.
//!
//! Round numbers come from [`curve::axis`](crate::curve::axis); here are the scale and the range.

use crate::curve::axis::{labels, ticks};
use crate::dashboard::model::Scale;
use crate::fmt;

impl Scale {
    /// Where a value lies on this scale; `None` where it has no place.
    fn warp(self, value: f64) -> Option<f64> {
        match self {
            Self::Linear => value.is_finite().then_some(value),
            Self::Log => (value.is_finite() && value > 0.0).then(|| value.ln()),
        }
    }

    fn unwarp(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Log => place.exp(),
        }
    }
}

/// A range of values on a scale, never empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    lo: f64,
    hi: f64,
    scale: Scale,
    /// Whether the values are seconds.
    clock: bool,
}

/// A labelled place on an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub value: f64,
    pub label: String,
}

impl Axis {
    /// The range from `lo` to `hi`, widened where it would be empty or has no place on the scale.
    pub fn new(lo: f64, hi: f64, scale: Scale) -> Self {
        let (lo, hi) = if lo <= hi { (lo, hi) } else { (hi, lo) };
        let lo = if scale.warp(lo).is_some() { lo } else { scale.warp(hi).map_or(1.0, |_| hi / 1e3) };
        let hi = if scale.warp(hi).is_some() { hi } else { lo };
        let close = hi - lo <= hi.abs().max(lo.abs()) * 1e-9;
        let room = if lo == 0.0 { 1.0 } else { lo.abs() * 0.1 };
        let (lo, hi) = if close { (lo - room * 0.5, hi + room * 0.5) } else { (lo, hi) };
        Self { lo, hi, scale, clock: false }
    }

    /// The same range, of seconds.
    #[must_use]
    pub fn of_seconds(self) -> Self {
        Self { clock: true, ..self }
    }

    /// The ends of the range.
    pub fn ends(&self) -> (f64, f64) {
        (self.lo, self.hi)
    }

    /// Wider at both ends by a share of itself, but not below zero if it was not.
    #[must_use]
    pub fn padded(&self, share: f64) -> Self {
        let (Some(lo), Some(hi)) = (self.scale.warp(self.lo), self.scale.warp(self.hi)) else { return *self };
        let room = (hi - lo) * share;
        let (low, high) = (self.scale.unwarp(lo - room), self.scale.unwarp(hi + room));
        Self { lo: if self.lo >= 0.0 { low.max(0.0) } else { low }, hi: high, ..*self }
    }

    /// Place of a value: 0 at the low end, 1 at the high end, beyond them outside the range. `None`
    /// where the value has no place: not finite, or not positive on a logarithmic scale.
    pub fn place(&self, value: f64) -> Option<f64> {
        let (lo, hi) = (self.scale.warp(self.lo)?, self.scale.warp(self.hi)?);
        Some((self.scale.warp(value)? - lo) / (hi - lo))
    }

    /// At most `limit` round values within the range, in rising order, with their labels.
    pub fn ticks(&self, limit: usize) -> Vec<Tick> {
        if self.scale == Scale::Log
            && let Some(ticks) = self.log_ticks(limit)
        {
            return ticks;
        }
        if self.clock { self.clock_ticks(limit) } else { self.linear_ticks(limit) }
    }

    /// Round times, which are no round numbers of seconds.
    fn clock_ticks(&self, limit: usize) -> Vec<Tick> {
        const ROUND: [f64; 18] = [
            1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
            10_800.0, 21_600.0, 43_200.0, 86_400.0,
        ];
        let count = |every: f64| ((self.hi / every).floor() - (self.lo / every).ceil() + 1.0).max(0.0);
        let every = ROUND.into_iter().find(|&every| count(every) <= limit as f64);
        // Of more days than that the ticks are days again, a round number of them.
        let Some(every) = every else {
            let days = ticks(self.lo / 86_400.0, self.hi / 86_400.0, limit);
            return days.iter().map(|d| Tick { value: d * 86_400.0, label: format!("{d}d") }).collect();
        };
        let first = (self.lo / every).ceil();
        let values = (0..count(every) as usize).map(|i| (first + i as f64) * every);
        values.map(|value| Tick { value, label: fmt::clock(value) }).collect()
    }

    fn linear_ticks(&self, limit: usize) -> Vec<Tick> {
        let values = ticks(self.lo, self.hi, limit);
        let labels = labels(&values);
        values.into_iter().zip(labels).map(|(value, label)| Tick { value, label }).collect()
    }

    /// Round values of every decade, as many to the decade as there is room for; `None` where the
    /// range is too short for two of them.
    fn log_ticks(&self, limit: usize) -> Option<Vec<Tick>> {
        const MANTISSAS: [&[f64]; 4] = [&[1.0, 2.0, 3.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let decades = self.lo.log10().floor() as i32..=self.hi.log10().ceil() as i32;
        MANTISSAS.iter().find_map(|mantissas| {
            let values: Vec<f64> = decades
                .clone()
                .flat_map(|decade| mantissas.iter().map(move |m| m * 10f64.powi(decade)))
                .filter(|v| (self.lo * (1.0 - 1e-9)..=self.hi * (1.0 + 1e-9)).contains(v))
                .collect();
            let fits = (2..=limit).contains(&values.len());
            let label = |&value: &f64| {
                let decimals = (-(value * (1.0 + 1e-9)).log10().floor()).max(0.0) as usize;
                let short = (1e-4..1e6).contains(&value);
                if short { format!("{value:.decimals$}") } else { format!("{value:.0e}") }
            };
            fits.then(|| values.iter().map(|v| Tick { value: *v, label: label(v) }).collect())
        })
    }
}

/// The range to show of values of which some may be far off: all of `core`, and of `rest` what is no
/// further from it than `stretch` times its extent. Values that have no place on the scale do not
/// count; `None` where there is none that has.
pub fn robust_range(core: &[f64], rest: &[f64], stretch: f64, scale: Scale) -> Option<(f64, f64)> {
    let extent = |values: &[f64]| {
        let mut places = values.iter().filter_map(|&v| scale.warp(v));
        let first = places.next()?;
        Some(places.fold((first, first), |(lo, hi), p| (lo.min(p), hi.max(p))))
    };
    let (lo, hi) = extent(core).or_else(|| extent(rest))?;
    let room = (hi - lo) * stretch;
    let near = rest.iter().filter_map(|&v| scale.warp(v)).filter(|v| (lo - room..=hi + room).contains(v));
    let (lo, hi) = near.fold((lo, hi), |(lo, hi), v| (lo.min(v), hi.max(v)));
    Some((scale.unwarp(lo), scale.unwarp(hi)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(lo: f64, hi: f64, scale: Scale, limit: usize) -> String {
        let ticks = Axis::new(lo, hi, scale).ticks(limit);
        ticks.into_iter().map(|t| t.label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn log_ticks_fill_the_decades_or_fall_back() {
        assert_eq!(labels(0.02, 3.4, Scale::Log, 8), "0.02 0.05 0.1 0.2 0.5 1 2");
        assert_eq!(labels(0.02, 3.4, Scale::Log, 5), "0.03 0.1 0.3 1 3");
        assert_eq!(labels(2.1, 2.9, Scale::Log, 5), "2.2 2.4 2.6 2.8");
    }

    #[test]
    fn times_are_round() {
        let labels = |lo, hi, limit| {
            let ticks = Axis::new(lo, hi, Scale::Linear).of_seconds().ticks(limit);
            ticks.into_iter().map(|t| t.label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(0.0, 133.0, 6), "0:00 0:30 1:00 1:30 2:00");
        assert_eq!(labels(0.0, 5000.0, 6), "0:00 15:00 30:00 45:00 1:00:00 1:15:00");
        assert_eq!(labels(0.0, 2e6, 5), "0d 5d 10d 15d 20d");
        assert_eq!(labels(0.0, 0.4, 5), "0:00");
    }

    #[test]
    fn an_axis_is_never_empty() {
        for (lo, hi) in [(2.0, 2.0), (0.0, 0.0), (-1.0, 3.0), (f64::NAN, f64::NAN), (f64::INFINITY, 1.0)] {
            for scale in [Scale::Linear, Scale::Log] {
                let axis = Axis::new(lo, hi, scale);
                assert!(axis.lo < axis.hi, "{lo} {hi} {scale:?}: {axis:?}");
                assert!(axis.ticks(5).len() <= 5);
            }
        }
        let axis = Axis::new(1.0, 3.0, Scale::Linear);
        assert_eq!((axis.place(2.0), axis.place(5.0), axis.place(f64::NAN)), (Some(0.5), Some(2.0), None));
        assert_eq!(Axis::new(1.0, 3.0, Scale::Log).place(0.0), None);
    }

    #[test]
    fn a_far_start_does_not_squash_the_story() {
        let core = [2.0, 3.0];
        assert_eq!(robust_range(&core, &[11.0, 3.1], 0.7, Scale::Linear), Some((2.0, 3.1)));
        assert_eq!(robust_range(&core, &[3.5, 1.5], 0.7, Scale::Linear), Some((1.5, 3.5)));
        assert_eq!(robust_range(&[f64::NAN], &[f64::INFINITY], 0.7, Scale::Linear), None);
    }
}
