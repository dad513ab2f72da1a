//! The lines of the event list: what happened, each in a few words.

use crate::diagnosis::{Diagnosis, Finding};
use crate::event::{
    CheckpointRole, CheckpointSaved, EvalStats, Places, RunEnded, RunInfo, Split, StopReason,
};
use crate::fmt;
use std::mem::discriminant;

/// What a run is, in one or two lines.
pub fn started(run: &RunInfo) -> impl Iterator<Item = String> {
    let model = run.model.as_ref().map(|model| {
        let sizes = match model.params {
            0 => String::new(),
            n => format!(", {} parameters, {} trained", fmt::count(n), fmt::count(model.trainable)),
        };
        let device = if model.device.is_empty() { String::new() } else { format!(", on {}", model.device) };
        format!("model {}{sizes}{device}", model.name)
    });
    let data = run.data.as_ref().map(|data| {
        let tokens = match data.train_tokens {
            0 => String::new(),
            n => format!(", {} tokens an epoch", fmt::count(n)),
        };
        let rows = fmt::counted(data.train_rows, "row");
        format!("data: {rows} to train on, {} held out{tokens}", data.valid_rows)
    });
    model.into_iter().chain(data)
}

/// One evaluation, of the set called `set` where it is not the first; `best` is the lowest loss before it.
pub fn eval(stats: &EvalStats, set: Option<&str>, best: Option<f64>, places: Places) -> String {
    let name = match stats.split {
        Split::Valid => "eval",
        Split::Test => "test",
        Split::TrainProbe => "train probe",
    };
    let set = set.map_or(String::new(), |set| format!(" {set}"));
    let text = format!("{name}{set} at {}: {}", places.at(stats.step), fmt::fixed(stats.loss, 3));
    match (stats.split, best) {
        (Split::Valid, Some(best)) if stats.loss < best => text + ", new best",
        (Split::Valid, Some(best)) if stats.loss.is_finite() && best > 0.0 => {
            format!("{text}, {:.1} % above the best", 100.0 * (stats.loss / best - 1.0))
        }
        _ => text,
    }
}

/// A checkpoint.
pub fn saved(saved: &CheckpointSaved) -> String {
    let role = match saved.role {
        CheckpointRole::Best => "best",
        CheckpointRole::Last => "last",
        CheckpointRole::Earliest => "earliest equally good",
    };
    format!("saved the {role} adapter, step {}", saved.step)
}

/// How the run ended.
pub fn ended(ended: &RunEnded, places: Places) -> String {
    let restored = ended.best.filter(|_| ended.restored_best);
    let restored = restored
        .map_or(String::new(), |best| format!("; the best adapter, of step {}, is in best/", best.step));
    format!("{} at {}{restored}", reason(ended.reason), places.at(ended.step))
}

/// Why a run stopped, in words.
pub fn reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Finished => "finished",
        StopReason::EarlyStopping => "stopped early",
        StopReason::Requested => "stopped as asked",
        StopReason::Interrupted => "interrupted",
        StopReason::NonFinite => "stopped by a number that is not finite",
    }
}

/// What a new judgement changes: findings that are new, or graver or milder than before, or gone.
/// The second of each pair says whether it is a warning.
pub fn changes(before: &Diagnosis, after: &Diagnosis, places: Places) -> Vec<(String, bool)> {
    let same = |a: &&Finding, b: &Finding| discriminant(&a.evidence) == discriminant(&b.evidence);
    let mut lines = Vec::new();
    for finding in &after.findings {
        let old = before.findings.iter().find(|old| same(old, finding));
        if old.is_none_or(|old| old.severity != finding.severity) {
            let level = finding.severity.to_string().to_uppercase();
            lines.push((format!("{level}: {}", finding.message(places)), true));
        }
    }
    for remark in &after.remarks {
        if !before.remarks.iter().any(|old| same(&old, remark)) {
            lines.push((format!("note: {}", remark.message(places)), false));
        }
    }
    for old in &before.findings {
        if !after.findings.iter().any(|finding| same(&finding, old)) {
            lines.push((format!("cleared: {} ({})", old.kind(), old.severity), false));
        }
    }
    lines
}
