//! A verdict a run: for people, for programs, for a pull request.

use crate::cli::source::{Judged, other_figures};
use crate::curve::EvalPoint;
use crate::diagnosis::{Evidence, Finding, Severity, Verdict, advice};
use crate::event::num::json as number;
use crate::fmt::fixed;
use serde_json::{Value, json};
use std::fmt::Write;

/// Version of the JSON document.
const FORMAT: u32 = 1;

/// The document that `--json` prints, with what was passed over in folders, where there was any.
pub(super) fn json(runs: &[Judged], passed: &[Judged], curves: bool) -> String {
    let sources: Vec<Value> = runs.iter().map(|run| entry(run, curves)).collect();
    let mut document = json!({"format": FORMAT, "sources": sources});
    if !passed.is_empty() {
        let why = |run: &Judged| json!({"source": run.name, "reason": reason(run)});
        document["passed_over"] = passed.iter().map(why).collect();
    }
    format!("{document}\n")
}

/// Why a file is no run.
pub(super) fn reason(run: &Judged) -> &'static str {
    run.skipped.first.first().map_or(super::NOTHING, |(_, reason)| reason)
}

/// What to do about a run among others in which no loss was found, where its figures have names.
fn unread(run: &Judged) -> Option<String> {
    (run.is_empty() && reason(run) == super::NOTHING).then(|| other_figures(&run.file)).flatten()
}

/// Names that are told of the files of one reason.
const NAMED: usize = 3;

/// Why files are no runs, each reason with their number and the first of them.
pub(super) fn reasons(passed: &[Judged]) -> String {
    let mut of_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for run in passed {
        let why = reason(run);
        match of_reason.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(&run.name),
            None => of_reason.push((why, vec![&run.name])),
        }
    }
    let told = |(why, names): &(&str, Vec<&str>)| {
        let more = if names.len() > NAMED { ", ..." } else { "" };
        format!("{}\u{d7} {why} ({}{more})", names.len(), names[..names.len().min(NAMED)].join(", "))
    };
    of_reason.iter().map(told).collect::<Vec<_>>().join(", ")
}

/// The evaluation that is named the best.
fn best(run: &Judged) -> Option<&EvalPoint> {
    run.curves.eval.get(run.diagnosis.best?)
}

fn entry(run: &Judged, curves: bool) -> Value {
    let (diagnosis, places) = (&run.diagnosis, run.run.places());
    let (train, eval) = (&run.curves.train, &run.curves.eval);
    let place = |point: &EvalPoint| json!({"step": point.step, "epoch": point.epoch});
    let best =
        best(run).map(|point| json!({"step": point.step, "epoch": point.epoch, "loss": number(point.loss)}));
    let last_train = train.last();
    let last = match (eval.last(), last_train) {
        (None, None) => Value::Null,
        (Some(point), _) => json!({
            "step": point.step, "epoch": point.epoch, "loss": number(point.loss),
            "train_loss": last_train.map(|train| number(train.loss)),
        }),
        (None, Some(train)) => json!({
            "step": train.step, "epoch": train.epoch(), "loss": null, "train_loss": number(train.loss),
        }),
    };
    // The advice is for the gravest finding.
    let mut advice = Some(run.advice.iter().map(|advice| advice.text.clone()).collect::<Vec<_>>());
    let findings: Vec<Value> = diagnosis
        .findings
        .iter()
        .map(|finding| {
            json!({
                "kind": finding.kind(), "severity": finding.severity, "evidence": evidence(finding),
                "message": finding.message(places), "advice": advice.take().unwrap_or_default(),
            })
        })
        .collect();
    let remarks = diagnosis.remarks.iter().map(
        |remark| json!({"kind": remark.kind(), "evidence": evidence(remark), "message": remark.message(places)}),
    );
    let as_good = diagnosis
        .as_good
        .and_then(|index| eval.get(index))
        .map(|point| json!({"step": point.step, "epoch": point.epoch, "loss": number(point.loss)}));
    let skipped = run.skipped.first.iter().map(|(line, reason)| json!({"line": line, "reason": reason}));
    let mut entry = json!({
        "source": run.name,
        "file": run.file.display().to_string(),
        "trainer": run.trainer,
        "step_kind": run.run.step_kind,
        "verdict": diagnosis.verdict,
        "severity": diagnosis.severity,
        "undecided": diagnosis.undecided,
        "train_points": train.len(),
        "eval_points": eval.len(),
        "best": best,
        "as_good": as_good,
        "last": last,
        "rise": diagnosis.rise.map(number),
        "onset": diagnosis.onset.and_then(|onset| eval.get(onset)).map(place),
        "findings": findings,
        "remarks": remarks.collect::<Vec<_>>(),
        "notes": run.notes,
        "skipped": skipped.collect::<Vec<_>>(),
        "skipped_total": run.skipped.total(),
    });
    if !run.curves.others.is_empty() {
        let set = |(name, points): &(String, Vec<EvalPoint>)| {
            let last = points.last().map(|point| number(point.loss));
            let mut entry = json!({"set": name, "eval_points": points.len(), "last": last});
            if curves {
                entry["eval_curve"] =
                    points.iter().map(|point| json!([point.step, number(point.loss)])).collect();
            }
            entry
        };
        entry["other_sets"] = run.curves.others.iter().map(set).collect();
    }
    if curves {
        entry["eval_curve"] = eval.iter().map(|point| json!([point.step, number(point.loss)])).collect();
        entry["train_curve"] = train.iter().map(|point| json!([point.step, number(point.loss)])).collect();
    }
    entry
}

/// The numbers that convict; those that are none by their names.
fn evidence(finding: &crate::diagnosis::Finding) -> Value {
    serde_json::to_value(&finding.evidence).unwrap_or(Value::Null)
}

/// The message of the gravest finding, else why there is none.
fn message(run: &Judged) -> String {
    let diagnosis = &run.diagnosis;
    match (diagnosis.findings.first(), &diagnosis.undecided) {
        (Some(finding), _) => finding.message(run.run.places()),
        (None, Some(_)) if run.is_empty() => super::NOTHING.into(),
        (None, Some(reason)) => reason.clone(),
        (None, None) => figures(run),
    }
}

/// The findings that are less grave than the first.
fn others(run: &Judged) -> impl Iterator<Item = &Finding> {
    run.diagnosis.findings.iter().skip(1)
}

fn is_of_a_set(finding: &Finding) -> bool {
    matches!(finding.evidence, Evidence::SetRise(_))
}

/// Best and last evaluation in a few words; of the first set, where there are others.
fn figures(run: &Judged) -> String {
    let eval = &run.curves.eval;
    let best = best(run);
    let (Some(best), Some(last)) = (best, eval.last()) else { return String::new() };
    let places = run.run.places();
    let at = places.with_epoch(best.step, best.epoch);
    let set = run.curves.named_set().map_or(String::new(), |set| format!(" of {set}"));
    if best.step == last.step {
        return format!("eval loss{set} {} at {at}: the last is the best", fixed(last.loss, 4));
    }
    let (lowest, loss) = (fixed(best.loss, 4), fixed(last.loss, 4));
    format!("best eval loss{set} {lowest} at {at}; last {loss} at {}", places.at(last.step))
}

/// For people: a line a run, and under it what there is to say.
pub(super) fn text(runs: &[Judged], passed: &[Judged], colors: bool, quiet: bool) -> String {
    let mut out = String::new();
    for run in runs {
        let diagnosis = &run.diagnosis;
        let fine = diagnosis.severity == Severity::None;
        if quiet && fine {
            continue;
        }
        let (mark, color) = match (diagnosis.severity, diagnosis.verdict) {
            (Severity::None, Verdict::Undecided) => ("?", "\x1b[2m"),
            (Severity::None, _) => ("\u{2713}", "\x1b[32m"),
            (Severity::Watch, _) => ("!", "\x1b[33m"),
            (Severity::Warn, _) => ("\u{2717}", "\x1b[31m"),
            (Severity::Severe, _) => ("\u{2717}", "\x1b[1;31m"),
        };
        let (on, dim, off) = if colors { (color, "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let level = if fine { String::new() } else { format!(" ({})", diagnosis.severity) };
        let counts = format!(
            "{}, evaluations: {}, train figures: {}",
            run.trainer,
            run.curves.eval.len(),
            run.curves.train.len()
        );
        let _ =
            writeln!(out, "{on}{mark} {}{level}{off}  {}  {dim}{counts}{off}", diagnosis.verdict, run.name);
        if run.found && run.file.as_os_str() != run.name.as_str() {
            let _ = writeln!(out, "    {dim}read from {}{off}", run.file.display());
        }
        let _ = writeln!(out, "    {}", message(run));
        // Of several runs the gravest alone, and what is of another set.
        for finding in others(run).filter(|finding| runs.len() == 1 || is_of_a_set(finding)) {
            let _ = writeln!(out, "    also {}: {}", finding.severity, finding.message(run.run.places()));
        }
        let figures = figures(run);
        let turned = matches!(diagnosis.verdict, Verdict::Overfitting | Verdict::Diverged);
        if !fine && turned && !figures.is_empty() {
            let _ = writeln!(out, "    {figures}");
        }
        for note in diagnosis.notes(&run.curves, run.run.places()) {
            let _ = writeln!(out, "    {dim}note: {note}{off}");
        }
        for note in run.notes.iter().take(3) {
            let _ = writeln!(out, "    {dim}note: {note}{off}");
        }
        if run.skipped.total() > 0 {
            let reasons: Vec<String> =
                run.skipped.counts.iter().map(|(reason, count)| format!("{count}\u{d7} {reason}")).collect();
            let _ = writeln!(out, "    {dim}skipped: {}{off}", reasons.join(", "));
        }
        // Of one run all is said, of several a line.
        let most = if runs.len() == 1 { run.advice.len() } else { 1 };
        for advice in run.advice.iter().take(most) {
            let _ = writeln!(out, "    hint: {}", advice.text);
        }
        if let Some(hint) = unread(run) {
            let _ = writeln!(out, "    hint: {hint}");
        }
        if let Some(command) = advice::command(&run.run, &run.advice).filter(|_| runs.len() == 1) {
            let _ = writeln!(out, "    to try it: {command}");
        }
    }
    if runs.len() > 1 {
        let _ = writeln!(out, "{}", tally(runs));
    }
    if !passed.is_empty() && !quiet {
        let _ = writeln!(out, "passed over: {}", reasons(passed));
    }
    out
}

/// `41 runs: 20 healthy, 12 overfitting, ...`.
fn tally(runs: &[Judged]) -> String {
    use Verdict::{Diverged, Healthy, Memorizing, Overfitting, Undecided, Underfitting};
    let count = |verdict: Verdict| runs.iter().filter(|run| run.diagnosis.verdict == verdict).count();
    let kinds = [Healthy, Overfitting, Memorizing, Diverged, Underfitting, Undecided]
        .into_iter()
        .map(|verdict| (count(verdict), verdict))
        .filter(|(count, _)| *count > 0)
        .map(|(count, verdict)| format!("{count} {verdict}"));
    format!("{} runs: {}", runs.len(), kinds.collect::<Vec<_>>().join(", "))
}

/// Workflow commands of GitHub Actions: one annotation a run.
pub(super) fn github(runs: &[Judged], passed: &[Judged]) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut out = String::new();
    for run in runs {
        let level = match run.diagnosis.severity {
            Severity::None if run.warnings.is_empty() => "notice",
            Severity::None | Severity::Watch => "warning",
            Severity::Warn | Severity::Severe => "error",
        };
        let advice = run.advice.first().map(|advice| advice.text.clone()).or_else(|| unread(run));
        let advice = advice.map_or(String::new(), |advice| format!("\nhint: {advice}"));
        let (verdict, name) = (run.diagnosis.verdict, &run.name);
        let _ = writeln!(
            out,
            "::{level} file={},title={}::{}",
            property(&run.file.display().to_string()),
            property(&format!("tune: {verdict} ({name})")),
            data(&(with_warnings(run) + &advice))
        );
    }
    if !passed.is_empty() {
        let _ = writeln!(out, "::notice title=tune%3A passed over::{}", data(&reasons(passed)));
    }
    out
}

/// A table for a comment.
pub(super) fn markdown(runs: &[Judged], passed: &[Judged]) -> String {
    let mut out =
        String::from("| run | verdict | best eval loss | last | what was found |\n|---|---|---|---|---|\n");
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    for run in runs {
        let diagnosis = &run.diagnosis;
        let mark = match (diagnosis.severity, diagnosis.verdict) {
            (Severity::None, Verdict::Undecided) => "\u{2754}",
            (Severity::None, _) => "\u{2705}",
            (Severity::Watch, _) => "\u{26a0}\u{fe0f}",
            _ => "\u{274c}",
        };
        let (eval, places) = (&run.curves.eval, run.run.places());
        let point = |point: Option<&EvalPoint>| {
            point.map_or("-".into(), |point| format!("{} @ {}", fixed(point.loss, 4), places.at(point.step)))
        };
        let _ = writeln!(
            out,
            "| {} | {mark} {} | {} | {} | {} |",
            cell(&run.name),
            diagnosis.verdict,
            point(best(run)),
            point(eval.last()),
            cell(&with_warnings(run))
        );
    }
    if runs.len() > 1 {
        let _ = writeln!(out, "\n{}", tally(runs));
    }
    if !passed.is_empty() {
        let _ = writeln!(out, "\npassed over: {}", reasons(passed));
    }
    out
}

/// What was found, on other sets too, and what the log says of a failure.
fn with_warnings(run: &Judged) -> String {
    let sets = others(run).filter(|finding| is_of_a_set(finding));
    let sets = sets.map(|finding| finding.message(run.run.places()));
    [message(run)].into_iter().chain(sets).chain(run.warnings.iter().cloned()).collect::<Vec<_>>().join("; ")
}
