//! A model's `config.json` as a checked description: shapes, rotary embedding, options.
//!
//! Reads the spellings of transformers 4 and 5. What is particular to an architecture is read in
//! [`super::family`]. An architecture or an option that is not supported is named in the error, never
//! ignored: a model that computes something else is worse than none.

use super::family::Family;
use super::lora::{Module, PerModule};
use super::options::{ANEW, LARGEST, Options};
use crate::kernel::Heads;
use anyhow::{Context, Result, bail, ensure};
use candle_core::DType;
use serde_json::Value;

/// What there is to know about a decoder before its weights are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub family: &'static Family,
    /// Size of the vocabulary: rows of the embedding.
    pub vocab: usize,
    pub hidden: usize,
    pub layers: usize,
    /// Shape of the attention, windows aside.
    pub heads: Heads,
    /// For each layer, how many tokens one attends to at most; `None` is all before it.
    pub windows: Vec<Option<usize>>,
    /// Queries and keys are normalised head by head before they are turned.
    pub head_norms: bool,
    /// Which linear layers add a bias.
    pub biases: PerModule<bool>,
    /// Width of the gated MLP.
    pub intermediate: usize,
    pub norm_eps: f64,
    pub rope_theta: f64,
    pub rope_scaling: Option<Llama3Scaling>,
    /// Positions the model was trained for.
    pub max_positions: usize,
    /// The head is the embedding.
    pub tied: bool,
    /// The type that the weights are said to be stored in.
    pub dtype: Option<DType>,
}

/// How Llama 3.1 stretches its rotary frequencies to longer contexts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    pub factor: f64,
    pub low_freq_factor: f64,
    pub high_freq_factor: f64,
    pub original_max_positions: f64,
}

/// No model has more layers: a bound on what a file may claim.
const MOST_LAYERS: usize = 4096;

impl Spec {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// When it is not JSON, lacks a figure, or asks for something that is not supported.
    pub fn parse(text: &str) -> Result<Self> {
        let mut options = Options::parse(text)?;
        let family = Family::of(&mut options)?;
        options.only("hidden_act", "silu")?;
        let hidden = options.size("hidden_size")?;
        let layers = options.size("num_hidden_layers")?;
        ensure!(
            layers <= MOST_LAYERS,
            "num_hidden_layers = {layers} is not a number of layers\n  hint: at most {MOST_LAYERS} are supported"
        );
        let max_positions = options.size("max_position_embeddings")?;
        let (rope_theta, rope_scaling) = rope(&mut options, max_positions)?;
        let mut spec = Self {
            family,
            vocab: options.size("vocab_size")?,
            hidden,
            layers,
            heads: heads(&mut options, hidden)?,
            windows: vec![None; layers],
            head_norms: false,
            biases: [false; Module::ALL.len()],
            intermediate: options.size("intermediate_size")?,
            norm_eps: options.positive("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            max_positions,
            tied: options.flag("tie_word_embeddings")?.unwrap_or(false),
            dtype: dtype(&mut options)?,
        };
        family.complete(&mut options, &mut spec)?;
        options.finish()?;
        Ok(spec)
    }

    /// Shape of the attention of layer `layer`.
    pub fn heads_of(&self, layer: usize) -> Heads {
        Heads { window: self.windows.get(layer).copied().flatten(), ..self.heads }
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
        let turns = self.original_max_positions * frequency / std::f64::consts::TAU;
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

fn heads(options: &mut Options, hidden: usize) -> Result<Heads> {
    let query = options.size("num_attention_heads")?;
    let key_value = options.optional_size("num_key_value_heads")?.unwrap_or(query);
    ensure!(
        query.is_multiple_of(key_value),
        "num_attention_heads = {query} is no multiple of num_key_value_heads = {key_value}{ANEW}"
    );
    let dim = if let Some(dim) = options.optional_size("head_dim")? {
        dim
    } else {
        ensure!(
            hidden.is_multiple_of(query),
            "hidden_size = {hidden} is no multiple of num_attention_heads = {query}{ANEW}"
        );
        hidden / query
    };
    ensure!(
        (query * dim) as u64 <= LARGEST,
        "num_attention_heads = {query} heads of head_dim = {dim} are too wide\n  hint: {LARGEST} numbers are the most"
    );
    ensure!(dim.is_multiple_of(2), "head_dim = {dim} is odd: rotary embeddings need pairs{ANEW}");
    Ok(Heads { query, key_value, dim, window: None })
}

/// `dtype` (transformers 5) or `torch_dtype` (4). Names of other types are nobody's business until a tensor has one.
fn dtype(options: &mut Options) -> Result<Option<DType>> {
    let name = match options.text("dtype")? {
        Some(name) => Some(name),
        None => options.text("torch_dtype")?,
    };
    Ok(name.and_then(|name| match name.trim_start_matches("torch.") {
        "float32" => Some(DType::F32),
        "float16" => Some(DType::F16),
        "bfloat16" => Some(DType::BF16),
        _ => None,
    }))
}

/// Base and scaling of the rotary embedding: `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (4).
fn rope(options: &mut Options, max_positions: usize) -> Result<(f64, Option<Llama3Scaling>)> {
    let (five, four) = (options.object("rope_parameters")?, options.object("rope_scaling")?);
    let theta = options.positive("rope_theta")?;
    let mut own = Options::inner(five.or(four).unwrap_or_default());
    let theta =
        own.positive("rope_theta")?.or(theta).with_context(|| format!("rope_theta is missing{ANEW}"))?;
    let kind = own.text("rope_type")?;
    // The oldest spelling; newer files write both.
    let kind = kind.or(own.text("type")?);
    let scaling = match kind.as_deref() {
        None | Some("default") => None,
        Some("llama3") => {
            let mut figure = |key: &str| {
                own.positive(key)?
                    .with_context(|| format!("rope scaling of type llama3: {key} is missing{ANEW}"))
            };
            let (factor, low_freq_factor, high_freq_factor) =
                (figure("factor")?, figure("low_freq_factor")?, figure("high_freq_factor")?);
            ensure!(
                low_freq_factor < high_freq_factor,
                "rope scaling of type llama3: low_freq_factor = {low_freq_factor} is not below high_freq_factor = {high_freq_factor}{ANEW}"
            );
            let original_max_positions =
                own.positive("original_max_position_embeddings")?.unwrap_or(max_positions as f64);
            Some(Llama3Scaling { factor, low_freq_factor, high_freq_factor, original_max_positions })
        }
        Some(other) => bail!(
            "rope scaling of type {other:?} is not supported\n  hint: supported are \"default\" and \"llama3\""
        ),
    };
    // Everything in there is about how positions turn: nothing may be left over.
    if let Some((key, value)) =
        own.left().find(|(key, value)| *key != "partial_rotary_factor" || value.as_f64() != Some(1.0))
    {
        let value: &Value = value;
        bail!(
            "rope: {key} = {value} is not supported\n  hint: it changes what the model computes, so it cannot be left out"
        );
    }
    Ok((theta, scaling))
}

#[cfg(test)]
mod tests;
