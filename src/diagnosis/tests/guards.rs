//! What guards a rise against noise, each on a curve whose severity is another without it.

use super::*;

/// How grave evaluations and the train losses before each are, by these limits.
fn gravity(train: &[f64], evals: &[f64], limits: &Limits) -> Severity {
    let mut curves = Curves::default();
    for (at, (train, loss)) in (1..).zip(train.iter().zip(evals)) {
        curves.apply(0.0, &step(at * EVERY, *train));
        curves.apply(0.0, &Event::Eval(eval(at * EVERY, *loss)));
    }
    diagnose(&curves, &RunInfo::default(), limits).severity
}

#[test]
fn a_train_loss_that_falls_lets_a_slow_rise_count_for_more() {
    let evals = [3.242, 2.277, 2.065, 1.998, 2.045, 2.07, 2.027, 2.074, 2.058, 2.097, 2.149, 2.127];
    let train = [2.01, 1.83, 1.62, 1.55, 1.4, 1.32, 1.2, 1.14, 1.06, 1.01, 0.96, 0.91];
    let of = |limits: &Limits| gravity(&train, &evals, limits);
    assert_eq!(of(&Limits::DEFAULT), Severity::Watch);
    assert_eq!(of(&Limits { learnt_counts: 0.0, ..Limits::DEFAULT }), Severity::None);
    assert_eq!(of(&Limits { few_learnt: 0.0, ..Limits::DEFAULT }), Severity::None);
}

#[test]
fn what_wanders_from_one_evaluation_to_the_next_is_no_rise() {
    let evals = [2.457, 1.699, 1.57, 1.523, 1.541, 1.542, 1.482, 1.435, 1.505, 1.58, 1.567];
    let train = [2.43, 1.56, 1.4, 1.3, 1.26, 1.15, 1.17, 1.12, 1.1, 0.99, 0.98];
    assert_eq!(gravity(&train, &evals, &Limits::DEFAULT), Severity::None);
    assert_eq!(gravity(&train, &evals, &Limits { wanders_watch: 0.0, ..Limits::DEFAULT }), Severity::Watch);
    let evals = [2.408, 1.637, 1.494, 1.425, 1.458, 1.446, 1.48, 1.548, 1.58];
    let train = [2.55, 1.23, 0.82, 0.68, 0.54, 0.46, 0.38, 0.35, 0.33];
    assert_eq!(gravity(&train, &evals, &Limits::DEFAULT), Severity::Watch);
    assert_eq!(gravity(&train, &evals, &Limits { wanders_warn: 0.0, ..Limits::DEFAULT }), Severity::Warn);
}

#[test]
fn a_level_held_above_the_best_counts_where_it_is_high() {
    // A plateau, waving by 3 %, with a lucky stretch early on.
    let evals = [
        2.44, 1.735, 1.574, 1.476, 1.42, 1.405, 1.401, 1.469, 1.47, 1.513, 1.518, 1.539, 1.515, 1.495, 1.523,
        1.525, 1.558, 1.509, 1.498, 1.566, 1.588, 1.568, 1.512, 1.51, 1.529, 1.51, 1.491, 1.536, 1.537,
        1.522,
    ];
    let train = [
        2.41, 1.6, 1.39, 1.28, 1.45, 1.35, 1.3, 1.35, 1.31, 1.31, 1.28, 1.25, 1.21, 1.27, 1.19, 1.24, 1.17,
        1.15, 1.18, 1.14, 1.15, 1.05, 1.14, 1.02, 1.0, 1.03, 0.96, 1.0, 0.99, 0.93,
    ];
    let low = Limits { held_watch: 0.06, ..Limits::DEFAULT };
    assert_eq!(gravity(&train, &evals, &low), Severity::Watch);
    assert_eq!(gravity(&train, &evals, &Limits::DEFAULT), Severity::None);
    // An overfit in the same noise, whose train loss says so.
    let evals = [
        3.471, 2.377, 1.98, 2.08, 1.974, 2.026, 2.115, 2.154, 2.125, 2.138, 2.339, 2.189, 2.132, 2.166,
        2.193, 2.233, 2.237, 2.275, 2.297, 2.324,
    ];
    let train = [
        2.04, 1.83, 1.71, 1.53, 1.48, 1.36, 1.25, 1.19, 1.08, 1.04, 0.93, 0.93, 0.83, 0.83, 0.79, 0.8, 0.74,
        0.73, 0.74, 0.67,
    ];
    assert_eq!(gravity(&train, &evals, &Limits::DEFAULT), Severity::Severe);
    assert_eq!(gravity(&train, &evals, &Limits { held_warn: 9.0, ..Limits::DEFAULT }), Severity::Watch);
}

#[test]
fn a_warning_waits_for_evaluations_after_the_best() {
    // A plain rise: a look at once, a warning with the fourth evaluation since the best.
    let evals = [3.0, 2.5, 2.2, 2.1, 2.06, 2.04, 2.03, 2.02, 2.4, 2.55, 2.7, 2.85];
    let train = [2.9, 2.4, 2.1, 1.9, 1.7, 1.5, 1.4, 1.3, 1.0, 0.8, 0.7, 0.6];
    let of =
        |evals: &[f64], since_warn: usize| gravity(&train, evals, &Limits { since_warn, ..Limits::DEFAULT });
    let default = Limits::DEFAULT.since_warn;
    assert_eq!(of(&evals[..11], default), Severity::Watch);
    assert_eq!(of(&evals[..11], 3), Severity::Severe);
    assert_eq!(of(&evals, default), Severity::Severe);
}

#[test]
fn a_best_just_reached_has_not_been_left_behind() {
    // The fall-then-rise ends a quarter above its lowest; of the last two evaluations one is the best.
    let evals = [2.482, 1.682, 1.546, 1.543, 1.459, 1.142, 1.522];
    let train = [2.47, 1.56, 1.35, 1.19, 1.17, 1.12, 1.06];
    assert_eq!(gravity(&train, &evals, &Limits::DEFAULT), Severity::None);
}

#[test]
fn a_run_of_three_epochs_is_judged_where_all_that_followed_the_best_is_far_above_it() {
    let falling = [1.0, 0.4, 0.15, 0.06];
    let idle = [1.0, 1.0, 1.0, 1.0];
    let of = |train: &[f64], evals: &[f64]| gravity(train, evals, &Limits::DEFAULT);
    assert_eq!(of(&falling, &[0.50, 0.62, 0.85]), Severity::Severe);
    assert_eq!(of(&falling, &[0.80, 0.50, 0.62, 0.85]), Severity::Severe);
    // Where nothing is learnt by heart, one evaluation more.
    assert!(of(&idle, &[0.50, 0.62, 0.85]) < Severity::Warn);
    assert_eq!(of(&idle, &[0.50, 0.62, 0.85, 0.90]), Severity::Severe);
    // One that is not, and it may have been luck; what comes down again is a spike.
    assert!(of(&falling, &[0.50, 0.62, 0.55]) < Severity::Warn);
    assert!(of(&falling, &[1.0, 0.50, 0.80, 0.70]) < Severity::Warn);
    // A slow beginning of a steep rise; and one evaluation alone, far off.
    assert_eq!(of(&[1.0, 0.8, 0.4, 0.3, 0.2], &[1.62, 1.55, 1.85, 2.3, 2.8]), Severity::Severe);
    assert_eq!(of(&[1.0, 0.8, 0.5, 0.3, 0.2], &[1.62, 1.55, 1.70, 1.84, 2.0]), Severity::Severe);
    assert_eq!(of(&falling, &[1.62, 1.50, 2.25]), Severity::Watch);
    let none = Limits { plain_evals: 0, ..Limits::DEFAULT };
    assert!(gravity(&falling, &[0.50, 0.62, 0.85], &none) < Severity::Warn);
    assert_eq!(gravity(&falling, &[1.62, 1.50, 2.25], &none), Severity::None);
}

#[test]
fn many_evaluations_have_shown_their_noise_and_need_less_strength() {
    // A plateau, then 24 evaluations that rise, waving by 2 %, while the train loss falls slowly.
    let of = |plateau: usize, rise: f64, limits: &Limits| {
        let wave = |at: usize| 0.02 * (at as f64 * at as f64 * 1.7).sin();
        let since = |at: usize| (at as f64 - plateau as f64).max(0.0) / 24.0;
        let all = 0..plateau + 24;
        let evals: Vec<f64> =
            all.clone().map(|at| 1.5 * (1.0 + rise * since(at)) * (1.0 + wave(at))).collect();
        let train: Vec<f64> = all.map(|at| 1.4 - 0.004 * at as f64).collect();
        gravity(&train, &evals, limits)
    };
    let sure = |many: f64| Limits { many_watch: many, many_warn: many, ..Limits::DEFAULT };
    assert_eq!(of(120, 0.05, &Limits::DEFAULT), Severity::Watch);
    assert_eq!(of(120, 0.05, &sure(1.0)), Severity::None);
    assert_eq!(of(120, 0.10, &Limits::DEFAULT), Severity::Warn);
    assert_eq!(of(120, 0.10, &sure(1.0)), Severity::Watch);
    // Few have not.
    assert_eq!(of(8, 0.06, &sure(0.1)), Severity::None);
}

#[test]
fn losses_beyond_all_measure_are_judged_without_a_panic() {
    let values = [
        1.0,
        f64::MAX,
        -f64::MAX,
        1e308,
        f64::MIN_POSITIVE,
        5e-324,
        0.0,
        -1.0,
        f64::NAN,
        f64::INFINITY,
        3e38,
        1e-45,
    ];
    // Every pair of them, again and again in one order and in another.
    for (a, b) in values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b))) {
        for order in [[a, b, b, b, b, b, b, b, b, b], [a, b, a, b, 1.0, b, a, a, 2.0, b]] {
            let mut curves = curves(|_| b, &order);
            for (index, loss) in order.iter().enumerate() {
                let row = |i: u32| ExampleLoss { nats: loss * f64::from(i), tokens: i };
                let examples = (1..20).map(row).collect();
                let metrics = vec![Metric { name: "eval_f1".into(), value: *loss }];
                let stats = EvalStats { metrics, examples, ..eval(index as u64 * EVERY, *loss) };
                curves.apply(0.0, &Event::Eval(stats));
                let found = judge(&curves);
                found.findings.iter().chain(&found.remarks).for_each(|f| drop(f.message(Places::default())));
            }
        }
    }
    assert_eq!(judge(&curves(|_| 1.0, &[2.0, 1.5, f64::MAX])).verdict, Verdict::Diverged);
}

#[test]
fn losses_below_zero_are_not_called_healthy() {
    let falls_and_rises: Vec<f64> = (0..20).map(|i| -1.0 + 0.004 * f64::from((i - 8) * (i - 8))).collect();
    let found = judge(&curves(|step| -(step as f64), &falls_and_rises));
    assert_eq!(found.verdict, Verdict::Undecided);
    assert!(found.undecided.is_some_and(|why| why.starts_with("the lowest eval loss is -1.000: ")));
}

/// Noise of about this standard deviation, the same every time.
fn wobble(index: usize, deviation: f64) -> f64 {
    deviation * [0.3, -1.2, 0.9, -0.4, 1.4, -0.8, 0.1, 1.1, -1.5, 0.5, -0.2][index % 11]
}

#[test]
fn a_run_that_learns_nothing_is_told_through_its_noise() {
    let evals = |slope: f64| -> Vec<f64> {
        (0..20).map(|i| 3.0 * (1.0 - slope * i as f64 + wobble(i, 0.01))).collect()
    };
    let verdict = |slope: f64| judge(&curves(|_| 3.0, &evals(slope))).verdict;
    assert_eq!(verdict(0.0), Verdict::Underfitting);
    assert_eq!(verdict(0.005), Verdict::Healthy);
}

#[test]
fn a_metric_must_be_better_by_more_than_its_noise_to_temper_an_alarm() {
    let with = |deviation: f64| {
        let mut curves = curves(falling_train, &RISING);
        for (index, loss) in RISING.iter().enumerate() {
            let value = 0.7 + wobble(index, deviation) + 0.04 * (index as f64 - 3.0);
            let metrics = vec![Metric { name: "val_accuracy".into(), value }];
            curves.apply(0.0, &Event::Eval(EvalStats { metrics, ..eval(index as u64 * EVERY, *loss) }));
        }
        judge(&curves).severity
    };
    assert_eq!((with(0.001), with(0.12)), (Severity::Watch, Severity::Severe));
}
