//! Numbers that are none: a loss or a gradient norm that is NaN or infinite.
//!
//! Train and eval loss that rise together are told from overfitting in `overfit`, where the rise is
//! measured.

use super::{Case, Evidence, Finding, Severity, finding, sanity};
use crate::curve::{Curves, smooth};

/// Whether the newest numbers are none, or earlier ones were.
pub fn rule(case: &Case) -> Option<Finding> {
    let curves = case.curves;
    if let Some(evidence) = open(case) {
        return Some(Finding { severity: Severity::Severe, evidence: Evidence::NonFinite(evidence) });
    }
    // What has recovered is worth a remark and no more: a batch without a single trained token, or an
    // overflow that the trainer skipped.
    let lapse =
        curves.eval.iter().find(|point| !point.loss.is_finite()).map(|point| (point.step, "eval loss"));
    let evidence = lapse.or_else(|| train_lapse(curves));
    evidence.map(|(step, series)| Finding {
        severity: Severity::None,
        evidence: Evidence::NonFinite(finding::NonFinite {
            step,
            series,
            recovered: true,
            train_loss: None,
            best: None,
        }),
    })
}

/// The series whose newest number is none, and the step from which on that is so.
fn open(case: &Case) -> Option<finding::NonFinite> {
    let curves = case.curves;
    let train = &curves.train;
    let since = |bad: &dyn Fn(usize) -> bool, len: usize| (0..len).rev().take_while(|i| bad(*i)).last();
    let loss = since(&|i| !train[i].loss.is_finite(), train.len()).map(|i| (train[i].step, "train loss"));
    let norm = since(&|i| train[i].grad_norm().is_some_and(|norm| !norm.is_finite()), train.len())
        .map(|i| (train[i].step, "gradient norm"));
    let eval = since(&|i| !curves.eval[i].loss.is_finite(), curves.eval.len())
        .map(|i| (curves.eval[i].step, "eval loss"));
    // The earliest is nearest to the cause; in one step the loss comes before its gradient.
    let (step, series) = [loss, norm, eval].into_iter().flatten().min_by_key(|(step, _)| *step)?;
    // Where the training itself is well, the cause is in the evaluation.
    let train_loss = if loss.is_none() && norm.is_none() { well(case) } else { None };
    let best = curves.best().map(|best| curves.eval[best].place());
    Some(finding::NonFinite { step, series, recovered: false, train_loss, best })
}

/// The newest train loss, the median of three, where it is that of a run that is well: neither a filtered
/// NaN nor far above what it was.
fn well(case: &Case) -> Option<f64> {
    let train = &case.curves.train;
    let middle = |from: usize| smooth::median(train[from..].iter().map(|step| step.loss));
    let (newest, whole) = (middle(train.len().saturating_sub(3))?, middle(0)?);
    let zero = sanity::exact_zeros(case).is_some();
    (!zero && newest <= (1.0 + case.limits.train_rise) * whole).then_some(newest)
}

/// The first train loss that was none. Found by the means between evaluations, which such a loss
/// spoils, so that not every step is looked at again.
fn train_lapse(curves: &Curves) -> Option<(u64, &'static str)> {
    let spoilt = |point: &crate::curve::EvalPoint| point.train_loss.is_some_and(|loss| !loss.is_finite());
    let index = curves.eval.iter().position(spoilt)?;
    let after = index.checked_sub(1).map(|before| curves.eval[before].step);
    let steps = curves.train_between(after, curves.eval[index].step);
    steps.iter().find(|point| !point.loss.is_finite()).map(|point| (point.step, "train loss"))
}
