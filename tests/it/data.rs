//! `tune data` over files with planted faults, and what `tune run` says of them.

use crate::cli::{OUT, Place, stderr, stdout};
use serde_json::{Value, json};

/// Row `i` of a dataset in which no two rows are alike, as words.
fn words(i: usize) -> Vec<String> {
    (0..30).map(|w| format!("w{}", (i * 977 + w * 31) % 90_000)).collect()
}

fn row(prompt: &[String], completion: &str) -> String {
    json!({"prompt": prompt.join(" "), "completion": completion}).to_string() + "\n"
}

fn document(place: &Place, arguments: &[&str], code: i32) -> Value {
    let output = place.tune(&[&["data", "job.toml", "--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

/// 40 rows, of which row 11 is row 3 again, and row 21 is row 5 with one word changed.
fn planted() -> Place {
    let place = Place::new();
    let mut near = words(5);
    near[12] = "other".into();
    let rows = (1..=40).map(|i| match i {
        11 => row(&words(3), "Yes 3."),
        21 => row(&near, "Yes 5."),
        _ => row(&words(i), &format!("Yes {i}.")),
    });
    place.write("rows.jsonl", &rows.collect::<String>());
    place
}

#[test]
fn planted_duplicates_are_found_and_never_on_two_sides() {
    let place = planted();
    let roomy = ["--set", "data.max_length=512", "--set", "data.valid=0.3", "--set"];
    let mut sides = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let seed = format!("data.seed={seed}");
        let found = document(&place, &[&roomy[..], &[&seed]].concat(), 0);
        let sum = |key: &str| found["train"][key].as_u64().unwrap() + found["valid"][key].as_u64().unwrap();
        assert_eq!((sum("rows"), sum("duplicates"), sum("near_duplicates")), (40, 1, 1), "{found}");
        assert_eq!(found["leaks"], json!([]));
        sides.insert((found["train"]["duplicates"].as_u64(), found["train"]["near_duplicates"].as_u64()));
    }
    assert!(sides.len() > 2, "the pairs fall on either side: {sides:?}");
    let output = place.tune(&["data", "job.toml", "--set", "data.max_length=512"]);
    let text = stdout(&output);
    assert!(text.contains("\ntrain ") && text.contains("\nvalid "), "{text}");
    assert!(text.ends_with("\nno row is on two sides\n"), "{text}");
}

#[test]
fn leaks_between_files_are_named_by_data_and_by_run() {
    let place = planted();
    let mut near = words(8);
    near[1] = "another".into();
    let held = [row(&words(100), "New."), row(&words(7), "Yes 7."), row(&near, "Yes 8.")];
    place.write("held.jsonl", &held.concat());
    let sets = ["--set", "data.valid=\"held.jsonl\"", "--set", "data.max_length=512"];
    let found = document(&place, &sets, 0);
    let leaks = found["leaks"].as_array().expect("a list");
    assert_eq!((&leaks[0]["row"], &leaks[0]["twin"]), (&json!("held.jsonl:2"), &json!("rows.jsonl:7")));
    assert_eq!(leaks[0]["likeness"], 1.0);
    assert_eq!((&leaks[1]["row"], &leaks[1]["twin"]), (&json!("held.jsonl:3"), &json!("rows.jsonl:8")));
    assert!(leaks[1]["likeness"].as_f64().is_some_and(|share| (0.8..1.0).contains(&share)), "{leaks:?}");
    assert_eq!(leaks.len(), 2);
    let run = place
        .tune(&[&["run", "job.toml", "--plain", "--out", OUT, "--set", "train.steps=1"], &sets[..]].concat());
    let told = stderr(&run);
    for warning in [
        "warning: 1 row is held out and also trained on, the first is held.jsonl:2 (see rows.jsonl:7): ",
        "warning: 1 row is held out and nearly the same as one that is trained on, the first is held.jsonl:3 ",
    ] {
        assert!(told.contains(warning), "{told}");
    }
}

#[test]
fn a_text_with_a_word_changed_again_and_again_stays_on_one_side() {
    let place = Place::new();
    let copy = |i: usize| {
        let mut words = [500, 501, 502].map(words).concat();
        words[i] = format!("other{i}");
        row(&words, "Yes, as ever.")
    };
    let written = |copies: usize| {
        let rows = (0..copies).map(copy).chain((0..70).map(|i| row(&words(i), &format!("Yes {i}."))));
        place.write("rows.jsonl", &rows.collect::<String>());
    };
    written(18);
    for seed in 0..4 {
        let sets = ["data.max_length=900".to_owned(), "data.valid=0.4".into(), format!("data.seed={seed}")];
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let found = document(&place, &sets, 0);
        let alike = ["train", "valid"].map(|side| found[side]["near_duplicates"].as_u64().expect("a number"));
        assert_eq!((alike.iter().max(), alike.iter().sum::<u64>()), (Some(&17), 17), "{found}");
        assert_eq!((&found["leaks"], &found["uncompared"]), (&json!([]), &json!(0)));
    }
    // More of them may be a template with short questions, which are not compared, and that is said.
    written(30);
    let output = place.tune(&["data", "job.toml", "--set", "data.max_length=900"]);
    let told = "\nno row is on two sides; 30 rows have too little text of their own for more than equal ones to be found\n";
    assert!(stdout(&output).ends_with(told), "{}", stdout(&output));
}

#[test]
fn test_rows_that_repeat_validation_rows_are_not_called_trained_on() {
    let place = planted();
    let mut near = words(101);
    near[1] = "another".into();
    place.write("held.jsonl", &[row(&words(100), "New."), row(&words(101), "Newer.")].concat());
    place.write("test.jsonl", &[row(&words(100), "New."), row(&near, "Newer.")].concat());
    let sets = ["data.valid=\"held.jsonl\"", "data.test=\"test.jsonl\"", "data.max_length=512"];
    let found = document(&place, &sets.map(|set| ["--set", set]).concat(), 0);
    let trained_on: Vec<_> =
        found["leaks"].as_array().expect("a list").iter().map(|leak| &leak["trained_on"]).collect();
    assert_eq!(trained_on, [&json!(false); 2], "{found}");
    let warnings = found["warnings"].to_string();
    for warning in [
        "1 row of the test also decides when to stop, as a validation row, the first is test.jsonl:1 \
         (see held.jsonl:1): the test loss will look too good",
        "1 row of the test is nearly the same as a validation row, which decides when to stop, the first is \
         test.jsonl:2 (see held.jsonl:2): the test loss will look too good",
    ] {
        assert!(warnings.contains(warning), "{warnings}");
    }
    assert!(!warnings.contains("trained on"), "{warnings}");
}

#[test]
fn rows_that_cannot_be_learnt_from_are_listed_together_and_refused() {
    let place = Place::new();
    let rows = [
        row(&["a".into()], "b"),
        row(&["c".into()], "  "),
        row(&vec!["very".to_owned(); 200], "long"),
        row(&["d".into()], "e"),
        row(&["f".into()], "g"),
    ];
    place.write("rows.jsonl", &rows.concat());
    let found = document(&place, &["--set", "data.valid=1"], 2);
    assert_eq!(found["blank_answers"], json!(["rows.jsonl:2"]));
    assert_eq!(found["emptied_by_cutting"][0]["row"], "rows.jsonl:3");
    assert_eq!(found["unusable"], json!([]));
    let output = place.tune(&["data", "job.toml", "--set", "data.valid=1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("\nleft out of all this: 1 row that cannot be used\n"));
    assert!(!stdout(&output).contains("rows.jsonl:3"), "said once, by the error");
    assert!(stderr(&output).starts_with("error: rows.jsonl:3: cut to 64 tokens, "), "{}", stderr(&output));
    let whole = place.tune(&["data", "job.toml", "--set", "data.valid=1", "--set", "data.max_length=900"]);
    assert_eq!(whole.status.code(), Some(0), "{}", stderr(&whole));
    assert!(stdout(&whole).contains(
        "\nwarning: 1 row has a blank answer and teaches to say nothing, the first is rows.jsonl:2\n"
    ));
    let missing = place.tune(&["data", "job.toml", "--set", "data.train=\"no.jsonl\""]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).starts_with("error: no.jsonl: cannot be read: "), "{}", stderr(&missing));
}

#[test]
fn a_table_from_a_spreadsheet_is_read_and_its_prompts_are_varied() {
    let place = Place::new();
    let rows = (0..12).map(|i| format!("\"How many, please, are {i}?\";There are {i}.\r\n"));
    place.write("rows.csv", &("prompt;completion\r\n".to_owned() + &rows.collect::<String>()));
    let sets = ["--set", "data.train=rows.csv", "--set", "augment.lowercase=1.0"];
    let output = place.tune(&[&["data", "job.toml"], &sets[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = stdout(&output);
    let preview = told.split_once("as it is, and in the first epochs:\n").expect("variations are shown").1;
    let lines: Vec<&str> = preview.lines().map(str::trim).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[1], lines[0].to_lowercase());
    let learnt = place.tune(&[&["data", "job.toml", "--set", "data.mask_prompt=false"], &sets[..]].concat());
    assert_eq!(learnt.status.code(), Some(2));
    assert!(
        stderr(&learnt).contains("augment.lowercase=1.0: data.mask_prompt is false"),
        "{}",
        stderr(&learnt)
    );
    place.write("rows.csv", "prompt;completion\n\"How; many\n");
    let broken = place.tune(&[&["data", "job.toml"], &sets[..]].concat());
    assert!(
        stderr(&broken).starts_with("error: rows.csv:2: a quote is opened and never closed"),
        "{}",
        stderr(&broken)
    );
}

#[test]
fn few_held_out_rows_are_warned_of_before_the_training() {
    let place = planted();
    let data = |valid: &str| {
        let valid = format!("data.valid={valid}");
        let output = place.tune(&["data", "job.toml", "--set", "data.max_length=512", "--set", &valid]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let six = data("6");
    assert_eq!(six.matches("held-out rows are few").count(), 1, "{six}");
    let warning = "warning: 6 held-out rows are few: fewer than 8 are not compared row by row";
    assert!(six.contains(warning) && six.contains("--set data.valid="), "{six}");
    let ten = data("10");
    assert!(
        ten.contains("10 held-out rows are few: over ")
            && ten.contains(" evaluations they tell a rise of 5 % "),
        "{ten}"
    );
    // Of forty rows no third is enough, of a thousand it is.
    assert!(ten.contains("of 40 rows in all no more can be spared: add some, or name a file of "), "{ten}");
    place.write("rows.jsonl", &(1..=300).map(|i| row(&words(i), "Yes.")).collect::<String>());
    let many = data("10");
    let enough = many.split("--set data.valid=").nth(1).and_then(|rest| rest.lines().next()).expect("a key");
    assert!(!data(enough).contains("held-out rows are few"), "{many}");
    assert!(
        data(&(enough.parse::<u32>().expect("a number") - 1).to_string()).contains("held-out rows are few"),
        "{many}"
    );
    let found = document(&place, &["--set", "data.max_length=512", "--set", "data.valid=6"], 0);
    assert!(found["warnings"].to_string().contains("6 held-out rows are few"), "{found}");
}
