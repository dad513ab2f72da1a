//! `tune eval` and `tune export` as a user runs them.

use super::cli::{OUT, Place, stderr, stdout};
use serde_json::Value;

/// A run that was judged by a file of rows, and what its log says of step 0 and of the best evaluation.
fn judged() -> (Place, Value, Value) {
    let place = Place::new();
    let rows: Vec<String> =
        [("navy", "night sky"), ("cream", "milk"), ("amber", "honey jar"), ("jade", "stone")]
            .map(|(prompt, completion)| {
                format!(r#"{{"prompt": "{prompt}: ", "completion": "{completion}"}}"#)
            })
            .to_vec();
    place.write("valid.jsonl", &(rows.join("\n") + "\n"));
    let log = place.whole(&["--set", "data.valid=valid.jsonl", "--set", "lora.rslora=true"]);
    let evals: Vec<&Value> =
        log.iter().filter(|event| event["kind"] == "eval" && event["split"] == "valid").collect();
    let loss = |event: &&&Value| event["loss"].as_f64().unwrap_or(f64::INFINITY);
    let best = evals.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).expect("an evaluation");
    let (first, best) = (evals[0].clone(), (*best).clone());
    (place, first, best)
}

fn json(place: &Place, arguments: &[&str]) -> Value {
    let output = place.tune(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

/// How far a loss is from that of an event, relatively.
fn off(document: &Value, event: &Value) -> f64 {
    let figure = |value: &Value| value["loss"].as_f64().expect("a loss");
    (figure(document) - figure(event)).abs() / figure(event)
}

#[test]
fn what_a_run_was_judged_by_is_found_again() {
    let (place, first, best) = judged();
    let run = json(&place, &["eval", OUT, "--data", "valid.jsonl"]);
    assert!(off(&run, &best) < 1e-6, "{run} and {best}");
    assert_eq!((&run["rows"], &run["tokens"]), (&4.into(), &best["tokens"]));
    assert_eq!(run["token_accuracy"], best["token_accuracy"]);
    let perplexity = run["perplexity"].as_f64().expect("a perplexity");
    assert!((perplexity.ln() - run["loss"].as_f64().expect("a loss")).abs() < 1e-9);
    // So young a model ranks no token first, of which it is certain.
    for (error, least) in [("loss_se", 1e-3), ("perplexity_se", 1e-3), ("token_accuracy_se", 0.0)] {
        assert!(run[error].as_f64().expect("an error") >= least, "{run}");
    }
    let cut = ["--set", "data.max_length=64", "--set", "model.dtype=f32"];
    let base = json(&place, &[&["eval", "--model", "builtin", "--data", "valid.jsonl"], &cut[..]].concat());
    assert!(off(&base, &first) < 1e-6, "{base} and {first}");
    let adapter = format!("{OUT}/best");
    let with = ["eval", "--model", "builtin", "--adapter", &adapter, "--data", "valid.jsonl"];
    assert_eq!(json(&place, &[&with, &cut[..]].concat()), run);
    let output = place.tune(&["eval", OUT, "--data", "valid.jsonl"]);
    assert_eq!(stderr(&output), "");
    place.write("one.jsonl", "{\"prompt\": \"navy: \", \"completion\": \"night sky\"}\n");
    for (data, expected) in [("one.jsonl", "1 row is"), ("valid.jsonl", "4 rows are")] {
        let cut = ["eval", "--model", "builtin", "--data", data, "--set", "data.max_length=5"];
        let said = stderr(&place.tune(&cut));
        assert!(said.starts_with(&format!("warning: {expected} longer than data.max_length")), "{said}");
    }
    let text = stdout(&output);
    assert!(text.starts_with("rows            4\ntokens          "), "{text}");
    assert!(text.contains("\nperplexity      ") && text.contains(" ± "), "{text}");
}

#[test]
fn what_is_handed_over_is_the_same_model() {
    let (place, _, best) = judged();
    let peft = json(&place, &["export", OUT, "--to", "peft"]);
    let peft = peft["path"].as_str().expect("a path");
    let flags = ["--set", "data.max_length=64", "--set", "model.dtype=f32"];
    let with = ["eval", "--model", "builtin", "--adapter", peft, "--data", "valid.jsonl"];
    assert!(off(&json(&place, &[&with, &flags[..]].concat()), &best) < 1e-6);
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let read = |folder: &str| std::fs::read(place.path(folder).join(name)).expect("a file");
        assert_eq!(read(peft), read(&format!("{OUT}/best")), "{name}");
    }
    let output = place.tune(&["export", OUT, "--to", "merged", "--out", "whole"]);
    assert_eq!((stdout(&output), output.status.code()), ("whole\n".into(), Some(0)), "{}", stderr(&output));
    // The embedded base is stored in bf16, which rounds the sums.
    let merged = json(&place, &[&["eval", "--model", "whole", "--data", "valid.jsonl"], &flags[..]].concat());
    assert!(off(&merged, &best) < 5e-3, "{merged} and {best}");
    for (format, file) in [("mlx", "export-mlx/adapters.safetensors"), ("gguf", "export.gguf")] {
        let output = place.tune(&["export", OUT, "--to", format]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(place.path(OUT).join(file).is_file(), "{file}");
    }
    // Had nothing been better than the base model, it would say so.
    let log = place.path(OUT).join("run.jsonl");
    let spoil = |line: &str| {
        let mut record: Value = serde_json::from_str(line).expect("a record");
        let event = &mut record["event"];
        if event["kind"] == "eval" && event["split"] == "valid" && event["step"] == 0 {
            event["loss"] = 0.001.into();
        }
        record.to_string() + "\n"
    };
    let lines = std::fs::read_to_string(&log).expect("a log");
    for (lines, warned) in [(lines.clone(), false), (lines.lines().map(spoil).collect(), true)] {
        std::fs::write(&log, lines).expect("a log");
        let _ = std::fs::remove_file(place.path(OUT).join("export.gguf"));
        let said = stderr(&place.tune(&["export", OUT, "--to", "gguf"]));
        assert_eq!(said.contains("this adapter has learnt nothing\n  hint: "), warned, "{said}");
    }
    let left: Vec<_> = std::fs::read_dir(place.path(OUT))
        .expect("a folder")
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_base_that_was_changed_since_the_run_is_not_passed_over() {
    let place = Place::new();
    place.model();
    place.whole(&["--set", "model.path=model"]);
    let eval = ["eval", OUT, "--data", "rows.jsonl"];
    let generate = ["generate", OUT, "-p", "red: ", "--max-tokens", "2"];
    let (peft, merged) =
        (["export", OUT, "--to", "peft"], ["export", OUT, "--to", "merged", "--out", "whole"]);
    let changed = format!("these are not the weights that {OUT} was trained on\n  hint: ");
    for arguments in [&eval[..], &generate, &merged] {
        let output = place.tune(arguments);
        assert!(output.status.success() && !stderr(&output).contains(&changed), "{}", stderr(&output));
    }
    std::fs::remove_dir_all(place.path("whole")).expect("it was there");
    // One bit of one weight: that of the first tensor, behind the header.
    let path = place.path("model/model.safetensors");
    let mut weights = std::fs::read(&path).expect("weights");
    let header = weights.first_chunk().copied().map(u64::from_le_bytes).expect("its length");
    weights[8 + usize::try_from(header).expect("a length")] ^= 1;
    std::fs::write(&path, weights).expect("a file is written");
    for arguments in [&eval[..], &generate] {
        let output = place.tune(arguments);
        let told = stderr(&output);
        assert!(told.starts_with("warning: ") || told.contains("\nwarning: "), "{told}");
        assert!(output.status.success() && told.contains(&changed), "{told}");
    }
    let refused = place.tune(&merged);
    let told = stderr(&refused);
    assert!(told.starts_with("error: model.path = ") && told.contains(&changed), "{told}");
    assert_eq!(refused.status.code(), Some(2));
    assert!(!place.path("whole").exists());
    // What only hands over the adapter does not need the base.
    assert!(place.tune(&peft).status.success());
    // A log that says nothing of the weights says nothing against them.
    let log = format!("{OUT}/run.jsonl");
    let text = std::fs::read_to_string(place.path(&log)).expect("a log");
    let (before, after) = text.split_once("\"checksum\":").expect("a checksum");
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    place.write(&log, &format!("{before}\"checksum\":0{rest}"));
    assert!(place.tune(&merged).status.success());
}

#[test]
fn mistakes_are_named() {
    let (place, ..) = judged();
    let refuses = |arguments: &[&str], expected: &str| {
        let output = place.tune(arguments);
        let error = stderr(&output);
        assert!(error.starts_with(&format!("error: {expected}")), "{error}");
        assert!(error.contains("hint: "), "{error}");
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert_eq!(output.stdout, b"");
    };
    refuses(&["eval", OUT, "--data", "none.jsonl"], "none.jsonl: cannot be read: ");
    let idle = "--set lora.r: changes nothing of how a model is judged\n";
    refuses(&["eval", OUT, "--data", "valid.jsonl", "--set", "lora.r=3"], idle);
    refuses(&["eval", "nowhere", "--data", "valid.jsonl"], "nowhere: no such folder\n");
    refuses(
        &["eval", "--model", "nowhere", "--data", "valid.jsonl"],
        "model.path = \"nowhere\": no such folder\n",
    );
    let with = ["eval", "--model", "builtin", "--data", "valid.jsonl", "--adapter"];
    refuses(&[&with[..], &["nowhere"]].concat(), "nowhere: no such folder\n");
    assert!(place.tune(&["export", OUT, "--to", "mlx", "--out", "there"]).status.success());
    refuses(&["export", OUT, "--to", "mlx", "--out", "there"], "there: is there already\n");
    std::fs::remove_file(place.path(OUT).join("best/adapter_config.json")).expect("it was there");
    refuses(&["export", OUT, "--to", "peft"], &format!("{OUT}/best/adapter_config.json: "));
    std::fs::remove_dir_all(place.path(OUT).join("best")).expect("it was there");
    refuses(&["export", OUT, "--to", "peft"], &format!("{OUT}: no adapter was saved yet\n"));
    refuses(&["eval", OUT, "--data", "valid.jsonl"], &format!("{OUT}: no adapter was saved yet\n"));
}
