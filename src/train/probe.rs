//! What is measured on training rows at each evaluation: the loss of a fixed sample, as the held-out
//! rows have it.
//!
//! The loss of the steps is no match for the evaluation loss: it is taken before the update, with
//! dropout, over rows that the model meets for the first time in this epoch, and over an interval in
//! which the model changes. The gap between the two sides is measured on like terms here.

use crate::config::Config;
use crate::data::batch::shuffle;
use crate::data::{Example, Splits};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The stream of the seed's generator that draws the sample; the epochs count theirs from 0.
const STREAM: u64 = u64::MAX;

/// What is asked of the model beside the held-out rows.
pub struct Probe {
    /// The sample of the training rows, in their order.
    pub rows: Vec<Example>,
}

impl Probe {
    /// The sample is a function of the seed and of the number of training rows, so that a resumed run
    /// goes on with the rows it had.
    pub fn new(config: &Config, splits: &Splits) -> Self {
        let rows = sample(splits.train.len(), config.probe.rows, config.train.seed);
        Self { rows: rows.into_iter().map(|row| splits.train[row].clone()).collect() }
    }
}

/// `count` of `rows` rows, or all of them where there are fewer, in their order.
fn sample(rows: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    let mut all: Vec<usize> = (0..rows).collect();
    shuffle(&mut all, &mut rng);
    all.truncate(count);
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_fixed_by_the_seed_and_has_no_row_twice() {
        let drawn = sample(100, 10, 3);
        assert_eq!(drawn, sample(100, 10, 3));
        assert_ne!(drawn, sample(100, 10, 4));
        assert!(drawn.is_sorted_by(|a, b| a < b) && drawn.iter().all(|&row| row < 100));
        assert_eq!(sample(3, 10, 0), [0, 1, 2]);
        assert!(sample(3, 0, 0).is_empty());
    }
}
