//! The keys of a `config.json`, each taken once; what is left over must not matter.
//!
//! A configuration may hold a great many keys that only concern generation or bookkeeping. Those that
//! would change what a decoder computes are listed in [`TELLING`]: where a family did not take one of
//! them and its value is not the neutral one, the model is refused by that key's name.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value};

/// A `config.json` with the keys that nobody has taken yet.
#[derive(Debug)]
pub struct Options(Map<String, Value>);

/// No dimension of a model that fits this program is larger: a bound on what a file may claim.
pub const LARGEST: u64 = 1 << 24;

/// For values that no model has.
pub const ANEW: &str = "\n  hint: config.json is not as its model came; take it anew from there";

/// For every mistake that means a model of another make.
const OTHER_MODEL: &str = "\n  hint: it changes what the model computes, so it cannot be left out";

/// Keys that change what some decoder computes, each with the value (as JSON) at which it does not.
/// `null` and an absent key never do.
const TELLING: &[(&str, &str)] = &[
    ("alibi", "false"),
    ("attention_bias", "false"),
    ("attention_multiplier", "null"),
    ("attn_logit_softcapping", "null"),
    ("clip_qkv", "null"),
    ("embedding_multiplier", "1.0"),
    ("final_logit_softcapping", "null"),
    ("hidden_activation", "null"),
    ("layer_types", "null"),
    ("logit_scale", "null"),
    ("logits_scaling", "1.0"),
    ("mlp_bias", "false"),
    ("no_rope_layers", "null"),
    ("num_experts", "null"),
    ("num_local_experts", "null"),
    ("partial_rotary_factor", "1.0"),
    ("pretraining_tp", "1"),
    ("qk_layernorm", "false"),
    ("qkv_bias", "false"),
    ("quantization_config", "null"),
    ("query_pre_attn_scalar", "null"),
    ("residual_multiplier", "1.0"),
    ("rope_interleaved", "false"),
    ("sliding_window", "null"),
    ("use_bias", "false"),
    ("use_bidirectional_attention", "false"),
    ("use_qk_norm", "false"),
    ("use_sliding_window", "false"),
];

impl Options {
    /// # Errors
    /// When the text is not a JSON object.
    pub fn parse(text: &str) -> Result<Self> {
        let map = serde_json::from_str(text).context(
            "not a JSON object\n  hint: the file is cut short or is something else; fetch it again",
        )?;
        Ok(Self(map))
    }

    /// The keys of an object inside.
    pub fn inner(map: Map<String, Value>) -> Self {
        Self(map)
    }

    /// What holds where the file does not say otherwise.
    pub fn default_to(&mut self, defaults: &[(&str, f64)]) {
        for (key, value) in defaults {
            // Whole numbers are sizes, and a size is no float.
            let value = if value.fract() == 0.0 { Value::from(*value as u64) } else { Value::from(*value) };
            self.0.entry(*key).or_insert(value);
        }
    }

    /// Takes a key; `null` is as good as absent.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key).filter(|value| !value.is_null())
    }

    /// Takes a size, from 1 to a bound that no model of this program exceeds.
    pub fn optional_size(&mut self, key: &str) -> Result<Option<usize>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(n @ 1..=LARGEST) => Ok(Some(n as usize)),
                _ => bail!("{key} = {value} is not a size\n  hint: give a whole number up to {LARGEST}"),
            },
        }
    }

    /// A size that may be 0 too.
    pub fn optional_count(&mut self, key: &str) -> Result<Option<usize>> {
        if self.0.get(key).is_some_and(|value| value.as_u64() == Some(0)) {
            self.take(key);
            return Ok(Some(0));
        }
        self.optional_size(key)
    }

    pub fn size(&mut self, key: &str) -> Result<usize> {
        self.optional_size(key)?.with_context(|| {
            format!("{key} is missing\n  hint: take config.json and *.safetensors from the same model")
        })
    }

    pub fn positive(&mut self, key: &str) -> Result<Option<f64>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(x) if x > 0.0 && x.is_finite() => Ok(Some(x)),
                _ => bail!("{key} = {value} is not a positive number{ANEW}"),
            },
        }
    }

    pub fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        self.take(key)
            .map(|value| {
                value.as_bool().with_context(|| format!("{key} = {value} is not true or false{ANEW}"))
            })
            .transpose()
    }

    pub fn text(&mut self, key: &str) -> Result<Option<String>> {
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            other => bail!("{key} = {other} is not a text{ANEW}"),
        };
        self.take(key).map(text).transpose()
    }

    pub fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>> {
        self.take(key)
            .map(|value| {
                serde_json::from_value(value.clone())
                    .map_err(|_| anyhow!("{key} = {value} is no list of texts{ANEW}"))
            })
            .transpose()
    }

    pub fn object(&mut self, key: &str) -> Result<Option<Map<String, Value>>> {
        let object = |value: Value| match value {
            Value::Object(object) => Ok(object),
            other => bail!("{key} = {other} is not an object{ANEW}"),
        };
        self.take(key).map(object).transpose()
    }

    /// Takes a key for which only one value is supported.
    pub fn only(&mut self, key: &str, supported: &str) -> Result<()> {
        let value = self.text(key)?;
        ensure!(
            value.as_deref().is_none_or(|value| value == supported),
            "{key} = {:?} is not supported, only {supported:?} is{OTHER_MODEL}",
            value.unwrap_or_default()
        );
        Ok(())
    }

    /// Says that everything that matters was taken.
    ///
    /// # Errors
    /// Names the first key that would change what the model computes.
    pub fn finish(mut self) -> Result<()> {
        for (key, neutral) in TELLING {
            let Some(value) = self.take(key) else { continue };
            let same = match (value.as_f64(), neutral.parse::<f64>()) {
                (Some(value), Ok(neutral)) => value == neutral,
                _ => serde_json::from_str::<Value>(neutral).is_ok_and(|neutral| neutral == value),
            };
            let all_full = *key == "layer_types"
                && value.as_array().is_some_and(|all| all.iter().all(|kind| kind == "full_attention"));
            ensure!(same || all_full, "{key} = {value} is not supported{OTHER_MODEL}");
        }
        Ok(())
    }

    /// The keys that are left, for objects in which every key matters.
    pub fn left(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().filter(|(_, value)| !value.is_null())
    }
}
