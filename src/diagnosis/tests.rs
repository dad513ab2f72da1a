//! The rules, each on a run that it must speak of and on one that it must not.

use super::*;
use crate::event::{
    EvalStats, Event, ExampleLoss, Generated, LossMeaning, Metric, Places, Settings, Split, StepStats,
};

mod guards;
mod said;

/// Steps in an epoch, and between evaluations.
const EPOCH: u64 = 40;
const EVERY: u64 = 20;

fn step(step: u64, loss: f64) -> Event {
    let epoch = Some(step as f64 / EPOCH as f64);
    Event::Step(StepStats { step, epoch, loss, tokens: 100, ..StepStats::default() })
}

fn eval(step: u64, loss: f64) -> EvalStats {
    EvalStats { step, epoch: Some(step as f64 / EPOCH as f64), loss, tokens: 100, ..EvalStats::default() }
}

/// Curves whose train loss is `train` of the step, with evaluations of these losses.
fn curves(train: impl Fn(u64) -> f64, evals: &[f64]) -> Curves {
    let mut curves = Curves::default();
    for at in 0..=EVERY * (evals.len() as u64 - 1) {
        if at > 0 {
            curves.apply(0.0, &step(at, train(at)));
        }
        if at.is_multiple_of(EVERY) {
            curves.apply(0.0, &Event::Eval(eval(at, evals[(at / EVERY) as usize])));
        }
    }
    curves
}

fn judge(curves: &Curves) -> Diagnosis {
    diagnose(curves, &RunInfo { trainer: "tune".into(), ..RunInfo::default() }, &Limits::DEFAULT)
}

fn kinds(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::kind).collect()
}

const FALLING: [f64; 8] = [3.0, 2.5, 2.2, 2.0, 1.9, 1.85, 1.82, 1.8];
const RISING: [f64; 10] = [3.0, 2.4, 2.1, 2.0, 2.06, 2.15, 2.25, 2.35, 2.45, 2.55];

fn falling_train(step: u64) -> f64 {
    3.0 * (-(step as f64) / 80.0).exp()
}

#[test]
fn a_task_metric_that_still_improves_tempers_the_alarm_and_token_accuracy_does_not() {
    let with = |metric: fn(usize) -> f64, name: Option<&str>| {
        let mut curves = curves(falling_train, &RISING);
        for (index, loss) in RISING.iter().enumerate() {
            let mut stats = eval(index as u64 * EVERY, *loss);
            match name {
                Some(name) => stats.metrics = vec![Metric { name: name.into(), value: metric(index) }],
                None => stats.token_accuracy = Some(metric(index)),
            }
            curves.apply(0.0, &Event::Eval(stats));
        }
        judge(&curves)
    };
    let better = |index| 0.5 + 0.04 * index as f64;
    let parted = with(better, Some("eval_f1"));
    assert_eq!((parted.verdict, parted.severity), (Verdict::Overfitting, Severity::Watch));
    assert_eq!(kinds(&parted.remarks), ["disagreement"]);
    assert!(
        parted.remarks[0].message(Places::default()).contains("keep both checkpoints"),
        "{}",
        parted.remarks[0].message(Places::default())
    );
    assert_eq!(with(|index| 0.9 - 0.04 * index as f64, Some("eval_f1")).severity, Severity::Severe);
    // Our own, and as TRL logs it.
    for name in [None, Some("eval_mean_token_accuracy")] {
        let tokens = with(better, name);
        assert_eq!(
            (tokens.severity, kinds(&tokens.remarks)),
            (Severity::Severe, vec!["disagreement".to_string()])
        );
    }
    // A counter says nothing.
    let counted = with(|index| 1000.0 * index as f64, Some("accumulated_steps"));
    assert_eq!((counted.severity, kinds(&counted.remarks)), (Severity::Severe, vec![]));
}

#[test]
fn what_comes_back_of_trained_rows_only_is_recited() {
    let generated = |split, exact, overlap| {
        Event::Generated(Generated {
            step: 180,
            epoch: None,
            split,
            prompts: 32,
            exact,
            overlap,
            repetition: 0.0,
            chrf: None,
            samples: Vec::new(),
        })
    };
    let flat = [2.0, 1.5, 1.4, 1.38, 1.38, 1.39, 1.38, 1.39, 1.38, 1.385];
    let of = |train: f64, valid: f64| {
        let mut curves = curves(|_| 1.3, &flat);
        curves.apply(0.0, &generated(Split::TrainProbe, train, train));
        curves.apply(0.0, &generated(Split::Valid, valid, valid));
        judge(&curves)
    };
    let recited = of(0.8, 0.05);
    assert_eq!((recited.verdict, recited.severity), (Verdict::Memorizing, Severity::Warn));
    assert_eq!(of(0.3, 0.05).severity, Severity::Watch);
    assert_eq!(of(0.8, 0.75).verdict, Verdict::Healthy, "a task that is learnt comes back on both sides");
    assert_eq!(of(0.1, 0.0).verdict, Verdict::Healthy, "three of 32 may be chance");
}

/// A train loss that falls by `stair` at each epoch and by `slope` within it.
fn stairs(stair: f64, slope: f64) -> impl Fn(u64) -> f64 {
    move |step| {
        let epoch = (step.max(1) - 1) as f64 / EPOCH as f64;
        2.0 * (1.0 - stair).powf(epoch.floor()) * (1.0 - slope).powf(epoch.fract())
    }
}

#[test]
fn stairs_at_epochs_are_told_from_a_slope() {
    let flat = [2.0, 1.8, 1.72, 1.7, 1.71, 1.7, 1.71, 1.705, 1.71, 1.7];
    let found = judge(&curves(stairs(0.12, 0.02), &flat));
    assert_eq!((found.verdict, found.severity), (Verdict::Memorizing, Severity::Watch));
    assert_eq!(judge(&curves(stairs(0.0, 0.12), &flat)).verdict, Verdict::Healthy);
    let gaining = judge(&curves(stairs(0.12, 0.02), &FALLING));
    assert_eq!(
        (gaining.verdict, kinds(&gaining.remarks)),
        (Verdict::Healthy, vec!["memorizing".to_string()])
    );
    // A log without evaluations cannot convict, but it can say so.
    let mut train_only = Curves::default();
    (1..=4 * EPOCH).for_each(|at| train_only.apply(0.0, &step(at, stairs(0.12, 0.02)(at))));
    let found = judge(&train_only);
    assert_eq!((found.verdict, kinds(&found.remarks)), (Verdict::Undecided, vec!["memorizing".to_string()]));
}

#[test]
fn a_gap_is_of_the_probe_and_not_of_dropout() {
    let flat = [2.0, 1.5, 1.4, 1.38, 1.39, 1.38, 1.39, 1.38];
    let mut curves = curves(|_| 1.6, &flat);
    assert!(!kinds(&judge(&curves).remarks).contains(&"gap".into()));
    for (index, loss) in [2.0, 1.5, 1.38, 1.3, 1.2, 1.1, 1.0, 0.9].iter().enumerate() {
        let stats = EvalStats { split: Split::TrainProbe, ..eval(index as u64 * EVERY, *loss) };
        curves.apply(0.0, &Event::Eval(stats));
    }
    let found = judge(&curves);
    let gap = found.remarks.iter().find(|remark| remark.kind() == "gap").expect("a gap");
    assert!(gap.message(Places::default()).contains("grows by 0.2"), "{}", gap.message(Places::default()));
}

#[test]
fn remarks_have_their_runs() {
    let remarked = |curves: &Curves, kind: &str| kinds(&judge(curves).remarks).contains(&kind.to_string());
    // Eight evaluations are three and a half epochs.
    let easy = [3.0, 2.0, 1.5, 1.2, 1.1, 1.0, 0.95, 0.9];
    let times = |factor: f64| curves(move |step| factor * easy[step.div_ceil(EVERY) as usize], &easy);
    assert!(remarked(&times(1.02), "leak") && !remarked(&times(0.8), "leak"));
    // Losses that have blown up and come down together are no sign of an easy task.
    let blown = [90.0, 60.0, 50.0, 40.0, 30.0, 20.0, 15.0, 10.0];
    let blown = curves(move |step| 1.02 * blown[step.div_ceil(EVERY) as usize], &blown);
    assert_eq!(judge(&blown).verdict, Verdict::Diverged);
    assert!(!remarked(&blown, "leak"));
    assert!(remarked(&times(4.0), "scale") && !remarked(&times(1.1), "scale"));
    let flat = [2.0, 1.5, 1.4, 1.41, 1.4, 1.41, 1.4, 1.41];
    assert!(remarked(&curves(|_| 1.3, &flat), "plateau"));
    assert!(!remarked(&curves(|_| 1.3, &FALLING), "plateau"));
}

#[test]
fn a_healthy_run_whose_newest_evaluation_is_far_above_the_best_is_remarked_on() {
    let of = |last: f64| judge(&curves(falling_train, &[2.5, 2.4, 2.2, 2.0, 2.1, last]));
    let found = of(2.3);
    assert_eq!((found.verdict, kinds(&found.remarks)), (Verdict::Healthy, vec!["newest_above".to_string()]));
    assert!(
        found.remarks[0].message(Places::default()).contains("is 15.0 % above the best"),
        "{:?}",
        found.remarks
    );
    assert_eq!(kinds(&of(2.08).remarks), [""; 0]);
    let noise: Vec<f64> = (0..20).map(|i| 2.0 + 0.004 * f64::from(i * 7 % 5)).collect();
    let words = |end: &[f64]| {
        let found = judge(&curves(|_| 1.9, &[&noise[..], end].concat()));
        found.remarks.iter().map(|remark| remark.message(Places::default())).collect::<Vec<_>>().join("; ")
    };
    assert!(words(&[3.6]).contains("far more than this log's noise"), "{}", words(&[3.6]));
    assert!(
        words(&[2.4, 2.15]).contains("and was 20.0 % above it: it is coming back"),
        "{}",
        words(&[2.4, 2.15])
    );
    // Of fewer nobody knows.
    let few = judge(&curves(falling_train, &[2.5, 2.0, 2.3]));
    assert_eq!(
        (few.verdict, few.severity, kinds(&few.remarks)),
        (Verdict::Undecided, Severity::None, vec![])
    );
    let why = few.undecided.expect("a reason");
    assert!(why.contains("is 15.0 % above the best, and 3 evaluations are too few"), "{why}");
    // A rise that is convicted is no chance.
    assert!(!kinds(&judge(&curves(falling_train, &RISING)).remarks).contains(&"newest_above".into()));
}

#[test]
fn an_error_larger_than_its_figure_is_not_printed() {
    let words = |rise, noise| finding::above(rise, noise, false);
    assert_eq!(words(0.216, Some(0.01)), "21.6 % \u{b1} 1.0 % above");
    assert_eq!(words(0.216, Some(0.3)), "21.6 % above");
    assert_eq!(words(1.65, Some(10.51)), "2.6 times");
}

#[test]
fn losses_that_cannot_be_right_are_named() {
    let above = [150.0, 180.0, 100.0, 60.0, 26.0, 14.0, 8.0];
    assert_eq!(judge(&curves(|_| 90.0, &above)).verdict, Verdict::Diverged);
    let foreign = diagnose(&curves(|_| 90.0, &above), &RunInfo::default(), &Limits::DEFAULT);
    assert_eq!(foreign.verdict, Verdict::Healthy, "a loss of unknown unit may be large");
    let of = |trainer: &str, loss| {
        let run =
            RunInfo { trainer: trainer.into(), train_loss: loss, eval_loss: loss, ..RunInfo::default() };
        let zeros = curves(|_| 0.0, &[1.0, 0.9, 0.8, 0.7]);
        [above, [20.0; 7]]
            .map(|evals| diagnose(&curves(|_| 90.0, &evals), &run, &Limits::DEFAULT).verdict)
            .into_iter()
            .chain([diagnose(&zeros, &run, &Limits::DEFAULT).verdict])
            .map(|verdict| verdict == Verdict::Diverged)
            .collect::<Vec<_>>()
    };
    let unknown = LossMeaning::default();
    assert_eq!(of("mlx-lm", unknown), [true, true, true]);
    // A regression may have such a loss, and training on rewards begins with zeros.
    assert_eq!(of("hf-trainer", unknown), [false, false, true]);
    assert_eq!(of("trl", LossMeaning::SURROGATE), [false, false, false]);
}

#[test]
fn exploding_from_the_first_step_is_divergence_although_train_loss_falls_back() {
    // The first logged train loss is already that of the explosion.
    let evals = [4.0, 60.0, 45.0, 38.0, 35.0, 33.0];
    let found = judge(&curves(|step| 80.0 * (-(step as f64) / 60.0).exp() + 20.0, &evals));
    assert_eq!((found.verdict, found.severity), (Verdict::Diverged, Severity::Severe));
}

#[test]
fn a_cut_of_the_learning_rate_that_is_still_ahead_is_waited_for() {
    let run = |schedule: &str| {
        let settings = Settings { schedule: Some(schedule.into()), ..Settings::default() };
        RunInfo { total_steps: Some(400), settings, ..RunInfo::default() }
    };
    let mut curves = curves(falling_train, &RISING);
    for at in 1..=180 {
        let stats = StepStats {
            step: at,
            loss: falling_train(at),
            learning_rate: Some(1e-3),
            ..StepStats::default()
        };
        curves.apply(0.0, &Event::Step(stats));
    }
    let severity = |curves: &Curves, schedule| diagnose(curves, &run(schedule), &Limits::DEFAULT).severity;
    assert_eq!(
        (severity(&curves, "step"), severity(&curves, "constant")),
        (Severity::Watch, Severity::Severe)
    );
    let says_why = |schedule| {
        let found = diagnose(&curves, &run(schedule), &Limits::DEFAULT);
        found.findings[0]
            .message(Places::default())
            .contains("no warning yet, for the learning rate has still to fall")
    };
    assert!(says_why("step") && !says_why("constant"));
    // A cosine that is still high may bring back what noise cost; what was learnt by heart it does not.
    assert_eq!(severity(&curves, "cosine"), Severity::Severe);
    let mut slow = self::curves(|_| 2.5, &RISING);
    for at in 1..=180 {
        let stats = StepStats { step: at, loss: 2.5, learning_rate: Some(1e-3), ..StepStats::default() };
        slow.apply(0.0, &Event::Step(stats));
    }
    assert_eq!((severity(&slow, "cosine"), severity(&slow, "constant")), (Severity::Watch, Severity::Severe));
}

#[test]
fn a_learning_rate_that_throws_the_run_is_told_from_too_many_epochs() {
    // Best at the start; the train loss jumps, and comes down again below where it was.
    let evals = [3.0, 5.2, 4.9, 4.7, 4.6, 4.5, 4.5, 4.5];
    let train = |step: u64| match step {
        0..4 => 3.0,
        4..20 => 5.5,
        _ => 5.0 * (-(step as f64 - 20.0) / 60.0).exp(),
    };
    let found = judge(&curves(train, &evals));
    assert_eq!(found.verdict, Verdict::Diverged, "{:?}", found.findings);
    let message = found.findings[0].message(Places::default());
    assert!(message.contains("was thrown from 3.000 to 5.500"), "{message}");
    // Without the jump it is overfitting, however early the turn.
    assert_eq!(judge(&curves(falling_train, &evals)).verdict, Verdict::Overfitting);
    // A spike that recovers is no case.
    let spike = |step: u64| if (30..36).contains(&step) { 6.0 } else { falling_train(step) };
    assert_eq!(judge(&curves(spike, &FALLING)).verdict, Verdict::Healthy);
}

#[test]
fn a_run_that_ends_in_mid_fall_is_remarked_on() {
    let steady = [3.0, 2.97, 2.94, 2.91, 2.88, 2.85, 2.82, 2.79];
    let remarked = |evals: &[f64]| {
        let found = judge(&curves(|_| 3.0, evals));
        assert_eq!(found.verdict, Verdict::Healthy);
        kinds(&found.remarks).contains(&"still_falling".to_string())
    };
    assert!(remarked(&steady));
    assert!(!remarked(&FALLING), "this one slows down");
    for (evals, ends_in_mid_fall, why) in [
        ([3.0, 2.99, 2.98, 2.97, 2.96, 2.75, 2.65, 2.65, 2.65, 2.64], false, "a step, and flat since"),
        ([3.0, 2.98, 2.96, 2.90, 2.80, 2.70, 2.62, 2.60, 2.59, 2.58], false, "fast in the middle alone"),
        (
            [3.0, 2.90, 2.91, 2.80, 2.82, 2.70, 2.72, 2.60, 2.61, 2.50],
            true,
            "jagged, and as steep to the end",
        ),
        ([3.0, 3.0, 2.99, 2.99, 2.98, 2.95, 2.90, 2.84, 2.76, 2.66], true, "late, and faster and faster"),
        (
            [3.0, 2.80, 2.70, 2.65, 2.63, 2.62, 2.58, 2.50, 2.40, 2.38],
            true,
            "in two falls, the second no slower",
        ),
        ([3.0, 2.95, 2.90, 2.85, 2.80, 2.75, 2.72, 2.71, 2.70, 2.70], false, "straight, and flat at the end"),
    ] {
        assert_eq!(remarked(&evals), ends_in_mid_fall, "{why}");
    }
}

#[test]
fn a_second_evaluation_set_that_overfits_is_named() {
    let of = |second: &[f64]| {
        let mut curves = curves(falling_train, &FALLING);
        for (index, loss) in second.iter().enumerate() {
            let stats = EvalStats { set: Some("mails".into()), ..eval(index as u64 * EVERY, *loss) };
            curves.apply(0.0, &Event::Eval(stats));
        }
        judge(&curves)
    };
    let found = of(&RISING);
    assert_eq!((found.verdict, found.onset), (Verdict::Overfitting, None));
    let message = found.findings[0].message(Places::default());
    assert!(message.starts_with("on the evaluation set \"mails\" eval loss ("), "{message}");
    assert_eq!(of(&FALLING).verdict, Verdict::Healthy);
}

#[test]
fn three_rows_are_enough_for_a_plain_rise() {
    let mut curves = curves(falling_train, &RISING);
    for (index, loss) in RISING.iter().enumerate() {
        let examples = vec![ExampleLoss { nats: 10.0 * loss, tokens: 10 }; 3];
        curves.apply(0.0, &Event::Eval(EvalStats { examples, ..eval(index as u64 * EVERY, *loss) }));
    }
    let found = judge(&curves);
    assert_eq!((found.verdict, found.severity), (Verdict::Overfitting, Severity::Severe));
}

#[test]
fn equal_figures_are_ties_and_the_earliest_of_them_is_offered() {
    let printed = [3.0, 2.0, 1.5, 1.501, 1.5, 1.5, 1.499, 1.5, 1.5, 1.499];
    let found = judge(&curves(|_| 1.4, &printed));
    assert_eq!((found.verdict, found.best, found.as_good), (Verdict::Healthy, Some(6), Some(2)));
    // Noise of a tenth ties everything with everything: that is not knowing.
    let wild = [3.0, 2.0, 1.7, 1.4, 1.7, 1.5, 1.39, 1.7, 1.5, 1.6];
    assert_eq!(judge(&curves(|_| 1.4, &wild)).as_good, None);
}

#[test]
fn the_words_give_effect_error_and_chance() {
    let rows = |level: f64, wobble: f64| -> Vec<ExampleLoss> {
        (0..200)
            .map(|i| ExampleLoss { nats: 20.0 * (level + wobble * f64::from(i % 7 - 3)), tokens: 20 })
            .collect()
    };
    let mut curves = curves(falling_train, &RISING);
    for (index, loss) in RISING.iter().enumerate() {
        let examples = rows(*loss, 0.1 + 0.01 * index as f64);
        curves.apply(0.0, &Event::Eval(EvalStats { examples, ..eval(index as u64 * EVERY, *loss) }));
    }
    let message = judge(&curves).findings[0].message(Places::default());
    assert!(
        message.contains("eval loss (median of the last three) is 22.5 %")
            && message.contains("p < 0.001, all looks counted"),
        "{message}"
    );
}

/// Evaluations that fall to one, turn, and wave by `noise`.
fn turned(rise: f64, noise: f64) -> Vec<f64> {
    let truth = [2.0, 1.4, 1.1, 1.0].into_iter().chain((1..=6).map(move |i| 1.0 + rise * f64::from(i) / 6.0));
    truth.zip([1.0, -1.0].into_iter().cycle()).map(|(loss, sign)| loss * (1.0 + sign * noise)).collect()
}

#[test]
fn an_idle_train_loss_hides_no_rise_that_is_far_above_the_noise() {
    let idle = |_| 1.5;
    let far = judge(&curves(idle, &turned(0.12, 0.005)));
    assert!((0.11..0.12).contains(&far.rise.unwrap()));
    assert!(far.severity >= Severity::Watch, "{:?} {:?}", far.verdict, far.rise);
    // A small one, while nothing is learnt by heart, asks for more.
    let small = turned(0.085, 0.005);
    assert_eq!(judge(&curves(idle, &small)).verdict, Verdict::Healthy);
    assert!(judge(&curves(|step| 1.5 - 0.002 * step as f64, &small)).severity >= Severity::Watch);
}

/// A best at the second evaluation, then a level far above it; so the train probe, by `probe`.
fn thrown_off(probe: impl Fn(usize) -> f64) -> Curves {
    let evals = [6.0, 2.1, 2.87, 2.42, 2.56, 2.88, 2.34, 2.46, 2.38, 2.27, 2.40, 2.39, 2.38, 2.39];
    let mut curves = curves(|_| 2.5, &evals);
    for index in 0..evals.len() {
        let row = |i: u32| {
            let wavers = 0.05 * (f64::from(i) * 1.7 + index as f64).sin();
            ExampleLoss { nats: 10.0 * (probe(index) + wavers), tokens: 10 }
        };
        let loss = probe(index);
        let examples = (0..24).map(row).collect();
        let stats = eval(index as u64 * EVERY, loss);
        curves.apply(0.0, &Event::Eval(EvalStats { split: Split::TrainProbe, examples, ..stats }));
    }
    curves
}

#[test]
fn a_best_that_the_train_rows_vouch_for_is_no_luck_of_a_noisy_run() {
    let first = |curves: &Curves, evals: usize| {
        let mut seen = curves.clone();
        seen.eval.truncate(evals);
        seen.probe.truncate(evals);
        judge(&seen).severity
    };
    let worse = thrown_off(|index| if index == 1 { 1.8 } else { 2.3 });
    assert_eq!((first(&worse, 5), first(&worse, 8)), (Severity::Warn, Severity::Warn));
    // The rise is smaller now, and the eval loss has not been back.
    assert_eq!(first(&worse, 14), Severity::Watch);
    // A probe that was no better at the best vouches for nothing.
    let same = thrown_off(|index| if index == 0 { 6.0 } else { 1.8 });
    assert_eq!((first(&same, 5), first(&same, 8)), (Severity::None, Severity::None));
}
