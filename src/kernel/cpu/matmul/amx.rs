//! The tile of AMX: products of bf16 on Intel's server processors from Sapphire Rapids on.
//!
//! One instruction multiplies 16 rows by 16 columns over 32 steps. It wants its left operand row by row, so
//! rows are packed in panels: 16 units, that is 32 steps, of one row after the other. A right operand of
//! pairs is packed as for every other tile. Terms of so few steps that a panel would be mostly empty, low-rank updates,
//! stay in f32 and are summed by AVX-512 first.
//!
//! Numbers of f32 come as three of bf16 each (see [`super::split`]), and six products of those make one of theirs.
//! Measured on Emerald Rapids, packing included: 1.4 to 1.9 times as many products a second as AVX-512, from
//! 192 columns and steps to 8192.
//!
//! Assembly instead of intrinsics, which Rust has only in nightly builds; and Linux only, where the use of
//! the tile registers has to be asked for.

#![expect(unsafe_code, reason = "vector instructions work on pointers")]

use super::pack::Form;
use super::tile::{Segment, Target, write_edge};
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

/// The sums of one tile, where they cannot be in the result: what they begin with, or those of a tile that the result
/// ends in.
#[repr(C, align(64))]
struct Sums([f32; ROWS * 2 * LANES]);

/// For processors with AMX. Terms in f32 are summed first, whatever the order of the segments.
///
/// # Safety
/// See [`super::tile::Tile`]; [`begin`] was called on this thread, and the segments of pairs are padded to whole panels.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile<const VECTORS: usize>(segments: &[Segment], target: Target) {
    const { assert!(VECTORS == 1 || VECTORS == 2) };
    let width = VECTORS * LANES;
    let single = segments.iter().any(|segment| segment.form == Form::Single);
    if segments.iter().all(|segment| segment.form == Form::Single) {
        // SAFETY: handed on from the caller.
        unsafe { singles::<VECTORS>(segments, target) };
        return;
    }
    let whole = target.rows == ROWS && target.cols == width;
    let mut sums = MaybeUninit::<Sums>::uninit();
    let sums = sums.as_mut_ptr().cast::<f32>();
    // SAFETY: handed on from the caller; there is room for the sums, all of which the tiles load and store, be there
    // something in the result beside them or not.
    unsafe {
        if single {
            singles::<VECTORS>(
                segments,
                Target { c: sums, stride: width, rows: ROWS, cols: width, base: std::ptr::null(), ..target },
            );
            load::<VECTORS>(sums, width);
        } else {
            asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
        }
        multiply::<VECTORS>(segments);
        if whole && target.base.is_null() {
            store::<VECTORS>(target.c, target.stride);
            return;
        }
        // Added once, and not before the sums, each of which would be rounded by the size of it.
        store::<VECTORS>(sums, width);
        for row in (0..target.rows).step_by(SINGLE_ROWS) {
            let mut block = [[_mm512_setzero_ps(); VECTORS]; SINGLE_ROWS];
            for (i, block) in block.iter_mut().enumerate() {
                for (v, block) in block.iter_mut().enumerate() {
                    *block = _mm512_loadu_ps(sums.add((row + i) * width + v * LANES));
                }
            }
            write_rows(&block, target, row);
        }
    }
}

/// Begins the sums with what is there, `stride` elements from one row to the next.
///
/// # Safety
/// All rows and columns of the tile may be read.
#[inline]
unsafe fn load<const VECTORS: usize>(from: *const f32, stride: usize) {
    // SAFETY: handed on from the caller; the tile registers are ready.
    unsafe {
        let below = from.add(16 * stride);
        let stride = stride * size_of::<f32>();
        asm!(
            "tileloadd tmm0, [{top} + {stride}*1]",
            "tileloadd tmm2, [{below} + {stride}*1]",
            top = in(reg) from, below = in(reg) below, stride = in(reg) stride,
            options(nostack, readonly)
        );
        if VECTORS == 2 {
            asm!(
                "tileloadd tmm1, [{top} + {stride}*1 + 64]",
                "tileloadd tmm3, [{below} + {stride}*1 + 64]",
                top = in(reg) from, below = in(reg) below, stride = in(reg) stride,
                options(nostack, readonly)
            );
        }
    }
}

/// Brings the sums to memory.
///
/// # Safety
/// All rows and columns of the tile may be written.
#[inline]
unsafe fn store<const VECTORS: usize>(to: *mut f32, stride: usize) {
    // SAFETY: handed on from the caller; the tile registers are ready.
    unsafe {
        let below = to.add(16 * stride);
        let stride = stride * size_of::<f32>();
        asm!(
            "tilestored [{top} + {stride}*1], tmm0",
            "tilestored [{below} + {stride}*1], tmm2",
            top = in(reg) to, below = in(reg) below, stride = in(reg) stride,
            options(nostack)
        );
        if VECTORS == 2 {
            asm!(
                "tilestored [{top} + {stride}*1 + 64], tmm1",
                "tilestored [{below} + {stride}*1 + 64], tmm3",
                top = in(reg) to, below = in(reg) below, stride = in(reg) stride,
                options(nostack)
            );
        }
    }
}

/// Adds all terms of bf16 to the tile registers 0 to 3.
///
/// # Safety
/// As for [`tile`].
#[inline]
unsafe fn multiply<const VECTORS: usize>(segments: &[Segment]) {
    for segment in segments {
        let (mut a, mut b) = (segment.a, segment.b);
        let planes = segment.form.planes();
        for _ in 0..segment.steps.div_ceil(PANEL) {
            // SAFETY: both strips hold whole panels of so many planes.
            unsafe {
                match segment.form {
                    Form::Single => break,
                    Form::Pairs => pairs::<VECTORS>(a, b),
                    Form::Split => six::<VECTORS>(a, b),
                }
                (a, b) = (a.add(planes * ROWS * PANEL), b.add(planes * PANEL * VECTORS * LANES));
            }
        }
    }
}

/// The terms in f32 and what they are added to, into `target`.
///
/// # Safety
/// As for [`tile`].
#[target_feature(enable = "avx512f")]
unsafe fn singles<const VECTORS: usize>(segments: &[Segment], target: Target) {
    for row in (0..target.rows).step_by(SINGLE_ROWS) {
        let mut block = [[_mm512_setzero_ps(); VECTORS]; SINGLE_ROWS];
        for segment in segments.iter().filter(|segment| segment.form == Form::Single) {
            // SAFETY: handed on from the caller.
            unsafe { add_singles(&mut block, segment, row) };
        }
        // SAFETY: these rows are inside the target.
        unsafe { write_rows(&block, target, row) };
    }
}

/// Adds the products of one panel of pairs to the tiles 0 to 3.
///
/// # Safety
/// As for [`tile`]; both are a panel.
#[inline]
unsafe fn pairs<const VECTORS: usize>(a: *const u32, b: *const u32) {
    let row_bytes = VECTORS * ROW_BYTES;
    // SAFETY: a panel of the left strip is 2 tiles, one of the right strip as many as there are vectors. Nothing
    // but these functions uses the tile registers.
    unsafe {
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
    }
}

/// Adds the six products of one panel of split operands, three planes each, to the tiles 0 to 3: large with
/// small, with middle and with large, small with large, middle with large and with middle. Each operand is
/// loaded when the other changes, which is for 14 of 24 products.
///
/// # Safety
/// As for [`pairs`].
#[inline]
unsafe fn six<const VECTORS: usize>(a: *const u32, b: *const u32) {
    let row_bytes = VECTORS * ROW_BYTES;
    // SAFETY: a plane of a panel is as much as a panel of pairs, and there are three.
    unsafe {
        let plane = ROWS * PANEL;
        let (a_middle, a_small) = (a.add(plane), a.add(2 * plane));
        let plane = PANEL * VECTORS * LANES;
        let (b_middle, b_small) = (b.add(plane), b.add(2 * plane));
        if VECTORS == 1 {
            asm!(
                "tileloadd tmm4, [{a} + {s}*1]",
                "tileloadd tmm5, [{a} + {s}*1 + 1024]",
                "tileloadd tmm7, [{b_small} + {s}*1]",
                "tdpbf16ps tmm0, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm7",
                "tileloadd tmm1, [{b_middle} + {s}*1]",
                "tdpbf16ps tmm0, tmm4, tmm1",
                "tdpbf16ps tmm2, tmm5, tmm1",
                "tileloadd tmm6, [{b} + {s}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm4, [{a_small} + {s}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a_small} + {s}*1 + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm4, [{a_middle} + {s}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a_middle} + {s}*1 + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm0, tmm4, tmm1",
                "tdpbf16ps tmm2, tmm5, tmm1",
                a = in(reg) a, a_middle = in(reg) a_middle, a_small = in(reg) a_small,
                b = in(reg) b, b_middle = in(reg) b_middle, b_small = in(reg) b_small,
                s = in(reg) ROW_BYTES,
                options(nostack, readonly)
            );
        } else {
            asm!(
                "tileloadd tmm6, [{b_small} + {r}*1]",
                "tileloadd tmm4, [{a} + {s}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b_small} + {r}*1 + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {s}*1 + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm6, [{b_middle} + {r}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm7, [{b_middle} + {r}*1 + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm6, [{b} + {r}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm7, [{b} + {r}*1 + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm4, [{a_small} + {s}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a_small} + {s}*1 + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm4, [{a_middle} + {s}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a_middle} + {s}*1 + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm6, [{b_middle} + {r}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm7, [{b_middle} + {r}*1 + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm3, tmm5, tmm7",
                a = in(reg) a, a_middle = in(reg) a_middle, a_small = in(reg) a_small,
                b = in(reg) b, b_middle = in(reg) b_middle, b_small = in(reg) b_small,
                s = in(reg) ROW_BYTES, r = in(reg) row_bytes,
                options(nostack, readonly)
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

/// Adds a block of finished sums to the rows of the target from `row` on.
///
/// # Safety
/// As for [`write()`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn write_rows<const VECTORS: usize>(
    block: &[[__m512; VECTORS]; SINGLE_ROWS],
    target: Target,
    row: usize,
) {
    // SAFETY: handed on from the caller.
    unsafe {
        let base =
            if target.base.is_null() { target.base } else { target.base.add(row * target.base_stride) };
        let rows = (target.rows - row).min(SINGLE_ROWS);
        write(block, Target { c: target.c.add(row * target.stride), rows, base, ..target });
    }
}

/// Adds a block of finished sums to where they go.
///
/// # Safety
/// The rows and columns of the target may be written, and its base read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn write<const VECTORS: usize>(block: &[[__m512; VECTORS]; SINGLE_ROWS], target: Target) {
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
