//! Two axes: the eval loss and a task metric may part, and then the loss alone must not decide.
//!
//! A loss that rises while the task goes better is over-confidence (Guo et al. 2017, arXiv
//! 1706.04599): the model is surer of everything, and wrong ones cost more. Of thirty public runs
//! that ended above their lowest eval loss most had a better task metric there.

use super::finding::Words;
use super::{Case, Evidence, Finding, Severity};
use crate::curve::{EvalPoint, smooth};
use crate::event::{Places, metric};
use crate::fmt::fixed;
use serde::Serialize;
use std::fmt;

/// The eval loss has risen and a metric is better than where the loss was lowest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disagreement {
    pub metric: String,
    /// The best by loss: its step, and the metric there.
    pub loss_step: u64,
    pub at_lowest_loss: f64,
    /// The best by the metric.
    pub metric_step: u64,
    pub at_best: f64,
    pub now: f64,
    pub higher_is_better: bool,
    /// Whether it measures the task; the accuracy of single tokens does not.
    pub of_task: bool,
}

/// A change of a metric that is no news, as a share of the room to its best possible value, or of
/// itself where it has none.
const NEWS: f64 = 0.02;
/// ... nor is one of fewer standard deviations of its noise than this, of which two values differ by the root of two.
const CHANCE: f64 = 3.0;

/// The value of a metric at an evaluation.
fn value(point: &EvalPoint, name: &str) -> Option<f64> {
    let metric = point.metrics.iter().find(|metric| metric.name == name);
    metric.map(|metric| metric.value).filter(|value| value.is_finite())
}

/// Whether a metric is better now than where the loss was lowest, the loss having risen.
pub fn rule(case: &Case) -> Option<Finding> {
    let standing = case.standing.as_ref().filter(|standing| standing.finite >= case.limits.min_evals)?;
    if standing.rise < case.limits.watch_rise {
        return None;
    }
    let eval = &case.curves.eval;
    let last = &eval[standing.last];
    let named = |of_task: bool| {
        let names = last.metrics.iter().map(|metric| metric.name.as_str());
        names.filter(move |name| metric::is_of_tokens(name) != of_task).find_map(move |name| {
            let higher = metric::higher_is_better(name)?;
            let series = |point: &EvalPoint| value(point, name);
            disagreement(eval, standing.best, standing.last, name, higher, of_task, &series)
        })
    };
    let own = || {
        let series = |point: &EvalPoint| point.token_accuracy;
        disagreement(eval, standing.best, standing.last, "token accuracy", true, false, &series)
    };
    let evidence = Evidence::Disagreement(named(true).or_else(own).or_else(|| named(false))?);
    Some(Finding { severity: Severity::None, evidence })
}

fn disagreement(
    eval: &[EvalPoint],
    best: usize,
    last: usize,
    name: &str,
    higher: bool,
    of_task: bool,
    series: &dyn Fn(&EvalPoint) -> Option<f64>,
) -> Option<Disagreement> {
    let (then, now) = (series(&eval[best])?, series(&eval[last])?);
    let gain = if higher { now - then } else { then - now };
    // Shares are measured by the room they leave, so that .90 to .95 is half of what was missing.
    let room = if higher && then < 1.0 && now <= 1.0 { 1.0 - then } else { then.abs() };
    let known = eval.iter().filter_map(|point| Some((point.step, series(point)?)));
    let values: Vec<f64> = known.clone().map(|(_, value)| value).collect();
    let noise = smooth::noise(&values).unwrap_or(0.0);
    if gain < (NEWS * room).max(CHANCE * noise) || gain <= 0.0 {
        return None;
    }
    let better =
        |a: &(u64, f64), b: &(u64, f64)| if higher { a.1.total_cmp(&b.1) } else { b.1.total_cmp(&a.1) };
    // Of equals the first.
    let (metric_step, at_best) = known.rev().max_by(better)?;
    Some(Disagreement {
        metric: name.into(),
        loss_step: eval[best].step,
        at_lowest_loss: then,
        metric_step,
        at_best,
        now,
        higher_is_better: higher,
        of_task,
    })
}

impl Words for Disagreement {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        write!(
            f,
            "eval loss is up but {} is better: {} at the lowest loss ({}), {} now; ",
            self.metric,
            fixed(self.at_lowest_loss, 4),
            places.at(self.loss_step),
            fixed(self.now, 4)
        )?;
        write!(
            f,
            "its best is {} at {}, so keep both checkpoints",
            fixed(self.at_best, 4),
            places.at(self.metric_step)
        )
    }
}
