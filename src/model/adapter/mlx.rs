//! The adapter folder of mlx-lm: `adapter_config.json` and `adapters.safetensors`.
//!
//! Its matrices are the transposes of PEFT's: `y + scale * (x a) b` with `a` of `(in, r)` and `b` of
//! `(r, out)`. It knows one rank and one scale for all modules: lower ranks are filled up with zeros, and
//! where scales differ the difference goes into `b`. Neither changes what is computed.

use super::files::serialize;
use crate::files::replace;
use crate::model::lora::{Adapter, Module};
use crate::model::spec::Spec;
use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes an adapter of the model that `spec` describes into `folder`, which must exist.
///
/// # Errors
/// When the disk refuses.
pub fn write(folder: &Path, adapter: &Adapter, spec: &Spec, base: &str) -> Result<()> {
    let all = || adapter.layers.iter().flatten().flatten();
    let rank = all().map(|lora| lora.a.dims()[0]).max().context("the adapter is empty")?;
    let scale = all().map(|lora| lora.scale).next().context("the adapter is empty")?;
    // A scale of zero says that nothing is added; it cannot carry those of others.
    let scale = if scale == 0.0 { 1.0 } else { scale };
    let mut tensors = Vec::new();
    for (layer, block) in adapter.layers.iter().enumerate() {
        for &module in &adapter.config.targets {
            let (out, input) = module.shape(spec);
            let (a, b) = if let Some(lora) = &block[module as usize] {
                let missing = rank - lora.a.dims()[0];
                let a = lora.a.pad_with_zeros(0, 0, missing)?.t()?.contiguous()?;
                let b = lora.b.affine(f64::from(lora.scale) / f64::from(scale), 0.0)?;
                (a, b.pad_with_zeros(1, 0, missing)?.t()?.contiguous()?)
            } else {
                // Layers cannot differ in what is adapted: here by nothing.
                let zeros = |shape| Tensor::zeros(shape, DType::F32, &Device::Cpu);
                (zeros((input, rank))?, zeros((rank, out))?)
            };
            let path = module.path(layer);
            tensors.push((format!("{path}.lora_a"), a));
            tensors.push((format!("{path}.lora_b"), b));
        }
    }
    let keys: Vec<String> = adapter.config.targets.iter().map(|&module| key(module)).collect();
    let config = json!({
        "fine_tune_type": "lora",
        "lora_parameters": {"dropout": adapter.config.dropout, "keys": keys, "rank": rank, "scale": scale},
        "model": base,
        // Counted from the last layer downwards.
        "num_layers": spec.layers,
    });
    let named = tensors.iter().map(|(name, tensor)| (name.clone(), tensor));
    let weights = serialize(named, BTreeMap::from([("format".into(), "mlx".into())]))?;
    replace(&folder.join("adapter_config.json"), (serde_json::to_string_pretty(&config)? + "\n").as_bytes())?;
    replace(&folder.join("adapters.safetensors"), &weights)
}

/// The name of a module inside its layer, such as `self_attn.q_proj`.
fn key(module: Module) -> String {
    let path = module.path(0);
    path.strip_prefix("model.layers.0.").unwrap_or(&path).to_owned()
}
