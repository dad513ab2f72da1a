//! Real logs of real trainers against their truth: the curves that the program reads from every file,
//! and the verdict. `TUNE_LOG_TABLE=1 cargo test --test it logs` writes the table to target/tmp/logs.txt.

use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Best values of printed text are within this of the truth, relative; those of structured files within the second.
const PRINTED: f64 = 2e-3;
const STRUCTURED: f64 = 1e-4;

/// Files that hold less than the run: a printed bar of which only the last state remains, and the
/// curves of one side only.
fn holds_no_curve(file: &str) -> bool {
    ["lightning/healthy/stdout.log", "lightning/overfit/stdout.log"].iter().any(|path| file.ends_with(path))
        || file.ends_with("learn_error.tsv")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs")
}

/// Every log below `tests/logs/<trainer>/<case>`, with the truth of its case.
fn logs() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of logs") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("truth.json") {
                found.push(path);
            }
        }
    }
    found.sort();
    let with_truth = |path: PathBuf| {
        let case: PathBuf = path.strip_prefix(root()).expect("below").iter().take(2).collect();
        let truth = std::fs::read_to_string(root().join(case).join("truth.json")).expect("a truth");
        (path.display().to_string(), serde_json::from_str(&truth).expect("JSON"))
    };
    found.into_iter().map(with_truth).collect()
}

fn check(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tune"))
        .arg("check")
        .args(arguments)
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{error}")))
}

/// Whether a verdict is what the label stands for.
fn agrees(label: &str, entry: &Value) -> bool {
    let verdict = entry["verdict"].as_str().unwrap_or_default();
    let grave = matches!(entry["severity"].as_str(), Some("warn" | "severe"));
    match label {
        "overfit" => matches!(verdict, "overfitting" | "memorizing") && grave,
        "train-diverged" => verdict == "diverged",
        "no-eval" => verdict == "undecided",
        "underfit" => matches!(verdict, "underfitting" | "healthy"),
        _ => verdict == "healthy",
    }
}

/// The step that a file gives to the step of the truth, where its trainer counts otherwise in print.
fn step_in_print(file: &str, step: u64) -> u64 {
    // Keras counts epochs from 1 on its screen and from 0 in its files.
    if file.contains("/keras/") && file.ends_with("stdout.log") { step + 1 } else { step }
}

#[test]
fn every_curve_is_read_as_it_is() {
    let mut table = String::new();
    let mut wrong = Vec::new();
    let files = logs();
    let names: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
    let mut arguments = vec!["--json", "--curves", "--fail-on", "never"];
    arguments.extend(&names);
    let (_, document) = check(&arguments);
    for ((file, truth), entry) in files.iter().zip(document["sources"].as_array().expect("entries")) {
        assert_eq!(entry["source"].as_str(), Some(file.as_str()), "one entry a file, in their order");
        if holds_no_curve(file) {
            continue;
        }
        let printed = file.ends_with("stdout.log");
        let figures = if printed && truth["printed"].is_object() { &truth["printed"] } else { truth };
        let counts = (entry["eval_points"].as_u64(), figures["eval_points"].as_u64());
        let (found, expected) = (&entry["best"], &figures["min_eval"]);
        let value = expected["value"].as_f64();
        let error = found["loss"].as_f64().zip(value).map(|(found, value)| (found / value - 1.0).abs());
        let step = expected["step"].as_u64().map(|step| step_in_print(file, step));
        // Where neither step nor bar is printed the epoch is all there is.
        let columns = file.ends_with("evals_result.json") || file.ends_with("history.json");
        let step_known = !columns && !entry["notes"].to_string().contains("no steps are written");
        let tolerance = if printed { PRINTED } else { STRUCTURED };
        let label = truth["label"].as_str().expect("a label");
        let scored = truth["ambiguous"] != true;
        let right = counts.0 == counts.1
            && error.is_none_or(|error| error <= tolerance)
            && error.is_some() == value.is_some()
            && (!step_known || found["step"].as_u64() == step);
        let verdict = agrees(label, entry);
        let short = file.strip_prefix(&format!("{}/", root().display())).unwrap_or(file);
        let _ = writeln!(
            table,
            "{} {short:<75} {:<13} {:>4}/{:<4} {:<8} step {:>5}/{:<5} {:<12} {label:<15}{}",
            if right { "ok " } else { "BAD" },
            entry["trainer"].as_str().unwrap_or_default(),
            counts.0.unwrap_or(0),
            counts.1.unwrap_or(0),
            error.map_or("-".into(), |error| format!("{error:.1e}")),
            found["step"].as_u64().map_or("-".into(), |step| step.to_string()),
            step.map_or("-".into(), |step| step.to_string()),
            entry["verdict"].as_str().unwrap_or_default(),
            if verdict {
                ""
            } else if scored {
                "  verdict differs"
            } else {
                "  (ambiguous)"
            },
        );
        if !right || scored && !verdict {
            wrong.push(short.to_owned());
        }
    }
    if std::env::var_os("TUNE_LOG_TABLE").is_some() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("logs.txt");
        std::fs::write(path, &table).expect("the table is written");
    }
    assert!(wrong.is_empty(), "curves or verdicts that are not as expected: {wrong:?}\n{table}");
}

/// What a reader makes of some chunks, a line a record; the end of the stream is told where `over`.
fn records<'a>(file: &str, chunks: impl Iterator<Item = &'a [u8]>, over: bool) -> Vec<String> {
    let mut reader = tune::ingest::open(Path::new(file), &tune::ingest::Options::default());
    let mut parsed = tune::ingest::Parsed::default();
    for chunk in chunks {
        reader.push(chunk, &mut parsed);
    }
    if over {
        reader.finish(&mut parsed);
    }
    parsed.records.iter().map(tune::event::record::Record::to_line).collect()
}

#[test]
fn the_exit_code_is_for_scripts() {
    let log = |case: &str| root().join(case).join("stdout.log").display().to_string();
    let (bad, good) = (log("hf_trainer/overfit"), log("hf_trainer/healthy"));
    let code = |arguments: &[&str]| check(&[&["--json"], arguments].concat()).0;
    assert_eq!(code(&[&good]), Some(0));
    assert_eq!(code(&[&good, &bad]), Some(1), "one bad run is enough");
    assert_eq!(code(&["--fail-on", "never", &bad]), Some(0));
    let mistake =
        std::process::Command::new(env!("CARGO_BIN_EXE_tune")).args(["check", "no-such.log"]).output();
    let mistake = mistake.expect("the program runs");
    let said = String::from_utf8_lossy(&mistake.stderr).into_owned();
    assert_eq!(mistake.status.code(), Some(2), "{said}");
    assert!(said.contains("no-such.log") && said.contains("hint: "), "{said}");
}

#[test]
fn any_chunks_give_the_same_records() {
    for (file, _) in logs() {
        let bytes = std::fs::read(&file).expect("a log");
        let whole = records(&file, [bytes.as_slice()].into_iter(), true);
        for size in [1, 7, 100, 4095, 65_536] {
            assert!(records(&file, bytes.chunks(size), true) == whole, "{file} in chunks of {size}");
        }
    }
}

#[test]
fn a_cut_takes_nothing_from_the_lines_before_it() {
    for (file, _) in logs() {
        let bytes = std::fs::read(&file).expect("a log");
        let whole = records(&file, [bytes.as_slice()].into_iter(), true);
        let stride = (bytes.len() / 60).max(1);
        for cut in (0..bytes.len()).step_by(stride) {
            let part = records(&file, [&bytes[..cut]].into_iter(), false);
            assert!(whole.starts_with(&part), "{file} cut at byte {cut}");
            // Torn as it is, the end may add a point, and may not take one.
            let torn = records(&file, [&bytes[..cut]].into_iter(), true);
            assert!(torn.starts_with(&part), "{file} torn at byte {cut}");
        }
    }
}

#[test]
fn dirt_is_passed_over() {
    for (file, _) in logs() {
        let mut bytes = std::fs::read(&file).expect("a log");
        // A multiplicative sequence (Knuth, TAOCP 2, 3.3.4): reproducible, and without a pattern.
        let mut seed = bytes.len() as u64;
        for _ in 0..bytes.len() / 50 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 20) as usize % bytes.len();
            bytes[at] = (seed >> 56) as u8;
        }
        let whole = records(&file, [bytes.as_slice()].into_iter(), true);
        assert!(records(&file, bytes.chunks(777), true) == whole, "{file}");
    }
}

#[test]
fn what_is_no_log_in_a_folder_is_passed_over_and_counted() {
    let place = tempfile::tempdir().unwrap();
    let line = |step: u32| format!("step {step} loss 2.{step} eval_loss 2.{step}\n");
    std::fs::write(place.path().join("run.log"), (1..6).map(line).collect::<String>()).unwrap();
    for name in ["a.out", "b.out"] {
        std::fs::write(place.path().join(name), b"\x89PNG\r\n\x1a\n0000000000000").unwrap();
    }
    std::fs::write(place.path().join("notes.txt"), "of no use\n").unwrap();
    let tune = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tune"));
        let output = command.args(arguments).arg(".").current_dir(&place).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (text, _) = tune(&["check"]);
    let counted = "passed over: 2\u{d7} a picture, no log (./a.out, ./b.out), 1\u{d7} no losses were found in it (./notes.txt)\n";
    assert!(text.ends_with(counted), "{text}");
    for form in ["--markdown", "--github"] {
        let (said, _) = tune(&["check", form]);
        assert!(said.contains("2\u{d7} a picture, no log (./a.out, ./b.out), 1\u{d7} no losses"), "{said}");
    }
    let (json, _) = tune(&["check", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sources"].as_array().unwrap().len(), 1);
    assert_eq!(json["passed_over"].as_array().unwrap().len(), 3);
    let (lines, said) = tune(&["watch", "--once"]);
    assert!(said.contains("passed over: a.out: a picture, no log\n"), "{said}");
    assert!(!lines.contains("a.out"), "{lines}");
}

/// A folder with these files, and what `tune check` makes of arguments in it: its exit code, stdout and stderr.
fn checked(files: &[(&str, &str)]) -> impl Fn(&[&str]) -> (Option<i32>, String, String) + use<> {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::create_dir_all(dir.path().join(name).parent().expect("a folder")).expect("a place to write");
        std::fs::write(dir.path().join(name), text).expect("a place to write");
    }
    move |arguments| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tune"));
        let output =
            command.arg("check").args(arguments).current_dir(dir.path()).output().expect("tune starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn figures_of_other_names_are_told_and_one_that_rises_is_refused() {
    let check = checked(&[
        ("a.log", "epoch 1: train=1.9, val=1.8\nepoch 2: train=1.7, val=1.7\nepoch 3: train=1.5, val=1.6\n"),
        ("b.csv", "it,a,accuracy\n1,1.5,0.1\n"),
        ("c.log", "epoch train val acc time\n  1 1.9 1.8 0.5 00:12\n  2 1.7 1.7 0.5 00:12\n"),
        ("d.csv", "epoch,train,val\n1,1.9,1.8\n2,1.7,1.7\n"),
        ("known.csv", "epoch,train_loss,val_loss\n1,1.9,1.8\n2,1.7,1.7\n"),
    ]);
    let (code, _, said) = check(&["a.log"]);
    let hint = "hint: if train and val are losses, say so: --map \"train=train,eval=val\"\n";
    assert!(code == Some(2) && said.ends_with(hint), "{said}");
    let (code, _, said) = check(&["c.log"]);
    assert!(code == Some(2) && said.ends_with(hint), "{said}");
    // Beside a run that is read as well.
    let (_, said, _) = check(&["known.csv", "c.log", "d.csv"]);
    assert_eq!(said.matches(hint).count(), 2, "{said}");
    let (code, said, _) = check(&["a.log", "--map", "train=train", "--map", "eval=val"]);
    assert!(code == Some(0) && said.contains("evaluations: 3, train figures: 3"), "{said}");
    let (_, _, said) = check(&["b.csv"]);
    assert!(
        said.ends_with(
            "hint: its figures are called a, accuracy: say which is the eval loss with --map \"eval=NAME\"\n"
        ),
        "{said}"
    );
    let (code, _, said) = check(&["b.csv", "--map", "eval=accuracy"]);
    assert!(code == Some(2) && said.contains("--map eval=accuracy: this figure rises"), "{said}");
}

#[test]
fn what_a_log_holds_beside_its_points_is_told() {
    let rows = |from: u32| {
        (0..4).map(move |row| format!("epoch {row} train_loss 1.{} val_loss 1.{from}\n", 9 - row))
    };
    let two: String = rows(1).chain(rows(2)).collect();
    let failed = "{'loss': 1.9, 'epoch': 0.1}\n{'eval_loss': 1.7, 'epoch': 0.1}\n\
                  Traceback (most recent call last):\n  File \"t.py\", line 4\nMemoryError: no more\n";
    let mixed: String = rows(1)
        .chain((0..4).map(|row| format!("step {row}0 train_loss 1.{row} val_loss 1.{}\n", 9 - row)))
        .collect();
    let check = checked(&[
        ("mixed.log", &mixed),
        ("two.log", &two),
        ("failed.log", failed),
        ("cells.csv", "step,train_loss,val_loss\n1,2.0,1.9\n2,oops,1.8\n3,n/a,1.7\n"),
    ]);
    let (_, said, _) = check(&["two.log"]);
    assert!(said.contains("note: an earlier run is in this log"), "{said}");
    assert!(said.contains("evaluations: 4") && said.contains("at epoch 3"), "{said}");
    // Each counts as it is written.
    let (_, said, _) = check(&["mixed.log"]);
    assert!(
        said.contains("an earlier run") && said.contains("at step 30") && !said.contains("epoch"),
        "{said}"
    );
    let (_, said, _) = check(&["failed.log"]);
    assert!(said.contains("note: a Python error in line 5: MemoryError: no more"), "{said}");
    for form in ["--markdown", "--github"] {
        let (_, said, _) = check(&["failed.log", form]);
        assert!(said.contains("; a Python error in line 5: MemoryError: no more"), "{said}");
        assert!(form == "--markdown" || said.starts_with("::warning "), "{said}");
    }
    let (_, said, _) = check(&["cells.csv"]);
    assert!(said.contains("skipped: 1\u{d7} a loss that is no number"), "{said}");
}

#[test]
fn logs_beside_a_well_known_file_are_told() {
    let rows = "step,train_loss,val_loss\n1,2.0,1.9\n2,1.9,1.8\n3,1.8,1.7\n";
    let line = "step 1 train_loss 2.0 val_loss 1.9\n";
    let check = checked(&[
        ("many/metrics.csv", rows),
        ("many/a.log", line),
        ("many/b.log", line),
        ("many/c.log", line),
        ("one/metrics.csv", rows),
        ("one/stdout.log", line),
    ]);
    let (_, said, _) = check(&["many"]);
    assert!(
        said.contains("note: taken to be of the same run and not judged: a.log, b.log, c.log; name"),
        "{said}"
    );
    let (_, said, _) = check(&["one"]);
    assert!(said.contains("evaluations: 3") && !said.contains("not judged"), "{said}");
}

#[test]
fn what_tensorboard_lets_one_download_is_one_run() {
    let column = |fall: f64| {
        let rows = (1..=5).map(|row| format!("1.7e9,{},{}\n", row * 10, 2.0 - fall * f64::from(row)));
        String::from("Wall time,Step,Value\n") + &rows.collect::<String>()
    };
    let check = checked(&[
        ("tb/run-.-tag-eval_loss.csv", &column(0.1)),
        ("tb/run-.-tag-train_loss.csv", &column(0.2)),
        ("tb/run-.-tag-eval_accuracy.csv", &column(0.3)),
        ("loss.csv", &column(0.1)),
    ]);
    let (_, said, _) = check(&["tb"]);
    assert!(said.contains("tb  tensorboard, evaluations: 5, train figures: 5"), "{said}");
    assert!(said.contains("eval loss 1.5000 at step 50"), "{said}");
    let (_, said, _) = check(&["loss.csv", "--map", "eval=Value"]);
    assert!(said.contains("evaluations: 5, train figures: 0"), "{said}");
}

#[test]
fn a_file_without_any_loss_is_a_mistake_and_rows_are_sent_to_tune_data() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes"), "root:x:0:0\n").unwrap();
    std::fs::write(dir.path().join("rows.jsonl"), "{\"prompt\": \"a\", \"completion\": \"b\"}\n").unwrap();
    std::fs::write(dir.path().join("train.log"), "{'loss': 1.5, 'epoch': 0.5}\n").unwrap();
    let check = |names: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tune"));
        let output = command.arg("check").args(names).current_dir(dir.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let expected = "error: notes: no losses were found in it\n  hint: give the log that the trainer wrote, or say what \
                    its columns are with --map eval=COLUMN\n";
    assert_eq!(check(&["notes"]), (Some(2), expected.into()));
    let expected = "error: rows.jsonl: no losses were found in it\n  hint: these are rows to train on: tune data looks at them\n";
    assert_eq!(check(&["rows.jsonl"]), (Some(2), expected.into()));
    std::fs::write(dir.path().join("report.md"), "# a.log\n\n**Verdict: overfitting (warn)**\n\nloss 2.5\n")
        .unwrap();
    let expected = "error: report.md: a report of tune, no log\n  hint: name the log, or the folder of the run, that \
                    it was made of\n";
    assert_eq!(check(&["report.md"]), (Some(2), expected.into()));
    // A misspelt column does not pass for a log without evaluations.
    std::fs::write(dir.path().join("k.csv"), "epoch,loss,val_loss\n0,2.0,2.1\n1,1.5,1.7\n2,1.2,1.6\n")
        .unwrap();
    let expected = "error: k.csv: no figures are called nope\n  hint: --map wants the name as it stands in the log, \
                    letter by letter\n";
    assert_eq!(check(&["k.csv", "--map", "eval=nope"]), (Some(2), expected.into()));
    assert_eq!(check(&["k.csv", "--map", "eval=val_loss"]), (Some(0), String::new()));
    std::fs::create_dir(dir.path().join("deep")).unwrap();
    std::fs::copy(dir.path().join("k.csv"), dir.path().join("deep/k.csv")).unwrap();
    assert_eq!(check(&["deep", "--map", "eval=nope"]), (Some(2), expected.replace("k.csv", "deep/k.csv")));
    // Nor for one whose steps are counted by row; a part of a name is another name.
    for step in ["nope", "epo", "poch"] {
        let map = format!("step={step}");
        assert_eq!(check(&["k.csv", "--map", &map]), (Some(2), expected.replace("nope", step)));
    }
    assert_eq!(check(&["k.csv", "--map", "step=epoch"]), (Some(0), String::new()));
    // A log without evaluations is one, and a file beside it that is none stays in the list.
    assert_eq!(check(&["notes", "train.log"]), (Some(0), String::new()));
}
