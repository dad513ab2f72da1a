//! A run as Markdown, to paste into an issue or a review.

use super::html::About;
use super::text;
use crate::diagnosis::advice;
use crate::event::Split;
use crate::fmt;
use crate::monitor::{Snapshot, samples, settings};
use std::fmt::Write as _;

/// Newest evaluations that are listed, beside those that the story is about.
const EVALS: usize = 40;

/// The whole story.
pub fn document(snapshot: &Snapshot, about: &About) -> String {
    let (run, curves, diagnosis) = (snapshot.run, snapshot.curves, snapshot.diagnosis);
    let mut out = format!("# {}\n\n**{}**\n\n", plain(about.name(snapshot)), plain(&text::verdict(snapshot)));
    for finding in &diagnosis.findings {
        let _ = writeln!(out, "- {}: {}", finding.severity, plain(&finding.message(run.places())));
    }
    let notes: Vec<String> = diagnosis.remarked(run.places()).collect();
    for note in &notes {
        let _ = writeln!(out, "- note: {}", plain(note));
    }
    if !diagnosis.findings.is_empty() || !notes.is_empty() {
        out.push('\n');
    }
    if !snapshot.advice.is_empty() {
        out.push_str("## What to change\n\n");
        for advice in snapshot.advice {
            let _ = writeln!(out, "- {}", plain(&advice.text));
        }
        if let Some(command) = advice::command(run, snapshot.advice) {
            let _ = write!(out, "\n```sh\n{command}\n```\n");
        }
        out.push('\n');
    }
    evaluations(&mut out, snapshot);
    if let Some(test) = &curves.test {
        let _ =
            writeln!(out, "Test rows: loss {} at {}.\n", fmt::loss(test.loss), run.places().at(test.step));
    }
    for (split, side) in [(Split::TrainProbe, "trained on"), (Split::Valid, "held out")] {
        if let Some(generated) = samples::newest(curves, split) {
            let (recited, facts) = (samples::recited(generated), samples::facts(generated));
            let _ = writeln!(out, "Rows {side}: {recited} recited ({facts}).\n");
        }
    }
    let known = settings::settings(run).into_iter().filter(|(_, value)| value != "-");
    for (index, (name, value)) in known.enumerate() {
        let head = if index == 0 { "## Settings\n\n| | |\n|---|---|\n" } else { "" };
        let _ = writeln!(out, "{head}| {name} | {} |", plain(&value));
    }
    if let Some(audit) = &run.audit {
        out.push_str("\n## The rows\n\n| | rows | tokens | with loss | cut | twice | nearly twice |\n|---|---:|---:|---:|---:|---:|---:|\n");
        for side in &audit.sides {
            let counts =
                [side.rows, side.tokens, side.loss_tokens, side.cut, side.duplicates, side.near_duplicates];
            let _ = writeln!(out, "| {} | {} |", plain(&side.split), counts.map(fmt::count).join(" | "));
        }
        for (index, warning) in audit.warnings.iter().enumerate() {
            let _ = writeln!(out, "{}- {}", if index == 0 { "\n" } else { "" }, plain(warning));
        }
    }
    if let Some(tied) = text::as_good(snapshot) {
        let _ = writeln!(out, "\nAs good as the best: {}.", plain(&tied));
    }
    let _ = writeln!(out, "\n{}", plain(&text::ending(snapshot).join(", ")));
    if let Some(environment) = &run.environment {
        let place =
            format!("{}, {}, {} threads", environment.program, environment.system, environment.threads);
        let _ = writeln!(out, "\n{}", plain(&place));
    }
    out
}

/// The evaluations in a table; of many the newest, and always those that the story is about.
fn evaluations(out: &mut String, snapshot: &Snapshot) {
    let (run, curves, diagnosis) = (snapshot.run, snapshot.curves, snapshot.diagnosis);
    if curves.eval.is_empty() {
        return;
    }
    // Without steps the epoch is all there is.
    let of_steps = |cell: &str| if run.counts_epochs() { String::new() } else { format!("{cell}|") };
    let (name, rule) = (of_steps(&format!(" {} ", run.places().unit())), of_steps("---:"));
    let _ = writeln!(
        out,
        "## Evaluations\n\n|{name} epoch | train | {} |{} against the best before |\n|{rule}---:|---:|---:|{}---|",
        plain(&text::eval_name(curves)),
        curves.others.iter().map(|(name, _)| format!(" eval {} |", plain(name))).collect::<Vec<_>>().concat(),
        "---:|".repeat(curves.others.len())
    );
    let newest = curves.eval.len().saturating_sub(EVALS);
    let told = [Some(0), diagnosis.as_good, diagnosis.best, diagnosis.onset];
    let mut next = 0;
    for (index, point) in curves.eval.iter().enumerate() {
        if index < newest && !told.contains(&Some(index)) {
            continue;
        }
        if index > next {
            let empty = " |".repeat(curves.others.len());
            let _ = writeln!(out, "|{} ... | | |{empty} {} left out |", of_steps(" ... "), index - next);
        }
        next = index + 1;
        let _ = writeln!(
            out,
            "|{} {} | {} | {} |{} {} |",
            of_steps(&format!(" {} ", point.step)),
            point.epoch.map_or(String::new(), |epoch| format!("{epoch:.2}")),
            point.train_loss.map_or(String::new(), fmt::loss),
            fmt::loss(point.loss),
            text::other_losses(curves, point.step)
                .map(|loss| format!(" {loss} |"))
                .collect::<Vec<_>>()
                .concat(),
            text::standing(&curves.eval, index)
        );
    }
    if let Some(words) = run.step_kind.words() {
        let _ = writeln!(out, "\nOf the steps: {words}.");
    }
    out.push('\n');
}

/// Text in which no sign means anything to Markdown.
fn plain(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '\\' | '`' | '*' | '_' | '#' | '|' | '<' | '>' | '[' | ']' | '~' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}
