//! A causal language model with an adapter: loss over packed examples, forward and backward.
//!
//! The base is frozen: gradients are computed for the adapter alone, by the hand-written backward
//! pass of [`layer`] over the operations of [`crate::kernel`].

pub mod adapter;
pub mod base;
pub mod family;
pub mod generate;
pub mod layer;
mod load;
pub mod lora;
pub mod noise;
pub mod options;
pub mod plan;
pub mod spec;
pub mod weights;

pub use load::{checksum_of, no_folder, precision_of};

use crate::kernel::{Dropout, HeadLoss, Kernels, Layout, Rope, Weight, on_a_worker};
use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use layer::{Layer, Pass, Saved};
use lora::{Adapter, Gradients, Module};
use noise::Noise;
use spec::Spec;

/// `model.path` of the model that is part of this program.
pub const BUILTIN: &str = "builtin";

/// The frozen base model on its device.
pub struct CausalLm {
    pub spec: Spec,
    pub device: Device,
    pub kernels: Kernels,
    /// Precision of the frozen matrices.
    pub dtype: DType,
    /// Of the weights as they are stored; see [`weights::Weights::checksum`].
    pub checksum: u32,
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

/// What the forward pass keeps for the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// What each layer needs.
    Activations,
    /// The input of each layer alone; the rest is computed again (Chen et al. 2016).
    Inputs,
}

/// How a batch is trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    pub keep: Keep,
    pub dropout: Dropout,
    /// Added to the embeddings.
    pub noise: Noise,
    /// What the sum of the losses is multiplied by before its gradients are taken.
    pub grad_scale: f32,
}

impl Default for Training {
    /// Plain gradients of the sum of the losses.
    fn default() -> Self {
        Self { keep: Keep::Activations, dropout: Dropout::OFF, noise: Noise::OFF, grad_scale: 1.0 }
    }
}

/// What was kept of one layer.
enum Kept {
    Activations(Box<Saved>),
    Input(Tensor),
}

/// The loss of each target of a batch, in its order.
pub type TargetLoss = HeadLoss;

impl CausalLm {
    /// Parameters of the frozen base.
    pub fn parameters(&self) -> u64 {
        let in_layers: usize = self
            .layers
            .iter()
            .map(|layer| {
                let matrices: usize = layer.weights.iter().map(|w| w.matrix.elem_count()).sum();
                let biases = layer.biases.iter().flatten();
                let vectors = biases.chain(layer.head_norms.iter().flatten());
                matrices + vectors.map(Tensor::elem_count).sum::<usize>() + 2 * self.spec.hidden
            })
            .sum();
        let ends = self.embedding.matrix.elem_count() + self.spec.hidden;
        (in_layers + ends + self.head.as_ref().map_or(0, |head| head.matrix.elem_count())) as u64
    }

    /// The loss of every target, nothing kept, dropout off.
    pub fn evaluate(&self, batch: &Batch, adapter: &Adapter) -> Result<TargetLoss> {
        on_a_worker(&self.device, || {
            let rows = self.hidden(batch, adapter)?;
            self.head_loss(&rows, batch, None)
        })
    }

    /// What the head says of every target's place, `(targets, vocab)`, dropout off.
    pub fn logits(&self, batch: &Batch, adapter: &Adapter) -> Result<Tensor> {
        self.head_logits(&self.hidden(batch, adapter)?)
    }

    /// The residual stream behind the last layer where a target is predicted, `(targets, h)`, nothing kept.
    fn hidden(&self, batch: &Batch, adapter: &Adapter) -> Result<Tensor> {
        let targets = self.target_index(batch)?;
        let mut x = self.embed(batch)?;
        for (index, (layer, loras)) in self.layers.iter().zip(&adapter.layers).enumerate() {
            let wanted = self.is_last(index).then_some(&targets);
            x = layer.forward(Pass { wanted, ..self.pass(batch, loras, Dropout::OFF) }, &x)?.0;
        }
        Ok(x)
    }

    /// Whether this layer is the last: only the tokens that predict a target go through all of it.
    fn is_last(&self, index: usize) -> bool {
        index + 1 == self.layers.len()
    }

    /// The loss of every target, and the gradients of `grad_scale * sum of the losses`. What is kept changes no
    /// bit of the outcome.
    pub fn forward_backward(
        &self,
        training: Training,
        batch: &Batch,
        adapter: &Adapter,
    ) -> Result<(TargetLoss, Gradients)> {
        let Training { keep, dropout, noise, grad_scale } = training;
        let first = adapter.first_layer();
        let targets = self.target_index(batch)?;
        let pass = |index: usize| Pass {
            wanted: self.is_last(index).then_some(&targets),
            ..self.pass(batch, &adapter.layers[index], dropout.fork(index as u32))
        };
        // The embedding is frozen, so the backward pass never comes to the noise.
        let mut x = noise.add(self.embed(batch)?, &batch.layout)?;
        let mut kept: Vec<Option<Kept>> = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let (out, saved) = layer.forward(pass(index), &x)?;
            kept.push(match keep {
                _ if index < first => None,
                Keep::Activations => Some(Kept::Activations(Box::new(saved))),
                Keep::Inputs => Some(Kept::Input(x)),
            });
            x = out;
        }
        let loss = self.head_loss(&x, batch, Some(grad_scale))?;
        let mut gradients = Gradients { layers: Vec::with_capacity(self.layers.len()) };
        let Some(d_normed) = &loss.grad else { return Ok((loss, gradients)) };
        let mut dx = self.kernels.rms_norm_backward(d_normed, &x, &self.norm, self.spec.norm_eps, None)?;
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let saved = match kept[i].take() {
                None => {
                    gradients.layers.push([const { None }; Module::ALL.len()]);
                    continue;
                }
                Some(Kept::Activations(saved)) => saved,
                Some(Kept::Input(input)) => Box::new(layer.forward(pass(i), &input)?.1),
            };
            let (d_input, grads) = layer.backward(pass(i), &saved, &dx, i > first)?;
            gradients.layers.push(grads);
            if let Some(d_input) = d_input {
                dx = d_input;
            }
        }
        gradients.layers.reverse();
        Ok((loss, gradients))
    }

    /// The longest row that can be computed.
    pub fn max_length(&self) -> usize {
        self.rope.cos.dims()[0]
    }

    /// What the head says about rows of the last hidden state, `(rows, vocab)`.
    fn head_logits(&self, rows: &Tensor) -> Result<Tensor> {
        let x = self.kernels.rms_norm(rows, &self.norm, self.spec.norm_eps)?;
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        Ok(self.kernels.product(&x, head)?)
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
            wanted: None,
        }
    }

    /// `(n, h)` in f32.
    fn embed(&self, batch: &Batch) -> Result<Tensor> {
        let ids = Tensor::new(batch.ids.as_slice(), &self.device)?;
        Ok(self.embedding.matrix.index_select(&ids, 0)?.to_dtype(DType::F32)?)
    }

    /// The tokens that predict a target, `(targets)`: the head sees no others.
    fn target_index(&self, batch: &Batch) -> Result<Tensor> {
        let rows: Vec<u32> = batch.targets.iter().map(|&(row, _)| row).collect();
        Ok(Tensor::from_vec(rows, batch.targets.len(), &self.device)?)
    }

    fn head_loss(&self, rows: &Tensor, batch: &Batch, grad_scale: Option<f32>) -> Result<TargetLoss> {
        let x = self.kernels.rms_norm(rows, &self.norm, self.spec.norm_eps)?;
        let targets: Vec<u32> = batch.targets.iter().map(|&(_, token)| token).collect();
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        Ok(self.kernels.head_loss(&x, head, &targets, grad_scale)?)
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
