//! From a model folder, or the embedded base, to a model on its device.
//!
//! Each tensor that the description asks for is taken by name, shape and type, and none may be left
//! over. Which tensors there are is [`Spec`]'s to say, where they lie [`super::weights`]'.

use super::layer::Layer;
use super::lora::{Module, PerModule};
use super::spec::Spec;
use super::weights::Weights;
use super::{BUILTIN, CausalLm, FOLDER, base};
use crate::config::Dtype;
use crate::kernel::{Kernels, Rope, Weight};
use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::{DType, Device, Tensor};
use std::path::Path;

impl CausalLm {
    /// Loads a model: [`BUILTIN`], or a folder in Hugging Face form.
    ///
    /// `max_length` is the longest row that will be computed.
    ///
    /// # Errors
    /// Names the file and the tensor or key that is wrong.
    pub fn load(path: &str, dtype: Dtype, max_length: usize, device: &Device) -> Result<Self> {
        let spec = Spec::of(path)?;
        build(spec, weights_of(path)?, dtype, max_length, device)
    }

    /// How its frozen matrices are kept, as a configuration says it; never [`Dtype::Auto`].
    pub fn precision(&self) -> Dtype {
        if self.dtype == DType::BF16 { Dtype::Bf16 } else { Dtype::F32 }
    }
}

impl Spec {
    /// The description of a model that is named as [`CausalLm::load`] has it.
    ///
    /// # Errors
    /// When there is none or it asks for something that is not supported; names the file.
    pub fn of(path: &str) -> Result<Self> {
        if path == BUILTIN {
            return Self::parse(base::CONFIG).context("config.json of the embedded base model");
        }
        let folder = Path::new(path);
        ensure!(folder.is_dir(), "{}", no_folder(path));
        let config = folder.join("config.json");
        let text = std::fs::read_to_string(&config)
            .map_err(|error| anyhow!("{}: {error}\n  hint: {FOLDER}", config.display()))?;
        Self::parse(&text).with_context(|| config.display().to_string())
    }
}

/// What is said where there is no model at `path`: a hub's name for one is not fetched.
pub fn no_folder(path: &str) -> String {
    let hint = match path.split_once('/') {
        Some((owner, name))
            if !owner.is_empty() && !owner.contains('.') && !name.is_empty() && !name.contains('/') =>
        {
            format!(
                "tune fetches nothing by itself: hf download {path} --local-dir {name}, then model.path = {name:?}"
            )
        }
        _ => format!("give \"{BUILTIN}\", or a folder with config.json, *.safetensors and tokenizer.json"),
    };
    format!("model.path = {path:?}: no such folder\n  hint: {hint}")
}

fn build(
    spec: Spec,
    mut weights: Weights,
    dtype: Dtype,
    max_length: usize,
    device: &Device,
) -> Result<CausalLm> {
    if max_length > spec.max_positions {
        bail!(
            "data.max_length = {max_length}, but the model knows {} positions\n  hint: --set data.max_length={}",
            spec.max_positions,
            spec.max_positions
        );
    }
    let kernels = Kernels::for_device(device);
    let dtype = precision(dtype, &weights, kernels, device);
    weights.declare(spec.dtype);
    let checksum = weights.checksum();
    let mut matrix = |name: &str, (out, input): (usize, usize)| -> Result<Weight> {
        let name = format!("{name}.weight");
        Ok(Weight { matrix: weights.take(&name, &[out, input], dtype, device)? })
    };
    let embedding = matrix("model.embed_tokens", (spec.vocab, spec.hidden))?;
    let mut blocks = Vec::new();
    for layer in 0..spec.layers {
        let matrices: Vec<Weight> = Module::ALL
            .iter()
            .map(|module| matrix(&module.path(layer), module.shape(&spec)))
            .collect::<Result<_>>()?;
        blocks.push(matrices);
    }
    let head = if spec.tied { None } else { Some(matrix("lm_head", (spec.vocab, spec.hidden))?) };
    let mut vector =
        |name: String, length: usize| weights.take(&format!("{name}.weight"), &[length], DType::F32, device);
    let norm = vector("model.norm".into(), spec.hidden)?;
    let mut norms = Vec::new();
    for layer in 0..spec.layers {
        let in_layer = |name: &str| format!("model.layers.{layer}.{name}");
        let around = [
            vector(in_layer("input_layernorm"), spec.hidden)?,
            vector(in_layer("post_attention_layernorm"), spec.hidden)?,
        ];
        let mut of_head = |name: &str| vector(in_layer(name), spec.heads.dim);
        let of_heads = if spec.head_norms {
            Some([of_head("self_attn.q_norm")?, of_head("self_attn.k_norm")?])
        } else {
            None
        };
        norms.push((around, of_heads));
    }
    let mut layers = Vec::new();
    for (layer, (matrices, ([input_norm, post_attention_norm], head_norms))) in
        blocks.into_iter().zip(norms).enumerate()
    {
        let mut biases: PerModule<Option<Tensor>> = [const { None }; Module::ALL.len()];
        for module in Module::ALL.into_iter().filter(|&module| spec.biases[module as usize]) {
            let name = format!("{}.bias", module.path(layer));
            let (out, _) = module.shape(&spec);
            biases[module as usize] = Some(weights.take(&name, &[out], DType::F32, device)?);
        }
        layers.push(Layer {
            input_norm,
            post_attention_norm,
            weights: matrices.try_into().map_err(|_| anyhow!("one matrix for each module"))?,
            biases,
            head_norms,
            heads: spec.heads_of(layer),
        });
    }
    if spec.tied && weights.has("lm_head.weight") {
        // Some exporters write the tied head a second time.
        weights.take("lm_head.weight", &[spec.vocab, spec.hidden], dtype, device)?;
    }
    weights.finish()?;
    let rope = rope_table(&spec, max_length, device)?;
    Ok(CausalLm {
        spec,
        device: device.clone(),
        kernels,
        dtype,
        checksum,
        embedding,
        layers,
        norm,
        head,
        rope,
    })
}

/// How the frozen matrices of a model would be kept; its weights are not read.
///
/// # Errors
/// When its files cannot be opened.
pub fn precision_of(path: &str, dtype: Dtype, device: &Device) -> Result<DType> {
    Ok(precision(dtype, &weights_of(path)?, Kernels::for_device(device), device))
}

/// The checksum of a model that is not loaded, [`CausalLm::checksum`].
///
/// # Errors
/// When its files cannot be opened.
pub fn checksum_of(path: &str) -> Result<u32> {
    Ok(weights_of(path)?.checksum())
}

/// The weights of a model that is named as [`CausalLm::load`] has it.
pub(super) fn weights_of(path: &str) -> Result<Weights> {
    if path == BUILTIN {
        return Weights::embedded("the embedded base model", base::WEIGHTS);
    }
    Weights::open(Path::new(path))
}

/// How frozen matrices are kept.
///
/// bf16 halves their memory, and costs nothing where the files hold no more than that.
fn precision(dtype: Dtype, weights: &Weights, kernels: Kernels, device: &Device) -> DType {
    match dtype {
        Dtype::Auto if weights.are_bf16() || kernels.prefer_bf16(device) => DType::BF16,
        Dtype::Auto | Dtype::F32 => DType::F32,
        Dtype::Bf16 => DType::BF16,
    }
}

/// Cosines and sines of all positions up to `positions`.
fn rope_table(spec: &Spec, positions: usize, device: &Device) -> Result<Rope> {
    let frequencies = spec.rope_frequencies();
    let angles = || (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
    let shape = (positions, frequencies.len());
    let table =
        |f: fn(f64) -> f64| Tensor::from_iter(angles().map(|angle| f(angle) as f32), device)?.reshape(shape);
    Ok(Rope { cos: table(f64::cos)?, sin: table(f64::sin)? })
}
