//! Products with frozen matrices and their low-rank updates.
//!
//! The matrices of a group share their input, which is packed once where it is packed as a whole; a
//! frozen matrix and its update are summed in one pass (`y = [x, down] [W, scale B]^T`), and so are the
//! gradients that a group sends back. With dropout the way back through an update is masked after its
//! product, and cannot be part of that sum. How exact the products of an update are is for [`super::factors`] to
//! say; one of a rank that is not low goes another way: see [`merged`].

use super::factors::{Factor, Way};
use super::matmul::{Elements, Isa, Left, Out, Source, Term, Threads, filled, multiply};
use super::simd::vectorized;
use super::{merged, tensor, view};
use crate::{Dropout, LoraGrad, Projected, Projection, Upstream, Weight};
use candle_core::{CpuStorage, Result, Storage, Tensor};
use rayon::prelude::*;
use std::ops::Deref;

/// Rows that one task takes at least.
const MIN_ROWS: usize = 16;

/// The elements of a frozen matrix, borrowed; `G` is candle's lock on the storage.
pub(super) struct Frozen<G> {
    storage: G,
    start: usize,
    end: usize,
}

/// Borrows the elements of a frozen matrix.
pub(super) fn frozen(w: &Weight) -> Result<Frozen<impl Deref<Target = Storage> + '_>> {
    let (storage, layout) = w.matrix.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::BF16(_) | CpuStorage::F32(_)), Some((start, end))) => {
            Ok(Frozen { storage, start, end })
        }
        _ => candle_core::bail!("a native kernel was given a weight on {:?}", w.matrix.device()),
    }
}

impl<G: Deref<Target = Storage>> Frozen<G> {
    pub(super) fn elements(&self) -> Elements<'_> {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => Elements::F32(&data[self.start..self.end]),
            Storage::Cpu(CpuStorage::BF16(data)) => Elements::Bf16(&data[self.start..self.end]),
            _ => Elements::F32(&[]),
        }
    }
}

/// Activations `(rows, cols)` as left operands.
pub(super) struct Activations<'a> {
    data: &'a [f32],
    cols: usize,
    pub(super) source: Source<'a>,
    /// For products with f32.
    pub(super) single: Left<'a>,
    /// For products with bf16, where these are other instructions.
    rounded: Option<Left<'a>>,
}

impl<'a> Activations<'a> {
    pub(super) fn new(isa: &'static Isa, data: &'a [f32], rows: usize, cols: usize) -> Self {
        let source = Source::rows(Elements::F32(data), rows, cols, cols);
        let rounded = isa.pairs.then(|| Left::rounded(isa, source));
        Self { data, cols, source, single: Left::new(isa, source), rounded }
    }

    /// As the left operand of products with these elements.
    pub(super) fn against(&self, right: Elements) -> &Left<'a> {
        self.rounded.as_ref().filter(|_| matches!(right, Elements::Bf16(_))).unwrap_or(&self.single)
    }
}

/// `sum_i left_i right_i`, `(m, n)`, added to `base` if there is one.
pub(super) fn sum(
    isa: &'static Isa,
    (m, n): (usize, usize),
    terms: &[Term],
    base: Option<&[f32]>,
) -> Vec<f32> {
    filled(m * n, |out| multiply(isa, Out::fresh(out, n).over(base), (m, n), terms, Threads::All))
}

pub(crate) fn linear(x: &Tensor, group: &[Projection], residual: Option<&Tensor>) -> Result<Vec<Projected>> {
    let (n, k) = x.dims2()?;
    let isa = Isa::best(group.iter().any(|projection| projection.weight.is_bf16()), n);
    let x = view(x)?;
    let x = Activations::new(isa, &x, n, k);
    let residual = residual.map(view).transpose()?;
    group
        .iter()
        .map(|projection| {
            let out = projection.weight.out_dim();
            let w = frozen(projection.weight)?;
            let frozen = Term { left: x.against(w.elements()), right: Source::rows(w.elements(), out, k, k) };
            let Some((lora, dropout)) = projection.lora else {
                let y = sum(isa, (n, out), &[frozen], residual.as_deref());
                return Ok(Projected { y: tensor(y, n, out)?, down: None });
            };
            if let Elements::F32(w) = w.elements()
                && merged::is_merged(n, projection)
            {
                let w = merged::merge(w, lora, (out, k))?;
                let right = Source::rows(Elements::F32(&w), out, k, k);
                let y = sum(isa, (n, out), &[Term { left: &x.single, right }], residual.as_deref());
                return Ok(Projected { y: tensor(y, n, out)?, down: None });
            }
            let r = lora.rank();
            let (a, b) = (view(&lora.a)?, view(&lora.b)?);
            let way = Way::new(isa, projection.weight.is_bf16(), n, r);
            let down = way.to_rank(&x, dropout, &way.factor(&a, 1.0), |a| Source::rows(a, r, k, k));
            let (low, up) = (way.low(&down, r), way.factor(&b, lora.scale));
            let mut terms = up.terms(&low, |b| Source::rows(b, out, r, r));
            terms.insert(0, frozen);
            let y = sum(isa, (n, out), &terms, residual.as_deref());
            Ok(Projected { y: tensor(y, n, out)?, down: Some(tensor(down, n, r)?) })
        })
        .collect()
}

/// What a low-rank update sends back to the input of its group.
struct Low<A> {
    way: Way,
    /// Gradient with respect to `dropout(x) A^T`, `(n, r)`.
    d_down: Vec<f32>,
    /// `(r, k)`
    a: A,
    r: usize,
    dropout: Dropout,
}

pub(crate) fn linear_backward(
    x: &Tensor,
    group: &[(Projection, Upstream)],
    need_dx: bool,
) -> Result<(Option<Tensor>, Vec<Option<LoraGrad>>)> {
    let (n, k) = x.dims2()?;
    let isa = Isa::best(group.iter().any(|(projection, _)| projection.weight.is_bf16()), n);
    let x = view(x)?;
    let upstream = group.iter().map(|(_, upstream)| view(upstream.dy)).collect::<Result<Vec<_>>>()?;
    let upstream: Vec<Activations> = upstream
        .iter()
        .zip(group)
        .map(|(dy, (projection, _))| Activations::new(isa, dy, n, projection.weight.out_dim()))
        .collect();
    let (mut grads, mut lows) = (Vec::new(), Vec::new());
    for (dy, (projection, Upstream { down, .. })) in upstream.iter().zip(group) {
        let out = dy.cols;
        let (lora, dropout, down) = match (projection.lora, down) {
            (Some((lora, dropout)), Some(down)) => (lora, dropout, down),
            (None, _) => {
                grads.push(None);
                lows.push(None);
                continue;
            }
            // The forward pass has merged it.
            (Some((lora, dropout)), None) => {
                assert!(
                    dropout.is_off() && !projection.weight.is_bf16(),
                    "an update that cannot have been merged"
                );
                grads.push(Some(merged::gradients(&x, dy.data, lora, (n, k, out))?));
                lows.push(None);
                continue;
            }
        };
        let r = lora.rank();
        let (b, down) = (view(&lora.b)?, view(down)?);
        let way = Way::new(isa, projection.weight.is_bf16(), n, r);
        let up = way.factor(&b, lora.scale);
        let d_down = way.to_rank(dy, Dropout::OFF, &up, |b| Source::columns(b, out, r, r));
        let wide = |data, cols| Source::columns(Elements::F32(data), n, cols, cols);
        let da = way.gradient((&d_down, r), 1.0, wide(&x, k).dropped(dropout), true);
        let db = way.gradient((&down, r), lora.scale, wide(dy.data, out), false);
        grads.push(Some(LoraGrad { a: tensor(da, r, k)?, b: tensor(db, out, r)? }));
        lows.push(Some(Low { way, d_down, a: view(&lora.a)?, r, dropout }));
    }
    if !need_dx || group.is_empty() {
        return Ok((None, grads));
    }
    let weights =
        group.iter().map(|(projection, _)| frozen(projection.weight)).collect::<Result<Vec<_>>>()?;
    let merged = group
        .iter()
        .zip(&weights)
        .map(|((projection, Upstream { down, .. }), w)| match (projection.lora, down, w.elements()) {
            (Some((lora, _)), None, Elements::F32(w)) => {
                merged::merge(w, lora, (projection.weight.out_dim(), k)).map(Some)
            }
            _ => Ok(None),
        })
        .collect::<Result<Vec<_>>>()?;
    let backs: Vec<Option<(usize, Left, Factor)>> = lows
        .iter()
        .map(|low| low.as_ref().filter(|low| low.dropout.is_off()))
        .map(|low| low.map(|low| (low.r, low.way.low(&low.d_down, low.r), low.way.factor(&low.a, 1.0))))
        .collect();
    let mut terms = Vec::new();
    for (((dy, w), merged), back) in upstream.iter().zip(&weights).zip(&merged).zip(&backs) {
        let w = merged.as_deref().map_or_else(|| w.elements(), Elements::F32);
        terms.push(Term { left: dy.against(w), right: Source::columns(w, dy.cols, k, k) });
        if let Some((r, low, a)) = back {
            terms.extend(a.terms(low, |a| Source::columns(a, *r, k, k)));
        }
    }
    let mut dx = sum(isa, (n, k), &terms, None);
    let masked: Vec<(&[f32], &[f32], usize, Dropout)> = lows
        .iter()
        .flatten()
        .filter(|low| !low.dropout.is_off())
        .map(|low| (&*low.d_down, &*low.a, low.r, low.dropout))
        .collect();
    if !masked.is_empty() {
        dx.par_chunks_mut(k).with_min_len(MIN_ROWS).enumerate().for_each(|(i, dx)| {
            for &(d_down, a, r, dropout) in &masked {
                add_masked(dx, &d_down[i * r..(i + 1) * r], a, (i * k) as u32, dropout);
            }
        });
    }
    Ok((Some(tensor(dx, n, k)?), grads))
}

vectorized! {
    /// `dx += mask * (d_down A)`, for one row, whose first element is number `first` of its matrix.
    fn add_masked(dx: &mut [f32], d_down: &[f32], a: &[f32], first: u32, dropout: Dropout) {
        const WIDTH: usize = 64;
        let k = dx.len();
        for (c, dx) in dx.chunks_mut(WIDTH).enumerate() {
            let mut through = [0f32; WIDTH];
            for (d, a) in d_down.iter().zip(a.chunks_exact(k)) {
                let a = &a[c * WIDTH..c * WIDTH + dx.len()];
                for (t, a) in through.iter_mut().zip(a) {
                    *t += d * a;
                }
            }
            let first = first.wrapping_add((c * WIDTH) as u32);
            for (i, (dx, t)) in dx.iter_mut().zip(through).enumerate() {
                *dx += t * dropout.factor(first.wrapping_add(i as u32));
            }
        }
    }
}
