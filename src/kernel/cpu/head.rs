//! The head and its cross entropy, for one chunk of targets.

use super::linear::{Activations, frozen, sum};
use super::matmul::{Isa, Source, Term};
use super::simd::{exp_shifted, max, vectorized};
use super::{tensor, view};
use crate::Weight;
use crate::portable::Chunk;
use candle_core::{Result, Tensor};
use rayon::prelude::*;

pub(crate) fn head_chunk(x: &Tensor, w: &Weight, targets: &[u32], grad_scale: Option<f32>) -> Result<Chunk> {
    let (n, h, vocab) = (targets.len(), w.in_dim(), w.out_dim());
    let isa = Isa::best(w.is_bf16(), n);
    if let Some(&id) = targets.iter().find(|&&id| id as usize >= vocab) {
        candle_core::bail!("target {id} is not in the vocabulary of {vocab}");
    }
    let (x, w) = (view(x)?, frozen(w)?);
    let w = w.elements();
    let x = Activations::new(isa, &x, n, h);
    let right = Source::rows(w, vocab, h, h);
    let mut logits = sum(isa, (n, vocab), &[Term { left: x.against(w), right }], None);
    let (nats, hits): (Vec<f32>, Vec<bool>) = logits
        .par_chunks_mut(vocab)
        .zip(targets)
        .map(|(row, &target)| cross_entropy_row(row, target as usize, grad_scale))
        .unzip();
    if grad_scale.is_none() {
        return Ok((nats, hits, None));
    }
    let logits = Activations::new(isa, &logits, n, vocab);
    let dx =
        sum(isa, (n, h), &[Term { left: logits.against(w), right: Source::columns(w, vocab, h, h) }], None);
    Ok((nats, hits, Some(tensor(dx, n, h)?)))
}

vectorized! {
    /// Cross entropy of one row of logits and whether the target is ranked first.
    ///
    /// With a scale, the row becomes `scale * (softmax - onehot)`, the gradient of the logits.
    fn cross_entropy_row(row: &mut [f32], target: usize, grad_scale: Option<f32>) -> (f32, bool) {
        let logit = row[target];
        let top = max(row);
        // Of equals the first counts, as `argmax` has it.
        let first = logit >= top && row[..target].iter().all(|other| *other < logit);
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
        (if broken { f32::NAN } else { nats }, first && !broken)
    }
}
