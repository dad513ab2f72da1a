//! Judgement: what the curves of a run say about it, and how sure one may be.
//!
//! Pure: the same curves and limits give the same diagnosis. Each rule looks for one sickness and
//! returns a [`Finding`] that carries its evidence; the gravest finding is the verdict. What to do
//! about it is said in `advice`, and nowhere else.

pub mod advice;
mod axes;
mod chance;
mod few_rows;
pub mod finding;
mod instability;
mod limits;
mod memorise;
mod overfit;
pub mod paired;
mod rate;
mod recite;
mod remarks;
mod sanity;
mod sets;
pub mod standing;
pub mod stopping;
pub mod ties;
mod underfit;

pub use few_rows::{Beforehand, beforehand};
pub use finding::{Evidence, Finding, Severity, Verdict};
pub use limits::Limits;

use crate::curve::{Curves, EvalPoint};
use crate::event::trainer::{self, Losses};
use crate::event::{Places, RunInfo, StepKind};
use crate::fmt::fixed;
use standing::Standing;

/// What a rule looks at: the run, and the facts that several rules need, worked out once.
struct Case<'a> {
    curves: &'a Curves,
    run: &'a RunInfo,
    limits: &'a Limits,
    standing: Option<Standing>,
}

impl Case<'_> {
    /// What the losses of the run's trainer are.
    fn losses(&self) -> Losses {
        trainer::of(&self.run.trainer).map_or(Losses::Any, |trainer| trainer.losses)
    }
}

/// One rule looks for one sickness.
type Rule = fn(&Case) -> Option<Finding>;

/// All rules. Of equally grave findings the one of the earlier rule names the verdict.
const RULES: &[Rule] = &[
    instability::rule,
    sanity::above_chance,
    sanity::exact_zeros,
    overfit::rule,
    sets::rule,
    memorise::rule,
    recite::generated,
    recite::staircase,
    underfit::rule,
    axes::rule,
    remarks::gap,
    remarks::leak,
    remarks::other_scale,
    remarks::flat,
    remarks::tie,
    remarks::newest_above,
    few_rows::rule,
    rate::still_falling,
];

/// The judgement of a run as it stands.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The kind of the gravest finding, else healthy or undecided.
    pub verdict: Verdict,
    /// The severity of the gravest finding.
    pub severity: Severity,
    /// What is wrong, the gravest first: each of `watch` or above, and standing for a verdict.
    pub findings: Vec<Finding>,
    /// What a reader should know beside that, and that names no verdict.
    pub remarks: Vec<Finding>,
    /// Why nothing can be said yet; set when the verdict is `Undecided`.
    pub undecided: Option<String>,
    /// Name of the evaluation set that these figures are of, where it has one.
    pub set: Option<String>,
    /// How the trainer counts its epochs.
    pub epochs: Epochs,
    /// Index in `Curves::eval` of the best evaluation.
    pub best: Option<usize>,
    /// Index in `Curves::eval` of the earliest evaluation within one standard error of the best, where that
    /// is another one: as good for all that can be told, and trained for less long.
    pub as_good: Option<usize>,
    /// How far the recent evaluations (median of the last three) are above the best, as a share of the best; negative or zero: not at all.
    pub rise: Option<f64>,
    /// One standard error of that rise, as a share of the best; `None` where it cannot be measured.
    pub noise: Option<f64>,
    /// Whether that is an assumption for the most part, the curve having shown hardly any noise of its own.
    pub noise_assumed: bool,
    /// Index in `Curves::eval` of the turn: the last evaluation before the rise. Set when there is a finding of overfitting.
    pub onset: Option<usize>,
}

/// How a trainer counts the epochs at which it evaluates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Epochs {
    /// Whether number 0 is the first that was trained, and not the place before all training.
    pub from_zero: bool,
    /// How many were trained until the newest evaluation; `None` where epochs are not known.
    pub trained: Option<f64>,
}

impl Epochs {
    fn of(curves: &Curves, run: &RunInfo) -> Self {
        let (first, last) = (curves.eval.first(), curves.eval.last());
        let at_zero = first.filter(|first| first.epoch == Some(0.0));
        // Whoever has taken a step, or has a train loss, has trained; a part of an epoch is no number of one.
        let is_number = |point: &EvalPoint| point.epoch.is_some_and(|epoch| epoch.fract() == 0.0);
        let whole = run.step_kind == StepKind::Epoch;
        let trained = |first: &EvalPoint| first.step > 0 || whole || first.train_loss.is_some();
        let from_zero = at_zero.is_some_and(trained) && curves.eval.iter().all(is_number);
        let epochs = Self { from_zero, trained: None };
        Self { trained: last.and_then(|last| last.epoch).map(|epoch| epochs.until(epoch)), ..epochs }
    }

    /// How many are trained at the end of the one of this number.
    pub fn until(self, number: f64) -> f64 {
        if self.from_zero { number + 1.0 } else { number }
    }
}

impl Diagnosis {
    /// The earliest evaluation that is as good as the best, as a sentence without a full stop; `None` where
    /// there is no such one.
    pub fn as_good_words(&self, curves: &Curves, places: Places) -> Option<String> {
        let (earlier, best) = (curves.eval.get(self.as_good?)?, curves.eval.get(self.best?)?);
        Some(format!(
            "{} ({}) is within {} of the best ({} at {}): as good for all that can be told, and trained \
             for less long",
            places.with_epoch(earlier.step, earlier.epoch),
            fixed(earlier.loss, 3),
            if self.noise_assumed { "the noise that is assumed" } else { "one standard error" },
            fixed(best.loss, 3),
            places.at(best.step)
        ))
    }

    /// What a reader should know beside the findings, as sentences without a full stop: the remarks, then
    /// the tie with the best, then which of several evaluation sets the figures are of.
    pub fn notes(&self, curves: &Curves, places: Places) -> Vec<String> {
        self.remarked(places).chain(self.as_good_words(curves, places)).chain(set_words(curves)).collect()
    }

    /// The remarks alone: for who tells of the tie among the evaluations.
    pub fn remarked(&self, places: Places) -> impl Iterator<Item = String> {
        self.remarks.iter().map(move |remark| remark.message(places))
    }
}

/// Which evaluation set the figures are of, and how the others end; `None` where there is one.
fn set_words(curves: &Curves) -> Option<String> {
    let last = |(name, points): &(String, Vec<EvalPoint>)| {
        points.last().map_or_else(|| name.clone(), |last| format!("{name} (last {})", fixed(last.loss, 4)))
    };
    let others: Vec<String> = curves.others.iter().map(last).collect();
    let first = curves.named_set()?;
    let sets = others.len() + 1;
    Some(format!(
        "the figures are of {first}, the first of {sets} evaluation sets; beside it {}",
        others.join(", ")
    ))
}

/// Judges a run as it stands.
///
/// Costs a few passes over the evaluations and two over the examples of one evaluation, so that it
/// may be called after each of them.
pub fn diagnose(curves: &Curves, run: &RunInfo, limits: &Limits) -> Diagnosis {
    let case = Case { curves, run, limits, standing: standing::standing(&curves.eval, limits) };
    let found = RULES.iter().filter_map(|rule| rule(&case));
    let (mut remarks, mut findings): (Vec<_>, Vec<_>) = found
        .partition(|finding| finding.verdict() == Verdict::Healthy || finding.severity == Severity::None);
    let zeros = findings.iter().find_map(|found| match &found.evidence {
        Evidence::ExactZeros(zeros) => Some(*zeros),
        _ => None,
    });
    // A loss that is none recites nothing.
    findings.retain(|found| zeros.is_none() || found.verdict() != Verdict::Memorizing);
    // Where the task goes better the loss alone is no reason to stop.
    let task_improves = |found: &Finding| matches!(&found.evidence, Evidence::Disagreement(at) if at.of_task);
    if remarks.iter().any(task_improves) {
        let rises = findings.iter_mut().filter(|found| matches!(found.evidence, Evidence::Rise(_)));
        rises.for_each(|rise| rise.severity = rise.severity.min(Severity::Watch));
    }
    let diverged = findings.iter().any(|found| found.verdict() == Verdict::Diverged);
    let convicted = findings.iter().any(|found| found.severity >= Severity::Warn);
    remarks.retain(|remark| match remark.evidence {
        // What a finding convicts is no chance.
        Evidence::NewestAbove(_) => findings.is_empty(),
        // The rise is seen; rows that could have hidden it are no matter any more.
        Evidence::FewRows(_) => !convicted,
        // Zeros are not equally low: they are no losses.
        Evidence::Tie(tie) => zeros.is_none() || tie.loss != 0.0,
        // Losses that have blown up say nothing about the task, nor that more of the same would help.
        Evidence::LeakSign(_) | Evidence::StillFalling(_) => !diverged,
        _ => true,
    });
    // A train loss that has never been one explains the rest.
    let never_one =
        |finding: &Finding| matches!(&finding.evidence, Evidence::ExactZeros(at) if at.throughout);
    findings.sort_by_key(|finding| (!never_one(finding), std::cmp::Reverse(finding.severity)));
    let undecided = too_little(curves, limits)
        .or_else(|| too_few(&remarks, case.standing.as_ref()))
        .or_else(|| below_zero(curves));
    if undecided.is_some() {
        remarks.retain(|remark| !matches!(remark.evidence, Evidence::NewestAbove(_)));
    }
    let verdict = match findings.first() {
        Some(gravest) => gravest.verdict(),
        None if undecided.is_some() => Verdict::Undecided,
        None => Verdict::Healthy,
    };
    let overfitting = findings.iter().any(|finding| matches!(finding.evidence, Evidence::Rise(_)));
    Diagnosis {
        verdict,
        severity: findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::None),
        findings,
        remarks,
        undecided: undecided.filter(|_| verdict == Verdict::Undecided),
        set: curves.set().map(str::to_owned),
        epochs: Epochs::of(curves, run),
        best: match zeros {
            Some(zeros) => curves.eval.iter().position(|point| Some(point.place()) == zeros.best),
            None => named_best(curves, run),
        },
        as_good: case.standing.as_ref().and_then(|standing| standing.as_good(curves, limits)),
        rise: case.standing.as_ref().map(|standing| standing.rise),
        noise: case.standing.as_ref().and_then(|standing| standing.noise),
        noise_assumed: case.standing.as_ref().is_some_and(|standing| standing.noise_assumed),
        onset: case.standing.filter(|_| overfitting).map(|standing| standing.climb.onset),
    }
}

/// Evaluations at the end that may be equally low by their rounding; more of them are a flat line.
const FEW_EQUAL: usize = 4;

/// Index of the evaluation that is named the best. Of equals it is the earliest, which was trained for the
/// least long; but printed figures are rounded, and where a log ends with a few of them the curve may still fall,
/// so that the newest is the lowest.
fn named_best(curves: &Curves, run: &RunInfo) -> Option<usize> {
    let (lowest, newest) = (curves.best()?, curves.eval.len() - 1);
    let tail = &curves.eval[lowest..];
    let falls = run.trainer != "tune"
        && tail.len() <= FEW_EQUAL
        && tail.iter().all(|point| point.loss == curves.eval[lowest].loss);
    Some(if falls { newest } else { lowest })
}

/// Evaluations of which one far above the best leaves open what the run does.
const FEW: usize = 5;

/// Why a run that ends above its best is called neither healthy nor anything else.
fn too_few(remarks: &[Finding], standing: Option<&Standing>) -> Option<String> {
    let finite = standing.map(|standing| standing.finite).filter(|finite| *finite <= FEW)?;
    remarks.iter().find_map(|remark| match &remark.evidence {
        Evidence::NewestAbove(newest) => Some(format!(
            "the newest eval loss ({}) is {} the best, and {finite} evaluations are too few to tell whether that \
             is chance",
            fixed(newest.loss, 3),
            finding::above(newest.above, None, false)
        )),
        _ => None,
    })
}

/// Why losses cannot be shares of their best.
fn below_zero(curves: &Curves) -> Option<String> {
    let lowest = curves.eval[curves.best()?].loss;
    let why = "a rise is judged as a share of the best, and losses below zero have none; where the log has another \
               loss, --map eval=COLUMN names it";
    (lowest < 0.0).then(|| format!("the lowest eval loss is {}: {why}", fixed(lowest, 3)))
}

/// Why a trend cannot be judged yet.
fn too_little(curves: &Curves, limits: &Limits) -> Option<String> {
    let finite = curves.eval.iter().filter(|point| point.loss.is_finite()).count();
    match (finite, limits.min_evals) {
        (finite, least) if finite >= least => None,
        (0, _) if curves.eval.is_empty() && curves.train.is_empty() => {
            Some("nothing has happened yet".into())
        }
        (0, _) if curves.eval.is_empty() => {
            Some("no evaluation yet: the train loss alone cannot show overfitting".into())
        }
        (finite, least) => Some(format!("{finite} of at least {least} evaluations")),
    }
}

#[cfg(test)]
mod tests;
