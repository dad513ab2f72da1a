//! Memorisation seen in the loss alone: the train rows are recited, the held-out ones no better.
//!
//! A train loss near zero is no sickness where the eval loss is near zero too, or still falling.

use super::{Case, Evidence, Finding, Severity, finding};
use crate::event::LossUnit;
use crate::event::trainer::Losses;

/// Train loss near zero while the eval loss has hardly improved since.
pub fn rule(case: &Case) -> Option<Finding> {
    let (standing, limits, eval) = (case.standing.as_ref()?, case.limits, &case.curves.eval);
    // Of a loss that is not a token's, near zero means nothing.
    let (train, held_out) = (case.run.train_loss, case.run.eval_loss);
    let comparable = train.comparable(held_out) && train.unit != LossUnit::Surrogate;
    if !comparable || case.losses() == Losses::Tabular || standing.finite < limits.min_evals {
        return None;
    }
    let near_zero = |index: &usize| eval[*index].train_loss.is_some_and(|loss| loss < limits.near_zero_train);
    // Up to the newest evaluation, how many in a row.
    let in_a_row = (0..eval.len()).rev().take_while(near_zero).count();
    let first = eval.len() - in_a_row;
    let train_loss = eval.last().and_then(|last| last.train_loss).filter(|_| in_a_row > 0)?;
    let eval_loss = eval[standing.recent].loss;
    let before = eval[..first].iter().map(|point| point.loss).fold(f64::INFINITY, f64::min);
    let improved = 1.0 - eval[standing.best].loss / before > limits.recovered_rise;
    if improved || !before.is_finite() || eval_loss - train_loss < limits.near_zero_gap {
        return None;
    }
    // One such interval may be an easy stretch of rows.
    let severity = if in_a_row >= 2 { Severity::Warn } else { Severity::Watch };
    let step = eval[first].step;
    let (limit, unit) = (limits.near_zero_train, case.run.train_loss.unit);
    let evidence = finding::NearZeroTrain { step, train_loss, eval_loss, limit, unit };
    Some(Finding { severity, evidence: Evidence::NearZeroTrain(evidence) })
}
