//! Every kernel in native code for the CPU.
//!
//! Matrix products are the `gemm` crate's, which chooses its instructions at run time; everything
//! between them is here, row-parallel over rayon and compiled for several instruction sets
//! (see [`simd`]). The signatures and shapes are those of [`super::Kernels`]. The result does not
//! depend on the number of threads.

mod attention;
mod matmul;
mod head;
mod linear;
mod pointwise;
mod simd;

pub(super) use attention::{attention, attention_backward};
pub(super) use head::head_chunk;
pub(super) use linear::{linear, linear_backward};
pub(super) use pointwise::{add, add_bias, rms_norm, rms_norm_backward, rope, swiglu, swiglu_backward};
pub use simd::level_name;

use candle_core::{CpuStorage, Device, Result, Storage, Tensor};
use rayon::prelude::*;
use std::ops::Deref;

/// The elements of a contiguous f32 tensor on the CPU, borrowed; `G` is candle's lock on the storage.
struct View<G> {
    storage: G,
    start: usize,
    end: usize,
}

/// Borrows the elements of a tensor.
///
/// # Errors
/// When the tensor is not contiguous, not f32, or not on the CPU.
fn view(tensor: &Tensor) -> Result<View<impl Deref<Target = Storage> + '_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a native kernel was given a tensor that is not contiguous: {:?}", tensor.shape());
    };
    if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
        candle_core::bail!("a native kernel was given {:?} on {:?}", tensor.dtype(), tensor.device());
    }
    Ok(View { storage, start, end })
}

impl<G: Deref<Target = Storage>> Deref for View<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => &data[self.start..self.end],
            _ => &[],
        }
    }
}

/// A tensor that takes over the vector.
fn tensor(data: Vec<f32>, rows: usize, cols: usize) -> Result<Tensor> {
    Tensor::from_vec(data, (rows, cols), &Device::Cpu)
}

/// A matrix inside a slice, with the distances between neighbours of a column and of a row.
#[derive(Clone, Copy)]
struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix that fills the slice.
    fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// A row-major matrix whose rows are `row_stride` apart.
    fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose, of the same elements.
    fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Elements from the first to the last, both included.
    fn extent(self) -> usize {
        extent(self.rows, self.cols, self.row_stride, self.col_stride)
    }
}

fn extent(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_stride + (cols - 1) * col_stride + 1 }
}

/// What becomes of the elements that are already there.
#[derive(Clone, Copy, PartialEq)]
enum Into {
    Overwrite,
    Add,
}

/// Rows of a result that belong together: the height of the widest register tile.
const ROW_BLOCK: usize = 16;

/// How many threads share one product.
#[derive(Clone, Copy)]
enum Threads {
    All,
    One,
}

/// `dst = scale * a b`, or `dst += scale * a b`; `dst` is row-major with rows `dst_stride` apart.
///
/// With all threads, the rows are cut into [`share`]s and each is a product of its own.
fn product(dst: &mut [f32], dst_stride: usize, into: Into, a: Mat, b: Mat, scale: f32, threads: Threads) {
    let share = match threads {
        Threads::One => a.rows,
        Threads::All => share(a.rows),
    };
    if a.rows <= share {
        return product_on_one_thread(dst, dst_stride, into, a, b, scale);
    }
    dst.par_chunks_mut(share * dst_stride).enumerate().for_each(|(i, dst)| {
        let first = i * share;
        let a = Mat { data: &a.data[first * a.row_stride..], rows: share.min(a.rows - first), ..a };
        product_on_one_thread(dst, dst_stride, into, a, b, scale);
    });
}

/// Rows of a result that one task computes. It depends on the shape alone, so that the result, whose
/// last bits depend on how it is cut, does not depend on the number of threads.
fn share(rows: usize) -> usize {
    let parts = (rows / 128).clamp(4, 256);
    rows.div_ceil(parts).next_multiple_of(ROW_BLOCK)
}

fn product_on_one_thread(dst: &mut [f32], dst_stride: usize, into: Into, a: Mat, b: Mat, scale: f32) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "inner dimensions of a product");
    assert!(a.extent() <= a.data.len() && b.extent() <= b.data.len(), "operands of a product");
    assert!(n <= dst_stride && extent(m, n, dst_stride, 1) <= dst.len(), "result of a product");
    let signed = |stride: usize| stride as isize;
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    // SAFETY: the assertions above say that every element which the shapes and strides reach lies
    // inside its slice, and `dst` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            signed(dst_stride),
            into == Into::Add,
            a.data.as_ptr(),
            signed(a.col_stride),
            signed(a.row_stride),
            b.data.as_ptr(),
            signed(b.col_stride),
            signed(b.row_stride),
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
