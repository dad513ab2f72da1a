//! The plain words: a header, a line for each evaluation, and the story at the end.
//!
//! For a log that people scroll through: no colours, no cursor movements, figures in columns.

use crate::curve::{Curves, EvalPoint, TrainPoint};
use crate::diagnosis::advice;
use crate::diagnosis::{Finding, Severity, Verdict, finding};
use crate::event::{RunInfo, Settings};
use crate::fmt;
use crate::monitor::{Snapshot, log};
use std::fmt::Write as _;

/// What the run is, before it starts.
pub fn header(snapshot: &Snapshot) -> String {
    let run = snapshot.run;
    let mut out = String::new();
    let title = if run.name.is_empty() { "run" } else { &run.name };
    line(&mut out, title);
    if let Some(model) = &run.model {
        let mut parts = vec![model.name.clone()];
        if model.params > 0 {
            let share = 100.0 * model.trainable as f64 / model.params as f64;
            parts.push(format!(
                "{} parameters, {} trained ({share:.1} %)",
                fmt::count(model.params),
                fmt::count(model.trainable)
            ));
        }
        parts.push(model.device.clone());
        field(&mut out, "model", parts);
    }
    if let Some(data) = &run.data {
        let mut parts = vec![
            format!("{} to train on", fmt::counted(data.train_rows, "row")),
            format!("{} held out", data.valid_rows),
        ];
        if data.train_tokens > 0 {
            parts.push(format!("{} tokens an epoch", fmt::count(data.train_tokens)));
        }
        field(&mut out, "data", parts);
    }
    field(&mut out, "train", plan(run));
    out
}

/// How long the run is, and with which settings.
fn plan(run: &RunInfo) -> Vec<String> {
    let Settings { learning_rate, schedule, weight_decay, lora_r, lora_dropout, early_stopping, .. } =
        &run.settings;
    let mut parts = Vec::new();
    if let Some(steps) = run.total_steps {
        let epochs =
            run.steps_per_epoch.map_or(String::new(), |per| format!(" ({:.1} epochs)", steps as f64 / per));
        parts.push(fmt::counted(steps, "step") + &epochs);
    }
    parts.extend(
        learning_rate
            .map(|lr| format!("lr {lr:e}{}", schedule.as_ref().map_or(String::new(), |s| format!(" {s}")))),
    );
    parts.extend(lora_r.map(|r| format!("rank {r}")));
    parts.extend(lora_dropout.map(|dropout| format!("dropout {dropout}")));
    parts.extend(weight_decay.map(|decay| format!("weight decay {decay}")));
    parts.extend(early_stopping.map(|on| format!("early stopping {}", if on { "on" } else { "off" })));
    parts
}

/// One evaluation, the one at `index`; to be called when it is the newest one.
pub fn eval_line(snapshot: &Snapshot, index: usize) -> String {
    let (curves, progress) = (snapshot.curves, &snapshot.progress);
    let Some(point) = curves.eval.get(index) else { return String::new() };
    let train = point.train_loss.map_or_else(|| "    -".into(), |loss| fmt::fixed(loss, 3));
    let mut out = format!(
        "{}  train {train}  eval {}  {:<8}",
        columns(snapshot, point),
        fmt::fixed(point.loss, 3),
        standing(&curves.eval, index),
    );
    if let Some(rate) = curves.train_between(None, point.step).last().and_then(TrainPoint::learning_rate) {
        let _ = if rate == 0.0 { write!(out, "  lr 0     ") } else { write!(out, "  lr {rate:.1e}") };
    }
    if let Some(rate) = progress.tokens_per_s {
        let _ = write!(out, "  {} tok/s", fmt::count(rate.round() as u64));
    }
    if let Some(eta) = progress.eta_s.filter(|eta| *eta > 0.0) {
        let _ = write!(out, "  ETA {}", fmt::duration(eta));
    }
    if let Some(finding) = snapshot.diagnosis.findings.first() {
        let _ = write!(out, "  {}: {}", finding.severity.to_string().to_uppercase(), finding.kind());
    }
    out.trim_end().into()
}

/// One evaluation of the set `name`, which is not the first one, at `step`.
pub fn set_line(snapshot: &Snapshot, name: &str, step: u64) -> String {
    let set = snapshot.curves.others.iter().find(|(other, _)| other == name);
    let points = set.map_or(&[][..], |(_, points)| points);
    let Ok(index) = points.binary_search_by_key(&step, |point| point.step) else { return String::new() };
    let point = &points[index];
    let loss = fmt::fixed(point.loss, 3);
    format!("{}  eval {name} {loss}  {}", columns(snapshot, point), standing(points, index))
}

/// Where an evaluation is, in columns.
fn columns(snapshot: &Snapshot, point: &EvalPoint) -> String {
    let places = snapshot.run.places();
    let total = snapshot.run.total_steps;
    let width = 2 * total.map_or(0, |total| places.number(total).len()).max(3) + 1;
    format!(
        "{} {:>width$}{}",
        places.unit(),
        places.of_all(point.step, total),
        places.epoch(point.epoch).map_or(String::new(), |epoch| format!("  epoch {epoch:>5.2}"))
    )
}

/// The newest step, for the time between two evaluations.
pub fn step_line(snapshot: &Snapshot) -> String {
    let (curves, progress) = (snapshot.curves, &snapshot.progress);
    let Some(point) = curves.train.last() else { return String::new() };
    let places = snapshot.run.places();
    let place = places.of_all(point.step, snapshot.run.total_steps);
    let epoch = places.epoch(point.epoch()).map_or(String::new(), |epoch| format!("  epoch {epoch:.2}"));
    let rate = point.learning_rate().map_or(String::new(), |rate| format!("  lr {rate:.1e}"));
    let loss = fmt::fixed(point.loss, 3);
    let mut out = format!("{} {place}{epoch}  train {loss}{rate}", places.unit());
    if let Some(rate) = progress.tokens_per_s {
        let _ = write!(out, "  {} tok/s", fmt::count(rate.round() as u64));
    }
    if let Some(eta) = progress.eta_s.filter(|eta| *eta > 0.0) {
        let _ = write!(out, "  ETA {}", fmt::duration(eta));
    }
    out
}

/// What the evaluations are called: by their set, where there are others.
pub(super) fn eval_name(curves: &Curves) -> String {
    curves.named_set().map_or("eval".into(), |set| format!("eval {set}"))
}

/// The losses that the other evaluation sets have at a step, in the order of the sets; empty for one that has
/// none there.
pub(super) fn other_losses(curves: &Curves, step: u64) -> impl Iterator<Item = String> {
    curves.others.iter().map(move |(_, points)| {
        let at = points.binary_search_by_key(&step, |point| point.step);
        at.map_or(String::new(), |at| fmt::loss(points[at].loss))
    })
}

/// Of the evaluation at `index`: `best`, or how far above the best of all before it.
pub(super) fn standing(points: &[EvalPoint], index: usize) -> String {
    let point = &points[index];
    let before = points[..index].iter().map(|p| p.loss).filter(|loss| loss.is_finite());
    let best = before.fold(f64::INFINITY, f64::min);
    if !point.loss.is_finite() {
        "broken".into()
    } else if point.loss < best {
        "best".into()
    } else if best > 0.0 {
        format!("{:+.1} %", 100.0 * (point.loss / best - 1.0))
    } else {
        // Shares of nothing, or of what is below it, say nothing.
        format!("{:+.3}", point.loss - best)
    }
}

/// The story of a run, at its end: what is the matter, how it is known, what to change.
pub fn summary(snapshot: &Snapshot) -> String {
    summary_without(snapshot, |_| false)
}

/// The same without the remarks that were `said` before.
pub fn summary_without(snapshot: &Snapshot, said: impl Fn(&Finding) -> bool) -> String {
    let (diagnosis, curves) = (snapshot.diagnosis, snapshot.curves);
    let mut out = String::new();
    line(&mut out, &verdict(snapshot));
    for finding in &diagnosis.findings {
        line(&mut out, &format!("  {}: {}.", finding.severity, finding.message(snapshot.run.places())));
    }
    for remark in diagnosis.remarks.iter().filter(|remark| !said(remark)) {
        line(&mut out, &format!("  note: {}.", remark.message(snapshot.run.places())));
    }
    line(&mut out, "");
    if let Some(best) = diagnosis.best.and_then(|best| curves.eval.get(best)) {
        field(&mut out, "best", vec![eval_at(snapshot, best)]);
        field(&mut out, "tied", as_good(snapshot).into_iter().collect());
        if let (Some(rise), Some(last)) = (diagnosis.rise, curves.eval.last()) {
            let above = format!(
                "median of the last three {} the best",
                finding::above(rise, diagnosis.noise, diagnosis.noise_assumed)
            );
            let parts =
                if rise > 0.0 { vec![eval_at(snapshot, last), above] } else { vec![eval_at(snapshot, last)] };
            field(&mut out, "last", parts);
        }
    }
    if let Some(onset) = diagnosis.onset.and_then(|onset| curves.eval.get(onset)) {
        let turned = format!("{} loss turned after {}", eval_name(curves), place(snapshot, onset));
        field(&mut out, "onset", vec![turned]);
    }
    if let Some(test) = &curves.test {
        field(&mut out, "test", vec![fmt::fixed(test.loss, 3)]);
    }
    field(&mut out, "end", ending(snapshot));
    if !snapshot.advice.is_empty() {
        line(&mut out, "\nWhat to change:");
        for advice in snapshot.advice {
            line(&mut out, &format!("  - {}", advice.text));
        }
        if let Some(command) = advice::command(snapshot.run, snapshot.advice) {
            line(&mut out, &format!("\nTo try it:\n  {command}"));
        }
    }
    out
}

/// The verdict as a headline.
pub fn verdict(snapshot: &Snapshot) -> String {
    let diagnosis = snapshot.diagnosis;
    let verdict = match (diagnosis.verdict, &diagnosis.undecided, diagnosis.severity) {
        (Verdict::Undecided, Some(why), _) => format!("undecided ({why})"),
        (verdict, _, Severity::None) => verdict.to_string(),
        (verdict, _, severity) => format!("{verdict} ({severity})"),
    };
    match snapshot.cut_short() {
        Some(cut) => format!("Verdict: {verdict} so far ({cut})"),
        None => format!("Verdict: {verdict}"),
    }
}

/// The earliest evaluation that is as good as the best, and where its adapter is.
pub(super) fn as_good(snapshot: &Snapshot) -> Option<String> {
    let point = snapshot.curves.eval.get(snapshot.diagnosis.as_good?)?;
    let saved = snapshot.earliest_saved.filter(|saved| saved.step == point.step);
    let adapter = if saved.is_some() { "; adapter in earliest/" } else { "" };
    Some(format!("{}, within one standard error of the best{adapter}", eval_at(snapshot, point)))
}

pub(super) fn place(snapshot: &Snapshot, point: &EvalPoint) -> String {
    let places = snapshot.run.places();
    match places.epoch(point.epoch).filter(|epoch| *epoch > 0.0) {
        Some(epoch) => format!("{} (epoch {epoch:.1})", places.at(point.step)),
        None => places.at(point.step),
    }
}

/// An evaluation of the first set, in words.
fn eval_at(snapshot: &Snapshot, point: &EvalPoint) -> String {
    format!("{} {} at {}", eval_name(snapshot.curves), fmt::fixed(point.loss, 3), place(snapshot, point))
}

/// How it ended, how long it took, and what is on disk.
pub(super) fn ending(snapshot: &Snapshot) -> Vec<String> {
    let places = snapshot.run.places();
    let Some(ended) = snapshot.ended else {
        let at = places.at(snapshot.progress.step);
        let foreign = snapshot.run.trainer != "tune";
        return vec![if foreign { format!("the log ends at {at}") } else { format!("still at {at}") }];
    };
    let mut parts = vec![if snapshot.run.step_kind.is_made_up() {
        format!("{} after {}", log::reason(ended.reason), places.at(ended.step))
    } else {
        format!("{} after {}", log::reason(ended.reason), fmt::counted(ended.step, "step"))
    }];
    parts.extend(Some(snapshot.progress.elapsed_s).filter(|s| *s > 0.0).map(fmt::duration));
    parts.extend(ended.best.map(|best| format!("best adapter (step {}) in best/", best.step)));
    parts
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// A name and what there is to say, if there is anything.
fn field(out: &mut String, name: &str, parts: Vec<String>) {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if !parts.is_empty() {
        line(out, &format!("  {name:<6} {}", parts.join(", ")));
    }
}
