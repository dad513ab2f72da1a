//! Llama 2, 3, 3.1 and 3.2, and the many models that are Llamas by architecture (`SmolLM2`, `TinyLlama`, Yi).
//!
//! The plain decoder that the other families differ from; optionally with biases.

use super::{Family, Gguf};
use crate::model::lora::Module;
use crate::model::options::Options;
use crate::model::spec::Spec;
use anyhow::Result;

pub const LLAMA: Family = Family {
    architecture: "LlamaForCausalLM",
    model_type: "llama",
    gguf: Gguf { architecture: "llama", interleaved: true },
    defaults: &[("max_position_embeddings", 2048.0), ("rope_theta", 10_000.0)],
    read,
};

fn read(options: &mut Options, spec: &mut Spec) -> Result<()> {
    let (attention, mlp) = (options.flag("attention_bias")?, options.flag("mlp_bias")?);
    for module in Module::ALL {
        let biased = if module.in_attention() { attention } else { mlp };
        spec.biases[module as usize] = biased.unwrap_or(false);
    }
    Ok(())
}
