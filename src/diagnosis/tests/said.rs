//! What is said of losses that are none, of evaluations that tie, and of a noise that nobody measured.

use super::*;

#[test]
fn losses_of_exactly_zero_are_no_losses_unless_a_task_came_down_to_them() {
    let of = |train: fn(u64) -> f64, evals: &[f64], trainer: &str| {
        let run = RunInfo { trainer: trainer.into(), ..RunInfo::default() };
        diagnose(&curves(train, evals), &run, &Limits::DEFAULT)
    };
    let zero = (Verdict::Diverged, Severity::Warn);
    let verdict = |found: &Diagnosis| (found.verdict, found.severity);
    for trainer in ["tune", "hf-trainer", "csv"] {
        let masked = of(|_| 0.0, &[0.0; 6], trainer);
        assert_eq!(verdict(&masked), zero, "{trainer}");
        assert_eq!(masked.best, None, "no evaluation is any good");
        assert!(masked.remarks.is_empty(), "{:?}", masked.remarks);
        let message = masked.findings[0].message(Places::default());
        assert!(
            message.starts_with("train and eval loss are exactly 0 from the first figure on"),
            "{message}"
        );
        // A filter leaves the zeros at once, and that is no reciting.
        let filtered = of(|step| if step > 60 { 0.0 } else { 2.0 }, &[3.0, 2.5, 2.2, 2.0, 2.0, 2.0], trainer);
        assert_eq!(
            (verdict(&filtered), kinds(&filtered.findings).len()),
            (zero, 1),
            "{:?}",
            filtered.findings
        );
        let both = of(|step| if step > 60 { 0.0 } else { 2.0 }, &[3.0, 2.5, 2.2, 2.1, 0.0, 0.0], trainer);
        assert_eq!((verdict(&both), both.best), (zero, Some(3)), "the best is one that is a loss");
        assert!(!kinds(&both.remarks).contains(&"tie".to_string()), "{:?}", both.remarks);
    }
    let eval_alone = of(falling_train, &[0.0; 6], "csv").findings[0].message(Places::default());
    assert!(eval_alone.starts_with("eval loss is exactly 0 from the first figure on"), "{eval_alone}");
    // A task that is solved prints as zero in the end; a share of wrong answers may be none.
    let solved = |step: u64| if step > 100 { 0.0 } else { (2.0 - 0.0196 * step as f64).max(0.04) };
    assert_eq!(of(solved, &[3.0, 2.0, 1.0, 0.5, 0.04, 0.0, 0.0, 0.0], "mlx-lm").verdict, Verdict::Healthy);
    assert_eq!(of(|_| 0.0, &[0.0; 6], "xgboost").verdict, Verdict::Healthy);
}

#[test]
fn an_evaluation_that_breaks_while_the_training_is_well_has_causes_of_its_own() {
    let broken = [3.0, 2.5, 2.2, f64::NAN, f64::NAN];
    let of = |train: fn(u64) -> f64, evals: &[f64]| {
        let run = RunInfo { trainer: "hf-trainer".into(), ..RunInfo::default() };
        let found = diagnose(&curves(train, evals), &run, &Limits::DEFAULT);
        assert_eq!((found.verdict, found.severity), (Verdict::Diverged, Severity::Severe));
        let texts = advice::advise(&found, &run).into_iter().map(|advice| advice.text);
        (found.findings[0].message(Places::default()), texts.collect::<Vec<_>>())
    };
    let (message, advice) = of(falling_train, &broken);
    assert_eq!(
        message,
        "eval loss is not a finite number since step 60, while train loss is a number (1.118)"
    );
    assert!(advice[0].starts_with("Evaluate in float32") && advice[1].contains("(-100)"), "{advice:?}");
    assert!(advice[2].starts_with("Use the checkpoint at step 40 (epoch 1.0)"), "{advice:?}");
    let (_, never) = of(falling_train, &[f64::NAN; 5]);
    assert!(never[0].starts_with("Look at the labels of the eval rows") && never.len() == 2, "{never:?}");
    // Where the train loss is gone too, or has blown up, or was filtered, the steps were too long.
    for train in [
        |step| if step > 50 { f64::NAN } else { 2.0 },
        |step| if step > 50 { 9.0 } else { 2.0 },
        |step| if step > 50 { 0.0 } else { 2.0 },
    ] {
        let (message, advice) = of(train, &broken);
        assert!(!message.contains("while"), "{message}");
        assert!(advice[0].starts_with("Use the checkpoint at step 40"), "{advice:?}");
        assert!(advice[1].starts_with("Lower the learning rate"), "{advice:?}");
    }
}

#[test]
fn of_evaluations_that_tie_one_is_named_and_the_tie_is_told() {
    let of = |evals: &[f64], trainer: &str| {
        let run = RunInfo { trainer: trainer.into(), ..RunInfo::default() };
        diagnose(&curves(falling_train, evals), &run, &Limits::DEFAULT)
    };
    let tie = |found: &Diagnosis| {
        let tie = found.remarks.iter().find(|remark| remark.kind() == "tie");
        tie.map(|tie| tie.message(Places::default())).unwrap_or_default()
    };
    let falls = of(&[3.0, 2.5, 2.2, 2.1, 2.05, 2.05], "mlx-lm");
    assert_eq!(falls.best, Some(5));
    assert_eq!(
        tie(&falls),
        "2 evaluations are equally low (2.0500), from step 80 to step 100: the best is taken to be at step 100, where \
         a curve that still falls is lowest"
    );
    let turns = of(&[3.0, 2.4, 2.1, 2.0, 2.0, 2.15, 2.25, 2.35, 2.45, 2.55], "mlx-lm");
    assert_eq!(turns.best, Some(3));
    assert!(tie(&turns).contains("the best is taken to be at step 60, which"), "{}", tie(&turns));
    let Evidence::Rise(rise) = &turns.findings[0].evidence else { panic!("{:?}", turns.findings) };
    assert_eq!(rise.best_step, 60, "the same everywhere");
    // Of our own runs the adapter of the first is kept.
    assert_eq!(of(&[3.0, 2.5, 2.2, 2.1, 2.05, 2.05], "tune").best, Some(4));
    assert_eq!(tie(&of(&[2.0; 6], "mlx-lm")), "", "a flat line is none");
}

#[test]
fn a_noise_that_is_assumed_is_called_so() {
    let message = |evals: &[f64]| {
        let found = diagnose(&curves(falling_train, evals), &RunInfo::default(), &Limits::DEFAULT);
        assert_eq!(found.verdict, Verdict::Overfitting);
        found.findings[0].message(Places::default())
    };
    // Not a hair off the fit: nothing was measured.
    let smooth = message(&RISING);
    assert!(smooth.contains(" % (assumed noise) above its best "), "{smooth}");
    let jagged: Vec<f64> =
        RISING.iter().enumerate().map(|(i, loss)| loss * if i % 2 == 0 { 1.03 } else { 0.97 }).collect();
    let jagged = message(&jagged);
    assert!(jagged.contains(" % above its best ") && jagged.contains('\u{b1}'), "{jagged}");
}
