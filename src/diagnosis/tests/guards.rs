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
    let evals = [2.485, 1.725, 1.579, 1.545, 1.484, 1.473, 1.484, 1.433, 1.486, 1.562];
    let train = [2.37, 1.52, 1.39, 1.28, 1.22, 1.16, 1.11, 1.09, 1.07, 0.97];
    assert_eq!(gravity(&train, &evals, &Limits::DEFAULT), Severity::None);
    assert_eq!(gravity(&train, &evals, &Limits { wanders_watch: 0.0, ..Limits::DEFAULT }), Severity::Watch);
    let evals = [2.408, 1.637, 1.494, 1.425, 1.458, 1.446, 1.48, 1.548];
    let train = [2.55, 1.23, 0.82, 0.68, 0.54, 0.46, 0.38, 0.35];
    assert_eq!(gravity(&train, &evals, &Limits::DEFAULT), Severity::Watch);
    assert_eq!(gravity(&train, &evals, &Limits { wanders_warn: 0.0, ..Limits::DEFAULT }), Severity::Warn);
}

#[test]
fn a_level_held_above_the_best_counts_where_it_is_above_the_noise() {
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
    assert_eq!(gravity(&train, &evals, &low), Severity::None);
    assert_eq!(gravity(&train, &evals, &Limits { held_noise: 0.0, ..low }), Severity::Watch);
    assert_eq!(gravity(&train, &evals, &Limits { held_noise: 0.0, ..Limits::DEFAULT }), Severity::None);
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
fn many_evaluations_have_shown_their_noise() {
    // A plateau that waves by 3 % either way, and from the fortieth evaluation on a slow rise.
    let of = |evals: usize, limits: &Limits| {
        let wave = |i: usize| 1.0 + 0.03 * ((i * 7919 % 13) as f64 / 6.0 - 1.0);
        let level = |i: usize| 1.5 + (-(i as f64)).exp() + 0.006 * (i as f64 - 40.0).max(0.0);
        let losses: Vec<f64> = (0..evals).map(|i| wave(i) * level(i)).collect();
        gravity(&vec![1.4; evals], &losses, limits)
    };
    let unshown = Limits { many_evals: (1e3, 2e3), ..Limits::DEFAULT };
    assert_eq!(of(40, &Limits::DEFAULT), Severity::None);
    assert_eq!(of(71, &unshown), Severity::None);
    assert!(of(71, &Limits::DEFAULT) >= Severity::Warn);
    let light = Limits { weight_warn: 1e3, ..Limits::DEFAULT };
    assert_eq!(of(74, &light), Severity::Warn);
    assert_eq!(of(74, &Limits { strength_warn_many: 1e3, ..light }), Severity::Watch);
}
