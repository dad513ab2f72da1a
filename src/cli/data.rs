//! `tune data`: what the rows of a configuration are, before anything is trained on them.
//!
//! Rows that a run would refuse are listed with all the others, and then refused as a run does.

pub(super) mod holdout;

use super::{Failure, Outcome, Output, code, open, print, say};
use crate::config::{self, Config, Holdout};
use crate::data::audit::{Leak, Side, Source};
use crate::data::error::RowFault;
use crate::data::read::{Body, Role};
use crate::data::{self, Augmenter, DataError, Dataset};
use crate::fmt::counted;
use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;

/// Places that are printed of each kind; the others are counted.
const SHOWN: usize = 5;
/// Variations of a prompt that are shown.
const VARIATIONS: u64 = 3;

#[derive(Args)]
pub(super) struct DataArgs {
    /// The configuration, TOML; `tune init` prints one
    config: PathBuf,
    /// Change one key, as in --set data.valid=0.2 (any number of times)
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn data(args: &DataArgs) -> Outcome {
    let config = config::load::load(&args.config, &args.overrides).map_err(Failure::usage)?;
    let encoder = open::encoder(&config).map_err(Failure::usage)?;
    let (dataset, faults) = data::survey(&config.data, &encoder).map_err(Failure::usage)?;
    let augmenter = Augmenter::new(&config, &encoder, &dataset).map_err(Failure::usage)?;
    if args.output.json {
        print(&format!("{}\n", document(&config, &dataset, &faults)));
    } else {
        print(&report(&config, &dataset, &faults));
        if let Some((augmenter, source)) = augmenter.zip(dataset.sources.train.first()) {
            print(&variations(&augmenter, &dataset.bodies[0], &place(&dataset, *source)));
        }
    }
    if faults.is_empty() {
        return Ok(code::FINE);
    }
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Err(Failure::usage(anyhow!(faults.join("\n"))))
}

/// What about the data a user should know before training on it.
pub(super) fn warn(dataset: &Dataset) {
    for warning in warnings(dataset) {
        say(&format!("warning: {warning}"));
    }
}

/// `file:line`.
fn place(dataset: &Dataset, source: Source) -> String {
    format!("{}:{}", dataset.files[source.file].display(), source.line)
}

/// One row, or so many.
fn rows(n: usize, one: &str, more: &str) -> String {
    format!("{} {}", counted(n, "row"), if n == 1 { one } else { more })
}

/// What is said of rows on two sides: whether the twins are trained on, whether they are the same, the words
/// for one and for more, and what loss they flatter.
const TWICE: [(bool, bool, &str, &str, &str); 4] = [
    (true, true, "is held out and also trained on", "are held out and also trained on", "eval"),
    (
        true,
        false,
        "is held out and nearly the same as one that is trained on",
        "are held out and nearly the same as some that are trained on",
        "eval",
    ),
    (
        false,
        true,
        "of the test also decides when to stop, as a validation row",
        "of the test also decide when to stop, as validation rows",
        "test",
    ),
    (
        false,
        false,
        "of the test is nearly the same as a validation row, which decides when to stop",
        "of the test are nearly the same as validation rows, which decide when to stop",
        "test",
    ),
];

/// What the rows themselves show; that few are held out depends on the length of the run, and is measured in it.
pub(super) fn warnings(dataset: &Dataset) -> Vec<String> {
    let audit = &dataset.audit;
    let mut warnings = Vec::new();
    let first = |sources: &[Source]| sources.first().map(|source| place(dataset, *source));
    for (is_trained_on, same, one, more, what) in TWICE {
        let of_kind = |leak: &&Leak| (leak.is_trained_on, leak.likeness == 1.0) == (is_trained_on, same);
        let leaks: Vec<&Leak> = audit.leaks.iter().filter(of_kind).collect();
        if let Some(leak) = leaks.first() {
            warnings.push(format!(
                "{}, the first is {} (see {}): the {what} loss will look too good",
                rows(leaks.len(), one, more),
                place(dataset, leak.row),
                place(dataset, leak.twin)
            ));
        }
    }
    if let Some(first) = first(&audit.blank_answers) {
        let what = rows(
            audit.blank_answers.len(),
            "has a blank answer and teaches to say nothing",
            "have a blank answer and teach to say nothing",
        );
        warnings.push(format!("{what}, the first is {first}"));
    }
    if let Some(first) = first(&audit.special_in_message) {
        let what = rows(
            audit.special_in_message.len(),
            "has the text of a special token in a message",
            "have the text of a special token in a message",
        );
        warnings.push(format!("{what}, the first is {first}"));
    }
    let train = &audit.train;
    if train.duplicates + train.near_duplicates > train.rows / 20 {
        let alike = train.duplicates + train.near_duplicates;
        let (is, they) = if alike == 1 { ("is", "it is") } else { ("are", "they are") };
        warnings.push(format!(
            "{alike} of {} {is} nearly or wholly the same as others: {they} learnt as often, and sooner by heart",
            counted(train.rows, "training row")
        ));
    }
    let cut = [&audit.train, &audit.valid, &audit.test].iter().map(|side| side.cut_rows).sum();
    if cut > 0 {
        let what = rows(
            cut,
            "is longer than data.max_length and was cut",
            "are longer than data.max_length and were cut",
        );
        let lost: u64 = sides(dataset).iter().map(|(_, side)| side.cut_tokens).sum();
        warnings.push(format!(
            "{what}, which lost {}: raise it where the model and the memory allow",
            counted(lost, "token")
        ));
    }
    warnings
}

fn sides(dataset: &Dataset) -> [(&'static str, &Side); 3] {
    let audit = &dataset.audit;
    [("train", &audit.train), ("valid", &audit.valid), ("test", &audit.test)]
}

/// The rows that cannot be used, with their faults.
fn refused(faults: &[DataError]) -> Vec<(String, &RowFault)> {
    let mut refused = Vec::new();
    for error in faults {
        if let DataError::Rows { file, faults } = error {
            refused.extend(faults.iter().map(|(line, fault)| (format!("{}:{line}", file.display()), fault)));
        }
    }
    refused
}

fn report(config: &Config, dataset: &Dataset, faults: &[DataError]) -> String {
    let mut out = String::new();
    let columns = ["rows", "tokens", "learnt", "median", "p95", "max", "cut", "same", "alike"];
    let _ = write!(out, "{:6}", "");
    for (i, column) in columns.iter().enumerate() {
        let _ = write!(out, "{column:>width$}", width = width(i));
    }
    out.push('\n');
    for (name, side) in sides(dataset).into_iter().filter(|(_, side)| side.rows > 0) {
        let figures = [
            side.rows as u64,
            side.tokens,
            side.loss_tokens,
            side.lengths.median as u64,
            side.lengths.p95 as u64,
            side.lengths.max as u64,
            side.cut_rows as u64,
            side.duplicates as u64,
            side.near_duplicates as u64,
        ];
        let _ = write!(out, "{name:6}");
        for (i, figure) in figures.into_iter().enumerate() {
            let _ = write!(out, "{:>width$}", figure, width = width(i));
        }
        out.push('\n');
    }
    out += "\ntokens of a row: median, p95 and max; cut to data.max_length, same as or much like a row before it\n";
    let held_out = match &config.data.valid {
        Holdout::File(path) => format!("{} is held out", path.display()),
        Holdout::Fraction(share) => format!("held out: {share} of the rows, by seed {}", config.data.seed),
        Holdout::Rows(n) => format!("held out: {}, by seed {}", counted(*n, "row"), config.data.seed),
    };
    let _ = writeln!(out, "{held_out}");
    for warning in warnings(dataset).into_iter().chain(holdout::few(config, dataset)) {
        let _ = writeln!(out, "\nwarning: {warning}");
    }
    let audit = &dataset.audit;
    let leaks = audit.leaks.iter().map(|leak| {
        let how = if leak.likeness == 1.0 {
            "the same".into()
        } else {
            format!("{:.0} % alike", 100.0 * leak.likeness)
        };
        format!("{} and {}: {how}", place(dataset, leak.row), place(dataset, leak.twin))
    });
    list(&mut out, "rows on two sides", &leaks.collect::<Vec<_>>());
    let places = |sources: &[Source]| -> Vec<String> {
        sources.iter().map(|source| place(dataset, *source)).collect()
    };
    list(&mut out, "blank answers", &places(&audit.blank_answers));
    list(&mut out, "special tokens in messages", &places(&audit.special_in_message));
    match refused(faults).len() {
        0 => {}
        // Which, the error says.
        count => {
            let _ = writeln!(
                out,
                "\nleft out of all this: {}",
                rows(count, "that cannot be used", "that cannot be used")
            );
        }
    }
    if audit.leaks.is_empty() {
        out += "\nno row is on two sides";
        if audit.uncompared > 0 {
            let few = rows(
                audit.uncompared,
                "has too little text of its own for more than an equal one to be found",
                "have too little text of their own for more than equal ones to be found",
            );
            let _ = write!(out, "; {few}");
        }
        out.push('\n');
    }
    out
}

/// Of a column of figures.
fn width(column: usize) -> usize {
    if column < 3 { 9 } else { 8 }
}

fn list(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}:");
    for line in lines.iter().take(SHOWN) {
        let _ = writeln!(out, "  {line}");
    }
    if lines.len() > SHOWN {
        let _ = writeln!(out, "  ... and {} more", lines.len() - SHOWN);
    }
}

/// What a training row is asked as in the first epochs.
fn variations(augmenter: &Augmenter, body: &Body, place: &str) -> String {
    let mut out = format!("\nthe prompt of {place} as it is, and in the first epochs:\n");
    let varied = (0..VARIATIONS).map(|epoch| augmenter.body(epoch, 0));
    for body in [body.clone()].into_iter().chain(varied) {
        let _ = writeln!(out, "  {}", asked(&body).split_whitespace().collect::<Vec<_>>().join(" "));
    }
    out
}

/// The first question of a row.
fn asked(body: &Body) -> &str {
    match body {
        Body::Chat(messages) => {
            messages.iter().find(|message| message.role == Role::User).map_or("", |message| &message.content)
        }
        Body::Completion { prompt, .. } => prompt,
        Body::Instruction { instruction, input, .. } => {
            if input.is_empty() {
                instruction
            } else {
                input
            }
        }
        Body::Text(text) => text,
    }
}

fn document(config: &Config, dataset: &Dataset, faults: &[DataError]) -> Value {
    let audit = &dataset.audit;
    let side = |side: &Side| {
        json!({
            "rows": side.rows, "tokens": side.tokens, "loss_tokens": side.loss_tokens,
            "length": {
                "min": side.lengths.min, "median": side.lengths.median,
                "p95": side.lengths.p95, "max": side.lengths.max,
            },
            "cut_rows": side.cut_rows, "cut_tokens": side.cut_tokens,
            "duplicates": side.duplicates, "near_duplicates": side.near_duplicates,
        })
    };
    let places = |sources: &[Source]| -> Vec<String> {
        sources.iter().map(|source| place(dataset, *source)).collect()
    };
    let leak = |leak: &Leak| {
        json!({
            "row": place(dataset, leak.row), "twin": place(dataset, leak.twin), "trained_on": leak.is_trained_on,
            "likeness": leak.likeness,
        })
    };
    let (emptied, unusable): (Vec<_>, Vec<_>) =
        refused(faults).into_iter().partition(|(_, fault)| matches!(fault, RowFault::CutAway { .. }));
    let refusal = |(place, fault): &(String, &RowFault)| json!({"row": place, "reason": fault.to_string()});
    json!({
        "format": 1,
        "files": dataset.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
        "train": side(&audit.train), "valid": side(&audit.valid), "test": side(&audit.test),
        "leaks": audit.leaks.iter().map(leak).collect::<Vec<_>>(),
        "uncompared": audit.uncompared,
        "blank_answers": places(&audit.blank_answers),
        "special_in_message": places(&audit.special_in_message),
        "emptied_by_cutting": emptied.iter().map(refusal).collect::<Vec<_>>(),
        "unusable": unusable.iter().map(refusal).collect::<Vec<_>>(),
        "warnings": warnings(dataset).into_iter().chain(holdout::few(config, dataset)).collect::<Vec<_>>(),
    })
}
