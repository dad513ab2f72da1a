//! The model against the oracle, on the embedded base and on a random one with a head of its own.

use super::lora::AdapterConfig;
use super::*;
use crate::config::Dtype;
use candle_core::Var;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype as FileDtype, TensorView};

/// An adapter whose B is not zero, so that every gradient has something to say.
fn adapter(model: &CausalLm, targets: &[Module]) -> Adapter {
    let config = AdapterConfig {
        r: 4,
        alpha: 6.0,
        rslora: true,
        targets: targets.to_vec(),
        ..AdapterConfig::default()
    };
    let mut adapter = Adapter::new(config, &model.spec, 5, &model.device).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(6);
    for tensor in adapter.tensors_mut() {
        let values: Vec<f32> = (0..tensor.elem_count()).map(|_| random.random_range(-0.1..0.1)).collect();
        *tensor = Tensor::from_vec(values, tensor.dims(), &model.device).unwrap();
    }
    adapter
}

/// The tokens of a row, and its targets as [`Batch::targets`] has them.
type Row = (Vec<u32>, Vec<(u32, u32)>);

/// Rows of random tokens; loss on the second half of each.
fn rows(model: &CausalLm) -> Vec<Row> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    [19, 2, 33]
        .into_iter()
        .map(|length: u32| {
            let ids: Vec<u32> =
                (0..length).map(|_| random.random_range(0..model.spec.vocab as u32)).collect();
            let targets = (length / 2..length).map(|i| (i - 1, ids[i as usize])).collect();
            (ids, targets)
        })
        .collect()
}

fn pack(rows: &[Row]) -> Batch {
    let mut batch =
        Batch { ids: vec![], layout: Layout { starts: vec![0], positions: vec![] }, targets: vec![] };
    for (ids, targets) in rows {
        let start = batch.ids.len() as u32;
        batch.ids.extend(ids);
        batch.layout.positions.extend(0..ids.len() as u32);
        batch.layout.starts.push(batch.ids.len());
        batch.targets.extend(targets.iter().map(|&(row, token)| (start + row, token)));
    }
    batch
}

/// A small random model in a folder, untied, with heads that are wider than hidden / heads.
fn random_folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 24, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 40, "vocab_size": 50,
        "rms_norm_eps": 1e-5, "rope_theta": 1000.0, "max_position_embeddings": 64}"#;
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    let spec = Spec::parse(config).unwrap();
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![50, 24]),
        ("lm_head.weight".to_owned(), vec![50, 24]),
        ("model.norm.weight".to_owned(), vec![24]),
    ];
    for layer in 0..spec.layers {
        for module in Module::ALL {
            let (out, input) = module.shape(&spec);
            shapes.push((format!("{}.weight", module.path(layer)), vec![out, input]));
        }
        shapes.push((format!("model.layers.{layer}.input_layernorm.weight"), vec![24]));
        shapes.push((format!("model.layers.{layer}.post_attention_layernorm.weight"), vec![24]));
    }
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let n: usize = shape.iter().product();
            let bytes = (0..n).flat_map(|_| random.random_range(-0.5f32..0.5).to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = data
        .iter()
        .map(|(name, shape, b)| (name, TensorView::new(FileDtype::F32, shape.clone(), b).unwrap()));
    std::fs::write(dir.path().join("model.safetensors"), safetensors::serialize(views, None).unwrap())
        .unwrap();
    dir
}

fn scalar(t: &Tensor) -> f64 {
    t.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
}

fn assert_equals_oracle(model: &CausalLm, targets: &[Module]) {
    let adapter = adapter(model, targets);
    let rows = rows(model);
    let variables: Vec<Var> = oracle::variables(&adapter);
    let (mut expected_loss, mut expected) = (0.0, vec![None::<Tensor>; variables.len()]);
    for (ids, targets) in &rows {
        let (loss, grads) = oracle::loss(model, &adapter, &variables, ids, targets);
        expected_loss += scalar(&loss);
        for (sum, variable) in expected.iter_mut().zip(&variables) {
            let grad = grads.get(variable).expect("the oracle must reach every variable").clone();
            *sum = Some(sum.take().map_or(grad.clone(), |sum| (sum + grad).unwrap()));
        }
    }
    let batch = pack(&rows);
    let (loss, gradients) = model.forward_backward(Training::default(), &batch, &adapter).unwrap();
    let total: f64 = loss.nats.iter().map(|&n| f64::from(n)).sum();
    assert!((total - expected_loss).abs() < 1e-5 * expected_loss, "loss {total}, oracle {expected_loss}");
    let gradients = gradients.tensors();
    assert_eq!(gradients.len(), expected.len());
    for ((ours, expected), (name, _)) in gradients.iter().zip(&expected).zip(adapter.tensors()) {
        let expected = expected.as_ref().unwrap();
        let largest =
            |t: Tensor| t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        let off = largest((*ours - expected).unwrap()) / largest(expected.clone());
        assert!(off < 1e-4, "{name}: off by {off:e}");
    }
    let evaluated = model.evaluate(&batch, &adapter).unwrap();
    assert_eq!(evaluated.nats, loss.nats, "evaluation and training must see the same loss");
}

#[test]
fn gradients_equal_the_oracle_on_the_embedded_base() {
    let model = CausalLm::load(BUILTIN, Dtype::F32, 64, &Device::Cpu).unwrap();
    assert_equals_oracle(&model, &Module::ALL);
}

#[test]
fn gradients_equal_the_oracle_on_an_untied_model() {
    let dir = random_folder();
    let path = dir.path().to_str().unwrap();
    for kernels in [Kernels::Cpu, Kernels::Portable] {
        let mut model = CausalLm::load(path, Dtype::F32, 64, &Device::Cpu).unwrap();
        model.kernels = kernels;
        assert_equals_oracle(&model, &Module::ALL);
        assert_equals_oracle(&model, &[Module::Query, Module::Value]);
        assert_equals_oracle(&model, &[Module::Down]);
    }
}

#[test]
fn dropout_in_the_backward_pass_is_that_of_the_forward_pass() {
    let dir = random_folder();
    let model = CausalLm::load(dir.path().to_str().unwrap(), Dtype::F32, 64, &Device::Cpu).unwrap();
    let adapter = adapter(&model, &Module::ALL);
    let batch = pack(&rows(&model));
    let dropout = Dropout::new(0.25, 99);
    let objective = |adapter: &Adapter| -> f64 {
        let (loss, _) =
            model.forward_backward(Training { dropout, ..Training::default() }, &batch, adapter).unwrap();
        loss.nats.iter().map(|&n| f64::from(n)).sum()
    };
    let (_, gradients) =
        model.forward_backward(Training { dropout, ..Training::default() }, &batch, &adapter).unwrap();
    let names: Vec<String> = adapter.tensors().into_iter().map(|(name, _)| name).collect();
    for (index, gradient) in gradients.tensors().into_iter().enumerate() {
        // Along the gradient itself the derivative is its squared length.
        let length = scalar(&gradient.sqr().unwrap().sum_all().unwrap()).sqrt();
        let step = 2e-2 / length;
        let moved = |sign: f64| {
            let mut moved = adapter.clone();
            let tensor: &mut Tensor = moved.tensors_mut().swap_remove(index);
            *tensor = (&*tensor + gradient.affine(sign * step, 0.0).unwrap()).unwrap();
            objective(&moved)
        };
        let numeric = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        let off = (numeric - length * length).abs() / (length * length);
        assert!(off < 2e-2, "{}: {numeric} against {}", names[index], length * length);
    }
}

#[test]
fn what_is_kept_does_not_change_a_bit() {
    let dir = random_folder();
    let model = CausalLm::load(dir.path().to_str().unwrap(), Dtype::F32, 64, &Device::Cpu).unwrap();
    let mut adapter = adapter(&model, &Module::ALL);
    adapter.layers[0] = [const { None }; 7];
    let batch = pack(&rows(&model));
    let pass = |keep| {
        let dropout = Dropout::new(0.25, 99);
        let training = Training { keep, dropout, noise: Noise::new(5.0, 3, 4), grad_scale: 1.0 };
        let (loss, gradients) = model.forward_backward(training, &batch, &adapter).unwrap();
        let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (loss.nats, gradients.tensors().into_iter().map(numbers).collect::<Vec<_>>())
    };
    let (all, inputs) = (pass(Keep::Activations), pass(Keep::Inputs));
    assert!(!all.1.is_empty());
    assert_eq!(all, inputs);
}

#[test]
fn nothing_is_computed_below_the_first_adapted_layer() {
    let dir = random_folder();
    let model = CausalLm::load(dir.path().to_str().unwrap(), Dtype::F32, 64, &Device::Cpu).unwrap();
    let mut adapter = adapter(&model, &Module::ALL);
    adapter.layers[0] = [const { None }; 7];
    assert_eq!(adapter.first_layer(), 1);
    let (_, gradients) = model.forward_backward(Training::default(), &pack(&rows(&model)), &adapter).unwrap();
    assert!(gradients.layers[0].iter().all(Option::is_none));
    assert!(gradients.layers[1].iter().all(Option::is_some));
}

#[test]
fn a_model_that_cannot_be_loaded_says_why() {
    let refused =
        |path: &str| format!("{:#}", CausalLm::load(path, Dtype::F32, 64, &Device::Cpu).err().unwrap());
    assert!(
        refused("no/such/folder")
            .starts_with("model.path = \"no/such/folder\": no such folder\n  hint: give ")
    );
    let long = CausalLm::load(BUILTIN, Dtype::F32, 1 << 20, &Device::Cpu).err().unwrap().to_string();
    assert!(
        long.contains("but the model knows 1024 positions\n  hint: --set data.max_length=1024"),
        "{long}"
    );
    let dir = random_folder();
    let config = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
    std::fs::write(
        dir.path().join("config.json"),
        config.replace("\"vocab_size\": 50", "\"vocab_size\": 60"),
    )
    .unwrap();
    let error = refused(dir.path().to_str().unwrap());
    assert!(
        error.contains("tensor model.embed_tokens.weight has shape [50, 24], but config.json says [60, 24]"),
        "{error}"
    );
}

#[test]
fn an_adapter_folder_has_the_names_and_shapes_of_peft() {
    let model = CausalLm::load(BUILTIN, Dtype::Auto, 64, &Device::Cpu).unwrap();
    assert_eq!(model.dtype, DType::BF16, "the embedded base is stored in bf16");
    let adapter = adapter(&model, &[Module::Query, Module::Down]);
    let dir = tempfile::tempdir().unwrap();
    adapter::peft::write(dir.path(), &adapter, BUILTIN).unwrap();
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(config["target_modules"], serde_json::json!(["q_proj", "down_proj"]));
    assert_eq!((&config["r"], &config["use_rslora"]), (&4.into(), &true.into()));
    let bytes = std::fs::read(dir.path().join("adapter_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 2 * 2 * model.spec.layers);
    let b = file.tensor("base_model.model.model.layers.3.mlp.down_proj.lora_B.weight").unwrap();
    assert_eq!(b.shape(), [model.spec.hidden, 4]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else may be left behind");
}
