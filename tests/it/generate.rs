//! `tune generate` as scripts use it.

use crate::cli::{OUT, Place, stderr, stdout};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

#[test]
fn the_adapter_answers_beside_the_base_model() {
    let place = Place::new();
    // Long and hot enough to know its twelve rows by heart.
    let learn = ["train.steps=150", "train.learning_rate=1e-2", "eval.every_steps=150", "lora.r=16"];
    let learn: Vec<&str> = learn.iter().flat_map(|set| ["--set", set]).collect();
    let log =
        place.whole(&[&learn[..], &["--set", "lora.targets=all-linear", "--set", "probe.rows=12"]].concat());
    let best = log.last().expect("an event")["best"]["step"].clone();

    let output = place.tune(&["generate", OUT, "--prompt", "red: ", "--json", "--max-tokens", "8"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!((&answer["prompt"], &answer["step"]), (&"red: ".into(), &best));
    assert_ne!(answer["base"]["text"], "apple");
    assert!(answer["base"]["tokens"].as_u64().is_some_and(|tokens| tokens <= 8));

    let plain = place.tune(&["generate", OUT, "-p", "red: ", "--max-tokens", "8"]);
    let text = stdout(&plain);
    let (adapter, base) = text.split_once("\nbase model:\n").expect("two answers");
    let said = answer["answer"]["text"].as_str().expect("a text");
    assert!(adapter.starts_with(&format!("best adapter, step {best}:\n{said}")), "{text}");
    assert!(base.starts_with(answer["base"]["text"].as_str().expect("a text")), "{text}");

    // The same question by the other way in; drawn answers are those of their seed.
    let mut child = place.command(&["generate", OUT, "--json", "--max-tokens", "8"]);
    let mut child = child.stdin(Stdio::piped()).spawn().expect("tune starts");
    child.stdin.take().expect("stdin").write_all(b"red: \n").expect("asked");
    let piped: Value =
        serde_json::from_slice(&child.wait_with_output().expect("an end").stdout).expect("JSON");
    assert_eq!(piped, answer);
    let drawn = |seed| {
        let arguments = ["generate", OUT, "-p", "red: ", "--json", "--temperature", "1.5", "--seed", seed];
        stdout(&place.tune(&arguments))
    };
    assert_eq!(drawn("1"), drawn("1"));
    assert_ne!(drawn("1"), drawn("2"));
}

#[test]
fn a_system_turn_goes_before_the_question() {
    let place = Place::new();
    let chat = |i: usize| {
        let turn = |role: &str, text: &str| format!(r#"{{"role": "{role}", "content": "{text} {i}"}}"#);
        let turns = [turn("system", "Be brief"), turn("user", "And"), turn("assistant", "So")];
        format!("{{\"messages\": [{}]}}\n", turns.join(", "))
    };
    place.write("rows.jsonl", &(0..12).map(chat).collect::<String>());
    place.whole(&["--set", "train.steps=1"]);
    let ask = |more: &[&str]| {
        let output = place.tune(&[&["generate", OUT, "-p", "Well", "--max-tokens", "8"], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        output
    };
    let answer = |more: &[&str]| {
        serde_json::from_slice::<Value>(&ask(&[&["--json"], more].concat()).stdout).expect("JSON")
    };
    let (own, same) = (answer(&[]), answer(&["--system", "Be brief 0"]));
    assert_eq!((&own["system"], &own), (&"Be brief 0".into(), &same));
    let long = place.tune(&["generate", OUT, "-p", "Well", "--system", &"long ".repeat(1100)]);
    assert!(stderr(&long).starts_with("error: the prompt is 11"), "{}", stderr(&long));
    let told = "system turn of the first row: \"Be brief 0\"\n  hint: --system TEXT puts another\n";
    assert_eq!((stderr(&ask(&[])), stderr(&ask(&["--system", "Be"]))), (told.into(), String::new()));
}

#[test]
fn mistakes_are_named() {
    let place = Place::new();
    let told = |arguments: &[&str], expected: &str| {
        let output = place.tune(&[&["generate"], arguments].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).starts_with(expected), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    };
    told(&[OUT, "-p", "?"], "error: runs/one: ");
    told(&[OUT], "error: nothing to ask\n  hint: tune generate RUN --prompt");
    told(&[OUT, "-p", "?", "--top-p", "0"], "error: --top-p 0: out of range\n  hint: ");
    told(&[OUT, "-p", "?", "--temperature=-1"], "error: --temperature -1: out of range\n  hint: ");
    place.whole(&["--set", "train.steps=1"]);
    let no_chat = "error: --system: the rows that runs/one learnt from are no chats, so there is no system turn\n  hint: ";
    told(&[OUT, "-p", "?", "--system", "Be brief."], no_chat);
    // Longer than the rows that it learnt from.
    let output = place.tune(&["generate", OUT, "-p", &"long ".repeat(100), "--max-tokens", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let long = place.tune(&["generate", OUT, "-p", &"long ".repeat(1100)]);
    let error = stderr(&long);
    assert!(long.status.code() == Some(2) && error.starts_with("error: the prompt is "), "{error}");
    assert!(error.contains(", and the model knows 1024 positions\n  hint: shorten it: "), "{error}");
    // What goes on with a run is not needed to ask its adapter, nor are the rows; how it is asked is said then.
    std::fs::remove_dir_all(place.path(OUT).join("state")).expect("removed");
    let ask = || place.tune(&["generate", OUT, "-p", "?", "--max-tokens", "1"]);
    assert_eq!((ask().status.code(), stderr(&ask())), (Some(0), String::new()));
    std::fs::rename(place.path("rows.jsonl"), place.path("gone.jsonl")).expect("renamed");
    let said = stderr(&ask());
    assert!(
        said.starts_with("warning: the form of the rows is not known, and the question is put as a chat"),
        "{said}"
    );
    std::fs::remove_dir_all(place.path(OUT).join("best")).expect("removed");
    told(&[OUT, "-p", "?"], "error: runs/one: no adapter was saved yet\n  hint: ");
}
