//! `tune check` and `tune report` on logs typed by hand: what is said of a run, in every form.

use crate::cli::{Place, stderr, stdout};
use serde_json::{Value, json};

/// Checks `log`, and gives the code, the text, and its entry in the JSON document.
fn check(place: &Place, name: &str, log: &str) -> (Option<i32>, String, Value) {
    place.write(name, log);
    let output = place.tune(&["check", name]);
    let document: Value =
        serde_json::from_slice(&place.tune(&["check", "--json", name]).stdout).expect("JSON");
    (output.status.code(), stdout(&output), document["sources"][0].clone())
}

/// Evaluations with a train loss each, as lines of a loop of one's own.
fn lines(line: impl Fn(usize, &str) -> String, evals: &[&str]) -> String {
    evals.iter().enumerate().map(|(index, eval)| line(index + 1, eval) + "\n").collect()
}

const OVERFIT: [&str; 8] = ["2.4", "2.1", "2.0", "2.2", "2.4", "2.6", "2.8", "3.0"];

#[test]
fn losses_that_are_all_zero_fail_a_check() {
    let place = Place::new();
    let csv = "step,train_loss,val_loss\n".to_owned() + &lines(|step, _| format!("{step},0.0,0.0"), &[""; 7]);
    let (code, text, entry) = check(&place, "zeros.csv", &csv);
    assert_eq!((code, &entry["verdict"], &entry["severity"]), (Some(1), &json!("diverged"), &json!("warn")));
    assert!(text.contains("train and eval loss are exactly 0 from the first figure on"), "{text}");
    assert!(!text.contains("best eval loss") && entry["best"].is_null(), "{text}");
    assert!(text.contains("hint: Look at the labels of one batch"), "{text}");
}

#[test]
fn of_one_run_all_advice_is_given_and_of_several_a_line_each() {
    let place = Place::new();
    let log = lines(
        |index, eval| format!("step {} loss {:.2} eval_loss {eval}", 10 * index, 2.5 - 0.2 * index as f64),
        &OVERFIT,
    );
    let (_, text, entry) = check(&place, "a.log", &log);
    let advice = entry["findings"][0]["advice"].as_array().expect("a list").len();
    assert!(advice > 1 && text.matches("\n    hint: ").count() == advice, "{text}");
    place.write("b.log", &log);
    let both = stdout(&place.tune(&["check", "a.log", "b.log"]));
    assert_eq!(both.matches("\n    hint: ").count(), 2, "{both}");
}

#[test]
fn epochs_and_steps_that_are_counted_from_zero_are_advised_as_they_are_typed() {
    let place = Place::new();
    let from = |first: usize| {
        let head = "epoch,loss,val_loss\n".to_owned();
        head + &lines(|n, eval| format!("{},{:.2},{eval}", n - 1 + first, 2.5 - 0.2 * n as f64), &OVERFIT)
    };
    for first in [0, 1] {
        let (_, text, _) = check(&place, "log.csv", &from(first));
        assert!(text.contains("Train for about 3.0 epochs, not 8.0"), "{text}");
    }
    // A loop of one's own has trained by its first evaluation; Hugging Face's trainer may not have.
    let rising = ["2.0", "2.2", "2.4", "2.6", "2.8", "3.0", "3.2", "3.4"];
    let own =
        lines(|n, eval| format!("step {} loss {:.2} eval_loss {eval}", n - 1, 2.5 - 0.2 * n as f64), &rising);
    let (_, text, _) = check(&place, "own.log", &own);
    assert!(text.contains("Use the checkpoint at step 0: "), "{text}");
    let line = |n: usize, eval: &str| {
        let epoch = n - 1;
        let train = if n > 1 { format!("{{'loss': 1.{n}, 'epoch': {epoch}.0}}\n") } else { String::new() };
        format!("{train}{{'eval_loss': {eval}, 'epoch': {epoch}.0}}")
    };
    let (_, text, _) = check(&place, "hf.log", &lines(line, &rising));
    assert!(text.contains("Use the model as it was before the training: "), "{text}");
}

#[test]
fn of_several_eval_sets_the_one_whose_figures_are_given_is_named() {
    let place = Place::new();
    let log = lines(
        |epoch, eval| {
            format!(
                "{{'eval_mails_loss': {eval}, 'epoch': {epoch}.0}}\n{{'eval_chat_loss': 1.5, 'epoch': {epoch}.0}}"
            )
        },
        &OVERFIT,
    );
    let both = log.replace("'eval_chat_loss': 1.5", "'eval_chat_loss': 9.9");
    let both: String = both
        .lines()
        .zip(0..)
        .map(|(line, i)| line.replace("9.9", &format!("{}.5", 3 + i / 2)) + "\n")
        .collect();
    let (_, text, _) = check(&place, "both.log", &both);
    assert!(
        text.contains("\n    also ") && text.contains(": on the evaluation set \"chat\" eval loss"),
        "{text}"
    );
    let (_, text, entry) = check(&place, "run.log", &log);
    assert!(
        text.contains(
            "    note: the figures are of mails, the first of 2 evaluation sets; beside it chat (last 1.5000)\n"
        ),
        "{text}"
    );
    assert!(text.contains("--metric_for_best_model eval_mails_loss"), "{text}");
    assert_eq!((&entry["eval_points"], &entry["other_sets"][0]["set"]), (&json!(8), &json!("chat")));
    // The other way round it is the second that has risen.
    let line = |epoch: usize, eval: &str| {
        let (loss, flat) = (2.5 - 0.2 * epoch as f64, 1.5 - 0.01 * epoch as f64);
        format!(
            "{{'loss': {loss:.2}, 'epoch': {epoch}.0}}\n{{'eval_mails_loss': {flat:.2}, 'epoch': {epoch}.0}}\n\
                 {{'eval_chat_loss': {eval}, 'epoch': {epoch}.0}}"
        )
    };
    let (code, text, _) = check(&place, "second.log", &lines(line, &OVERFIT));
    assert!(code == Some(1) && text.contains("on the evaluation set \"chat\""), "{text}");
    assert!(text.contains("--metric_for_best_model eval_chat_loss"), "{text}");
    // What is below it is of the first set, and says so.
    assert!(text.contains("    eval loss of mails 1.4200 at epoch 8: the last is the best\n"), "{text}");
    let story = stdout(&place.tune(&["watch", "--once", "second.log"]));
    assert!(story.contains("  best   eval mails 1.420 at epoch 8\n"), "{story}");
    let mapped = stdout(&place.tune(&["check", "second.log", "--map", "eval=eval_chat_loss"]));
    assert!(mapped.contains("--metric_for_best_model eval_chat_loss"), "{mapped}");
    let text = stdout(&place.tune(&["watch", "--once", "run.log"]));
    assert!(text.contains("  eval 2.400  best\n") && text.contains("  eval chat 1.500  best\n"), "{text}");
    assert_eq!(text.matches("  eval 2.400  ").count(), 2, "{text}");
    let (_, text, _) = check(&place, "one.log", &log.replace("chat", "mails"));
    assert!(!text.contains("evaluation sets"), "{text}");
}

#[test]
fn losses_too_small_for_fixed_decimals_are_given_in_digits_that_count() {
    let place = Place::new();
    let tiny = OVERFIT.map(|eval| format!("{eval}e-5"));
    let tiny: Vec<&str> = tiny.iter().map(String::as_str).collect();
    let line = |n: usize, eval: &str| {
        format!("step {} loss {:.2}e-5 eval_loss {eval}", 10 * n, 2.5 - 0.2 * n as f64)
    };
    let (_, text, _) = check(&place, "tiny.log", &lines(line, &tiny));
    let lowest = "2.00e-5";
    assert!(text.contains(&format!("its best ({lowest} at step")), "{text}");
    assert!(text.contains(&format!("best eval loss {lowest} at step")), "{text}");
    let story = stdout(&place.tune(&["watch", "--once", "tiny.log"]));
    assert!(story.contains(&format!("  eval {lowest}  best")), "{story}");
    for text in [text, story] {
        assert!(!text.contains("0.000"), "{text}");
    }
}

#[test]
fn a_diverged_run_names_what_to_go_back_to() {
    let place = Place::new();
    let line = |index: usize, eval: &str| {
        let loss = if index > 3 { "nan" } else { "2.1" };
        format!("{{'loss': {loss}, 'epoch': {index}.5}}\n{{'eval_loss': {eval}, 'epoch': {index}.5}}")
    };
    let log = lines(line, &["2.4", "2.1", "2.0", "nan", "nan"]);
    let (_, text, entry) = check(&place, "run.log", &log);
    assert!(text.contains("\n    best eval loss 2.0000 at epoch 3.5; last NaN at epoch 5.5\n"), "{text}");
    assert!(
        text.contains("hint: Use the checkpoint at epoch 3.5: eval loss was lowest there (2.000)"),
        "{text}"
    );
    assert_eq!(entry["best"]["epoch"], 3.5);
    assert_eq!(entry["findings"][0]["evidence"]["best"]["loss"], 2.0);
    let table = stdout(&place.tune(&["check", "--markdown", "run.log"]));
    assert!(table.contains("| 2.0000 @ epoch 3.5 |"), "{table}");
    let report = place.tune(&["report", "run.log", "-o", "run.md"]);
    assert_eq!(report.status.code(), Some(0), "{}", stderr(&report));
    let report = std::fs::read_to_string(place.path("run.md")).expect("a report");
    assert!(report.contains("- Use the checkpoint at epoch 3.5"), "{report}");
}

#[test]
fn a_step_that_no_log_told_is_not_called_one() {
    let place = Place::new();
    let counted = lines(
        |index, eval| format!("train loss: {:.2}\nval loss: {eval}", 2.5 - 0.2 * index as f64),
        &OVERFIT,
    );
    let (_, text, entry) = check(&place, "counted.log", &counted);
    assert_eq!((&entry["step_kind"], &entry["best"]["step"]), (&json!("ordinal"), &json!(3)));
    assert!(
        text.contains("best eval loss 2.0000 at figure 3; last 3.0000 at figure 8")
            && !text.contains("step 3"),
        "{text}"
    );
    assert!(text.contains("hint: Train for about 38 % as long"), "{text}");
    let table = stdout(&place.tune(&["check", "--markdown", "counted.log"]));
    assert!(table.contains("| 2.0000 @ figure 3 | 3.0000 @ figure 8 |"), "{table}");
    for (name, words) in [
        ("counted.md", "Of the steps: neither steps nor epochs are written"),
        ("counted.json", "\"step_kind\": \"ordinal\""),
    ] {
        assert_eq!(place.tune(&["report", "counted.log", "-o", name]).status.code(), Some(0));
        let report = std::fs::read_to_string(place.path(name)).expect("a report");
        assert!(report.contains(words), "{report}");
        assert!(name.ends_with("json") || report.contains("| figure | epoch |"), "{report}");
    }
    let told = lines(|index, eval| format!("step {index} loss 2.1 eval_loss {eval}"), &OVERFIT);
    let epochs = lines(|index, eval| format!("epoch {index} train_loss 2.1 val_loss {eval}"), &OVERFIT);
    assert_eq!(check(&place, "told.log", &told).2["step_kind"], "explicit");
    assert_eq!(check(&place, "epochs.log", &epochs).2["step_kind"], "epoch");
}

#[test]
fn of_a_tie_one_step_is_named() {
    let place = Place::new();
    let of = |evals: &[&str]| {
        let line = |index: usize, eval: &str| {
            format!("step {} loss {:.2} eval_loss {eval}", 10 * index, 2.5 - 0.2 * index as f64)
        };
        check(&place, "tie.log", &lines(line, evals))
    };
    let (_, text, entry) = of(&["2.4", "2.1", "2.0", "2.0", "2.2", "2.4", "2.6", "2.8", "3.0"]);
    assert_eq!(
        (&entry["best"]["step"], &entry["findings"][0]["evidence"]["best_step"]),
        (&json!(30), &json!(30))
    );
    assert!(text.contains("note: 2 evaluations are equally low (2.0000), from step 30 to step 40"), "{text}");
    assert!(!text.replace("to step 40", "").contains("step 40"), "{text}");
    let (_, text, entry) = of(&["2.4", "2.3", "2.2", "2.1", "2.0", "2.0"]);
    assert_eq!(entry["best"]["step"], 60);
    assert!(text.contains("eval loss 2.0000 at step 60: the last is the best"), "{text}");
}

#[test]
fn a_log_without_evaluations_is_told_how_its_trainer_makes_them() {
    let place = Place::new();
    let log = lines(|step, _| format!("{{'loss': 1.{step}, 'epoch': {step}.0}}"), &[""; 3]);
    let (code, text, entry) = check(&place, "a.log", &log);
    assert_eq!((code, &entry["verdict"]), (Some(0), &json!("undecided")));
    assert!(
        text.contains("evaluate on them while it trains (eval_dataset=... and --eval_strategy"),
        "{text}"
    );
    let csv = lines(|step, _| format!("{step},1.{step}"), &[""; 3]);
    let (_, text, _) = check(&place, "b.csv", &(String::from("step,train_loss\n") + &csv));
    assert!(text.contains("evaluate on them while it trains: "), "{text}");
}

#[test]
fn a_loss_of_margins_may_come_down_to_zero_and_one_that_is_filtered_falls_there() {
    let place = Place::new();
    let of = |name: &str, train: [&str; 8]| {
        let rows = lines(
            |step, eval| format!("{step},{},{eval}", train[step - 1]),
            &["0.9", "0.8", "0.7", "0.6", "0.55", "0.5", "0.48", "0.47"],
        );
        check(&place, name, &(String::from("step,train_loss,val_loss\n") + &rows)).2["verdict"].clone()
    };
    assert_eq!(of("hinge.csv", ["1.0", "0.5", "0.2", "0.08", "0", "0", "0", "0"]), json!("healthy"));
    assert_eq!(of("filtered.csv", ["2.0", "1.9", "1.8", "1.8", "0", "0", "0", "0"]), json!("diverged"));
}

#[test]
fn one_loss_of_exactly_zero_between_sound_ones_is_no_best() {
    let place = Place::new();
    let mut losses = OVERFIT;
    losses[1] = "0";
    let log = "step,train_loss,val_loss\n".to_owned()
        + &lines(|step, eval| format!("{},{:.2},{eval}", 10 * step, 2.5 - 0.2 * step as f64), &losses);
    let (code, _, entry) = check(&place, "a.csv", &log);
    assert_eq!(
        (code, &entry["verdict"], &entry["best"]["step"]),
        (Some(1), &json!("overfitting"), &json!(30))
    );
}

#[test]
fn of_several_runs_in_a_log_the_newest_is_judged_and_the_others_are_told() {
    let place = Place::new();
    let fold = |evals: &[&str]| {
        let line = |n: usize, eval: &str| {
            format!("epoch {n} train_loss {:.2} val_loss {eval}", 2.5 - 0.2 * n as f64)
        };
        lines(line, evals)
    };
    let healthy = ["2.4", "2.2", "2.1", "2.0", "1.9", "1.8", "1.75", "1.7"];
    let log = fold(&healthy) + &fold(&OVERFIT) + &fold(&healthy);
    let (code, text, _) = check(&place, "folds.log", &log);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("of the runs before it in this log: run 2 overfitting (severe)\n"), "{text}");
    let output = place.tune(&["report", "folds.log", "-o", "folds.html"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = std::fs::read_to_string(place.path("folds.html")).expect("a report");
    assert!(page.contains("run 2 overfitting (severe)"), "{page}");
    let (_, text, _) = check(&place, "well.log", &(fold(&healthy) + &fold(&healthy)));
    assert!(!text.contains("of the runs before it"), "{text}");
}

#[test]
fn a_held_out_figure_that_is_not_called_a_loss_is_asked_about() {
    let place = Place::new();
    let row =
        |n: usize, eval: &str| format!("{{\"epoch\":{n},\"loss\":{:.2},\"val\":{eval}}}", 2.5 / n as f64);
    let (_, text, _) = check(&place, "rows.jsonl", &lines(row, &OVERFIT));
    assert!(text.contains("if val is a loss, say so: --map \"eval=val\""), "{text}");
    assert!(!text.contains("Hold some rows out"), "{text}");
}

#[test]
fn a_newest_evaluation_that_has_leapt_is_told_and_not_the_median() {
    let place = Place::new();
    let line =
        |n: usize, eval: &str| format!("epoch {n} train_loss {:.2} val_loss {eval}", 2.0 - 0.3 * n as f64);
    let (_, text, _) = check(&place, "leap.log", &lines(line, &["2.0", "1.8", "3.9"]));
    assert!(
        text.contains("the newest eval loss is 2.2 times its best") && !text.contains(" 0.0 %"),
        "{text}"
    );
}

#[test]
fn above_a_best_of_zero_or_below_it_a_table_has_no_shares() {
    let place = Place::new();
    for (evals, expected) in
        [(["0.5", "0.1", "0", "0", "0.1"], "+0.100"), (["0.5", "0.1", "-1", "-1", "-0.5"], "+0.500")]
    {
        place.write(
            "log.csv",
            &("step,val_loss\n".to_owned() + &lines(|n, eval| format!("{n},{eval}"), &evals)),
        );
        let output = place.tune(&["report", "log.csv", "-o", "log.md"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = std::fs::read_to_string(place.path("log.md")).expect("a report");
        assert!(text.contains(expected) && !text.contains("NaN") && !text.contains("-50.0 %"), "{text}");
    }
}
