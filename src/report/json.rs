//! A run as one JSON document, for programs. Numbers that are none are the strings `"nan"`, `"inf"`
//! and `"-inf"`, as in the run log; what is not known is `null`.

use super::html::About;
use crate::curve::EvalPoint;
use crate::event::num::json as number;
use crate::monitor::Snapshot;
use serde_json::{Value, json};

/// Version of the document.
const FORMAT: u32 = 1;

/// The document, indented.
pub fn document(snapshot: &Snapshot, about: &About) -> String {
    let (run, curves, diagnosis) = (snapshot.run, snapshot.curves, snapshot.diagnosis);
    // A log without times has zero for all of them.
    let timed = snapshot.progress.elapsed_s > 0.0;
    let point = |found: &EvalPoint| point(found, timed);
    let at = |index: Option<usize>| index.and_then(|index| curves.eval.get(index));
    let findings = diagnosis.findings.iter().map(|finding| {
        json!({
            "kind": finding.kind(), "severity": finding.severity, "message": finding.message(run.places()),
            "evidence": serde_json::to_value(&finding.evidence).unwrap_or_default(),
        })
    });
    let remarks = diagnosis.remarks.iter().map(|remark| {
        json!({
            "kind": remark.kind(), "message": remark.message(run.places()),
            "evidence": serde_json::to_value(&remark.evidence).unwrap_or_default(),
        })
    });
    let advice = snapshot.advice.iter().map(|advice| {
        let set: serde_json::Map<String, Value> =
            advice.patch.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        json!({"text": advice.text, "set": set})
    });
    let train: Vec<Value> =
        curves.train.iter().map(|point| json!([point.step, number(point.loss)])).collect();
    let document = json!({
        "format": FORMAT,
        "name": about.name(snapshot),
        "trainer": run.trainer,
        "step_kind": run.step_kind,
        "verdict": diagnosis.verdict,
        "severity": diagnosis.severity,
        "undecided": diagnosis.undecided,
        "best": at(diagnosis.best).map(point),
        "as_good": at(diagnosis.as_good).map(point),
        "last": curves.eval.last().map(point),
        "onset": at(diagnosis.onset).map(|point| json!({"step": point.step, "epoch": point.epoch})),
        "rise": diagnosis.rise.map(number),
        "noise": diagnosis.noise.map(number),
        "test": curves.test.as_ref().map(point),
        "findings": findings.collect::<Vec<_>>(),
        "remarks": remarks.collect::<Vec<_>>(),
        "advice": advice.collect::<Vec<_>>(),
        "progress": {
            "step": snapshot.progress.step,
            "total_steps": snapshot.progress.total_steps,
            "seconds": timed.then(|| number(snapshot.progress.elapsed_s)),
            "tokens_per_s": snapshot.progress.tokens_per_s.map(number),
        },
        "ended": snapshot.ended.map(|ended| json!({"reason": ended.reason, "step": ended.step})),
        "model": run.model,
        "data": run.data,
        "audit": run.audit,
        "environment": run.environment,
        "settings": run.settings,
        "eval_curve": curves.eval.iter().map(point).collect::<Vec<_>>(),
        "set": curves.set(),
        "other_sets": curves.others.iter().map(|(name, points)| {
            json!({"set": name, "eval_curve": points.iter().map(point).collect::<Vec<_>>()})
        }).collect::<Vec<_>>(),
        "probe_curve": curves.probe.iter().map(point).collect::<Vec<_>>(),
        "train_curve": train,
        "generated": curves.generated,
    });
    format!("{document:#}\n")
}

/// One evaluation, without the losses of its examples.
fn point(point: &EvalPoint, timed: bool) -> Value {
    let metrics: serde_json::Map<String, Value> =
        point.metrics.iter().map(|metric| (metric.name.clone(), number(metric.value))).collect();
    json!({
        "step": point.step, "epoch": point.epoch, "seconds": timed.then(|| number(point.t)), "loss": number(point.loss),
        "train_loss": point.train_loss.map(number), "tokens": Some(point.tokens).filter(|tokens| *tokens > 0),
        "token_accuracy": point.token_accuracy, "metrics": metrics,
    })
}
