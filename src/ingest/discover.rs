//! What lies in a folder: its runs, and the files of each, the most structured first.
//!
//! A folder with a file of a well-known name is one run, with everything below it that trainers put
//! beside (`checkpoint-40/`, `csv/version_0/`). A run of `MLflow` is its folder of metrics, and the folders
//! of `add_scalars` are one run with a file a series. Otherwise every log is a run of its own.

use super::roles::{self, Side};
use super::{names, no_log, open, table};
use std::collections::BTreeMap;
use std::fs::{DirEntry, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Printed logs that one run may have: stdout, stderr, an exit status.
const FEW: usize = 3;

/// Folders within folders that are looked into.
const DEEPEST: usize = 8;

/// The files of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What to call the run: its folder, or its only file.
    pub name: PathBuf,
    /// Where its figures may be, the most structured first. The files of one entry belong together.
    pub files: Vec<Vec<PathBuf>>,
}

/// How structured a file is by its name, 0 the most; `None` where it is no log.
fn rank(name: &str) -> Option<u8> {
    Some(match name {
        "run.jsonl" => 0,
        "trainer_state.json" => 1,
        "trainer_log.jsonl" | "logging.jsonl" => 2,
        // Both curves of CatBoost, of which its event files hold one each.
        "test_error.tsv" => 3,
        "metrics.csv" | "history.csv" | "training.log" => 5,
        "evals_result.json" | "history.json" => 6,
        "learn_error.tsv" | "time_left.tsv" | "stderr.log" | "command.txt" | "requirements.txt" => {
            return None;
        }
        name if name.contains("tfevents") => 4,
        name => match name.rsplit_once('.')?.1 {
            "wandb" => 3,
            "jsonl" | "csv" | "tsv" => 7,
            "log" | "out" | "txt" => 8,
            _ => return None,
        },
    })
}

/// Ranks below this are of well-known names: one file of them makes its folder one run.
const WELL_KNOWN: u8 = 7;

/// Whether the name alone says that this is a trainer's log; any other `.csv` or `.log` may be anything.
pub fn is_well_known(file: &Path) -> bool {
    rank(&name(file)).is_some_and(|rank| rank < WELL_KNOWN)
}

/// What a file is by its beginning, where it is certainly no log, whatever its name says.
pub fn no_log(file: &Path) -> Option<&'static str> {
    let mut head = Vec::new();
    std::fs::File::open(file).ok()?.take(open::HEAD as u64).read_to_end(&mut head).ok()?;
    // The opener looks at no more lines either: further down, a log may hold what another program printed.
    let lines = memchr::memchr_iter(b'\n', &head).nth(2).map_or(&head[..], |end| &head[..end]);
    no_log::sniff(&head).or_else(|| no_log::sniff_text(lines))
}

/// Folders that trainers make within that of a run.
fn belongs_to_parent(name: &str) -> bool {
    matches!(
        name,
        "runs"
            | "logs"
            | "csv"
            | "tb"
            | "tensorboard"
            | "wandb"
            | "mlruns"
            | "catboost_info"
            | "lightning_logs"
            | "best"
            | "last"
            | "state"
            | "logger"
            | "csv_logs"
            | "ckpt_states"
    ) || name.starts_with("checkpoint-")
        || name.starts_with("version_")
}

/// The runs below a folder, by name. What cannot be read is passed over.
pub fn discover(folder: &Path) -> Vec<Found> {
    discover_among(folder, usize::MAX, &mut |_, _| true)
}

/// The runs below a folder that nobody has called a folder of logs, a working folder say: of the first
/// `most` entries, the files that `wanted` lets through.
pub fn discover_among(
    folder: &Path,
    most: usize,
    wanted: &mut dyn FnMut(&Path, &Metadata) -> bool,
) -> Vec<Found> {
    let mut search = Search { left: most, wanted, runs: Vec::new() };
    search.walk(folder, 0);
    search.runs
}

/// A search that is under way.
struct Search<'a> {
    /// How many entries may still be looked at.
    left: usize,
    wanted: &'a mut dyn FnMut(&Path, &Metadata) -> bool,
    runs: Vec<Found>,
}

fn name(path: &Path) -> String {
    path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
}

impl Search<'_> {
    /// The logs that are directly in a folder, with their ranks, and the folders, by name.
    fn entries(&mut self, folder: &Path) -> (Vec<(u8, PathBuf)>, Vec<PathBuf>) {
        let all = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut all: Vec<DirEntry> = all.take(self.left).collect();
        self.left -= all.len();
        all.sort_by_key(DirEntry::file_name);
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in all {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            // A link to a folder is not followed: it may lead back.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => files.extend(rank(&name).and_then(|rank| {
                    let path = entry.path();
                    let data = path.metadata().ok().filter(Metadata::is_file)?;
                    (self.wanted)(&path, &data).then_some((rank, path))
                })),
                Err(_) => {}
            }
        }
        (files, folders)
    }

    /// The metrics of a run of `MLflow`, a file each, slashes in their names being folders.
    fn metrics(&mut self, folder: &Path, depth: usize) -> Vec<PathBuf> {
        let all = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut all: Vec<DirEntry> = all.take(self.left).collect();
        self.left -= all.len();
        all.sort_by_key(DirEntry::file_name);
        let mut files = Vec::new();
        for entry in all {
            let path = entry.path();
            match entry.metadata() {
                Ok(data) if data.is_dir() && depth < DEEPEST => files.extend(self.metrics(&path, depth + 1)),
                Ok(data) if data.is_file() && (self.wanted)(&path, &data) => files.push(path),
                _ => {}
            }
        }
        files
    }

    /// Takes the folders out of `folders` that hold the event files of a loss each, of train and of held-out
    /// rows; the files that belong together. `exp1_train` and `exp1_val` may be two runs, and are left.
    fn series(&mut self, folders: &mut Vec<PathBuf>) -> Vec<Vec<PathBuf>> {
        let mut all: BTreeMap<String, Vec<(Side, PathBuf, Vec<PathBuf>)>> = BTreeMap::new();
        for folder in folders.iter() {
            let series = roles::series_of_folder(&name(folder));
            let Some((series, side)) =
                series.filter(|(series, _)| series.is_empty() || series.contains("loss"))
            else {
                continue;
            };
            let (files, within) = self.entries(folder);
            let events: Vec<PathBuf> = files.into_iter().map(|(_, file)| file).collect();
            if within.is_empty()
                && !events.is_empty()
                && events.iter().all(|file| name(file).contains("tfevents"))
            {
                all.entry(series).or_default().push((side, folder.clone(), events));
            }
        }
        let both = |parts: &Vec<(Side, PathBuf, Vec<PathBuf>)>| {
            [Side::Train, Side::Eval].iter().all(|side| parts.iter().any(|(of, ..)| of == side))
        };
        let mut runs = Vec::new();
        for mut parts in all.into_values().filter(both) {
            parts.sort_by_key(|(side, ..)| *side == Side::Eval);
            folders.retain(|folder| parts.iter().all(|(_, part, _)| part != folder));
            runs.push(parts.into_iter().flat_map(|(.., events)| events).collect());
        }
        runs
    }

    fn walk(&mut self, folder: &Path, depth: usize) {
        if super::mlflow::is_run(&name(folder)) {
            let mut files = self.metrics(&folder.join("metrics"), depth);
            files.sort_by_key(|file| !super::mlflow::is_beside(file));
            if !files.is_empty() {
                let status = folder.join(super::mlflow::STATUS);
                files.extend(status.is_file().then_some(status));
                self.runs.push(Found { name: folder.to_owned(), files: vec![files] });
                return;
            }
        }
        let (mut ranked, folders) = self.entries(folder);
        // CatBoost keeps event files beside its tables, a folder a set.
        let catboost = ranked.iter().any(|(_, file)| name(file) == "test_error.tsv");
        let is_set = |name: &str| catboost && (name == "learn" || name.starts_with("test"));
        let (parts, mut others): (Vec<_>, Vec<_>) = folders.into_iter().partition(|path| {
            let name = name(path);
            belongs_to_parent(&name) || is_set(&name)
        });
        let series = self.series(&mut others);
        // The checkpoints of a run that has nothing else are that run.
        let checkpoints = parts.iter().any(|path| name(path).starts_with("checkpoint-"));
        let known = ranked.iter().any(|(rank, _)| *rank < WELL_KNOWN) || checkpoints;
        // A few printed logs beside the folders that a trainer makes are of that trainer.
        let few = (1..=FEW).contains(&ranked.len());
        let one = known || !series.is_empty() || few && !parts.is_empty() && others.is_empty();
        if one {
            for part in parts {
                self.below(&part, depth + 1, &mut ranked);
            }
            let mut run = one_run(folder, ranked);
            run.files.splice(0..0, series);
            if !run.files.is_empty() {
                self.runs.push(run);
            }
        } else {
            let mut stems: BTreeMap<PathBuf, Vec<(u8, PathBuf)>> = BTreeMap::new();
            let mut downloads: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
            for (rank, file) in ranked {
                let stem = file.with_extension("");
                match table::download(&name(&stem)) {
                    Some((run, _)) => downloads.entry(without_side(run).into()).or_default().push(file),
                    None => stems.entry(stem).or_default().push((rank, file)),
                }
            }
            let downloads = downloads.into_iter();
            // The run of the folder that TensorBoard was given is called by a dot.
            let place = |run: String| {
                if matches!(&*run, "run-." | "run") { folder.to_owned() } else { folder.join(run) }
            };
            self.runs.extend(downloads.map(|(run, files)| Found { name: place(run), files: vec![files] }));
            for (_, mut ranked) in stems {
                ranked.sort();
                let name = ranked[0].1.clone();
                let files = ranked.into_iter().map(|(_, file)| vec![file]).collect();
                self.runs.push(Found { name, files });
            }
            if depth < DEEPEST {
                for part in parts {
                    self.walk(&part, depth + 1);
                }
            }
        }
        if depth < DEEPEST {
            for other in others {
                self.walk(&other, depth + 1);
            }
        }
    }

    /// Everything below a part of a run.
    fn below(&mut self, folder: &Path, depth: usize, ranked: &mut Vec<(u8, PathBuf)>) {
        let (files, folders) = self.entries(folder);
        ranked.extend(files);
        if depth < DEEPEST {
            for folder in folders {
                self.below(&folder, depth + 1, ranked);
            }
        }
    }
}

/// The name of a run without the side at its end, which Keras gives two runs of.
fn without_side(run: &str) -> &str {
    let cut = run.rsplit_once(['-', '_']).filter(|(_, last)| names::side(last.as_bytes()).is_some());
    cut.map_or(run, |(rest, _)| rest)
}

fn one_run(folder: &Path, mut ranked: Vec<(u8, PathBuf)>) -> Found {
    // Of the states of several checkpoints that of the run itself is the newest, then the highest step.
    let newest = |path: &PathBuf| {
        let parent = path.parent().map(name).unwrap_or_default();
        parent.strip_prefix("checkpoint-").map_or(u64::MAX, |step| step.parse().unwrap_or(0))
    };
    ranked.sort_by_cached_key(|(rank, path)| (*rank, std::cmp::Reverse(newest(path)), path.clone()));
    let together = |file: PathBuf| {
        // CatBoost keeps its two curves in two files.
        let train = file.with_file_name("learn_error.tsv");
        if name(&file) == "test_error.tsv" && train.is_file() { vec![file, train] } else { vec![file] }
    };
    let files = ranked.into_iter().map(|(_, file)| together(file)).collect();
    Found { name: folder.to_owned(), files }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str]) -> Vec<(String, Vec<String>)> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let short = |path: &Path| {
            let below = path.strip_prefix(dir.path()).unwrap();
            below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
        };
        let list = |found: &Found| found.files.iter().map(|files| short(&files[0])).collect();
        discover(dir.path()).iter().map(|found| (short(&found.name), list(found))).collect()
    }

    #[test]
    fn the_files_of_one_run_are_one_entry() {
        let one = found(&[
            "out/checkpoint-9/trainer_state.json",
            "out/checkpoint-40/trainer_state.json",
            "out/stdout.log",
            "out/runs/x/events.out.tfevents.1",
        ]);
        let files = [
            "out/checkpoint-40/trainer_state.json",
            "out/checkpoint-9/trainer_state.json",
            "out/runs/x/events.out.tfevents.1",
            "out/stdout.log",
        ];
        assert_eq!(one, [("out".into(), files.map(String::from).to_vec())]);
    }

    #[test]
    fn the_event_files_of_catboost_are_no_runs_of_their_own() {
        let runs = found(&[
            "a/learn_error.tsv",
            "a/test_error.tsv",
            "a/learn/events.out.tfevents",
            "a/test1/events.out.tfevents",
        ]);
        let files = ["a/test_error.tsv", "a/learn/events.out.tfevents", "a/test1/events.out.tfevents"];
        assert_eq!(runs, [("a".into(), files.map(String::from).to_vec())]);
    }

    #[test]
    fn the_folders_of_one_plot_are_one_run() {
        let runs = found(&[
            "a/events.out.tfevents.1",
            "a/loss_train/events.out.tfevents.1",
            "a/loss_val/events.out.tfevents.1",
            "a/notes_val/notes.txt",
            "b/train/events.out.tfevents.1",
            "b/validation/events.out.tfevents.1",
            "c/bert_train/events.out.tfevents.1",
            "c/gpt_val/events.out.tfevents.1",
            "d/exp1_train/events.out.tfevents.1",
            "d/exp1_val/events.out.tfevents.1",
            "e/acc_train/events.out.tfevents.1",
            "e/acc_val/events.out.tfevents.1",
            "e/loss_train/events.out.tfevents.1",
            "e/loss_val/events.out.tfevents.1",
        ]);
        let names: Vec<(&str, &str)> =
            runs.iter().map(|(name, files)| (name.as_str(), files[0].as_str())).collect();
        let expected = [
            ("a", "a/loss_train/events.out.tfevents.1"),
            ("a/notes_val/notes.txt", "a/notes_val/notes.txt"),
            ("b", "b/train/events.out.tfevents.1"),
            ("c/bert_train", "c/bert_train/events.out.tfevents.1"),
            ("c/gpt_val", "c/gpt_val/events.out.tfevents.1"),
            ("d/exp1_train", "d/exp1_train/events.out.tfevents.1"),
            ("d/exp1_val", "d/exp1_val/events.out.tfevents.1"),
            ("e", "e/loss_train/events.out.tfevents.1"),
            ("e/acc_train", "e/acc_train/events.out.tfevents.1"),
            ("e/acc_val", "e/acc_val/events.out.tfevents.1"),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_scalars_that_were_downloaded_are_of_their_run() {
        let runs =
            found(&["a/run-x-tag-eval_loss.csv", "a/run-x-tag-train_loss.csv", "a/run-y-tag-loss.csv"]);
        let names: Vec<&str> = runs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a/run-x", "a/run-y"]);
    }

    #[test]
    fn the_metrics_of_mlflow_belong_together() {
        let run = "mlruns/0/1fb03232828742d89880b4920ea9a534";
        let found = found(&[
            &format!("{run}/metrics/epoch"),
            &format!("{run}/metrics/a/loss"),
            &format!("{run}/metrics/eval/loss"),
            &format!("{run}/metrics/loss"),
            &format!("{run}/params/lr"),
        ]);
        assert_eq!(found, [(run.into(), vec![format!("{run}/metrics/epoch")])]);
    }

    #[test]
    fn several_logs_are_several_runs() {
        let names = |files: &[&str]| found(files).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&["a.log", "b.log", "b.csv", "notes.md"]), ["a.log", "b.csv"]);
        assert_eq!(names(&["x/run.jsonl", "y/run.jsonl", "y/report.html"]), ["x", "y"]);
        assert_eq!(
            names(&["lightning_logs/version_0/metrics.csv", "lightning_logs/version_1/metrics.csv"]).len(),
            2
        );
    }
}
