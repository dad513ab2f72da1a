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
//! Here operands are packed in that form, and left ones of products with bf16 rounded to one; the products are the
//! tile's, see [`super::amx`].

#![expect(unsafe_code, reason = "vector instructions work on pointers")]

use super::amx::{LANES, PANEL};
use super::pack::{Source, x86};
use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_add_epi32, _mm512_and_si512,
    _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_set1_epi32,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi32, _mm512_storeu_si512, _mm512_sub_ps,
    _mm512_ternarylogic_epi32,
};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The large part, the middle one and the small one.
pub(super) const PLANES: usize = 3;
/// Steps of a panel.
const STEPS: usize = 2 * PANEL;

/// What an operand's lanes are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Rows of a left operand: the units of a lane lie together.
    Left,
    /// Columns of a right operand: the lanes of a unit lie together.
    Right,
}

/// Packs `width` lanes from `first` on at some steps, panel by panel, split or, as one part, rounded; what does not
/// exist is zero. Only left operands are rounded, in pairs of neighbouring steps.
///
/// # Safety
/// The processor has AMX, and so AVX-512 with bf16.
///
/// # Panics
/// When the steps are not in the source, or `out` does not have whole panels for all of them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn panels<const PARTS: usize>(
    out: &mut [MaybeUninit<u32>],
    width: usize,
    source: Source,
    first: usize,
    steps: Range<usize>,
    side: Side,
) {
    let panel = PARTS * PANEL * width;
    assert!(PARTS == PLANES || side == Side::Left, "columns that are rounded");
    assert!(steps.end <= source.steps && width.is_multiple_of(LANES), "operand of a product");
    assert_eq!(out.len(), steps.len().div_ceil(STEPS) * panel, "room for a strip of panels");
    let next = Next { lanes: width, steps: steps.clone() };
    for (out, from) in out.chunks_exact_mut(panel).zip(steps.clone().step_by(STEPS)) {
        let steps = from..(from + STEPS).min(steps.end);
        for lane in (0..width).step_by(LANES) {
            let (before, each) = if side == Side::Left { (lane * PANEL, PANEL) } else { (lane, width) };
            let to = To { before, each, plane: PANEL * width };
            // SAFETY: handed on from the caller; lanes and steps are inside the source.
            unsafe {
                let lanes = first + lane..source.lanes;
                block::<PARTS>(out, to, source, lanes, steps.clone(), side, next.from(&steps, source));
            }
        }
    }
}

/// What comes after a panel: the next one of the strip, or the first of the next strip. The processor foresees
/// neither.
struct Next {
    /// Lanes of a strip, and its steps.
    lanes: usize,
    steps: Range<usize>,
}

impl Next {
    /// How many elements after those of the panel with these steps.
    fn from(&self, panel: &Range<usize>, source: Source) -> isize {
        if panel.end < self.steps.end {
            (STEPS * source.step_stride) as isize
        } else {
            let back = (panel.start - self.steps.start) * source.step_stride;
            (self.lanes * source.lane_stride) as isize - back as isize
        }
    }
}

/// Where the vectors of a block go: what is before the first, and the distances to the next and to the next part.
#[derive(Clone, Copy)]
struct To {
    before: usize,
    each: usize,
    plane: usize,
}

/// Packs the first 16 of the lanes at up to 32 steps: for each part the 16 lanes with their units, or the 16
/// units with their lanes. `next` is how far behind lies what is read soon.
///
/// A unit of numbers that are split has two steps that are 16 apart, so that nothing has to change places: the order
/// of the steps is nothing to a sum, as long as both operands have the same.
///
/// # Safety
/// As for [`panels`]; steps that exist are inside the source.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn block<const PARTS: usize>(
    out: &mut [MaybeUninit<u32>],
    to: To,
    source: Source,
    lanes: Range<usize>,
    steps: Range<usize>,
    side: Side,
    next: isize,
) {
    assert!(
        to.before + (LANES - 1) * to.each + (PARTS - 1) * to.plane + LANES <= out.len(),
        "room for a block"
    );
    let vectors = Vectors::of(source, &lanes, &steps, next);
    let mut store = |i: usize, low: __m512i, high: __m512i| {
        let parts = parts::<PARTS>(_mm512_castsi512_ps(low), _mm512_castsi512_ps(high));
        for (plane, part) in parts.into_iter().enumerate() {
            // SAFETY: there is room, see above.
            unsafe {
                let to = out.as_mut_ptr().add(to.before + i * to.each + plane * to.plane);
                _mm512_storeu_si512(to.cast(), part);
            }
        }
    };
    if vectors.together == (side == Side::Left) {
        for i in 0..LANES {
            // SAFETY: handed on from the caller.
            unsafe { store(i, vectors.at(i, 0), vectors.at(i, 1)) };
        }
        return;
    }
    let mut halves = [[_mm512_setzero_si512(); LANES]; 2];
    for (h, half) in halves.iter_mut().enumerate() {
        for (i, vector) in half.iter_mut().enumerate() {
            // SAFETY: handed on from the caller.
            *vector = unsafe { vectors.at(i, h) };
        }
        x86::transpose(half);
    }
    let [low, high] = halves;
    for (i, (low, high)) in low.into_iter().zip(high).enumerate() {
        store(i, low, high);
    }
}

/// 16 lanes at up to 32 steps as they are read, twice 16 vectors: where the steps lie next to each other the first and
/// the second half of those of each lane, else the lanes at each step of the first half and of the second.
struct Vectors<'a> {
    source: Source<'a>,
    together: bool,
    /// All that is to be read, where it exists and nothing has to be done to it.
    whole: Option<&'a [f32]>,
    /// The first element, and the distances to the next vector and to the second half.
    first: usize,
    each: usize,
    half: usize,
    /// Vectors that exist of each half, and elements of these.
    there: [(usize, usize); 2],
    next: isize,
}

impl<'a> Vectors<'a> {
    #[inline]
    fn of(source: Source<'a>, lanes: &Range<usize>, steps: &Range<usize>, next: isize) -> Self {
        let together = source.step_stride == 1;
        let there = [0, LANES].map(|before| {
            let steps = steps.len().saturating_sub(before).min(LANES);
            let (vectors, elements) = if together { (lanes.len(), steps) } else { (steps, lanes.len()) };
            (if elements == 0 { 0 } else { vectors }, elements)
        });
        let all = lanes.len() >= LANES && steps.len() == STEPS;
        Self {
            source,
            together,
            whole: source.plain().filter(|_| all),
            first: lanes.start * source.lane_stride + steps.start * source.step_stride,
            each: if together { source.lane_stride } else { source.step_stride },
            half: if together { LANES } else { LANES * source.step_stride },
            there,
            next,
        }
    }

    /// Vector `i` of a half; what does not exist is zero.
    ///
    /// # Safety
    /// As for [`block`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn at(&self, i: usize, half: usize) -> __m512i {
        let at = self.first + i * self.each + half * self.half;
        // SAFETY: what is read exists; any address may be asked for.
        let vector = unsafe {
            if let Some(data) = self.whole {
                let from = data.as_ptr().add(at);
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_offset(self.next).cast());
                _mm512_loadu_ps(from)
            } else {
                match self.there[half] {
                    (vectors, elements) if i < vectors => x86::singles(self.source, at, elements),
                    _ => _mm512_setzero_ps(),
                }
            }
        };
        _mm512_castps_si512(vector)
    }
}

/// Two vectors as some of pairs, the largest part first: three parts pair what is at the same place of both, one
/// is rounded and pairs neighbours.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn parts<const PARTS: usize>(low: __m512, high: __m512) -> [__m512i; PARTS] {
    const { assert!(PARTS == 1 || PARTS == PLANES) };
    let mut parts = [_mm512_setzero_si512(); PARTS];
    if PARTS == 1 {
        // SAFETY: both are 512 bits of plain data.
        parts[0] = unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) };
        return parts;
    }
    let (mut low, mut high) = (low, high);
    for (plane, part) in parts.iter_mut().enumerate() {
        // The last is one of bf16 already; to round it could turn a NaN into a number.
        let last = plane + 1 == PLANES;
        let [first, second] = [low, high].map(|x| if last { _mm512_castps_si512(x) } else { rounded(x) });
        *part = paired(first, second);
        if !last {
            low = _mm512_sub_ps(low, _mm512_castsi512_ps(first));
            high = _mm512_sub_ps(high, _mm512_castsi512_ps(second));
        }
    }
    parts
}

/// Rounded to the nearest bf16, halves away from zero. Some NaN become zero; what is left of them is NaN.
#[inline]
#[target_feature(enable = "avx512f")]
fn rounded(x: __m512) -> __m512i {
    let up = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
    _mm512_and_si512(up, _mm512_set1_epi32(-0x1_0000))
}

/// The upper halves of the elements of both, those of the first in the lower halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn paired(first: __m512i, second: __m512i) -> __m512i {
    // The second where the mask has ones, else the first.
    const CHOOSE: i32 = 0b1100_1010;
    let lower = _mm512_srli_epi32::<16>(first);
    _mm512_ternarylogic_epi32::<CHOOSE>(_mm512_set1_epi32(-0x1_0000), second, lower)
}
