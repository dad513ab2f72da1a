//! `tune report`: a run as a page, a picture, Markdown or JSON.

use super::{Failure, Outcome, code, replay, say, source};
use crate::files::replace;
use crate::ingest::{self, MADE_OF_A_LOG, Opener, Parsed};
use crate::monitor::{Monitor, Snapshot};
use crate::report::html::{self, About};
use crate::report::{json, md, svg};
use crate::store::RunDir;
use anyhow::{Result, anyhow};
use clap::Args;
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct ReportArgs {
    /// The folder of a run, or the log or the folder of another trainer
    source: PathBuf,
    /// The file to write: FILE.html, FILE.svg, FILE.md or FILE.json
    #[arg(short, long, alias = "out", value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    reading: super::Reading,
    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn report(args: &ReportArgs) -> Outcome {
    let name = args.output.display();
    let end = args.output.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
    let write: fn(&Snapshot, &About) -> String = match end.as_deref() {
        Some("html" | "htm") => html::page,
        Some("svg") => |snapshot, _| svg::chart(snapshot),
        Some("md") => md::document,
        Some("json") => json::document,
        _ => {
            return Err(Failure::usage(anyhow!(
                "{name}: not a report that can be written\n  hint: name it FILE.html, FILE.svg, FILE.md or FILE.json"
            )));
        }
    };
    let folder = args.output.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    if let Some(folder) = folder {
        return Err(Failure::usage(anyhow!(
            "{name}: no such folder: {}\n  hint: make it, or name another",
            folder.display()
        )));
    }
    let is_source = |written: PathBuf| args.source.canonicalize().is_ok_and(|source| source == written);
    if args.output.canonicalize().is_ok_and(is_source) {
        return Err(Failure::usage(anyhow!(
            "{name}: the report would be written over the log that it is made of\n  hint: name another file"
        )));
    }
    if end.as_deref() == Some("json") && is_something_else(&args.output) {
        // The log of a folder may be one, or the configuration of an adapter.
        return Err(Failure::usage(anyhow!(
            "{name}: is there already, and no report of tune\n  hint: name another file, or move that one away"
        )));
    }
    let (monitor, config) = read(&args.source, &args.reading.options()?)?;
    let text = write(&monitor.snapshot(), &about(config, &args.source));
    replace(&args.output, text.as_bytes()).map_err(Failure::usage)?;
    if !args.quiet {
        say(&format!("wrote {name}"));
    }
    Ok(code::FINE)
}

/// Whether a file has something in it that was not made of a log by this program.
fn is_something_else(path: &Path) -> bool {
    let mut head = Vec::new();
    let file = path.is_file().then(|| std::fs::File::open(path).ok()).flatten();
    let Some(Ok(1..)) = file.map(|file| file.take(source::HEAD).read_to_end(&mut head)) else { return false };
    let mut parsed = Parsed::default();
    let mut reader = Opener::default().open(path, &ingest::Options::default());
    reader.push(&head, &mut parsed);
    reader.finish(&mut parsed);
    !parsed.skipped.first.iter().any(|(_, why)| MADE_OF_A_LOG.contains(why))
}

/// The report that every run has in its folder: written aside and moved there when it is whole.
pub(super) fn write_into(dir: &RunDir, monitor: &Monitor) -> Result<()> {
    let config = std::fs::read_to_string(dir.config()).ok();
    let page = html::page(&monitor.snapshot(), &about(config, dir.root()));
    replace(&dir.report(), page.as_bytes())
}

fn about(config: Option<String>, source: &Path) -> About {
    let source = source.display().to_string();
    About { config, source, program: format!("written by tune {}", env!("CARGO_PKG_VERSION")) }
}

/// What is known of a run, and its configuration where it is one of ours.
fn read(path: &Path, options: &ingest::Options) -> Result<(Monitor, Option<String>), Failure> {
    if path.join("run.jsonl").is_file() {
        let dir = super::open_run(path)?;
        let config = std::fs::read_to_string(dir.config()).ok();
        return Ok((replay(&dir)?, config));
    }
    let found = source::sources(path).map_err(Failure::usage)?;
    let [only] = &found[..] else {
        let names: Vec<&str> = found.iter().take(3).map(|source| source.name.as_str()).collect();
        return Err(Failure::usage(anyhow!(
            "{}: holds {} runs, and a report is of one\n  hint: name one of them: {}",
            path.display(),
            found.len(),
            names.join(", ")
        )));
    };
    let (monitor, skipped) = source::replay(only, options).map_err(Failure::usage)?;
    let curves = monitor.snapshot().curves;
    if curves.train.is_empty() && curves.eval.is_empty() {
        let hint = super::source::other_figures(path)
            .unwrap_or_else(|| "give the log that the trainer wrote, or the folder of a run".into());
        return Err(Failure::usage(anyhow!(
            "{}: no losses were found in it\n  hint: {hint}",
            path.display()
        )));
    }
    if skipped.total() > 0 {
        say(&format!("warning: {}", super::feed::skipped(&skipped)));
    }
    Ok((monitor, None))
}
