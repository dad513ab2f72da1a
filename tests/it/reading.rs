//! The commands that read what is there: reports, lists of runs, comparisons.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// A log of a small run that turned, as the trainer writes it.
fn log(name: &str, rate: f64) -> String {
    let mut lines = vec![format!(
        r#"{{"t":0.0,"event":{{"kind":"run_started","format":1,"name":"{name}","trainer":"tune","data":{{"train_rows":40,"valid_rows":8,"test_rows":0,"train_tokens":900,"valid_tokens":160}},"total_steps":60,"settings":{{"learning_rate":{rate}}}}}}}"#
    )];
    for step in 1..=60_u64 {
        let x = step as f64;
        lines.push(format!(
            r#"{{"t":{},"event":{{"kind":"step","step":{step},"loss":{},"tokens":90,"input_tokens":120}}}}"#,
            x * 0.2,
            3.0 * (-x / 20.0).exp() + 0.2
        ));
        if step % 5 == 0 {
            let loss = 2.0 + (x - 20.0).abs() / 40.0;
            lines.push(format!(
                r#"{{"t":{},"event":{{"kind":"eval","step":{step},"loss":{loss},"tokens":160}}}}"#,
                x * 0.2 + 0.1
            ));
        }
    }
    lines.push(
        r#"{"t":13.0,"event":{"kind":"run_ended","reason":"finished","step":60,"best":{"step":20,"loss":2.0},"restored_best":true}}"#
            .into(),
    );
    lines.join("\n") + "\n"
}

fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a folder");
    for (name, rate) in [("one", 0.001), ("two", 0.01)] {
        let folder = place.path().join("runs").join(name);
        std::fs::create_dir_all(&folder).expect("a place to write");
        std::fs::write(folder.join("run.jsonl"), log(name, rate)).expect("a place to write");
        std::fs::write(folder.join("config.toml"), format!("[train]\nlearning_rate = {rate:?}\n"))
            .expect("a place to write");
    }
    std::fs::create_dir(place.path().join("runs/no-run")).expect("a place to write");
    place
}

fn tune(place: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tune")).args(arguments).current_dir(place).output().expect("tune starts")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn a_report_in_every_form() {
    let place = place();
    for (file, words) in [
        ("a.html", "<!doctype html>"),
        ("a.svg", "<svg "),
        ("a.md", "**Verdict: overfitting"),
        ("a.json", "\"verdict\": \"overfitting\""),
    ] {
        let output = tune(place.path(), &["report", "runs/one", "-o", file]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("wrote {file}\n"));
        let text = std::fs::read_to_string(place.path().join(file)).unwrap();
        assert!(text.contains(words) && text.contains("one"), "{file}: {text}");
    }
    let output = tune(place.path(), &["report", "runs/one", "-o", "a.pdf"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint: name it FILE.html"));
}

#[test]
fn a_report_of_a_log_that_is_not_ours() {
    let place = place();
    let lines: Vec<String> = (0..12)
        .map(|i| {
            format!("Iter {}: Val loss {:.3}, Val took 1.0s", i * 10, 2.0 + (f64::from(i) - 4.0).abs() / 9.0)
        })
        .collect();
    std::fs::write(place.path().join("mlx.log"), lines.join("\n")).unwrap();
    std::fs::write(place.path().join("empty.log"), "nothing to see\n").unwrap();
    tune(place.path(), &["report", "mlx.log", "-o", "m.json"]);
    let text = std::fs::read_to_string(place.path().join("m.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["eval_curve"].as_array().unwrap().len(), 12);
    let output = tune(place.path(), &["report", "empty.log", "-o", "e.html"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: empty.log: no losses were found in it\n  hint:"), "{stderr}");
}

#[test]
fn the_list_of_runs() {
    let place = place();
    let text = stdout(&tune(place.path(), &["runs"]));
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows.len() == 3 && rows[0].starts_with("run  date"), "{text}");
    assert!(text.contains("overfitting  2.000 @ 20  3.000  60/60  finished"), "{text}");
    let document: Value =
        serde_json::from_str(&stdout(&tune(place.path(), &["runs", "runs", "--json"]))).unwrap();
    let first = &document["runs"][0];
    assert_eq!(document["runs"].as_array().unwrap().len(), 2);
    assert_eq!((&first["verdict"], &first["best"]["step"]), (&"overfitting".into(), &20.into()));
    let output = tune(place.path(), &["runs", "nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&tune(place.path(), &["runs", "runs/one"]));
    assert!(
        text.lines().count() == 2 && text.lines().nth(1).is_some_and(|row| row.starts_with("one ")),
        "{text}"
    );
    let output = tune(place.path(), &["runs", "runs/no-run"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.contains("no runs in runs/no-run yet\n  hint: "), "{stderr}");
}

#[test]
fn mistakes_are_answered_by_what_is_near() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("train.log"), "{'loss': 1.5, 'epoch': 0.5}\n").unwrap();
    let said = |arguments: &[&str]| {
        let output = tune(place.path(), arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = said(&["check", "train.log", "--format", "huh"]);
    assert!(code == Some(2) && text.contains("hint: there are ") && !text.contains("did you mean"), "{text}");
    let (_, text) = said(&["check", "train.log", "--format", "hf_trainer"]);
    assert!(text.contains("hint: did you mean hf-trainer? there are "), "{text}");
    let text = stdout(&tune(place.path(), &["check", "train.log", "--format", "csv"]));
    assert!(text.contains("note: no line of it is of csv: "), "{text}");
    let text = stdout(&tune(place.path(), &["check", "train.log", "--format", "hf-trainer"]));
    assert!(!text.contains("no line of it"), "{text}");
    let expected = "no runs in runs yet\n  hint: tune run CONFIG.toml makes one; tune check judges the logs of other trainers\n";
    assert_eq!(said(&["runs"]), (Some(0), expected.into()));
    let expected = "error: builtin: no such run\n  hint: --model builtin is the model\n";
    assert_eq!(said(&["eval", "builtin", "--data", "x"]), (Some(2), expected.into()));
    let expected = "error: none/r.html: no such folder: none\n  hint: make it, or name another\n";
    assert_eq!(said(&["report", "train.log", "-o", "none/r.html"]), (Some(2), expected.into()));
    let (code, text) = said(&["compare", "train.log", "train.log"]);
    let expected =
        "error: train.log: a file, not a run folder\n  hint: give a folder that tune run has made; ";
    assert!(code == Some(2) && text.starts_with(expected), "{text}");
    // A table of rows is told from a log as one of lines is.
    std::fs::write(place.path().join("rows.csv"), "Prompt,Completion\na,b\n").unwrap();
    let (_, text) = said(&["check", "rows.csv"]);
    assert!(text.ends_with("\n  hint: these are rows to train on: tune data looks at them\n"), "{text}");
}

#[test]
fn a_comparison_for_programs_has_numbers() {
    let place = place();
    let text = stdout(&tune(place.path(), &["compare", "runs/one", "runs/two", "--json"]));
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        document["settings"][0],
        serde_json::json!({"key": "train.learning_rate", "a": 0.001, "b": 0.01})
    );
    assert_eq!(document["rows"]["a"], serde_json::json!({"train": 40, "held_out": 8}));
}
