//! Products of activations with a matrix of few columns: the way down to a low rank.
//!
//! Every element of the left operand meets few others, so it is read where it is: packing it would cost more
//! than the product. What dropout changes is copied, a block that fits the first cache at a time.

use super::pack::{Elements, Form, Source, strip};
use super::tile::{Segment, Target};
use super::{Isa, filled};
use crate::Dropout;
use crate::cpu::simd::vectorized;
use rayon::prelude::*;

/// Steps that are copied at a time, when they are: a tile of them fits the first cache.
const DEPTH: usize = 256;
/// Strips of rows that one task takes.
const STRIPS: usize = 2;

/// `left right`, `(m, n)`: `left` has its steps, `(m, k)`, next to each other, and `right` has `n` lanes.
///
/// # Panics
/// When the operands do not fit, are not f32, or `isa` has no tiles for operands that are not packed.
pub(in crate::cpu) fn thin(isa: &Isa, left: Source, right: Source) -> Vec<f32> {
    let (m, n, k) = (left.lanes, right.lanes, left.steps);
    let (Some(tiles), Elements::F32(data)) = (isa.unpacked, left.elements) else {
        unreachable!("the left operand of {} is not packed", isa.name)
    };
    assert!(left.step_stride == 1 && right.steps == k, "shapes of a thin product");
    if n == 0 || k == 0 {
        return vec![0.0; m * n];
    }
    let vectors = if n <= isa.lanes { 1 } else { 2 };
    let width = vectors * isa.lanes;
    let packed: Vec<u32> = filled(n.div_ceil(width) * width * k, |out| {
        for (index, out) in out.chunks_exact_mut(width * k).enumerate() {
            strip(isa, out, width, right, index * width, 0..k, false);
        }
    });
    let plain = left.scale == 1.0 && left.dropout.is_off();
    let rows_of = |first: usize, out: &mut [std::mem::MaybeUninit<f32>], copy: &mut [f32]| {
        let rows = out.len() / n;
        for from in (0..k).step_by(DEPTH) {
            let steps = DEPTH.min(k - from);
            let at = |row: usize| (first + row) * left.lane_stride + from;
            let (a, a_stride) = if plain && rows == isa.rows {
                (data[at(0)..].as_ptr(), left.lane_stride)
            } else {
                for (row, copy) in copy.chunks_exact_mut(DEPTH).take(rows).enumerate() {
                    let at = at(row);
                    masked(&mut copy[..steps], &data[at..at + steps], left.scale, left.dropout, at as u32);
                }
                (copy.as_ptr(), DEPTH)
            };
            for (index, b) in packed.chunks_exact(width * k).enumerate() {
                let b = b[from * width..].as_ptr();
                let segment =
                    Segment { a: a.cast(), a_stride, b, b_stride: width, steps, form: Form::Single };
                let c = out[index * width..].as_mut_ptr().cast::<f32>();
                let base = if from == 0 { std::ptr::null() } else { c.cast_const() };
                let cols = width.min(n - index * width);
                #[expect(unsafe_code, reason = "a tile works on pointers")]
                // SAFETY: the rows read are all in the source, which has checked its shape, or in the copy, which
                // has room for a whole tile; the strip has `width` elements for each step; rows and columns of the
                // target are inside `out`, and have been written before they are read as base; whoever chose `isa`
                // has found its instructions.
                unsafe {
                    tiles[vectors - 1](&[segment], Target { c, stride: n, rows, cols, base, base_stride: n });
                }
            }
        }
    };
    filled(m * n, |out| {
        out.par_chunks_mut(STRIPS * isa.rows * n).enumerate().for_each_init(
            || vec![0.0; isa.rows * DEPTH],
            |copy, (task, out)| {
                for (index, out) in out.chunks_mut(isa.rows * n).enumerate() {
                    rows_of((task * STRIPS + index) * isa.rows, out, copy);
                }
            },
        );
    })
}

vectorized! {
    /// Some elements of a matrix, from number `first` on, scaled and after dropout.
    fn masked(out: &mut [f32], data: &[f32], scale: f32, dropout: Dropout, first: u32) {
        for (i, (out, x)) in out.iter_mut().zip(data).enumerate() {
            *out = x * scale * dropout.factor(first.wrapping_add(i as u32));
        }
    }
}
