//! How foreign runs end, and where in the run what is said of them lies: a log that says it is over is
//! not running, and one that writes no steps is not told in invented ones.

use std::path::Path;
use std::process::Command;
use tune::event::{Event, StopReason};
use tune::ingest::{Options, Parsed, open};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// How a log ends that begins so: why, and at which step.
fn end(file: &Path, bytes: &[u8]) -> Option<(StopReason, u64)> {
    let (mut reader, mut parsed) = (open(file, &Options::default()), Parsed::default());
    reader.push(bytes, &mut parsed);
    reader.finish(&mut parsed);
    parsed.records.iter().rev().find_map(|record| match &record.event {
        Event::RunEnded(ended) => Some((ended.reason, ended.step)),
        _ => None,
    })
}

#[test]
fn a_log_that_says_so_is_of_a_run_that_is_over() {
    use StopReason::{EarlyStopping, Finished};
    for (file, reason, step) in [
        ("logs/hf_trainer/healthy/stdout.log", Finished, 300),
        ("logs/hf_trainer/tricky_resumed_dup_steps/stdout.log", Finished, 180),
        ("logs/hf_trainer_v4/overfit/stdout.log", Finished, 150),
        ("logs/trl_sft/overfit/stdout.log", Finished, 150),
        ("logs/llamafactory/healthy/trainer_log.jsonl", Finished, 150),
        ("logs/mlx_lm/healthy/stdout.log", Finished, 120),
        ("logs/mlx_lm/healthy_new_ui/stdout.log", Finished, 120),
        ("logs/llamacpp_finetune/overfit/stdout.log", Finished, 59),
        ("logs/torchtune/train_only_disklogger/stdout.log", Finished, 96),
        ("logs/lightning/overfit_tqdm/stdout.log", Finished, 159),
        ("logs/keras/overfit/stdout.log", Finished, 40),
        ("logs/catboost/healthy/stdout.log", Finished, 59),
        ("dialects/keras-early-stop.log", EarlyStopping, 5),
        ("dialects/lightgbm-early-stop.log", EarlyStopping, 50),
        ("dialects/catboost-early-stop.log", EarlyStopping, 400),
        ("dialects/ms-swift-logging.jsonl", Finished, 50),
    ] {
        let path = root().join("tests").join(file);
        let bytes = std::fs::read(&path).expect("a log");
        assert_eq!(end(&path, &bytes), Some((reason, step)), "{file}");
        assert_eq!(end(&path, &bytes[..bytes.len() / 2]), None, "half of {file}");
    }
    // These do not say it.
    for file in ["logs/nanogpt/borderline_overfit_cut/stdout.log", "logs/nanogpt/healthy/stdout.log"] {
        let path = root().join("tests").join(file);
        assert_eq!(end(&path, &std::fs::read(&path).expect("a log")), None, "{file}");
    }
}

#[test]
fn a_state_is_over_at_its_last_step_or_with_its_summary() {
    let state = |step: u32, row: &str| {
        let row_of = |n: u32| {
            format!("{{\"loss\": 2.{n}, \"step\": {0}}}, {{\"eval_loss\": 2.{n}, \"step\": {0}}}, ", n * 5)
        };
        let rows: String = (1..=4).map(row_of).collect();
        format!("{{\n\"global_step\": {step},\n\"log_history\": [{rows}{row}],\n\"max_steps\": 40\n}}\n")
    };
    let file = Path::new("trainer_state.json");
    let summary = "{\"step\": 20, \"train_loss\": 2.2, \"train_runtime\": 9.5}";
    let point = "{\"eval_loss\": 2.5, \"step\": 25}";
    assert_eq!(end(file, state(20, point).as_bytes()), None);
    assert_eq!(end(file, state(20, summary).as_bytes()), Some((StopReason::EarlyStopping, 20)));
    let whole = state(40, point).replace("25}", "40}");
    assert_eq!(end(file, whole.as_bytes()), Some((StopReason::Finished, 40)));
}

#[test]
fn what_goes_on_after_its_end_is_running_again() {
    let log = "{'loss': 2.5, 'epoch': 1.0}\n{'train_runtime': 9.5, 'train_loss': 2.5, 'epoch': 1.0}\n";
    let file = Path::new("train.log");
    assert_eq!(end(file, log.as_bytes()), Some((StopReason::Finished, 1000)));
    let mut monitor = tune::monitor::Monitor::new(tune::diagnosis::Limits::DEFAULT);
    let (mut reader, mut parsed) = (open(file, &Options::default()), Parsed::default());
    let longer = log.to_owned() + "{'eval_loss': 2.6, 'epoch': 1.0}\n";
    for (text, over) in [(longer.as_str(), true), ("{'loss': 2.2, 'epoch': 2.0}\nsaving\n", false)] {
        reader.push(text.as_bytes(), &mut parsed);
        parsed.records.drain(..).for_each(|record| monitor.apply(&record));
        assert_eq!(monitor.snapshot().ended.is_some(), over, "{text}");
    }
}

#[test]
fn what_lightning_says_behind_its_bar_is_heard_and_the_bar_drawn_again_is_no_point() {
    let bar = |epoch: u32, loss: u32| {
        format!("Epoch {epoch}: 100%|##| 8/8 [00:01<00:00, 9.1it/s, train_loss=0.{loss}, val_loss=0.{loss}]")
    };
    let text = [
        bar(0, 5),
        bar(1, 6)
            + "Monitored metric val_loss did not improve in the last 1 records. Signaling Trainer to stop.",
        bar(1, 6),
    ];
    let text = text.join("\n") + "\n";
    let file = Path::new("train.log");
    assert_eq!(end(file, text.as_bytes()), Some((StopReason::EarlyStopping, 15)));
    let (mut reader, mut parsed) = (open(file, &Options::default()), Parsed::default());
    reader.push(text.as_bytes(), &mut parsed);
    reader.finish(&mut parsed);
    let evals = parsed.records.iter().filter(|record| matches!(record.event, Event::Eval(_))).count();
    assert_eq!(evals, 2);
}

#[test]
fn a_speed_beside_every_loss_makes_no_summary_of_it() {
    // As Hugging Face's trainer prints with `include_num_input_tokens_seen`.
    let row = |n: u32| {
        format!("{{'loss': 2.{n}, 'epoch': {n}.0, 'train_runtime': {n}.5, 'train_tokens_per_second': 900}}\n")
    };
    let text: String = (1..=3).map(row).collect();
    let (mut reader, mut parsed) = (open(Path::new("train.log"), &Options::default()), Parsed::default());
    reader.push(text.as_bytes(), &mut parsed);
    reader.finish(&mut parsed);
    let steps = parsed.records.iter().filter(|record| matches!(record.event, Event::Step(_))).count();
    assert_eq!(steps, 3);
    assert!(!parsed.records.iter().any(|record| matches!(record.event, Event::RunEnded(_))));
}

/// What a command says of a folder's log.
fn tune(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tune")).args(arguments).current_dir(folder).output();
    String::from_utf8(output.expect("tune starts").stdout).expect("UTF-8")
}

#[test]
fn the_status_of_an_mlflow_run_is_read() {
    let place = tempfile::tempdir().expect("a folder");
    let run = place.path().join("mlruns/0/1fb03232828742d89880b4920ea9a534");
    std::fs::create_dir_all(run.join("metrics")).expect("a place to write");
    let figure = |n: u32| format!("17952033409{n}7 2.{n} {}\n", n * 10);
    let figures: String = (1..=5).map(figure).collect();
    for metric in ["loss", "eval_loss"] {
        std::fs::write(run.join("metrics").join(metric), &figures).expect("a place to write");
    }
    for (status, words) in
        [(1, "the log ends at step 50"), (3, "finished after 50 steps"), (4, "interrupted after 50 steps")]
    {
        std::fs::write(run.join("meta.yaml"), format!("run_uuid: x\nstatus: {status}\ntags: []\n"))
            .expect("a file");
        let story = tune(place.path(), &["watch", "--once", "--plain", "mlruns"]);
        assert!(story.contains(words), "{story}");
    }
}

#[test]
fn where_a_log_has_no_steps_its_epochs_are_named() {
    let place = tempfile::tempdir().expect("a folder");
    let loss = |n: u32| 2.0 + (f64::from(n) - 4.0).abs() / 10.0;
    let row = |n: u32| {
        let (train, eval, epoch) = (3.0 / f64::from(n), loss(n), f64::from(n) / 4.0);
        format!("{{'loss': {train:.4}, 'epoch': {epoch}}}\n{{'eval_loss': {eval:.4}, 'epoch': {epoch}}}\n")
    };
    std::fs::write(place.path().join("train.log"), (1..=12).map(row).collect::<String>()).expect("a file");
    let page = ["report", "train.log", "-o", "page.md"];
    let mut told = vec![tune(place.path(), &["check", "train.log"])];
    told.push(tune(place.path(), &["watch", "--once", "--plain", "train.log"]));
    tune(place.path(), &page);
    told.push(std::fs::read_to_string(place.path().join("page.md")).expect("a report"));
    tune(place.path(), &["report", "train.log", "-o", "page.html"]);
    let page = std::fs::read_to_string(place.path().join("page.html")).expect("a report");
    assert!(page.contains("<th class=\"n\">epoch</th>") && !page.contains("<th class=\"n\">step</th>"));
    for story in told {
        assert!(story.contains("at epoch 1)") || story.contains("at epoch 1;"), "{story}");
        assert!(!story.contains("step 1000") && !story.contains("3000"), "{story}");
    }
}
