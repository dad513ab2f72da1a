//! The tile of AMX: products of bf16 on Intel's server processors from Sapphire Rapids on.
//!
//! One instruction multiplies 16 rows by 16 columns over 32 steps. It wants its left operand row by row, so
//! rows are packed in panels: 16 units, that is 32 steps, of one row after the other. The right operand is
//! packed as for every other tile. Terms in f32, the low-rank updates, are added by AVX-512 on the way out.
//!
//! Splitting f32 into three bf16 (Henry, Tang and Heinecke 2019) was tried: six products instead of one gain
//! 5 to 15 % over AVX-512, less than the splitting costs, as long as results go back to memory as slowly as
//! they do on two processors of a cloud machine.
//!
//! Assembly instead of intrinsics, which Rust has only in nightly builds; and Linux only, where the use of
//! the tile registers has to be asked for.

#![expect(unsafe_code, reason = "vector instructions work on pointers")]

use super::pack::{Elements, Source};
use super::tile::{Segment, Target, write_edge};
use crate::cpu::simd::vectorized;
use std::arch::asm;
use std::arch::x86_64::{
    __cpuid_count, __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_storeu_ps, _xgetbv,
};
use std::mem::MaybeUninit;

/// Two tiles of 16 rows each.
pub(super) const ROWS: usize = 32;
/// Columns of one tile.
pub(super) const LANES: usize = 16;
/// Units of a panel: the steps of one instruction, two and two.
pub(super) const PANEL: usize = 16;
/// Rows that AVX-512 works on at a time, two vectors each.
const SINGLE_ROWS: usize = 8;
/// Bytes of a row of a tile.
const ROW_BYTES: usize = 64;

/// Whether the processor has these tiles and the system lets this process use them.
pub(super) fn is_available() -> bool {
    const BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_int = 18;
    if !is_x86_feature_detected!("xsave") || __cpuid_count(7, 0).edx & BF16_AND_TILE != BF16_AND_TILE {
        return false;
    }
    // SAFETY: the processor has the instruction; the call changes nothing but what this process may use.
    unsafe {
        _xgetbv(0) & TILE_STATE == TILE_STATE
            && libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0
    }
}

/// The shapes of the tile registers, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Eight tiles of 16 rows and 64 bytes.
static SHAPES: Shapes = Shapes {
    palette: 1,
    start: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Makes the tile registers of this thread ready.
///
/// # Safety
/// They are available, see [`is_available`].
pub(super) unsafe fn begin() {
    // SAFETY: the shapes are 64 bytes that the instruction accepts.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) };
}

/// Gives the tile registers back, so that the system need not save them.
///
/// # Safety
/// As for [`begin`].
pub(super) unsafe fn end() {
    // SAFETY: the instruction changes nothing else.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

vectorized! {
/// Packs up to [`ROWS`] lanes of pairs from `first` on, panel by panel; what does not exist is zero.
pub(super) fn panels(out: &mut [MaybeUninit<u32>], source: Source, first: usize) {
    let Elements::Bf16(data) = source.elements else { unreachable!("pairs are of bf16") };
    for (panel, out) in out.chunks_exact_mut(ROWS * PANEL).enumerate() {
        let whole = source.step_stride == 1 && 2 * (panel + 1) * PANEL <= source.steps;
        for (row, out) in out.chunks_exact_mut(PANEL).enumerate() {
            let lane = first + row;
            if whole && lane < source.lanes {
                let at = lane * source.lane_stride + 2 * panel * PANEL;
                let (pairs, _) = data[at..at + 2 * PANEL].as_chunks::<2>();
                for (out, [low, high]) in out.iter_mut().zip(pairs) {
                    out.write(u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16);
                }
                continue;
            }
            for (unit, out) in out.iter_mut().enumerate() {
                let element = |step: usize| {
                    let there = lane < source.lanes && step < source.steps;
                    let at = || lane * source.lane_stride + step * source.step_stride;
                    if there { u32::from(data[at()].to_bits()) } else { 0 }
                };
                let step = 2 * (panel * PANEL + unit);
                out.write(element(step) | element(step + 1) << 16);
            }
        }
    }
}
}

/// The sums of one tile on their way from the tile registers to memory.
#[repr(C, align(64))]
struct Sums([f32; ROWS * 2 * LANES]);

/// For processors with AMX. Terms of pairs are summed first, whatever the order of the segments.
///
/// # Safety
/// See [`super::tile::Tile`]; [`begin`] was called on this thread, and the segments of pairs are padded to whole panels.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile<const VECTORS: usize>(segments: &[Segment], target: Target) {
    const { assert!(VECTORS == 1 || VECTORS == 2) };
    let mut sums = MaybeUninit::<Sums>::uninit();
    let sums = sums.as_mut_ptr().cast::<f32>();
    let paired = segments.iter().any(|segment| segment.pairs);
    if paired {
        // SAFETY: handed on from the caller; there is room for the sums.
        unsafe { multiply_pairs::<VECTORS>(segments, sums) };
    }
    let width = VECTORS * LANES;
    for row in (0..target.rows).step_by(SINGLE_ROWS) {
        let mut block = [[_mm512_setzero_ps(); VECTORS]; SINGLE_ROWS];
        if paired {
            for (i, block) in block.iter_mut().enumerate() {
                for (v, block) in block.iter_mut().enumerate() {
                    // SAFETY: all rows and columns of the sums have been stored.
                    *block = unsafe { _mm512_loadu_ps(sums.add((row + i) * width + v * LANES)) };
                }
            }
        }
        for segment in segments.iter().filter(|segment| !segment.pairs) {
            // SAFETY: handed on from the caller.
            unsafe { add_singles(&mut block, segment, row) };
        }
        // SAFETY: these rows are inside the target.
        unsafe {
            let base =
                if target.base.is_null() { target.base } else { target.base.add(row * target.base_stride) };
            let rows = (target.rows - row).min(SINGLE_ROWS);
            store(&block, Target { c: target.c.add(row * target.stride), rows, base, ..target });
        }
    }
}

/// The terms of pairs, summed into `sums`: [`ROWS`] rows of as many columns as the tile has.
///
/// # Safety
/// As for [`tile`].
unsafe fn multiply_pairs<const VECTORS: usize>(segments: &[Segment], sums: *mut f32) {
    let row_bytes = VECTORS * ROW_BYTES;
    // SAFETY: a panel of the left strip is 2 tiles, one of the right strip as many as there are vectors;
    // both strips hold whole panels. Nothing but these lines uses the tile registers.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
        for segment in segments.iter().filter(|segment| segment.pairs) {
            let (mut a, mut b) = (segment.a, segment.b);
            for _ in 0..segment.steps.div_ceil(PANEL) {
                asm!(
                    "tileloadd tmm6, [{b} + {right}*1]",
                    "tileloadd tmm4, [{a} + {left}*1]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{a} + {left}*1 + 1024]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    a = in(reg) a, b = in(reg) b, left = in(reg) ROW_BYTES, right = in(reg) row_bytes,
                    options(nostack, readonly)
                );
                if VECTORS == 2 {
                    asm!(
                        "tileloadd tmm7, [{b} + {right}*1 + 64]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        b = in(reg) b, right = in(reg) row_bytes,
                        options(nostack, readonly)
                    );
                }
                (a, b) = (a.add(ROWS * PANEL), b.add(PANEL * VECTORS * LANES));
            }
        }
        let below = sums.add(16 * VECTORS * LANES);
        asm!(
            "tilestored [{top} + {stride}*1], tmm0",
            "tilestored [{below} + {stride}*1], tmm2",
            top = in(reg) sums, below = in(reg) below, stride = in(reg) row_bytes,
            options(nostack)
        );
        if VECTORS == 2 {
            asm!(
                "tilestored [{top} + {stride}*1 + 64], tmm1",
                "tilestored [{below} + {stride}*1 + 64], tmm3",
                top = in(reg) sums, below = in(reg) below, stride = in(reg) row_bytes,
                options(nostack)
            );
        }
    }
}

/// Adds a term in f32 to the rows from `row` on.
///
/// # Safety
/// As for [`tile`]; there are [`SINGLE_ROWS`] rows from `row` on.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn add_singles<const VECTORS: usize>(
    block: &mut [[__m512; VECTORS]; SINGLE_ROWS],
    segment: &Segment,
    row: usize,
) {
    let mut sums = *block;
    let (a, b) = (segment.a.cast::<f32>(), segment.b.cast::<f32>());
    for step in 0..segment.steps {
        let mut right = [_mm512_setzero_ps(); VECTORS];
        for (v, right) in right.iter_mut().enumerate() {
            // SAFETY: the strip holds `VECTORS` vectors for each step.
            *right = unsafe { _mm512_loadu_ps(b.add((step * VECTORS + v) * LANES)) };
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the strip holds [`ROWS`] elements for each step.
            let left = _mm512_set1_ps(unsafe { *a.add(step * ROWS + row + i) });
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = _mm512_fmadd_ps(left, right, *sum);
            }
        }
    }
    *block = sums;
}

/// Adds a block of finished sums to where they go.
///
/// # Safety
/// The rows and columns of the target may be written, and its base read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store<const VECTORS: usize>(block: &[[__m512; VECTORS]; SINGLE_ROWS], target: Target) {
    let width = VECTORS * LANES;
    if target.rows == SINGLE_ROWS && target.cols == width {
        for (i, row) in block.iter().enumerate() {
            for (v, &sum) in row.iter().enumerate() {
                // SAFETY: the whole block is inside the target.
                unsafe {
                    let sum = if target.base.is_null() {
                        sum
                    } else {
                        let base = target.base.add(i * target.base_stride + v * LANES);
                        _mm512_add_ps(sum, _mm512_loadu_ps(base))
                    };
                    _mm512_storeu_ps(target.c.add(i * target.stride + v * LANES), sum);
                }
            }
        }
        return;
    }
    let mut edge = [[[0f32; LANES]; VECTORS]; SINGLE_ROWS];
    for (row, sums) in edge.iter_mut().zip(block) {
        for (row, &sums) in row.iter_mut().zip(sums) {
            // SAFETY: one vector of room.
            unsafe { _mm512_storeu_ps(row.as_mut_ptr(), sums) };
        }
    }
    // SAFETY: handed on from the caller.
    unsafe { write_edge(edge.as_flattened().as_flattened(), width, target) };
}
