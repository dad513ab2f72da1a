//! Configurations in both spellings, and every kind that is refused.

use super::*;

fn config(extra: &str) -> String {
    family("LlamaForCausalLM", extra)
}

fn family(architecture: &str, extra: &str) -> String {
    format!(
        r#"{{"architectures": ["{architecture}"], "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 96, "vocab_size": 128, "rms_norm_eps": 1e-5{extra}}}"#
    )
}

fn parse(text: &str) -> Spec {
    Spec::parse(text).unwrap()
}

fn refused(text: &str) -> String {
    let error = format!("{:#}", Spec::parse(text).unwrap_err());
    assert!(error.contains("\n  hint: "), "{error}");
    error
}

#[test]
fn both_spellings_are_read() {
    let four = parse(&config(r#", "rope_theta": 5e5, "torch_dtype": "bfloat16""#));
    let five = parse(&config(
        r#", "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "dtype": "bfloat16""#,
    ));
    assert_eq!(four, five);
    assert_eq!((four.rope_theta, four.heads.key_value, four.heads.dim), (5e5, 4, 16));
    assert_eq!(four.dtype, Some(DType::BF16));

    let scaling = r#""factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192"#;
    let four = parse(&config(&format!(
        r#", "rope_theta": 5e5, "rope_scaling": {{"rope_type": "llama3", "type": "llama3", {scaling}}}"#
    )));
    let five = parse(&config(&format!(
        r#", "rope_parameters": {{"rope_theta": 5e5, "rope_type": "llama3", {scaling}}}"#
    )));
    assert_eq!(four, five);
    assert!(four.rope_scaling.is_some());
}

#[test]
fn llama3_scaling_keeps_short_waves_and_stretches_long_ones() {
    let spec = parse(&config(
        r#", "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}"#,
    ));
    let plain = Spec { rope_scaling: None, ..spec.clone() };
    let (scaled, plain) = (spec.rope_frequencies(), plain.rope_frequencies());
    assert_eq!(scaled[0], plain[0]);
    assert_eq!(scaled[7], plain[7] / 8.0);
}

#[test]
fn each_family_is_read_in_its_own_way() {
    let attention = |spec: &Spec| Module::ALL.map(|module| spec.biases[module as usize]);
    let llama = parse(&config(r#", "attention_bias": true"#));
    assert_eq!(attention(&llama), [true, true, true, true, false, false, false]);
    assert_eq!(attention(&parse(&config(r#", "mlp_bias": true"#))).iter().filter(|on| **on).count(), 3);

    let mistral = parse(&family("MistralForCausalLM", r#", "sliding_window": 7"#));
    assert_eq!(mistral.windows, [Some(7); 3]);
    assert_eq!(mistral.heads_of(1).window, Some(7));
    assert_eq!(parse(&family("MistralForCausalLM", "")).windows, [Some(4096); 3]);
    assert_eq!(parse(&family("MistralForCausalLM", r#", "sliding_window": null"#)).windows, [None; 3]);

    let qwen2 = |extra: &str| parse(&family("Qwen2ForCausalLM", extra));
    assert_eq!(attention(&qwen2("")), [true, true, true, false, false, false, false]);
    assert_eq!(qwen2(r#", "sliding_window": 7, "use_sliding_window": false"#).windows, [None; 3]);
    let used = r#", "sliding_window": 7, "use_sliding_window": true, "max_window_layers": 2"#;
    assert_eq!(qwen2(used).windows, [None, None, Some(7)]);
    let named = r#", "layer_types": ["sliding_attention", "full_attention", "full_attention"]"#;
    assert_eq!(qwen2(&format!("{used}{named}")).windows, [Some(7), None, None]);

    let qwen3 = parse(&family("Qwen3ForCausalLM", ""));
    assert!(qwen3.head_norms);
    assert_eq!((qwen3.heads.dim, attention(&qwen3)), (128, [false; 7]));
    let by_type = config("").replace(r#""architectures": ["LlamaForCausalLM"]"#, r#""model_type": "qwen3""#);
    assert_eq!(parse(&by_type), qwen3);
}

#[test]
fn what_is_not_supported_is_named() {
    for (extra, expected) in [
        (r#", "hidden_act": "gelu""#, "hidden_act = \"gelu\" is not supported, only \"silu\" is\n  hint: "),
        (r#", "rope_scaling": {"type": "yarn"}"#, "rope scaling of type \"yarn\" is not supported\n  hint: "),
        (
            r#", "rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}"#,
            "rope: partial_rotary_factor = 0.5 is not supported\n  hint: ",
        ),
        (
            r#", "rope_parameters": {"full_attention": {"rope_theta": 1e4}}"#,
            "rope: full_attention = {\"rope_theta\":10000.0} is not supported\n  hint: ",
        ),
        (
            r#", "quantization_config": {"bits": 4}"#,
            "quantization_config = {\"bits\":4} is not supported\n  hint: ",
        ),
        (r#", "sliding_window": 8"#, "sliding_window = 8 is not supported\n  hint: "),
        (r#", "final_logit_softcapping": 30.0"#, "final_logit_softcapping = 30.0 is not supported\n  hint: "),
        (r#", "pretraining_tp": 2"#, "pretraining_tp = 2 is not supported\n  hint: "),
        (
            r#", "layer_types": ["full_attention", "chunked_attention"]"#,
            "layer_types = [\"full_attention\",\"chunked_attention\"] is not supported\n  hint: ",
        ),
    ] {
        let error = refused(&config(extra));
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(refused(r#"{"architectures": ["MambaForCausalLM"]}"#).starts_with(
        "architecture MambaForCausalLM is not supported\n  hint: supported are LlamaForCausalLM, Mistral"
    ));
    let qwen = |extra: &str| refused(&family("Qwen2ForCausalLM", extra));
    assert!(
        qwen(r#", "layer_types": ["full_attention"]"#).starts_with("layer_types has 1 entries for 3 layers")
    );
    let sliding = r#", "layer_types": ["sliding_attention", "full_attention", "full_attention"]"#;
    assert!(qwen(sliding).starts_with("layer_types has \"sliding_attention\", but there is no window"));
}

#[test]
fn what_would_change_nothing_is_let_through() {
    parse(&config(
        r#", "pretraining_tp": 1, "attention_bias": false, "partial_rotary_factor": 1, "rope_scaling": null,
        "sliding_window": null, "use_cache": true, "bos_token_id": 1, "layer_types": ["full_attention"],
        "logits_scaling": 1, "attention_dropout": 0.0, "transformers_version": "5.0.0""#,
    ));
}

#[test]
fn figures_that_cannot_be_are_refused() {
    assert!(
        refused(&config("").replace("\"num_key_value_heads\": 4", "\"num_key_value_heads\": 3"))
            .contains("no multiple")
    );
    assert!(
        refused(&config("").replace("\"num_key_value_heads\": 4", "\"num_key_value_heads\": -1"))
            .contains("is not a size")
    );
    assert!(
        refused(&config("").replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 5000"))
            .contains("at most 4096")
    );
    assert!(refused(&config(r#", "head_dim": 7"#)).contains("head_dim = 7 is odd"));
    assert!(refused(&config(r#", "head_dim": 16777216"#)).contains("are too wide"));
    let qwen = config(r#", "max_window_layers": -1"#).replace("Llama", "Qwen2").replace("llama", "qwen2");
    assert!(refused(&qwen).starts_with("max_window_layers = -1 is not a size"), "{}", refused(&qwen));
    assert!(refused(r#"{"model_type": "llama"}"#).starts_with("hidden_size is missing\n  hint: "));
    assert!(
        refused(&config(r#", "rope_theta": -1"#)).starts_with("rope_theta = -1 is not a positive number")
    );
    assert!(refused(&config(r#", "dtype": 16"#)).starts_with("dtype = 16 is not a text"));
    assert!(refused("{").starts_with("not a JSON object\n  hint: "));
}
