//! The head and its cross entropy, for one chunk of targets.

use super::linear::with_matrix;
use super::simd::{exp_shifted, max, vectorized};
use super::{Into, Mat, Threads, product, tensor, view};
use crate::kernel::Weight;
use crate::kernel::portable::Chunk;
use candle_core::{Result, Tensor};
use rayon::prelude::*;

pub(in crate::kernel) fn head_chunk(
    x: &Tensor,
    w: &Weight,
    targets: &[u32],
    grad_scale: Option<f32>,
) -> Result<Chunk> {
    let (n, h, vocab) = (targets.len(), w.in_dim(), w.out_dim());
    if let Some(&id) = targets.iter().find(|&&id| id as usize >= vocab) {
        candle_core::bail!("target {id} is not in the vocabulary of {vocab}");
    }
    let x = view(x)?;
    with_matrix(w, |w| {
        let mut logits = vec![0.0; n * vocab];
        product(
            &mut logits,
            vocab,
            Into::Overwrite,
            Mat::new(&x, n, h),
            Mat::new(w, vocab, h).t(),
            1.0,
            Threads::All,
        );
        let (nats, hits): (Vec<f32>, Vec<bool>) = logits
            .par_chunks_mut(vocab)
            .zip(targets)
            .map(|(row, &target)| cross_entropy_row(row, target as usize, grad_scale))
            .unzip();
        if grad_scale.is_none() {
            return Ok((nats, hits, None));
        }
        let (logits, w) = (Mat::new(&logits, n, vocab), Mat::new(w, vocab, h));
        let mut dx = vec![0.0; n * h];
        product(&mut dx, h, Into::Overwrite, logits, w, 1.0, Threads::All);
        Ok((nats, hits, Some(tensor(dx, n, h)?)))
    })?
}

vectorized! {
    /// Cross entropy of one row of logits and whether the target is ranked first.
    ///
    /// With a scale, the row becomes `scale * (softmax - onehot)`, the gradient of the logits.
    fn cross_entropy_row(row: &mut [f32], target: usize, grad_scale: Option<f32>) -> (f32, bool) {
        let logit = row[target];
        let top = max(row);
        let total = exp_shifted(row, top);
        let nats = top + total.ln() - logit;
        if let Some(scale) = grad_scale {
            let factor = scale / total;
            for p in row.iter_mut() {
                *p *= factor;
            }
            row[target] -= scale;
        }
        // A row with a NaN has no maximum: its loss must not come out as a number.
        let broken = !total.is_finite() || top == f32::NEG_INFINITY;
        (if broken { f32::NAN } else { nats }, logit >= top && !broken)
    }
}
