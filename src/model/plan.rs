//! The memory that training a model takes, from its description alone: before anything is allocated.
//!
//! The figures follow the code that allocates: what a layer keeps ([`super::layer`]), what its backward
//! pass holds at its widest, and the logits of one chunk of the head. They are of the CPU, where
//! operands of products are packed copies; a device, or a processor, that needs no copies takes less.

use super::Keep;
use super::lora::{AdapterConfig, Module};
use super::spec::Spec;
use crate::kernel::Kernels;

/// Bytes of an f32.
const SINGLE: u64 = 4;
/// The program itself: code, tokenizer, rows, stacks of threads.
const PROGRAM: u64 = 57 << 20;
/// One of so many bytes is kept by the allocator for a size that is not asked for again. Both measured, with models
/// from 3 million to 1.2 billion parameters (`benches/memory_plan.py`): 57 MiB and 4 to 14 % of what can be counted.
const KEPT: u64 = 12;

/// Bytes at the widest moment of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The frozen base.
    pub weights: u64,
    /// The adapter, its best state so far, and its gradients.
    pub adapter: u64,
    /// Two moments for each number of the adapter.
    pub optimiser: u64,
    /// What the forward pass keeps, and what the backward pass of one layer works with.
    pub activations: u64,
    /// Logits, their gradient and its packed copy, for one chunk of targets.
    pub head: u64,
    /// Everything else, with what the allocator keeps.
    pub program: u64,
}

/// A batch as far as memory is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub tokens: usize,
    /// Tokens that carry loss.
    pub targets: usize,
}

impl Memory {
    /// What training with batches of this size takes; `bytes` is the size of a frozen number, 2 or 4.
    pub fn of(
        spec: &Spec,
        adapter: &AdapterConfig,
        kernels: Kernels,
        keep: Keep,
        batch: Size,
        bytes: u64,
    ) -> Self {
        let trained = adapter_parameters(spec, adapter);
        let tokens = batch.tokens as u64;
        let layers = spec.layers as u64;
        let hidden = spec.hidden as u64;
        let exact = bytes == SINGLE && adapter.dropout == 0.0;
        let merged = |tokens, module: Module| exact && kernels.merges(tokens, module.shape(spec), adapter.r);
        let of_layer = |behind: usize| {
            kept_before(spec, adapter, |module| merged(batch.tokens, module)) * tokens
                + kept_behind(spec, adapter, |module| merged(behind, module)) * behind as u64
        };
        let kept = match keep {
            // Of the last layer only what predicts a target goes on behind attention.
            Keep::Activations => (layers - 1) * of_layer(batch.tokens) + of_layer(batch.targets),
            // The input of every layer, and everything of the one that is computed again.
            Keep::Inputs => layers * hidden * tokens + of_layer(batch.tokens),
        };
        let chunk = batch.targets.min(crate::kernel::HEAD_CHUNK) as u64;
        let head = SINGLE * (2 * chunk * spec.vocab as u64 + 4 * batch.targets as u64 * hidden);
        let working = SINGLE * tokens * working_of_layer(spec);
        let counted = Self {
            weights: bytes * parameters(spec),
            adapter: 3 * SINGLE * trained,
            optimiser: 2 * SINGLE * trained,
            // The head comes before the backward pass of a layer, but its memory has other sizes and is kept.
            activations: SINGLE * kept + working,
            head,
            program: 0,
        };
        Self { program: PROGRAM + counted.total() / KEPT, ..counted }
    }

    pub fn total(self) -> u64 {
        let Self { weights, adapter, optimiser, activations, head, program } = self;
        weights + adapter + optimiser + activations + head + program
    }
}

/// Numbers in the matrices of the frozen base; its vectors are too few to count.
fn parameters(spec: &Spec) -> u64 {
    let matrices = Module::ALL.iter().map(|module| module.shape(spec)).map(|(out, input)| out * input);
    let ends = if spec.tied { 1 } else { 2 } * spec.vocab * spec.hidden;
    (matrices.sum::<usize>() * spec.layers + ends) as u64
}

/// Numbers in the adapter.
fn adapter_parameters(spec: &Spec, adapter: &AdapterConfig) -> u64 {
    let shapes = adapter.targets.iter().map(|module| module.shape(spec));
    (shapes.map(|(out, input)| adapter.r * (out + input)).sum::<usize>() * spec.layers) as u64
}

/// Numbers that a layer keeps for each token up to its attention: see [`super::layer::Saved`]. Nothing is kept of an
/// update that is merged.
fn kept_before(spec: &Spec, adapter: &AdapterConfig, merged: impl Fn(Module) -> bool) -> u64 {
    let (query, kv) = (spec.heads.query * spec.heads.dim, spec.heads.key_value * spec.heads.dim);
    let bare = if spec.head_norms { query + kv } else { 0 };
    let lows = kept_lows(adapter, &[Module::Query, Module::Key, Module::Value], merged);
    (spec.hidden + 2 * query + 2 * kv + bare + spec.heads.query + lows) as u64
}

/// The same behind attention.
fn kept_behind(spec: &Spec, adapter: &AdapterConfig, merged: impl Fn(Module) -> bool) -> u64 {
    let lows = kept_lows(adapter, &[Module::Output, Module::Gate, Module::Up, Module::Down], merged);
    (spec.hidden + 2 * spec.intermediate + lows) as u64
}

fn kept_lows(adapter: &AdapterConfig, of: &[Module], merged: impl Fn(Module) -> bool) -> usize {
    adapter.r * of.iter().filter(|module| adapter.targets.contains(module) && !merged(**module)).count()
}

/// Numbers for each token at the widest moment of a layer's backward pass, which is that of gate and up: the
/// gradients of both with their packed copies, and what is `hidden` wide around them.
fn working_of_layer(spec: &Spec) -> u64 {
    (4 * spec.intermediate + 4 * spec.hidden) as u64
}

#[cfg(test)]
mod tests {
    use super::super::{BUILTIN, base};
    use super::*;
    use crate::config::{Dtype, Lora};
    use crate::model::CausalLm;
    use crate::model::lora::Adapter;
    use candle_core::Device;

    #[test]
    fn what_can_be_counted_is_counted() {
        let model = CausalLm::load(BUILTIN, Dtype::Bf16, 64, &Device::Cpu).unwrap();
        let config = AdapterConfig::new(&Lora::default()).unwrap();
        let adapter = Adapter::new(config.clone(), &model.spec, 0, &Device::Cpu).unwrap();
        let batch = Size { tokens: 100, targets: 50 };
        let memory = Memory::of(&model.spec, &config, Kernels::Cpu, Keep::Activations, batch, 2);
        assert_eq!(memory.adapter, 3 * 4 * adapter.parameters());
        assert_eq!(memory.optimiser, 2 * 4 * adapter.parameters());
        // Norms are vectors, which the plan leaves out.
        let off = 2 * model.parameters() - memory.weights;
        assert!(off < memory.weights / 1000, "{off} of {}", memory.weights);
        assert!(memory.weights < base::WEIGHTS.len() as u64);
    }

    #[test]
    fn what_is_merged_is_not_kept() {
        let spec = Spec::of(BUILTIN).unwrap();
        let mut config = AdapterConfig::new(&Lora { r: 64, ..Lora::default() }).unwrap();
        let batch = Size { tokens: 2048, targets: 1024 };
        let kept = |config: &AdapterConfig, kernels, bytes| {
            Memory::of(&spec, config, kernels, Keep::Activations, batch, bytes).activations
        };
        config.dropout = 0.0;
        // Seven modules a layer, four of them behind the attention of the last.
        assert_eq!(config.targets.len(), 7);
        let lows = 4 * 64 * (2048 * 7 * (spec.layers - 1) + 2048 * 3 + 1024 * 4) as u64;
        assert_eq!(kept(&config, Kernels::Portable, 4) - kept(&config, Kernels::Cpu, 4), lows);
        assert_eq!(kept(&config, Kernels::Portable, 2), kept(&config, Kernels::Cpu, 2));
        config.dropout = 0.1;
        assert_eq!(kept(&config, Kernels::Portable, 4), kept(&config, Kernels::Cpu, 4));
    }

    #[test]
    fn checkpointing_and_smaller_batches_take_less() {
        let spec = Spec::of(BUILTIN).unwrap();
        let config = AdapterConfig::new(&Lora::default()).unwrap();
        let total = |keep, tokens| {
            Memory::of(&spec, &config, Kernels::Cpu, keep, Size { tokens, targets: tokens / 2 }, 2).total()
        };
        assert!(total(Keep::Inputs, 4096) < total(Keep::Activations, 4096));
        assert!(total(Keep::Activations, 2048) < total(Keep::Activations, 4096));
    }
}
