//! Qwen2 and Qwen2.5: queries, keys and values have biases, and the upper layers may have a window.

use super::{Family, Gguf};
use crate::model::lora::Module;
use crate::model::options::Options;
use crate::model::spec::Spec;
use anyhow::{Result, bail, ensure};

pub const QWEN2: Family = Family {
    architecture: "Qwen2ForCausalLM",
    model_type: "qwen2",
    gguf: Gguf { architecture: "qwen2", interleaved: false },
    defaults: &[
        ("max_position_embeddings", 32_768.0),
        ("max_window_layers", 28.0),
        ("num_key_value_heads", 32.0),
        ("rope_theta", 10_000.0),
        ("sliding_window", 4096.0),
    ],
    read,
};

fn read(options: &mut Options, spec: &mut Spec) -> Result<()> {
    for module in [Module::Query, Module::Key, Module::Value] {
        spec.biases[module as usize] = true;
    }
    spec.windows = windows(options, spec.layers)?;
    Ok(())
}

/// The window of each layer: those from `max_window_layers` on, or those that `layer_types` names, and
/// only where `use_sliding_window` says so, which is off by default.
pub(super) fn windows(options: &mut Options, layers: usize) -> Result<Vec<Option<usize>>> {
    let used = options.flag("use_sliding_window")?.unwrap_or(false);
    let size = options.optional_size("sliding_window")?.filter(|_| used);
    // With 0 every layer has a window.
    let without = options.optional_count("max_window_layers")?.unwrap_or(28);
    let Some(kinds) = options.texts("layer_types")? else {
        return Ok((0..layers).map(|layer| size.filter(|_| layer >= without)).collect());
    };
    ensure!(
        kinds.len() == layers,
        "layer_types has {} entries for {layers} layers\n  hint: num_hidden_layers or layer_types was edited alone",
        kinds.len()
    );
    let window = |kind: &String| match (kind.as_str(), size) {
        ("full_attention", _) => Ok(None),
        ("sliding_attention", Some(size)) => Ok(Some(size)),
        ("sliding_attention", None) => bail!(
            "layer_types has \"sliding_attention\", but there is no window\n  hint: set sliding_window, and use_sliding_window to true"
        ),
        (other, _) => bail!(
            "layer_types has {other:?}, which is not supported\n  hint: supported are \"full_attention\" and \"sliding_attention\""
        ),
    };
    kinds.iter().map(window).collect()
}
