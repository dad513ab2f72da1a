//! Runs in the background, what other processes ask of a trainer, and what goes away while it trains: a reader of
//! stdout, the run folder.

use crate::cli::{OUT, Place, stderr, stdout};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than any of this takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the log of [`OUT`] has by now, without a line that is half written.
fn log(place: &Place) -> Vec<Value> {
    let text = std::fs::read_to_string(place.path(OUT).join("run.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["event"].take())).collect()
}

fn last_step(place: &Place) -> u64 {
    log(place)
        .iter()
        .rev()
        .find(|event| event["kind"] == "step")
        .and_then(|event| event["step"].as_u64())
        .unwrap_or(0)
}

fn ask(place: &Place, wish: &str) {
    let folder = place.path(OUT).join("control");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(wish), "").expect("a file");
}

fn is_open(place: &Place, wish: &str) -> bool {
    place.path(OUT).join("control").join(wish).exists()
}

/// A process in the background, which does not outlive a test that fails.
struct Background {
    pid: u64,
}

impl Drop for Background {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = Command::new("kill").args(["-9", &self.pid.to_string()]).status();
        }
    }
}

/// Starts an endless run in the background.
fn detached(place: &Place) -> Background {
    let endless = ["--set", "train.steps=1000000", "--set", "eval.every_steps=100000"];
    let start =
        ["run", "job.toml", "--out", OUT, "--detach", "--json", "--set", "early_stopping.enabled=false"];
    let output = place.tune(&[&start[..], &endless[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).expect("one document");
    assert_eq!(told["run"], OUT);
    Background { pid: told["pid"].as_u64().expect("a process") }
}

#[test]
fn a_run_in_the_background_hears_what_it_is_asked() {
    let place = Place::new();
    let background = detached(&place);
    let pid = background.pid;
    assert_eq!(log(&place)[0]["kind"], "run_started");
    wait_until("a step", || last_step(&place) > 2);
    // It has no terminal and no parent that waits for it.
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        assert_eq!((fields[3], fields[4]), (pid.to_string().as_str(), "0"), "session and terminal");
    }
    let count = |kind: &str| log(&place).iter().filter(|event| event["kind"] == kind).count();

    ask(&place, "save");
    wait_until("saved", || {
        !is_open(&place, "save")
            && log(&place)
                .iter()
                .any(|e| e["kind"] == "checkpoint_saved" && e["role"] == "last" && e["step"] != 0)
    });
    let evals = count("eval");
    ask(&place, "evaluate");
    wait_until("evaluated", || count("eval") > evals);

    ask(&place, "pause");
    // Between the wish and the end of a step there may be one more.
    wait_until("it waits", || {
        let before = last_step(&place);
        std::thread::sleep(Duration::from_millis(500));
        last_step(&place) == before
    });
    assert!(is_open(&place, "pause"), "who looks on must see that it waits");
    let waiting = last_step(&place);
    std::fs::remove_file(place.path(OUT).join("control/pause")).unwrap();
    wait_until("it goes on", || last_step(&place) > waiting);

    ask(&place, "stop-after-eval");
    ask(&place, "evaluate");
    wait_until("the end", || log(&place).last().is_some_and(|event| event["kind"] == "run_ended"));
    assert_eq!(log(&place).last().unwrap()["reason"], "requested");
    wait_until("everything written", || {
        place.path(OUT).join("report.html").exists() && !place.path(OUT).join("control").exists()
    });
    let lines = std::fs::read_to_string(place.path(OUT).join("output.log")).unwrap();
    assert!(lines.contains("held out") && lines.contains("  eval "), "{lines}");
}

#[test]
fn what_an_earlier_session_was_asked_is_forgotten() {
    let place = Place::new();
    let _background = detached(&place);
    wait_until("a step", || last_step(&place) > 1);
    ask(&place, "interrupt");
    wait_until("the end", || log(&place).last().is_some_and(|event| event["kind"] == "run_ended"));
    assert_eq!(log(&place).last().unwrap()["reason"], "interrupted");
    wait_until("nobody writes", || !place.path(OUT).join("control").exists());

    // An interrupted run has not shown that it is healthy.
    let told = place.tune(&["watch", OUT, "--once"]);
    assert!(!stdout(&told).contains("Verdict: healthy\n"), "{}", stdout(&told));

    ask(&place, "stop");
    let output = place.tune(&["run", "--resume", OUT, "--detach"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let (pid, rest) = text
        .strip_prefix("runs/one: runs in the background, process ")
        .and_then(|rest| rest.split_once('\n'))
        .expect("where it is");
    let _background = Background { pid: pid.parse().expect("a process") };
    assert!(rest.contains("tune watch runs/one"), "{rest}");
    let resumed = || log(&place).iter().position(|event| event["kind"] == "run_resumed");
    let at = resumed().expect("a record that it goes on");
    wait_until("a step that nobody forbade", || {
        log(&place)[at..].iter().filter(|e| e["kind"] == "step").count() > 3
    });
    // Two at once would spoil its log.
    let second = place.tune(&["run", "--resume", OUT, "--detach"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(stderr(&second).contains("another tune is writing to this run"), "{}", stderr(&second));
    ask(&place, "stop");
    wait_until("the end", || log(&place).last().is_some_and(|event| event["kind"] == "run_ended"));
    wait_until("nobody writes", || !place.path(OUT).join("control").exists());
}

#[test]
fn a_mistake_is_told_before_anything_goes_into_the_background() {
    let place = Place::new();
    let output = place.tune(&["run", "job.toml", "--detach", "--set", "train.steps=none"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    assert!(!place.path("runs").exists());
}

#[test]
fn a_reader_of_stdout_that_leaves_does_not_end_the_run() {
    for (form, first) in [("--json", "{\"t\":"), ("--plain", "one")] {
        let place = Place::new();
        let tune = Path::new(env!("CARGO_BIN_EXE_tune")).display();
        let script = format!("'{tune}' run job.toml {form} --out {OUT} | head -n 1");
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(place.path("."))
            .stdin(Stdio::null())
            .output()
            .expect("sh starts");
        assert!(stdout(&output).starts_with(first), "{}", stdout(&output));
        let said = stderr(&output);
        assert_eq!(said.matches("stdout is closed; the run goes on").count(), 1, "{said}");
        assert_eq!(log(&place).last().unwrap()["reason"], "finished");
        assert!(place.path(OUT).join("report.html").exists());
    }
}

#[test]
fn a_run_whose_folder_is_moved_away_has_failed() {
    let place = Place::new();
    let arguments = ["run", "job.toml", "--plain", "--out", OUT, "--set", "train.steps=300"];
    let child = place.command(&arguments).spawn().expect("tune starts");
    wait_until("a step", || last_step(&place) > 0);
    std::fs::rename(place.path(OUT), place.path("elsewhere")).expect("it is moved");
    let output = child.wait_with_output().expect("it ends");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("error: ") && said.contains("\n  hint: the run folder runs/one was removed"),
        "{said}"
    );
}
