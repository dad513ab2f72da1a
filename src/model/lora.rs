//! The adapter: which matrices get a low-rank update, of which rank, and how it starts.
//!
//! Reading and writing adapters is in [`super::adapter`].

use super::spec::Spec;
use crate::config::{self, Targets};
use crate::kernel::{Lora, LoraGrad};
use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// The linear layers of a block, in the order in which they compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
}

impl Module {
    pub const ALL: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// The last part of its name in a checkpoint.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// Whether it belongs to the attention, and not to the MLP.
    pub fn in_attention(self) -> bool {
        matches!(self, Self::Query | Self::Key | Self::Value | Self::Output)
    }

    /// Its name in a checkpoint, in layer `layer`.
    pub fn path(self, layer: usize) -> String {
        let part = if self.in_attention() { "self_attn" } else { "mlp" };
        format!("model.layers.{layer}.{part}.{}", self.name())
    }

    /// Shape of its weight, `(out, in)`.
    pub fn shape(self, spec: &Spec) -> (usize, usize) {
        let (query, kv) = (spec.heads.query * spec.heads.dim, spec.heads.key_value * spec.heads.dim);
        match self {
            Self::Query => (query, spec.hidden),
            Self::Key | Self::Value => (kv, spec.hidden),
            Self::Output => (spec.hidden, query),
            Self::Gate | Self::Up => (spec.intermediate, spec.hidden),
            Self::Down => (spec.hidden, spec.intermediate),
        }
    }
}

/// One value for each module of a block.
pub type PerModule<T> = [T; Module::ALL.len()];

/// The trainable part of a model: a low-rank update for some modules of every block.
#[derive(Clone, Debug)]
pub struct Adapter {
    pub config: AdapterConfig,
    pub layers: Vec<PerModule<Option<Lora>>>,
}

/// What an adapter is, apart from its numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdapterConfig {
    pub r: usize,
    pub alpha: f64,
    pub dropout: f64,
    pub rslora: bool,
    pub targets: Vec<Module>,
    /// Ranks of modules that have one of their own, by pattern, as PEFT has them.
    pub rank_pattern: BTreeMap<String, usize>,
    /// The same for `alpha`.
    pub alpha_pattern: BTreeMap<String, f64>,
}

/// Gradients of an adapter, in its layout.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    pub layers: Vec<PerModule<Option<LoraGrad>>>,
}

impl AdapterConfig {
    /// # Errors
    /// When a target is not a linear layer of a block.
    pub fn new(config: &config::Lora) -> Result<Self> {
        let targets = match &config.targets {
            Targets::AllLinear => Module::ALL.to_vec(),
            Targets::Named(names) => {
                for name in names {
                    if !Module::ALL.iter().any(|module| module.name() == name) {
                        let known: Vec<&str> = Module::ALL.iter().map(|m| m.name()).collect();
                        bail!(
                            "lora.targets: {name:?} is not a linear layer of this model\n  hint: give some of {}",
                            known.join(", ")
                        );
                    }
                }
                Module::ALL
                    .into_iter()
                    .filter(|module| names.iter().any(|name| name == module.name()))
                    .collect()
            }
        };
        let config::Lora { r, alpha, dropout, rslora, .. } = *config;
        let (rank_pattern, alpha_pattern) = Default::default();
        Ok(Self { r, alpha, dropout, rslora, targets, rank_pattern, alpha_pattern })
    }

    /// What the product of two matrices of this rank and alpha is multiplied by.
    pub fn scale(&self, r: usize, alpha: f64) -> f32 {
        let r = r as f64;
        (alpha / if self.rslora { r.sqrt() } else { r }) as f32
    }
}

impl Adapter {
    /// No update at all: the base by itself.
    pub fn none(spec: &Spec) -> Self {
        Self {
            config: AdapterConfig::default(),
            layers: vec![[const { None }; Module::ALL.len()]; spec.layers],
        }
    }

    /// A fresh adapter that changes nothing yet: B is zero, and A uniform within `1 / sqrt(in)`, as PEFT starts it.
    pub fn new(config: AdapterConfig, spec: &Spec, seed: u64, device: &Device) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut layers = Vec::with_capacity(spec.layers);
        for _ in 0..spec.layers {
            let mut block = [const { None }; Module::ALL.len()];
            for &module in &config.targets {
                let (out, input) = module.shape(spec);
                let bound = 1.0 / (input as f32).sqrt();
                let a: Vec<f32> = (0..config.r * input).map(|_| random.random_range(-bound..bound)).collect();
                block[module as usize] = Some(Lora {
                    a: Tensor::from_vec(a, (config.r, input), device)?,
                    b: Tensor::zeros((out, config.r), DType::F32, device)?,
                    scale: config.scale(config.r, config.alpha),
                });
            }
            layers.push(block);
        }
        Ok(Self { config, layers })
    }

    /// The first layer that has anything to train: nothing below it needs a backward pass.
    pub fn first_layer(&self) -> usize {
        self.layers.iter().position(|block| block.iter().any(Option::is_some)).unwrap_or(self.layers.len())
    }

    /// Numbers in the adapter.
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(|(_, tensor)| tensor.elem_count() as u64).sum()
    }

    /// Every matrix with its name in a checkpoint, always in the same order.
    pub fn tensors(&self) -> Vec<(String, &Tensor)> {
        let mut all = Vec::new();
        for (layer, block) in self.layers.iter().enumerate() {
            for module in Module::ALL {
                if let Some(lora) = &block[module as usize] {
                    let path = module.path(layer);
                    all.push((format!("{path}.lora_A.weight"), &lora.a));
                    all.push((format!("{path}.lora_B.weight"), &lora.b));
                }
            }
        }
        all
    }

    /// The same matrices, to be replaced, in the same order.
    pub fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        self.layers.iter_mut().flatten().flatten().flat_map(|lora| [&mut lora.a, &mut lora.b]).collect()
    }
}

impl Gradients {
    /// Adds the gradients of another part of the same step.
    pub fn add(&mut self, other: Self) -> Result<()> {
        if self.layers.is_empty() {
            *self = other;
            return Ok(());
        }
        for (mine, theirs) in self.layers.iter_mut().flatten().zip(other.layers.into_iter().flatten()) {
            if let (Some(mine), Some(theirs)) = (mine, theirs) {
                mine.a = (&mine.a + theirs.a)?;
                mine.b = (&mine.b + theirs.b)?;
            }
        }
        Ok(())
    }

    /// Every gradient, in the order of [`Adapter::tensors`].
    pub fn tensors(&self) -> Vec<&Tensor> {
        self.layers.iter().flatten().flatten().flat_map(|grad| [&grad.a, &grad.b]).collect()
    }
}
