//! The same short run as many trainers print it: other names, prefixes of loggers and launchers, other
//! encodings and line ends. One truth for all; the name of a file begins with its trainer.

use std::path::{Path, PathBuf};
use tune::curve::{Curves, EvalPoint};
use tune::ingest::{Options, Parsed, open};

const TRAIN: [f64; 5] = [3.0, 2.4, 1.9, 1.5, 1.2];
const EVAL: [f64; 5] = [2.5, 2.2, 2.0, 2.1, 2.3];

/// Of these the printed train losses are others between the evaluations, or another mean.
const OTHER_TRAIN: &[&str] = &["text-pytorch-quickstart.log", "text-fairseq.log"];

/// What is made of a file in chunks of a size, and who wrote it.
fn read(file: &Path, bytes: &[u8], size: usize) -> (Parsed, &'static str) {
    let (mut reader, mut parsed) = (open(file, &Options::default()), Parsed::default());
    for chunk in bytes.chunks(size) {
        reader.push(chunk, &mut parsed);
    }
    reader.finish(&mut parsed);
    (parsed, reader.trainer())
}

#[test]
fn every_dialect_gives_the_same_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects");
    let entries = std::fs::read_dir(folder).expect("a folder of dialects");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() > 40);
    let mut wrong = Vec::new();
    for file in &files {
        let name = file.file_name().expect("a name").to_string_lossy();
        let bytes = std::fs::read(file).expect("a log");
        let (parsed, trainer) = read(file, &bytes, bytes.len());
        for size in [1, 7, 100] {
            assert_eq!(read(file, &bytes, size).0, parsed, "{name} in chunks of {size}");
        }
        let mut curves = Curves::default();
        for record in &parsed.records {
            curves.apply(record.t, &record.event);
        }
        let train: Vec<f64> = curves.train.iter().map(|point| point.loss).collect();
        let eval: Vec<f64> = curves.eval.iter().map(|point| point.loss).collect();
        let near = |found: &[f64], truth: &[f64]| {
            found.len() == truth.len() && found.iter().zip(truth).all(|(a, b)| (a - b).abs() < 1e-4)
        };
        // fairseq prints the loss with its label smoothing.
        let smoothed: Vec<f64> = EVAL.iter().map(|loss| loss + 0.1).collect();
        let right = (near(&eval, &EVAL) || name == "text-fairseq.log" && near(&eval, &smoothed))
            && (near(&train, &TRAIN) || OTHER_TRAIN.contains(&&*name) && train.len() == 5)
            && name.starts_with(trainer);
        if !right {
            wrong.push(format!("{name}: {trainer} {train:?} {eval:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn several_test_sets_of_catboost_are_eval_sets_and_the_last_decides() {
    let text = include_bytes!("../dialects/catboost-several-sets.log");
    let (parsed, _) = read(Path::new("x.log"), text, text.len());
    let mut curves = Curves::default();
    parsed.records.iter().for_each(|record| curves.apply(record.t, &record.event));
    let losses = |points: &[EvalPoint]| points.iter().map(|point| point.loss).collect::<Vec<_>>();
    assert_eq!(losses(&curves.eval), EVAL);
    let others: Vec<_> = curves.others.iter().map(|(set, points)| (set.as_str(), losses(points))).collect();
    assert_eq!(others, [("0", vec![2.6, 2.5, 2.4, 2.3, 2.2])]);
    assert!(curves.test.is_none());
}

#[test]
fn a_trainer_may_show_itself_late_but_not_after_thousands_of_points_of_nobody_s() {
    let log = |points: u32| {
        let loose = |step: u32| format!("step {step} loss 2.5\n");
        let text: String = (1..=points).map(loose).collect();
        text + "{'loss': 1.5, 'epoch': 0.5}\n{'loss': 1.4, 'epoch': 1.0}\n"
    };
    for (points, trainer, figures) in [(100, "hf-trainer", 2), (5000, "text", 5000)] {
        let text = log(points);
        let (parsed, found) = read(Path::new("x.log"), text.as_bytes(), 1000);
        let mut curves = Curves::default();
        parsed.records.iter().for_each(|record| curves.apply(record.t, &record.event));
        assert_eq!((found, curves.train.len()), (trainer, figures), "{points}");
    }
}

/// The evaluations that are read from a text under a name: their losses and their metrics.
fn evals(name: &str, text: &str) -> Vec<(f64, Vec<String>)> {
    let (parsed, _) = read(Path::new(name), text.as_bytes(), 7);
    let eval = |record: &tune::event::record::Record| match &record.event {
        tune::event::Event::Eval(stats) => {
            Some((stats.loss, stats.metrics.iter().map(|metric| metric.name.clone()).collect()))
        }
        _ => None,
    };
    parsed.records.iter().filter_map(eval).collect()
}

#[test]
fn the_best_model_evaluated_after_the_training_is_no_point_of_the_curve() {
    let epoch = |epoch: u32, loss: f64| {
        format!("{{'loss': 1.0, 'epoch': {epoch}.9}}\n{{'eval_loss': {loss}, 'epoch': {epoch}.9}}\n")
    };
    let curve = epoch(0, 2.0) + &epoch(1, 1.5) + &epoch(2, 1.9);
    let losses = |text: &str| evals("x.log", text).into_iter().map(|(loss, _)| loss).collect::<Vec<_>>();
    let over = "{'train_runtime': 10.0, 'train_loss': 1.2, 'epoch': 3.5}\n";
    let again = "{'eval_loss': 1.5, 'epoch': 3.5}\n";
    assert_eq!(losses(&(curve.clone() + over + again)), [2.0, 1.5, 1.9]);
    // Before its end it is one; and of the model as it was trained last a last evaluation is one.
    assert_eq!(losses(&(curve.clone() + again)), [2.0, 1.5, 1.9, 1.5]);
    assert_eq!(losses(&(curve + over + "{'eval_loss': 1.8, 'epoch': 3.5}\n")), [2.0, 1.5, 1.9, 1.8]);
}

#[test]
fn a_score_of_catboost_is_no_loss() {
    let row = |step: u32, test: f64, best: f64| {
        format!("{step}:\ttest: {test}\tbest: {best} (0)\ttotal: 1s\tremaining: 1s\n")
    };
    let rising = row(0, 0.75, 0.75) + &row(20, 0.84, 0.84) + &row(40, 0.83, 0.84);
    assert_eq!(evals("x.log", &rising), []);
    let falling = row(0, 0.75, 0.75) + &row(20, 0.84, 0.75) + &row(40, 0.7, 0.7);
    let losses: Vec<f64> = evals("x.log", &falling).into_iter().map(|(loss, _)| loss).collect();
    assert_eq!(losses, [0.75, 0.84, 0.7]);
}

#[test]
fn the_table_of_several_sets_of_catboost_is_read_by_its_last() {
    let text = "iter\tRMSE:0\tRMSE\n0\t1.2\t1.4\n1\t1.1\t1.3\n";
    let losses: Vec<f64> =
        evals("catboost_info/test_error.tsv", text).into_iter().map(|(loss, _)| loss).collect();
    assert_eq!(losses, [1.4, 1.3]);
}

#[test]
fn what_catboost_minimises_is_the_loss_whatever_it_is() {
    for name in
        ["MultiClass", "Huber:delta=1.0", "Quantile:alpha=0.7", "CrossEntropy", "Tweedie:variance_power=1.5"]
    {
        for head in [name.to_owned(), format!("{name}:0\t{name}")] {
            let row = |step: u32, loss: f64| {
                if head == name { format!("{step}\t{loss}\n") } else { format!("{step}\t9\t{loss}\n") }
            };
            let text = format!("iter\t{head}\n{}{}", row(0, 1.4), row(1, 1.3));
            let losses: Vec<f64> =
                evals("catboost_info/test_error.tsv", &text).into_iter().map(|(loss, _)| loss).collect();
            assert_eq!(losses, [1.4, 1.3], "{head}");
        }
    }
    assert_eq!(evals("catboost_info/test_error.tsv", "iter\tAUC\n0\t0.7\n1\t0.8\n"), []);
}

#[test]
fn a_perplexity_beside_the_loss_of_an_evaluation_is_of_that() {
    let line = |epoch: u32, perplexity: f64, loss: f64| {
        format!(
            "2026-11-22 02:35:43,627 - INFO - __main__ - epoch {epoch}: perplexity: {perplexity} eval_loss: {loss}\n"
        )
    };
    let text = line(0, 1.8824, 0.6325) + &line(1, 1.8657, 0.6236);
    assert_eq!(train(&text), []);
    let (parsed, _) = read(Path::new("x.log"), text.as_bytes(), 7);
    let mut curves = Curves::default();
    parsed.records.iter().for_each(|record| curves.apply(record.t, &record.event));
    let points: Vec<_> = curves.eval.iter().map(|point| (point.step, point.loss)).collect();
    assert_eq!(points, [(0, 0.6325), (1, 0.6236)]);
}

#[test]
fn trl_shows_itself_in_an_evaluation_before_the_first_step() {
    let text = "{'eval_loss': '4.147', 'eval_runtime': '0.0215', 'eval_entropy': '4.137', \
                'eval_mean_token_accuracy': '0.02604', 'eval_num_tokens': '0', 'epoch': 0}\n\
                {'loss': '4.109', 'grad_norm': '1.5', 'num_tokens': '156', 'epoch': '0.375'}\n";
    let (parsed, _) = read(Path::new("x.log"), text.as_bytes(), 7);
    let started = parsed.records.iter().find_map(|record| match &record.event {
        tune::event::Event::RunStarted(info) => Some(info.trainer.clone()),
        _ => None,
    });
    assert_eq!(started.as_deref(), Some("trl"));
}

#[test]
fn a_metric_of_the_train_set_is_none_of_held_out_rows() {
    let text = "[0]\tvalidation_0-logloss:0.6\tvalidation_0-auc:0.9\tvalidation_1-logloss:0.7\tvalidation_1-auc:0.8\n";
    assert_eq!(evals("x.log", text), [(0.7, vec!["validation_1-auc".to_owned()])]);
}

/// The train figures that are read from a text: their steps and losses.
fn train(text: &str) -> Vec<(u64, f64)> {
    let (parsed, _) = read(Path::new("x.log"), text.as_bytes(), 7);
    let step = |record: &tune::event::record::Record| match &record.event {
        tune::event::Event::Step(stats) => Some((stats.step, stats.loss)),
        _ => None,
    };
    parsed.records.iter().filter_map(step).collect()
}

#[test]
fn the_tables_of_scikit_learn_are_train_losses() {
    let boosting = "      Iter       Train Loss      OOB Improve   Remaining Time \n         \
                    1           0.5349           0.2058            0.84s\n         \
                    2           0.2914          -0.0668            0.45s\n        \
                    10           0.0724           0.0115            0.12s\n";
    assert_eq!(train(boosting), [(1, 0.5349), (2, 0.2914), (10, 0.0724)]);
    let network = "Iteration 1, loss = 0.69\nValidation score: 0.85\nIteration 2, loss = 0.53\nValidation score: 0.86\n";
    assert_eq!(train(network), [(1, 0.69), (2, 0.53)]);
    assert_eq!(evals("x.log", network), []);
}

#[test]
fn an_epoch_before_a_dictionary_is_its_place() {
    let text = include_str!("../dialects/hf-trainer-own-loop.log");
    for text in [text.to_owned(), text.replace("epoch", "INFO - Epoch")] {
        let (parsed, _) = read(Path::new("x.log"), text.as_bytes(), text.len());
        let mut curves = Curves::default();
        parsed.records.iter().for_each(|record| curves.apply(record.t, &record.event));
        let epochs: Vec<_> = curves.eval.iter().map(|point| point.epoch).collect();
        assert_eq!(epochs, [0.0, 1.0, 2.0, 3.0, 4.0].map(Some));
    }
    let other = "best epoch 2 so far: {'eval_loss': 1.5, 'epoch_time': 3.0}\n";
    let (parsed, _) = read(Path::new("x.log"), other.as_bytes(), 7);
    let of_eval = |record: &tune::event::record::Record| match &record.event {
        tune::event::Event::Eval(eval) => Some(eval.epoch),
        _ => None,
    };
    assert_eq!(parsed.records.iter().filter_map(of_eval).collect::<Vec<_>>(), [None]);
}
