//! Where a curve turns, and how fast it moves: the V-fit and a robust slope.
//!
//! Pure arithmetic on finite values; what a turn means is for the diagnosis to say.

use super::smooth;

/// The best fall-then-rise through a series, by least squares.
#[derive(Clone, Debug, PartialEq)]
pub struct VFit {
    /// Fitted values: never rising up to the turn, never falling after it.
    pub fitted: Vec<f64>,
    /// Index of the lowest fitted value, the last of equals.
    pub lowest: usize,
    /// Squared error of the fit.
    pub error: f64,
    /// Squared error of the best fit that never rises: what the rise explains is the difference.
    pub falling_error: f64,
}

/// Fits a series that falls and then rises: for every place to turn, isotonic regression by
/// pooling adjacent violators on both sides (Barlow et al. 1972; all prefixes in one pass, after
/// Stout 2008, "Unimodal regression via prefix isotonic regression"). Linear time. `None` where
/// there is no value.
pub fn v_fit(values: &[f64]) -> Option<VFit> {
    let negated: Vec<f64> = values.iter().map(|value| -value).collect();
    let backwards: Vec<f64> = negated.iter().rev().copied().collect();
    let (falls, rises) = (prefix_errors(&negated), prefix_errors(&backwards));
    // `turn` values fall, the others rise.
    let error = |turn: usize| falls[turn] + rises[values.len() - turn];
    let turn = (1..=values.len()).min_by(|a, b| error(*a).total_cmp(&error(*b)))?;
    let (least, falling_error) = (error(turn), falls[values.len()]);
    let mut fitted = isotonic(&negated[..turn]);
    let mut rising = isotonic(&backwards[..values.len() - turn]);
    rising.reverse();
    fitted.append(&mut rising);
    for value in &mut fitted {
        *value = -*value;
    }
    let lowest = (0..fitted.len()).rev().min_by(|a, b| fitted[*a].total_cmp(&fitted[*b]))?;
    Some(VFit { fitted, lowest, error: least, falling_error })
}

impl VFit {
    /// The last index before the rise: where the fit has not yet climbed above `level`.
    pub fn onset(&self, level: f64) -> usize {
        let after = self.fitted[self.lowest..].iter().take_while(|value| **value <= level).count();
        self.lowest + after.max(1) - 1
    }
}

/// A run of pooled values: their number, sum, and sum of squares.
#[derive(Clone, Copy)]
struct Block {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Block {
    fn mean(self) -> f64 {
        self.sum / self.count
    }

    fn error(self) -> f64 {
        (self.squares - self.sum * self.sum / self.count).max(0.0)
    }
}

/// Pools one more value into the blocks of a never-falling fit; the squared error of what was
/// pooled moves along.
fn pool(blocks: &mut Vec<Block>, value: f64, error: &mut f64) {
    let mut block = Block { count: 1.0, sum: value, squares: value * value };
    while let Some(last) = blocks.pop_if(|last| last.mean() >= block.mean()) {
        *error -= last.error() + block.error();
        block = Block {
            count: last.count + block.count,
            sum: last.sum + block.sum,
            squares: last.squares + block.squares,
        };
        *error += block.error();
    }
    blocks.push(block);
}

/// Squared error of the best never-falling fit to each prefix; the first entry is that of none.
fn prefix_errors(values: &[f64]) -> Vec<f64> {
    // About the mean, so that the squares do not drown the differences.
    let centre = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (mut blocks, mut error) = (Vec::new(), 0.0);
    let prefix = |value: &f64| {
        pool(&mut blocks, value - centre, &mut error);
        error
    };
    std::iter::once(0.0).chain(values.iter().map(prefix)).collect()
}

/// The best never-falling fit by least squares.
fn isotonic(values: &[f64]) -> Vec<f64> {
    let (mut blocks, mut error) = (Vec::new(), 0.0);
    for value in values {
        pool(&mut blocks, *value, &mut error);
    }
    blocks.iter().flat_map(|block| std::iter::repeat_n(block.mean(), block.count as usize)).collect()
}

/// The newest points that a slope is taken over: bounds its cost to about 2,000 pairs.
const SLOPE_MAX_POINTS: usize = 64;

/// Slope of `(x, y)` points: the median of the slopes of all pairs (Theil 1950, Sen 1968), which
/// up to 29 % of wild points cannot move far. Of a long series, the newest points.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let recent = &points[points.len().saturating_sub(SLOPE_MAX_POINTS)..];
    let pairs = recent.iter().enumerate().flat_map(|(i, a)| recent[i + 1..].iter().map(move |b| (a, b)));
    smooth::median(pairs.filter(|(a, b)| b.0 > a.0).map(|(a, b)| (b.1 - a.1) / (b.0 - a.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_turn_is_found_where_it_is() {
        let fit = v_fit(&[5.0, 4.0, 3.0, 3.5, 4.5]).unwrap();
        assert_eq!((fit.lowest, fit.onset(3.0), fit.onset(3.6)), (2, 2, 3));
        assert_eq!(fit.fitted, vec![5.0, 4.0, 3.0, 3.5, 4.5]);
    }

    #[test]
    fn only_falling_and_only_rising_turn_at_the_ends() {
        assert_eq!(v_fit(&[3.0, 2.0, 1.0]).unwrap().lowest, 2);
        assert_eq!(v_fit(&[1.0, 2.0, 3.0]).unwrap().lowest, 0);
        assert_eq!(v_fit(&[2.0]).unwrap().lowest, 0);
        assert_eq!(v_fit(&[]), None);
    }

    #[test]
    fn a_flat_bottom_ends_where_the_rise_begins() {
        let fit = v_fit(&[3.0, 2.0, 2.0, 2.0, 3.0]).unwrap();
        assert_eq!(fit.onset(2.0), 3);
    }

    #[test]
    fn the_fit_is_the_best_of_all_turns() {
        // Against the square-time definition, on a fixed jagged series.
        let values: Vec<f64> =
            (0..30_i32).map(|i| f64::from((i - 12).abs()) * 0.1 + f64::from(i * 7919 % 13) * 0.11).collect();
        let fit = v_fit(&values).unwrap();
        let error: f64 = values.iter().zip(&fit.fitted).map(|(v, f)| (v - f).powi(2)).sum();
        let negated: Vec<f64> = values.iter().map(|value| -value).collect();
        let best = (0..=30)
            .map(|turn| {
                let fall = isotonic(&negated[..turn]).into_iter().map(|value| -value);
                let rise = isotonic(&values[turn..]);
                values.iter().zip(fall.chain(rise)).map(|(v, f)| (v - f).powi(2)).sum::<f64>()
            })
            .fold(f64::INFINITY, f64::min);
        assert!((error - best).abs() < 1e-9, "{error} {best}");
    }

    #[test]
    fn one_wild_point_does_not_move_the_slope() {
        let mut points: Vec<(f64, f64)> = (0..9).map(|i| (f64::from(i), 2.0 * f64::from(i))).collect();
        points[4].1 = 100.0;
        assert!((slope(&points).unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(slope(&points[..1]), None);
    }
}
