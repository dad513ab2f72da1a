//! Chooses the limits that guard a rise against noise, on simulated runs and the development curves.
//!
//! Seeds are other than those that the benchmark reports. One limit after another is tried at every
//! candidate value while the others stay, until a round changes nothing: with so few limits and a
//! cost that is flat about its lowest this finds what a full grid finds.

use crate::histories::{self, History};
use crate::ours;
use crate::simulate::{self, Cell, NOISES, Overfit, Pair, RISE_EVALS, Scheduled, Shape};
use serde::Deserialize;
use tune::diagnosis::Limits;

/// Seeds of the fit.
const SEED: u64 = 1_000;
/// Runs of each kind.
const RUNS: u64 = 150;

/// A limit that is fitted: its name, where it is, and the values that are tried.
type Knob = (&'static str, fn(&mut Limits) -> &mut f64, &'static [f64]);

const KNOBS: &[Knob] = &[
    ("strength_watch", |limits| &mut limits.strength_watch, &[9.5, 10.0, 10.5, 11.0, 11.5, 12.0]),
    ("idle_counts", |limits| &mut limits.idle_counts, &[0.4, 0.6, 0.8, 1.0]),
    ("learnt_counts", |limits| &mut limits.learnt_counts, &[0.0, 0.3, 0.6, 0.9]),
    ("few_rise", |limits| &mut limits.few_rise, &[0.10, 0.13, 0.16, 0.19]),
    ("few_learnt", |limits| &mut limits.few_learnt, &[0.3, 0.6, 0.9]),
    ("recovered_watch", |limits| &mut limits.recovered_watch, &[0.8, 1.0, 1.3, 1.6]),
    ("recovered_warn", |limits| &mut limits.recovered_warn, &[1.0, 1.5, 2.0]),
    ("weight_warn", |limits| &mut limits.weight_warn, &[0.40, 0.5, 0.6, 0.7]),
    ("wanders_watch", |limits| &mut limits.wanders_watch, &[0.6, 0.7, 0.8, 0.9]),
    ("wanders_warn", |limits| &mut limits.wanders_warn, &[0.85, 1.0, 1.1, 1.2]),
    ("strength_warn_learnt", |limits| &mut limits.strength_warn_learnt, &[11.0, 14.0, 17.0]),
    ("held_noise", |limits| &mut limits.held_noise, &[1.5, 2.0, 2.5]),
    ("own_correlation", |limits| &mut limits.own_correlation, &[0.3, 0.4, 0.5]),
];

/// Prints the limits chosen, from several starts.
pub fn choose() {
    let runs = Runs::new();
    let mut limits = Limits::DEFAULT;
    let mut least = runs.cost(&limits);
    println!("limits in use: cost {least:.3}");
    loop {
        let before = least;
        for (name, of, values) in KNOBS {
            for value in *values {
                let mut tried = limits;
                *of(&mut tried) = *value;
                let cost = runs.cost(&tried);
                // A hair's breadth is no reason to move.
                if cost < least - 0.01 {
                    (limits, least) = (tried, cost);
                    println!("  {name} = {value}: cost {cost:.3}");
                }
            }
        }
        if least == before {
            break;
        }
    }
    println!("chosen:");
    for (name, of, _) in KNOBS {
        let (mut chosen, mut used) = (limits, Limits::DEFAULT);
        println!("  {name:18} {:6} (in use: {})", *of(&mut chosen), *of(&mut used));
    }
}

/// Everything that a candidate is tried on.
struct Runs {
    healthy: Vec<Vec<Vec<Pair>>>,
    tenth: Vec<Vec<Pair>>,
    fifth: Vec<Vec<Pair>>,
    scheduled: Vec<Vec<Pair>>,
    histories: Vec<History>,
    /// Real runs, and whether each overfits.
    development: Vec<(Vec<Pair>, bool)>,
}

/// What the fit needs of a file of `tests/curves`.
#[derive(Deserialize)]
struct Curve {
    train: Vec<(f64, f64)>,
    eval: Vec<(f64, f64)>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    verdict: String,
}

/// The real logs among the test curves: these were there before any limit was chosen.
fn development() -> Vec<(Vec<Pair>, bool)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/curves");
    let files = std::fs::read_dir(folder).expect("the test curves").flatten();
    let real = files.filter(|file| file.file_name().to_string_lossy().starts_with("real_"));
    let read = |file: std::fs::DirEntry| -> Option<(Vec<Pair>, bool)> {
        let text = std::fs::read_to_string(file.path()).expect("a test curve");
        let curve: Curve = toml::from_str(&text).expect("a test curve");
        let judged = matches!(curve.expected.verdict.as_str(), "overfitting" | "healthy");
        let mut after = f64::NEG_INFINITY;
        let pairs = curve.eval.iter().map(|(step, eval)| {
            let since: Vec<f64> =
                curve.train.iter().filter(|(at, _)| *at > after && at <= step).map(|p| p.1).collect();
            after = *step;
            Pair { train: since.iter().sum::<f64>() / since.len() as f64, eval: *eval }
        });
        judged.then(|| (pairs.collect(), curve.expected.verdict == "overfitting"))
    };
    real.filter_map(read).collect()
}

impl Runs {
    fn new() -> Self {
        // Flat curves are the hardest of the shapes.
        let kinds =
            [13, 20, 40, 80].iter().flat_map(|evals| NOISES.iter().map(move |noise| (*evals, *noise)));
        let cells = kinds.flat_map(|(evals, noise)| {
            let shapes = [Shape::Plateau, Shape::WideGap, Shape::StepSchedule];
            let cell = move |shape| [0.01, 0.03].map(|sigma| Cell { shape, noise, sigma, evals });
            shapes.into_iter().flat_map(cell)
        });
        let healthy = cells.map(|cell| (0..RUNS).map(|seed| simulate::healthy(&cell, SEED + seed)).collect());
        let overfit = |rise: f64, after: usize| {
            let turns = [3, 5, 8, 12, 20];
            let run = move |turn: usize, seed| {
                simulate::overfit(&Overfit { turn, rise, after, sigma: 0.01 }, SEED + seed)
            };
            turns.iter().flat_map(|turn| (0..RUNS).map(move |seed| run(*turn, seed))).collect()
        };
        let lengths = [10, 20, 40].iter().flat_map(|evals| (0..RUNS).map(move |seed| (*evals, seed)));
        let scheduled = lengths.map(|(evals, seed)| {
            simulate::scheduled(&Scheduled { evals, cut: 0.5, rise: 0.15, sigma: 0.015 }, SEED + seed)
        });
        Self {
            healthy: healthy.collect(),
            tenth: overfit(0.1, 0),
            fifth: overfit(0.2, 8),
            scheduled: scheduled.collect(),
            histories: histories::simulated(SEED..SEED + RUNS),
            development: development(),
        }
    }

    /// What misses of the targets cost, each in units of what is allowed, and a little for every
    /// alarm and every miss, so that of two that meet all targets the better one is chosen.
    fn cost(&self, limits: &Limits) -> f64 {
        let judged = |run: &Vec<Pair>, with_train| ours::said(run, limits, with_train).0;
        let alarms = crate::on_all_cores(&self.healthy, |runs| {
            let said: Vec<_> = runs.iter().map(|run| judged(run, true)).collect();
            // An alarm that came and went is one.
            let share = |level: usize| {
                said.iter().filter(|said| said[level].first.is_some()).count() as f64 / runs.len() as f64
            };
            let over = |share: f64, allowed: f64| (share / allowed - 1.0).max(0.0) + 0.02 * share / allowed;
            over(share(0), 0.05) + over(share(1), 0.01)
        });
        let missed = |runs: &[Vec<Pair>], level: usize, with_train: bool, allowed: f64| {
            let hits = crate::on_all_cores(runs, |run| {
                let said = judged(run, with_train)[level];
                if level == 0 {
                    said.first.is_some_and(|first| first + 1 >= run.len() - RISE_EVALS)
                } else {
                    said.end
                }
            });
            let share = hits.iter().filter(|hit| !**hit).count() as f64 / runs.len() as f64;
            4.0 * (share / allowed - 1.0).max(0.0) + 0.2 * share / allowed
        };
        alarms.iter().sum::<f64>()
            + missed(&self.tenth, 0, true, 0.10)
            + 0.25 * missed(&self.tenth, 0, false, 0.10)
            + missed(&self.fifth, 1, true, 0.01)
            + 0.25 * missed(&self.fifth, 1, false, 0.01)
            + missed(&self.scheduled, 0, true, 0.10)
            + [10, 20, 40, 100].map(|evals| self.missed_histories(evals, limits)).iter().sum::<f64>()
            + 3.0
                * self
                    .development
                    .iter()
                    .filter(|(run, overfit)| judged(run, true)[0].end != *overfit)
                    .count() as f64
    }

    /// What the macro-F1 lacks of 0.96, in tenths of what is allowed.
    fn missed_histories(&self, evals: usize, limits: &Limits) -> f64 {
        let lacking = 1.0 - histories::verdict_f1(&self.histories, evals, limits, true);
        4.0 * (lacking / 0.04 - 1.0).max(0.0) + 0.2 * lacking / 0.04
    }
}
