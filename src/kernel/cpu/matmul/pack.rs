//! Operands rearranged for the tiles: strips in which the elements of one step lie together.
//!
//! A strip holds `width` lanes, the rows of a left tile or the columns of a right one, for some
//! steps of the sum; lanes that do not exist are zero. What else has to be done to an operand is
//! done on the way: bf16 is widened, f32 is rounded to pairs of bf16, dropout is applied.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "vector instructions work on pointers"))]

use super::Isa;
use crate::Dropout;
use crate::cpu::simd::vectorized;
use half::bf16;
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The elements of an operand, as they are stored.
#[derive(Clone, Copy)]
pub(in crate::cpu) enum Elements<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// An operand as the packer sees it: lanes and steps instead of rows and columns.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Source<'a> {
    pub elements: Elements<'a>,
    pub lanes: usize,
    pub steps: usize,
    /// Elements from one lane to the next, and from one step to the next; one of them is 1.
    pub lane_stride: usize,
    pub step_stride: usize,
    /// What every element is multiplied by; f32 only.
    pub scale: f32,
    /// Applied to element `i` of `elements` as [`Dropout::factor`] of `i`; f32 only.
    pub dropout: Dropout,
}

impl<'a> Source<'a> {
    /// A row-major matrix whose rows are the lanes.
    pub(in crate::cpu) fn rows(elements: Elements<'a>, rows: usize, cols: usize, stride: usize) -> Self {
        let source = Self {
            elements,
            lanes: rows,
            steps: cols,
            lane_stride: stride,
            step_stride: 1,
            scale: 1.0,
            dropout: Dropout::OFF,
        };
        source.check()
    }

    /// A row-major matrix whose columns are the lanes.
    pub(in crate::cpu) fn columns(elements: Elements<'a>, rows: usize, cols: usize, stride: usize) -> Self {
        let source = Self {
            elements,
            lanes: cols,
            steps: rows,
            lane_stride: 1,
            step_stride: stride,
            scale: 1.0,
            dropout: Dropout::OFF,
        };
        source.check()
    }

    pub(in crate::cpu) fn scaled(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    pub(in crate::cpu) fn dropped(self, dropout: Dropout) -> Self {
        Self { dropout, ..self }
    }

    /// Fails when strides and shape reach beyond the elements.
    fn check(self) -> Self {
        let length = match self.elements {
            Elements::F32(data) => data.len(),
            Elements::Bf16(data) => data.len(),
        };
        let last = |n: usize, stride: usize| n.saturating_sub(1) * stride;
        let reach = last(self.lanes, self.lane_stride) + last(self.steps, self.step_stride) + 1;
        assert!(self.lanes == 0 || self.steps == 0 || reach <= length, "operand of a product");
        self
    }

    /// Elements that are f32 and to which nothing has to be done.
    #[inline]
    pub(super) fn plain(self) -> Option<&'a [f32]> {
        let Elements::F32(data) = self.elements else { return None };
        (self.scale == 1.0 && self.dropout.is_off()).then_some(data)
    }

    /// Where some lanes from a step on can be read as they are, and the distance of their steps; none where something
    /// has to be done to them, or some do not exist.
    pub(super) fn in_place(self, lanes: Range<usize>, step: usize) -> Option<(&'a [f32], usize)> {
        let there = self.lane_stride == 1 && lanes.end <= self.lanes && step < self.steps;
        let data = self.plain().filter(|_| there)?;
        Some((&data[lanes.start + step * self.step_stride..], self.step_stride))
    }

    /// The element of a lane at a step.
    #[inline]
    fn at(self, lane: usize, step: usize) -> f32 {
        let index = lane * self.lane_stride + step * self.step_stride;
        match self.elements {
            Elements::F32(data) => data[index] * self.scale * self.dropout.factor(index as u32),
            Elements::Bf16(data) => data[index].to_f32(),
        }
    }
}

/// Rounds to the nearest bf16, ties to even; NaN stays NaN.
pub(in crate::cpu) fn narrow(data: &[f32]) -> Vec<bf16> {
    super::filled(data.len(), |out| {
        out.par_chunks_mut(BLOCK).zip(data.par_chunks(BLOCK)).for_each(|(out, data)| narrow_block(out, data));
    })
}

/// Elements that one task rounds.
const BLOCK: usize = 64 * 1024;

vectorized! {
    fn narrow_block(out: &mut [MaybeUninit<bf16>], data: &[f32]) {
        for (out, x) in out.iter_mut().zip(data) {
            let bits = x.to_bits();
            let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
            let quiet = (bits >> 16) | 0x40;
            out.write(bf16::from_bits(if x.is_nan() { quiet } else { rounded } as u16));
        }
    }
}

/// How the elements of a packed operand are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In f32, a unit a step.
    Single,
    /// In bf16, two neighbouring steps a unit.
    Pairs,
    /// As the sum of three bf16, each in a plane of its own, panel by panel; a unit has two steps of the panel that are
    /// 16 apart. See [`super::split`].
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Split,
}

impl Form {
    /// Units of some steps.
    pub(super) fn units(self, steps: usize) -> usize {
        if self == Self::Single { steps } else { steps.div_ceil(2) }
    }

    /// Steps of a unit.
    pub(super) fn steps_of_unit(self) -> usize {
        if self == Self::Single { 1 } else { 2 }
    }

    /// Elements that a unit takes in each lane.
    pub(super) fn planes(self) -> usize {
        match self {
            Self::Single | Self::Pairs => 1,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Split => super::split::PLANES,
        }
    }
}

/// Packs one strip of singles or pairs: lanes from `first` on, `width` of them, at the given steps.
///
/// `out` has `width` elements for each of the units of the steps; all of them are written. The first of
/// the steps is even when they are pairs.
pub(super) fn strip(
    isa: &Isa,
    out: &mut [MaybeUninit<u32>],
    width: usize,
    source: Source,
    first: usize,
    steps: Range<usize>,
    pairs: bool,
) {
    let valid = width.min(source.lanes - first);
    let form = if pairs { Form::Pairs } else { Form::Single };
    assert_eq!(out.len(), width * form.units(steps.len()), "room for a strip");
    assert!(steps.end <= source.steps && (!pairs || matches!(source.elements, Elements::Bf16(_))));
    #[cfg(target_arch = "x86_64")]
    if isa.vectors_of_16() && source.step_stride == 1 && width <= 32 {
        // SAFETY: this instruction set has them.
        unsafe {
            x86::turned(out, width, source, first..first + valid, steps, pairs);
        }
        return;
    }
    let _ = isa;
    if pairs {
        pairs_strip(out, width, source, first..first + valid, steps);
    } else if source.lane_stride == 1 {
        straight_strip(out, width, source, first..first + valid, steps);
    } else {
        turned_strip(out, width, source, first..first + valid, steps);
    }
}

vectorized! {
    /// Lanes that lie together stay together.
    fn straight_strip(out: &mut [MaybeUninit<u32>], width: usize, source: Source, lanes: Range<usize>, steps: Range<usize>) {
        let plain = source.scale == 1.0 && source.dropout.is_off();
        for (row, step) in out.chunks_exact_mut(width).zip(steps) {
            let at = lanes.start + step * source.step_stride;
            let (row, padding) = row.split_at_mut(lanes.len());
            match source.elements {
                Elements::F32(data) if plain => {
                    for (out, x) in row.iter_mut().zip(&data[at..at + lanes.len()]) {
                        out.write(x.to_bits());
                    }
                }
                Elements::F32(data) => {
                    for (i, (out, x)) in row.iter_mut().zip(&data[at..at + lanes.len()]).enumerate() {
                        let factor = source.dropout.factor((at + i) as u32);
                        out.write((x * source.scale * factor).to_bits());
                    }
                }
                Elements::Bf16(data) => {
                    for (out, x) in row.iter_mut().zip(&data[at..at + lanes.len()]) {
                        out.write(u32::from(x.to_bits()) << 16);
                    }
                }
            }
            padding.fill(MaybeUninit::new(0));
        }
    }
}

vectorized! {
    /// Lanes are read one after another and laid side by side.
    fn turned_strip(out: &mut [MaybeUninit<u32>], width: usize, source: Source, lanes: Range<usize>, steps: Range<usize>) {
        for (row, step) in out.chunks_exact_mut(width).zip(steps) {
            for (i, out) in row.iter_mut().enumerate() {
                let lane = lanes.start + i;
                out.write(if lane < lanes.end { source.at(lane, step).to_bits() } else { 0 });
            }
        }
    }
}

vectorized! {
    /// Two neighbouring steps of a lane make one element, the earlier one in the low half.
    fn pairs_strip(out: &mut [MaybeUninit<u32>], width: usize, source: Source, lanes: Range<usize>, steps: Range<usize>) {
        let Elements::Bf16(data) = source.elements else { return };
        let pair = |low: bf16, high: bf16| u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16;
        for (row, step) in out.chunks_exact_mut(width).zip(steps.clone().step_by(2)) {
            let odd = step + 1 >= steps.end;
            if source.lane_stride == 1 && !odd {
                let at = lanes.start + step * source.step_stride;
                let (row, padding) = row.split_at_mut(lanes.len());
                let low = &data[at..at + lanes.len()];
                let high = &data[at + source.step_stride..at + source.step_stride + lanes.len()];
                for (out, (&low, &high)) in row.iter_mut().zip(low.iter().zip(high)) {
                    out.write(pair(low, high));
                }
                padding.fill(MaybeUninit::new(0));
                continue;
            }
            for (i, out) in row.iter_mut().enumerate() {
                let lane = lanes.start + i;
                let at = lane * source.lane_stride + step * source.step_stride;
                let low = if lane < lanes.end { data[at] } else { bf16::ZERO };
                let high = if lane < lanes.end && !odd { data[at + source.step_stride] } else { bf16::ZERO };
                out.write(pair(low, high));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Elements, Source};
    use std::arch::x86_64::{
        __m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_maskz_loadu_epi16, _mm512_castps_si512,
        _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_loadu_ps, _mm512_mask_storeu_epi32,
        _mm512_maskz_loadu_epi16, _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_si512,
        _mm512_shuffle_i32x4, _mm512_slli_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
        _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    };
    use std::mem::MaybeUninit;
    use std::ops::Range;

    const AHEAD: usize = 128;

    /// Packs lanes whose steps lie together, 16 lanes and 16 elements at a time.
    ///
    /// # Safety
    /// The processor must have the instructions; `lanes`, `steps` and `out` fit `source` as in [`super::strip`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(super) unsafe fn turned(
        out: &mut [MaybeUninit<u32>],
        width: usize,
        source: Source,
        lanes: Range<usize>,
        steps: Range<usize>,
        pairs: bool,
    ) {
        let units = if pairs { steps.len().div_ceil(2) } else { steps.len() };
        for from in (0..units).step_by(16) {
            for group in (0..width).step_by(16) {
                let mut block = [_mm512_setzero_si512(); 16];
                for (i, row) in block.iter_mut().enumerate() {
                    let lane = lanes.start + group + i;
                    if lane < lanes.end && group + i < width {
                        let first = steps.start + if pairs { 2 * from } else { from };
                        // SAFETY: the lane and the steps are inside the source.
                        *row = unsafe { load(source, lane, first..steps.end, pairs) };
                    }
                }
                transpose(&mut block);
                let columns = (width - group).min(16);
                let mask = (0xFFFF_u32 >> (16 - columns)) as u16;
                for (i, column) in block.iter().enumerate().take(units - from) {
                    let at = (from + i) * width + group;
                    // SAFETY: `out` has `width` elements for each unit, and the mask ends with them.
                    unsafe { _mm512_mask_storeu_epi32(out.as_mut_ptr().add(at).cast(), mask, *column) };
                }
            }
        }
    }

    /// 16 elements of a lane from the first of the steps on; those beyond the last are zero.
    ///
    /// # Safety
    /// As for [`turned`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn load(source: Source, lane: usize, steps: Range<usize>, pairs: bool) -> __m512i {
        let at = lane * source.lane_stride + steps.start;
        match source.elements {
            Elements::Bf16(data) if pairs => {
                _mm_prefetch::<_MM_HINT_T0>(data.as_ptr().wrapping_add(at + 2 * AHEAD).cast());
                let mask = u32::MAX >> (32 - steps.len().min(32));
                // SAFETY: the mask ends with the steps.
                unsafe { _mm512_maskz_loadu_epi16(mask, data.as_ptr().add(at).cast()) }
            }
            // SAFETY: handed on from the caller.
            _ => _mm512_castps_si512(unsafe { singles(source, at, steps.len()) }),
        }
    }

    /// Up to 16 elements that lie together, from number `at` on, as f32; the rest is zero.
    ///
    /// # Safety
    /// The processor must have the instructions, and the source as many elements from there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(in super::super) unsafe fn singles(source: Source, at: usize, count: usize) -> __m512 {
        let mask = (0xFFFF_u32 >> (16 - count.min(16))) as u16;
        match source.elements {
            Elements::F32(data) => {
                _mm_prefetch::<_MM_HINT_T0>(data.as_ptr().wrapping_add(at + AHEAD).cast());
                // SAFETY: the mask ends with the elements.
                let mut values = unsafe { _mm512_maskz_loadu_ps(mask, data.as_ptr().add(at)) };
                if source.scale != 1.0 {
                    values = _mm512_mul_ps(values, _mm512_set1_ps(source.scale));
                }
                if !source.dropout.is_off() {
                    let mut factors = [0f32; 16];
                    for (i, factor) in factors.iter_mut().enumerate() {
                        *factor = source.dropout.factor((at + i) as u32);
                    }
                    // SAFETY: 16 elements.
                    values = _mm512_mul_ps(values, unsafe { _mm512_loadu_ps(factors.as_ptr()) });
                }
                values
            }
            Elements::Bf16(data) => {
                _mm_prefetch::<_MM_HINT_T0>(data.as_ptr().wrapping_add(at + 2 * AHEAD).cast());
                // SAFETY: the mask ends with the elements.
                let halves = unsafe { _mm256_maskz_loadu_epi16(mask, data.as_ptr().add(at).cast()) };
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
            }
        }
    }

    /// Rows become columns, in place: copies of so many registers go through memory.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn transpose(rows: &mut [__m512i; 16]) {
        // Pairs of rows, then pairs of pairs, inside each quarter of 128 bits.
        let (pairs, _) = rows.as_chunks_mut::<2>();
        for [a, b] in pairs {
            (*a, *b) = (_mm512_unpacklo_epi32(*a, *b), _mm512_unpackhi_epi32(*a, *b));
        }
        let (fours, _) = rows.as_chunks_mut::<4>();
        for [a, b, c, d] in fours {
            let (low, high) = (_mm512_unpacklo_epi64(*a, *c), _mm512_unpackhi_epi64(*a, *c));
            (*c, *d) = (_mm512_unpacklo_epi64(*b, *d), _mm512_unpackhi_epi64(*b, *d));
            (*a, *b) = (low, high);
        }
        // Now `rows[4 g + c]` has column `4 q + c` of rows `4 g..4 g + 4` in its quarter `q`.
        for c in 0..4 {
            let [above, below] = [(c, 4 + c), (8 + c, 12 + c)].map(|(a, b)| {
                [
                    _mm512_shuffle_i32x4::<0b10_00_10_00>(rows[a], rows[b]),
                    _mm512_shuffle_i32x4::<0b11_01_11_01>(rows[a], rows[b]),
                ]
            });
            rows[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(above[0], below[0]);
            rows[8 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(above[0], below[0]);
            rows[4 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(above[1], below[1]);
            rows[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(above[1], below[1]);
        }
    }
}
