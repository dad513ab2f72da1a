//! `tune init` and `tune schema`: what a beginner and an editor are given must be what `tune run` reads.

use std::path::Path;
use std::process::{Command, Output};

fn tune(place: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tune")).args(arguments).current_dir(place).output().expect("tune runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_configuration_for_ones_own_rows_reads_back() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let rows = "{\"text\": \"a row\"}\n".repeat(30);
    std::fs::write(place.path().join("mine.jsonl"), rows).expect("written");
    let out = tune(place.path(), &["init", "mine.jsonl"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    std::fs::write(place.path().join("job.toml"), &out.stdout).expect("written");
    let config = tune::config::load(&place.path().join("job.toml"), &[]).expect("it is read");
    assert_eq!(config.data.train, Path::new("mine.jsonl"));
    assert_eq!(config.data.valid, tune::config::Holdout::Fraction(0.2), "few rows: more of them held out");
}

#[test]
fn rows_that_cannot_be_read_are_named() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let out = tune(place.path(), &["init", "nothing.jsonl"]);
    assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0));
    assert!(text(&out.stderr).contains("nothing.jsonl") && text(&out.stderr).contains("hint: "), "{out:?}");
}

#[test]
fn the_schema_knows_every_key_of_the_default_configuration() {
    let out = tune(Path::new("."), &["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let defaults: toml::Table = tune::config::template().parse().expect("TOML");
    for (section, keys) in defaults {
        for (key, value) in keys.as_table().expect("a section") {
            let of = &schema["properties"][&section]["properties"][key];
            let default = serde_json::to_value(value).expect("JSON");
            assert_eq!(of["default"], default, "{section}.{key}");
        }
    }
}
