//! What is said of a run that is over, whichever way it ended.

use crate::cli::{Failure, replay, say};
use crate::diagnosis::advice;
use crate::event::{BestPoint, RunEnded, StopReason};
use crate::monitor::Monitor;
use crate::store::RunDir;
use anyhow::anyhow;
use serde::Serialize;
use std::path::Path;

/// The last line of `--json`: where the run is and what came of it.
#[derive(Serialize)]
struct Concluded<'a> {
    run: &'a Path,
    ended: StopReason,
    step: u64,
    verdict: String,
    severity: String,
    best: Option<BestPoint>,
    message: Option<String>,
    /// The run again, with what is advised.
    command: Option<String>,
}

/// Says how a run goes on that was ended before its time.
pub(super) fn going_on(why: &str, dir: &RunDir) {
    say(&format!(
        "{why}, everything is saved\n  hint: go on with tune run --resume {}",
        dir.root().display()
    ));
}

/// The last line of `--json`.
pub(super) fn conclusion(dir: &RunDir, ended: &RunEnded, monitor: &Monitor) -> String {
    let snapshot = monitor.snapshot();
    let diagnosis = snapshot.diagnosis;
    let line = Concluded {
        run: dir.root(),
        ended: ended.reason,
        step: ended.step,
        verdict: diagnosis.verdict.to_string(),
        severity: diagnosis.severity.to_string(),
        best: ended.best,
        message: diagnosis.findings.first().map(|finding| finding.message(snapshot.run.places())),
        command: advice::command(snapshot.run, snapshot.advice),
    };
    serde_json::to_string(&line).map_or_else(|_| String::new(), |line| line + "\n")
}

/// A run that the disk or the device ended.
pub(super) fn broken(error: &anyhow::Error, dir: &RunDir) -> Failure {
    if !dir.log().is_file() {
        return Failure::failed(anyhow!(
            "{error:#}\n  hint: the run folder {} was removed or moved while the run went on: leave it where it is until the end",
            dir.root().display()
        ));
    }
    Failure::failed(anyhow!(
        "{error:#}\n  hint: what was saved is whole; when the cause is gone, go on with tune run --resume {}",
        dir.root().display()
    ))
}

/// The run as its log tells it, when it is over: that it cannot be read any more is no mistake in the arguments.
pub(super) fn replayed(dir: &RunDir) -> Result<Monitor, Failure> {
    replay(dir).map_err(|failure| broken(&failure.error, dir))
}
