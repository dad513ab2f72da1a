//! A causal language model with an adapter: loss over packed examples, forward and backward.
//!
//! The base is frozen: gradients are computed for the adapter alone, by the hand-written backward
//! pass of [`layer`] over the operations of [`crate::kernel`].

pub mod adapter;
pub mod base;
pub mod layer;
pub mod lora;
pub mod spec;
pub mod weights;

use crate::config::Dtype;
use crate::kernel::{Dropout, HeadLoss, Kernels, Layout, Rope, Weight};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use layer::{Layer, Pass, Saved};
use lora::{Adapter, Gradients, Module};
use spec::Spec;
use std::path::Path;
use weights::Weights;

/// `model.path` of the model that is part of this program.
pub const BUILTIN: &str = "builtin";

/// The frozen base model on its device.
pub struct CausalLm {
    pub spec: Spec,
    pub device: Device,
    pub kernels: Kernels,
    /// Precision of the frozen matrices.
    pub dtype: DType,
    /// `(vocab, h)`
    embedding: Weight,
    layers: Vec<Layer>,
    norm: Tensor,
    /// `None` when the head is the embedding.
    head: Option<Weight>,
    rope: Rope,
}

/// Rows laid out one after another, and the tokens to predict.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `n` token ids.
    pub ids: Vec<u32>,
    pub layout: Layout,
    /// For each target, the index in `ids` of the token that predicts it, and its own id; in the order of `ids`.
    pub targets: Vec<(u32, u32)>,
}

/// What a model folder is, for hints.
const FOLDER: &str = "a model folder holds config.json, *.safetensors and tokenizer.json";

/// The loss of each target of a batch, in its order.
pub type TargetLoss = HeadLoss;

impl CausalLm {
    /// Loads a model: [`BUILTIN`], or a folder in Hugging Face form.
    ///
    /// `max_length` is the longest row that will be computed.
    ///
    /// # Errors
    /// Names the file and the tensor or key that is wrong.
    pub fn load(path: &str, dtype: Dtype, max_length: usize, device: &Device) -> Result<Self> {
        if path == BUILTIN {
            let spec = Spec::parse(base::CONFIG).context("config.json of the embedded base model")?;
            return Self::build(
                spec,
                Weights::embedded("the embedded base model", base::WEIGHTS)?,
                dtype,
                max_length,
                device,
            );
        }
        let folder = Path::new(path);
        ensure!(
            folder.is_dir(),
            "model.path = {path:?}: no such folder\n  hint: give \"{BUILTIN}\", or a folder with config.json, *.safetensors and tokenizer.json"
        );
        let config = folder.join("config.json");
        let text = std::fs::read_to_string(&config)
            .map_err(|error| anyhow::anyhow!("{}: {error}\n  hint: {FOLDER}", config.display()))?;
        let spec = Spec::parse(&text).with_context(|| config.display().to_string())?;
        Self::build(spec, Weights::open(folder)?, dtype, max_length, device)
    }

    fn build(
        spec: Spec,
        mut weights: Weights,
        dtype: Dtype,
        max_length: usize,
        device: &Device,
    ) -> Result<Self> {
        if max_length > spec.max_positions {
            bail!(
                "data.max_length = {max_length}, but the model knows {} positions\n  hint: --set data.max_length={}",
                spec.max_positions,
                spec.max_positions
            );
        }
        // bf16 costs nothing where the files hold no more than that, and halves the memory.
        let dtype = match dtype {
            Dtype::Auto if !weights.are_bf16() => DType::F32,
            Dtype::Auto | Dtype::Bf16 => DType::BF16,
            Dtype::F32 => DType::F32,
        };
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
        let mut norm = |name: String| weights.take(&name, &[spec.hidden], DType::F32, device);
        let mut layers = Vec::new();
        for (layer, matrices) in blocks.into_iter().enumerate() {
            layers.push(Layer {
                input_norm: norm(format!("model.layers.{layer}.input_layernorm.weight"))?,
                post_attention_norm: norm(format!("model.layers.{layer}.post_attention_layernorm.weight"))?,
                weights: matrices.try_into().map_err(|_| anyhow::anyhow!("one matrix for each module"))?,
            });
        }
        let norm = norm("model.norm.weight".into())?;
        if spec.tied && weights.has("lm_head.weight") {
            // Some exporters write the tied head a second time.
            weights.take("lm_head.weight", &[spec.vocab, spec.hidden], dtype, device)?;
        }
        weights.finish()?;
        let rope = rope_table(&spec, max_length, device)?;
        let kernels = Kernels::for_device(device);
        Ok(Self { spec, device: device.clone(), kernels, dtype, embedding, layers, norm, head, rope })
    }

    /// Parameters of the frozen base.
    pub fn parameters(&self) -> u64 {
        let in_layers: usize = self
            .layers
            .iter()
            .map(|layer| {
                let matrices: usize = layer.weights.iter().map(|w| w.matrix.elem_count()).sum();
                matrices + 2 * self.spec.hidden
            })
            .sum();
        let ends = self.embedding.matrix.elem_count() + self.spec.hidden;
        (in_layers + ends + self.head.as_ref().map_or(0, |head| head.matrix.elem_count())) as u64
    }

    /// The loss of every target, nothing kept, dropout off.
    pub fn evaluate(&self, batch: &Batch, adapter: &Adapter) -> Result<TargetLoss> {
        let mut x = self.embed(batch)?;
        for (layer, loras) in self.layers.iter().zip(&adapter.layers) {
            x = layer.forward(self.pass(batch, loras, Dropout::OFF), &x)?.0;
        }
        let rows = self.target_rows(&x, batch)?;
        self.head_loss(&rows, batch, None)
    }

    /// The loss of every target, and the gradients of `grad_scale * sum of the losses`.
    pub fn forward_backward(
        &self,
        batch: &Batch,
        adapter: &Adapter,
        dropout: Dropout,
        grad_scale: f32,
    ) -> Result<(TargetLoss, Gradients)> {
        let first = adapter.first_layer();
        let mut x = self.embed(batch)?;
        let mut saved: Vec<Option<Saved>> = Vec::with_capacity(self.layers.len());
        for (index, (layer, loras)) in self.layers.iter().zip(&adapter.layers).enumerate() {
            let pass = self.pass(batch, loras, dropout.fork(index as u32));
            let (out, kept) = layer.forward(pass, &x)?;
            saved.push((index >= first).then_some(kept));
            x = out;
        }
        let rows = self.target_rows(&x, batch)?;
        let loss = self.head_loss(&rows, batch, Some(grad_scale))?;
        let mut gradients = Gradients { layers: Vec::with_capacity(self.layers.len()) };
        let Some(d_normed) = &loss.grad else { return Ok((loss, gradients)) };
        let d_rows = self.kernels.rms_norm_backward(d_normed, &rows, &self.norm, self.spec.norm_eps, None)?;
        let index = self.target_index(batch)?;
        let mut dx = x.zeros_like()?.index_add(&index, &d_rows, 0)?;
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let Some(saved) = saved[i].take() else {
                gradients.layers.push([const { None }; Module::ALL.len()]);
                continue;
            };
            let pass = self.pass(batch, &adapter.layers[i], dropout.fork(i as u32));
            let (d_input, grads) = layer.backward(pass, &saved, &dx, i > first)?;
            gradients.layers.push(grads);
            if let Some(d_input) = d_input {
                dx = d_input;
            }
        }
        gradients.layers.reverse();
        Ok((loss, gradients))
    }

    fn pass<'a>(
        &'a self,
        batch: &'a Batch,
        loras: &'a lora::PerModule<Option<crate::kernel::Lora>>,
        dropout: Dropout,
    ) -> Pass<'a> {
        Pass {
            kernels: self.kernels,
            spec: &self.spec,
            rope: &self.rope,
            layout: &batch.layout,
            loras,
            dropout,
        }
    }

    /// `(n, h)` in f32.
    fn embed(&self, batch: &Batch) -> Result<Tensor> {
        let ids = Tensor::new(batch.ids.as_slice(), &self.device)?;
        Ok(self.embedding.matrix.index_select(&ids, 0)?.to_dtype(DType::F32)?)
    }

    fn target_index(&self, batch: &Batch) -> Result<Tensor> {
        let rows: Vec<u32> = batch.targets.iter().map(|&(row, _)| row).collect();
        Ok(Tensor::from_vec(rows, batch.targets.len(), &self.device)?)
    }

    /// The rows of the last hidden state that predict a target, `(targets, h)`: the head sees no others.
    fn target_rows(&self, x: &Tensor, batch: &Batch) -> Result<Tensor> {
        Ok(x.index_select(&self.target_index(batch)?, 0)?)
    }

    fn head_loss(&self, rows: &Tensor, batch: &Batch, grad_scale: Option<f32>) -> Result<TargetLoss> {
        let x = self.kernels.rms_norm(rows, &self.norm, self.spec.norm_eps)?;
        let targets: Vec<u32> = batch.targets.iter().map(|&(_, token)| token).collect();
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        Ok(self.kernels.head_loss(&x, head, &targets, grad_scale)?)
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

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
