//! Mistral 7B and its likes: a Llama in which every layer may look back over a window only.
//!
//! Version 0.1 has a window of 4096 tokens; later ones have none, and say so with `null`.

use super::{Family, Gguf};
use crate::model::options::Options;
use crate::model::spec::Spec;
use anyhow::Result;

pub const MISTRAL: Family = Family {
    architecture: "MistralForCausalLM",
    model_type: "mistral",
    gguf: Gguf { architecture: "llama", interleaved: true },
    defaults: &[
        ("max_position_embeddings", 131_072.0),
        ("num_key_value_heads", 8.0),
        ("rope_theta", 10_000.0),
        ("sliding_window", 4096.0),
    ],
    read,
};

fn read(options: &mut Options, spec: &mut Spec) -> Result<()> {
    let window = options.optional_size("sliding_window")?;
    spec.windows = vec![window; spec.layers];
    Ok(())
}
