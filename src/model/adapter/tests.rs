//! What is handed over, read back: the update must be the one that the adapter makes.

use super::*;
use crate::config::Dtype;
use crate::kernel::{Layout, Lora};
use crate::model::lora::{Adapter, Module};
use crate::model::spec::Spec;
use crate::model::weights::Weights;
use crate::model::{Batch, CausalLm};
use candle_core::quantized::gguf_file;
use candle_core::{DType, Device, Tensor};
use std::path::{Path, PathBuf};

const FAMILIES: &[&str] = &["llama2", "llama3", "llama-bias", "smollm2", "mistral", "qwen2", "qwen3"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

fn read(name: &str) -> (Spec, Adapter) {
    let spec = Spec::of(fixture(name).to_str().unwrap()).unwrap();
    let adapter = peft::read(&fixture(name).join("adapter"), &spec, &Device::Cpu).unwrap();
    (spec, adapter)
}

/// `scale * B A`, what is added to a matrix.
fn update(lora: &Lora) -> Tensor {
    lora.b.matmul(&lora.a).unwrap().affine(f64::from(lora.scale), 0.0).unwrap()
}

/// Largest difference over largest magnitude.
fn off(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let largest =
        |t: &Tensor| t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    largest(&(a - b).unwrap()) / largest(b)
}

/// Every adapted module of an adapter.
fn each(adapter: &Adapter, mut check: impl FnMut(usize, Module, &Lora)) {
    for (layer, block) in adapter.layers.iter().enumerate() {
        for module in Module::ALL {
            if let Some(lora) = &block[module as usize] {
                check(layer, module, lora);
            }
        }
    }
}

#[test]
fn mlx_adds_what_the_adapter_adds() {
    for name in FAMILIES {
        let (spec, mut adapter) = read(name);
        // A layer that differs in what is adapted.
        adapter.layers[1][Module::Value as usize] = None;
        let dir = tempfile::tempdir().unwrap();
        mlx::write(dir.path(), &adapter, &spec, "base").unwrap();
        let text = std::fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&config["fine_tune_type"], &config["num_layers"]), (&"lora".into(), &2.into()));
        let parameters = &config["lora_parameters"];
        let (rank, scale) =
            (parameters["rank"].as_u64().unwrap() as usize, parameters["scale"].as_f64().unwrap());
        assert_eq!(parameters["keys"][0], "self_attn.q_proj");
        let mut file = Weights::file(&dir.path().join("adapters.safetensors")).unwrap();
        let mut take =
            |path: &str, shape: [usize; 2]| file.take(path, &shape, DType::F32, &Device::Cpu).unwrap();
        for layer in 0..2 {
            for &module in &adapter.config.targets {
                let ((out, input), path) = (module.shape(&spec), module.path(layer));
                let a = take(&format!("{path}.lora_a"), [input, rank]);
                let b = take(&format!("{path}.lora_b"), [rank, out]);
                let theirs = a.matmul(&b).unwrap().t().unwrap().affine(scale, 0.0).unwrap();
                match &adapter.layers[layer][module as usize] {
                    Some(lora) => assert!(off(&theirs, &update(lora)) < 1e-5, "{name}: {path}"),
                    None => {
                        assert_eq!(theirs.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
                    }
                }
            }
        }
        file.finish().unwrap();
    }
}

/// The rows of a query or key matrix in the order in which llama.cpp keeps them, one by one: in each head the
/// first of the lower half, the first of the upper half, the second of the lower half...
fn interleave(matrix: &Tensor, dim: usize) -> Tensor {
    let rows = matrix.dims()[0];
    let order: Vec<u32> = (0..rows)
        .map(|row| (row / dim * dim, row % dim))
        .map(|(head, at)| (head + at / 2 + (at % 2) * (dim / 2)) as u32)
        .collect();
    matrix.index_select(&Tensor::new(order, &Device::Cpu).unwrap(), 0).unwrap()
}

#[test]
fn gguf_adds_what_the_adapter_adds_in_the_order_of_the_rows_of_its_base() {
    for name in FAMILIES {
        let (spec, adapter) = read(name);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("adapter.gguf");
        gguf::write(&path, &adapter, &spec, "a name").unwrap();
        let mut file = std::fs::File::open(&path).unwrap();
        let content = gguf_file::Content::read(&mut file).unwrap();
        let text = |key: &str| content.metadata[key].to_string().unwrap().clone();
        assert_eq!((text("general.type"), text("adapter.type")), ("adapter".into(), "lora".into()));
        let architecture = text("general.architecture");
        assert_eq!(architecture, if name.starts_with("qwen") { *name } else { "llama" });
        let alpha = content.metadata["adapter.lora.alpha"].to_f32().unwrap();
        let mut read = 0;
        each(&adapter, |layer, module, lora| {
            let known = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
            let base = format!("blk.{layer}.{}.weight", known[module as usize]);
            let mut take = |side: &str| {
                read += 1;
                let tensor = content.tensor(&mut file, &format!("{base}.{side}"), &Device::Cpu).unwrap();
                tensor.dequantize(&Device::Cpu).unwrap()
            };
            let (a, b) = (take("lora_a"), take("lora_b"));
            let (out, input) = module.shape(&spec);
            assert_eq!((a.dims()[1], b.dims()[0], a.dims()[0]), (input, out, b.dims()[1]));
            // As llama.cpp has it: alpha over the rank of the matrix.
            let scale = f64::from(alpha) / b.dims()[1] as f64;
            let theirs = b.matmul(&a).unwrap().affine(scale, 0.0).unwrap();
            let turned = matches!(module, Module::Query | Module::Key) && architecture == "llama";
            let ours = update(lora);
            let ours = if turned { interleave(&ours, spec.heads.dim) } else { ours };
            assert!(off(&theirs, &ours) < 1e-5, "{name}: {base}");
        });
        assert_eq!(content.tensor_infos.len(), read, "{name}: nothing else may be in it");
    }
}

#[test]
fn a_scale_of_zero_stays_zero() {
    let (spec, mut adapter) = read("llama2");
    adapter.config.alpha = 0.0;
    for lora in adapter.layers.iter_mut().flatten().flatten() {
        lora.scale = 0.0;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adapter.gguf");
    gguf::write(&path, &adapter, &spec, "nothing").unwrap();
    let mut file = std::fs::File::open(&path).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    // To llama.cpp an alpha of 0 says that the scale is 1.
    assert!(content.metadata["adapter.lora.alpha"].to_f32().unwrap() > 0.0);
    let b = content.tensor(&mut file, "blk.0.attn_v.weight.lora_b", &Device::Cpu).unwrap();
    let b = b.dequantize(&Device::Cpu).unwrap();
    assert_eq!(b.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
}

#[test]
fn a_merged_model_says_what_base_and_adapter_say() {
    let ids: Vec<u32> = (0..20).map(|i| i * 7 % 48).collect();
    let targets = (1..20).map(|i| (i as u32 - 1, ids[i])).collect();
    let batch = Batch {
        layout: Layout { starts: vec![0, 20], positions: (0..20).collect() },
        targets,
        ids: ids.clone(),
    };
    for name in FAMILIES {
        let (spec, adapter) = read(name);
        let folder = fixture(name);
        let dir = tempfile::tempdir().unwrap();
        merged::write(dir.path(), &adapter, &spec, folder.to_str().unwrap()).unwrap();
        let load =
            |path: &Path| CausalLm::load(path.to_str().unwrap(), Dtype::F32, 32, &Device::Cpu).unwrap();
        let apart = load(&folder).logits(&batch, &adapter).unwrap();
        let together = load(dir.path());
        let merged = together.logits(&batch, &Adapter::none(&spec)).unwrap();
        // What the base is stored in rounds the sums.
        let allowed = match spec.dtype.unwrap() {
            DType::F32 => 1e-5,
            DType::F16 => 5e-3,
            _ => 4e-2,
        };
        let off = off(&merged, &apart);
        assert!(off < allowed, "{name}: off by {off:e}");
        assert!(!dir.path().join("model.safetensors.index.json").exists(), "an index without its shards");
    }
}
