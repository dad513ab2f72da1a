//! Whether the held-out rows are enough to show a rise, before anything is trained.
//!
//! What the rows are worth depends on how unlike each other they are in what training does to them, which
//! nobody knows before; `diagnosis::few_rows` measures it during the run. Here it is said what they would
//! have to be like.

use crate::config::{Config, Holdout};
use crate::data::Dataset;
use crate::diagnosis::finding::FewRows;
use crate::diagnosis::{Evidence, Finding, Limits, paired};
use crate::train::plan::Plan;

/// No run, however long, needs so many.
const MOST: usize = 10_000;
/// More held-out rows than this share of all are never advised.
const LARGEST_SHARE: f64 = 0.3;

/// What to say of too few held-out rows, and what to set; nothing where they are enough.
pub(in crate::cli) fn few(config: &Config, dataset: &Dataset) -> Option<String> {
    let (train, rows) = (dataset.splits.train.len(), dataset.splits.valid.len());
    let plan = Plan::new(config, train);
    // One before the first step.
    let evals = 1 + usize::try_from(plan.total_steps.div_ceil(plan.eval_every)).unwrap_or(usize::MAX - 1);
    let (why, enough) = judge(rows, evals, &Limits::DEFAULT)?;
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

/// Why so many rows are too few for so many evaluations, and how many would be enough: as many as tell a
/// rise that is no larger than its own spread from row to row.
fn judge(rows: usize, evals: usize, limits: &Limits) -> Option<(String, usize)> {
    let spreads = |rows: usize| paired::smallest_effect(rows, evals, limits.false_paired);
    // Of rows that cannot be used another error speaks.
    if rows == 0 || (rows >= limits.min_paired && spreads(rows) <= 1.0) {
        return None;
    }
    let enough = (limits.min_paired..MOST).find(|rows| spreads(*rows) <= 1.0)?;
    let why = if rows < limits.min_paired {
        format!(
            "fewer than {} are not compared row by row, so a rise must stand out of the eval curve's own noise",
            limits.min_paired
        )
    } else {
        format!(
            "over {evals} evaluations they tell a rise of {:.0} % from chance only if it differs by less than \
             {:.1} % (standard deviation) from row to row",
            100.0 * limits.warn_rise,
            100.0 * limits.warn_rise / spreads(rows)
        )
    };
    Some((why, enough))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_told_by_what_the_test_would_need() {
        let limits = Limits::DEFAULT;
        let (why, enough) = judge(7, 13, &limits).expect("fewer than are compared");
        assert!(why.starts_with("fewer than 8 are not compared row by row"), "{why}");
        assert!(judge(enough, 13, &limits).is_none() && judge(enough - 1, 13, &limits).is_some());
        // Student's t with 9 degrees exceeds 7.7 with the chance 0.05 * 6 / (pi^2 13^2 12), by its integral;
        // over the root of ten that is 2.4 spreads, so that 5 % are told where the spread is below 2.1 %.
        let (why, _) = judge(10, 13, &limits).expect("ten are few");
        assert!(
            why.contains("over 13 evaluations they tell a rise of 5 % ") && why.contains(" less than 2.1 % "),
            "{why}"
        );
        assert!(judge(100, 13, &limits).is_none() && judge(0, 13, &limits).is_none());
    }
}
