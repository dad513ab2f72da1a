//! `tune exec` with trainers that are shell scripts: what is passed on, when they are stopped, and the
//! exit codes. Under a pseudo-terminal only what needs one; over pipes the rest.

use std::fmt::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TUNE: &str = env!("CARGO_BIN_EXE_tune");

/// Evaluations that fall, turn at step 51 and rise, while the train loss goes on falling.
const LOSSES: [(f64, f64); 14] = [
    (3.0, 3.0),
    (2.5, 2.5),
    (2.0, 2.0),
    (1.6, 1.7),
    (1.4, 1.4),
    (1.3, 1.2),
    (1.35, 1.0),
    (1.45, 0.9),
    (1.6, 0.8),
    (1.8, 0.7),
    (2.0, 0.6),
    (2.2, 0.5),
    (2.4, 0.4),
    (2.6, 0.3),
];

/// A shell script that prints what mlx-lm prints, with `between` after every evaluation.
fn trainer(between: &str) -> String {
    let mut script = String::new();
    for (i, (eval, train)) in LOSSES.iter().enumerate() {
        let (step, next) = (10 * i + 1, 10 * i + 10);
        let _ = writeln!(script, "echo 'Iter {step}: Val loss {eval:.3}, Val took 0.100s'\n{between}");
        let _ = writeln!(
            script,
            "echo 'Iter {next}: Train loss {train:.3}, Learning Rate 1.000e-04, It/sec 1.000, Tokens/sec 100.000, Trained Tokens 1000, Peak mem 1.000 GB'"
        );
    }
    script
}

/// Runs `tune exec FLAGS -- sh -c SCRIPT` in `place`.
fn exec(place: &TempDir, flags: &[&str], script: &str) -> Output {
    let mut command = Command::new(TUNE);
    command.arg("exec").args(flags).args(["--", "sh", "-c", script]).current_dir(place.path());
    command.stdin(Stdio::null()).output().expect("tune runs")
}

fn place() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_the_trainer_prints_and_how_it_ends_is_passed_on() {
    let out = exec(&place(), &[], "printf 'one\\ntwo'; echo three >&2; exit 7");
    assert_eq!((text(&out.stdout).as_str(), out.status.code()), ("one\ntwo", Some(7)));
    assert!(
        text(&out.stderr)
            .starts_with("three\ntune: the trainer ended with exit code 7\ntune: Verdict: undecided"),
        "{}",
        text(&out.stderr)
    );
    let out = exec(&place(), &["-q"], "kill -KILL $$");
    assert_eq!((out.status.code(), text(&out.stderr).as_str()), (Some(128 + 9), ""));
}

#[test]
fn a_run_that_overfits_is_stopped_and_its_best_checkpoint_named() {
    let place = place();
    let save = "mkdir -p out; [ -e out/checkpoint-50 ] || mkdir out/checkpoint-50; sleep 0.15";
    // Told to end, it saves, and says so.
    let script = format!("trap 'echo saved; exit 0' INT\n{}echo to the end", trainer(save));
    let out = exec(&place, &["--stop-on", "warn"], &script);
    let (said, printed) = (text(&out.stderr), text(&out.stdout));
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(printed.ends_with("saved\n"), "{printed}");
    assert!(said.contains("tune: stopping the trainer: overfitting ("), "{said}");
    assert!(
        said.contains(
            "best eval loss 1.3000 at step 51; the nearest checkpoint is out/checkpoint-50 (step 50)"
        ),
        "{said}"
    );
}

#[test]
fn the_best_of_a_run_without_steps_is_at_its_epoch_and_matched_to_no_checkpoint() {
    let mut script = String::from("mkdir -p out/checkpoint-10 out/checkpoint-90\n");
    for (i, (eval, train)) in LOSSES.iter().enumerate() {
        let epoch = i + 1;
        let _ = writeln!(script, "echo \"{{'loss': {train}, 'epoch': {epoch}.0}}\"");
        let _ = writeln!(script, "echo \"{{'eval_loss': {eval}, 'epoch': {epoch}.0}}\"");
    }
    let said = text(&exec(&place(), &[], &script).stderr);
    let expected = "best eval loss 1.3000 at epoch 6; no checkpoint is named for its epoch, as epoch_6.pt would be, \
                    and the log has no steps";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn the_best_of_a_run_without_steps_is_matched_to_the_checkpoint_of_its_epoch() {
    let mut script = String::from("mkdir -p ck/epoch_5.png\n");
    for (i, (eval, train)) in LOSSES.iter().enumerate() {
        let epoch = i + 1;
        let _ = writeln!(
            script,
            "echo 'epoch {epoch} train_loss {train} val_loss {eval}'; touch ck/epoch_{epoch}.pt"
        );
    }
    let said = text(&exec(&place(), &[], &script).stderr);
    let expected = "best eval loss 1.3000 at epoch 6; the nearest checkpoint is ck/epoch_6.pt (epoch 6)";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn without_a_level_nothing_is_stopped() {
    let out = exec(&place(), &[], &format!("{}echo to the end", trainer("")));
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stdout).ends_with("to the end\n"));
    let said = text(&out.stderr);
    assert!(
        said.contains("tune: overfitting (severe): eval loss ") && said.contains("\n  hint: Use the "),
        "{said}"
    );
}

#[test]
fn a_metric_that_tempers_the_verdict_is_named_at_the_end() {
    let mut script = String::new();
    for (i, (eval, train)) in LOSSES.iter().enumerate() {
        let (epoch, accuracy) = (i + 1, 0.5 + 0.03 * i as f64);
        let _ = writeln!(script, "echo \"{{'loss': {train}, 'epoch': {epoch}.0}}\"");
        let figures = format!("'eval_loss': {eval}, 'eval_accuracy': {accuracy:.2}, 'epoch': {epoch}.0");
        let _ = writeln!(script, "echo \"{{{figures}}}\"");
    }
    let said = text(&exec(&place(), &["--stop-on", "warn"], &script).stderr);
    assert!(said.contains("tune: overfitting (watch): "), "{said}");
    let note = "\n  note: eval loss is up but accuracy is better: ";
    assert!(said.replace("eval_accuracy", "accuracy").contains(note), "{said}");
    assert!(said.contains("so keep both checkpoints\n"), "{said}");
}

#[test]
fn a_trainer_that_does_not_heed_is_killed_in_the_end() {
    let script = format!("trap '' INT TERM\n{}while :; do sleep 0.05; done", trainer(""));
    let out = exec(&place(), &["--stop-on", "warn", "--grace", "0"], &script);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    for signal in ["TERM", "KILL"] {
        assert!(said.contains(&format!("\ntune: it did not end within 0 s: SIG{signal}\n")), "{said}");
    }
    assert!(said.contains("\ntune: the trainer was killed by signal 9\ntune: overfitting ("), "{said}");
}

#[test]
fn what_tune_says_begins_on_a_line_of_its_own() {
    let place = place();
    let both = std::fs::File::create(place.path().join("both")).unwrap();
    let script = format!("trap '' INT\n{}printf open; while :; do sleep 0.05; done", trainer(""));
    let mut tune = Command::new(TUNE);
    tune.args(["exec", "--stop-on", "warn", "--grace", "1", "--", "sh", "-c", &script]);
    tune.stdin(Stdio::null()).stdout(both.try_clone().unwrap()).stderr(both).current_dir(place.path());
    tune.status().expect("tune runs");
    let said = std::fs::read_to_string(place.path().join("both")).unwrap();
    assert!(said.contains("open\ntune: "), "{said}");
    let ours = said.lines().filter(|line| line.contains("tune: "));
    assert!(ours.clone().count() >= 3 && ours.clone().all(|line| line.starts_with("tune: ")), "{said}");
}

#[test]
fn a_log_that_the_trainer_writes_is_judged_too() {
    let place = place();
    let rows: Vec<String> = LOSSES
        .iter()
        .enumerate()
        .map(|(i, (eval, _))| format!("Iter {}: Val loss {eval:.3}, Val took 0.100s", 10 * i + 1))
        .collect();
    std::fs::write(place.path().join("lines"), rows.join("\n") + "\n").unwrap();
    let script = "while read -r line; do echo \"$line\" >> train.log; sleep 0.05; done < lines; sleep 20";
    let out = exec(&place, &["--stop-on", "warn", "--log", "train.log"], script);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("best eval loss 1.3000 at step 51"), "{}", text(&out.stderr));
}

/// A shell script that writes `rows` of `epoch,step,train_loss,val_loss` into `file`, one at a time.
fn writer(file: &str, rows: &[(f64, f64)]) -> String {
    let mut script = format!("mkdir -p $(dirname {file})\necho epoch,step,train_loss,val_loss > {file}\n");
    for (i, (eval, train)) in rows.iter().enumerate() {
        let _ = writeln!(script, "echo {i},{},{train:.6},{eval:.6} >> {file}\nsleep 0.15", 10 * i);
    }
    script
}

#[test]
fn what_the_trainer_writes_is_found_and_stops_it() {
    let place = place();
    // A log of an earlier run that says the worst is none of this one's.
    std::fs::create_dir(place.path().join("old")).unwrap();
    let old = "epoch,step,train_loss,val_loss\n0,0,1,1\n1,10,nan,nan\n2,20,nan,nan\n3,30,nan,nan\n";
    std::fs::write(place.path().join("old/metrics.csv"), old).unwrap();
    let script = writer("out/csv/version_0/metrics.csv", &LOSSES) + "sleep 20";
    let out = exec(&place, &["--stop-on", "warn"], &script);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("stopping the trainer: overfitting"), "{said}");
    assert!(
        said.contains("tune: judged by out/csv/version_0/metrics.csv, which the trainer wrote"),
        "{said}"
    );
    assert!(said.contains("best eval loss 1.3000 at step 50"), "{said}");
}

#[test]
fn a_written_log_is_preferred_to_what_is_printed_unless_it_is_behind() {
    let printed = |rows: &[(f64, f64)]| trainer("") + &writer("metrics.csv", rows).replace("sleep 0.15", "");
    let out = exec(&place(), &[], &printed(&LOSSES));
    let said = text(&out.stderr);
    assert!(said.contains("tune: judged by metrics.csv, which the trainer wrote"), "{said}");
    let out = exec(&place(), &[], &printed(&LOSSES[..6]));
    let said = text(&out.stderr);
    assert!(said.contains("tune: judged by what the trainer printed"), "{said}");
    // A table that may be anything is not believed against what is printed.
    let out = exec(&place(), &[], &printed(&LOSSES).replace("metrics.csv", "predictions.csv"));
    let said = text(&out.stderr);
    assert!(said.contains("tune: judged by what the trainer printed"), "{said}");
}

#[test]
fn a_folder_in_the_arguments_is_looked_into() {
    let (place, elsewhere) = (place(), self::place());
    let logs = elsewhere.path().join("run").display().to_string();
    let script = writer(&format!("{logs}/metrics.csv"), &LOSSES).replace("sleep 0.15", "");
    let tune = |arguments: &[&str]| {
        let mut command = Command::new(TUNE);
        command.args(["exec", "--", "sh", "-c", &script, "train"]).args(arguments);
        let out = command.current_dir(place.path()).stdin(Stdio::null()).output().expect("tune runs");
        text(&out.stderr)
    };
    let said = tune(&["--output_dir", &logs]);
    assert!(said.contains(&format!("tune: judged by {logs}")), "{said}");
    let said = tune(&["--seed", "3"]);
    assert!(said.contains("tune: no loss was printed") && said.contains("hint: --log PATH"), "{said}");
}

#[test]
fn a_command_that_cannot_be_started_is_a_mistake() {
    let out = Command::new(TUNE).args(["exec", "--", "./no-such-trainer"]).output().expect("tune runs");
    assert_eq!(out.status.code(), Some(2));
    let said = text(&out.stderr);
    assert!(said.starts_with("error: ./no-such-trainer: cannot be started: "), "{said}");
    assert!(said.contains("\n  hint: "), "{said}");
}

#[test]
fn signals_are_handed_on() {
    let place = place();
    let script = "trap 'echo told; exit 5' TERM; touch ready; while :; do sleep 0.05; done";
    let mut tune = Command::new(TUNE);
    tune.args(["exec", "-q", "--", "sh", "-c", script]).current_dir(place.path()).stdout(Stdio::piped());
    let child = tune.spawn().expect("tune runs");
    let began = Instant::now();
    while !place.path().join("ready").exists() {
        assert!(began.elapsed() < Duration::from_secs(30), "the trainer did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(kill.success());
    let out = child.wait_with_output().expect("it ends");
    assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(5), "told\n"));
}
