//! Which runs there are: in the files and folders that the user named, or among what a trainer writes.
//!
//! Looks for them, and for new files of those that are known, and lets each have its turn. Knows no
//! clock: whoever calls decides how often.

use super::{Left, Run};
use crate::cli::source::is_rows;
use crate::dashboard::Update;
use crate::ingest::Options;
use crate::ingest::discover::{Found, discover, discover_among, no_log};
use crate::store::RunDir;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How much later a log may end than the document that says the same better.
const LAG: Duration = Duration::from_secs(60);
/// Entries of a folder that are looked at where nobody has called it one of logs: it may hold a data set.
const ENTRIES: usize = 20_000;

/// Runs of which none waits for the others; with more, those that are quiet have their turns less often,
/// so that following many costs no more.
const MANY: usize = 100;

/// The places where runs may be, and the runs that are there.
pub(in crate::cli) struct Sources {
    named: Vec<PathBuf>,
    /// The logs that were there before; only what is new or has changed since is of any interest.
    before: Option<HashMap<PathBuf, Stamp>>,
    options: Options,
    runs: Vec<Run>,
    /// The names of `runs`, to know them again.
    names: Vec<String>,
    /// What was found in folders and is no log, by its name, and why not.
    passed: BTreeMap<String, &'static str>,
    next_id: usize,
}

/// What tells that a file has been written to.
type Stamp = (u64, Option<SystemTime>);

fn stamp(data: &Metadata) -> Stamp {
    (data.len(), data.modified().ok())
}

impl Sources {
    /// The files and folders that the user named, as they are now. Runs are numbered from `first_id`.
    pub(in crate::cli) fn new(named: Vec<PathBuf>, options: Options, first_id: usize) -> Self {
        let mut sources = Self::empty(named, None, options, first_id);
        sources.search();
        sources
    }

    /// What will be written in these folders, and what changes there, from now on.
    pub(in crate::cli) fn written(folders: Vec<PathBuf>, options: Options, first_id: usize) -> Self {
        let mut before = HashMap::new();
        for folder in &folders {
            discover_among(folder, ENTRIES, &mut |path, data| {
                before.insert(path.to_owned(), stamp(data));
                false
            });
        }
        Self::empty(folders, Some(before), options, first_id)
    }

    fn empty(
        named: Vec<PathBuf>,
        before: Option<HashMap<PathBuf, Stamp>>,
        options: Options,
        next_id: usize,
    ) -> Self {
        let (runs, names, passed) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { named, before, options, runs, names, passed, next_id }
    }

    /// What was found in folders and is no log, and why not.
    pub(in crate::cli) fn passed(&self) -> &BTreeMap<String, &'static str> {
        &self.passed
    }

    pub(in crate::cli) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Whether more may appear than is known.
    pub(in crate::cli) fn may_grow(&self) -> bool {
        self.named.iter().any(|source| !source.is_file())
    }

    /// Whether nothing more will come: every place that was named is a single run of our own, and has ended.
    pub(in crate::cli) fn are_over(&self) -> bool {
        let single = |source: &PathBuf| source.is_file() || RunDir::open(source).is_ok();
        self.named.len() == self.runs.len()
            && self.named.iter().all(single)
            && self.runs.iter().all(Run::is_over)
    }

    /// Looks for runs that are new, and for new files of those that are known.
    pub(in crate::cli) fn search(&mut self) {
        for source in &self.named {
            let found = source.is_dir();
            let mut runs = runs_in(source, self.before.as_ref());
            // What is being written, or was last, is what is looked for among many.
            runs.sort_by_cached_key(|(_, files)| Reverse(written(files)));
            for (name, files) in runs {
                if self.passed.contains_key(&name) {
                    continue;
                }
                let Some(known) = self.names.iter().position(|old| *old == name) else {
                    // A folder may have been named, and lie below another.
                    if self.before.is_some() && self.runs.iter().any(|run| run.is_in(&files)) {
                        continue;
                    }
                    if let Some(why) = files.first().filter(|_| found).and_then(|file| why_none(file)) {
                        self.passed.insert(name, why);
                        continue;
                    }
                    self.runs.push(Run::new(self.next_id, name.clone(), &files, self.options.clone()));
                    self.names.push(name);
                    self.next_id += 1;
                    continue;
                };
                let run = &mut self.runs[known];
                if files.first().map(PathBuf::as_path) == run.first() {
                    for file in &files {
                        run.add(file);
                    }
                } else {
                    // The figures are somewhere else now: in the state of a newer checkpoint, say.
                    *run = Run::new(run.id, name, &files, self.options.clone());
                }
            }
        }
    }

    /// Says that the runs are there, where that was not said yet: all of them before the first record,
    /// so that it is known from the first line on that there are several.
    pub(in crate::cli) fn begin(&mut self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        self.runs.iter_mut().try_for_each(|run| run.begin(send))
    }

    /// Lets every run have a turn; whether there was anything new.
    pub(in crate::cli) fn turn(&mut self, send: &mut dyn FnMut(Update) -> bool) -> Result<bool, Left> {
        let crowd = (self.runs.len() / MANY) as u32;
        self.runs.iter_mut().try_fold(false, |any, run| Ok(run.turn(crowd, send)? || any))
    }

    /// Passes over the turns in which no file would be looked at; says how many.
    pub(in crate::cli) fn pass(&mut self) -> u32 {
        let turns = self.runs.iter().map(Run::resting).min().unwrap_or(0);
        if turns > 0 {
            self.runs.iter_mut().for_each(|run| run.pass(turns));
        }
        turns
    }

    /// Nothing more will come.
    pub(in crate::cli) fn finish(&mut self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        self.runs.iter_mut().try_for_each(|run| run.finish(send))
    }
}

/// Why a file that was found is not followed.
fn why_none(file: &Path) -> Option<&'static str> {
    no_log(file).or_else(|| is_rows(file).then_some("rows to train on, no log"))
}

/// The runs at a place, each with its name and its files; not those that were there before.
fn runs_in(source: &Path, before: Option<&HashMap<PathBuf, Stamp>>) -> Vec<(String, Vec<PathBuf>)> {
    let found = match before {
        Some(before) => {
            discover_among(source, ENTRIES, &mut |path, data| before.get(path) != Some(&stamp(data)))
        }
        None if source.is_dir() => discover(source),
        None => return vec![(source.display().to_string(), vec![source.to_owned()])],
    };
    let plain = |path: PathBuf| path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
    let named = |found: Found| {
        let files = choose(found.files)?.into_iter().map(plain).collect();
        Some((plain(found.name).display().to_string(), files))
    };
    found.into_iter().filter_map(named).collect()
}

/// When any of these files was written to last.
fn written(files: &[PathBuf]) -> Option<SystemTime> {
    files.iter().filter_map(|file| file.metadata().ok()?.modified().ok()).max()
}

/// Of the places where a run's figures may be, the one to follow: the most structured, unless that is
/// a document which is written now and then, and another one has gone on since.
fn choose(places: Vec<Vec<PathBuf>>) -> Option<Vec<PathBuf>> {
    let is_document =
        |files: &Vec<PathBuf>| files[0].extension().is_some_and(|extension| extension == "json");
    let places: Vec<Vec<PathBuf>> = places.into_iter().filter(|files| !files.is_empty()).collect();
    let first = places.first().filter(|files| is_document(files)).and_then(|files| written(files));
    let newer = |files: &&Vec<PathBuf>| {
        !is_document(files) && first.zip(written(files)).is_some_and(|(first, other)| other > first + LAG)
    };
    places.iter().find(newer).or(places.first()).cloned()
}
