//! An adapter as one GGUF file, as llama.cpp loads it (`--lora`); format version 3, matrices in f32.
//!
//! llama.cpp multiplies by `alpha / rank` with the rank of each matrix and one alpha for all. So alpha is
//! chosen such that this is right for the adapter's own rank, rank-stabilised ones included, and
//! where a module has another scale the difference goes into its `lora_b`. In families whose files
//! keep query and key rows interleaved ([`Gguf::interleaved`]) the rows of `lora_b` follow.

use super::files;
use crate::kernel::Lora;
use crate::model::family::Gguf;
use crate::model::lora::{Adapter, Module};
use crate::model::spec::Spec;
use anyhow::{Context, Result};
use candle_core::Tensor;
use std::path::Path;

const VERSION: u32 = 3;
/// Where tensor data begin and each tensor begins, in bytes, is a multiple of this: the format's default.
const ALIGNMENT: usize = 32;
/// Type numbers of the format: a value that is text, one that is f32, a tensor of f32.
const TEXT: u32 = 8;
const FLOAT: u32 = 6;
const TENSOR_F32: u32 = 0;

/// Writes an adapter of the model that `spec` describes to `path`.
///
/// # Errors
/// When the adapter is empty or the disk refuses.
pub fn write(path: &Path, adapter: &Adapter, spec: &Spec, name: &str) -> Result<()> {
    let alpha = alpha(adapter).context("the adapter is empty")?;
    let mut tensors = Vec::new();
    for (layer, block) in adapter.layers.iter().enumerate() {
        for module in Module::ALL {
            let Some(lora) = &block[module as usize] else { continue };
            let base = format!("blk.{layer}.{}.weight", tensor_name(module));
            tensors.push((format!("{base}.lora_a"), lora.a.clone()));
            tensors.push((format!("{base}.lora_b"), scaled_b(lora, module, spec, alpha)?));
        }
    }
    let texts = [
        ("general.type", "adapter"),
        ("general.architecture", spec.family.gguf.architecture),
        ("general.name", name),
        ("adapter.type", "lora"),
    ];
    let mut head = Vec::new();
    head.extend(b"GGUF");
    head.extend(VERSION.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((texts.len() as u64 + 1).to_le_bytes());
    for (key, value) in texts {
        text(&mut head, key);
        head.extend(TEXT.to_le_bytes());
        text(&mut head, value);
    }
    text(&mut head, "adapter.lora.alpha");
    head.extend(FLOAT.to_le_bytes());
    head.extend((alpha as f32).to_le_bytes());
    let mut offset = 0;
    for (name, tensor) in &tensors {
        text(&mut head, name);
        head.extend((tensor.rank() as u32).to_le_bytes());
        // The innermost dimension comes first.
        for &size in tensor.dims().iter().rev() {
            head.extend((size as u64).to_le_bytes());
        }
        head.extend(TENSOR_F32.to_le_bytes());
        head.extend((offset as u64).to_le_bytes());
        offset += (4 * tensor.elem_count()).next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, tensor)| files::bytes(tensor)).collect::<Result<_>>()?;
    crate::files::replace_with(path, |file| {
        file.write_all(&head)?;
        for bytes in &data {
            file.write_all(bytes)?;
            file.write_all(&[0; ALIGNMENT][..bytes.len().next_multiple_of(ALIGNMENT) - bytes.len()])?;
        }
        Ok(())
    })
}

/// The alpha for which `alpha / rank` is right for most modules; to llama.cpp 0 would mean 1, so it is never 0.
fn alpha(adapter: &Adapter) -> Option<f64> {
    let of = |lora: &Lora| f64::from(lora.scale) * lora.a.dims()[0] as f64;
    let config = &adapter.config;
    let usual = f64::from(config.scale(config.r, config.alpha)) * config.r as f64;
    let first = adapter.layers.iter().flatten().flatten().map(of).next()?;
    [usual, first, 1.0].into_iter().find(|&alpha| alpha.is_finite() && alpha != 0.0)
}

/// `lora_b` with what `alpha / rank` leaves out of the scale, its rows in the order of the base's.
fn scaled_b(lora: &Lora, module: Module, spec: &Spec, alpha: f64) -> Result<Tensor> {
    let factor = f64::from(lora.scale) * lora.a.dims()[0] as f64 / alpha;
    // Next to one it is one, but for the rounding of the scale to f32.
    let b = if (factor - 1.0).abs() < 1e-6 { lora.b.clone() } else { lora.b.affine(factor, 0.0)? };
    let Gguf { interleaved, .. } = spec.family.gguf;
    if !interleaved || !matches!(module, Module::Query | Module::Key) {
        return Ok(b);
    }
    let (out, rank) = b.dims2()?;
    let dim = spec.heads.dim;
    Ok(b.reshape((out / dim, 2, dim / 2, rank))?.transpose(1, 2)?.reshape((out, rank))?)
}

fn tensor_name(module: Module) -> &'static str {
    match module {
        Module::Query => "attn_q",
        Module::Key => "attn_k",
        Module::Value => "attn_v",
        Module::Output => "attn_output",
        Module::Gate => "ffn_gate",
        Module::Up => "ffn_up",
        Module::Down => "ffn_down",
    }
}

/// Text as the format has it: its length, then its bytes.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
