//! `--notify`: a command of the user's is run when a run has gone bad, once, and told what.

use crate::cli::{HOT, Place, stderr, stdout, wait_for};
use std::io::BufRead;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

const TELL: &str = "echo \"$TUNE_RUN|$TUNE_VERDICT|$TUNE_SEVERITY|$TUNE_STEP|$TUNE_MESSAGE\" >> told.txt";

/// The head of a CSV, and evaluations that fall, turn and climb to a severe rise.
fn overfit() -> Vec<String> {
    let row = |step: u32| {
        let eval = if step <= 6 { 3.0 - 0.2 * f64::from(step) } else { 1.8 + 0.1 * f64::from(step - 6) };
        format!("{step},{:.3},{eval:.3}\n", 3.0 / f64::from(step))
    };
    std::iter::once("step,train_loss,val_loss\n".to_owned()).chain((1..=16).map(row)).collect()
}

/// What the command was told, a line each time.
fn told(place: &Place) -> Vec<String> {
    let text = std::fs::read_to_string(place.path("told.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Writes a log while it and an old one are watched, and gives what the watch printed `until` then.
fn watched(place: &Place, notify: &str, until: &str) -> String {
    place.write("old.csv", &overfit().concat());
    place.write("new.csv", "");
    let arguments = ["watch", "old.csv", "new.csv", "--plain", "--notify", notify];
    let mut watch = place.command(&arguments).stdout(Stdio::piped()).spawn().expect("tune starts");
    let out = wait_for(&mut watch, "old.csv: Verdict: overfitting");
    place.write("new.csv", &overfit().concat());
    // What it prints is read aside: it may never print what is waited for.
    let (sender, lines) = channel();
    std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let mut said = String::new();
    while let Ok(line) = lines.recv_timeout(Duration::from_secs(10)) {
        said += &(line + "\n");
        if said.contains(until) {
            break;
        }
    }
    for _ in 0..100 {
        if !told(place).is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // Time for a second one, which must not come.
    std::thread::sleep(Duration::from_secs(1));
    watch.kill().expect("it still watches");
    watch.wait().expect("it ends");
    said
}

#[test]
fn a_log_that_comes_to_overfit_is_told_of_once_and_an_old_one_not_at_all() {
    let place = Place::new();
    watched(&place, TELL, "new.csv: Verdict: overfitting (severe)");
    let told = told(&place);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("new.csv|overfitting|severe|16|new.csv: overfitting (severe): eval loss"),
        "{told:?}"
    );
}

#[test]
fn a_command_that_fails_is_said_and_changes_nothing() {
    let place = Place::new();
    let said = watched(&place, "echo > told.txt; echo no post >&2; exit 3", " failed, ");
    assert!(said.contains("new.csv: the command of --notify failed, exit status: 3: no post\n"), "{said}");
    let output = place.tune(&["watch", "old.csv", "--notify", ""]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_trainer_that_is_run_is_told_of_too() {
    let place = Place::new();
    place.write("bad.csv", &overfit().concat());
    let output = place.tune(&["exec", "--notify", TELL, "--", "sh", "-c", "cat bad.csv; sleep 0.3; exit 4"]);
    assert_eq!(output.status.code(), Some(4));
    let told = told(&place);
    assert!(told.len() == 1 && told[0].starts_with("sh|overfitting|severe|16|"), "{told:?}");
    // A stop at watch is told of, though watch alone is not.
    let script = "head -n 11 bad.csv; exec sleep 20";
    place.tune(&["exec", "--stop-on", "watch", "--notify", TELL, "--", "sh", "-c", script]);
    let stop = self::told(&place).pop().expect("a line");
    assert!(stop.starts_with("sh|overfitting|") && stop.contains("|sh was stopped: overfitting ("), "{stop}");
    let output = place.tune(&["exec", "--notify", "no-such-program", "--", "sh", "-c", "cat bad.csv"]);
    assert!(
        stderr(&output).contains("tune: the command of --notify failed, exit status: 127"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_run_of_our_own_is_told_of_while_it_goes_on() {
    let place = Place::new();
    place.write_nonsense();
    let command = format!("{TELL}; echo lost >&2; exit 1");
    let sets = HOT.iter().flat_map(|set| ["--set", set]);
    let arguments = ["run", "job.toml", "--plain", "--out", "one", "--notify", &command];
    let output = place.tune(&arguments.into_iter().chain(sets).collect::<Vec<_>>());
    assert!(output.status.success(), "{}", stderr(&output));
    let told = told(&place);
    let step = |line: &String| line.split('|').nth(3).and_then(|step| step.parse::<u64>().ok());
    assert!(
        // How grave depends on the kernels: such a run magnifies the last bit.
        told[0].starts_with("one|diverged|") && told[0].contains("|one was stopped: diverged ("),
        "{told:?}"
    );
    assert!(told.len() == 1 && step(&told[0]) < Some(240), "{told:?}");
    // Its failure is in the run's log, and among the lines.
    let log = std::fs::read_to_string(place.path("one/run.jsonl")).expect("a log");
    let text = "the command of --notify failed, exit status: 1: lost";
    assert!(log.contains(text) && stdout(&output).contains(text), "{}", stdout(&output));
}
