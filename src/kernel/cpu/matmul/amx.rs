//! The tile of AMX: products of bf16 on Intel's server processors from Sapphire Rapids on.
//!
//! One instruction multiplies 16 rows by 16 columns over 32 steps. It wants its left operand row by row, so
//! rows are packed in panels: 16 units, that is 32 steps, of one row after the other. A right operand of
//! pairs is packed as for every other tile. Terms of so few steps that a panel would be mostly empty, low-rank updates,
//! stay in f32 and are added by AVX-512 on the way out.
//!
//! Numbers of f32 come as three of bf16 each (see [`super::split`]), and six products of those make one of theirs.
//! That is still far less work than AVX-512 does for it.
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

/// The sums of one tile on their way from the tile registers to memory.
#[repr(C, align(64))]
struct Sums([f32; ROWS * 2 * LANES]);

/// For processors with AMX. Terms of bf16 are summed first, whatever the order of the segments.
///
/// # Safety
/// See [`super::tile::Tile`]; [`begin`] was called on this thread, and the segments of bf16 are padded to whole panels.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile<const VECTORS: usize>(segments: &[Segment], target: Target) {
    const { assert!(VECTORS == 1 || VECTORS == 2) };
    let width = VECTORS * LANES;
    let single = |segment: &&Segment| segment.form == Form::Single;
    let singles = segments.iter().filter(single).count();
    let mut sums = MaybeUninit::<Sums>::uninit();
    let sums = sums.as_mut_ptr().cast::<f32>();
    if singles < segments.len() {
        // SAFETY: handed on from the caller; there is room for the sums, and in the result if it has the whole tile.
        unsafe {
            multiply::<VECTORS>(segments);
            let whole = target.rows == ROWS && target.cols == width;
            if whole && target.base.is_null() && singles == 0 {
                return store::<VECTORS>(target.c, target.stride);
            }
            store::<VECTORS>(sums, width);
        }
    }
    // What the sums are added to comes last: each of them would be rounded by the size of it.
    for row in (0..target.rows).step_by(SINGLE_ROWS) {
        let mut block = [[_mm512_setzero_ps(); VECTORS]; SINGLE_ROWS];
        if singles < segments.len() {
            for (i, block) in block.iter_mut().enumerate() {
                for (v, block) in block.iter_mut().enumerate() {
                    // SAFETY: all rows and columns of the sums have been stored.
                    *block = unsafe { _mm512_loadu_ps(sums.add((row + i) * width + v * LANES)) };
                }
            }
        }
        for segment in segments.iter().filter(single) {
            // SAFETY: handed on from the caller.
            unsafe { add_singles(&mut block, segment, row) };
        }
        // SAFETY: these rows are inside the target.
        unsafe {
            let base =
                if target.base.is_null() { target.base } else { target.base.add(row * target.base_stride) };
            let rows = (target.rows - row).min(SINGLE_ROWS);
            write(&block, Target { c: target.c.add(row * target.stride), rows, base, ..target });
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

/// Sums all terms of bf16 in the tile registers 0 to 3.
///
/// # Safety
/// As for [`tile`].
#[inline]
unsafe fn multiply<const VECTORS: usize>(segments: &[Segment]) {
    // SAFETY: both strips hold whole panels of so many planes; nothing but these functions uses the tile registers.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
        for segment in segments {
            let planes = segment.form.planes();
            // A plane of a panel on either side.
            let (high, wide) = (ROWS * PANEL, PANEL * VECTORS * LANES);
            let (mut a, mut b) = (segment.a, segment.b);
            for _ in 0..segment.steps.div_ceil(PANEL) {
                match segment.form {
                    Form::Single => break,
                    Form::Pairs => {
                        rows(a);
                        times_columns::<VECTORS>(b);
                    }
                    // Large with small, with middle and with large, small with large, middle with large and with
                    // middle: one side changes at a time.
                    Form::Split => {
                        rows(a);
                        times_columns::<VECTORS>(b.add(2 * wide));
                        times_columns::<VECTORS>(b.add(wide));
                        times_columns::<VECTORS>(b);
                        times_rows::<VECTORS>(a.add(2 * high));
                        times_rows::<VECTORS>(a.add(high));
                        times_columns::<VECTORS>(b.add(wide));
                    }
                }
                (a, b) = (a.add(planes * high), b.add(planes * wide));
            }
        }
    }
}

/// Loads the rows of a panel, 16 and 16, into the tile registers 4 and 5.
///
/// # Safety
/// It is a plane of a panel of a left strip; the tile registers are ready.
#[inline]
unsafe fn rows(a: *const u32) {
    // SAFETY: handed on from the caller.
    unsafe {
        asm!(
            "tileloadd tmm4, [{a} + {stride}*1]",
            "tileloadd tmm5, [{a} + {stride}*1 + 1024]",
            a = in(reg) a, stride = in(reg) ROW_BYTES,
            options(nostack, readonly)
        );
    }
}

/// Loads the columns of a panel into the tile register 6, and 7 where there are twice 16, and adds the products of
/// the rows that are loaded with them.
///
/// # Safety
/// It is a plane of a panel of a right strip of so many vectors; the tile registers are ready.
#[inline]
unsafe fn times_columns<const VECTORS: usize>(b: *const u32) {
    let stride = VECTORS * ROW_BYTES;
    // SAFETY: handed on from the caller.
    unsafe {
        asm!(
            "tileloadd tmm6, [{b} + {stride}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm2, tmm5, tmm6",
            b = in(reg) b, stride = in(reg) stride,
            options(nostack, readonly)
        );
        if VECTORS == 2 {
            asm!(
                "tileloadd tmm7, [{b} + {stride}*1 + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm3, tmm5, tmm7",
                b = in(reg) b, stride = in(reg) stride,
                options(nostack, readonly)
            );
        }
    }
}

/// Loads other rows, and adds their products with the columns that are loaded.
///
/// # Safety
/// As for [`rows`].
#[inline]
unsafe fn times_rows<const VECTORS: usize>(a: *const u32) {
    // SAFETY: handed on from the caller.
    unsafe {
        rows(a);
        asm!("tdpbf16ps tmm0, tmm4, tmm6", "tdpbf16ps tmm2, tmm5, tmm6", options(nostack, nomem));
        if VECTORS == 2 {
            asm!("tdpbf16ps tmm1, tmm4, tmm7", "tdpbf16ps tmm3, tmm5, tmm7", options(nostack, nomem));
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
