//! What the user is told, word for word.

use super::*;
use crate::config::{Dtype, Holdout, Schedule, Targets};

fn sets(overrides: &[&str]) -> Vec<String> {
    overrides.iter().map(|&argument| argument.into()).collect()
}

fn good(text: &str, overrides: &[&str]) -> Config {
    from_text("c.toml", text, &sets(overrides)).unwrap()
}

/// Asserts that `text` is refused with exactly these lines.
fn refused(text: &str, overrides: &[&str], message: &str) {
    let error = from_text("c.toml", text, &sets(overrides)).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn nothing_given_is_the_defaults() {
    assert_eq!(good("", &[]), Config::default());
    assert_eq!(defaults(&[]), Ok(Config::default()));
}

#[test]
fn a_file_changes_what_it_names() {
    let config = good("\u{feff}lora.r = 4\r\n[train]\r\nepochs = 3\r\n[model]\r\ndtype = \"bf16\"\r\n", &[]);
    let mut expected = Config::default();
    expected.lora.r = 4;
    expected.train.epochs = 3.0;
    expected.model.dtype = Dtype::Bf16;
    assert_eq!(config, expected);
}

#[test]
fn set_is_toml_or_a_bare_word() {
    let config = good(
        "[lora]\nr = 4\n",
        &[
            "lora.r=8",
            "lora.r = 2",
            "lora.targets=[\"q_proj\"]",
            "data.valid=50",
            "train.learning_rate=2e-4",
            "train.schedule=linear",
            "output.dir=2026-01-02",
            "model.path=/models/a=b",
            "data.train=12:30:00",
            "data.test='t 1.jsonl'",
        ],
    );
    assert_eq!(config.lora.r, 2);
    assert_eq!(config.lora.targets, Targets::Named(vec!["q_proj".into()]));
    assert_eq!(config.data.valid, Holdout::Rows(50));
    assert!((config.train.learning_rate - 2e-4).abs() < 1e-12);
    assert_eq!(config.train.schedule, Schedule::Linear);
    assert_eq!(config.output.dir, Path::new("2026-01-02"));
    assert_eq!(config.data.train, Path::new("12:30:00"));
    assert_eq!(config.model.path, "/models/a=b");
    assert_eq!(good("", &["model.path=2026-01-02"]).model.path, "2026-01-02");
    assert_eq!(config.data.test.as_deref(), Some(Path::new("t 1.jsonl")));
    assert_eq!(good("", &["data.valid=v.jsonl"]).data.valid, Holdout::File("v.jsonl".into()));
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    refused(
        "[lora]\n\ndropuot = 0.1\n",
        &[],
        "c.toml:3: lora.dropuot: unknown key\n  hint: did you mean \"lora.dropout\"?",
    );
    // A part of a key of the same section goes before a key of another.
    refused(
        "[eval]\nsteps = 8\n",
        &[],
        "c.toml:2: eval.steps: unknown key\n  hint: did you mean \"eval.every_steps\"?",
    );
    refused(
        "[data]\nlr = 1\n",
        &[],
        "c.toml:2: data.lr: unknown key\n  hint: did you mean \"train.learning_rate\"?",
    );
    refused("[lora]\nrank = 1\n", &[], "c.toml:2: lora.rank: unknown key\n  hint: did you mean \"lora.r\"?");
    refused(
        "[output]\nzzzz = 1\n",
        &[],
        "c.toml:2: output.zzzz: unknown key\n  hint: the keys of [output] are dir",
    );
    refused(
        "[trian]\nepochs = 1\n",
        &[],
        "c.toml:1: trian: unknown section\n  hint: did you mean \"train\"?",
    );
    refused(
        "\nepochs = 1\n",
        &[],
        "c.toml:2: epochs: is in no section\n  hint: did you mean \"train.epochs\"?",
    );
    refused(
        "lora = 4\n",
        &[],
        "c.toml:1: lora: is in no section\n  hint: lora is a section; its keys are r, alpha, dropout, targets, rslora",
    );
}

#[test]
fn wrong_arguments_of_set_are_named() {
    refused(
        "",
        &["lora.dropuot=0.1"],
        "--set lora.dropuot=0.1: unknown key\n  hint: did you mean \"lora.dropout\"?",
    );
    refused("", &["lroa.r=1"], "--set lroa.r=1: unknown section\n  hint: did you mean \"lora.r\"?");
    refused(
        "",
        &["epochs=1"],
        "--set epochs=1: not of the form section.key=value\n  hint: did you mean \"train.epochs\"?",
    );
    refused("", &["=1"], "--set =1: not of the form section.key=value\n  hint: for example --set lora.r=8");
    refused(
        "",
        &["lora.targets=[\"q"],
        "--set lora.targets=[\"q: the value is not complete\n  hint: VALUE is TOML; a bare word is a string",
    );
    refused(
        "",
        &["lora.r="],
        "--set lora.r=: the value is not complete\n  hint: VALUE is TOML; a bare word is a string",
    );
}

#[test]
fn wrong_types_say_what_was_expected() {
    refused(
        "[train]\nepochs = \"ten\"\n",
        &[],
        "c.toml:2: train.epochs: expected a number, got the string \"ten\"\n  hint: for example epochs = 10.0",
    );
    refused(
        "[lora]\nr = -3\n",
        &[],
        "c.toml:2: lora.r: expected a whole number, got -3\n  hint: for example r = 16",
    );
    refused(
        "[train]\nschedule = \"cosin\"\n",
        &[],
        "c.toml:2: train.schedule: expected \"constant\", \"linear\" or \"cosine\", got the string \"cosin\"\n  hint: for example schedule = \"cosine\"",
    );
    refused(
        "[data]\nvalid = -1\n",
        &[],
        "c.toml:2: data.valid: expected a fraction such as 0.1, a number of rows such as 50, or a file, got -1\n  hint: for example valid = 0.1",
    );
    refused(
        "",
        &["train.steps=1.5"],
        "--set train.steps=1.5: expected a whole number, got 1.5\n  hint: for example steps = 100",
    );
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_file() {
    refused(
        "[train]\nbatch_size = 0\nepoch = 3\n\n[lora]\ndropout = 1.5\nr = true\n",
        &["data.max_length=1", "eval.batchsize=2"],
        "c.toml:2: train.batch_size: 0 is out of range\n  hint: the smallest value is 1\n\
         c.toml:3: train.epoch: unknown key\n  hint: did you mean \"train.epochs\"?\n\
         c.toml:6: lora.dropout: 1.5 is out of range\n  hint: give a share from 0 to below 1, such as 0.1\n\
         c.toml:7: lora.r: expected a whole number, got true\n  hint: for example r = 16\n\
         --set eval.batchsize=2: unknown key\n  hint: did you mean \"eval.batch_size\"?\n\
         --set data.max_length=1: 1 is out of range\n  hint: the smallest value is 2: one token to read and one to predict",
    );
}

#[test]
fn a_file_that_is_not_toml_says_where() {
    let error = from_text("c.toml", "[lora]\nr =  # eight?\n", &[]).unwrap_err();
    assert!(error.to_string().starts_with("c.toml:2: r has no value\n"), "{error}");
    let error = from_text("c.toml", "[lora]\nr = 1\nr = 2\n", &[]).unwrap_err();
    assert!(error.to_string().starts_with("c.toml:3: duplicate key"), "{error}");
}

#[test]
fn of_two_rivals_one_is_given() {
    refused(
        "[train]\nepochs = 3\nsteps = 100\n",
        &[],
        "c.toml:3: train.steps: train.epochs is given as well\n  hint: keep one of the two: epochs or steps",
    );
    refused(
        "",
        &["eval.every_steps=5", "eval.every_epochs=1"],
        "--set eval.every_steps=5: eval.every_epochs is given as well\n  hint: keep one of the two: every_epochs or every_steps",
    );
    assert_eq!(good("[train]\nsteps = 100\n", &[]).train.steps, Some(100));
    // An argument displaces the rival in the file.
    assert_eq!(good("[train]\nepochs = 3\n", &["train.steps=9"]).train.steps, Some(9));
    let config = good("[train]\nsteps = 3\n", &["train.epochs=9"]);
    assert_eq!((config.train.steps, config.train.epochs as u64), (None, 9));
}

#[test]
fn set_displaces_a_wrong_value_of_the_file() {
    assert_eq!(good("[lora]\nr = \"x\"\n", &["lora.r=3"]).lora.r, 3);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load(Path::new("no/such.toml"), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no/such.toml: cannot be read: No such file or directory (os error 2)\n  hint: name a TOML file that exists; tune init ROWS > FILE makes one"
    );
}
