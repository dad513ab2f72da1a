//! `tune bench` as scripts use it.

use serde_json::Value;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tune"))
        .arg("bench")
        .args(arguments)
        .args(["--device", "cpu", "--seq", "16", "--batch", "2", "--steps", "2"])
        .output()
        .expect("the program starts")
}

#[test]
fn the_figures_are_those_of_the_contract() {
    for (dtype, name) in [("f32", "tune-f32"), ("bf16", "tune-bf16")] {
        let output = bench(&["builtin", "--rank", "4", "--dtype", dtype, "--threads", "1", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let figures: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        assert_eq!(figures["impl"], name);
        let [median, best, ms] = ["tok_s", "best", "ms"].map(|key| figures[key].as_f64().expect(key));
        assert!(best >= median && median > 0.0);
        // Both are rounded to a tenth, which of a few milliseconds is much.
        let (tokens, rounding) = (median * ms / 1000.0, 0.05 / ms + 0.05 / median);
        assert!(
            (tokens - 32.0).abs() < (rounding + 1e-6) * 32.0,
            "{tokens} tokens in a step of 2 rows of 16"
        );
        if cfg!(target_os = "linux") {
            assert!(figures["peak_mb"].as_u64().is_some_and(|mb| mb > 1));
        }
    }
}

#[test]
fn mistakes_are_named() {
    for (arguments, expected) in [
        (["nowhere", "--rank", "4"], "error: model.path = \"nowhere\": no such folder"),
        (["builtin", "--rank", "0"], "error: invalid value '0' for '--rank <N>'"),
        (["builtin", "--device", "gpu"], "error: "),
        (["builtin", "--rank", "400000000"], "error: --batch 2 with --seq 16 takes "),
    ] {
        let output = bench(&arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
    for (option, expected) in [
        (["--batch", "100000000"], "error: --batch 100000000 with --seq 128 takes "),
        (["--seq", "2000"], "error: --seq 2000: the model knows 1024 positions\n  hint: --seq 1024\n"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tune"));
        let output = command.args(["bench", "builtin"]).args(option).output().expect("the program starts");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && message.contains(expected), "{message}");
    }
}
