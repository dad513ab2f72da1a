//! f32 told as the sum of three bf16, for processors whose tiles multiply bf16 alone.
//!
//! Eight bits of the significand each, 24 together: the three are the number itself, rounded nowhere. Of the nine
//! products of two such numbers the three smallest, each at most 2^-25 of the whole, are left out, and each of
//! the other six is exact in f32 (Henry, Tang and Heinecke 2019, "Leveraging the bfloat16 Artificial Intelligence
//! Datatype for Higher-Precision Computations"). So a sum is as good as one of products in f32, which a test
//! holds against double precision. Not so at the edges of the range: an infinity becomes NaN, as does what rounds
//! to one in bf16 (from 3.39e38 on); and since what is denormal counts as zero, numbers and products below 1e-31
//! lose their small parts.
//!
//! Here operands are packed in that form; the products are the tile's, see [`super::amx`].

#![expect(unsafe_code, reason = "vector instructions work on pointers")]

use super::amx::{LANES, PANEL, ROWS};
use super::pack::{Source, x86};
use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_castsi512_ps, _mm512_castsi512_si256, _mm512_cvtepu16_epi32,
    _mm512_cvtne2ps_pbh, _mm512_extracti64x4_epi64, _mm512_permutexvar_epi16, _mm512_set_epi16,
    _mm512_setzero_si512, _mm512_slli_epi32, _mm512_storeu_si512, _mm512_sub_ps,
};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The large part, the middle one and the small one.
pub(super) const PLANES: usize = 3;
/// Steps of a panel.
const STEPS: usize = 2 * PANEL;

/// Packs up to [`ROWS`] lanes from `first` on as rows, panel by panel; what does not exist is zero.
///
/// # Safety
/// The processor has AMX, and so AVX-512 with bf16; `out` has whole panels for all steps.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn rows(out: &mut [MaybeUninit<u32>], source: Source, first: usize) {
    let mut planes = [[_mm512_setzero_si512(); LANES]; PLANES];
    for (panel, out) in out.chunks_exact_mut(PLANES * ROWS * PANEL).enumerate() {
        let steps = panel * STEPS..((panel + 1) * STEPS).min(source.steps);
        for half in [0, LANES] {
            // SAFETY: handed on from the caller.
            unsafe { block(&mut planes, source, first + half..source.lanes, steps.clone(), true) };
            for (out, plane) in out.chunks_exact_mut(ROWS * PANEL).zip(&planes) {
                for (out, row) in out[half * PANEL..].chunks_exact_mut(PANEL).zip(plane) {
                    // SAFETY: 16 units of room.
                    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), *row) };
                }
            }
        }
    }
}

/// Packs `width` lanes from `first` on as columns, panel by panel; what does not exist is zero.
///
/// # Safety
/// As for [`rows`]; the width is one or two times [`LANES`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn columns(
    out: &mut [MaybeUninit<u32>],
    width: usize,
    source: Source,
    first: usize,
    steps: Range<usize>,
) {
    let mut planes = [[_mm512_setzero_si512(); LANES]; PLANES];
    for (panel, out) in out.chunks_exact_mut(PLANES * PANEL * width).enumerate() {
        let from = steps.start + panel * STEPS;
        let steps = from..(from + STEPS).min(steps.end);
        for group in (0..width).step_by(LANES) {
            // SAFETY: handed on from the caller.
            unsafe { block(&mut planes, source, first + group..source.lanes, steps.clone(), false) };
            for (out, plane) in out.chunks_exact_mut(PANEL * width).zip(&planes) {
                for (out, unit) in out.chunks_exact_mut(width).zip(plane) {
                    // SAFETY: 16 lanes of room.
                    unsafe { _mm512_storeu_si512(out[group..].as_mut_ptr().cast(), *unit) };
                }
            }
        }
    }
}

/// The parts of the first 16 of the lanes at up to 32 steps: for each part the 16 lanes with their units, or the 16
/// units with their lanes.
///
/// # Safety
/// As for [`rows`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn block(
    planes: &mut [[__m512i; LANES]; PLANES],
    source: Source,
    lanes: Range<usize>,
    steps: Range<usize>,
    by_lane: bool,
) {
    let together = source.step_stride == 1;
    let there = match () {
        () if lanes.is_empty() => 0,
        () if together => lanes.len(),
        () => steps.len().div_ceil(2),
    };
    for i in 0..LANES {
        // SAFETY: lanes and steps that exist are inside the source.
        let parts = unsafe {
            if i >= there {
                [_mm512_setzero_si512(); PLANES]
            } else if together {
                let at = (lanes.start + i) * source.lane_stride + steps.start;
                let second = steps.len().saturating_sub(LANES);
                let next = if second == 0 { at } else { at + LANES };
                parts(x86::singles(source, at, steps.len()), x86::singles(source, next, second))
            } else {
                let step = steps.start + 2 * i;
                let at = lanes.start + step * source.step_stride;
                let second = if step + 1 < steps.end { lanes.len() } else { 0 };
                let next = if second == 0 { at } else { at + source.step_stride };
                interleaved(parts(x86::singles(source, at, lanes.len()), x86::singles(source, next, second)))
            }
        };
        for (plane, part) in planes.iter_mut().zip(parts) {
            plane[i] = part;
        }
    }
    if together != by_lane {
        for plane in planes {
            *plane = x86::transpose(plane);
        }
    }
}

/// Two vectors as three of bf16, each with the elements of the first in its lower half.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn parts(low: __m512, high: __m512) -> [__m512i; PLANES] {
    let (large, low, high) = part(low, high);
    let (middle, low, high) = part(low, high);
    [large, middle, narrow(low, high)]
}

/// Two vectors rounded to bf16, and what is left of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn part(low: __m512, high: __m512) -> (__m512i, __m512, __m512) {
    let rounded = narrow(low, high);
    let widened = |half| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)));
    let left_low = _mm512_sub_ps(low, widened(_mm512_castsi512_si256(rounded)));
    let left_high = _mm512_sub_ps(high, widened(_mm512_extracti64x4_epi64::<1>(rounded)));
    (rounded, left_low, left_high)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn narrow(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both are 512 bits of plain data.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// The elements of the lower halves and of the upper ones in turns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn interleaved(parts: [__m512i; PLANES]) -> [__m512i; PLANES] {
    let turns = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18,
        2, 17, 1, 16, 0,
    );
    parts.map(|part| _mm512_permutexvar_epi16(turns, part))
}
