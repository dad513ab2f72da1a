//! A model's `config.json` as a checked description: shapes, rotary embedding, options.
//!
//! Reads the spellings of transformers 4 and 5. An architecture or an option that is not supported
//! is named in the error, never ignored: a model that computes something else is worse than none.

use crate::kernel::Heads;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What there is to know about a decoder before its weights are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Size of the vocabulary: rows of the embedding.
    pub vocab: usize,
    pub hidden: usize,
    pub layers: usize,
    pub heads: Heads,
    /// Width of the gated MLP.
    pub intermediate: usize,
    pub norm_eps: f64,
    pub rope_theta: f64,
    pub rope_scaling: Option<Llama3Scaling>,
    /// Positions the model was trained for.
    pub max_positions: usize,
    /// The head is the embedding.
    pub tied: bool,
}

/// How Llama 3.1 stretches its rotary frequencies to longer contexts.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Llama3Scaling {
    pub factor: f64,
    pub low_freq_factor: f64,
    pub high_freq_factor: f64,
    pub original_max_position_embeddings: f64,
}

/// The architectures that are computed as this program's decoder.
const ARCHITECTURES: &[&str] = &["LlamaForCausalLM"];

/// No dimension of a model that fits this program is larger: a bound on what a file may claim.
const LARGEST: u64 = 1 << 24;

impl Spec {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// When it is not JSON, lacks a figure, or asks for something that is not supported.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Map<String, Value> = serde_json::from_str(text).context("not a JSON object")?;
        check_architecture(&config)?;
        for (key, supported) in [
            ("hidden_act", Value::from("silu")),
            ("attention_bias", Value::from(false)),
            ("mlp_bias", Value::from(false)),
            ("pretraining_tp", Value::from(1)),
        ] {
            if let Some(value) = config.get(key).filter(|value| !value.is_null()) {
                ensure!(*value == supported, "{key} = {value} is not supported, only {supported} is");
            }
        }
        ensure!(
            !config.contains_key("quantization_config"),
            "quantised weights are not supported\n  hint: use the original f32, f16 or bf16 model"
        );

        let hidden = size(&config, "hidden_size")?;
        let query = size(&config, "num_attention_heads")?;
        let key_value = optional_size(&config, "num_key_value_heads")?.unwrap_or(query);
        ensure!(
            query % key_value == 0,
            "num_attention_heads = {query} is no multiple of num_key_value_heads = {key_value}"
        );
        let dim = if let Some(dim) = optional_size(&config, "head_dim")? {
            dim
        } else {
            ensure!(
                hidden % query == 0,
                "hidden_size = {hidden} is no multiple of num_attention_heads = {query}"
            );
            hidden / query
        };
        ensure!(dim % 2 == 0, "head_dim = {dim} is odd: rotary embeddings need pairs");
        let (rope_theta, rope_scaling) = rope(&config)?;
        Ok(Self {
            vocab: size(&config, "vocab_size")?,
            hidden,
            layers: size(&config, "num_hidden_layers")?,
            heads: Heads { query, key_value, dim, window: None },
            intermediate: size(&config, "intermediate_size")?,
            norm_eps: positive(&config, "rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            max_positions: optional_size(&config, "max_position_embeddings")?.unwrap_or(2048),
            tied: config.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false),
        })
    }

    /// Angles by which one position turns each pair of a head, `dim / 2` figures.
    ///
    /// `theta^(-2i / dim)` (Su et al. 2021); with Llama 3.1's scaling, long wavelengths are stretched by
    /// `factor` and those between the two bounds interpolated.
    pub fn rope_frequencies(&self) -> Vec<f64> {
        let dim = self.heads.dim;
        (0..dim / 2)
            .map(|i| self.rope_theta.powf(-2.0 * i as f64 / dim as f64))
            .map(|frequency| match self.rope_scaling {
                None => frequency,
                Some(scaling) => scaling.stretch(frequency),
            })
            .collect()
    }
}

impl Llama3Scaling {
    fn stretch(self, frequency: f64) -> f64 {
        let turns = self.original_max_position_embeddings * frequency / std::f64::consts::TAU;
        if turns < self.low_freq_factor {
            frequency / self.factor
        } else if turns > self.high_freq_factor {
            frequency
        } else {
            let smooth = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor);
            (1.0 - smooth) * frequency / self.factor + smooth * frequency
        }
    }
}

fn check_architecture(config: &Map<String, Value>) -> Result<()> {
    let named = config
        .get("architectures")
        .and_then(Value::as_array)
        .and_then(|list| list.first())
        .and_then(Value::as_str);
    let model_type = config.get("model_type").and_then(Value::as_str);
    match (named, model_type) {
        (Some(name), _) if ARCHITECTURES.contains(&name) => Ok(()),
        (None, Some("llama")) => Ok(()),
        (name, model_type) => bail!(
            "architecture {} is not supported\n  hint: supported are {}",
            name.or(model_type).unwrap_or("(none named)"),
            ARCHITECTURES.join(", ")
        ),
    }
}

fn optional_size(config: &Map<String, Value>, key: &str) -> Result<Option<usize>> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(n @ 1..=LARGEST) => Ok(Some(n as usize)),
            _ => bail!("{key} = {value} is not a size"),
        },
    }
}

fn size(config: &Map<String, Value>, key: &str) -> Result<usize> {
    optional_size(config, key)?.with_context(|| format!("{key} is missing"))
}

fn positive(config: &Map<String, Value>, key: &str) -> Result<Option<f64>> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(x) if x > 0.0 && x.is_finite() => Ok(Some(x)),
            _ => bail!("{key} = {value} is not a positive number"),
        },
    }
}

/// Base and scaling of the rotary embedding: `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (4).
fn rope(config: &Map<String, Value>) -> Result<(f64, Option<Llama3Scaling>)> {
    let object = |key: &str| config.get(key).and_then(Value::as_object);
    let scaling = object("rope_parameters").or_else(|| object("rope_scaling"));
    let theta = match object("rope_parameters") {
        Some(parameters) => positive(parameters, "rope_theta")?,
        None => positive(config, "rope_theta")?,
    };
    let kind = scaling.and_then(|s| s.get("rope_type").or_else(|| s.get("type"))).and_then(Value::as_str);
    let scaling = match (kind, scaling) {
        (None | Some("default"), _) | (_, None) => None,
        (Some("llama3"), Some(scaling)) => {
            let scaling: Llama3Scaling = serde_json::from_value(Value::Object(scaling.clone()))
                .context("rope scaling of type llama3")?;
            Some(scaling)
        }
        (Some(other), _) => bail!("rope scaling of type {other:?} is not supported, only \"llama3\" is"),
    };
    Ok((theta.unwrap_or(10_000.0), scaling))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(extra: &str) -> String {
        format!(
            r#"{{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 96, "vocab_size": 128, "rms_norm_eps": 1e-5{extra}}}"#
        )
    }

    #[test]
    fn both_spellings_of_rope_are_read() {
        let four = Spec::parse(&config(r#", "rope_theta": 5e5"#)).unwrap();
        let five =
            Spec::parse(&config(r#", "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}"#))
                .unwrap();
        assert_eq!(four, five);
        assert_eq!((four.rope_theta, four.heads.key_value, four.heads.dim), (5e5, 4, 16));
    }

    #[test]
    fn llama3_scaling_keeps_short_waves_and_stretches_long_ones() {
        let spec = Spec::parse(&config(
            r#", "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}"#,
        ))
        .unwrap();
        let plain = Spec { rope_scaling: None, ..spec.clone() };
        let (scaled, plain) = (spec.rope_frequencies(), plain.rope_frequencies());
        assert_eq!(scaled[0], plain[0]);
        assert_eq!(scaled[7], plain[7] / 8.0);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let refused = |text: &str| Spec::parse(text).unwrap_err().to_string();
        assert!(
            refused(&config(r#", "attention_bias": true"#))
                .starts_with("attention_bias = true is not supported")
        );
        assert!(
            refused(&config(r#", "hidden_act": "gelu""#))
                .starts_with("hidden_act = \"gelu\" is not supported")
        );
        assert!(
            refused(&config(r#", "rope_scaling": {"type": "yarn"}"#)).contains("\"yarn\" is not supported")
        );
        assert!(
            refused(r#"{"architectures": ["MambaForCausalLM"]}"#)
                .contains("MambaForCausalLM is not supported")
        );
        assert!(refused(&config(r#", "num_key_value_heads": 3"#)).contains("no multiple"));
        assert!(refused(&config(r#", "num_key_value_heads": -1"#)).contains("is not a size"));
        assert_eq!(refused(r#"{"model_type": "llama"}"#), "hidden_size is missing");
    }
}
