//! Which rows are computed together, in which order, and how they lie in memory.
//!
//! The order of an epoch is a function of the seed and the epoch's number alone, so that a resumed
//! run finds its place without having kept anything. Rows of a batch are laid one after another
//! without padding. Host vectors only.

use super::Example;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Rows laid out one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Token ids of all rows.
    pub ids: Vec<u32>,
    /// Position of each token in its row.
    pub positions: Vec<u32>,
    /// Offset of each row in `ids`, and the length of `ids` at the end.
    pub starts: Vec<usize>,
    /// For each token that carries loss, the index in `ids` of the token before it, which predicts it, and its id.
    pub targets: Vec<(u32, u32)>,
}

impl Packed {
    /// Lays out some rows.
    pub fn new<'a>(rows: impl IntoIterator<Item = &'a Example>) -> Self {
        let mut packed = Self { starts: vec![0], ..Self::default() };
        for row in rows {
            let start = packed.ids.len() as u32;
            packed.ids.extend(&row.ids);
            packed.positions.extend(0..row.ids.len() as u32);
            packed.starts.push(packed.ids.len());
            let carries = row.loss_mask.iter().zip(&row.ids).enumerate().skip(1).filter(|(_, (on, _))| **on);
            packed.targets.extend(carries.map(|(i, (_, &id))| (start + i as u32 - 1, id)));
        }
        packed
    }
}

/// The order in which an epoch visits the rows `0..rows`.
pub fn epoch_order(rows: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // One stream of random numbers an epoch.
    random.set_stream(epoch);
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut random);
    order
}

/// The rows of an evaluation set in the order in which it is fastest to compute them: by length.
pub fn by_length(rows: &[Example]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| rows[row].ids.len());
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(ids: &[u32], mask: &[bool]) -> Example {
        Example { ids: ids.to_vec(), loss_mask: mask.to_vec() }
    }

    #[test]
    fn rows_follow_each_other_and_targets_are_predicted_by_the_token_before() {
        let a = example(&[7, 8, 9], &[false, false, true]);
        let b = example(&[5, 6], &[false, true]);
        let packed = Packed::new([&a, &b]);
        assert_eq!(packed.ids, [7, 8, 9, 5, 6]);
        assert_eq!(packed.positions, [0, 1, 2, 0, 1]);
        assert_eq!(packed.starts, [0, 3, 5]);
        assert_eq!(packed.targets, [(1, 9), (3, 6)]);
    }

    #[test]
    fn every_epoch_visits_every_row_in_an_order_of_its_own() {
        let (first, again, second) = (epoch_order(50, 1, 0), epoch_order(50, 1, 0), epoch_order(50, 1, 1));
        assert_eq!(first, again);
        assert_ne!(first, second);
        assert_ne!(first, epoch_order(50, 2, 0));
        let mut sorted = second;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn evaluation_goes_by_length() {
        let rows: Vec<Example> = [3, 1, 2].iter().map(|&n| example(&vec![0; n], &vec![false; n])).collect();
        assert_eq!(by_length(&rows), [1, 2, 0]);
    }
}
