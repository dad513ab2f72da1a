//! `--notify`: a command of the user's is run when a run has gone bad, once, and told what.

use crate::cli::{HOT, Place, stderr, stdout};

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

#[test]
fn a_log_that_overfits_is_told_of_once_and_a_healthy_one_not_at_all() {
    let place = Place::new();
    place.write("bad.csv", &overfit().concat());
    place.write("good.csv", &overfit()[..7].concat());
    let output = place.tune(&["watch", "--once", "bad.csv", "good.csv", "--notify", TELL]);
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
    let told = told(&place);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("bad.csv|overfitting|severe|16|eval loss (median"), "{told:?}");
}

#[test]
fn a_command_that_fails_is_said_and_changes_nothing() {
    let place = Place::new();
    place.write("bad.csv", &overfit().concat());
    let output = place.tune(&["watch", "--once", "bad.csv", "--notify", "echo no post >&2; exit 3"]);
    let said = stdout(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the command of --notify failed, exit status: 3: no post\n"), "{said}");
}

#[test]
fn a_trainer_that_is_run_is_told_of_too() {
    let place = Place::new();
    place.write("bad.csv", &overfit().concat());
    let output = place.tune(&["exec", "--notify", TELL, "--", "sh", "-c", "cat bad.csv; sleep 0.3; exit 4"]);
    assert_eq!(output.status.code(), Some(4));
    let told = told(&place);
    assert!(told.len() == 1 && told[0].starts_with("sh|overfitting|severe|16|"), "{told:?}");
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
        told[0].starts_with("one|") && told[0].contains("|train and eval loss rise together"),
        "{told:?}"
    );
    assert!(told.len() == 1 && step(&told[0]) < Some(240), "{told:?}");
    // Its failure is in the run's log, and among the lines.
    let log = std::fs::read_to_string(place.path("one/run.jsonl")).expect("a log");
    let text = "the command of --notify failed, exit status: 1: lost";
    assert!(log.contains(text) && stdout(&output).contains(text), "{}", stdout(&output));
}
