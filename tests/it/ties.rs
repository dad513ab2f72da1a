//! The adapter that is as good as the best and was trained for less long: kept, named, handed over.

use crate::cli::{OUT, Place, stderr, stdout};
use std::path::Path;
use std::process::Stdio;

/// A job whose bests come close together: enough held-out rows to tell, and little to learn from them.
fn place() -> Place {
    let place = Place::new();
    let pair =
        |i: usize| format!("{{\"prompt\": \"{}: \", \"completion\": \"{}\"}}\n", i * 7919 % 997, i * 31 % 89);
    place.write("rows.jsonl", &(0..48).map(pair).collect::<String>());
    place.replace("job.toml", "[\"q_proj\", \"v_proj\"]", "\"all-linear\"");
    place.replace("job.toml", "valid = 3", "valid = 24");
    place.replace(
        "job.toml",
        "batch_size = 2",
        "batch_size = 2\nlearning_rate = 2e-3\nschedule = \"constant\"",
    );
    place.replace("job.toml", "every_steps = 2", "every_steps = 3\n[probe]\nprompts = 0\nrows = 0");
    place
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("adapter_model.safetensors")).expect("an adapter")
}

#[test]
fn the_earliest_adapter_that_is_as_good_is_kept_and_handed_over() {
    let whole = place();
    whole.whole(&["--set", "train.steps=27"]);
    let told = stdout(&whole.tune(&["report", OUT, "-o", "report.json"]));
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(whole.path("report.json")).expect(&told))
            .expect("JSON");
    let (tied, best) = (report["as_good"]["step"].as_u64(), report["best"]["step"].as_u64());
    let tied = tied.expect("a tie");
    assert!(Some(tied) < best, "{tied} {best:?}");
    for page in ["report.html", "report.md"] {
        whole.tune(&["report", OUT, "-o", page]);
        let page = std::fs::read_to_string(whole.path(page)).expect("a report");
        assert!(
            page.contains(&format!("at step {tied} ")) && page.contains("adapter in earliest/"),
            "{page}"
        );
    }
    // It is the adapter that a run of that length ends with.
    let shorter = place();
    let warmup = format!("train.warmup_ratio={}", 0.03 * 27.0 / tied as f64);
    shorter.whole(&["--set", &format!("train.steps={tied}"), "--set", &warmup]);
    let earliest = weights(&whole.path(OUT).join("earliest"));
    assert!(earliest == weights(&shorter.path(OUT).join("last")), "it is not the adapter of step {tied}");
    for (checkpoint, folder) in [("earliest", "earliest"), ("best", "best"), ("last", "last")] {
        let export = ["export", OUT, "--to", "peft", "--checkpoint", checkpoint, "--out", checkpoint];
        let output = whole.tune(&export);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(weights(&whole.path(checkpoint)) == weights(&whole.path(OUT).join(folder)), "{checkpoint}");
    }
    // A run that is killed on the way has it in the end as well.
    let killed = place();
    let mut child = killed
        .command(&["run", "job.toml", "--json", "--out", OUT, "--set", "train.steps=27"])
        .stderr(Stdio::null())
        .spawn()
        .expect("tune starts");
    let _rest = crate::cli::wait_for(&mut child, "\"kind\":\"step\",\"step\":20,");
    child.kill().expect("killed");
    child.wait().expect("an end");
    let output = killed.tune(&["run", "--resume", OUT, "--plain"]);
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text.contains("\n  tied   eval "), "{text}");
    assert!(earliest == weights(&killed.path(OUT).join("earliest")), "{text}");
}

#[test]
fn where_none_is_as_good_there_is_none_to_hand_over() {
    let place = Place::new();
    place.whole(&[]);
    let output = place.tune(&["export", OUT, "--to", "peft", "--checkpoint", "earliest"]);
    assert_eq!(
        stderr(&output),
        "error: runs/one: no evaluation before the best is within one standard error of it\n  \
         hint: --checkpoint best is the earliest there is\n"
    );
    assert_eq!(output.status.code(), Some(2));
}
