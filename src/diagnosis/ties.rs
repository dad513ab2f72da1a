//! Which evaluations are as good as the best, for all that can be told: the one-standard-error rule
//! (Breiman, Friedman, Olshen & Stone 1984, "Classification and Regression Trees", 3.4.3), by which
//! the adapter that was trained for less long is offered beside the raw minimum.

use super::{Limits, paired};
use crate::curve::{Curves, EvalPoint};

/// The most evaluations that are looked at, the best included: a run keeps the adapter of each.
const MOST: usize = 8;

/// Indices in `curves.eval` of the bests before the best that are tied with it, the earliest first.
///
/// These are the newest bests in a row of which no two are more than one standard error apart, over the
/// same rows. Every best of one evaluation's row but the newest was in the row before, so that who keeps
/// the adapters of the row never lacks one.
pub fn tied(curves: &Curves, limits: &Limits) -> Vec<usize> {
    let Some(best) = curves.best() else { return Vec::new() };
    let mut row = vec![best];
    for index in bests(curves, best).into_iter().rev().take(MOST - 1) {
        let candidate = &curves.eval[index];
        if !row.iter().all(|later| within_an_error(candidate, &curves.eval[*later], limits)) {
            break;
        }
        row.push(index);
    }
    row.remove(0);
    row.reverse();
    row
}

/// Indices of the evaluations before `upto` that were the best of their time.
fn bests(curves: &Curves, upto: usize) -> Vec<usize> {
    let mut lowest = f64::INFINITY;
    let mut found = Vec::new();
    for (index, point) in curves.eval[..upto].iter().enumerate() {
        if point.loss < lowest {
            lowest = point.loss;
            found.push(index);
        }
    }
    found
}

/// Whether a loss is above another by no more than a standard error of their difference, over the same rows.
fn within_an_error(higher: &EvalPoint, lower: &EvalPoint, limits: &Limits) -> bool {
    lower.examples.len() >= limits.min_paired
        && paired::difference(&lower.examples, &higher.examples)
            .is_some_and(|difference| difference.mean <= difference.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EvalStats, Event, ExampleLoss};

    /// Evaluations of ten rows of ten tokens: the mean loss, and how far the rows are spread about it, the
    /// odd ones up and the even ones down.
    fn curves(evals: &[(f64, f64)]) -> Curves {
        let mut curves = Curves::default();
        for (step, (loss, spread)) in evals.iter().enumerate() {
            let row = |i: i32| ExampleLoss {
                nats: 10.0 * (loss + f64::from(1 - 2 * (i % 2)) * spread),
                tokens: 10,
            };
            let stats = EvalStats {
                step: step as u64,
                loss: *loss,
                tokens: 100,
                examples: (0..10).map(row).collect(),
                ..EvalStats::default()
            };
            curves.apply(step as f64, &Event::Eval(stats));
        }
        curves
    }

    fn of(evals: &[(f64, f64)]) -> Vec<usize> {
        tied(&curves(evals), &Limits::DEFAULT)
    }

    #[test]
    fn a_best_within_one_error_of_the_best_is_tied_with_it() {
        // Spreads that differ by 0.3 make an error of the mean of 0.3 / 3 = 0.1.
        assert_eq!(of(&[(3.0, 0.0), (2.09, 0.3), (2.0, 0.0), (2.4, 0.3)]), [1]);
        assert!(of(&[(3.0, 0.0), (2.11, 0.3), (2.0, 0.0)]).is_empty(), "beyond an error");
        assert!(of(&[(3.0, 0.0), (2.01, 0.0), (2.0, 0.0)]).is_empty(), "every row is better at the best");
        assert!(of(&[(2.0, 0.0), (2.01, 0.3)]).is_empty(), "what came after the best is no candidate");
    }

    #[test]
    fn a_row_of_bests_is_tied_as_a_whole_and_grows_only_at_its_end() {
        // Of three bests the first is further than an error from the last.
        let evals = [(2.16, 0.0), (2.08, 0.3), (2.0, 0.0)];
        assert_eq!((of(&evals[..2]), of(&evals)), (vec![0], vec![1]));
        // Neighbours that differ in all, and the first again like the last: the row does not leap over one.
        assert!(of(&[(2.02, 0.3), (2.01, 0.0), (2.0, 0.0)]).is_empty());
        let many: Vec<(f64, f64)> = (0..20)
            .map(|i| (2.0 - 0.001 * f64::from(i), 0.3 * f64::from(i % 2) + 0.01 * f64::from(i)))
            .collect();
        for end in 2..=many.len() {
            let (before, now) = (of(&many[..end - 1]), of(&many[..end]));
            assert!(
                now.iter().all(|index| before.contains(index) || *index == end - 2),
                "{before:?} {now:?}"
            );
            assert!(now.len() < MOST);
        }
    }
}
