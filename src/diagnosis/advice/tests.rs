//! What is advised, and that it follows from the finding and the settings.

use super::*;
use crate::diagnosis::{Epochs, Finding, Severity, Verdict};
use crate::event::{DataInfo, ModelInfo};

fn overfit(onset_epoch: f64) -> Diagnosis {
    let rise = Rise {
        best_step: 120,
        best_epoch: Some(onset_epoch),
        best_loss: 2.0,
        last_step: 280,
        last_loss: 2.2,
        recent_loss: 2.2,
        rise: 0.1,
        noise: Some(0.01),
        noise_assumed: false,
        p: None,
        strength: 20.0,
        onset_step: 140,
        onset_epoch: Some(onset_epoch),
        train_at_best: Some(1.8),
        train_now: Some(1.2),
        rise_per_epoch: Some(0.04),
        never_improved: false,
        held: false,
    };
    judged(Evidence::Rise(rise))
}

fn judged(evidence: Evidence) -> Diagnosis {
    let finding = Finding { severity: Severity::Warn, evidence };
    Diagnosis {
        verdict: Verdict::Overfitting,
        severity: Severity::Warn,
        findings: vec![finding],
        remarks: Vec::new(),
        undecided: None,
        best: Some(4),
        set: None,
        epochs: Epochs { from_zero: false, trained: Some(7.0) },
        as_good: None,
        rise: Some(0.1),
        noise: Some(0.01),
        noise_assumed: false,
        onset: Some(5),
    }
}

/// The train loss is no number.
fn broken_train() -> Diagnosis {
    judged(Evidence::NonFinite(crate::diagnosis::finding::NonFinite {
        step: 9,
        series: "train loss",
        recovered: false,
        train_loss: None,
        best: None,
    }))
}

fn own() -> RunInfo {
    RunInfo { trainer: "tune".into(), ..RunInfo::default() }
}

fn run() -> RunInfo {
    let settings = Settings {
        config: Some("configs/quick start.toml".into()),
        overrides: vec!["train.steps=600".into(), "data.seed=3".into(), "lora.dropout=0.0".into()],
        epochs: Some(10.0),
        learning_rate: Some(1e-3),
        schedule: Some("cosine".into()),
        weight_decay: Some(0.01),
        lora_r: Some(16),
        lora_alpha: Some(32.0),
        lora_dropout: Some(0.0),
        early_stopping: Some(true),
        ..Settings::default()
    };
    let data = DataInfo { train_rows: 450, train_tokens: 40_000, ..DataInfo::default() };
    let model = ModelInfo { trainable: 300_000, ..ModelInfo::default() };
    RunInfo { settings, data: Some(data), model: Some(model), ..own() }
}

fn patches(diagnosis: &Diagnosis, run: &RunInfo) -> Vec<String> {
    let advice = advise(diagnosis, run);
    advice.iter().flat_map(|a| &a.patch).map(|(key, value)| format!("{key}={value}")).collect()
}

#[test]
fn a_first_run_is_told_the_cures_and_how_to_run_them() {
    let (diagnosis, run) = (overfit(2.3), run());
    assert_eq!(patches(&diagnosis, &run), ["train.epochs=4.5", "lora.dropout=0.1"]);
    assert_eq!(
        command(&run, &advise(&diagnosis, &run)).unwrap(),
        "tune run 'configs/quick start.toml' --set data.seed=3 --set train.epochs=4.5 \
         --set lora.dropout=0.1"
    );
}

#[test]
fn what_was_done_already_is_not_advised_again() {
    let mut run = run();
    run.settings.epochs = Some(2.0);
    run.settings.lora_dropout = Some(0.1);
    run.settings.early_stopping = Some(false);
    assert_eq!(patches(&overfit(2.3), &run), ["lora.dropout=0.2", "early_stopping.enabled=true"]);
    run.settings.lora_dropout = Some(0.2);
    run.settings.early_stopping = Some(true);
    let advice = advise(&overfit(2.3), &run);
    assert_eq!(advice.len(), 1);
    assert!(advice[0].text.starts_with("Add rows"), "{}", advice[0].text);
    assert_eq!(command(&run, &advice), None);
}

#[test]
fn an_early_turn_asks_for_smaller_steps_and_a_large_adapter_for_a_smaller_rank() {
    let mut run = run();
    run.model = Some(ModelInfo { trainable: 3_000_000, ..ModelInfo::default() });
    assert!(!patches(&overfit(1.0), &run).iter().any(|patch| patch.starts_with("lora.r=")), "rank 16");
    run.settings.lora_r = Some(96);
    let found = patches(&overfit(1.0), &run);
    // Half the rate takes twice the epochs: 2 (1.0 + 10 / pi sin(pi / 10)), to the next half.
    assert_eq!(found, ["train.epochs=4.0", "lora.dropout=0.1", "train.learning_rate=5e-4", "lora.r=48"]);
    // A turn in the second pass is early at a high rate only.
    assert_eq!(patches(&overfit(1.5), &run), ["train.epochs=3.0", "lora.dropout=0.1", "lora.r=48"]);
    run.settings.learning_rate = Some(5e-3);
    let found = patches(&overfit(1.5), &run);
    assert_eq!(found, ["train.epochs=6.0", "lora.dropout=0.1", "train.learning_rate=2.5e-3", "lora.r=48"]);
}

#[test]
fn a_diverged_run_is_told_to_take_smaller_steps() {
    assert_eq!(patches(&broken_train(), &run()), ["train.learning_rate=3e-4", "train.warmup_ratio=0.1"]);
}

#[test]
fn nothing_is_advised_without_a_finding_or_a_known_setting() {
    let healthy = Diagnosis { findings: Vec::new(), ..overfit(2.0) };
    assert_eq!(advise(&healthy, &run()), []);
    let advice = advise(&overfit(2.0), &own());
    assert_eq!(advice.len(), 1);
    assert_eq!(command(&own(), &advice), None);
}

#[test]
fn learning_rates_are_written_as_people_do_and_halved_without_loss() {
    for (value, expected) in
        [(5e-4, "5e-4"), (2.5e-5, "2.5e-5"), (50.0, "50.0"), (0.05, "0.05"), (0.058_513_86, "0.0585")]
    {
        assert_eq!(exponent(value), expected);
    }
    for (now, half) in [(5e-5, "2.5e-5"), (3e-4, "1.5e-4"), (1e-3, "5e-4"), (50.0, "25.0")] {
        assert_eq!(exponent(to_digits(now / 2.0, 2)), half);
    }
    assert_eq!(exponent(to_digits(1e-3 / 3.0, 1)), "3e-4");
}

#[test]
fn the_length_is_that_which_learns_as_much_as_the_best_had() {
    let mut late = overfit(4.4);
    if let Evidence::Rise(rise) = &mut late.findings[0].evidence {
        rise.best_epoch = Some(2.5);
    }
    let mut run = run();
    let mut epochs = |schedule: &str| {
        run.settings.schedule = Some(schedule.into());
        patches(&late, &run)[0].clone()
    };
    // Of ten epochs: a quarter and its sine; twice a quarter less its square; the turn itself.
    assert_eq!(epochs("cosine"), "train.epochs=5.0");
    assert_eq!(epochs("linear"), "train.epochs=4.5");
    assert_eq!(epochs("constant"), "train.epochs=2.5");
    // A length in steps is no round number of epochs, and is told as one.
    run.settings.epochs = Some(600.0 / 58.0);
    let text = &advise(&late, &run)[0].text;
    assert!(text.starts_with("Train for 2.5 epochs, not 10.3: "), "{text}");
    run.settings.epochs = Some(10.0);
    // A turn near the end is no reason to train shorter.
    assert_eq!(patches(&overfit(9.4), &run)[0], "train.epochs=9.5");
    run.settings.schedule = Some("cosine".into());
    assert_eq!(patches(&overfit(9.4), &run)[0], "lora.dropout=0.1");
}

#[test]
fn a_run_that_learnt_nothing_is_told_to_take_longer_steps() {
    let found = crate::diagnosis::finding::NothingLearnt {
        first_step: 25,
        first_loss: 2.96,
        last_step: 100,
        last_loss: 2.96,
        train_change: 0.0,
        learning_rate: Some(1e-6),
    };
    let mut run = run();
    run.settings.learning_rate = Some(1e-6);
    assert_eq!(patches(&judged(Evidence::NothingLearnt(found)), &run), ["train.learning_rate=1e-5"]);
}

#[test]
fn another_trainer_is_told_its_own_options() {
    let texts = |trainer: &str| {
        let run = RunInfo { trainer: trainer.into(), ..RunInfo::default() };
        let advice = advise(&overfit(3.0), &run);
        assert!(advice.iter().all(|advice| advice.patch.is_empty()), "{trainer}");
        advice.iter().map(|advice| advice.text.clone()).collect::<Vec<_>>().join(" ")
    };
    let hf = texts("hf-trainer");
    for option in ["--num_train_epochs", "--load_best_model_at_end", "lora_dropout", "--weight_decay"] {
        assert!(hf.contains(option), "{option}: {hf}");
    }
    let mlx = texts("mlx-lm");
    assert!(
        mlx.contains("Train for about 120 steps, not 280 (--iters)") && mlx.contains("lora_parameters"),
        "{mlx}"
    );
    assert!(texts("llama.cpp").contains("-epochs") && !texts("llama.cpp").contains("dropout"));
    // Who wrote a plain table is not known, and so are its options.
    let plain = texts("csv");
    assert!(plain.starts_with("Use the checkpoint at step 120 (epoch 3.0)"), "{plain}");
    assert!(plain.contains("Train for about 3.0 epochs, not 7.0"), "{plain}");
    assert!(!plain.contains("--"), "{plain}");
    let run = RunInfo { trainer: "csv".into(), ..RunInfo::default() };
    let advice = advise(&broken_train(), &run);
    assert!(advice.iter().all(|advice| advice.patch.is_empty()) && !advice.is_empty());
}
