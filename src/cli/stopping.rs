//! Early stopping: the rule that a configuration names, and the evaluations that it is shown.
//!
//! Those on the run's cadence count, and the one after its last step. One that someone asks for is a look
//! and no more: if it counted, whoever looks often would end the run.

use crate::config::{EarlyStopping, StopRule};
use crate::curve::EvalPoint;
use crate::diagnosis::stopping::{GeneralisationLoss, Observation, Patience, ProgressQuotient, Rule, Uphill};
use crate::event::RunInfo;
use crate::monitor::Snapshot;

/// Prechelt's thresholds: of those that he tried, ones that stop neither first nor last.
const GL: f64 = 5.0;
const PQ: f64 = 0.75;
const UP: f64 = 2.0;

/// What may end a run early, if anything, and whether it has.
pub(super) struct Stopping {
    rule: Option<Rule>,
    pub(super) has_fired: bool,
}

impl Stopping {
    pub(super) fn new(asked: &EarlyStopping) -> Self {
        Self { rule: asked.enabled.then(|| rule(asked)), has_fired: false }
    }

    /// Takes in an evaluation of the validation rows. A run that goes on shows those of its past again, in
    /// their order.
    pub(super) fn look(&mut self, snapshot: &Snapshot, point: &EvalPoint) {
        let Some(rule) = &mut self.rule else { return };
        let seen = Observation {
            eval_loss: point.loss,
            train_loss: point.train_loss,
            diagnosis: snapshot.diagnosis,
        };
        // A run that came to one that was asked for had not been stopped by those before it.
        self.has_fired = counts(snapshot.run, point.step) && rule.observe(&seen);
    }
}

/// Whether the evaluation after `step` is one that the run makes of itself.
fn counts(run: &RunInfo, step: u64) -> bool {
    run.eval_every.is_none_or(|every| step.is_multiple_of(every)) || run.total_steps == Some(step)
}

/// The rule that a configuration names.
fn rule(asked: &EarlyStopping) -> Rule {
    let threshold = |usual| asked.threshold.unwrap_or(usual);
    match asked.rule {
        StopRule::Patience => Rule::Patience(Patience::new(asked.patience, asked.min_delta)),
        StopRule::Verdict => Rule::Verdict,
        StopRule::Gl => Rule::GeneralisationLoss(GeneralisationLoss::new(threshold(GL))),
        StopRule::Pq => Rule::ProgressQuotient(ProgressQuotient::new(threshold(PQ))),
        StopRule::Up => Rule::Uphill(Uphill::new(threshold(UP).round() as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::Limits;
    use crate::event::record::Record;
    use crate::event::{EvalStats, Event, Split};
    use crate::monitor::Monitor;

    /// A run of 25 steps that is evaluated every 10, with these evaluations, as it is seen live after each of
    /// them and as a run that goes on sees them all again.
    fn fired(evals: &[(u64, f64)]) -> (Vec<bool>, bool) {
        let asked = EarlyStopping { enabled: true, patience: 2, ..EarlyStopping::default() };
        let info = RunInfo { eval_every: Some(10), total_steps: Some(25), ..RunInfo::default() };
        let mut monitor = Monitor::new(Limits::DEFAULT);
        monitor.apply(&Record { t: 0.0, event: Event::RunStarted(Box::new(info)) });
        let mut live = Stopping::new(&asked);
        let mut after = Vec::new();
        for &(step, loss) in evals {
            let stats = EvalStats { step, loss, split: Split::Valid, ..EvalStats::default() };
            monitor.apply(&Record { t: step as f64, event: Event::Eval(stats) });
            let snapshot = monitor.snapshot();
            live.look(&snapshot, snapshot.curves.eval.last().unwrap());
            after.push(live.has_fired);
        }
        let mut again = Stopping::new(&asked);
        let snapshot = monitor.snapshot();
        snapshot.curves.eval.iter().for_each(|point| again.look(&snapshot, point));
        (after, again.has_fired)
    }

    #[test]
    fn evaluations_that_someone_asked_for_do_not_count() {
        // Two on the cadence without an improvement.
        assert_eq!(fired(&[(0, 3.0), (10, 3.1), (20, 3.2)]), (vec![false, false, true], true));
        // The second and the third of these were asked for.
        let asked = [(0, 3.0), (3, 3.1), (4, 3.2), (10, 3.1)];
        assert_eq!(fired(&asked), (vec![false; 4], false));
        assert_eq!(
            fired(&[&asked[..], &[(20, 3.1)]].concat()),
            (vec![false, false, false, false, true], true)
        );
        // Nor is one a best, or the end.
        assert_eq!(fired(&[(0, 3.0), (7, 1.0), (10, 2.0), (20, 1.5)]).0, [false; 4]);
        assert_eq!(fired(&[(0, 3.0), (10, 3.1), (11, 3.1)]), (vec![false; 3], false));
    }

    #[test]
    fn the_last_step_counts_wherever_it_falls() {
        assert_eq!(fired(&[(0, 3.0), (20, 3.1), (25, 3.1)]), (vec![false, false, true], true));
    }
}
