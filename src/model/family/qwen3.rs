//! Qwen3 (dense): queries and keys are normalised head by head, heads have a size of their own, and the
//! biases of Qwen2 are an option that is off.

use super::{Family, Gguf, qwen2};
use crate::model::lora::Module;
use crate::model::options::Options;
use crate::model::spec::Spec;
use anyhow::Result;

pub const QWEN3: Family = Family {
    architecture: "Qwen3ForCausalLM",
    model_type: "qwen3",
    gguf: Gguf { architecture: "qwen3", interleaved: false },
    defaults: &[
        ("head_dim", 128.0),
        ("max_position_embeddings", 32_768.0),
        ("max_window_layers", 28.0),
        ("num_key_value_heads", 32.0),
        ("rope_theta", 10_000.0),
        ("sliding_window", 4096.0),
    ],
    read,
};

fn read(options: &mut Options, spec: &mut Spec) -> Result<()> {
    spec.head_norms = true;
    let biased = options.flag("attention_bias")?.unwrap_or(false);
    for module in Module::ALL.into_iter().filter(|module| module.in_attention()) {
        spec.biases[module as usize] = biased;
    }
    spec.windows = qwen2::windows(options, spec.layers)?;
    Ok(())
}
