//! Updates whose rank is not low for the matrix that they belong to.
//!
//! `x W^T + scale * x A^T B^T` is `x (W + scale * B A)^T`. Where the rank comes near the sizes of the matrix, it is
//! less work to merge the update into it, and to take the gradients of A and B from that of the merged matrix, than
//! to go through the rank with every token. What is merged lives no longer than the product that it is for; the
//! frozen matrix stays as it is.

use super::linear::sum;
use super::matmul::{Elements, Isa, Left, Source, Term};
use super::{tensor, view};
use crate::{Lora, LoraGrad, Projection};
use candle_core::Result;

/// Whether the update of a projection is merged when `n` tokens go through it. Dropout acts on the input of the
/// update alone, and a matrix in bf16 would swallow most of the update.
pub(super) fn is_merged(n: usize, projection: &Projection) -> bool {
    let Projection { weight, lora: Some((lora, dropout)) } = projection else { return false };
    let exact = !weight.is_bf16() && dropout.is_off();
    exact && merging_pays(n, (weight.out_dim(), weight.in_dim()), lora.rank())
}

/// Whether an update of rank `r` to an `(out, k)` matrix is less work when it is merged, for `n` tokens, forward and
/// backward taken together.
pub(crate) fn merging_pays(n: usize, (out, k): (usize, usize), r: usize) -> bool {
    // Multiplications. By the rank: to it and from it, and twice that on the way back. Merged: the gradient of the
    // matrix; two mergings, and the gradients of A and B.
    let by_rank = 3 * n * r * (k + out);
    let merged = n * k * out + 4 * r * k * out;
    merged < by_rank
}

/// `W + scale * B A`, `(out, k)`.
pub(super) fn merge(w: &[f32], lora: &Lora, (out, k): (usize, usize)) -> Result<Vec<f32>> {
    let (a, b, r) = (view(&lora.a)?, view(&lora.b)?, lora.rank());
    let left = Source::rows(Elements::F32(&b), out, r, r).scaled(lora.scale);
    Ok(product(left, Source::columns(Elements::F32(&a), r, k, k), Some(w)))
}

/// The gradients of A and B, from the input, `(n, k)`, and the gradient of the output, `(n, out)`.
pub(super) fn gradients(
    x: &[f32],
    dy: &[f32],
    lora: &Lora,
    (n, k, out): (usize, usize, usize),
) -> Result<LoraGrad> {
    let (a, b, r) = (view(&lora.a)?, view(&lora.b)?, lora.rank());
    let [x, dy] = [(x, k), (dy, out)].map(|(data, cols)| Source::columns(Elements::F32(data), n, cols, cols));
    // Of the merged matrix, turned: `(k, out)`.
    let dw = product(x, dy, None);
    let [by_rows, by_columns] =
        [Source::rows, Source::columns].map(|source| source(Elements::F32(&dw), k, out, out));
    let da = product(Source::columns(Elements::F32(&b), out, r, r).scaled(lora.scale), by_rows, None);
    let db = product(by_columns.scaled(lora.scale), Source::rows(Elements::F32(&a), r, k, k), None);
    Ok(LoraGrad { a: tensor(da, r, k)?, b: tensor(db, out, r)? })
}

/// The products of the lanes of both, added to `base` if there is one.
fn product(left: Source, right: Source, base: Option<&[f32]>) -> Vec<f32> {
    let (isa, shape) = (Isa::best(false, left.lanes), (left.lanes, right.lanes));
    sum(isa, shape, &[Term { left: &Left::new(isa, left), right }], base)
}
