//! How good the judgement is, in figures: `cargo bench --bench judgement`.
//!
//! Simulated runs of known truth, our judgement and the rules that others use side by side, and every
//! target with whether it is met. `-- --fit` looks for better limits, on other seeds than
//! those reported. `-- --histories FOLDER` scores labelled histories of real runs. `-- --quick` takes a
//! tenth of the runs.

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

mod baselines;
mod fit;
mod histories;
mod ours;
mod paired;
mod simulate;

use baselines::{BASELINES, Said};
use simulate::{Cell, NOISES, Overfit, Pair, RISE_EVALS, SHAPES, Shape};
use std::time::Instant;
use tune::diagnosis::Limits;
use tune::event::{EvalStats, Event, ExampleLoss, RunInfo};

/// Seeds of the reported runs; the fit takes others.
const SEED: u64 = 7_300_000;
/// Standard deviations of the noise, and evaluations of a run.
const SIGMAS: [f64; 4] = [0.005, 0.01, 0.02, 0.03];
const EVALS: [usize; 6] = [8, 13, 20, 40, 80, 200];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if let Some(at) = arguments.iter().position(|argument| argument == "--histories") {
        let folder = arguments.get(at + 1).ok_or_else(|| anyhow::anyhow!("--histories FOLDER"))?;
        return histories::score(folder.as_ref());
    }
    if has("--fit") {
        fit::choose();
        return Ok(());
    }
    let tenth = if has("--quick") { 10 } else { 1 };
    let mut targets = never_overfitting(tenth);
    targets.extend(overfits(tenth));
    targets.extend(histories(tenth));
    targets.extend(paired_test(tenth));
    targets.push(cost());
    println!("\ntargets");
    for (name, measured, met) in targets {
        println!("  {} {name}: {measured}", if met { "met   " } else { "MISSED" });
    }
    Ok(())
}

/// A target: what it asks, what was measured, whether it is met.
type Target = (String, String, bool);

/// Runs `work` on every item, on all cores.
fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((at, item)) = Some(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
            .and_then(|at| Some((at, items.get(at)?)))
        {
            done.push((at, work(item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Shares of runs in which a rule fired at any time, and at the end.
#[derive(Clone, Copy, Debug, Default)]
struct Shares {
    ever: f64,
    end: f64,
}

fn shares(said: impl Iterator<Item = Said>, runs: u64) -> Shares {
    let (mut ever, mut end) = (0, 0);
    for said in said {
        ever += u32::from(said.first.is_some() || said.end);
        end += u32::from(said.end);
    }
    Shares { ever: f64::from(ever) / runs as f64, end: f64::from(end) / runs as f64 }
}

fn never_overfitting(tenth: u64) -> Vec<Target> {
    let kinds = SIGMAS.iter().flat_map(|sigma| EVALS.iter().map(|evals| (*sigma, *evals)));
    let kinds = kinds.flat_map(|(sigma, evals)| NOISES.iter().map(move |noise| (*noise, sigma, evals)));
    let of_shape =
        |(noise, sigma, evals)| SHAPES.iter().map(move |shape| Cell { shape: *shape, noise, sigma, evals });
    let cells: Vec<Cell> = kinds.flat_map(of_shape).collect();
    let runs = |cell: &Cell| if cell.evals > 40 { 200 } else { 500 } / tenth;
    let found = on_all_cores(&cells, |cell| {
        let runs = runs(cell);
        let all: Vec<Vec<Pair>> = (0..runs).map(|seed| simulate::healthy(cell, SEED + seed)).collect();
        let ours: Vec<[Said; 2]> = all.iter().map(|run| ours::said(run, &Limits::DEFAULT, true).0).collect();
        let own = [0, 1].map(|level| shares(ours.iter().map(|said| said[level]), runs));
        let others: Vec<Shares> =
            BASELINES.iter().map(|(_, rule)| shares(all.iter().map(|run| rule(run)), runs)).collect();
        (own, others)
    });
    println!("never overfitting: false alarms in percent of runs, worst of {} shapes", SHAPES.len() - 1);
    println!("  each: ever watch / ever warn, and at the end of the run watch / warn");
    print!("  {:20}", "noise, evaluations");
    for sigma in SIGMAS {
        print!("{:>26}", format!("sigma {} %", 100.0 * sigma));
    }
    println!();
    for noise in NOISES {
        for evals in EVALS {
            print!("  {:20}", format!("{noise:?}, {evals}"));
            for sigma in SIGMAS {
                let of = |cell: &Cell| {
                    cell.shape != Shape::WideGap
                        && cell.noise == noise
                        && cell.evals == evals
                        && cell.sigma == sigma
                };
                let worst = |figure: fn(&[Shares; 2]) -> f64| {
                    let here = cells.iter().zip(&found).filter(|(cell, _)| of(cell));
                    here.map(|(_, (own, _))| 100.0 * figure(own)).fold(0.0, f64::max)
                };
                let (a, b) = (worst(|own| own[0].ever), worst(|own| own[1].ever));
                let (c, d) = (worst(|own| own[0].end), worst(|own| own[1].end));
                print!("{:>26}", format!("{a:.1}/{b:.1}  {c:.1}/{d:.1}"));
            }
            println!();
        }
    }
    println!("  the others, ever fired: mean of all cells, worst cell");
    for (at, (name, _)) in BASELINES.iter().enumerate() {
        let all: Vec<f64> = found.iter().map(|(_, others)| 100.0 * others[at].ever).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        println!("    {name:34}{mean:6.1}{:7.1}", all.iter().copied().fold(0.0, f64::max));
    }
    let target = |name: &str, wide: bool, limit: f64, figure: fn(&[Shares; 2]) -> f64| -> Target {
        let asked = |cell: &&Cell| (cell.shape == Shape::WideGap) == wide;
        let found: Vec<_> =
            cells.iter().zip(&found).filter(|(cell, _)| asked(cell)).map(|(_, own)| own).collect();
        let cells: Vec<&Cell> = cells.iter().filter(asked).collect();
        let worst = found.iter().map(|(own, _)| figure(own)).fold(0.0, f64::max);
        let above = |figure: f64, by: f64| figure > limit + by;
        let over = found.iter().filter(|(own, _)| above(figure(own), 1e-9)).count();
        let surely = cells.iter().zip(&found).filter(|(cell, (own, _))| {
            // More than drawing so few runs explains, at two standard errors.
            above(figure(own), 2.0 * (limit * (1.0 - limit) / runs(cell) as f64).sqrt())
        });
        let measured = format!(
            "{:.1} % in the worst of {} cells, {over} cells above, {} of them by more than chance explains",
            100.0 * worst,
            cells.len(),
            surely.count()
        );
        (format!("{name} in at most {} % of runs", 100.0 * limit), measured, over == 0)
    };
    vec![
        target("false warn at the end", false, 0.01, |own| own[1].end),
        target("false watch at the end", false, 0.05, |own| own[0].end),
        target("false warn at any time", false, 0.01, |own| own[1].ever),
        target("false watch at any time", false, 0.05, |own| own[0].ever),
        target("the same, train loss falling to a fifth: warn at any time", true, 0.01, |own| own[1].ever),
        target("the same, train loss falling to a fifth: watch at any time", true, 0.05, |own| own[0].ever),
    ]
}

fn overfits(tenth: u64) -> Vec<Target> {
    let runs = 1000 / tenth;
    let turns = [3, 5, 8, 12, 20, 40];
    println!("\noverfits at 1 % noise, by the evaluation of the turn: percent of runs");
    println!(
        "  {:36}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}",
        "", turns[0], turns[1], turns[2], turns[3], turns[4], turns[5]
    );
    let row = |name: &str, values: &[f64]| {
        let cells: String =
            values.iter().fold(String::new(), |cells, value| format!("{cells}{:7.1}", 100.0 * value));
        println!("  {name:36}{cells}");
    };
    let share = |hits: usize| hits as f64 / runs as f64;
    let mut worst = Vec::new();
    for with_train in [true, false] {
        let told = if with_train { "" } else { ", eval loss alone" };
        let of_turn = |turn: &usize| {
            let run = |rise: f64, after: usize, seed: u64| {
                let kind = Overfit { turn: *turn, rise, after, sigma: 0.01 };
                let run = simulate::overfit(&kind, SEED + seed);
                ours::said(&run, &Limits::DEFAULT, with_train)
            };
            let near = |onset: Option<usize>| onset.is_some_and(|onset| onset.abs_diff(*turn) <= 2);
            let tenth: Vec<_> = (0..runs).map(|seed| run(0.1, 0, seed)).collect();
            let fifth: Vec<_> = (0..runs).map(|seed| run(0.2, 8, seed)).collect();
            // What was said before the turn was not about the rise.
            let by_eighth = |first: Option<usize>| {
                first.is_some_and(|first| (*turn..=turn + RISE_EVALS).contains(&first))
            };
            [
                share(tenth.iter().filter(|(said, _)| by_eighth(said[0].first)).count()),
                share(fifth.iter().filter(|(said, _)| said[1].end).count()),
                share(tenth.iter().filter(|(_, onset)| near(*onset)).count()),
                share(fifth.iter().filter(|(_, onset)| near(*onset)).count()),
            ]
        };
        let found = on_all_cores(&turns, of_turn);
        let names = [
            "10 % by the eighth: watch",
            "20 % at the end: warn",
            "10 %: onset within two",
            "20 %: onset within two",
        ];
        for (at, name) in names.iter().enumerate() {
            let values: Vec<f64> = found.iter().map(|figures| figures[at]).collect();
            row(&format!("{name}{told}"), &values);
            worst.push(values.into_iter().fold(1.0, f64::min));
        }
    }
    for (name, rule) in BASELINES {
        let caught = on_all_cores(&turns, |turn| {
            let kind = Overfit { turn: *turn, rise: 0.1, after: 0, sigma: 0.01 };
            share((0..runs).filter(|seed| rule(&simulate::overfit(&kind, SEED + seed)).end).count())
        });
        row(&format!("10 %: {name}"), &caught);
    }
    let target = |name: &str, at: usize, least: f64| -> Target {
        let measured = format!(
            "{:.1} % at the worst turn, {:.1} % by eval loss alone",
            100.0 * worst[at],
            100.0 * worst[at + 4]
        );
        (format!("{name} in at least {} % of runs", 100.0 * least), measured, worst[at] >= least)
    };
    vec![
        target("a rise of 10 % watched by the eighth evaluation", 0, 0.90),
        target("a rise of 20 % warned about at the end", 1, 0.99),
        target("the turn of a 10 % rise found within two evaluations", 2, 0.80),
        target("the turn of a 20 % rise found within two evaluations", 3, 0.80),
    ]
}

fn histories(tenth: u64) -> Vec<Target> {
    let score = histories::score_simulated(SEED..SEED + 400 / tenth);
    let lowest = score.f1.iter().copied().fold(1.0, f64::min);
    let at_40 = score.f1[2];
    let [overfit, other] = score.stopped.kept;
    vec![
        (
            "macro-F1 of simulated histories at least 0.93 at every resolution".into(),
            format!("{lowest:.3} at the worst"),
            lowest >= 0.93,
        ),
        ("macro-F1 of simulated histories at least 0.96 at 40".into(), format!("{at_40:.3}"), at_40 >= 0.96),
        (
            "the best evaluation of simulated histories kept in 95 %".into(),
            format!("{:.1} % of those that overfit, {:.1} % of the others", 100.0 * overfit, 100.0 * other),
            overfit.min(other) >= 0.95,
        ),
        (
            "a median delay under 15 evaluations from there to the first warning".into(),
            format!("{}, of those that overfit", score.stopped.delay),
            score.stopped.delay < 15.0,
        ),
    ]
}

fn paired_test(tenth: u64) -> Vec<Target> {
    let kinds: Vec<(usize, usize, u64)> = [50, 200, 2000]
        .iter()
        .flat_map(|rows| {
            [10, 50, 200].iter().map(move |evals| (*rows, *evals, (4_000_000 / (rows * evals)) as u64))
        })
        .map(|(rows, evals, runs)| (rows, evals, runs.clamp(40, 1000) / tenth))
        .collect();
    let alarms = on_all_cores(&kinds, |(rows, evals, runs)| paired::fired(*rows, *evals, 0.0, *runs).0);
    println!("\npaired test, stated to cry wolf in at most 5 % of runs: percent of runs without a rise");
    for ((rows, evals, runs), share) in kinds.iter().zip(&alarms) {
        println!("  {rows:5} rows, {evals:4} evaluations, {runs:5} runs{:8.1}", 100.0 * share);
    }
    let (power, unpaired) = paired::fired(200, 20, 0.01, 1000 / tenth);
    println!(
        "  a drift of 0.01 nats an evaluation over 20 of 200 rows is seen in {:.1} %, unpaired in {:.1} %",
        100.0 * power,
        100.0 * unpaired
    );
    let worst = alarms.iter().copied().fold(0.0, f64::max);
    vec![
        (
            "paired false alarms in at most 5 % of runs".into(),
            format!("{:.1} % at worst", 100.0 * worst),
            worst <= 0.05,
        ),
        (
            "paired power at least 2.5 times the unpaired".into(),
            // One run in which neither saw it is as good as none.
            format!("{:.1} times or more", power / unpaired.max(tenth as f64 / 1000.0)),
            power >= 2.5 * unpaired,
        ),
    ]
}

/// The judgement after the thousandth evaluation of a thousand rows.
fn cost() -> Target {
    let mut curves = tune::curve::Curves::default();
    for index in 0..1000_u64 {
        let loss = 2.0 + (index as f64 - 500.0).abs() / 500.0 + 0.01 * (index as f64 * 1.7).sin();
        let row = |i: u32| ExampleLoss { nats: f64::from(i) * loss + f64::from(i % 7) * 0.1, tokens: i };
        let stats = EvalStats {
            step: index,
            loss,
            tokens: 500_500,
            examples: (1..=1000).map(row).collect(),
            ..EvalStats::default()
        };
        curves.apply(0.0, &Event::Eval(stats));
    }
    let run = RunInfo::default();
    let mut times: Vec<f64> = (0..51)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(tune::diagnosis::diagnose(&curves, &run, &Limits::DEFAULT));
            1e3 * start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let measured = format!("{:.3} ms, the median of {}", times[times.len() / 2], times.len());
    ("judging 1000 evaluations of 1000 rows in under 1 ms".into(), measured, times[times.len() / 2] < 1.0)
}
