//! `tune runs`: the runs of a folder, the newest first, with what became of each.

use super::{Failure, Outcome, Output, code, print, replay, say};
use crate::fmt;
use crate::monitor::{Monitor, log};
use crate::store::RunDir;
use crate::store::log::is_being_written;
use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::SystemTime;

/// The folder that holds the runs where no other is named; it need not be there yet.
const RUNS: &str = "runs";

#[derive(Args)]
pub(super) struct RunsArgs {
    /// The folder that holds the runs
    #[arg(default_value = RUNS)]
    folder: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// A run of the list, and when something was last written to its log.
struct Listed {
    dir: RunDir,
    modified: SystemTime,
    monitor: Monitor,
}

pub(super) fn runs(args: &RunsArgs) -> Outcome {
    let runs = list(args)?;
    if args.output.json {
        let runs: Vec<_> = runs.iter().map(document).collect();
        print(&format!("{:#}\n", json!({"format": 1, "runs": runs})));
    } else if runs.is_empty() {
        let hint = "tune run CONFIG.toml makes one; tune check judges the logs of other trainers";
        say(&format!("no runs in {} yet\n  hint: {hint}", args.folder.display()));
    } else {
        print(&table(&runs));
    }
    Ok(code::FINE)
}

/// Newest first. A run whose log cannot be read is named and passed over.
fn list(args: &RunsArgs) -> Result<Vec<Listed>, Failure> {
    let folder = args.folder.display();
    if !args.folder.exists() && args.folder.as_os_str() == RUNS {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(&args.folder).map_err(|error| {
        Failure::usage(anyhow!(
            "{folder}: {error}\n  hint: name the folder of runs, output.dir of the configuration"
        ))
    })?;
    let within = entries.filter_map(Result::ok).filter_map(|entry| RunDir::open(&entry.path()).ok());
    // The folder may be a run itself.
    let itself = RunDir::open(&args.folder).ok();
    let mut runs = Vec::new();
    for dir in itself.into_iter().chain(within) {
        let modified =
            dir.log().metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        match replay(&dir) {
            Ok(monitor) => runs.push(Listed { dir, modified, monitor }),
            Err(failure) => say(&format!("warning: {:#}", failure.error)),
        }
    }
    runs.sort_by_key(|run| std::cmp::Reverse(run.modified));
    Ok(runs)
}

/// When the log was last written to, in the time of the place.
fn date(run: &Listed) -> Option<jiff::Zoned> {
    let stamp = jiff::Timestamp::try_from(run.modified).ok()?;
    Some(stamp.to_zoned(jiff::tz::TimeZone::system()))
}

/// How the run has ended, or that it has not.
fn state(run: &Listed) -> &'static str {
    match run.monitor.snapshot().ended {
        Some(ended) => log::reason(ended.reason),
        None if is_being_written(&run.dir.log()) => "running",
        None => "cut short",
    }
}

fn document(run: &Listed) -> serde_json::Value {
    let snapshot = run.monitor.snapshot();
    let (curves, diagnosis) = (snapshot.curves, snapshot.diagnosis);
    let point = |point: &crate::curve::EvalPoint| {
        let loss = crate::event::num::json(point.loss);
        json!({"step": point.step, "epoch": point.epoch, "loss": loss})
    };
    json!({
        "run": run.dir.root().display().to_string(),
        "modified": date(run).map(|date| date.timestamp().to_string()),
        "verdict": diagnosis.verdict,
        "severity": diagnosis.severity,
        "best": diagnosis.best.and_then(|best| curves.eval.get(best)).map(point),
        "last": curves.eval.last().map(point),
        "step": snapshot.progress.step,
        "total_steps": snapshot.progress.total_steps,
        "ended": snapshot.ended.map(|ended| ended.reason),
        "running": is_being_written(&run.dir.log()),
    })
}

fn table(runs: &[Listed]) -> String {
    let mut rows = vec![["run", "date", "verdict", "best", "last", "step", "end"].map(str::to_owned)];
    for run in runs {
        let snapshot = run.monitor.snapshot();
        let (curves, diagnosis) = (snapshot.curves, snapshot.diagnosis);
        let best = diagnosis.best.and_then(|best| curves.eval.get(best));
        let total = snapshot.run.total_steps.map_or(String::new(), |total| format!("/{total}"));
        rows.push([
            run.dir.name(),
            date(run).map_or(String::new(), |date| date.strftime("%Y-%m-%d %H:%M").to_string()),
            diagnosis.verdict.to_string(),
            best.map_or("-".into(), |best| format!("{} @ {}", fmt::loss(best.loss), best.step)),
            curves.eval.last().map_or("-".into(), |last| fmt::loss(last.loss)),
            format!("{}{total}", snapshot.progress.step),
            state(run).to_owned(),
        ]);
    }
    let widths: [usize; 7] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    out
}
