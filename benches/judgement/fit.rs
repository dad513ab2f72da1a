//! Looks for better limits to guard a rise against noise, on simulated runs and the development curves.
//!
//! A coordinate search from the limits in use: each goes a place up or down its list, and stays there
//! where the cost falls by more than a hair, until a whole round moves none. The cost names the targets
//! of the benchmark, each miss in units of what is allowed. Seeds are other than those that the benchmark
//! reports, and nothing is drawn by the clock: the same code gives the same answer.

use crate::histories::{self, History};
use crate::ours;
use crate::simulate::{self, Cell, Noise, Overfit, Pair, RISE_EVALS, Scheduled, Shape};
use serde::Deserialize;
use tune::diagnosis::Limits;

/// Seeds of the fit.
const SEED: u64 = 3_000;
/// Runs of each kind.
const RUNS: u64 = 40;
/// Simulated histories that are judged at their end, and those of them that are followed all along.
const HISTORIES: u64 = 480;
const FOLLOWED: usize = 120;
/// Rounds over all limits, at the most: with the runs above, minutes on two cores.
const ROUNDS: usize = 3;
/// A smaller gain, about a hundredth of what the cost is, is chance.
const GAIN: f64 = 0.2;

/// A limit that is fitted: its name, where it is, and the values that are tried.
type Knob = (&'static str, fn(&mut Limits) -> &mut f64, &'static [f64]);

const KNOBS: &[Knob] = &[
    ("strength_watch", |limits| &mut limits.strength_watch, &[9.0, 9.5, 10.0, 10.5, 11.0, 12.0]),
    ("learnt_counts", |limits| &mut limits.learnt_counts, &[0.2, 0.3, 0.4, 0.5, 0.6, 0.8]),
    ("idle_counts", |limits| &mut limits.idle_counts, &[1.0, 1.5, 2.0, 2.5, 3.0]),
    ("idle_fall.1", |limits| &mut limits.idle_fall.1, &[0.08, 0.09, 0.10, 0.11, 0.12]),
    ("idle_rise.1", |limits| &mut limits.idle_rise.1, &[0.08, 0.10, 0.12, 0.14, 0.16]),
    ("many_watch", |limits| &mut limits.many_watch, &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
    ("many_warn", |limits| &mut limits.many_warn, &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
    ("few_rise", |limits| &mut limits.few_rise, &[0.10, 0.12, 0.14, 0.16, 0.18, 0.2]),
    ("few_learnt", |limits| &mut limits.few_learnt, &[0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
    ("wanders_watch", |limits| &mut limits.wanders_watch, &[0.7, 0.75, 0.8, 0.85, 0.9, 1.0]),
    ("wanders_warn", |limits| &mut limits.wanders_warn, &[0.9, 1.0, 1.1, 1.2, 1.3]),
    ("weight_warn", |limits| &mut limits.weight_warn, &[0.6, 0.675, 0.75, 0.8, 0.85, 0.9, 1.0]),
    ("strength_warn", |limits| &mut limits.strength_warn, &[13.5, 15.0, 16.5, 18.0, 19.5, 21.0]),
    ("held_watch", |limits| &mut limits.held_watch, &[0.06, 0.07, 0.08, 0.09]),
    ("own_correlation", |limits| &mut limits.own_correlation, &[0.3, 0.4, 0.5, 0.6]),
];

/// Prints what was found, and the figures before and after.
pub fn choose() {
    let runs = Runs::new();
    let (mut limits, (mut least, figures)) = (Limits::DEFAULT, runs.cost(&Limits::DEFAULT));
    println!("limits in use: cost {least:.2}\n{figures}");
    for round in 1..=ROUNDS {
        let before = limits;
        for (name, of, values) in KNOBS {
            let now = *of(&mut limits);
            let at = values.iter().position(|value| *value == now);
            let at = at.unwrap_or_else(|| panic!("{name} is {now}, which its list in KNOBS does not have"));
            for next in
                [at.checked_sub(1), Some(at + 1)].into_iter().flatten().filter_map(|to| values.get(to))
            {
                let mut tried = limits;
                *of(&mut tried) = *next;
                let (cost, figures) = runs.cost(&tried);
                if cost < least - GAIN {
                    (limits, least) = (tried, cost);
                    println!("round {round}, {name} {now} -> {next}: cost {cost:.2}\n{figures}");
                }
            }
        }
        if limits == before {
            println!("round {round} moved none");
            break;
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
    /// Runs that never overfit, by whether their train loss falls to a fifth and by their length.
    healthy: Vec<(bool, Vec<Vec<Pair>>)>,
    /// Rises of 10 %, by their turn.
    tenth: Vec<Vec<Vec<Pair>>>,
    fifth: Vec<Vec<Pair>>,
    scheduled: Vec<Vec<Pair>>,
    histories: Vec<History>,
    /// Literal curves, and whether each overfits and is to be warned about.
    development: Vec<(Vec<Pair>, [bool; 2])>,
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
    severity: Option<String>,
}

/// The test curves, most of them of real logs, that are healthy or overfit. A real log that overfits is
/// warned about.
fn development() -> Vec<(Vec<Pair>, [bool; 2])> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/curves");
    let files = std::fs::read_dir(folder).expect("the test curves").flatten();
    let read = |file: std::fs::DirEntry| -> Option<(Vec<Pair>, [bool; 2])> {
        let real = file.file_name().to_string_lossy().starts_with("real_");
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
        let overfit = curve.expected.verdict == "overfitting";
        let warned = curve.expected.severity.map_or(real && overfit, |level| level != "watch" && overfit);
        judged.then(|| (pairs.collect(), [overfit, warned]))
    };
    files.filter_map(read).collect()
}

/// What a figure costs that may be as large as `allowed`: nothing but a little for itself, so that of two
/// candidates that meet all targets the better one is chosen, and beyond that its excess.
fn over(figure: f64, allowed: f64) -> f64 {
    (figure / allowed - 1.0).max(0.0) + 0.1 * figure / allowed
}

fn share(hits: impl Iterator<Item = bool>) -> f64 {
    let (hits, all) = hits.fold((0, 0), |(hits, all), hit| (hits + usize::from(hit), all + 1));
    hits as f64 / f64::from(all.max(1))
}

impl Runs {
    fn new() -> Self {
        // The noise that looks most like a rise; more of the others changes little.
        let noises = [(Noise::Auto(0.6), 0.02), (Noise::Auto(0.6), 0.03), (Noise::Heavy, 0.03)];
        let group = |wide: bool, evals: usize| {
            let shapes: &[Shape] = if wide {
                &[Shape::WideGap]
            } else {
                &[Shape::Plateau, Shape::StepSchedule, Shape::Staircase]
            };
            let cells = shapes
                .iter()
                .flat_map(|shape| noises.map(|(noise, sigma)| Cell { shape: *shape, noise, sigma, evals }));
            let seeds = SEED..SEED + if evals > 100 { RUNS / 4 } else { RUNS };
            (
                wide,
                cells
                    .flat_map(|cell| seeds.clone().map(move |seed| simulate::healthy(&cell, seed)))
                    .collect(),
            )
        };
        let seeds = || SEED..SEED + RUNS;
        let overfit = |turn: usize, rise: f64, after: usize| -> Vec<Vec<Pair>> {
            seeds().map(|seed| simulate::overfit(&Overfit { turn, rise, after, sigma: 0.01 }, seed)).collect()
        };
        let lengths = [10, 20, 40].iter().flat_map(|evals| seeds().map(move |seed| (*evals, seed)));
        let scheduled = lengths.map(|(evals, seed)| {
            simulate::scheduled(&Scheduled { evals, cut: 0.5, rise: 0.15, sigma: 0.015 }, seed)
        });
        let lengths = [8, 13, 20, 60, 200];
        Self {
            healthy: [false, true].iter().flat_map(|wide| lengths.map(|evals| group(*wide, evals))).collect(),
            tenth: [3, 5, 8, 12, 20, 40].map(|turn| overfit(turn, 0.1, 0)).into(),
            fifth: [3, 8, 20].iter().flat_map(|turn| overfit(*turn, 0.2, 8)).collect(),
            scheduled: scheduled.collect(),
            histories: histories::simulated(SEED..SEED + HISTORIES),
            development: development(),
        }
    }

    /// The sum of what the targets cost, each with its weight, and the figures.
    fn cost(&self, limits: &Limits) -> (f64, String) {
        let judged = |run: &Vec<Pair>, with_train| ours::said(run, limits, with_train).0;
        let alarms: Vec<(bool, [f64; 4])> = self
            .healthy
            .iter()
            .map(|(wide, runs)| {
                let said = crate::on_all_cores(runs, |run| judged(run, true));
                let ever = |level: usize| share(said.iter().map(|said| said[level].first.is_some()));
                let end = |level: usize| share(said.iter().map(|said| said[level].end));
                (*wide, [end(0), end(1), ever(0), ever(1)])
            })
            .collect();
        // An alarm that has been taken back was one. A train loss that falls as if the rows were learnt by
        // heart excuses much of it.
        let false_alarms: f64 = alarms
            .iter()
            .map(|(wide, [watch, warn, ever_watch, ever_warn])| {
                let end = over(*watch, 0.05) + over(*warn, 0.01);
                let ever = over(*ever_watch, 0.05) + over(*ever_warn, 0.01);
                if *wide { 0.3 * end + 0.1 * ever } else { end + ever }
            })
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
            share(hits.iter().map(|hit| !hit))
        };
        let tenth: Vec<f64> = self.tenth.iter().map(|runs| missed(runs, 0, true)).collect();
        let alone: Vec<f64> = self.tenth.iter().map(|runs| missed(runs, 0, false)).collect();
        let (fifth, scheduled) = (missed(&self.fifth, 1, true), missed(&self.scheduled, 0, true));
        let f1 = [10, 20, 40].map(|evals| histories::verdict_f1(&self.histories, evals, limits, true));
        let histories::Stopped { kept: [kept, _], delay } =
            histories::stopped(&self.histories[..FOLLOWED], limits, 1);
        let right =
            |(run, expected): &&(Vec<Pair>, [bool; 2])| judged(run, true).map(|said| said.end) == *expected;
        let wrong = self.development.iter().filter(|curve| !right(curve)).count();
        let cost = false_alarms
            + tenth.iter().map(|share| 2.0 * over(*share, 0.10)).sum::<f64>()
            + alone.iter().map(|share| 0.3 * over(*share, 0.10)).sum::<f64>()
            + 2.0 * over(fifth, 0.01)
            + 2.0 * over(scheduled, 0.10)
            + 10.0 * (over(1.0 - f1[0], 0.07) + over(1.0 - f1[1], 0.07) + over(1.0 - f1[2], 0.04))
            + 4.0 * over(1.0 - kept, 0.05)
            + 4.0 * over(delay, 15.0)
            + 3.0 * wrong as f64;
        let worst = |wide: bool, at: usize| {
            100.0 * alarms.iter().filter(|alarm| alarm.0 == wide).map(|alarm| alarm.1[at]).fold(0.0, f64::max)
        };
        let caught = |missed: &[f64]| {
            missed.iter().map(|share| format!("{:.0}", 100.0 * (1.0 - share))).collect::<Vec<_>>().join("/")
        };
        let figures = format!(
            "  false watch {:.1} %, warn {:.1} %; ever {:.1} %, {:.1} %; train loss to a fifth {:.1} %, {:.1} %; \
             10 % rises caught {} % ({} % by eval loss alone); 20 % rises missed {:.1} %; after a cut missed \
             {:.1} %; F1 {:.3} {:.3} {:.3}; kept {:.1} %, delay {delay}; curves wrong {wrong}",
            worst(false, 0),
            worst(false, 1),
            worst(false, 2),
            worst(false, 3),
            worst(true, 2),
            worst(true, 3),
            caught(&tenth),
            caught(&alone),
            100.0 * fifth,
            100.0 * scheduled,
            f1[0],
            f1[1],
            f1[2],
            100.0 * kept,
        );
        (cost, figures)
    }
}
