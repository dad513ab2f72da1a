//! Says before anything is trained that held-out rows are few, and what to set. Whether they are is for
//! [`crate::diagnosis`] to say.

use crate::config::{Config, Holdout};
use crate::data::Dataset;
use crate::diagnosis::finding::FewRows;
use crate::diagnosis::{Beforehand, Evidence, Finding, Limits, beforehand};
use crate::train::plan::Plan;

/// More held-out rows than this share of all are never advised.
const LARGEST_SHARE: f64 = 0.3;

/// What to say of too few held-out rows, and what to set; nothing where they are enough.
pub(in crate::cli) fn few(config: &Config, dataset: &Dataset) -> Option<String> {
    let (train, rows) = (dataset.splits.train.len(), dataset.splits.valid.len());
    let plan = Plan::new(config, train);
    // One before the first step.
    let evals = 1 + usize::try_from(plan.total_steps.div_ceil(plan.eval_every)).unwrap_or(usize::MAX - 1);
    let limits = &Limits::DEFAULT;
    let Beforehand { spread, enough, wanted } = beforehand(rows, evals, limits)?;
    let why = match spread {
        None => format!(
            "fewer than {} are not compared row by row, so a rise must stand out of the eval curve's own noise",
            limits.min_paired
        ),
        Some(spread) => format!(
            "over {evals} evaluations they tell a rise of {:.0} % from chance only if it differs by less than \
             {:.1} % (standard deviation) from row to row",
            100.0 * wanted,
            100.0 * spread
        ),
    };
    let remedy = match &config.data.valid {
        Holdout::File(path) => format!("make it {enough} in {}", path.display()),
        _ if enough as f64 <= LARGEST_SHARE * (train + rows) as f64 => {
            format!("hold out {enough}: --set data.valid={enough}")
        }
        _ => format!(
            "of {} rows in all no more can be spared: add some, or name a file of {enough} others: \
             --set data.valid=FILE",
            train + rows
        ),
    };
    let verb = if rows == 1 { "row is" } else { "rows are" };
    Some(format!("{rows} held-out {verb} few: {why}; {remedy}"))
}

/// Whether a remark of the run itself says no more than [`few`] did before the first step.
pub(in crate::cli) fn said(remark: &Finding) -> bool {
    matches!(remark.evidence, Evidence::FewRows(FewRows { tellable: None, .. }))
}
