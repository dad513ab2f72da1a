//! Looks for better limits, on simulated runs and the development curves: those that guard a rise
//! against noise.
//!
//! A random search from the limits in use: one to three of them move to other values of their lists, and
//! the move stays where the cost falls by more than a hair. Seeds are other than those that the benchmark
//! reports, and the number of tries is fixed: the same code gives the same answer.

use crate::histories::{self, History};
use crate::ours;
use crate::simulate::{self, Cell, Noise, Overfit, Pair, RISE_EVALS, Scheduled, Shape};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use tune::diagnosis::Limits;

/// Seeds of the fit.
const SEED: u64 = 3_000;
/// Runs of each kind.
const RUNS: u64 = 60;
/// Candidates: with these and the runs above, minutes on two cores.
const TRIES: usize = 240;
/// Limits that move at once, at the most.
const AT_ONCE: usize = 3;
/// A smaller gain is chance.
const GAIN: f64 = 0.02;

/// A limit that is fitted: its name, where it is, and the values that are tried.
type Knob = (&'static str, fn(&mut Limits) -> &mut f64, &'static [f64]);

const KNOBS: &[Knob] = &[
    ("strength_watch", |limits| &mut limits.strength_watch, &[9.0, 9.5, 10.0, 10.5, 11.0, 12.0]),
    ("corroborating_fall, from", |limits| &mut limits.corroborating_fall.0, &[0.15, 0.2, 0.25, 0.3]),
    ("corroborating_fall, to", |limits| &mut limits.corroborating_fall.1, &[0.4, 0.45, 0.5, 0.6]),
    ("learnt_counts", |limits| &mut limits.learnt_counts, &[0.2, 0.3, 0.5, 0.8, 1.2]),
    ("idle_counts", |limits| &mut limits.idle_counts, &[0.7, 1.0, 1.5, 2.0]),
    ("idle_rise, to", |limits| &mut limits.idle_rise.1, &[0.08, 0.10, 0.12, 0.15]),
    ("few_rise", |limits| &mut limits.few_rise, &[0.10, 0.13, 0.16, 0.19]),
    ("few_learnt", |limits| &mut limits.few_learnt, &[0.0, 0.3, 0.6, 0.9]),
    ("assumed_noise", |limits| &mut limits.assumed_noise, &[0.005, 0.0075, 0.01]),
    ("assumed_wander", |limits| &mut limits.assumed_wander, &[0.0075, 0.01, 0.0125, 0.015]),
    ("wander_worth", |limits| &mut limits.wander_worth, &[2.0, 3.0, 5.0, 8.0]),
    ("wanders_watch", |limits| &mut limits.wanders_watch, &[0.7, 0.8, 0.9, 1.0, 1.2]),
    ("wanders_warn", |limits| &mut limits.wanders_warn, &[0.9, 1.0, 1.1, 1.2]),
    ("weight_warn", |limits| &mut limits.weight_warn, &[0.40, 0.45, 0.5, 0.6]),
    ("strength_warn_learnt", |limits| &mut limits.strength_warn_learnt, &[9.0, 11.0, 14.0]),
    ("held_watch", |limits| &mut limits.held_watch, &[0.06, 0.07]),
    ("held_noise", |limits| &mut limits.held_noise, &[1.5, 2.0, 2.5]),
    ("own_correlation", |limits| &mut limits.own_correlation, &[0.3, 0.4, 0.5]),
];

/// Prints what was found, and the figures before and after.
pub fn choose() {
    let runs = Runs::new();
    let (mut limits, (mut least, figures)) = (Limits::DEFAULT, runs.cost(&Limits::DEFAULT));
    println!("limits in use: cost {least:.2}\n{figures}");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for at in 1..=TRIES {
        let mut tried = limits;
        for _ in 0..rng.random_range(1..=AT_ONCE) {
            let (_, of, values) = KNOBS[rng.random_range(0..KNOBS.len())];
            *of(&mut tried) = values[rng.random_range(0..values.len())];
        }
        let (cost, figures) = runs.cost(&tried);
        if cost < least - GAIN {
            (limits, least) = (tried, cost);
            println!("try {at} of {TRIES}: cost {cost:.2}\n{figures}");
        }
    }
    println!("found:");
    for (name, of, _) in KNOBS {
        let (mut found, mut used) = (limits, Limits::DEFAULT);
        println!("  {name:26} {:6} (in use: {})", *of(&mut found), *of(&mut used));
    }
}

/// Everything that a candidate is tried on.
struct Runs {
    /// Runs that never overfit, and whether their train loss falls to a fifth.
    healthy: Vec<(bool, Vec<Vec<Pair>>)>,
    /// Rises of 10 %, by their turn.
    tenth: Vec<Vec<Vec<Pair>>>,
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
        // The noise that looks most like a rise; more of the others changes little.
        let noises = [(Noise::Auto(0.6), 0.02), (Noise::Auto(0.6), 0.03), (Noise::Heavy, 0.03)];
        let shapes = [Shape::Plateau, Shape::StepSchedule, Shape::Staircase, Shape::WideGap];
        let kinds = shapes.iter().flat_map(|shape| [13, 20, 60].map(|evals| (*shape, evals)));
        let cells =
            kinds.flat_map(|(shape, evals)| noises.map(|(noise, sigma)| Cell { shape, noise, sigma, evals }));
        let seeds = || SEED..SEED + RUNS;
        let healthy = cells.map(|cell| {
            (cell.shape == Shape::WideGap, seeds().map(|seed| simulate::healthy(&cell, seed)).collect())
        });
        let overfit = |turn: usize, rise: f64, after: usize| -> Vec<Vec<Pair>> {
            seeds().map(|seed| simulate::overfit(&Overfit { turn, rise, after, sigma: 0.01 }, seed)).collect()
        };
        let lengths = [10, 20, 40].iter().flat_map(|evals| seeds().map(move |seed| (*evals, seed)));
        let scheduled = lengths.map(|(evals, seed)| {
            simulate::scheduled(&Scheduled { evals, cut: 0.5, rise: 0.15, sigma: 0.015 }, seed)
        });
        Self {
            healthy: healthy.collect(),
            tenth: [3, 5, 8, 12, 20, 40].map(|turn| overfit(turn, 0.1, 0)).into(),
            fifth: [3, 8, 20].iter().flat_map(|turn| overfit(*turn, 0.2, 8)).collect(),
            scheduled: scheduled.collect(),
            histories: histories::simulated(SEED..SEED + 4 * RUNS),
            development: development(),
        }
    }

    /// What misses of the targets cost, each in units of what is allowed, and a little for every alarm and
    /// every miss, so that of two that meet all targets the better one is chosen; and the figures.
    fn cost(&self, limits: &Limits) -> (f64, String) {
        let judged = |run: &Vec<Pair>, with_train| ours::said(run, limits, with_train).0;
        let alarms = crate::on_all_cores(&self.healthy, |(wide, runs)| {
            let said: Vec<_> = runs.iter().map(|run| judged(run, true)).collect();
            // An alarm that came and went is one.
            let share = |level: usize| {
                said.iter().filter(|said| said[level].first.is_some()).count() as f64 / runs.len() as f64
            };
            (*wide, share(0), share(1))
        });
        let over = |share: f64, allowed: f64| (share / allowed - 1.0).max(0.0) + 0.1 * share / allowed;
        // A train loss that falls so far looks like learning by heart: it weighs less.
        let weigh = |wide: bool| if wide { 0.15 } else { 1.0 };
        let false_alarms: f64 = alarms
            .iter()
            .map(|(wide, watch, warn)| weigh(*wide) * (over(*watch, 0.05) + 0.2 * over(*warn, 0.01)))
            .sum();
        let missed = |runs: &[Vec<Pair>], level: usize, with_train: bool| {
            let hits = crate::on_all_cores(runs, |run| {
                let said = judged(run, with_train)[level];
                if level == 0 {
                    said.first.is_some_and(|first| first + 1 >= run.len() - RISE_EVALS)
                } else {
                    said.end
                }
            });
            hits.iter().filter(|hit| !**hit).count() as f64 / runs.len() as f64
        };
        let misses =
            |share: f64, allowed: f64| 4.0 * (share / allowed - 1.0).max(0.0) + 0.1 * share / allowed;
        let tenth: Vec<f64> = self.tenth.iter().map(|runs| missed(runs, 0, true)).collect();
        let (fifth, scheduled) = (missed(&self.fifth, 1, true), missed(&self.scheduled, 0, true));
        let f1 = [10, 20, 40].map(|evals| histories::verdict_f1(&self.histories, evals, limits, true));
        let wrong =
            self.development.iter().filter(|(run, overfit)| judged(run, true)[0].end != *overfit).count();
        let cost = false_alarms
            + tenth.iter().map(|share| misses(*share, 0.10)).sum::<f64>()
            + misses(fifth, 0.01)
            + misses(scheduled, 0.10)
            + f1.iter().map(|f1| 75.0 * (0.96 - f1).max(0.0)).sum::<f64>()
            + 3.0 * wrong as f64;
        let worst = |wide: bool, level: fn(&(bool, f64, f64)) -> f64| {
            100.0 * alarms.iter().filter(|alarm| alarm.0 == wide).map(level).fold(0.0, f64::max)
        };
        let caught: Vec<String> = tenth.iter().map(|share| format!("{:.0}", 100.0 * (1.0 - share))).collect();
        let figures = format!(
            "  ever watch {:.1} %, warn {:.1} %; train loss to a fifth: {:.1} %, {:.1} %; 10 % rises caught {} %; \
             20 % rises missed {:.1} %; after a cut missed {:.1} %; F1 {:.3} {:.3} {:.3}; real curves wrong {wrong}",
            worst(false, |alarm| alarm.1),
            worst(false, |alarm| alarm.2),
            worst(true, |alarm| alarm.1),
            worst(true, |alarm| alarm.2),
            caught.join("/"),
            100.0 * fifth,
            100.0 * scheduled,
            f1[0],
            f1[1],
            f1[2],
        );
        (cost, figures)
    }
}
