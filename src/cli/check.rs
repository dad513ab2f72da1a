//! `tune check`: one verdict a run, of any trainer's log, then the exit code.

mod forms;

use super::source::{self, HEAD, Judged, Source, is_rows, other_figures};
use super::{Failure, Outcome, Output, Reading, code, print};
use crate::diagnosis::Severity;
use crate::ingest::{MADE_OF_A_LOG, Map};
use anyhow::anyhow;
use clap::{Args, ValueEnum};
use memchr::memmem;
use rayon::prelude::*;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct CheckArgs {
    /// Logs, folders of them, or - for stdin
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// Exit with 1 from this severity on, judged at the end of the log
    #[arg(long, value_enum, default_value_t = FailOn::Warn, value_name = "LEVEL")]
    fail_on: FailOn,
    /// Add the curves to the JSON
    #[arg(long)]
    curves: bool,
    /// Print annotations that GitHub shows beside a pull request
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    github: bool,
    /// Print a Markdown table, for a comment
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    output: Output,
}

/// From which severity on the exit code is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Watch,
    Warn,
    Severe,
    Never,
}

impl FailOn {
    fn reached(self, severity: Severity) -> bool {
        match self {
            Self::Watch => severity >= Severity::Watch,
            Self::Warn => severity >= Severity::Warn,
            Self::Severe => severity >= Severity::Severe,
            Self::Never => false,
        }
    }
}

pub(super) fn check(args: &CheckArgs) -> Outcome {
    let options = args.reading.options()?;
    let mut sources: Vec<Source> = Vec::new();
    for path in &args.sources {
        sources.extend(source::sources(path).map_err(Failure::usage)?);
    }
    let judged: Vec<anyhow::Result<Judged>> =
        sources.par_iter().map(|source| source::judge(source, &options)).collect();
    let judged = judged.into_iter().collect::<anyhow::Result<Vec<_>>>().map_err(Failure::usage)?;
    mapped(&judged, &options.map)?;
    if !judged.iter().any(|run| run.found || !run.is_empty()) {
        let names: Vec<&str> = judged.iter().map(|run| run.name.as_str()).collect();
        let why = judged.first().filter(|_| judged.len() == 1).map_or(NOTHING, forms::reason);
        let hint = if judged.iter().any(|run| is_rows(&run.file)) {
            "these are rows to train on: tune data looks at them".into()
        } else if MADE_OF_A_LOG.contains(&why) {
            "name the log, or the folder of the run, that it was made of".into()
        } else {
            let other = judged.iter().find_map(|run| other_figures(&run.file).filter(|_| why == NOTHING));
            other.unwrap_or_else(|| {
                "give the log that the trainer wrote, or say what its columns are with --map eval=COLUMN"
                    .into()
            })
        };
        return Err(Failure::usage(anyhow!("{}: {why}\n  hint: {hint}", names.join(", "))));
    }
    let (passed, runs): (Vec<_>, Vec<_>) = judged.into_iter().partition(|run| run.found && run.is_empty());
    if runs.is_empty() {
        return Err(Failure::usage(anyhow!(
            "none of {} files holds a loss: {}\n  \
             hint: name the file itself, or say what its columns are with --map eval=COLUMN",
            passed.len(),
            forms::reasons(&passed)
        )));
    }
    let colors =
        args.output.colors() && super::stdout_is_terminal() || args.output.color == super::Color::Always;
    let failed = |run: &Judged| args.fail_on.reached(run.diagnosis.severity);
    print(&if args.output.json {
        forms::json(&runs, &passed, args.curves)
    } else if args.github {
        forms::github(&runs, &passed)
    } else if args.markdown {
        forms::markdown(&runs, &passed)
    } else {
        forms::text(&runs, &passed, colors, args.output.quiet)
    });
    Ok(if runs.iter().any(failed) { code::FINDING } else { code::FINE })
}

/// Fails where the user has said what a column holds and a log that was named has none of it, or no log of all that
/// were found: a misspelt name must not pass for a log without evaluations.
fn mapped(judged: &[Judged], map: &Map) -> Result<(), Failure> {
    let missing = |column: &Option<String>, none: &dyn Fn(&Judged) -> bool| {
        let nowhere = judged.first().filter(|_| judged.iter().all(none));
        let run = judged.iter().find(|run| !run.found && none(run)).or(nowhere)?;
        Some((column.clone()?, run))
    };
    let none_of = [
        missing(&map.eval, &|run| run.curves.eval.is_empty()),
        missing(&map.train, &|run| run.curves.train.is_empty()),
        // A log that has no such steps is numbered otherwise, and does not look any different.
        missing(&map.step, &|run| map.step.as_ref().is_some_and(|name| !mentions(&run.file, name))),
    ];
    let Some((column, run)) = none_of.into_iter().flatten().next() else { return Ok(()) };
    Err(Failure::usage(anyhow!(
        "{}: no figures are called {column}\n  \
         hint: --map wants the name as it stands in the log, letter by letter",
        run.name
    )))
}

/// Whether a name stands in a file, as a word of its own; of what cannot be read again nobody knows that it does not.
fn mentions(path: &Path, name: &str) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let in_line = |line: &[u8]| {
        memmem::find_iter(line, name).any(|at| {
            let before = at.checked_sub(1).and_then(|before| line.get(before));
            !is_part(before) && !is_part(line.get(at + name.len()))
        })
    };
    let Some(mut lines) =
        path.is_file().then(|| std::fs::File::open(path).ok()).flatten().map(BufReader::new)
    else {
        return true;
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        // Of a file without lines a piece at a time.
        match (&mut lines).take(HEAD).read_until(b'\n', &mut line) {
            Ok(0) => return false,
            Ok(_) if in_line(&line) => return true,
            Ok(_) => {}
            Err(_) => return true,
        }
    }
}

/// What is said of a file without a loss, where no more is known of it.
const NOTHING: &str = "no losses were found in it";
