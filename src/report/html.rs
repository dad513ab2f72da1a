//! The report to send: one self-contained page. No network, no scripts, light and dark as the reader's
//! system has it, and good to print.
//!
//! Everything that comes from a log is escaped; charts are pictures with values to hover over.

use super::svg::{self, Line};
use super::text;
use crate::curve::{Curves, EvalPoint, TrainPoint};
use crate::diagnosis::{Severity, Verdict, advice, finding};
use crate::event::{Places, Split};
use crate::fmt::{self, xml};
use crate::monitor::{LogLine, Snapshot, samples, settings};
use std::fmt::Write as _;

/// What belongs into a report and is not in the log of the run.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The configuration as resolved.
    pub config: Option<String>,
    /// What its source is called: the name of a run whose log gives it none.
    pub source: String,
    /// Who writes the report, and which version.
    pub program: String,
}

impl About {
    /// What a run is called: as it says itself, else as its source is.
    pub(super) fn name<'a>(&'a self, snapshot: &Snapshot<'a>) -> &'a str {
        if snapshot.run.name.is_empty() { &self.source } else { &snapshot.run.name }
    }
}

/// Events that are listed, the newest ones.
const EVENTS: usize = 300;

/// The page.
pub fn page(snapshot: &Snapshot, about: &About) -> String {
    let name = about.name(snapshot);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{} \u{b7} {}</title><style>{STYLE}</style></head><body><main>\n",
        xml(name),
        snapshot.diagnosis.verdict
    );
    head(&mut out, snapshot, name);
    figures(&mut out, snapshot);
    let _ = writeln!(out, "<figure>{}</figure>", svg::inline(snapshot));
    advised(&mut out, snapshot);
    findings(&mut out, snapshot);
    spoken(&mut out, snapshot);
    strips(&mut out, snapshot.curves, snapshot.run.places());
    evaluations(&mut out, snapshot);
    rows(&mut out, snapshot);
    made_of(&mut out, snapshot, about);
    events(&mut out, snapshot);
    let _ = writeln!(out, "<footer>{}</footer></main></body></html>", xml(&about.program));
    out
}

const STYLE: &str = "\
:root{--paper:#fff;--card:#f6f8fa;--ink:#1f2933;--faint:#5f6b78;--line:#d5dbe1;--grid:#e4e8ec;--train:#00508f;\
--eval:#d55e00;--sets:#9c4a7e;--best:#00664f;--plate:#e3e7eb}\
@media screen and (prefers-color-scheme:dark){:root{--paper:#14181d;--card:#1c2229;--ink:#dde3e9;--faint:#96a1ad;--line:#343d47;\
--grid:#262e36;--train:#3d8fe0;--eval:#ffbf66;--sets:#d59abf;--best:#35c49a;--plate:#2a323b}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}\
main{max-width:880px;margin:0 auto;padding:28px 20px}h1{font-size:24px;margin:0 0 4px}\
h2{font-size:17px;margin:32px 0 8px}p{margin:6px 0}.faint,footer,figcaption{color:var(--faint)}\
.plate{display:inline-block;padding:3px 12px;border-radius:6px;font-weight:700;letter-spacing:.04em;color:#111}\
.none{background:#35c49a}.watch{background:#f0e442}.warn{background:#e69f00}.severe{background:#ee6c2c}\
.unknown{background:var(--plate);color:var(--ink)}.lead{font-size:18px;margin:10px 0}\
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(220px,1fr));gap:10px;margin:18px 0}\
dl div{background:var(--card);border-radius:8px;padding:9px 12px}dt{color:var(--faint);font-size:13px}\
dd{margin:0;font-size:18px;font-variant-numeric:tabular-nums}figure{margin:14px 0}svg{width:100%;height:auto}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:3px 10px 3px 0;\
border-bottom:1px solid var(--grid);vertical-align:top}th{color:var(--faint);font-weight:500}td.n,th.n{text-align:right}\
.card{background:var(--card);border-radius:8px;padding:10px 14px;margin:10px 0}code,pre{font:13px/1.45 ui-monospace,\
'DejaVu Sans Mono',Menlo,Consolas,monospace}pre{background:var(--card);border-radius:8px;padding:10px 14px;\
overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;margin:6px 0}.two{display:grid;grid-template-columns:1fr 1fr;\
gap:14px}.gauge{height:9px;background:var(--plate);border-radius:5px;overflow:hidden}.gauge i{display:block;height:100%}\
summary{cursor:pointer;color:var(--faint)}.warning td{color:var(--eval)}footer{margin-top:36px;font-size:13px}\
@media(max-width:640px){.two{grid-template-columns:1fr}}\
@media print{body{font-size:12px}code,pre{font-size:10.5px}main{max-width:none;padding:0}h2{break-after:avoid}.card,figure,tr{break-inside:avoid}.two .card{break-inside:auto}\
.plate{border:1px solid #111}.plate,.gauge,.gauge i{print-color-adjust:exact}\
details::details-content{content-visibility:visible;display:block}details>summary{list-style:none}}";

/// What runs, and the verdict.
fn head(out: &mut String, snapshot: &Snapshot, name: &str) {
    let diagnosis = snapshot.diagnosis;
    let class = match (diagnosis.severity, diagnosis.verdict) {
        (Severity::None, Verdict::Healthy) => "none",
        (Severity::None, _) => "unknown",
        (Severity::Watch, _) => "watch",
        (Severity::Warn, _) => "warn",
        (Severity::Severe, _) => "severe",
    };
    let mut standing = Vec::new();
    if diagnosis.severity != Severity::None {
        standing.push(diagnosis.severity.to_string());
    }
    if let Some(onset) = diagnosis.onset.and_then(|onset| snapshot.curves.eval.get(onset)) {
        standing.push(format!("since {}", snapshot.run.places().at(onset.step)));
    }
    if let Some(why) = &diagnosis.undecided {
        standing.push(why.clone());
    } else {
        standing.extend(snapshot.cut_short().map(|cut| format!("so far: {cut}")));
    }
    let _ = writeln!(
        out,
        "<h1>{}</h1><p class=\"faint\">{}</p><p class=\"lead\"><span class=\"plate {class}\">{}</span> {}</p>",
        xml(name),
        xml(&text::ending(snapshot).join(", ")),
        diagnosis.verdict.to_string().to_uppercase(),
        xml(&standing.join(", "))
    );
}

/// The figures that everyone asks for first.
fn figures(out: &mut String, snapshot: &Snapshot) {
    let (diagnosis, curves) = (snapshot.diagnosis, snapshot.curves);
    let mut figures = Vec::new();
    if let Some(best) = diagnosis.best.and_then(|best| curves.eval.get(best)) {
        figures
            .push(("best eval loss", format!("{} at {}", fmt::loss(best.loss), text::place(snapshot, best))));
    }
    if let Some(tied) = text::as_good(snapshot) {
        figures.push(("as good", tied));
    }
    if let Some(last) = curves.eval.last() {
        figures.push(("last eval loss", fmt::loss(last.loss)));
        if let Some(train) = last.train_loss {
            figures.push(("train loss then", fmt::loss(train)));
        }
    }
    if let Some(rise) = diagnosis.rise {
        let above = format!("{} the best", finding::above(rise, diagnosis.noise, diagnosis.noise_assumed));
        figures.push(("median of the last three", above));
    }
    if let Some(test) = &curves.test {
        figures.push(("test loss", fmt::loss(test.loss)));
    }
    if let Some(probe) = curves.probe.last() {
        figures.push(("train probe loss", fmt::loss(probe.loss)));
    }
    if let Some(rate) = snapshot.progress.tokens_per_s {
        figures.push(("tokens a second", fmt::count(rate.max(0.0) as u64)));
    }
    out.push_str("<dl>");
    for (name, value) in figures {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", xml(&value));
    }
    out.push_str("</dl>\n");
}

/// What was found, each with the numbers that convict.
fn findings(out: &mut String, snapshot: &Snapshot) {
    out.push_str("<h2>Findings</h2>\n");
    if snapshot.diagnosis.findings.is_empty() {
        out.push_str("<p>None.</p>\n");
    }
    for finding in &snapshot.diagnosis.findings {
        let _ = write!(
            out,
            "<div class=\"card\"><p><b>{}</b>, {}: {}.</p>",
            xml(&finding.kind()),
            finding.severity,
            xml(&finding.message(snapshot.run.places()))
        );
        let numbers = serde_json::to_value(&finding.evidence).unwrap_or_default();
        if let Some(numbers) = numbers.as_object().filter(|numbers| !numbers.is_empty()) {
            out.push_str("<details><summary>The numbers</summary><table>");
            for (name, value) in numbers.iter().filter(|(_, value)| !value.is_null()) {
                let value = match value.as_f64() {
                    Some(number) if !value.is_u64() => fmt::loss(number),
                    _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                };
                let _ =
                    write!(out, "<tr><th>{}</th><td>{}</td></tr>", xml(&name.replace('_', " ")), xml(&value));
            }
            out.push_str("</table></details>");
        }
        out.push_str("</div>\n");
    }
    let notes: Vec<String> = snapshot.diagnosis.remarked(snapshot.run.places()).collect();
    if !notes.is_empty() {
        out.push_str("<h2>Also noted</h2>\n<ul>");
        for note in notes {
            let _ = write!(out, "<li>{}.</li>", xml(&note));
        }
        out.push_str("</ul>\n");
    }
}

/// What to change, and the command that does it.
fn advised(out: &mut String, snapshot: &Snapshot) {
    if snapshot.advice.is_empty() {
        return;
    }
    out.push_str("<h2>What to change</h2>\n<ul>");
    for advice in snapshot.advice {
        let _ = write!(out, "<li>{}</li>", xml(&advice.text));
    }
    out.push_str("</ul>\n");
    if let Some(command) = advice::command(snapshot.run, snapshot.advice) {
        let _ = writeln!(out, "<pre>{}</pre>", xml(&command));
    }
}

/// What the model writes by itself, to prompts it was trained on and to others.
fn spoken(out: &mut String, snapshot: &Snapshot) {
    let sides = [(Split::TrainProbe, "Trained on", "train"), (Split::Valid, "Held out", "eval")];
    if snapshot.curves.generated.is_empty() {
        return;
    }
    out.push_str("<h2>What the model writes</h2>\n<div class=\"two\">");
    for (split, title, colour) in sides {
        out.push_str("<div>");
        if let Some(generated) = samples::newest(snapshot.curves, split) {
            let share = 100.0 * generated.exact.clamp(0.0, 1.0);
            let _ = write!(
                out,
                "<p><b>{title}</b>: recited {}</p><div class=\"gauge\">\
                 <i style=\"width:{share:.0}%;background:var(--{colour})\"></i></div><p class=\"faint\">{}</p>",
                samples::recited(generated),
                xml(&samples::facts(generated))
            );
            for sample in &generated.samples {
                let (verbatim, parts) = samples::parts(sample);
                out.push_str("<div class=\"card\">");
                for (name, text) in parts {
                    let _ = write!(out, "<p class=\"faint\">{name}</p><pre>{}</pre>", xml(text));
                }
                if verbatim {
                    out.push_str("<p class=\"faint\">word for word what the row says</p>");
                }
                out.push_str("</div>");
            }
        }
        out.push_str("</div>");
    }
    out.push_str("</div>\n");
}

/// Learning rate, gradient norm, accuracy and recitation over the steps.
fn strips(out: &mut String, curves: &Curves, places: Places) {
    let steps = |value: &dyn Fn(&TrainPoint) -> Option<f64>| -> Vec<(u64, f64)> {
        curves.train.iter().filter_map(|point| Some((point.step, value(point)?))).collect()
    };
    let evals = |value: &dyn Fn(&EvalPoint) -> Option<f64>| -> Vec<(u64, f64)> {
        curves.eval.iter().filter_map(|point| Some((point.step, value(point)?))).collect()
    };
    let recited = |split: Split| -> Vec<(u64, f64)> {
        let of_side = curves.generated.iter().filter(|generated| generated.split == split);
        of_side.map(|generated| (generated.step, generated.exact)).collect()
    };
    let mut charts = vec![
        ("learning rate", vec![Line::new("learning rate", "train", steps(&TrainPoint::learning_rate))]),
        ("gradient norm", vec![Line::new("gradient norm", "train", steps(&TrainPoint::grad_norm))]),
        ("share of tokens ranked first", vec![Line::new("accuracy", "eval", evals(&|p| p.token_accuracy))]),
        (
            "share of rows recited",
            vec![
                Line::new("trained on", "train", recited(Split::TrainProbe)),
                Line::new("held out", "eval", recited(Split::Valid)),
            ],
        ),
    ];
    let metrics = curves.eval.last().map(|point| point.metrics.as_slice()).unwrap_or_default();
    for metric in metrics {
        let of = |point: &EvalPoint| {
            point.metrics.iter().find(|other| other.name == metric.name).map(|metric| metric.value)
        };
        charts.push((metric.name.as_str(), vec![Line::new(&metric.name, "eval", evals(&of))]));
    }
    let mut drawn =
        charts.iter().filter_map(|(title, lines)| svg::strip(lines, places).map(|chart| (title, chart)));
    let mut first = true;
    for (title, chart) in &mut drawn {
        if first {
            out.push_str("<h2>Beside the loss</h2>\n");
            first = false;
        }
        let _ = writeln!(out, "<figure><figcaption>{}</figcaption>{chart}</figure>", xml(title));
    }
}

/// Every evaluation in a table.
fn evaluations(out: &mut String, snapshot: &Snapshot) {
    let curves = snapshot.curves;
    if curves.eval.is_empty() {
        return;
    }
    // Without steps the epoch is all there is.
    let of_steps = |cell: String| if snapshot.run.counts_epochs() { String::new() } else { cell };
    let cell = |loss: String| format!("<td class=\"n\">{loss}</td>");
    let sets = curves.others.iter().map(|(name, _)| format!("<th class=\"n\">eval {}</th>", xml(name)));
    let sets: Vec<String> = sets.collect();
    let _ = write!(
        out,
        "<h2>Evaluations</h2><details{}><summary>{} of them</summary><table><tr>{}\
         <th class=\"n\">epoch</th><th class=\"n\">train</th><th class=\"n\">{}</th>{}<th>against the best before</th></tr>",
        if curves.eval.len() <= 30 { " open" } else { "" },
        curves.eval.len(),
        of_steps(format!("<th class=\"n\">{}</th>", snapshot.run.places().unit())),
        xml(&text::eval_name(curves)),
        sets.concat()
    );
    for (index, point) in curves.eval.iter().enumerate() {
        let number = |value: Option<f64>| value.map_or(String::new(), fmt::loss);
        let _ = write!(
            out,
            "<tr>{}{}{}{}{}<td>{}</td></tr>",
            of_steps(cell(point.step.to_string())),
            cell(point.epoch.map_or(String::new(), |epoch| format!("{epoch:.2}"))),
            cell(number(point.train_loss)),
            cell(fmt::loss(point.loss)),
            text::other_losses(curves, point.step).map(cell).collect::<String>(),
            text::standing(&curves.eval, index)
        );
    }
    out.push_str("</table></details>\n");
}

/// What a look at the rows found before training.
fn rows(out: &mut String, snapshot: &Snapshot) {
    let Some(audit) = &snapshot.run.audit else { return };
    out.push_str(
        "<h2>The rows</h2>\n<table><tr><th></th><th class=\"n\">rows</th><th class=\"n\">tokens</th>\
         <th class=\"n\">with loss</th><th class=\"n\">median</th><th class=\"n\">longest</th>\
         <th class=\"n\">cut</th><th class=\"n\">twice</th><th class=\"n\">nearly twice</th></tr>",
    );
    for side in &audit.sides {
        let _ = write!(out, "<tr><th>{}</th>", xml(&side.split));
        let counts = [side.rows, side.tokens, side.loss_tokens, side.median, side.longest, side.cut];
        for count in counts.into_iter().chain([side.duplicates, side.near_duplicates]) {
            let _ = write!(out, "<td class=\"n\">{}</td>", fmt::count(count));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>\n");
    if audit.warnings.is_empty() {
        out.push_str("<p class=\"faint\">Nothing to warn of was found.</p>\n");
    }
    for warning in &audit.warnings {
        let _ = writeln!(out, "<p class=\"card\">{}</p>", xml(warning));
    }
}

/// Settings, data, environment and configuration.
fn made_of(out: &mut String, snapshot: &Snapshot, about: &About) {
    let run = snapshot.run;
    let mut rows: Vec<(String, String)> = settings::settings(run)
        .into_iter()
        .filter(|(_, value)| value != "-")
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let mut say = |name: &str, value: String| rows.push((name.to_owned(), value));
    if let Some(model) = &run.model {
        if model.params > 0 {
            say(
                "parameters",
                format!("{}, {} trained", fmt::count(model.params), fmt::count(model.trainable)),
            );
        }
        say("computed on", model.device.clone());
    }
    if let Some(data) = &run.data {
        say("test rows", data.test_rows.to_string());
        if data.train_tokens > 0 {
            say("tokens an epoch", format!("{} that carry loss", fmt::count(data.train_tokens)));
            say("held-out tokens", fmt::count(data.valid_tokens));
        }
        if data.train_checksum != 0 {
            let test = match data.test_checksum {
                0 => String::new(),
                test => format!(", {test:08x} test"),
            };
            say(
                "checksums of the rows",
                format!("{:08x} train, {:08x} held out{test}", data.train_checksum, data.valid_checksum),
            );
        }
    }
    if let Some(environment) = &run.environment {
        say("program", environment.program.clone());
        say("system", format!("{}, {} threads", environment.system, environment.threads));
    } else {
        say("trainer", run.trainer.clone());
    }
    if snapshot.progress.elapsed_s > 0.0 {
        say("time of training", fmt::duration(snapshot.progress.elapsed_s));
    }
    out.push_str("<h2>What it is made of</h2>\n<table>");
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(out, "<tr><th>{}</th><td>{}</td></tr>", xml(name), xml(value));
    }
    out.push_str("</table>\n");
    if let Some(config) = &about.config {
        let _ = writeln!(
            out,
            "<details><summary>The configuration as resolved</summary><pre>{}</pre></details>",
            xml(config)
        );
    }
}

fn events(out: &mut String, snapshot: &Snapshot) {
    let newest = &snapshot.log[snapshot.log.len().saturating_sub(EVENTS)..];
    if newest.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<h2>Events</h2><details{}><summary>{} of {}</summary><table>",
        if newest.len() <= 60 { " open" } else { "" },
        newest.len(),
        snapshot.log.len()
    );
    for LogLine { t, text, warning } in newest {
        let class = if *warning { " class=\"warning\"" } else { "" };
        // Most trainers' logs have no times.
        let clock = if snapshot.progress.elapsed_s > 0.0 { fmt::clock(*t) } else { String::new() };
        let _ = write!(out, "<tr{class}><th class=\"n\">{clock}</th><td>{}</td></tr>", xml(text));
    }
    out.push_str("</table></details>\n");
}
