//! The other evaluation sets of a run: which of them overfits.
//!
//! The first set makes the figures of a run; here the same rule is applied to each of the others.

use super::finding::{Rise, Words};
use super::{Case, Evidence, Finding, overfit, standing};
use crate::curve::EvalPoint;
use crate::event::Places;
use serde::Serialize;
use std::fmt;

/// Another evaluation set has risen above its own best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetRise {
    /// The set that has risen most gravely.
    pub set: String,
    /// The others that have risen too.
    pub also: Vec<String>,
    /// Evaluation sets beside the first one.
    pub sets: usize,
    #[serde(flatten)]
    pub rise: Rise,
}

/// Whether a set beside the first one overfits; the gravest speaks for all.
pub fn rule(case: &Case) -> Option<Finding> {
    let others = &case.curves.others;
    let risen = |(name, points): &(String, Vec<EvalPoint>)| {
        let points = with_train(case, points);
        let found = overfit::risen(case, &points, &standing::standing(&points, case.limits)?)?;
        // What threw both is of the whole run, and the first set has it too.
        let Evidence::Rise(rise) = found.evidence else { return None };
        Some((found.severity, name.clone(), rise))
    };
    let mut found: Vec<_> = others.iter().filter_map(risen).collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then(b.2.rise.total_cmp(&a.2.rise)));
    let also = found.iter().skip(1).map(|(_, name, _)| name.clone()).collect();
    let (severity, set, rise) = found.into_iter().next()?;
    let evidence = SetRise { set, also, sets: others.len(), rise };
    Some(Finding { severity, evidence: Evidence::SetRise(evidence) })
}

/// The evaluations of a set with the train losses that the first set has at the same steps.
fn with_train(case: &Case, points: &[EvalPoint]) -> Vec<EvalPoint> {
    let first = &case.curves.eval;
    let train = |step: u64| {
        let at = first.binary_search_by_key(&step, |point| point.step).ok()?;
        first[at].train_loss
    };
    points.iter().map(|point| EvalPoint { train_loss: train(point.step), ..point.clone() }).collect()
}

impl Words for SetRise {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        write!(f, "on the evaluation set {:?} ", self.set)?;
        if !self.also.is_empty() {
            write!(f, "(and on {}) ", self.also.join(", "))?;
        }
        self.rise.words(f, places)
    }
}
