//! Adapters of PEFT read and written again, and every kind that is refused.

use super::*;
use crate::model::BUILTIN;
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

fn spec(name: &str) -> Spec {
    Spec::of(fixture(name).to_str().unwrap()).unwrap()
}

fn json(path: &Path) -> Map<String, Value> {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Tensors of a file by name: shape and bytes.
fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.iter().map(|(name, view)| (name.into(), (view.shape().to_vec(), view.data().to_vec()))).collect()
}

#[test]
fn what_peft_wrote_is_read_and_written_unchanged() {
    for name in ["llama2", "smollm2", "qwen2", "qwen3"] {
        let folder = fixture(name).join("adapter");
        let adapter = read(&folder, &spec(name), &Device::Cpu).unwrap();
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &adapter, name).unwrap();
        assert_eq!(tensors(&dir.path().join(WEIGHTS)), tensors(&folder.join(WEIGHTS)), "{name}");
        let (ours, theirs) = (json(&dir.path().join(CONFIG)), json(&folder.join(CONFIG)));
        for (key, value) in &ours {
            let sorted = |value: &Value| -> Option<BTreeSet<String>> {
                value.as_array().map(|all| all.iter().map(ToString::to_string).collect())
            };
            // The modules are a set, which PEFT writes in any order.
            let same =
                value == &theirs[key] || sorted(value).is_some() && sorted(value) == sorted(&theirs[key]);
            assert!(same, "{name}: {key} = {value}, PEFT wrote {}", theirs[key]);
        }
        let again = read(dir.path(), &spec(name), &Device::Cpu).unwrap();
        assert_eq!(again.config, adapter.config, "{name}");
    }
}

#[test]
fn patterns_and_rank_stabilisation_reach_the_scale() {
    let scale = |adapter: &Adapter, layer: usize, module: Module| {
        adapter.layers[layer][module as usize].as_ref().unwrap().scale
    };
    let qwen3 = read(&fixture("qwen3/adapter"), &spec("qwen3"), &Device::Cpu).unwrap();
    // r = 4, alpha = 8; down_proj has rank 2, q and k of layer 1 rank 6, v of layer 0 alpha 5, gate alpha 3.
    assert_eq!(scale(&qwen3, 0, Module::Query), 2.0);
    assert_eq!(scale(&qwen3, 1, Module::Query), 8.0 / 6.0);
    assert_eq!(scale(&qwen3, 1, Module::Down), 4.0);
    assert_eq!(scale(&qwen3, 0, Module::Value), 1.25);
    assert_eq!(scale(&qwen3, 1, Module::Value), 2.0);
    assert_eq!(scale(&qwen3, 0, Module::Gate), 0.75);
    let qwen2 = read(&fixture("qwen2/adapter"), &spec("qwen2"), &Device::Cpu).unwrap();
    assert_eq!(scale(&qwen2, 0, Module::Query), 4.0, "8 / sqrt(4)");
}

/// The error for a fixture's adapter after its configuration was changed.
fn refused(change: impl FnOnce(&mut Map<String, Value>)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let folder = fixture("llama2/adapter");
    std::fs::copy(folder.join(WEIGHTS), dir.path().join(WEIGHTS)).unwrap();
    let mut config = json(&folder.join(CONFIG));
    change(&mut config);
    std::fs::write(dir.path().join(CONFIG), Value::Object(config).to_string()).unwrap();
    error(dir.path(), &spec("llama2"))
}

fn error(folder: &Path, spec: &Spec) -> String {
    let error = read(folder, spec, &Device::Cpu).expect_err("it must be refused");
    format!("{error:#}").replace(&folder.display().to_string(), "DIR")
}

#[test]
fn what_is_more_than_lora_is_refused_by_name() {
    for (key, value, expected) in [
        ("use_dora", json!(true), "use_dora = true is not supported\n  hint: "),
        ("bias", json!("all"), "bias = \"all\" is not supported\n  hint: "),
        ("modules_to_save", json!(["lm_head"]), "modules_to_save = [\"lm_head\"] is not supported\n  hint: "),
        ("init_lora_weights", json!("pissa"), "init_lora_weights = \"pissa\" is not supported\n  hint: "),
        ("peft_type", json!("IA3"), "peft_type = \"IA3\" is not supported\n  hint: "),
        ("r", json!(-1), "r = -1 is not a rank"),
        ("lora_alpha", json!(null), "lora_alpha is missing\n  hint: "),
        ("rank_pattern", json!({"(": 2}), "rank_pattern: \"(\" is no regular expression"),
    ] {
        let error = refused(|config| {
            config.insert(key.into(), value);
        });
        assert!(error.starts_with(&format!("DIR/adapter_config.json: {expected}")), "{error}");
    }
}

#[test]
fn an_adapter_that_does_not_fit_is_refused_by_tensor() {
    let q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let error_of = |r: u64| {
        refused(|config| {
            config.insert("r".into(), r.into());
        })
    };
    assert_eq!(
        error_of(3),
        format!(
            "DIR/adapter_model.safetensors: tensor {q} has shape [4, 16], but [3, 16] was expected{OTHER_BASE}"
        )
    );
    let other = fixture("smollm2/adapter");
    let spec = Spec::of(BUILTIN).unwrap();
    assert!(error(&other, &spec).contains("has shape [4, 24], but [4, 192] was expected"));
    // Two layers of adapter, a model of one.
    let mut one = self::spec("llama2");
    one.layers = 1;
    assert!(
        error(&fixture("llama2/adapter"), &one).contains(
            "layers.1.mlp.down_proj.lora_A.weight belongs to no linear layer of this model\n  hint: "
        )
    );
    let mut three = self::spec("llama2");
    three.layers = 3;
    assert!(error(&fixture("llama2/adapter"), &three).contains(
        "layers.2.self_attn.q_proj.lora_A.weight is missing, adapter_config.json asks for it\n  hint: "
    ));
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec("llama2");
    assert!(
        error(&dir.path().join("none"), &spec).contains("no such folder\n  hint: an adapter folder holds")
    );
    assert!(error(dir.path(), &spec).starts_with("DIR/adapter_config.json: "));
    std::fs::copy(fixture("llama2/adapter").join(CONFIG), dir.path().join(CONFIG)).unwrap();
    assert!(error(dir.path(), &spec).starts_with("DIR/adapter_model.safetensors: no such file\n  hint: "));
    std::fs::write(dir.path().join(WEIGHTS), [0; 64]).unwrap();
    assert!(error(dir.path(), &spec).starts_with("DIR/adapter_model.safetensors: "));
}
