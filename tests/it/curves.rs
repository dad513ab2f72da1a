//! The judgement on whole curves: literal ones with the diagnosis they must get, and simulated ones
//! on which false alarms and misses are counted.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use std::collections::BTreeMap;
use tune::diagnosis::stopping::Patience;
use tune::diagnosis::{Diagnosis, Limits, Severity};
use tune::event::record::Record;
use tune::event::{EvalStats, Event, ExampleLoss, RunInfo, Split, StepStats};
use tune::monitor::Monitor;

/// One file of `tests/curves`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// Who wrote the log, where that matters.
    #[serde(default)]
    trainer: String,
    train: Vec<(u64, f64)>,
    eval: Vec<(u64, f64)>,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    verdict: String,
    /// Not judged where it is not said.
    severity: Option<String>,
    kinds: Option<Vec<String>>,
    remarks: Option<Vec<String>>,
    onset_step: Option<u64>,
    onset_within: Option<u64>,
    undecided: Option<String>,
}

fn step(step: u64, loss: f64) -> Event {
    Event::Step(StepStats {
        step,
        epoch: Some(step as f64 / 40.0),
        loss,
        tokens: 100,
        input_tokens: 200,
        learning_rate: Some(1e-3),
        grad_norm: None,
    })
}

fn eval(step: u64, loss: f64, examples: Vec<ExampleLoss>) -> Event {
    Event::Eval(EvalStats {
        step,
        epoch: Some(step as f64 / 40.0),
        split: Split::Valid,
        loss,
        tokens: 1000,
        token_accuracy: None,
        examples,
        ..EvalStats::default()
    })
}

fn started() -> Monitor {
    started_by(String::new())
}

fn started_by(trainer: String) -> Monitor {
    let mut monitor = Monitor::new(Limits::DEFAULT);
    let run = RunInfo { trainer, ..RunInfo::default() };
    monitor.apply(&Record { t: 0.0, event: Event::RunStarted(Box::new(run)) });
    monitor
}

#[test]
fn scenarios_get_their_diagnosis() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/curves");
    let mut wrong = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 15);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario: Scenario = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut events: Vec<(u64, Event)> = scenario.train.iter().map(|(s, l)| (*s, step(*s, *l))).collect();
        events.extend(scenario.eval.iter().map(|(s, l)| (*s, eval(*s, *l, Vec::new()))));
        events.sort_by_key(|(step, event)| (*step, matches!(event, Event::Eval(_))));
        let mut monitor = started_by(scenario.trainer);
        for (step, event) in events {
            monitor.apply(&Record { t: step as f64, event });
        }
        let snapshot = monitor.snapshot();
        if let Some(difference) = differs(&scenario.expected, snapshot.diagnosis, &snapshot.curves.eval) {
            wrong.push(format!("{}: {difference}", path.file_stem().unwrap().display()));
        }
        // Whatever the numbers are, every reader can be served.
        assert!(tune::report::svg::chart(&snapshot).ends_with("</svg>\n"));
        assert!(!tune::report::text::summary(&snapshot).contains("NaN %"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn differs(expected: &Expected, found: &Diagnosis, eval: &[tune::curve::EvalPoint]) -> Option<String> {
    let kinds: Vec<String> = found.findings.iter().map(tune::diagnosis::Finding::kind).collect();
    let remarks: Vec<String> = found.remarks.iter().map(tune::diagnosis::Finding::kind).collect();
    let onset = found.onset.map(|index| eval[index].step);
    let far = match (expected.onset_step, onset) {
        (Some(step), Some(found)) => found.abs_diff(step) > expected.onset_within.unwrap_or(0),
        // Of a real run nobody knows the turn.
        (None, Some(_)) if expected.severity.is_none() => false,
        (step, found) => step.is_some() != found.is_some(),
    };
    let same = found.verdict.to_string() == expected.verdict
        && expected.severity.as_ref().is_none_or(|severity| found.severity.to_string() == *severity)
        && expected.kinds.as_ref().is_none_or(|expected| kinds == *expected)
        && expected.remarks.as_ref().is_none_or(|expected| remarks == *expected)
        && (found.undecided == expected.undecided || expected.severity.is_none())
        && !far;
    let messages: Vec<String> =
        found.findings.iter().map(|finding| finding.message(tune::event::Places::default())).collect();
    (!same).then(|| {
        format!(
            "{} {} {kinds:?} {remarks:?} onset {onset:?} undecided {:?} rise {:?} noise {:?} {messages:?}",
            found.verdict, found.severity, found.undecided, found.rise, found.noise
        )
    })
}

/// Patience, least improvement, losses, the index that stops, and why.
type Row<'a> = (usize, f64, &'a [f64], Option<usize>, &'a str);

#[test]
fn patience() {
    let nan = f64::NAN;
    let table: &[Row] = &[
        (2, 0.0, &[3.0, 2.0, 1.0], None, "it improves each time"),
        (2, 0.0, &[3.0, 2.0, 2.5, 2.4], Some(3), "lower than the one before is not lower than the best"),
        (2, 0.0, &[3.0, 2.0, 2.5, 1.9, 2.5, 2.5], Some(5), "an improvement starts the count again"),
        (2, 0.0, &[3.0, 3.0, 3.0], Some(2), "a tie is no improvement"),
        (2, 0.1, &[3.0, 2.9, 2.8, 2.5], Some(2), "small steps do not count, each measured from the best"),
        (2, 0.1, &[3.0, 2.9, 2.6, 2.5, 2.4], Some(4), "their sum does"),
        (2, 0.0, &[3.0, nan, nan], Some(2), "what is no number is no improvement"),
        (2, 0.0, &[nan, 3.0, 2.0], None, "nor is it ever the best"),
        (1, 0.0, &[3.0, 3.1], Some(1), "patience of one"),
        (0, 0.0, &[3.0, 3.1], Some(1), "and of none"),
    ];
    for (patience, min_delta, losses, stops, why) in table {
        let mut rule = Patience::new(*patience, *min_delta);
        assert_eq!(losses.iter().position(|loss| rule.observe(*loss)), *stops, "{why}");
    }
}

/// Standard normal, by Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (rng.random_range(f64::MIN_POSITIVE..1.0), rng.random());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// The gravest severity at any time of each of `runs` simulated runs, counted.
fn simulate(runs: u64, evals: u64, noise: f64, shape: impl Fn(f64) -> f64) -> BTreeMap<Severity, u64> {
    let mut worst = BTreeMap::new();
    for seed in 0..runs {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut monitor = started();
        let mut gravest = Severity::None;
        for index in 0..evals {
            let loss = shape(index as f64) * (1.0 + noise * normal(&mut rng));
            monitor.apply(&Record { t: index as f64, event: eval(index * 20, loss, Vec::new()) });
            gravest = gravest.max(monitor.snapshot().diagnosis.severity);
        }
        *worst.entry(gravest).or_default() += 1;
    }
    worst
}

fn share(worst: &BTreeMap<Severity, u64>, at_least: Severity) -> f64 {
    let all: u64 = worst.values().sum();
    worst.range(at_least..).map(|(_, count)| count).sum::<u64>() as f64 / all as f64
}

#[test]
fn a_plateau_is_hardly_ever_warned_about() {
    for (evals, noise) in [(20, 0.01), (20, 0.02), (40, 0.01), (40, 0.02)] {
        let plateau = |x: f64| 2.0 + (-8.0 * x / evals as f64).exp();
        let worst = simulate(400, evals, noise, plateau);
        let (watch, warn) = (share(&worst, Severity::Watch), share(&worst, Severity::Warn));
        assert!(warn <= 0.01, "{evals} evaluations, noise {noise}: false warn {warn}");
        assert!(watch <= 0.05, "{evals} evaluations, noise {noise}: false watch {watch}");
    }
}

#[test]
fn a_rise_of_a_fifth_is_warned_about() {
    for turn in [4.0, 8.0, 12.0] {
        let rise =
            |x: f64| 2.0 * (1.0 + 0.5 * (-3.0 * x / turn).exp() + 0.2 * ((x - turn) / 8.0).clamp(0.0, 1.0));
        // To the evaluation after the one at which the rise is done; no train loss vouches for it.
        let worst = simulate(300, turn as u64 + 10, 0.01, rise);
        let warn = share(&worst, Severity::Warn);
        assert!(warn >= 0.99, "turn at {turn}: {warn}");
    }
}

/// Evaluations of the same 200 rows of unlike difficulty, drifting by `drift` nats an evaluation
/// from the fourth on; every row wavers by itself.
fn paired_run(seed: u64, evals: u64, drift: f64) -> Severity {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rows: Vec<(f64, u32)> =
        (0..200).map(|_| (2.0 + 0.8 * normal(&mut rng), rng.random_range(20..200))).collect();
    let mut monitor = started();
    let mut gravest = Severity::None;
    for index in 0..evals {
        let level = 1.5 * (-(index as f64)).exp() + drift * (index as f64 - 4.0).max(0.0);
        let loss = |(hard, tokens): &(f64, u32), rng: &mut ChaCha8Rng| ExampleLoss {
            nats: f64::from(*tokens) * (hard + level + 0.15 * normal(rng)),
            tokens: *tokens,
        };
        let examples: Vec<ExampleLoss> = rows.iter().map(|row| loss(row, &mut rng)).collect();
        let tokens: u32 = examples.iter().map(|example| example.tokens).sum();
        let mean = examples.iter().map(|example| example.nats).sum::<f64>() / f64::from(tokens);
        monitor.apply(&Record { t: index as f64, event: eval(index * 20, mean, examples) });
        gravest = gravest.max(monitor.snapshot().diagnosis.severity);
    }
    gravest
}

#[test]
fn with_the_losses_of_the_rows_a_small_rise_is_seen_and_a_plateau_is_not() {
    let runs = 100;
    let seen = (0..runs).filter(|seed| paired_run(*seed, 14, 0.02) >= Severity::Warn).count();
    assert!(seen >= 99, "{seen} of {runs} rises of 10 % warned about");
    let false_alarms = (0..runs).filter(|seed| paired_run(*seed, 14, 0.0) >= Severity::Watch).count();
    assert_eq!(false_alarms, 0);
}
