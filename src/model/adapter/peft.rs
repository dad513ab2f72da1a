//! The adapter folder of Hugging Face PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use crate::model::lora::Adapter;
use anyhow::{Context, Result};
use candle_core::{DType, Device};
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// What PEFT puts before the name of every tensor.
const PREFIX: &str = "base_model.model.";

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "PEFT's format, not ours")]
struct Config<'a> {
    base_model_name_or_path: &'a str,
    bias: &'static str,
    fan_in_fan_out: bool,
    inference_mode: bool,
    init_lora_weights: bool,
    lora_alpha: f64,
    lora_dropout: f64,
    peft_type: &'static str,
    r: usize,
    target_modules: Vec<&'static str>,
    task_type: &'static str,
    use_rslora: bool,
}

/// Writes an adapter into `folder`, which is made if it is not there.
///
/// Each file appears under its name only when it is complete and on the disk; a folder that held an
/// older adapter of the same run holds one or the other whole at every moment.
///
/// # Errors
/// When the disk refuses: full, read-only, no permission.
pub fn write(folder: &Path, adapter: &Adapter, base: &str) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let config = Config {
        base_model_name_or_path: base,
        bias: "none",
        fan_in_fan_out: false,
        inference_mode: true,
        init_lora_weights: true,
        lora_alpha: adapter.config.alpha,
        lora_dropout: adapter.config.dropout,
        peft_type: "LORA",
        r: adapter.config.r,
        target_modules: adapter.config.targets.iter().map(|module| module.name()).collect(),
        task_type: "CAUSAL_LM",
        use_rslora: adapter.config.rslora,
    };
    let config = serde_json::to_string_pretty(&config)? + "\n";
    let tensors = adapter.tensors().into_iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor));
    let weights = serialize(tensors, BTreeMap::from([("format".into(), "pt".into())]))?;
    replace(&folder.join("adapter_config.json"), config.as_bytes())?;
    replace(&folder.join("adapter_model.safetensors"), &weights)
}

/// Tensors as the bytes of a safetensors file, in f32.
pub fn serialize<'a>(
    tensors: impl Iterator<Item = (String, &'a candle_core::Tensor)>,
    metadata: BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        let values: Vec<f32> =
            tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        data.push((name, tensor.dims().to_vec(), bytes));
    }
    let views = data
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize(views, Some(metadata.into_iter().collect()))?)
}

/// Puts `bytes` under `path` in one step: written aside, synced, renamed.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file needs a folder")?;
    let put = || -> std::io::Result<()> {
        let mut aside = aside(folder)?;
        aside.as_file_mut().write_all(bytes)?;
        aside.as_file().sync_all()?;
        aside.persist(path)?;
        // The new name is on the disk only when the folder is.
        if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
    };
    put().with_context(|| format!("{} cannot be written", path.display()))
}

/// A file to fill before it gets its name, readable by whom the user's umask lets read.
fn aside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
