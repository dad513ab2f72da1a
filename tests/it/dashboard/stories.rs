//! Three invented runs, told as records: losses as functions of the step, with noise that is the same
//! every time.

use std::time::{Duration, Instant};
use tune::dashboard::{Gpu, Runs, System, Update};
use tune::diagnosis::advice::Advice;
use tune::diagnosis::finding::{NonFinite, Rise};
use tune::diagnosis::{Diagnosis, Epochs, Evidence, Finding, Limits, Severity, Verdict};
use tune::event::record::Record;
use tune::event::{
    CheckpointRole, CheckpointSaved, DataInfo, EvalStats, Event, ExampleLoss, Generated, LossMeaning,
    ModelInfo, Note, NoteLevel, RunEnded, RunInfo, Sample, Settings, Split, StepStats, StopReason,
};
use tune::monitor::{LogLine, Monitor, Snapshot};

const TOTAL: u64 = 560;
const PER_EPOCH: f64 = 56.0;

fn info() -> RunInfo {
    RunInfo {
        format: 1,
        name: "quickstart".into(),
        trainer: "tune".into(),
        model: Some(ModelInfo {
            name: "builtin".into(),
            params: 3_240_000,
            trainable: 410_000,
            layers: 6,
            vocab: 4096,
            device: "cpu f32 (avx512)".into(),
            checksum: 0,
        }),
        data: Some(DataInfo {
            train_rows: 450,
            valid_rows: 50,
            test_rows: 0,
            train_tokens: 51_000,
            valid_tokens: 5_600,
            ..DataInfo::default()
        }),
        total_steps: Some(TOTAL),
        steps_per_epoch: Some(PER_EPOCH),
        eval_every: Some(28),
        train_loss: LossMeaning::NATS_PER_TOKEN,
        eval_loss: LossMeaning::NATS_PER_TOKEN,
        settings: Settings {
            config: Some("configs/quickstart.toml".into()),
            epochs: Some(10.0),
            learning_rate: Some(1e-3),
            schedule: Some("cosine".into()),
            weight_decay: Some(0.01),
            batch_size: Some(8),
            lora_r: Some(16),
            lora_alpha: Some(32.0),
            lora_dropout: Some(0.0),
            early_stopping: Some(true),
            ..Settings::default()
        },
        ..RunInfo::default()
    }
}

/// A number in -1..1 that looks random and is the same every time.
fn noise(seed: u64) -> f64 {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 32;
    (x % 20_001) as f64 / 10_000.0 - 1.0
}

/// A run whose losses are functions of the step.
struct Story {
    train: fn(f64) -> f64,
    eval: fn(f64) -> f64,
    steps: u64,
    end: Option<StopReason>,
}

/// Learning, and still at it.
const HEALTHY: Story = Story {
    train: |s| 2.2 + 2.3 * (-s / 60.0).exp() - s / 1000.0,
    eval: |s| 2.45 + 2.4 * (-s / 70.0).exp() - s / 2500.0,
    steps: 300,
    end: None,
};

/// The tale of the glossary: train falls on, eval turns.
const OVERFITTING: Story = Story {
    train: |s| 0.25 + 4.2 * (-s / 150.0).exp(),
    eval: |s| 2.3 + 2.6 * (-s / 45.0).exp() + (s - 168.0).max(0.0) / 550.0,
    steps: 560,
    end: Some(StopReason::Finished),
};

/// Falling, then exploding, then no number at all.
const DIVERGED: Story = Story {
    train: |s| {
        if s > 330.0 { f64::NAN } else { 2.4 + 2.2 * (-s / 60.0).exp() + ((s - 270.0) / 12.0).exp() }
    },
    eval: |s| {
        if s > 330.0 { f64::NAN } else { 2.5 + 2.3 * (-s / 60.0).exp() + ((s - 270.0) / 12.0).exp() }
    },
    steps: 340,
    end: Some(StopReason::NonFinite),
};

fn records(story: &Story) -> Vec<Record> {
    let mut records = Vec::new();
    let mut t = 0.0;
    let mut best = f64::MAX;
    let mut push = |t: f64, event| records.push(Record { t, event });
    push(0.0, Event::RunStarted(Box::new(info())));
    for step in 0..=story.steps {
        let at = step as f64;
        let epoch = at / PER_EPOCH;
        if step > 0 {
            t += 0.2;
            let stats = StepStats {
                step,
                epoch: Some(epoch),
                loss: (story.train)(at) * (1.0 + 0.12 * noise(step)),
                tokens: 900,
                input_tokens: 1600,
                learning_rate: Some(1e-3),
                grad_norm: Some(1.0),
            };
            push(t, Event::Step(stats));
        }
        if step % 28 == 0 {
            t += 1.0;
            let loss = (story.eval)(at) * (1.0 + 0.004 * noise(step + 7));
            push(
                t,
                Event::Eval(EvalStats {
                    step,
                    epoch: Some(epoch),
                    split: Split::Valid,
                    loss,
                    tokens: 5600,
                    token_accuracy: None,
                    examples: Vec::new(),
                    ..EvalStats::default()
                }),
            );
            if loss < best {
                best = loss;
                let saved = CheckpointSaved { role: CheckpointRole::Best, step, loss: Some(loss) };
                push(t, Event::CheckpointSaved(saved));
            }
        }
    }
    if let Some(reason) = story.end {
        if reason == StopReason::NonFinite {
            let text = "train loss is not a number: stopping".into();
            push(t, Event::Note(Note { level: NoteLevel::Warning, text }));
        }
        let (step, epoch) = (story.steps, story.steps as f64 / PER_EPOCH);
        push(
            t,
            Event::RunEnded(RunEnded { reason, step, epoch: Some(epoch), best: None, restored_best: true }),
        );
    }
    records
}

fn monitor(story: &Story) -> Monitor {
    let mut monitor = Monitor::new(Limits::default());
    for record in &records(story) {
        monitor.apply(record);
    }
    monitor
}

/// A story with its judgement, its advice and its events written by hand, so that these screens
/// change only when the dashboard does.
pub struct Scene {
    monitor: Monitor,
    diagnosis: Diagnosis,
    advice: Vec<Advice>,
    log: Vec<LogLine>,
}

impl Scene {
    pub fn snapshot(&self) -> Snapshot<'_> {
        let (diagnosis, advice, log) = (&self.diagnosis, &self.advice, &self.log);
        Snapshot { diagnosis, advice, log, ..self.monitor.snapshot() }
    }
}

/// Three runs of one configuration, judged as they are.
pub fn several() -> Runs {
    several_with_examples(&[])
}

/// The same, of some of which the loss of each held-out row is known.
pub fn several_with_examples(known: &[usize]) -> Runs {
    let mut runs = Runs::default();
    for (id, (name, story, rate)) in
        [("now", &HEALTHY, 1e-3), ("wed", &OVERFITTING, 2e-3), ("tue", &DIVERGED, 1e-2)]
            .into_iter()
            .enumerate()
    {
        runs.apply(Update::Run { id, name: name.into() });
        for mut record in records(story) {
            if let Event::RunStarted(info) = &mut record.event {
                info.settings.learning_rate = Some(rate);
            }
            if let (true, Event::Eval(stats)) = (known.contains(&id), &mut record.event) {
                let row = |i: u32| ExampleLoss { nats: f64::from(i) * stats.loss, tokens: 10 };
                stats.examples = (0..20).map(row).collect();
            }
            runs.apply(Update::Record { id, record });
        }
    }
    runs
}

/// More runs than one chart can show, of logs whose folders have the names; the last one is being written.
pub fn crowd() -> Runs {
    crowd_with(0.0)
}

/// The same, where evaluations of those that overfit are so much worse.
pub fn crowd_with(worse: f64) -> Runs {
    let mut runs = Runs::default();
    for id in 0..12 {
        runs.apply(Update::Run { id, name: format!("logs/{}-rows/stdout.log", 100 * (id + 1)) });
        for mut record in records(if id % 3 == 2 { &OVERFITTING } else { &HEALTHY }) {
            if let (2, Event::Eval(stats)) = (id % 3, &mut record.event) {
                stats.loss += worse;
            }
            runs.apply(Update::Record { id, record });
        }
    }
    for id in (0..12).filter(|id| *id != 10) {
        runs.apply(Update::Written { id, age: Duration::from_secs(3 * 3600) });
    }
    runs.tick(Instant::now());
    runs
}

/// The same with what only some runs have: samples, a schedule that falls, the output of a trainer,
/// and a neighbour. `recited` is the share of trained rows that come back word for word.
pub fn full(name: &str, recited: f64) -> Runs {
    let story = match name {
        "healthy" => &HEALTHY,
        "overfitting" => &OVERFITTING,
        _ => &DIVERGED,
    };
    let mut runs = Runs::default();
    let mut all = records(story);
    let end = matches!(all.last().map(|record| &record.event), Some(Event::RunEnded(_))).then(|| all.pop());
    for record in &mut all {
        if let Event::Step(stats) = &mut record.event {
            stats.learning_rate = Some(1e-3 * (1.0 - stats.step as f64 / TOTAL as f64));
            stats.grad_norm = Some(1.0 + 0.5 * noise(stats.step) + (-(stats.step as f64) / 50.0).exp() * 3.0);
        }
        if let Event::Eval(stats) = &mut record.event {
            stats.token_accuracy = Some(0.3 + 0.3 * (1.0 - (-(stats.step as f64) / 90.0).exp()));
        }
    }
    let t = all.last().map_or(0.0, |record| record.t);
    for (split, exact) in [(Split::TrainProbe, recited), (Split::Valid, 0.0)] {
        let sample = |prompt: &str, reference: &str, output: &str| Sample {
            prompt: prompt.into(),
            reference: reference.into(),
            output: output.into(),
        };
        let held_out = split == Split::Valid;
        let answer = if recited > 0.5 {
            "Refunds take five days. Write to refunds@example.com."
        } else {
            "Refunds take a week."
        };
        let samples = vec![
            if held_out {
                sample("Can I pay in two parts?", "Yes, choose it at the till.", "Yes. Yes. Yes. Yes.")
            } else {
                sample(
                    "When do I get my money back?",
                    "Refunds take five days. Write to refunds@example.com.",
                    answer,
                )
            },
            sample("Where is my <parcel>?", "Look at \"Orders\".", ""),
        ];
        let generated = Generated {
            step: story.steps,
            epoch: None,
            split,
            prompts: 8,
            exact,
            overlap: exact * 0.9,
            repetition: if held_out { 0.4 } else { 0.02 },
            chrf: Some(0.3 + exact / 2.0),
            samples,
        };
        all.push(Record { t, event: Event::Generated(generated) });
    }
    all.extend(end.flatten());
    runs.apply(Update::Run { id: 0, name: name.into() });
    runs.apply(Update::Run { id: 1, name: "before".into() });
    for record in all {
        runs.apply(Update::Record { id: 0, record });
    }
    for record in records(&OVERFITTING) {
        runs.apply(Update::Record { id: 1, record });
    }
    for i in 0..40 {
        let line = format!(
            "[{i:02}] {{'loss': {:.3}, 'epoch': {:.2}}}",
            3.0 - f64::from(i) / 20.0,
            f64::from(i) / 8.0
        );
        runs.apply(Update::Output { id: 0, line });
    }
    runs
}

/// A machine with one card.
pub fn machine() -> System {
    let gpu = Gpu { name: "NVIDIA H200".into(), load: Some(0.62), memory_bytes: Some((40 << 30, 141 << 30)) };
    System { process_bytes: Some(812 << 20), memory_bytes: Some((9 << 30, 16 << 30)), gpus: vec![gpu] }
}

pub fn empty() -> Monitor {
    Monitor::new(Limits::default())
}

pub fn healthy() -> Scene {
    let diagnosis = Diagnosis {
        verdict: Verdict::Healthy,
        severity: Severity::None,
        findings: Vec::new(),
        remarks: Vec::new(),
        undecided: None,
        best: Some(10),
        set: None,
        epochs: Epochs::default(),
        as_good: None,
        rise: Some(-0.01),
        noise: Some(0.006),
        noise_assumed: false,
        onset: None,
    };
    let log =
        (0..18).map(|i| line(f64::from(i) * 4.0, &format!("event {i} of a quiet run"), false)).collect();
    Scene { monitor: monitor(&HEALTHY), diagnosis, advice: Vec::new(), log }
}

pub fn overfitting() -> Scene {
    let rise = Rise {
        best_step: 168,
        best_epoch: Some(3.0),
        best_loss: 2.359,
        last_step: 560,
        last_loss: 2.959,
        recent_loss: 2.959,
        rise: 0.254,
        noise: Some(0.007),
        noise_assumed: false,
        p: None,
        strength: 20.0,
        onset_step: 168,
        onset_epoch: Some(3.0),
        train_at_best: Some(1.73),
        train_now: Some(0.36),
        rise_per_epoch: Some(0.041),
        never_improved: false,
        held: false,
    };
    let advice = |text: &str, patch: &[(&str, &str)]| Advice {
        text: text.into(),
        patch: patch.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
    };
    Scene {
        monitor: monitor(&OVERFITTING),
        diagnosis: Diagnosis {
            verdict: Verdict::Overfitting,
            severity: Severity::Severe,
            findings: vec![Finding { severity: Severity::Severe, evidence: Evidence::Rise(rise) }],
            remarks: Vec::new(),
            undecided: None,
            best: Some(6),
            set: None,
            epochs: Epochs::default(),
            as_good: None,
            rise: Some(0.254),
            noise: Some(0.007),
            noise_assumed: false,
            onset: Some(6),
        },
        advice: vec![
            advice("train for 3 epochs: the eval loss was lowest there", &[("train.epochs", "3")]),
            advice(
                "make rows harder to recite: dropout in the adapters, and more weight decay",
                &[("lora.dropout", "0.1"), ("train.weight_decay", "0.1")],
            ),
        ],
        log: vec![
            line(40.0, "eval at step 168: 2.359, new best", false),
            line(40.0, "saved the best adapter, step 168", false),
            line(
                60.0,
                "WATCH: eval loss is 4.1 % ± 0.7 % above its best (2.359 at step 168, epoch 3.0)",
                true,
            ),
            line(
                100.0,
                "SEVERE: eval loss is 15.1 % ± 1.1 % above its best (2.359 at step 168, epoch 3.0)",
                true,
            ),
            line(133.0, "eval at step 560: 3.002, 27.2 % above the best", false),
            line(133.0, "finished at step 560", false),
        ],
    }
}

pub fn diverged() -> Scene {
    let found = NonFinite { step: 331, series: "train loss", recovered: false, train_loss: None, best: None };
    Scene {
        monitor: monitor(&DIVERGED),
        diagnosis: Diagnosis {
            verdict: Verdict::Diverged,
            severity: Severity::Severe,
            findings: vec![Finding { severity: Severity::Severe, evidence: Evidence::NonFinite(found) }],
            remarks: Vec::new(),
            undecided: None,
            best: Some(8),
            set: None,
            epochs: Epochs::default(),
            as_good: None,
            rise: Some(0.88),
            noise: Some(0.03),
            noise_assumed: false,
            onset: None,
        },
        advice: Vec::new(),
        log: vec![line(81.0, "train loss is not a number: stopping", true)],
    }
}

fn line(t: f64, text: &str, warning: bool) -> LogLine {
    LogLine { t, text: text.into(), warning }
}
