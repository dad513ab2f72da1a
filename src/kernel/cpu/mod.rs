//! Every kernel in native code for the CPU.
//!
//! Matrix products are in [`matmul`]; what is between them is row-parallel over rayon and compiled for
//! several instruction sets (see [`simd`]). The signatures and shapes are those of
//! [`super::Kernels`]. The result does not depend on the number of threads.

mod adam;
mod attention;
mod factors;
mod head;
mod linear;
mod matmul;
mod merged;
mod pointwise;
mod simd;

pub(super) use adam::{adam, square_sum};
pub(super) use attention::{attention, attention_backward};
pub(super) use head::head_chunk;
pub(super) use linear::{linear, linear_backward};
pub(super) use merged::merging_pays;
pub(super) use pointwise::{add, add_bias, rms_norm, rms_norm_backward, rope, swiglu, swiglu_backward};

use candle_core::{CpuStorage, Device, Result, Storage, Tensor};
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

/// The name of the instruction sets in use, for people.
pub fn level_name() -> String {
    let [single, pairs] = [false, true].map(|bf16| matmul::Isa::best(bf16, usize::MAX).name);
    if single == pairs { single.into() } else { format!("{single}, {pairs} for bf16") }
}

/// Whether the processor has instructions for bf16, be they used or not.
pub fn has_bf16() -> bool {
    matmul::Isa::available().iter().any(|isa| isa.pairs)
}
