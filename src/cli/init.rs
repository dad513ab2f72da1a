//! `tune init`: a commented configuration to start from, for the user's own rows where they are given.
//! `tune schema`: the same keys for editors.

use super::{Failure, Outcome, code, print};
use crate::config;
use crate::data::read;
use crate::fmt;
use clap::Args;
use std::path::PathBuf;

/// Below this many rows a tenth of them is too few to judge by.
const FEW_ROWS: usize = 200;

#[derive(Args)]
pub(super) struct InitArgs {
    /// Rows to learn from, JSON Lines or CSV; without it, those that the defaults name
    #[arg(value_name = "ROWS")]
    data: Option<PathBuf>,
}

pub(super) fn init(args: &InitArgs) -> Outcome {
    let Some(path) = &args.data else {
        print(&config::template());
        return Ok(code::FINE);
    };
    let rows = read::read(path, "data.train").map_err(Failure::usage)?.len();
    let valid = if rows < FEW_ROWS { 0.2 } else { 0.1 };
    let title = format!(
        "A run on the {} of {}: tune run on this file. model.path says what is fine-tuned.",
        fmt::counted(rows, "row"),
        path.display()
    );
    let train = toml::Value::String(path.display().to_string());
    let values = [("data", "train", train), ("data", "valid", valid.into())];
    print(&config::template_with(&title, &values));
    Ok(code::FINE)
}

pub(super) fn schema() -> Outcome {
    let schema = serde_json::to_string_pretty(&config::schema::schema()).map_err(Failure::failed)?;
    print(&(schema + "\n"));
    Ok(code::FINE)
}
