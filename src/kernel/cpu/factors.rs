//! The products by which a low-rank update goes through its rank, and those of its gradients.
//!
//! Beside a frozen matrix in bf16, activations are rounded to bf16 for it, and the processor may multiply pairs of bf16
//! many times as fast as f32. What is as wide as the matrix is then rounded for the update too. A factor is trained in
//! f32, in steps that bf16 would swallow: so it is told as the sum of two of bf16, which keeps 16 bits of it and costs
//! two such products. The same goes for what is of the rank in a gradient; where it meets a factor instead, it is
//! rounded. With few rows, as in generation, or at a low rank that is not worth it, and nothing is rounded.

use super::linear::{Activations, sum};
use super::matmul::{Elements, Isa, Left, Source, Term, narrow};
use super::simd::vectorized;
use crate::Dropout;
use half::bf16;
use rayon::prelude::*;

/// Columns that one task turns at least.
const MIN_COLUMNS: usize = 64;

/// How the products of an update are computed.
#[derive(Clone, Copy)]
pub(super) struct Way {
    isa: &'static Isa,
    /// Whether by pairs of bf16.
    rounds: bool,
}

/// A matrix of which one side is the rank, as a right operand.
pub(super) enum Factor<'a> {
    /// As it is, and what it is multiplied by.
    Whole(&'a [f32], f32),
    /// Rounded, and what was lost by that, rounded.
    Two([Vec<bf16>; 2]),
}

impl Way {
    /// For an update of rank `r` to a matrix that is in bf16 or not, on so many rows; `isa` is what multiplies by the
    /// matrix.
    pub(super) fn new(isa: &'static Isa, bf16: bool, rows: usize, r: usize) -> Self {
        Self { isa, rounds: bf16 && isa.rounds_updates(rows, r) }
    }

    /// A matrix times a number.
    pub(super) fn factor(self, data: &[f32], scale: f32) -> Factor<'_> {
        if !self.rounds {
            return Factor::Whole(data, scale);
        }
        let scaled: Vec<f32> = data.iter().map(|x| x * scale).collect();
        let rounded = narrow(&scaled);
        let mut lost = scaled;
        subtract(&mut lost, &rounded);
        Factor::Two([rounded, narrow(&lost)])
    }

    /// What has come to the rank, `(n, r)`, as a left operand.
    pub(super) fn low(self, data: &[f32], r: usize) -> Left<'_> {
        let source = Source::rows(Elements::F32(data), data.len() / r, r, r);
        if self.rounds { Left::rounded(self.isa, source) } else { Left::new(self.isa, source) }
    }

    /// Activations after dropout times a factor, of which `source` makes an operand: what comes to the rank, `(n, r)`.
    pub(super) fn to_rank(
        self,
        x: &Activations,
        dropout: Dropout,
        factor: &Factor,
        source: impl for<'e> Fn(Elements<'e>) -> Source<'e>,
    ) -> Vec<f32> {
        let dropped = x.source.dropped(dropout);
        match factor {
            Factor::Whole(data, scale) => {
                let isa = Isa::without_panels();
                let left = &Left::in_place(isa, dropped);
                let right = source(Elements::F32(data)).scaled(*scale);
                sum(isa, (dropped.lanes, right.lanes), &[Term { left, right }], None)
            }
            Factor::Two([part, _]) => {
                let masked = (!dropout.is_off()).then(|| Left::rounded(self.isa, dropped));
                let terms = factor.terms(masked.as_ref().unwrap_or(x.against(Elements::Bf16(part))), source);
                sum(self.isa, (dropped.lanes, terms[0].right.lanes), &terms, None)
            }
        }
    }

    /// The gradient of a factor: what has come to the rank, `(n, r)`, times `scale`, against what is wide, `(n, cols)`.
    /// It is `(r, cols)` where it is asked for `by_rank`, else `(cols, r)`.
    pub(super) fn gradient(
        self,
        (low, r): (&[f32], usize),
        scale: f32,
        wide: Source,
        by_rank: bool,
    ) -> Vec<f32> {
        let (n, cols) = (wide.steps, wide.lanes);
        if self.rounds {
            let (left, low) = (Left::rounded(self.isa, wide), self.factor(low, scale));
            let product =
                sum(self.isa, (cols, r), &low.terms(&left, |low| Source::columns(low, n, r, r)), None);
            return if by_rank { transposed(&product, cols, r) } else { product };
        }
        let isa = Isa::best(false, r);
        let left = &Left::new(isa, Source::columns(Elements::F32(low), n, r, r).scaled(scale));
        let product = sum(isa, (r, cols), &[Term { left, right: wide }], None);
        if by_rank { product } else { transposed(&product, r, cols) }
    }
}

impl Factor<'_> {
    /// The products of `left` with it.
    pub(super) fn terms<'a>(
        &'a self,
        left: &'a Left<'a>,
        source: impl for<'e> Fn(Elements<'e>) -> Source<'e>,
    ) -> Vec<Term<'a>> {
        match self {
            Self::Whole(data, scale) => {
                vec![Term { left, right: source(Elements::F32(data)).scaled(*scale) }]
            }
            Self::Two(parts) => {
                parts.iter().map(|part| Term { left, right: source(Elements::Bf16(part)) }).collect()
            }
        }
    }
}

vectorized! {
    fn subtract(from: &mut [f32], rounded: &[bf16]) {
        for (from, rounded) in from.iter_mut().zip(rounded) {
            *from -= f32::from_bits(u32::from(rounded.to_bits()) << 16);
        }
    }
}

/// A `(rows, cols)` matrix turned.
fn transposed(data: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * cols];
    out.par_chunks_mut(rows.max(1)).with_min_len(MIN_COLUMNS).enumerate().for_each(|(column, out)| {
        for (out, x) in out.iter_mut().zip(data[column..].iter().step_by(cols)) {
            *out = *x;
        }
    });
    out
}
