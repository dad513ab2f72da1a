//! The adapter folder of Hugging Face PEFT: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! What is read is computed as PEFT computes it, or refused by the name of the key that asks for
//! something else. What was read and is written again is the same adapter to PEFT.

use super::files::serialize;
use crate::config::check::MAX_RANK;
use crate::files::replace;
use crate::kernel::Lora;
use crate::model::lora::{Adapter, AdapterConfig, Module, PerModule};
use crate::model::spec::Spec;
use crate::model::weights::Weights;
use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::{DType, Device};
use regex::Regex;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What PEFT puts before the name of every tensor.
const PREFIX: &str = "base_model.model.";

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

const FOLDER: &str = "an adapter folder holds adapter_config.json and adapter_model.safetensors";
const OTHER_BASE: &str = "\n  hint: the adapter belongs to another base model";
const NOT_PLAIN: &str =
    "\n  hint: plain LoRA of the linear layers is supported; merge the adapter into its base with PEFT";

/// Keys that make something else of LoRA, each with the values (as JSON) at which they do not.
/// `null`, `[]`, `{}` and an absent key never do.
const PLAIN: &[(&str, &[&str])] = &[
    ("alora_invocation_tokens", &[]),
    ("arrow_config", &[]),
    ("bias", &["\"none\""]),
    ("fan_in_fan_out", &["false"]),
    // The others change the base before training, so that the adapter fits no other.
    ("init_lora_weights", &["true", "false", "\"gaussian\"", "\"eva\"", "\"orthogonal\""]),
    ("kasa_config", &[]),
    ("layer_replication", &[]),
    ("lora_bias", &["false"]),
    ("modules_to_save", &[]),
    ("monteclora_config", &[]),
    ("peft_type", &["\"LORA\""]),
    ("target_parameters", &[]),
    ("trainable_token_indices", &[]),
    ("use_bdlora", &["false"]),
    ("use_dora", &["false"]),
    ("use_qalora", &["false"]),
    ("velora_config", &[]),
];

/// Writes an adapter into `folder`, which is made if it is not there.
///
/// Each file appears under its name only when it is complete and on the disk; a folder that held an
/// older adapter of the same run holds one or the other whole at every moment.
///
/// # Errors
/// When the disk refuses: full, read-only, no permission.
pub fn write(folder: &Path, adapter: &Adapter, base: &str) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let AdapterConfig { r, alpha, dropout, rslora, rank_pattern, alpha_pattern, .. } = &adapter.config;
    let alphas: BTreeMap<&str, Value> =
        alpha_pattern.iter().map(|(key, a)| (key.as_str(), number(*a))).collect();
    let config = json!({
        "alpha_pattern": alphas,
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": number(*alpha),
        "lora_bias": false,
        "lora_dropout": dropout,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": r,
        "rank_pattern": rank_pattern,
        "target_modules": targets(adapter),
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": rslora,
    });
    let config = serde_json::to_string_pretty(&config)? + "\n";
    let tensors = adapter.tensors().into_iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor));
    let weights = serialize(tensors, BTreeMap::from([("format".into(), "pt".into())]))?;
    replace(&folder.join(CONFIG), config.as_bytes())?;
    replace(&folder.join(WEIGHTS), &weights)
}

/// A whole number without its point, as PEFT has it.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 1e9 { Value::from(x as i64) } else { Value::from(x) }
}

/// The names of the adapted modules; their paths where not every layer has the same ones.
fn targets(adapter: &Adapter) -> Vec<String> {
    let adapted =
        |block: &PerModule<Option<Lora>>| Module::ALL.map(|module| block[module as usize].is_some());
    let mut blocks = adapter.layers.iter().map(adapted);
    let first = blocks.next().unwrap_or_default();
    let every_layer = blocks.all(|block| block == first);
    let layers = if every_layer { adapter.layers.len().min(1) } else { adapter.layers.len() };
    let name = |layer, module: Module| if every_layer { module.name().into() } else { module.path(layer) };
    (0..layers)
        .flat_map(|layer| Module::ALL.map(|module| (layer, module)))
        .filter(|&(layer, module)| adapter.layers[layer][module as usize].is_some())
        .map(|(layer, module)| name(layer, module))
        .collect()
}

/// Reads an adapter for the model that `spec` describes, in f32 on `device`.
///
/// # Errors
/// When a file cannot be read, asks for more than LoRA of linear layers, or does not fit the model:
/// names the file, and the key or the tensor.
pub fn read(folder: &Path, spec: &Spec, device: &Device) -> Result<Adapter> {
    ensure!(folder.is_dir(), "{}: no such folder\n  hint: {FOLDER}", folder.display());
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| anyhow!("{}: {error}\n  hint: {FOLDER}", path.display()))?;
    let described = parse(&text).with_context(|| path.display().to_string())?;
    let path = folder.join(WEIGHTS);
    ensure!(
        path.is_file(),
        "{}: no such file\n  hint: {FOLDER}; convert older .bin files with PEFT",
        path.display()
    );
    fill(described, Weights::file(&path)?, spec, device)
        .map_err(|error| anyhow!("{}: {error:#}", path.display()))
}

/// What `adapter_config.json` says.
struct Described {
    config: AdapterConfig,
    /// Patterns in their order, as PEFT matches them.
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
    /// Whether the modules of these names are adapted in every layer; otherwise the tensors tell.
    everywhere: Option<BTreeSet<String>>,
}

fn parse(text: &str) -> Result<Described> {
    let config: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        anyhow!("{error}\n  hint: the file is cut short or is something else; fetch it again")
    })?;
    for (key, plain) in PLAIN {
        let Some(value) = config.get(*key) else { continue };
        let empty = value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty);
        let plain =
            plain.iter().any(|plain| serde_json::from_str::<Value>(plain).is_ok_and(|plain| plain == *value));
        ensure!(empty || plain, "{key} = {value} is not supported{NOT_PLAIN}");
    }
    let get = |key: &str| config.get(key).filter(|value| !value.is_null());
    let size = |key: &str, value: &Value| {
        let size = value.as_u64().filter(|&r| (1..=MAX_RANK as u64).contains(&r));
        size.map(|r| r as usize).with_context(|| format!("{key} = {value} is not a rank"))
    };
    let figure = |key: &str, value: &Value| {
        value.as_f64().filter(|a| a.is_finite()).with_context(|| format!("{key} = {value} is not a number"))
    };
    let missing = |key: &str| format!("{key} is missing\n  hint: {FOLDER}");
    let pattern = |key: &str| -> Result<Vec<(String, Regex, Value)>> {
        let Some(patterns) = get(key) else { return Ok(Vec::new()) };
        let patterns =
            patterns.as_object().with_context(|| format!("{key} = {patterns} is not an object"))?;
        let compile = |(name, value): (&String, &Value)| {
            let regex = Regex::new(&format!("^(?:.*\\.)?(?:{name})$")).map_err(|error| {
                anyhow!(
                    "{key}: {name:?} is no regular expression: {error}\n  hint: name the layers as PEFT does"
                )
            })?;
            Ok((name.clone(), regex, value.clone()))
        };
        patterns.iter().map(compile).collect()
    };
    let (mut ranks, mut rank_pattern) = (Vec::new(), BTreeMap::new());
    for (name, regex, value) in pattern("rank_pattern")? {
        let rank = size("rank_pattern", &value)?;
        rank_pattern.insert(name, rank);
        ranks.push((regex, rank));
    }
    let (mut alphas, mut alpha_pattern) = (Vec::new(), BTreeMap::new());
    for (name, regex, value) in pattern("alpha_pattern")? {
        let alpha = figure("alpha_pattern", &value)?;
        alpha_pattern.insert(name, alpha);
        alphas.push((regex, alpha));
    }
    let chosen =
        ["layers_to_transform", "layers_pattern", "exclude_modules"].iter().any(|key| get(key).is_some());
    let everywhere = match get("target_modules") {
        Some(Value::Array(names)) if !chosen => {
            Some(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => None,
    };
    let config = AdapterConfig {
        r: size("r", get("r").with_context(|| missing("r"))?)?,
        alpha: figure("lora_alpha", get("lora_alpha").with_context(|| missing("lora_alpha"))?)?,
        dropout: get("lora_dropout").map_or(Ok(0.0), |value| figure("lora_dropout", value))?,
        rslora: get("use_rslora").and_then(Value::as_bool).unwrap_or(false),
        targets: Vec::new(),
        rank_pattern,
        alpha_pattern,
    };
    Ok(Described { config, ranks, alphas, everywhere })
}

/// Takes the matrices of every module that has any.
fn fill(described: Described, mut file: Weights, spec: &Spec, device: &Device) -> Result<Adapter> {
    let Described { mut config, ranks, alphas, everywhere } = described;
    let mut layers = Vec::with_capacity(spec.layers);
    for layer in 0..spec.layers {
        let mut block: PerModule<Option<Lora>> = [const { None }; Module::ALL.len()];
        for module in Module::ALL {
            let path = module.path(layer);
            let [a, b] = ["A", "B"].map(|side| format!("{PREFIX}{path}.lora_{side}.weight"));
            let named = everywhere.as_ref().is_some_and(|names| {
                names.iter().any(|name| path == *name || path.ends_with(&format!(".{name}")))
            });
            if !named && !file.has(&a) && !file.has(&b) {
                continue;
            }
            let rank =
                ranks.iter().find(|(regex, _)| regex.is_match(&path)).map_or(config.r, |(_, rank)| *rank);
            let alpha = alphas
                .iter()
                .find(|(regex, _)| regex.is_match(&path))
                .map_or(config.alpha, |(_, alpha)| *alpha);
            let (out, input) = module.shape(spec);
            let mut take = |name: &str, shape: [usize; 2]| {
                let found = file.shape(name);
                let found = found
                    .with_context(|| format!("tensor {name} is missing, {CONFIG} asks for it{OTHER_BASE}"))?;
                ensure!(
                    found == shape,
                    "tensor {name} has shape {found:?}, but {shape:?} was expected{OTHER_BASE}"
                );
                file.take(name, &shape, DType::F32, device)
            };
            let (a, b) = (take(&a, [rank, input])?, take(&b, [out, rank])?);
            block[module as usize] = Some(Lora { a, b, scale: config.scale(rank, alpha) });
            if !config.targets.contains(&module) {
                config.targets.push(module);
            }
        }
        layers.push(block);
    }
    if let Some(first) = file.names().next() {
        bail!("tensor {first} belongs to no linear layer of this model{OTHER_BASE}");
    }
    ensure!(!config.targets.is_empty(), "there is no matrix in it{OTHER_BASE}");
    config.targets.sort_by_key(|&module| module as usize);
    Ok(Adapter { config, layers })
}

#[cfg(test)]
mod tests;
