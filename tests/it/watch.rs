//! `tune watch` as a user has it: other programs' logs while they are written.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TUNE: &str = env!("CARGO_BIN_EXE_tune");

/// What mlx-lm prints at step `i` of a run that overfits from the fourth on.
fn iter_lines(i: u32) -> String {
    let eval = 1.0 + if i < 4 { f64::from(4 - i) * 0.2 } else { f64::from(i - 4) * 0.1 };
    format!(
        "Iter {i}: Val loss {eval:.3}, Val took 1.0s\nIter {i}: Train loss {:.3}, Learning Rate 1e-4\n",
        2.0 / f64::from(i)
    )
}

fn place() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn tune(place: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(TUNE);
    command.args(arguments).current_dir(place.path()).stdin(Stdio::null());
    command.output().expect("tune starts")
}

/// `tune watch` over a log, and the lines that it prints.
fn watching(place: &TempDir, log: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut command = Command::new(TUNE);
    command.args(["watch", log, "--plain"]).current_dir(place.path());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("tune starts");
    let lines = BufReader::new(child.stdout.take().expect("stdout")).lines().map_while(Result::ok);
    (child, lines)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_log_whose_figures_have_other_names_is_not_waited_for_in_silence() {
    let place = place();
    std::fs::write(place.path().join("a.log"), "epoch 1 acc 0.5\nepoch 2 acc 0.6\n").expect("a log");
    let (mut child, mut lines) = watching(&place, "a.log");
    let said = lines.find(|line| line.contains("no losses so far"));
    child.kill().and_then(|()| child.wait()).expect("tune ends");
    let hint = "its figures are called acc: say which is the eval loss with --map \"eval=NAME\"";
    assert!(said.as_ref().is_some_and(|line| line.contains(hint)), "{said:?}");
}

#[test]
fn a_log_is_shown_as_it_grows_and_after_it_began_anew() {
    let place = place();
    let log = place.path().join("train.log");
    std::fs::write(&log, iter_lines(1)).expect("a log");
    let (mut child, mut lines) = watching(&place, "train.log");
    let mut until = |word: &str| {
        let found = lines.find(|line| line.contains(word));
        assert!(found.is_some(), "no line with {word}");
    };
    until("eval 1.600");
    let append = |text: &str| {
        let file = std::fs::File::options().append(true).open(&log);
        file.expect("a log").write_all(text.as_bytes()).expect("it is written to");
    };
    // Half a line is none.
    let second = iter_lines(2);
    append(&second[..20]);
    append(&second[20..]);
    until("eval 1.400");
    for i in 3..=9 {
        append(&iter_lines(i));
    }
    until("Verdict: overfitting");
    // Another run in the same place.
    std::fs::write(&log, iter_lines(1)).expect("a log");
    until("eval 1.600");
    child.kill().expect("it is ended");
    child.wait().expect("it has ended");
}

#[test]
fn what_is_piped_in_is_judged_and_passed_through() {
    let place = place();
    let whole: String = (1..=9).map(iter_lines).collect();
    let mut child = Command::new(TUNE)
        .args(["watch", "-", "--plain"])
        .current_dir(place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tune starts");
    child.stdin.take().expect("stdin").write_all(whole.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), whole);
    let said = text(&output.stdout);
    assert!(said.contains("eval 1.500") && said.contains("best   eval 1.000 at step 4"), "{said}");
}

#[test]
fn mistakes_are_named() {
    let place = place();
    std::fs::write(place.path().join("x.pdf"), "%PDF-1.7 and more\n").unwrap();
    std::fs::write(place.path().join("x.csv"), "step,held,b\n1,1.5,0\n2,1.4,0\n").unwrap();
    for (arguments, expected) in [
        (
            &["watch", "--once", "none.log"][..],
            "error: none.log: no such file or folder\n  hint: without --once tune waits for it\n",
        ),
        (
            &["watch", "x.pdf"],
            "error: x.pdf: a PDF, no log\n  hint: name what the trainer writes, a file or its folder\n",
        ),
        (
            &["watch", "--once", "x.csv"],
            "error: x.csv: no losses were found in it\n  hint: its figures are called held, b: say which is the eval loss with --map \"eval=NAME\"\n",
        ),
        (&["watch", "-", "-"], "error: -: standard input can be read once only\n  hint: name - once\n"),
        (
            &["watch", "x", "--map", "loss=a"],
            "error: --map loss=a: not one of eval, train and step\n  hint: --map eval=val_loss,train=loss,step=iteration\n",
        ),
    ] {
        let output = tune(&place, arguments);
        assert_eq!(
            (text(&output.stderr).as_str(), output.status.code()),
            (expected, Some(2)),
            "{arguments:?}"
        );
    }
}

#[test]
fn what_is_not_there_yet_is_waited_for_and_said_to_be() {
    let place = place();
    let mut child = Command::new(TUNE)
        .args(["watch", "later.log", "--plain"])
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tune starts");
    let said = BufReader::new(child.stderr.take().expect("stderr")).lines().next();
    child.kill().expect("it is ended");
    child.wait().expect("it has ended");
    assert_eq!(said.expect("a line").expect("text"), "later.log does not exist yet; waiting for it");
}

#[test]
fn a_folder_is_all_the_runs_that_lie_in_it() {
    let place = place();
    for name in ["a.log", "b.log", "notes.md"] {
        let whole: String = (1..=9).map(iter_lines).collect();
        std::fs::write(place.path().join(name), whole).expect("a log");
    }
    // What rows speak of is no figure.
    let row = "{\"prompt\": \"weight loss?\", \"completion\": \"b\"}\n";
    std::fs::write(place.path().join("rows.jsonl"), row).expect("rows");
    let output = tune(&place, &["watch", "--once", "."]);
    let passed = "passed over: rows.jsonl: rows to train on, no log\n";
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), passed));
    let said = text(&output.stdout);
    assert!(said.contains("a.log: ") && said.contains("b.log: ") && !said.contains("notes.md"), "{said}");
    for newest in ["a.log", "b.log"] {
        let log = std::fs::File::options().append(true).open(place.path().join(newest)).expect("a log");
        log.set_modified(std::time::SystemTime::now() + Duration::from_secs(9)).expect("it is newer");
        let said = text(&tune(&place, &["watch", "--once", "."]).stdout);
        let first = said.lines().find_map(|line| line.split_once(": ")).expect("a line");
        assert_eq!(first.0, newest, "{said}");
        log.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("it is older");
    }
    assert_eq!(said.matches("best   eval 1.000 at step 4").count(), 2, "{said}");
    std::fs::create_dir(place.path().join("empty")).expect("a folder");
    let output = tune(&place, &["watch", "--once", "empty"]);
    let expected =
        "error: empty: no log that tune can read\n  hint: name the file itself, with --format if need be\n";
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), (expected, Some(2)));
}

/// The verdicts of the runs that a source holds but for those that are undecided, as the last of them stands.
fn verdicts(mode: &[&str], source: &std::path::Path) -> Vec<String> {
    let output = Command::new(TUNE).args(mode).arg(source).output().expect("tune starts");
    let lines = text(&output.stdout);
    let mut last = BTreeMap::new();
    let mut tell = |run: &Value, of: &Value| {
        last.insert(run.to_string(), format!("{} {}", of["verdict"], of["severity"]));
    };
    if mode[0] == "check" {
        let document: Value = serde_json::from_str(&lines).unwrap_or_default();
        document["sources"].as_array().into_iter().flatten().for_each(|of| tell(&of["file"], of));
    } else {
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["verdict"].is_string()).for_each(|line| tell(&line["run"], &line));
    }
    let mut verdicts: Vec<String> = last.into_values().filter(|of| !of.contains("undecided")).collect();
    verdicts.sort();
    verdicts
}

#[test]
fn a_watch_ends_where_a_check_does() {
    let logs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs");
    let below = |folder: &std::path::Path| {
        let entries =
            std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let cases: Vec<_> = below(&logs).iter().flat_map(|trainer| below(trainer)).collect();
    assert!(cases.len() > 20, "{cases:?}");
    for case in cases {
        let (checked, watched) =
            (verdicts(&["check", "--json"], &case), verdicts(&["watch", "--once", "--json"], &case));
        assert_eq!(checked, watched, "{}", case.display());
    }
}

/// A run folder of our own, `one`, with one evaluation and then these events; its log.
fn own_run(place: &TempDir, events: &[&str]) -> std::fs::File {
    let run = place.path().join("one");
    std::fs::create_dir(&run).expect("a folder");
    std::fs::write(run.join("config.toml"), "").expect("a configuration");
    let begin = [
        r#""kind":"run_started","format":1,"name":"one","trainer":"tune","total_steps":1"#,
        r#""kind":"eval","step":1,"loss":2.5,"tokens":9"#,
    ];
    let mut log = std::fs::File::create(run.join("run.jsonl")).expect("a log");
    for (t, event) in begin.iter().chain(events).enumerate() {
        writeln!(log, "{{\"t\":{t}.0,\"event\":{{{event}}}}}").expect("a line");
    }
    log
}

/// What `tune watch` says of its own accord, from the folder `from`; it must come to an end.
fn watched_to_the_end(place: &TempDir, from: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(TUNE);
    command.arg("watch").args(arguments).current_dir(place.path().join(from));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("tune starts");
    let start = Instant::now();
    while child.try_wait().expect("a state").is_none() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = child.try_wait().expect("a state");
    child.kill().expect("it is ended");
    let said = text(&child.wait_with_output().expect("it has ended").stdout);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{said}");
    said
}

#[test]
fn a_run_of_our_own_that_is_over_is_not_waited_for() {
    let place = place();
    own_run(&place, &[r#""kind":"run_ended","reason":"finished","step":1,"best":null,"restored_best":true"#]);
    for (from, source) in [(".", "one"), (".", "one/run.jsonl"), ("one", "."), ("one", "run.jsonl")] {
        let said = watched_to_the_end(&place, from, &[source, "--plain", "--notify", "true"]);
        assert!(said.contains("eval 2.500"), "{said}");
    }
}

#[test]
fn train_losses_that_come_after_their_evaluation_are_judged_together() {
    let place = place();
    let mut log = String::new();
    for eval in 1..=16 {
        let height = if eval < 4 { 2.5 - 0.4 * f64::from(eval) } else { 1.3 };
        let _ = writeln!(log, "step {} eval_loss {height:.3}", 10 * eval);
        for step in 10 * eval - 9..10 * eval {
            // The first of them alone is no sign of anything.
            let loss = if step % 10 == 1 || eval < 4 { 0.3 } else { 0.001 };
            let _ = writeln!(log, "step {step} loss {loss}");
        }
    }
    let path = place.path().join("late.log");
    std::fs::write(&path, log).expect("a log");
    let checked = verdicts(&["check", "--json"], &path);
    assert_eq!(checked, ["\"memorizing\" \"warn\""]);
    assert_eq!(verdicts(&["watch", "--once", "--json"], &path), checked);
}

#[test]
fn a_document_that_is_written_anew_is_told_of_from_where_it_was() {
    let place = place();
    let document = |seed: f64, evals: u32| {
        let eval = |i: u32| {
            format!("{{\"eval_loss\": {}, \"epoch\": {i}, \"step\": {}}}", seed + f64::from(i), 10 * i)
        };
        let log = (1..=evals).map(eval).collect::<Vec<_>>().join(", ");
        let text =
            format!("{{\"global_step\": {}, \"max_steps\": 900, \"log_history\": [{log}]}}", 10 * evals);
        // All at once, as the trainer does it.
        std::fs::write(place.path().join("new"), text).expect("a document");
        std::fs::rename(place.path().join("new"), place.path().join("trainer_state.json"))
            .expect("its place");
    };
    document(1.0, 1);
    let (mut child, lines) = watching(&place, "trainer_state.json");
    let mut lines = lines.filter(|line| line.starts_with("step ")).map(|line| line[..12].to_owned());
    let mut seen: Vec<String> = lines.by_ref().take(1).collect();
    document(1.0, 2);
    seen.extend(lines.by_ref().take(1));
    document(1.0, 3);
    seen.extend(lines.by_ref().take(1));
    // Another run is told of from its beginning.
    document(2.0, 2);
    seen.extend(lines.take(2));
    child.kill().and_then(|()| child.wait()).expect("tune ends");
    let steps: Vec<&str> = seen.iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(steps, ["10", "20", "30", "10", "20"]);
}

#[test]
fn a_run_of_our_own_that_was_killed_is_told_and_not_waited_for() {
    let place = place();
    let log = own_run(&place, &[]);
    log.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).expect("it is older");
    let said = watched_to_the_end(&place, ".", &["one", "--plain"]);
    assert_eq!(said.matches("tune run --resume one goes on").count(), 1, "{said}");
    assert!(text(&tune(&place, &["runs", "."]).stdout).contains("cut short"));
    // While a process holds the log the run goes on.
    log.lock().expect("a lock");
    assert!(text(&tune(&place, &["runs", "."]).stdout).contains("running"));
}
