//! What the curves of hand-written events are.

use super::*;
use crate::event::Resumed;

fn step(step: u64, loss: f64, tokens: u64) -> Event {
    Event::Step(StepStats {
        step,
        epoch: Some(0.0),
        loss,
        tokens,
        input_tokens: tokens,
        learning_rate: Some(1e-3),
        grad_norm: None,
    })
}

fn eval(step: u64, loss: f64) -> Event {
    Event::Eval(EvalStats {
        step,
        epoch: Some(0.0),
        split: Split::Valid,
        loss,
        tokens: 0,
        token_accuracy: None,
        examples: Vec::new(),
        ..EvalStats::default()
    })
}

fn curves(events: &[Event]) -> Curves {
    let mut curves = Curves::default();
    for event in events {
        curves.apply(0.0, event);
    }
    curves
}

fn means(curves: &Curves) -> Vec<Option<f64>> {
    curves.eval.iter().map(|point| point.train_loss).collect()
}

#[test]
fn train_losses_are_averaged_by_tokens_between_evaluations() {
    let events = [eval(0, 5.0), step(1, 4.0, 30), step(2, 2.0, 10), eval(2, 3.0), eval(3, 3.0)];
    assert_eq!(means(&curves(&events)), [None, Some(3.5), None]);
    let unweighted = [step(1, 4.0, 0), step(2, 2.0, 0), eval(2, 3.0)];
    assert_eq!(means(&curves(&unweighted)), [Some(3.0)]);
    let masked = [step(1, 4.0, 8), step(2, f64::NAN, 0), eval(2, 3.0)];
    assert_eq!(means(&curves(&masked)), [Some(4.0)]);
}

#[test]
fn the_order_of_the_log_does_not_matter() {
    let sorted = [step(1, 4.0, 1), step(2, 3.0, 1), eval(2, 3.0), step(3, 2.0, 1), eval(3, 2.5)];
    let expected = curves(&sorted);
    for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
        let shuffled: Vec<Event> = order.iter().map(|i: &usize| sorted[*i].clone()).collect();
        let found = curves(&shuffled);
        assert_eq!(format!("{:?}", found.train), format!("{:?}", expected.train));
        assert_eq!(means(&found), means(&expected));
    }
}

#[test]
fn a_step_that_comes_again_replaces_the_first() {
    let found = curves(&[step(1, 4.0, 1), step(1, 3.0, 1), eval(1, 9.0), eval(1, 2.0)]);
    assert_eq!((found.train.len(), found.eval.len()), (1, 1));
    assert_eq!((found.eval[0].loss, found.eval[0].train_loss), (2.0, Some(3.0)));
}

#[test]
fn a_resumed_run_forgets_what_came_after_its_state() {
    let resumed = Event::RunResumed(Resumed { step: 2 });
    let found = curves(&[
        step(1, 4.0, 1),
        step(2, 3.0, 1),
        eval(2, 3.0),
        step(3, 9.0, 1),
        eval(3, 9.0),
        resumed,
        step(3, 2.0, 1),
        eval(3, 2.0),
    ]);
    assert_eq!(found.train.iter().map(|p| p.loss).collect::<Vec<_>>(), [4.0, 3.0, 2.0]);
    assert_eq!(found.eval.iter().map(|p| p.loss).collect::<Vec<_>>(), [3.0, 2.0]);
}

#[test]
fn the_best_is_the_first_of_the_lowest_finite() {
    let losses = [f64::NAN, 3.0, 2.0, 2.0, f64::NEG_INFINITY];
    let events: Vec<Event> = losses.iter().zip(0..).map(|(loss, step)| eval(step, *loss)).collect();
    assert_eq!(curves(&events).best(), Some(2));
    assert_eq!(Curves::default().best(), None);
}

#[test]
fn a_loss_of_exactly_zero_is_one_where_the_run_ends_with_it() {
    let best = |losses: &[f64]| {
        let events: Vec<Event> = losses.iter().zip(0..).map(|(loss, step)| eval(step, *loss)).collect();
        curves(&events).best()
    };
    assert_eq!(best(&[3.0, 0.0, 2.0, 2.5]), Some(2));
    assert_eq!(best(&[3.0, 0.0, 2.0, 0.0, 0.0, f64::NAN]), Some(3));
    assert_eq!(best(&[0.0, 0.0]), Some(0));
}

#[test]
fn of_several_evaluation_sets_the_first_decides() {
    let mut curves = Curves::default();
    for (step, set, loss) in [(1, "new", 2.0), (1, "old", 3.0), (2, "new", 1.0), (2, "old", 4.0)] {
        let stats = EvalStats { step, set: Some(set.into()), loss, ..EvalStats::default() };
        curves.apply(0.0, &Event::Eval(stats));
    }
    let losses = |points: &[EvalPoint]| points.iter().map(|point| point.loss).collect::<Vec<_>>();
    assert_eq!(losses(&curves.eval), [2.0, 1.0]);
    let [(name, points)] = &curves.others[..] else { panic!("{:?}", curves.others) };
    assert_eq!((name.as_str(), losses(points)), ("old", vec![3.0, 4.0]));
}

#[test]
fn a_long_train_curve_is_thinned_and_its_means_between_evaluations_stay() {
    let mut curves = Curves::default();
    let steps = MOST_TRAIN as u64 + 5;
    for step in 1..=steps {
        let stats = StepStats { step, loss: (step % 7) as f64, ..StepStats::default() };
        curves.apply(0.0, &Event::Step(stats));
        if step % 1001 == 0 {
            curves.apply(0.0, &Event::Eval(EvalStats { step, loss: 1.0, ..EvalStats::default() }));
        }
    }
    assert!(curves.train.len() < MOST_TRAIN * 4 / 5, "{}", curves.train.len());
    assert_eq!(curves.train.last().map(|point| point.step), Some(steps));
    for (i, pair) in curves.eval.windows(2).enumerate() {
        let between = curves.train_between(Some(pair[0].step), pair[1].step);
        let walked = (pair[0].step + 1..=pair[1].step).map(|step| (step % 7) as f64).sum::<f64>() / 1001.0;
        // Two points are one, but for an odd one out at an evaluation.
        let mean = mean_loss(between).unwrap();
        assert!((mean - walked).abs() < 0.01, "{mean} {walked} at {i}");
    }
}
