//! What the held-out rows can show at all: the smallest rise that they tell from chance.
//!
//! Few rows, or rows that differ much in what a step of training does to them, hide a rise that would be
//! worth stopping for. That is no sickness and names no verdict.

use super::finding::Words;
use super::{Case, Evidence, Finding, Limits, Severity, chance, paired};
use crate::event::Places;
use crate::fmt::counted;
use serde::Serialize;
use std::fmt;

/// The held-out rows are too few to show a rise that is worth stopping for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FewRows {
    pub rows: usize,
    /// The smallest rise that these rows tell from chance, as a share of the best; none where they are too few to be
    /// compared one by one.
    pub tellable: Option<f64>,
    /// How many such rows would tell the rise that is wanted, if any number within reason would.
    pub enough: Option<usize>,
    pub wanted: f64,
}

/// Whether a rise as large as that of a warning could not be told by the paired test as it stands, from how
/// far apart the rows have moved between the best evaluation and the newest other one.
pub fn rule(case: &Case) -> Option<Finding> {
    let (standing, limits, eval) = (case.standing.as_ref()?, case.limits, &case.curves.eval);
    if standing.finite < limits.min_evals {
        return None;
    }
    let best = &eval[standing.best];
    let others = eval.iter().enumerate().rev().filter(|(index, _)| *index != standing.best);
    let newest = others.map(|(_, point)| point).find(|point| point.loss.is_finite())?;
    let apart = paired::difference(&best.examples, &newest.examples)?;
    let p = limits.false_paired / paired::looks_factor(standing.finite);
    let rows = best.examples.len();
    // The error falls with the root of the rows; their degrees of freedom grow with their number.
    let tellable_with = |n: usize| {
        let times = n as f64 / rows as f64;
        let t = chance::t_exceeded(p, (apart.freedom + 1.0) * times - 1.0);
        t * apart.error / times.sqrt() / best.loss
    };
    let (tellable, wanted) =
        (Some(tellable_with(rows)).filter(|_| rows >= limits.min_paired), limits.warn_rise);
    if tellable.is_some_and(|tellable| tellable <= wanted) {
        return None;
    }
    let (mut few, mut enough) = (rows, 2 * rows);
    while tellable_with(enough) > wanted && enough < MOST_ROWS {
        (few, enough) = (enough, 2 * enough);
    }
    let reachable = tellable_with(enough) <= wanted;
    while reachable && enough - few > 1 {
        let middle = usize::midpoint(few, enough);
        *if tellable_with(middle) > wanted { &mut few } else { &mut enough } = middle;
    }
    let enough = reachable.then_some(enough.max(limits.min_paired));
    let found = FewRows { rows, tellable, enough, wanted };
    Some(Finding { severity: Severity::None, evidence: Evidence::FewRows(found) })
}

/// More rows than this are never asked for.
const MOST_ROWS: usize = 1 << 20;

/// Held-out rows that are few, as far as that can be told before any was evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beforehand {
    /// By how much a rise of `wanted` may differ from row to row (standard deviation) and still be told from chance;
    /// none where the rows are too few to be compared one by one.
    pub spread: Option<f64>,
    /// So many rows tell one that differs by as much as it is large.
    pub enough: usize,
    pub wanted: f64,
}

/// Whether so many rows, evaluated so often, are few; none where they are enough, or there are none at all.
pub fn beforehand(rows: usize, evals: usize, limits: &Limits) -> Option<Beforehand> {
    // The smallest rise that is told, in spreads; it falls with the rows.
    let spreads = |rows: usize| paired::smallest_effect(rows, evals, limits.false_paired);
    let compared = rows >= limits.min_paired;
    if rows == 0 || (compared && spreads(rows) <= 1.0) {
        return None;
    }
    let enough = (limits.min_paired..MOST_ROWS).find(|rows| spreads(*rows) <= 1.0)?;
    let wanted = limits.warn_rise;
    Some(Beforehand { spread: compared.then(|| wanted / spreads(rows)), enough, wanted })
}

/// So many times the rows are not to be had, and the number, which goes with the noise of one evaluation, is not told.
const OUT_OF_REACH: usize = 10;

impl Words for FewRows {
    fn words(&self, f: &mut dyn fmt::Write, _: Places) -> fmt::Result {
        let are = if self.rows == 1 { "is" } else { "are" };
        write!(f, "{} {are} few: ", counted(self.rows, "held-out row"))?;
        match self.tellable {
            None => f.write_str("too few to be compared one by one")?,
            Some(rise) if rise < 1.0 => {
                write!(f, "a rise under about {:.0} % cannot be told from chance over them", 100.0 * rise)?;
            }
            Some(_) => f.write_str("not even twice the loss could be told from chance over them")?,
        }
        match self.enough {
            Some(enough) if enough > OUT_OF_REACH * self.rows => {
                write!(f, "; one of {:.0} % would need far more of them", 100.0 * self.wanted)
            }
            Some(enough) => write!(f, "; for one of {:.0} % hold out about {enough}", 100.0 * self.wanted),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::Curves;
    use crate::diagnosis::Limits;
    use crate::event::{EvalStats, Event, ExampleLoss, RunInfo};

    /// Evaluations of so many rows of ten tokens, whose loss falls by a tenth each time, odd rows by `spread`
    /// more and even ones by as much less.
    fn curves(rows: i32, evals: u64, spread: f64) -> Curves {
        let mut curves = Curves::default();
        for step in 0..evals {
            let level = 2.0 - 0.1 * step as f64;
            let row = |i: i32| {
                let uneven = spread * step as f64 * f64::from(1 - 2 * (i % 2));
                ExampleLoss { nats: 10.0 * (level + uneven), tokens: 10 }
            };
            let stats = EvalStats {
                step,
                loss: level,
                tokens: 10 * rows as u64,
                examples: (0..rows).map(row).collect(),
                ..EvalStats::default()
            };
            curves.apply(step as f64, &Event::Eval(stats));
        }
        curves
    }

    fn found(curves: &Curves) -> Option<FewRows> {
        let diagnosis = crate::diagnosis::diagnose(curves, &RunInfo::default(), &Limits::DEFAULT);
        diagnosis.remarks.iter().find_map(|remark| match remark.evidence {
            Evidence::FewRows(found) => Some(found),
            _ => None,
        })
    }

    #[test]
    fn few_rows_are_said_to_be_few_and_the_number_that_is_enough_is() {
        let few = found(&curves(8, 5, 0.05)).expect("eight rows that differ");
        // An error of 0.05 / sqrt(7) nats of 1.6: Student's t for five looks at seven degrees of freedom is 6.3.
        let tellable = few.tellable.expect("enough to be compared");
        assert!(few.rows == 8 && (tellable - 6.3 * 0.05 / 7.0_f64.sqrt() / 1.6).abs() < 0.01, "{few:?}");
        let enough = i32::try_from(few.enough.unwrap()).unwrap();
        assert!(found(&curves(enough + 2, 5, 0.05)).is_none(), "{few:?}");
        assert!(found(&curves(enough - 2, 5, 0.05)).is_some(), "{few:?}");
    }

    #[test]
    fn rows_that_move_together_are_enough_and_rows_unknown_say_nothing() {
        assert_eq!(found(&curves(8, 5, 0.0)), None);
        assert_eq!(found(&curves(0, 5, 0.0)), None);
        assert_eq!(found(&curves(8, 2, 0.05)), None, "too early to say");
        let fewer = found(&curves(6, 5, 0.0)).expect("fewer than are compared");
        assert_eq!((fewer.tellable, fewer.enough), (None, Some(8)));
    }

    #[test]
    fn before_a_run_it_is_said_what_the_rows_would_have_to_be_like() {
        let limits = Limits::DEFAULT;
        let few = beforehand(7, 13, &limits).expect("fewer than are compared");
        assert_eq!(few.spread, None);
        assert!(
            beforehand(few.enough, 13, &limits).is_none()
                && beforehand(few.enough - 1, 13, &limits).is_some()
        );
        // Student's t with 9 degrees exceeds 7.7 with the chance 0.05 * 6 / (pi^2 13^2 12), by its integral;
        // over the root of ten that is 2.4 spreads, so that 5 % are told where the spread is below 2.1 %.
        let ten = beforehand(10, 13, &limits).expect("ten are few");
        assert!((ten.spread.expect("they are compared") - 0.021).abs() < 5e-4, "{ten:?}");
        assert_eq!((beforehand(100, 13, &limits), beforehand(0, 13, &limits)), (None, None));
    }

    #[test]
    fn the_words_give_the_numbers() {
        let words = |tellable| {
            let found = FewRows { rows: 5, tellable: Some(tellable), enough: Some(30), wanted: 0.05 };
            Finding { severity: Severity::None, evidence: Evidence::FewRows(found) }
                .message(Places::default())
        };
        assert_eq!(
            words(0.12),
            "5 held-out rows are few: a rise under about 12 % cannot be told from chance over them; for one of \
             5 % hold out about 30"
        );
        assert!(words(3.0).contains("not even twice the loss"));
    }
}
