//! The reports of one run, as a reader sees them.

use tune::diagnosis::Limits;
use tune::event::record::Record;
use tune::event::{
    AuditedSide, BestPoint, CheckpointRole, CheckpointSaved, DataAudit, DataInfo, Environment, EvalStats,
    Event, ExampleLoss, Generated, LossMeaning, ModelInfo, Note, NoteLevel, RunEnded, RunInfo, Sample,
    Settings, Split, StepKind, StepStats, StopReason,
};
use tune::monitor::Monitor;
use tune::report::html::About;
use tune::report::{html, json, md, svg, text};

const PER_EPOCH: f64 = 56.0;

fn info() -> RunInfo {
    RunInfo {
        format: 1,
        name: "quickstart".into(),
        trainer: "tune".into(),
        model: Some(ModelInfo {
            name: "builtin".into(),
            params: 5_100_000,
            trainable: 310_000,
            layers: 6,
            vocab: 4096,
            device: "cpu f32 (avx512)".into(),
            checksum: 0,
        }),
        data: Some(DataInfo {
            train_rows: 450,
            valid_rows: 50,
            test_rows: 0,
            train_tokens: 48_200,
            valid_tokens: 5300,
            ..DataInfo::default()
        }),
        total_steps: Some(560),
        steps_per_epoch: Some(PER_EPOCH),
        step_kind: StepKind::Explicit,
        eval_every: Some(28),
        train_loss: LossMeaning::NATS_PER_TOKEN,
        eval_loss: LossMeaning::NATS_PER_TOKEN,
        settings: Settings {
            config: Some("configs/quickstart.toml".into()),
            overrides: vec!["data.seed=3".into()],
            epochs: Some(10.0),
            learning_rate: Some(1e-3),
            schedule: Some("cosine".into()),
            weight_decay: Some(0.01),
            batch_size: Some(8),
            lora_r: Some(16),
            lora_alpha: Some(32.0),
            lora_dropout: Some(0.0),
            early_stopping: Some(true),
        },
        audit: Some(DataAudit {
            sides: vec![AuditedSide { split: "train".into(), rows: 450, cut: 3, ..AuditedSide::default() }],
            warnings: vec!["2 rows are held out and also trained on, the first is <x>".into()],
        }),
        environment: Some(Environment {
            program: "tune 0.1.0".into(),
            system: "linux x86_64".into(),
            threads: 2,
        }),
    }
}

/// A waver that is the same every time: no generator needed.
fn waver(step: u64, row: u64) -> f64 {
    ((step * 7919 + row * 104_729) % 1009) as f64 / 504.5 - 1.0
}

fn eval_event(step: u64) -> Event {
    let epoch = step as f64 / PER_EPOCH;
    let level = 2.35 + 1.9 * (-epoch / 0.9).exp() + 0.075 * (epoch - 3.0).max(0.0);
    let example = |row: u64| {
        let tokens = 60 + (row * 37 % 90) as u32;
        let loss = level + 0.5 * waver(0, row) + 0.12 * waver(step, row);
        ExampleLoss { nats: f64::from(tokens) * loss, tokens }
    };
    let examples: Vec<ExampleLoss> = (0..50).map(example).collect();
    let tokens: u64 = examples.iter().map(|example| u64::from(example.tokens)).sum();
    let loss = examples.iter().map(|example| example.nats).sum::<f64>() / tokens as f64;
    let epoch = Some(epoch);
    Event::Eval(EvalStats { step, epoch, loss, tokens, examples, ..EvalStats::default() })
}

/// A run that overfits to its end, and the line for each evaluation.
fn run(steps: u64) -> (Monitor, Vec<String>) {
    run_of(info(), steps)
}

fn run_of(info: RunInfo, steps: u64) -> (Monitor, Vec<String>) {
    let mut monitor = Monitor::new(Limits::DEFAULT);
    let mut lines = Vec::new();
    let mut t = 0.0;
    monitor.apply(&Record { t, event: Event::RunStarted(Box::new(info)) });
    for step in 0..=steps {
        let epoch = step as f64 / PER_EPOCH;
        if step > 0 {
            t += 0.18;
            let loss = 0.8 + 3.2 * (-epoch / 4.0).exp() + 0.25 * waver(step, 3);
            let stats = StepStats {
                step,
                epoch: Some(epoch),
                loss,
                tokens: 860,
                input_tokens: 1480,
                learning_rate: Some(5e-4 * (1.0 + (std::f64::consts::PI * step as f64 / 560.0).cos())),
                grad_norm: Some(0.8),
            };
            monitor.apply(&Record { t, event: Event::Step(stats) });
        }
        if step % 28 == 0 {
            t += 0.6;
            monitor.apply(&Record { t, event: eval_event(step) });
            let snapshot = monitor.snapshot();
            lines.push(text::eval_line(&snapshot, snapshot.curves.eval.len() - 1));
            if snapshot.diagnosis.best == Some(snapshot.curves.eval.len() - 1) {
                let saved = CheckpointSaved { role: CheckpointRole::Best, step, loss: None };
                monitor.apply(&Record { t, event: Event::CheckpointSaved(saved) });
            }
        }
    }
    (monitor, lines)
}

fn finished() -> (Monitor, Vec<String>) {
    let (mut monitor, lines) = run(560);
    let best = monitor
        .snapshot()
        .curves
        .best()
        .map(|best| &monitor.snapshot().curves.eval[best])
        .map(|point| BestPoint { step: point.step, epoch: point.epoch, loss: point.loss });
    let ended =
        RunEnded { reason: StopReason::Finished, step: 560, epoch: Some(10.0), best, restored_best: true };
    let t = monitor.snapshot().progress.elapsed_s;
    monitor.apply(&Record { t, event: Event::RunEnded(ended) });
    (monitor, lines)
}

#[test]
fn the_story_of_an_overfitting_run() {
    let (monitor, lines) = finished();
    let snapshot = monitor.snapshot();
    let story = format!("{}\n{}\n\n{}", text::header(&snapshot), lines.join("\n"), text::summary(&snapshot));
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("overfitting_story", story);
    });
}

#[test]
fn the_event_list_of_an_overfitting_run() {
    let (monitor, _) = finished();
    let snapshot = monitor.snapshot();
    let lines = snapshot
        .log
        .iter()
        .map(|line| format!("{:>6.1} {} {}", line.t, if line.warning { '!' } else { ' ' }, line.text));
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("overfitting_events", lines.collect::<Vec<_>>().join("\n"));
    });
}

#[test]
fn the_picture_is_well_formed_whatever_there_is_to_draw() {
    let pictures = [
        svg::chart(&Monitor::new(Limits::DEFAULT).snapshot()),
        svg::chart(&run(0).0.snapshot()),
        svg::chart(&run(30).0.snapshot()),
        svg::chart(&finished().0.snapshot()),
    ];
    for (index, picture) in pictures.iter().enumerate() {
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        // For the eye: `TUNE_PICTURES=/tmp cargo test --test it picture`.
        if let Some(folder) = std::env::var_os("TUNE_PICTURES") {
            std::fs::write(std::path::Path::new(&folder).join(format!("chart{index}.svg")), picture).unwrap();
        }
    }
    assert!(pictures[3].contains("best, step") && pictures[3].contains("onset, step"));
    assert!(pictures[3].len() < 60_000, "{} bytes", pictures[3].len());
}

/// A run whose every text tries to break out of the page.
fn hostile() -> Monitor {
    let evil = "</pre><script>alert(\"1\")</script> & 'x' |a| *b* [c](d)";
    let (mut monitor, _) = run_of(RunInfo { name: evil.into(), ..info() }, 560);
    let mut records = Vec::new();
    for split in [Split::TrainProbe, Split::Valid] {
        let sample = Sample { prompt: evil.into(), reference: evil.into(), output: evil.into() };
        let (step, exact, overlap, repetition) = (560, 0.75, 0.8, 0.01);
        let chrf = Some(0.9);
        let samples = vec![sample];
        records.push(Event::Generated(Generated {
            step,
            epoch: None,
            split,
            prompts: 8,
            exact,
            overlap,
            repetition,
            chrf,
            samples,
        }));
    }
    records.push(Event::Note(Note { level: NoteLevel::Warning, text: evil.into() }));
    for event in records {
        monitor.apply(&Record { t: 200.0, event });
    }
    monitor
}

#[test]
fn the_page_is_one_file_that_escapes_everything() {
    let about = html::About {
        config: Some("[a]\nb = \"<i>\"\n".into()),
        source: "<log>".into(),
        program: "written by a <test>".into(),
    };
    let stories = [Monitor::new(Limits::DEFAULT), run(30).0, finished().0, hostile()];
    for (index, monitor) in stories.iter().enumerate() {
        let page = html::page(&monitor.snapshot(), &about);
        if let Some(folder) = std::env::var_os("TUNE_PICTURES") {
            std::fs::write(std::path::Path::new(&folder).join(format!("report{index}.html")), &page).unwrap();
        }
        // The only address is the name of SVG's vocabulary, which nobody fetches.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        for forbidden in ["<script", "http:", "https:", "<link", "@import", "url(", "<i>\"", "NaN", "<test>"]
        {
            assert!(!page.contains(forbidden), "{forbidden} in report {index}");
        }
        // Every element that is opened is closed, in order.
        let mut open = Vec::new();
        for tag in page.split('<').skip(1) {
            let (inner, _) = tag.split_once('>').unwrap_or((tag, ""));
            let name: String =
                inner.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
            if inner.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "report {index}");
            } else if !inner.ends_with('/') && !inner.starts_with('!') && name != "meta" {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?} are left open in report {index}");
    }
    let page = html::page(&finished().0.snapshot(), &about);
    for words in [
        "OVERFITTING",
        "What to change",
        "--set",
        "best eval loss",
        "<title>step 168, epoch 3.0: eval",
        "b = &quot;&lt;i&gt;&quot;",
        "the first is &lt;x&gt;",
        "<td class=\"n\">450</td>",
        "linux x86_64, 2 threads",
    ] {
        assert!(page.contains(words), "{words} is missing");
    }
    let page = html::page(&hostile().snapshot(), &about);
    assert!(page.contains("word for word") && page.contains("recited 6 of 8"));
}

#[test]
fn the_document_for_programs_has_numbers_that_are_none() {
    let (mut monitor, _) = run(60);
    let event = Event::Step(StepStats { step: 61, loss: f64::NAN, ..StepStats::default() });
    monitor.apply(&Record { t: 99.0, event });
    let document: serde_json::Value =
        serde_json::from_str(&json::document(&monitor.snapshot(), &About::default())).unwrap();
    assert_eq!(document["train_curve"][60], serde_json::json!([61, "nan"]));
    assert_eq!(document["verdict"], "diverged");
    assert_eq!(document["eval_curve"].as_array().unwrap().len(), 3);
    let document: serde_json::Value =
        serde_json::from_str(&json::document(&finished().0.snapshot(), &About::default())).unwrap();
    assert_eq!(
        (&document["verdict"], &document["ended"]["reason"]),
        (&"overfitting".into(), &"finished".into())
    );
    assert_eq!(
        (&document["audit"]["sides"][0]["cut"], &document["environment"]["threads"]),
        (&3.into(), &2.into())
    );
    assert!(document["findings"][0]["evidence"]["best_step"].is_u64() && document["best"]["loss"].is_f64());
}

#[test]
fn markdown_means_what_it_says() {
    let document = md::document(&hostile().snapshot(), &About::default());
    assert!(document.starts_with("# \\</pre\\>\\<script"), "{document}");
    assert!(
        document.contains("- 2 rows are held out and also trained on, the first is \\<x\\>")
            && document.contains("| train | 450 |")
            && document.contains("| 560 | 10.00 |")
            && document.contains("Rows trained on: 6 of 8 recited"),
        "{document}"
    );
}

#[test]
fn of_many_evaluations_markdown_keeps_those_that_the_story_is_about() {
    let mut monitor = Monitor::new(Limits::DEFAULT);
    for i in 0..80_u64 {
        let loss = 1.0 + (i as f64 - 20.0).abs() / 20.0;
        let stats = EvalStats { step: 10 * i, loss, ..EvalStats::default() };
        monitor.apply(&Record { t: 0.0, event: Event::Eval(stats) });
    }
    let snapshot = monitor.snapshot();
    let onset = snapshot.diagnosis.onset.expect("it overfits");
    assert!(snapshot.diagnosis.best == Some(20) && onset < 40, "{onset}");
    let text = md::document(&snapshot, &About::default());
    let table: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    let steps: Vec<&str> = table[1..].iter().map(|row| row[2..].split(" |").next().unwrap()).collect();
    assert_eq!(steps[..5], ["0", "...", "200", "...", "400"], "{text}");
    assert_eq!((steps.len(), *steps.last().unwrap()), (44, "790"), "{text}");
    assert!(text.contains("| ... | ... | | | 19 left out |\n| 200 |  |  | 1.000 | best |"), "{text}");
}

#[test]
fn of_several_eval_sets_all_are_drawn_and_listed() {
    let mut monitor = Monitor::new(Limits::DEFAULT);
    for step in [10, 20, 30] {
        for (set, loss) in [("mails", 2.0), ("chat", 3.5), ("<b>", 4.25)] {
            let (set, loss) = (Some(set.into()), loss + step as f64 / 1000.0);
            // One of them is evaluated less often.
            if step != 20 || loss < 4.0 {
                let stats = EvalStats { step, set, loss, ..EvalStats::default() };
                monitor.apply(&Record { t: 0.0, event: Event::Eval(stats) });
            }
        }
    }
    let (snapshot, about) = (monitor.snapshot(), About::default());
    let text = md::document(&snapshot, &about);
    assert!(text.contains("| eval mails | eval chat | eval \\<b\\> | against the best before |"), "{text}");
    assert!(text.contains("| 2.010 | 3.510 | 4.260 | best |"), "{text}");
    assert!(text.contains("| 2.020 | 3.520 |  | +0.5 % |"), "{text}");
    let page = html::page(&snapshot, &about);
    let cells = "<td class=\"n\">2.030</td><td class=\"n\">3.530</td><td class=\"n\">4.280</td>";
    assert!(page.contains("<th class=\"n\">eval &lt;b&gt;</th>") && page.contains(cells), "{page}");
    let picture = svg::chart(&snapshot);
    assert!(picture.contains(">eval mails<") && picture.contains(">eval chat<"), "{picture}");
    // Two lines, and two entries of the legend.
    assert_eq!(picture.matches("stroke=\"#9c4a7e\"").count(), 4, "{picture}");
    let document: serde_json::Value = serde_json::from_str(&json::document(&snapshot, &about)).unwrap();
    let chat = &document["other_sets"][0];
    assert_eq!((&document["set"], &chat["set"]), (&"mails".into(), &"chat".into()));
    assert_eq!(chat["eval_curve"][2]["loss"], 3.53);
}

#[test]
fn time_to_the_end_counts_training_and_evaluations_apart() {
    let (monitor, _) = run(280);
    let progress = monitor.snapshot().progress;
    // 280 steps at 0.18 s and ten evaluations at 0.6 s are left.
    assert!((progress.eta_s.unwrap() - (280.0 * 0.18 + 10.0 * 0.6)).abs() < 1e-6, "{progress:?}");
    assert!((progress.tokens_per_s.unwrap() - 1480.0 / 0.18).abs() < 1e-6, "{progress:?}");
    assert_eq!(finished().0.snapshot().progress.eta_s, None);
}
