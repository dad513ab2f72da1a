//! `tune report`: the chart of a run as a picture.

use super::{Failure, Outcome, code, open_run, replay, say};
use crate::report::svg;
use anyhow::{Context, anyhow};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct ReportArgs {
    /// The folder of a run
    run: PathBuf,
    /// The picture to write, FILE.svg
    #[arg(short, long, value_name = "FILE.svg")]
    output: PathBuf,
}

pub(super) fn report(args: &ReportArgs) -> Outcome {
    let name = args.output.display();
    if args.output.extension().is_none_or(|extension| extension != "svg") {
        return Err(Failure::usage(anyhow!(
            "{name}: not a picture that can be written\n  hint: name it FILE.svg"
        )));
    }
    let monitor = replay(&open_run(&args.run)?)?;
    let picture = svg::chart(&monitor.snapshot());
    std::fs::write(&args.output, picture)
        .with_context(|| format!("{name} cannot be written"))
        .map_err(Failure::usage)?;
    say(&format!("wrote {name}"));
    Ok(code::FINE)
}
