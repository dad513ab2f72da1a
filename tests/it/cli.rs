//! The program itself, as a user runs it: whole runs, interruptions, and mistakes.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tune::event::record::Record;

const TUNE: &str = env!("CARGO_BIN_EXE_tune");
const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/model/base");

/// The run folder of every test that asks for one.
pub const OUT: &str = "runs/one";

const CONFIG: &str = r#"[model]
dtype = "f32"
[lora]
r = 2
targets = ["q_proj", "v_proj"]
[data]
train = "rows.jsonl"
valid = 3
max_length = 64
[train]
steps = 6
batch_size = 2
[eval]
every_steps = 2
[output]
dir = "runs"
"#;

/// Settings by which a run overfits within seconds on rows from [`Place::write_nonsense`].
pub const HOT: [&str; 7] = [
    "train.steps=240",
    "train.learning_rate=4e-3",
    "train.schedule=constant",
    "eval.every_steps=12",
    "data.valid=24",
    "lora.targets=all-linear",
    "probe.prompts=0",
];

const ROWS: &[(&str, &str)] = &[
    ("red", "apple"),
    ("blue", "sky"),
    ("green", "leaf"),
    ("white", "snow"),
    ("black", "coal"),
    ("grey", "fog"),
    ("pink", "rose"),
    ("brown", "bear"),
    ("gold", "coin"),
    ("teal", "sea"),
    ("tan", "sand"),
    ("lime", "peel"),
];

/// A folder with a tiny job in it: `job.toml` and `rows.jsonl`.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary folder"));
        place.write("job.toml", CONFIG);
        let row =
            |(prompt, completion)| format!(r#"{{"prompt": "{prompt}: ", "completion": "{completion}"}}"#);
        let rows: Vec<String> = ROWS.iter().copied().map(row).collect();
        place.write("rows.jsonl", &(rows.join("\n") + "\n"));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file is written");
    }

    /// Rows with nothing to learn but by heart, and enough held-out ones to be sure of it.
    pub fn write_nonsense(&self) {
        let pair = |i: usize| {
            format!("{{\"prompt\": \"{}: \", \"completion\": \"{}\"}}\n", i * 7919 % 997, i * 31 % 89)
        };
        self.write("rows.jsonl", &(0..48).map(pair).collect::<String>());
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(TUNE);
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn tune(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("tune starts")
    }

    /// Runs the job to its end in [`OUT`], as JSON.
    pub fn whole(&self, overrides: &[&str]) -> Vec<Value> {
        let output = self.tune(&[&["run", "job.toml", "--json", "--out", OUT], overrides].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        self.log()
    }

    /// The events of [`OUT`]'s log.
    pub fn log(&self) -> Vec<Value> {
        events(&std::fs::read_to_string(self.path(OUT).join("run.jsonl")).expect("a run log"))
    }

    /// Copies the embedded model here as a folder in Hugging Face form.
    pub fn model(&self) {
        std::fs::create_dir(self.path("model")).expect("a folder");
        for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(Path::new(BASE).join(name), self.path("model").join(name)).expect("a copy");
        }
    }

    pub fn replace(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).expect("a text file");
        assert!(text.contains(from), "{from}");
        self.write(name, &text.replace(from, to));
    }

    /// Runs the job with more arguments: it is refused with exactly this, and no run folder is left.
    fn refuses(&self, arguments: &[&str], expected: &str) {
        let output = self.tune(&[&["run", "job.toml", "--plain"], arguments].concat());
        self.refused(&output, expected);
    }

    pub fn refused(&self, output: &Output, expected: &str) {
        assert_eq!(stderr(output), format!("error: {expected}\n"));
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(output.stdout, b"");
        let left = std::fs::read_dir(self.path("runs")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "a run folder is left behind");
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What was said beside the warning that the three rows of the job are few, which every new run gives.
fn said(output: &Output) -> String {
    let few = |line: &&str| line.starts_with("warning: 3 held-out rows are few: fewer than 8 ");
    let text = stderr(output);
    assert_eq!(text.lines().filter(few).count(), 1, "{text}");
    text.split_inclusive('\n').filter(|line| !few(line)).collect()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The events of a log, every line of which must be a record.
fn events(log: &str) -> Vec<Value> {
    let event = |line: &str| {
        Record::from_line(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        serde_json::from_str::<Value>(line).expect("JSON")["event"].take()
    };
    log.lines().map(event).collect()
}

/// The steps and evaluations that count: what a resumption makes void is left out.
fn curve(events: &[Value]) -> Vec<Value> {
    let mut curve: Vec<Value> = Vec::new();
    for event in events {
        match event["kind"].as_str() {
            Some("run_resumed") => curve.retain(|old| old["step"].as_u64() <= event["step"].as_u64()),
            Some("step" | "eval") => curve.push(event.clone()),
            _ => {}
        }
    }
    curve
}

/// The evaluations of one side.
fn evals(events: &[Value], split: &str) -> Vec<Value> {
    let of_side = |event: &Value| event["kind"] == "eval" && event["split"] == split;
    curve(events).into_iter().filter(of_side).collect()
}

fn last(events: &[Value]) -> &Value {
    events.last().expect("an event")
}

/// Whatever bears its final name in a run folder is whole.
fn nothing_is_half_written(run: &Path) {
    for name in
        ["best/adapter_model.safetensors", "last/adapter_model.safetensors", "state/state.safetensors"]
    {
        if let Ok(bytes) = std::fs::read(run.join(name)) {
            let file = safetensors::SafeTensors::deserialize(&bytes);
            assert!(file.is_ok_and(|file| !file.is_empty()), "{name} is not whole");
        }
    }
    for name in ["best/adapter_config.json", "last/adapter_config.json"] {
        if let Ok(text) = std::fs::read_to_string(run.join(name)) {
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "{name} is not whole");
        }
    }
}

/// The files of a run folder, best first.
fn files(run: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["", "best", "last", "state"] {
        for entry in std::fs::read_dir(run.join(folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.path().is_file() {
                names.push(Path::new(folder).join(entry.file_name()).display().to_string());
            }
        }
    }
    names.sort();
    names
}

const FILES: &[&str] = &[
    "best/adapter_config.json",
    "best/adapter_model.safetensors",
    "config.toml",
    "last/adapter_config.json",
    "last/adapter_model.safetensors",
    "report.html",
    "run.jsonl",
    "state/state.safetensors",
];

#[test]
fn a_run_from_end_to_end() {
    let place = Place::new();
    let output = place.tune(&["run", "job.toml", "--plain"]);
    let text = stdout(&output);
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{text}");
    assert!(!text.contains("held-out rows are few"), "said before: {text}");
    let steps: Vec<&str> = text.lines().filter(|line| line.starts_with("step ")).collect();
    assert_eq!(steps.len(), 4, "an evaluation before the first step and one every two: {text}");
    assert!(steps.iter().all(|line| line.contains("  eval ")), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("Verdict: ")).count(), 1, "{text}");
    let folder = text.lines().find_map(|line| line.strip_prefix("run folder: ")).expect("the run folder");
    assert!(folder.starts_with("runs/job-2"), "{folder}");
    assert_eq!(files(&place.path(folder)), FILES);
    nothing_is_half_written(&place.path(folder));

    let again = place.tune(&["run", "job.toml", "--json"]);
    assert_eq!(
        std::fs::read_dir(place.path("runs")).expect("runs").count(),
        2,
        "each run has its own folder"
    );
    // Its records, and a last line for scripts.
    let text = stdout(&again);
    let (records, conclusion) = text.trim_end().rsplit_once('\n').expect("lines");
    let (live, end) = (events(records), serde_json::from_str::<Value>(conclusion).expect("JSON"));
    let run = end["run"].as_str().expect("the run's folder");
    assert_eq!(said(&again), format!("run folder: {run}\n"));
    assert!(place.path(run).join("run.jsonl").is_file(), "{end}");
    assert_eq!((&end["ended"], &end["step"]), (&"finished".into(), &6.into()), "{end}");
    assert!(end["verdict"].is_string() && end["severity"].is_string(), "{end}");
    assert_eq!(end["best"], last(&live)["best"]);
    let first = events(&std::fs::read_to_string(place.path(folder).join("run.jsonl")).expect("a log"));
    assert_eq!(curve(&live), curve(&first), "the same seed is the same curve");
    assert_eq!((&live[0]["kind"], &last(&live)["kind"]), (&"run_started".into(), &"run_ended".into()));
}

/// Reads lines of `child`'s stdout until one has `text` in it.
pub fn wait_for(child: &mut Child, text: &str) -> BufReader<std::process::ChildStdout> {
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(reader.read_line(&mut line).expect("text") > 0, "ended before {text}");
    }
    reader
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_goes_on_as_if_nothing_had_happened() {
    let long = ["--set", "train.steps=60", "--set", "eval.every_steps=10", "--set", "lora.dropout=0.1"];
    let long = [&long[..], &["--set", "early_stopping.enabled=false"]].concat();
    let reference = Place::new().whole(&long);

    let place = Place::new();
    let mut child = place
        .command(&[&["run", "job.toml", "--json", "--out", OUT], &long[..]].concat())
        .spawn()
        .expect("tune starts");
    let mut rest = wait_for(&mut child, "\"kind\":\"step\",\"step\":25,");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill starts");
    assert!(kill.success());
    let mut told = String::new();
    rest.read_to_string(&mut told).expect("the rest of stdout");
    assert!(told.lines().last().is_some_and(|line| line.contains("\"ended\":\"interrupted\"")), "{told}");
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        said(&output),
        "run folder: runs/one\ninterrupted, everything is saved\n  hint: go on with tune run --resume runs/one\n"
    );
    place.tune(&["report", OUT, "-o", "so-far.md"]);
    let report = std::fs::read_to_string(place.path("so-far.md")).expect("a report");
    assert!(report.contains(" so far (interrupted at step "), "{report}");
    let before = place.log();
    assert_eq!(
        (&last(&before)["kind"], &last(&before)["reason"]),
        (&"run_ended".into(), &"interrupted".into())
    );

    // From another folder, to which the paths of the configuration were not relative.
    let folder = place.path(OUT).display().to_string();
    let output =
        place.command(&["run", "--resume", &folder, "--json"]).current_dir("/").output().expect("tune runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let events = place.log();
    let at = events.iter().position(|event| event["kind"] == "run_resumed").expect("a resume record");
    let from = events[at]["step"].as_u64().expect("a step");
    assert!(from >= 25, "an interruption loses no step: {from}");
    let later = |events: &[Value]| {
        events.iter().filter(|e| e["step"].as_u64() > Some(from)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(later(&events[at + 1..]), later(&reference), "from step {from} on");
    assert_eq!(curve(&events), curve(&reference));
    assert_eq!(files(&place.path(OUT)), FILES);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    let place = Place::new();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a full disk");
    let output = place.command(&["schema"]).stdout(full).output().expect("tune starts");
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).starts_with("error: stdout cannot be written"), "{}", stderr(&output));
}

#[test]
fn a_report_is_not_written_over_what_it_is_made_of() {
    let place = Place::new();
    let log = r#"[{"loss": 2.0, "step": 1}, {"eval_loss": 2.1, "step": 1}]"#;
    place.write("log.json", log);
    let output = place.tune(&["report", "log.json", "-o", "./log.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("written over the log"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(place.path("log.json")).expect("the log"), log);
    // Nor over one of a folder; over a report another may be written.
    std::fs::create_dir(place.path("out")).expect("a folder");
    place.write("out/trainer_state.json", &format!("{{\"log_history\": {log}}}"));
    let output = place.tune(&["report", "out", "-o", "out/trainer_state.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no report of tune"), "{}", stderr(&output));
    place.write("out/report.json", "");
    for _ in 0..2 {
        let output = place.tune(&["report", "out", "-o", "out/report.json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

/// As `nohup` starts it.
#[cfg(target_os = "linux")]
#[test]
fn a_hangup_ends_only_a_run_that_does_not_ignore_it() {
    let status = std::fs::read_to_string("/proc/self/status").expect("what this process is");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("ignored signals");
    // The first bit is that of SIGHUP. Tests that are run by nohup hand it on.
    let inherited = u64::from_str_radix(ignored.trim(), 16).expect("a mask") & 1 == 1;
    for (trap, code) in [("trap '' HUP; ", 0), ("", if inherited { 0 } else { 130 })] {
        let place = Place::new();
        let script = format!("{trap}exec \"$0\" run job.toml --json --out {OUT} --set train.steps=60");
        let mut command = Command::new("sh");
        command.args(["-c", &script, TUNE]).current_dir(place.path("")).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sh starts");
        let mut rest = wait_for(&mut child, "\"kind\":\"step\",\"step\":5,");
        let kill =
            Command::new("kill").args(["-HUP", &child.id().to_string()]).status().expect("kill starts");
        assert!(kill.success());
        rest.read_to_end(&mut Vec::new()).expect("the rest of stdout");
        let output = child.wait_with_output().expect("an end");
        assert_eq!(output.status.code(), Some(code), "{trap}{}", stderr(&output));
    }
}

#[test]
fn a_run_that_another_process_writes_is_left_alone() {
    let place = Place::new();
    let endless = ["run", "job.toml", "--json", "--out", OUT, "--set", "train.steps=1000000"];
    let mut child = place.command(&endless).spawn().expect("tune starts");
    let _reader = wait_for(&mut child, "run_started");
    let output = place.tune(&["run", "--resume", OUT, "--plain"]);
    child.kill().expect("killed");
    child.wait().expect("an end");
    assert_eq!(
        stderr(&output),
        "error: runs/one/run.jsonl: another tune is writing to this run\n  hint: wait for it, or stop it: s in tune watch, or Ctrl-C where it runs\n"
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(place.log()[0]["kind"], "run_started", "its log was touched");
}

#[test]
fn a_run_is_stopped_by_the_rule_that_is_named() {
    let ends = |more: &[&str]| {
        let place = Place::new();
        place.write_nonsense();
        let sets: Vec<&str> = HOT.iter().chain(more).flat_map(|set| ["--set", set]).collect();
        let log = place.whole(&sets);
        (last(&log)["reason"].clone(), last(&log)["step"].as_u64().expect("a step"))
    };
    let early = serde_json::json!("early_stopping");
    let stops = |rule: &str, setting: &str| {
        let sets = [format!("early_stopping.rule={rule}"), format!("early_stopping.{setting}")];
        let (reason, step) = ends(&[&sets[0], &sets[1]]);
        assert_eq!(reason, early, "{rule} at step {step}");
        step
    };
    // Patience is for one rule alone.
    for (rule, setting) in [("verdict", "patience=1"), ("pq", "threshold=0.05"), ("up", "threshold=1")] {
        let step = stops(rule, setting);
        assert!(step > 12, "{rule} at step {step}");
    }
    for (rule, soon, late) in
        [("patience", "patience=1", "patience=3"), ("gl", "threshold=1", "threshold=20")]
    {
        let (soon, late) = (stops(rule, soon), stops(rule, late));
        assert!(soon < late, "{rule}: {soon} {late}");
    }
    let place = Place::new();
    let refused = place.tune(&["run", "job.toml", "--set", "early_stopping.rule=luck"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("early_stopping.rule"), "{}", stderr(&refused));
}

/// Kills runs when their logs have come to records spread over those of a whole run; `TUNE_KILLS` says how many.
#[test]
fn a_run_killed_at_any_moment_can_go_on() {
    let kills = std::env::var("TUNE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6_usize);
    let overrides = ["--set", "eval.every_steps=1"];
    let reference = Place::new().whole(&overrides);
    let (mut begun, mut resumed, mut over) = (0, 0, 0);
    for kill in 0..kills {
        let place = Place::new();
        let run = place.path(OUT);
        let arguments = [&["run", "job.toml", "--json", "--out", OUT], &overrides[..]].concat();
        let mut child = place.command(&arguments).spawn().expect("tune starts");
        // From an empty log to one that lacks a few records.
        let enough = reference.len() * kill / kills;
        let recorded = || std::fs::read_to_string(run.join("run.jsonl")).map(|log| log.lines().count());
        while !recorded().is_ok_and(|records| records >= enough)
            && child.try_wait().expect("a child").is_none()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("killed");
        child.wait().expect("an end");
        assert!(recorded().is_ok_and(|records| records >= enough), "kill {kill}: ended too soon");
        nothing_is_half_written(&run);
        let output = place.tune(&["run", "--resume", OUT, "--json"]);
        if output.status.code() == Some(2) {
            assert!(stderr(&output).contains("the run is over (finished)"), "{}", stderr(&output));
            over += 1;
        } else {
            assert_eq!(output.status.code(), Some(0), "kill {kill}: {}", stderr(&output));
            let again = place.log().iter().any(|event| event["kind"] == "run_resumed");
            *(if again { &mut resumed } else { &mut begun }) += 1;
        }
        let log = place.log();
        assert_eq!(curve(&log), curve(&reference), "kill {kill}");
        assert_eq!(last(&log), last(&reference), "kill {kill}");
        assert_eq!(files(&run), FILES, "kill {kill}");
        nothing_is_half_written(&run);
    }
    assert_eq!(["valid", "train_probe"].map(|split| evals(&reference, split).len()), [7, 7]);
    // Shown with --nocapture.
    let counts = format!("{kills} kills: {begun} begun again, {resumed} resumed, {over} over\n");
    std::io::Write::write_all(&mut std::io::stdout(), counts.as_bytes()).expect("stdout");
    assert!(resumed > 0, "{counts}");
}

#[test]
fn a_plan_is_printed_and_nothing_is_made() {
    let place = Place::new();
    let output = place.tune(&["run", "job.toml", "--plan", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(plan["steps"], 6);
    let parts = plan["memory"].as_object().expect("the parts");
    let sum: u64 = parts.values().filter_map(Value::as_u64).sum();
    assert_eq!(plan["total"], sum);
    assert!(plan["largest_batch"]["tokens"].as_u64() > plan["largest_batch"]["targets"].as_u64());
    assert!(!place.path("runs").exists());
    assert!(stdout(&place.tune(&["run", "job.toml", "--plan"])).contains("activations"));
}

#[test]
fn a_run_that_diverges_keeps_the_adapter_from_before() {
    let place = Place::new();
    let output =
        place.tune(&["run", "job.toml", "--plain", "--out", OUT, "--set", "train.weight_decay=1e30"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("\nVerdict: diverged (severe)\n"), "{}", stdout(&output));
    assert_eq!(
        said(&output),
        "error: the loss is no longer a finite number\n  \
         hint: lower train.learning_rate; the best adapter from before is in runs/one/best\n"
    );
    let log = place.log();
    assert_eq!((&last(&log)["reason"], &last(&log)["best"]["step"]), (&"non_finite".into(), &0.into()));
    for folder in ["best", "last"] {
        let bytes =
            std::fs::read(place.path(OUT).join(folder).join("adapter_model.safetensors")).expect("adapter");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("whole");
        // LoRA starts with B at zero: nothing has been learnt at step 0.
        let b = file.tensors().into_iter().filter(|(name, _)| name.contains("lora_B"));
        assert!(
            b.flat_map(|(_, view)| view.data().to_vec()).all(|byte| byte == 0),
            "{folder} is not of step 0"
        );
    }
    let output = place.tune(&["run", "--resume", OUT]);
    assert!(stderr(&output).contains("the run is over (stopped by a number that is not finite)"));
}

#[test]
fn mistakes_in_the_configuration() {
    let place = Place::new();
    place.refused(
        &place.tune(&["run", "none.toml"]),
        "none.toml: cannot be read: No such file or directory (os error 2)\n  hint: name a TOML file that exists; tune init ROWS > FILE makes one",
    );
    place.write("job.toml", "[train]\nepochs = = 3\n");
    place.refuses(
        &[],
        "job.toml:2: extra `=`, expected nothing\n  hint: TOML is lines of key = value under a [section]; text stands in quotes",
    );
    place.write("job.toml", "[lora]\ndropuot = 0.1\n");
    place.refuses(&[], "job.toml:2: lora.dropuot: unknown key\n  hint: did you mean \"lora.dropout\"?");
    place.write("job.toml", "[lora]\nr = 0\n\n[train]\nlearning_rate = \"high\"\n");
    place.refuses(
        &["--set", "eval.batchsize=2"],
        "job.toml:2: lora.r: 0 is out of range\n  hint: the smallest value is 1\n\
         job.toml:5: train.learning_rate: expected a number, got the string \"high\"\n  hint: for example learning_rate = 0.001\n\
         --set eval.batchsize=2: unknown key\n  hint: did you mean \"eval.batch_size\"?",
    );
    place.write("job.toml", CONFIG);
    let options = [("--lr=1e-4", "train.learning_rate"), ("--num-epochs", "train.epochs"), ("-r", "lora.r")];
    for (option, key) in options {
        let said = stderr(&place.tune(&["run", "job.toml", option]));
        let tip = format!("\n\n  tip: '--set {key}=VALUE' sets that key of the configuration\n");
        assert!(said.contains(&tip), "{said}");
    }
    place.refuses(
        &["--set", "lora.targets=[\"qproj\"]"],
        "lora.targets: \"qproj\" is not a linear layer of this model\n  \
         hint: give some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
    );
    place.refuses(
        &["--device", "gpu"],
        "--device gpu: unknown device\n  hint: give auto, cpu, cuda, cuda:N or metal",
    );
    place.refuses(
        &["--set", "data.max_length=4096"],
        "data.max_length = 4096, but the model knows 1024 positions\n  hint: --set data.max_length=1024",
    );
}

#[test]
fn mistakes_in_the_data() {
    let place = Place::new();
    place.refuses(
        &["--set", "data.train=none.jsonl"],
        "none.jsonl: cannot be read: No such file or directory (os error 2)\n  hint: data.train names a file of rows, JSON Lines or CSV, seen from the folder tune is started in",
    );
    place.refuses(
        &["--set", "data.valid=12"],
        "rows.jsonl: data.valid = 12 of 12 rows leaves none to learn from\n  hint: lower data.valid, or add rows",
    );
    place.refuses(
        &["--set", "data.valid=0.01"],
        "rows.jsonl: data.valid = 0.01 of 12 rows holds out none\n  hint: raise data.valid, or name a file of held-out rows",
    );
    place.write("rows.jsonl", "{\"text\": \"one\"}\n");
    place.refuses(
        &[],
        "rows.jsonl: one row alone cannot be both learnt and held out\n  \
         hint: add rows, some hundreds for a start; or name a file of held-out rows as data.valid",
    );
    place.write("rows.jsonl", "Dear Sir\n");
    place.refuses(
        &[],
        "rows.jsonl: plain text, not rows\n  \
         hint: make a row of each line: jq -Rc 'select(. != \"\") | {text: .}' FILE > rows.jsonl",
    );
    place.write("rows.jsonl", "\n");
    place.refuses(
        &[],
        "rows.jsonl: no rows\n  hint: one JSON object a line is expected, such as \
         {\"messages\": [{\"role\": \"user\", \"content\": \"...\"}, {\"role\": \"assistant\", \"content\": \"...\"}]}",
    );
    place.write("rows.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"\n");
    place.refuses(
        &[],
        "rows.jsonl:2: not valid JSON: EOF while parsing an object at column 14\n  hint: every line is one JSON object, on that line alone",
    );
    place.write("rows.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello?\"}]}\n");
    place.refuses(
        &[],
        "rows.jsonl:1: no assistant turn\n  hint: add a message with \"role\": \"assistant\"; {\"text\": ...} rows are learnt whole",
    );
    let long = "Why is it so? ".repeat(30);
    let rows = ["a", "b", "c", "d"]
        .map(|word| format!("{{\"prompt\": \"{word} {long}\", \"completion\": \"Ah.\"}}\n"));
    place.write("rows.jsonl", &rows.concat());
    let output = place.tune(&["run", "job.toml", "--plain"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text.starts_with("error: rows.jsonl:1: cut to 64 tokens, nothing to learn from is left: "),
        "{text}"
    );
    assert!(
        text.ends_with("\n  hint: raise data.max_length, or shorten what comes before the completion\n"),
        "{text}"
    );
    assert!(!place.path("runs").exists());
}

#[test]
fn mistakes_in_the_model() {
    let place = Place::new();
    let with_model = ["--set", "model.path=model"];
    place.refuses(
        &with_model,
        "model.path = \"model\": no such folder\n  \
         hint: give \"builtin\", or a folder with config.json, *.safetensors and tokenizer.json",
    );
    place.refuses(
        &["--set", "model.path=meta-llama/Llama-3.2-1B"],
        "model.path = \"meta-llama/Llama-3.2-1B\": no such folder\n  \
         hint: tune fetches nothing by itself: hf download meta-llama/Llama-3.2-1B --local-dir Llama-3.2-1B, \
         then model.path = \"Llama-3.2-1B\"",
    );
    place.model();
    place.refuses(
        &["--set", "model.path=model/model.safetensors"],
        "model.path = \"model/model.safetensors\": a file, not a folder\n  hint: name its folder: \"model\"",
    );
    let output = place.tune(&["run", "job.toml", "--plain", "--out", "whole", "--set", "model.path=model"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    place.replace("model/config.json", "LlamaForCausalLM", "MambaForCausalLM");
    place.refuses(
        &with_model,
        "model/config.json: architecture MambaForCausalLM is not supported\n  hint: supported are LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM",
    );
    place.replace("model/config.json", "MambaForCausalLM", "LlamaForCausalLM");
    place.replace("model/config.json", "\"hidden_size\": 192", "\"hidden_size\": 200");
    place.refuses(
        &with_model,
        "model/model.safetensors: tensor model.embed_tokens.weight has shape [4096, 192], but config.json says [4096, 200]\n  \
         hint: take config.json and *.safetensors from the same model",
    );
    place.replace("model/config.json", "\"hidden_size\": 200", "\"hidden_size\": 192");

    let weights = place.path("model/model.safetensors");
    let whole = std::fs::read(&weights).expect("weights");
    for length in [whole.len() - 1, 100, 0] {
        std::fs::write(&weights, &whole[..length]).expect("a file is written");
        let output = place.tune(&[&["run", "job.toml", "--plain"], &with_model[..]].concat());
        let text = stderr(&output);
        assert!(text.starts_with("error: model/model.safetensors: "), "{text}");
        assert!(
            text.ends_with("\n  hint: the file is cut short or is no safetensors file; fetch it again\n"),
            "{text}"
        );
        assert_eq!(output.status.code(), Some(2));
        assert!(!place.path("runs").exists());
    }
    std::fs::remove_file(&weights).expect("removed");
    place.refuses(
        &with_model,
        "model: neither model.safetensors nor model.safetensors.index.json can be read: \
         No such file or directory (os error 2)\n  \
         hint: a model folder holds config.json, *.safetensors and tokenizer.json",
    );
}

/// A model whose tokenizer knows more words than it has rows for.
#[test]
fn a_tokenizer_of_another_model() {
    let place = Place::new();
    place.model();
    let bytes = std::fs::read(place.path("model/model.safetensors")).expect("weights");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("whole");
    let name = "model.embed_tokens.weight";
    let tensors = file.tensors().into_iter().map(|(tensor, view)| {
        let mut shape = view.shape().to_vec();
        let mut data = view.data();
        if tensor == name {
            data = &data[..data.len() / shape[0] * 4000];
            shape[0] = 4000;
        }
        (tensor, safetensors::tensor::TensorView::new(view.dtype(), shape, data).expect("a tensor"))
    });
    let smaller = safetensors::serialize(tensors, None).expect("bytes");
    std::fs::write(place.path("model/model.safetensors"), smaller).expect("a file is written");
    place.replace("model/config.json", "\"vocab_size\": 4096", "\"vocab_size\": 4000");
    place.refuses(
        &["--set", "model.path=model"],
        "model/tokenizer.json: has ids up to 4095, but the model's embedding has 4000 rows\n  \
         hint: take config.json, *.safetensors and tokenizer.json from the same model",
    );
}

#[test]
fn mistakes_in_the_place_of_a_run() {
    let place = Place::new();
    place.write("file", "");
    let cannot = |run: &str| {
        format!(
            "{run}: the run folder cannot be made: file is not a folder\n  \
             hint: choose a place that can be written to with --out or output.dir"
        )
    };
    place.refuses(&["--out", "file/under/run"], &cannot("file/under/run"));
    place.refuses(&["--out", "file/run"], &cannot("file/run"));
    place.refuses(
        &["--out", "file"],
        "file: is not an empty folder\n  hint: name one that does not exist yet",
    );
    let output = place.tune(&["run", "job.toml", "--plain", "--set", "output.dir=file/runs"]);
    let text = stderr(&output);
    assert!(
        text.starts_with("error: file/runs/job-") && text.contains("cannot be made: file is not a folder"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(2));

    let is_none = "\n  hint: tune run prints the folder of each run";
    place.refused(&place.tune(&["run", "--resume", "none"]), &format!("none: no such folder{is_none}"));
    std::fs::create_dir(place.path("empty")).expect("a folder");
    place.refused(
        &place.tune(&["run", "--resume", "empty"]),
        &format!("empty: not a run folder, empty/config.toml is missing{is_none}"),
    );

    let log = place.whole(&[]);
    let taken = place.tune(&["run", "job.toml", "--plain", "--out", OUT]);
    assert_eq!(
        stderr(&taken),
        "error: runs/one: holds a run already, which is over\n  hint: name another folder with --out\n"
    );
    let changed = place.tune(&["run", "--resume", OUT, "--set", "train.steps=9"]);
    assert_eq!(
        stderr(&changed),
        "error: --set: a run goes on with the configuration that it was started with\n  \
         hint: start another run to change a key: tune run runs/one/config.toml --set ... --out OTHER\n"
    );
    assert_eq!(changed.status.code(), Some(2));
    let other = ["run", "runs/one/config.toml", "--set", "train.steps=1", "--out", "other", "--plain"];
    assert_eq!(place.tune(&other).status.code(), Some(0));
    assert!(place.path("other/config.toml").is_file());
    let over = place.tune(&["run", "--resume", OUT]);
    assert_eq!(
        stderr(&over),
        "error: runs/one: the run is over (finished)\n  hint: its best adapter is in runs/one/best; start anew with tune run\n"
    );
    assert_eq!((taken.status.code(), over.status.code()), (Some(2), Some(2)));
    // Killed while it wrote its report.
    std::fs::remove_file(place.path(OUT).join("report.html")).expect("removed");
    place.write("runs/one/.tmpAbC123", "<html");
    place.tune(&["run", "--resume", OUT]);
    assert_eq!(files(&place.path(OUT)), FILES);
    assert_eq!(place.log(), log, "its log was touched");
}

/// No file may grow beyond a limit: to the program a disk that is full.
#[cfg(unix)]
#[test]
fn a_full_disk() {
    let place = Place::new();
    let limited = |kib: u32, arguments: &[&str]| {
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash", TUNE]).args(arguments).current_dir(place.0.path());
        command.stdin(Stdio::null()).output().expect("bash starts")
    };
    let arguments = ["run", "job.toml", "--plain", "--out", OUT];
    place.refused(
        &limited(0, &arguments),
        "runs/one: the run folder cannot be made: File too large (os error 27)\n  \
         hint: choose a place that can be written to with --out or output.dir",
    );
    let output = limited(16, &arguments);
    assert_eq!(
        said(&output),
        "error: runs/one/best/adapter_model.safetensors cannot be written: File too large (os error 27)\n  \
         hint: what was saved is whole; when the cause is gone, go on with tune run --resume runs/one\n"
    );
    assert_eq!(output.status.code(), Some(3));
    nothing_is_half_written(&place.path(OUT));
    let output = place.tune(&["run", "--resume", OUT, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(curve(&place.log()), curve(&Place::new().whole(&[])));
}

#[test]
fn a_run_keeps_the_precision_that_auto_came_to() {
    let place = Place::new();
    let log = place.whole(&["--set", "model.dtype=auto", "--set", "train.steps=1"]);
    let kept = std::fs::read_to_string(place.path(OUT).join("config.toml")).expect("a configuration");
    let computed_on = log[0]["model"]["device"].as_str().expect("where and how");
    let dtype = computed_on.rsplit(", ").next().expect("how");
    assert!(["f32", "bf16"].contains(&dtype), "{computed_on}");
    assert!(kept.contains(&format!("\ndtype = \"{dtype}\"\n")), "{kept}");
}
