//! The base with the adapter added to it, as a model folder in Hugging Face form.
//!
//! Every tensor keeps its name and its type: a sum is computed in f32 and rounded to what the base is
//! stored in. One tensor is in memory at a time.

use crate::files;
use crate::kernel::Lora;
use crate::model::load::weights_of;
use crate::model::lora::{Adapter, Module};
use crate::model::spec::Spec;
use crate::model::{BUILTIN, base};
use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Ends of the names of files that belong to a model and are no weights: configurations, tokenizer, licence.
const BESIDE: &[&str] = &[".json", ".jinja", ".model", ".txt", ".md", "LICENSE"];

/// Writes base and adapter as one model into `folder`, which must exist.
///
/// `path` names the base as [`crate::model::CausalLm::load`] has it, `spec` describes it.
///
/// # Errors
/// When the base cannot be read, a sum is not finite, or the disk refuses.
pub fn write(folder: &Path, adapter: &Adapter, spec: &Spec, path: &str) -> Result<()> {
    let weights = weights_of(path)?;
    let mut updates: BTreeMap<String, &Lora> = BTreeMap::new();
    for (layer, block) in adapter.layers.iter().enumerate() {
        for module in Module::ALL {
            if let Some(lora) = &block[module as usize] {
                let name = format!("{}.weight", module.path(layer));
                let (out, input) = module.shape(spec);
                ensure!(
                    weights.shape(&name).is_some_and(|shape| shape == [out, input]),
                    "{path}: tensor {name} is not of the shape that config.json says\n  \
                     hint: take config.json and *.safetensors from the same model"
                );
                updates.insert(name, lora);
            }
        }
    }
    let names: Vec<String> = weights.names().map(str::to_owned).collect();
    let mut header = Map::from_iter([("__metadata__".to_owned(), json!({"format": "pt"}))]);
    let mut offset = 0;
    for name in &names {
        let (dtype, shape, bytes) = weights.raw(name).with_context(|| format!("tensor {name} is missing"))?;
        let end = offset + bytes.len();
        header.insert(
            name.clone(),
            json!({"dtype": dtype.to_string(), "shape": shape, "data_offsets": [offset, end]}),
        );
        offset = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // The data begin at a multiple of 8 bytes, as readers that map the file like it.
    header.resize(header.len().next_multiple_of(8), b' ');
    files::replace_with(&folder.join("model.safetensors"), |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for name in &names {
            let Some((dtype, shape, bytes)) = weights.raw(name) else { continue };
            match updates.get(name) {
                None => file.write_all(bytes)?,
                Some(lora) => {
                    let sum = add(dtype, shape, bytes, lora)
                        .map_err(|error| std::io::Error::other(format!("tensor {name}: {error:#}")))?;
                    file.write_all(&sum)?;
                }
            }
        }
        Ok(())
    })?;
    beside(folder, path)
}

/// `W + scale * B A` in the type of `W`, as bytes.
fn add(dtype: Dtype, shape: &[usize], bytes: &[u8], lora: &Lora) -> Result<Vec<u8>> {
    let floats: Vec<f32> = match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        other => anyhow::bail!("it is {other:?}; f32, f16 and bf16 are supported"),
    };
    let on_host = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32);
    let update = on_host(&lora.b)?.matmul(&on_host(&lora.a)?)?.affine(f64::from(lora.scale), 0.0)?;
    let sum: Vec<f32> =
        (Tensor::from_vec(floats, shape, &Device::Cpu)? + update)?.flatten_all()?.to_vec1()?;
    let finite = match dtype {
        Dtype::F16 => sum.iter().all(|x| f16::from_f32(*x).is_finite()),
        Dtype::BF16 => sum.iter().all(|x| bf16::from_f32(*x).is_finite()),
        _ => sum.iter().all(|x| x.is_finite()),
    };
    ensure!(
        finite,
        "base and adapter do not add up to numbers that {dtype:?} can hold\n  \
         hint: take the adapter of a run that has not diverged"
    );
    Ok(match dtype {
        Dtype::F16 => sum.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        Dtype::BF16 => sum.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        _ => sum.iter().flat_map(|x| x.to_le_bytes()).collect(),
    })
}

/// Copies what is not weights: configuration and tokenizer.
fn beside(folder: &Path, path: &str) -> Result<()> {
    if path == BUILTIN {
        for (name, text) in [
            ("config.json", base::CONFIG),
            ("tokenizer.json", base::TOKENIZER),
            ("tokenizer_config.json", base::TOKENIZER_CONFIG),
        ] {
            files::replace(&folder.join(name), text.as_bytes())?;
        }
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(|| path.to_owned())? {
        let entry = entry.with_context(|| path.to_owned())?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let wanted =
            BESIDE.iter().any(|end| text.ends_with(end)) && !text.ends_with(".safetensors.index.json");
        if wanted && entry.path().is_file() {
            std::fs::copy(entry.path(), folder.join(&name))
                .with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(())
}
