//! Labelled histories of real runs in a folder: how well their labels are found, at several
//! resolutions, and how early, with the others beside us.
//!
//! A file is JSON. Its label is that of its `"label"`, else the name of a folder above it:
//! `overfit`, or `non_overfit` or `healthy`. Its losses are the arrays `"train"` and `"eval"`, or
//! those that `"train_metric"` and `"monitor_metric"` name.

use crate::baselines::BASELINES;
use crate::ours;
use crate::simulate::{self, Pair};
use anyhow::{Context, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tune::diagnosis::{Limits, Severity};

/// One labelled run.
pub struct History {
    overfit: bool,
    run: Vec<Pair>,
}

/// Whether a rule condemns a run.
type Condemns = Box<dyn Fn(&[Pair]) -> bool + Sync>;
/// A rule by its name.
type Judge = (String, Condemns);

/// Resolutions: the history thinned to so many evaluations; `usize::MAX` is all of them.
const RESOLUTIONS: [usize; 6] = [10, 20, 40, 60, 100, usize::MAX];

/// Reads every history below `folder` and prints the scores.
///
/// # Errors
/// When a file cannot be read as a labelled history; it is named.
pub fn score(folder: &Path) -> anyhow::Result<()> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let read = |file: &PathBuf| read(file).with_context(|| file.display().to_string());
    let histories: Vec<History> = files.iter().map(read).collect::<anyhow::Result<_>>()?;
    report(&histories);
    Ok(())
}

/// Simulated histories, as many as there are seeds: their labels and losses.
pub fn simulated(seeds: std::ops::Range<u64>) -> Vec<History> {
    let history = |seed| {
        let (overfit, run) = simulate::history(seed);
        History { overfit, run }
    };
    seeds.map(history).collect()
}

/// How well labels are found, and what stopping at the first warning comes to.
pub struct Score {
    /// Macro-F1 of our verdict by [`RESOLUTIONS`].
    pub f1: [f64; RESOLUTIONS.len()],
    /// By stopping at the first warning.
    pub stopped: Stopped,
}

/// Scores simulated histories.
pub fn score_simulated(seeds: std::ops::Range<u64>) -> Score {
    print!("\nsimulated ");
    report(&simulated(seeds))
}

/// The macro-F1 of the verdict at the end, of histories thinned to so many evaluations.
pub fn verdict_f1(histories: &[History], evals: usize, limits: &Limits, with_train: bool) -> f64 {
    let said = crate::on_all_cores(histories, |history| {
        (history.overfit, ours::at_end(&thinned(&history.run, evals), limits, with_train) >= Severity::Watch)
    });
    macro_f1(&said)
}

fn report(histories: &[History]) -> Score {
    let overfit = histories.iter().filter(|history| history.overfit).count();
    println!("{} histories, {overfit} of them overfit; macro-F1 by evaluations kept", histories.len());
    print!("{:36}", "");
    for evals in RESOLUTIONS {
        print!("{:>7}", if evals == usize::MAX { "all".into() } else { evals.to_string() });
    }
    println!();
    let limits = Limits::DEFAULT;
    let own = |level: Severity, with_train: bool| -> Condemns {
        Box::new(move |run| ours::at_end(run, &limits, with_train) >= level)
    };
    let mut judges: Vec<Judge> = vec![
        ("tune, any severity".into(), own(Severity::Watch, true)),
        ("tune, warn".into(), own(Severity::Warn, true)),
        ("tune, any severity, eval loss alone".into(), own(Severity::Watch, false)),
        ("tune, warn, eval loss alone".into(), own(Severity::Warn, false)),
    ];
    judges.extend(
        BASELINES.iter().map(|(name, rule)| -> Judge { (name.to_string(), Box::new(|run| rule(run).end)) }),
    );
    let mut f1 = [0.0; RESOLUTIONS.len()];
    for (at, (name, judge)) in judges.iter().enumerate() {
        print!("{name:36}");
        for (evals, f1) in RESOLUTIONS.into_iter().zip(&mut f1) {
            let said = crate::on_all_cores(histories, |history| {
                (history.overfit, judge(&thinned(&history.run, evals)))
            });
            let score = macro_f1(&said);
            if at == 0 {
                *f1 = score;
            }
            print!("{score:7.3}");
        }
        println!();
    }
    let [_, warned] = [(0, "watch"), (1, "warn")].map(|(level, name)| {
        let stopped = stopped(histories, &limits, level);
        println!(
            "stopping at the first {name}: best evaluation kept in {:.1} % of those that overfit and {:.1} % of the \
             others; median delay where they overfit {} evaluations",
            100.0 * stopped.kept[0],
            100.0 * stopped.kept[1],
            stopped.delay
        );
        stopped
    });
    Score { f1, stopped: warned }
}

/// What stopping at the first finding of a level comes to.
pub struct Stopped {
    /// The share of the runs that overfit whose best evaluation is kept, and of the others; one that is not stopped
    /// keeps it.
    pub kept: [f64; 2],
    /// The median number of evaluations from the best so far to the stop, of the runs that overfit; infinite for one
    /// that is not stopped.
    pub delay: f64,
}

/// Stops every run at its first finding of a level: 0 for watch, 1 for warn.
pub fn stopped(histories: &[History], limits: &Limits, level: usize) -> Stopped {
    let stops =
        crate::on_all_cores(histories, |history| ours::said(&history.run, limits, true).0[level].first);
    let lowest = |run: &[Pair]| {
        let finite = run.iter().enumerate().filter(|(_, pair)| pair.eval.is_finite());
        finite.min_by(|a, b| a.1.eval.total_cmp(&b.1.eval)).map(|(index, _)| index)
    };
    let seen = |run: &[Pair], stop: Option<usize>| lowest(&run[..stop.map_or(run.len(), |stop| stop + 1)]);
    let kept = [true, false].map(|overfit| {
        let those = histories.iter().zip(&stops).filter(|(history, _)| history.overfit == overfit);
        let kept: Vec<bool> =
            those.map(|(history, stop)| seen(&history.run, *stop) == lowest(&history.run)).collect();
        kept.iter().filter(|kept| **kept).count() as f64 / kept.len().max(1) as f64
    });
    let overfit = histories.iter().zip(&stops).filter(|(history, _)| history.overfit);
    let delay = |(history, stop): (&History, &Option<usize>)| {
        stop.zip(seen(&history.run, *stop)).map_or(f64::INFINITY, |(stop, best)| (stop - best) as f64)
    };
    let mut delays: Vec<f64> = overfit.map(delay).collect();
    delays.sort_unstable_by(f64::total_cmp);
    Stopped { kept, delay: delays.get(delays.len() / 2).copied().unwrap_or(f64::INFINITY) }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<History> {
    let value: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let folders = file.ancestors().skip(1).filter_map(|folder| folder.file_name()?.to_str());
    let mut names = value["label"].as_str().into_iter().chain(folders);
    let known = |name: &str| match name {
        "overfit" | "overfitting" => Some(true),
        "non_overfit" | "non-overfit" | "healthy" => Some(false),
        _ => None,
    };
    let Some(overfit) = names.find_map(known) else { bail!("no label in the file or in its folders' names") };
    let array = |named: &str, plain: &str| -> anyhow::Result<Vec<f64>> {
        let key = value[named].as_str().unwrap_or(plain);
        let list = value[key].as_array().with_context(|| format!("no array {key:?}"))?;
        Ok(list.iter().map(|number| number.as_f64().unwrap_or(f64::NAN)).collect())
    };
    let (train, eval) = (array("train_metric", "train")?, array("monitor_metric", "eval")?);
    if train.len() != eval.len() || eval.is_empty() {
        bail!("{} train and {} eval losses", train.len(), eval.len());
    }
    Ok(History {
        overfit,
        run: train.into_iter().zip(eval).map(|(train, eval)| Pair { train, eval }).collect(),
    })
}

/// Every so-many-th evaluation, the last one included; the train loss is that of the interval.
fn thinned(run: &[Pair], evals: usize) -> Vec<Pair> {
    if evals >= run.len() {
        return run.to_vec();
    }
    let mut after = 0;
    let pick = |k: usize| {
        let at = (k + 1) * run.len() / evals - 1;
        let interval = &run[after..=at];
        after = at + 1;
        let train = interval.iter().map(|pair| pair.train).sum::<f64>() / interval.len() as f64;
        Pair { train, eval: run[at].eval }
    };
    (0..evals).map(pick).collect()
}

/// The mean of the F1 of both classes.
fn macro_f1(said: &[(bool, bool)]) -> f64 {
    let f1 = |class: bool| {
        let hits = said.iter().filter(|(truth, found)| *truth == class && *found == class).count() as f64;
        let wrong = said.iter().filter(|(truth, found)| truth != found).count() as f64;
        if hits + wrong == 0.0 { 1.0 } else { 2.0 * hits / (2.0 * hits + wrong) }
    };
    f64::midpoint(f1(true), f1(false))
}
