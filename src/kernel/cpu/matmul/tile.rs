//! The innermost loop: one tile of a product, held in registers from its first term to its last.
//!
//! Operands come packed in strips (see [`super::pack`]): for each step, the elements of all rows of
//! the tile, or of all its columns. An element is 32 bits: an f32, or two bf16 of two
//! steps, which one instruction multiplies and adds up in f32. Operands of f32 may also be read
//! where they are. An element of a tile is always summed in the order of the steps, whatever the rest
//! of the product looks like; so results depend neither on how the work is cut nor on the number of
//! threads.

#![expect(unsafe_code, reason = "vector instructions work on pointers")]

use super::pack::Form;

/// A run of steps of a product.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    /// `steps` times the elements of one column of the left tile; or, where the left operand is not packed,
    /// its element in the first row and step.
    pub a: *const u32,
    /// Elements from one row to the next of a left operand that is not packed; its steps lie together.
    pub a_stride: usize,
    /// `steps` times the elements of one row of the right tile.
    pub b: *const u32,
    /// Elements from one step to the next of the right operand: the width of the tile, unless it is not packed.
    pub b_stride: usize,
    /// Steps, or units where they are not single.
    pub steps: usize,
    pub form: Form,
}

/// Where a tile goes.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub c: *mut f32,
    /// Elements from one row to the next.
    pub stride: usize,
    /// Rows and columns of the tile that exist; the strips are padded to the full tile.
    pub rows: usize,
    pub cols: usize,
    /// What the sums are added to, with the distance of its rows; null for nothing.
    pub base: *const f32,
    pub base_stride: usize,
}

/// Computes one tile.
///
/// # Safety
/// The segments hold the steps they claim, each with the rows and columns of the function's tile; `c` may
/// be written, and `base` read unless it is null, at the rows and columns of the target; and the processor
/// has the function's instructions.
pub(super) type Tile = unsafe fn(&[Segment], Target);

/// Adds the finished sums of a tile, `cols_per_row` a row, to where they go.
///
/// # Safety
/// As for [`Tile`].
pub(super) unsafe fn write_edge(sums: &[f32], cols_per_row: usize, target: Target) {
    for (i, row) in sums.chunks_exact(cols_per_row).take(target.rows).enumerate() {
        let row = &row[..target.cols];
        // SAFETY: rows and columns are inside the target. The base may be the target itself, so it is read through
        // pointers, each element before it is written.
        unsafe {
            let c = target.c.add(i * target.stride);
            if target.base.is_null() {
                c.copy_from_nonoverlapping(row.as_ptr(), row.len());
                continue;
            }
            let base = target.base.add(i * target.base_stride);
            for (j, &sum) in row.iter().enumerate() {
                c.add(j).write(*base.add(j) + sum);
            }
        }
    }
}

/// Rows of the tiles below.
pub(super) const PLAIN_ROWS: usize = 4;
/// Lanes of one vector of the tiles below.
pub(super) const PLAIN_LANES: usize = 8;

/// For any processor: the compiler makes of it what the target's baseline has.
///
/// # Safety
/// See [`Tile`].
pub(super) unsafe fn plain<const VECTORS: usize, const PACKED: bool>(segments: &[Segment], target: Target) {
    let mut sums = [[[0f32; PLAIN_LANES]; VECTORS]; PLAIN_ROWS];
    for segment in segments {
        debug_assert!(segment.form == Form::Single, "this tile has no dot product of pairs");
        let (per_step, per_row) = if PACKED { (PLAIN_ROWS, 1) } else { (1, segment.a_stride) };
        for step in 0..segment.steps {
            // SAFETY: the right operand has the columns of this tile at each of the steps.
            let b = unsafe {
                let b = segment.b.cast::<f32>().add(step * segment.b_stride);
                std::slice::from_raw_parts(b, PLAIN_LANES * VECTORS)
            };
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the left operand has `steps` elements in each row of this tile.
                let a = unsafe { *segment.a.cast::<f32>().add(step * per_step + i * per_row) };
                for (sums, b) in sums.iter_mut().zip(b.chunks_exact(PLAIN_LANES)) {
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum += a * b;
                    }
                }
            }
        }
    }
    // SAFETY: handed on from the caller.
    unsafe { write_edge(sums.as_flattened().as_flattened(), PLAIN_LANES * VECTORS, target) };
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{AVX2_LANES, AVX2_ROWS, AVX512_LANES, AVX512_ROWS, avx2, avx512, avx512_bf16};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::LINE;
    use super::{Form, Segment, Target, write_edge};
    use std::arch::x86_64::{
        __m256, __m512, __m512bh, _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
        _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm512_add_ps, _mm512_dpbf16_ps,
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    /// 14 rows of 2 vectors are 28 sums, which leaves 4 of 32 registers.
    pub(in super::super) const AVX512_ROWS: usize = 14;
    pub(in super::super) const AVX512_LANES: usize = 16;
    /// 6 rows of 2 vectors are 12 sums, which leaves 4 of 16 registers.
    pub(in super::super) const AVX2_ROWS: usize = 6;
    pub(in super::super) const AVX2_LANES: usize = 8;

    /// Steps that are asked for in advance, of a left operand that is packed and of a right one. Both come from the
    /// second cache or from beyond, and the processor does not foresee the next strip, nor a step that is far from
    /// the last: measured, a twentieth to a tenth of a product.
    const LEFT_AHEAD: usize = 48;
    const RIGHT_AHEAD: usize = 16;

    /// Asks for what is used soon; any address will do.
    #[inline]
    #[target_feature(enable = "sse")]
    fn prefetch(at: *const f32) {
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn fused256(sum: __m256, left: __m256, right: __m256) -> __m256 {
        _mm256_fmadd_ps(left, right, sum)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn fused512(sum: __m512, left: __m512, right: __m512) -> __m512 {
        _mm512_fmadd_ps(left, right, sum)
    }

    /// The same for pairs of bf16: `sum + left.0 right.0 + left.1 right.1` in each lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn dot512(sum: __m512, left: __m512, right: __m512) -> __m512 {
        // SAFETY: both are 512 bits of plain data.
        let [left, right] = unsafe { std::mem::transmute::<[__m512; 2], [__m512bh; 2]>([left, right]) };
        _mm512_dpbf16_ps(sum, left, right)
    }

    /// A tile of `$rows` rows and one or two vectors of columns.
    macro_rules! tile {
        (
            $(#[$meta:meta])* $name:ident, $features:literal, $rows:ident, $lanes:ident,
            $zero:ident, $load:ident, $store:ident, $broadcast:ident, $add:ident, $single:ident, $pair:ident
        ) => {
            $(#[$meta])*
            ///
            /// # Safety
            /// See [`super::Tile`].
            #[target_feature(enable = $features)]
            pub(in super::super) unsafe fn $name<const VECTORS: usize, const PACKED: bool>(
                segments: &[Segment],
                target: Target,
            ) {
                let mut sums = [[$zero(); VECTORS]; $rows];
                for i in 0..target.rows {
                    for line in (0..VECTORS * $lanes).step_by(LINE) {
                        prefetch(target.c.wrapping_add(i * target.stride + line));
                    }
                }
                macro_rules! steps {
                    ($segment:ident, $multiply:ident) => {{
                        let (mut a, mut b) = ($segment.a.cast::<f32>(), $segment.b.cast::<f32>());
                        let (per_step, per_row) = if PACKED { ($rows, 1) } else { (1, $segment.a_stride) };
                        for _ in 0..$segment.steps {
                            let mut right = [$zero(); VECTORS];
                            for v in 0..VECTORS {
                                // SAFETY: the right operand has `VECTORS` vectors at each step.
                                right[v] = unsafe { $load(b.add(v * $lanes)) };
                            }
                            for i in 0..$rows {
                                // SAFETY: the left operand has `$rows` elements for each step.
                                let left = $broadcast(unsafe { *a.add(i * per_row) });
                                for v in 0..VECTORS {
                                    sums[i][v] = $multiply(sums[i][v], left, right[v]);
                                }
                            }
                            if PACKED {
                                prefetch(a.wrapping_add(LEFT_AHEAD * $rows));
                            }
                            for line in (0..VECTORS * $lanes).step_by(LINE) {
                                prefetch(b.wrapping_add(RIGHT_AHEAD * $segment.b_stride + line));
                            }
                            b = b.wrapping_add($segment.b_stride);
                            a = a.wrapping_add(per_step);
                        }
                    }};
                }
                for segment in segments {
                    if segment.form == Form::Single {
                        steps!(segment, $single);
                    } else {
                        steps!(segment, $pair);
                    }
                }
                if target.rows == $rows && target.cols == VECTORS * $lanes {
                    for i in 0..$rows {
                        for v in 0..VECTORS {
                            // SAFETY: the whole tile is inside the target.
                            unsafe {
                                let mut sum = sums[i][v];
                                if !target.base.is_null() {
                                    sum = $add(sum, $load(target.base.add(i * target.base_stride + v * $lanes)));
                                }
                                $store(target.c.add(i * target.stride + v * $lanes), sum);
                            }
                        }
                    }
                    return;
                }
                let mut edge = [[[0f32; $lanes]; VECTORS]; $rows];
                for i in 0..$rows {
                    for v in 0..VECTORS {
                        // SAFETY: one vector of room.
                        unsafe { $store(edge[i][v].as_mut_ptr(), sums[i][v]) };
                    }
                }
                // SAFETY: handed on from the caller.
                unsafe { write_edge(edge.as_flattened().as_flattened(), VECTORS * $lanes, target) };
            }
        };
    }

    tile! {
        /// For processors with AVX2 and FMA.
        avx2, "avx2,fma", AVX2_ROWS, AVX2_LANES, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps,
        _mm256_set1_ps, _mm256_add_ps, fused256, fused256
    }

    tile! {
        /// For processors with AVX-512.
        avx512, "avx512f", AVX512_ROWS, AVX512_LANES, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps,
        _mm512_set1_ps, _mm512_add_ps, fused512, fused512
    }

    tile! {
        /// For processors whose AVX-512 multiplies pairs of bf16 at full speed.
        avx512_bf16, "avx512f,avx512bf16", AVX512_ROWS, AVX512_LANES, _mm512_setzero_ps, _mm512_loadu_ps,
        _mm512_storeu_ps, _mm512_set1_ps, _mm512_add_ps, fused512, dot512
    }
}
