//! `tune compare`: two runs side by side, and whether one is better by more than chance explains.

use super::{Failure, Outcome, Output, code, open_run, print, replay};
use crate::curve::EvalPoint;
use crate::diagnosis::paired;
use crate::fmt::fixed;
use crate::monitor::{Monitor, Snapshot};
use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct CompareArgs {
    /// The folder of one run
    a: PathBuf,
    /// The folder of another
    b: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// How much lower the best validation loss of one run is than that of the other.
struct Difference {
    /// Nats per token; negative when B is better.
    nats: f64,
    /// Standard error of `nats` over the held-out rows; `None` where the two were not judged by the same rows, or
    /// these are too few.
    error: Option<f64>,
    /// Whether the two were judged by the same rows.
    same_rows: bool,
    /// Chance of a difference as large, either way, where there is none; with Student's tail, since few rows, or a
    /// few long ones, are not many.
    p: Option<f64>,
}

/// A difference that chance makes more seldom is one.
const SIGNIFICANT: f64 = 0.05;

pub(super) fn compare(args: &CompareArgs) -> Outcome {
    let runs = [open_run(&args.a)?, open_run(&args.b)?];
    let monitors = [replay(&runs[0])?, replay(&runs[1])?];
    let [a, b] = [best(&monitors[0], &args.a)?, best(&monitors[1], &args.b)?];
    // Losses are paired only where the same rows were held out.
    let rows = |monitor: &Monitor| monitor.snapshot().run.data.as_ref().map_or(0, |data| data.valid_checksum);
    let same_rows = rows(&monitors[0]) != 0 && rows(&monitors[0]) == rows(&monitors[1]);
    let paired = paired::difference(&a.examples, &b.examples).filter(|_| same_rows);
    let difference = Difference {
        nats: b.loss - a.loss,
        error: paired.map(|paired| paired.error),
        same_rows,
        p: paired.map(|paired| paired.two_sided()),
    };
    let settings = |index: usize| -> Result<toml::Table, Failure> {
        let path = runs[index].config();
        let unreadable = |error: &dyn std::fmt::Display| {
            let (path, error) = (path.display(), error.to_string());
            let hint = "put back the config.toml that tune run wrote there";
            Failure::usage(anyhow!("{path}: {}\n  hint: {hint}", error.trim_end()))
        };
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&error))?;
        toml::from_str(&text).map_err(|error| unreadable(&error))
    };
    let changed = changed(&settings(0)?, &settings(1)?);
    let names = [runs[0].name(), runs[1].name()];
    if args.output.json {
        let rows = |index: usize| {
            let run = monitors[index].snapshot().run;
            run.data.as_ref().map(|data| json!({"train": data.train_rows, "held_out": data.valid_rows}))
        };
        let side = |name: &str, best: &EvalPoint| json!({"run": name, "best": {"step": best.step, "epoch": best.epoch, "loss": best.loss}});
        let document = json!({
            "a": side(&names[0], a), "b": side(&names[1], b),
            "difference": {"nats_per_token": difference.nats, "paired_se": difference.error, "p": difference.p},
            "rows": {"a": rows(0), "b": rows(1), "same": same_rows},
            "settings": changed.iter().map(|(key, a, b)| json!({"key": key, "a": value(a), "b": value(b)})).collect::<Vec<_>>(),
        });
        print(&format!("{document:#}\n"));
    } else {
        let snapshots = monitors.each_ref().map(Monitor::snapshot);
        print(&table(&names, &snapshots, [a, b], &changed, &difference));
    }
    Ok(code::FINE)
}

fn best<'a>(monitor: &'a Monitor, path: &std::path::Path) -> Result<&'a EvalPoint, Failure> {
    let snapshot = monitor.snapshot();
    let best = snapshot.diagnosis.best.and_then(|index| snapshot.curves.eval.get(index));
    best.ok_or_else(|| {
        Failure::usage(anyhow!(
            "{}: no evaluation is recorded\n  hint: let the run reach its first one",
            path.display()
        ))
    })
}

/// A value of the configuration as JSON has it: numbers are numbers, and a key that is missing is null.
fn value(text: &str) -> serde_json::Value {
    let table = toml::from_str::<toml::Table>(&format!("value = {text}")).ok();
    table.and_then(|table| serde_json::to_value(table.get("value")?).ok()).unwrap_or_default()
}

/// The keys whose values differ, with both values.
fn changed(a: &toml::Table, b: &toml::Table) -> Vec<(String, String, String)> {
    let flat = |table: &toml::Table| -> std::collections::BTreeMap<String, String> {
        let sections = table.iter().filter_map(|(section, keys)| keys.as_table().map(|keys| (section, keys)));
        sections
            .flat_map(|(s, keys)| keys.iter().map(move |(k, v)| (format!("{s}.{k}"), v.to_string())))
            .collect()
    };
    let (a, b) = (flat(a), flat(b));
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let value =
        |side: &std::collections::BTreeMap<String, String>, key| side.get(key).cloned().unwrap_or("-".into());
    keys.into_iter()
        .map(|key| (key.clone(), value(&a, key), value(&b, key)))
        .filter(|(_, a, b)| a != b)
        .collect()
}

fn table(
    names: &[String; 2],
    snapshots: &[Snapshot; 2],
    best: [&EvalPoint; 2],
    changed: &[(String, String, String)],
    difference: &Difference,
) -> String {
    let mut rows = vec![("run".to_owned(), names[0].clone(), names[1].clone())];
    rows.extend(changed.iter().cloned());
    let both = |f: &dyn Fn(usize) -> String| (f(0), f(1));
    let (a, b) = both(&|i| snapshots[i].diagnosis.verdict.to_string());
    rows.push(("verdict".into(), a, b));
    let held_out = |i: usize| {
        let data = snapshots[i].run.data.as_ref();
        data.map_or("-".into(), |data| format!("{} and {}", data.train_rows, data.valid_rows))
    };
    let (a, b) = both(&held_out);
    rows.push(("rows, held-out rows".into(), a, b));
    let (a, b) = both(&|i| snapshots[i].run.places().with_epoch(best[i].step, best[i].epoch));
    rows.push(("best at".into(), a, b));
    let (a, b) = both(&|i| fixed(best[i].loss, 4));
    rows.push(("best eval loss".into(), a, b));
    let width = |column: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|r| column(r).len()).max().unwrap_or(0)
    };
    let (first, second) = (width(|r| &r.0), width(|r| &r.1));
    let mut out = String::new();
    for (label, a, b) in &rows {
        let _ = writeln!(out, "{label:<first$}  {a:<second$}  {b}");
    }
    out.push('\n');
    out.push_str(&verdict(difference, best[0].loss));
    out
}

/// The difference in words.
fn verdict(difference: &Difference, a: f64) -> String {
    let Difference { nats, error, same_rows, p } = *difference;
    let percent = |x: f64| 100.0 * x.abs() / a;
    let which = match nats {
        0.0 => return "The best losses are equal.\n".into(),
        nats if nats < 0.0 => "B's best is lower than A's",
        _ => "B's best is higher than A's",
    };
    match error {
        None => format!(
            "{which}: {:+.1} %. They were {}, so no error can be given.\n",
            100.0 * nats / a,
            if same_rows { "judged by too few rows" } else { "not judged by the same rows" }
        ),
        Some(error) => format!(
            "{which}: {}{} nats per token ({:.1} %), paired standard error {}: {}\n",
            if nats < 0.0 { "" } else { "+" },
            fixed(nats, 4),
            percent(nats),
            fixed(error, 4),
            if p.is_some_and(|p| p < SIGNIFICANT) {
                "more than chance explains."
            } else {
                "within what chance explains."
            }
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ExampleLoss;

    #[test]
    fn what_few_rows_say_is_within_chance_where_many_say_it_surely() {
        let said = |rows: u32| {
            let row = |i: u32, shift: f64| {
                let uneven = if i.is_multiple_of(2) { 1.5 } else { 0.5 };
                ExampleLoss { nats: 20.0 + 10.0 * shift * uneven, tokens: 10 }
            };
            let side = |shift: f64| (0..rows).map(|i| row(i, shift)).collect::<Vec<_>>();
            let paired = paired::difference(&side(0.0), &side(-0.1)).unwrap();
            verdict(
                &Difference {
                    nats: paired.mean,
                    error: Some(paired.error),
                    same_rows: true,
                    p: Some(paired.two_sided()),
                },
                2.0,
            )
        };
        // Two standard errors, which are no sign over two rows.
        assert!(
            said(2).contains("-0.1000 nats per token (5.0 %), paired standard error 0.05"),
            "{}",
            said(2)
        );
        assert!(said(2).contains("within what chance explains"), "{}", said(2));
        assert!(said(40).contains("more than chance explains"), "{}", said(40));
    }

    #[test]
    fn values_are_what_they_are() {
        let values = ["0.1", "16", "true", "\"cosine\"", "[\"q_proj\"]", "-"].map(value);
        assert_eq!(json!(values), json!([0.1, 16, true, "cosine", ["q_proj"], null]));
    }
}
