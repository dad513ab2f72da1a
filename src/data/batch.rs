//! Which rows are computed together, in which order, and how they lie in memory.
//!
//! Rows of a batch are packed: laid end to end without padding. The order of an epoch is a function of
//! seed and epoch number only, so a resumed run finds its place by computing it again. Host vectors
//! only, no tensors.

use super::Example;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::ops::Range;

/// Rows laid end to end. Of `n` tokens in `r` rows:
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Token ids, length `n`.
    pub ids: Vec<u32>,
    /// Place of each token in its own row, length `n`.
    pub positions: Vec<u32>,
    /// Where each row starts in `ids`, and at last `n`; length `r + 1`.
    pub starts: Vec<usize>,
    /// The tokens that carry loss, in the order of `ids`.
    pub targets: Vec<Target>,
}

/// A token that carries loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Index into [`Packed::ids`] of the token before it, whose output predicts it.
    pub row: u32,
    /// The token that is right there.
    pub token: u32,
}

impl Packed {
    /// Lays `examples` end to end.
    pub fn new<'a>(examples: impl IntoIterator<Item = &'a Example>) -> Self {
        let mut packed = Self { starts: vec![0], ..Self::default() };
        for example in examples {
            let start = packed.ids.len();
            packed.ids.extend(&example.ids);
            packed.positions.extend(0..example.ids.len() as u32);
            packed.starts.push(packed.ids.len());
            for (i, &token) in example.ids.iter().enumerate().skip(1) {
                if example.loss_mask[i] {
                    packed.targets.push(Target { row: (start + i - 1) as u32, token });
                }
            }
        }
        packed
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Which of the targets are those of row `row`.
    pub fn targets_of(&self, row: usize) -> Range<usize> {
        let before = |token: usize| self.targets.partition_point(|target| (target.row as usize) < token);
        before(self.starts[row])..before(self.starts[row + 1])
    }
}

/// Shuffles by Fisher and Yates's method. Written out, since an order once published must not change
/// with a version of a library.
pub fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for i in (1..items.len()).rev() {
        // The high half of a 64 by 64 bit product is uniform below `i + 1` to within 2^-64 `i`.
        let j = (u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64;
        items.swap(i, j as usize);
    }
}

/// The training rows, cut into batches anew in each epoch.
#[derive(Clone, Copy, Debug)]
pub struct Batches<'a> {
    examples: &'a [Example],
    batch_size: usize,
    seed: u64,
}

impl<'a> Batches<'a> {
    /// Batches of `batch_size` rows, at least 1; the last of an epoch may have fewer.
    pub fn new(examples: &'a [Example], batch_size: usize, seed: u64) -> Self {
        Self { examples, batch_size: batch_size.max(1), seed }
    }

    /// Batches in one epoch.
    pub fn per_epoch(&self) -> usize {
        self.examples.len().div_ceil(self.batch_size)
    }

    /// The batches of epoch number `epoch`, counted from 0: stream `epoch` of `ChaCha8` seeded with `seed`.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch);
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        shuffle(&mut order, &mut rng);
        Epoch { batch_size: self.batch_size, order }
    }
}

/// One pass over the training rows.
#[derive(Clone, Debug)]
pub struct Epoch {
    batch_size: usize,
    order: Vec<usize>,
}

impl Epoch {
    /// Indices of the rows of batch `index`, counted from 0; none beyond the last.
    pub fn rows(&self, index: usize) -> &[usize] {
        self.order.chunks(self.batch_size).nth(index).unwrap_or_default()
    }

    /// The rows of batch `index` cut into at most `parts` smaller ones, in the same order.
    pub fn parts(&self, index: usize, parts: usize) -> std::slice::Chunks<'_, usize> {
        let rows = self.rows(index);
        rows.chunks(rows.len().div_ceil(parts.max(1)).max(1))
    }
}

/// One batch of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalBatch {
    /// The examples of `packed`, as indices into the evaluated set.
    pub rows: Vec<usize>,
    pub packed: Packed,
}

/// The batches of an evaluation: always the same ones. Rows of like length stand together; `rows` puts
/// the results back into the order of the set.
pub fn eval_batches(examples: &[Example], batch_size: usize) -> Vec<EvalBatch> {
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by_key(|&row| examples[row].ids.len());
    let batch = |rows: &[usize]| EvalBatch {
        rows: rows.to_vec(),
        packed: Packed::new(rows.iter().map(|&row| &examples[row])),
    };
    order.chunks(batch_size.max(1)).map(batch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of the given lengths, with ids that tell row and place; every second token carries loss.
    fn examples(lengths: &[usize]) -> Vec<Example> {
        let row = |(row, &length): (usize, &usize)| Example {
            ids: (0..length).map(|i| (100 * row + i) as u32).collect(),
            loss_mask: (0..length).map(|i| i % 2 == 1).collect(),
        };
        lengths.iter().enumerate().map(row).collect()
    }

    #[test]
    fn rows_are_packed_end_to_end() {
        let rows = examples(&[3, 1, 4]);
        let packed = Packed::new(&rows);
        assert_eq!(packed.ids, [0, 1, 2, 100, 200, 201, 202, 203]);
        assert_eq!(packed.positions, [0, 1, 2, 0, 0, 1, 2, 3]);
        assert_eq!(packed.starts, [0, 3, 4, 8]);
        let targets: Vec<_> = packed.targets.iter().map(|t| (t.row, t.token)).collect();
        assert_eq!(targets, [(0, 1), (4, 201), (6, 203)]);
        assert_eq!((0..packed.rows()).map(|r| packed.targets_of(r)).collect::<Vec<_>>(), [0..1, 1..1, 1..3]);
    }

    #[test]
    fn a_first_token_predicts_and_is_not_predicted() {
        let mut rows = examples(&[2, 2]);
        rows[1].loss_mask[0] = true;
        assert_eq!(Packed::new(&rows).targets.len(), 2);
    }

    #[test]
    fn an_epoch_has_every_row_once() {
        let rows = examples(&[1; 10]);
        let batches = Batches::new(&rows, 4, 7);
        assert_eq!(batches.per_epoch(), 3);
        let epoch = batches.epoch(0);
        let sizes: Vec<_> = (0..4).map(|i| epoch.rows(i).len()).collect();
        assert_eq!(sizes, [4, 4, 2, 0]);
        let mut seen: Vec<_> = (0..3).flat_map(|i| epoch.rows(i).to_vec()).collect();
        assert_ne!(seen, (0..10).collect::<Vec<_>>());
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_is_a_function_of_seed_and_epoch() {
        let rows = examples(&[1; 50]);
        let order = |seed, epoch| Batches::new(&rows, 50, seed).epoch(epoch).rows(0).to_vec();
        assert_eq!(order(1, 3), order(1, 3));
        assert_ne!(order(1, 3), order(1, 4));
        assert_ne!(order(1, 3), order(2, 3));
        // Published runs are repeated by it: this order must never change.
        let few = examples(&[1; 8]);
        assert_eq!(Batches::new(&few, 8, 0).epoch(0).rows(0), [7, 2, 1, 6, 0, 4, 3, 5]);
    }

    #[test]
    fn evaluation_sorts_by_length_and_remembers() {
        let rows = examples(&[5, 1, 3, 1]);
        let batches = eval_batches(&rows, 3);
        assert_eq!(batches.iter().map(|b| b.rows.clone()).collect::<Vec<_>>(), [vec![1, 3, 2], vec![0]]);
        assert_eq!(batches[0].packed.ids, [100, 300, 200, 201, 202]);
        assert_eq!(batches, eval_batches(&rows, 3));
    }
}
