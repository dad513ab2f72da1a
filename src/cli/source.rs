//! Any source, read to its end and judged once: what `check` and others make of a file or a folder.

use crate::curve::Curves;
use crate::data::read::{is_header, is_row};
use crate::diagnosis::advice::{self, Advice};
use crate::diagnosis::{Diagnosis, Limits, Severity, diagnose};
use crate::event::record::Record;
use crate::event::{Event, Note, NoteLevel, RunInfo};
use crate::ingest::names::{self, Side, rises};
use crate::ingest::{self, Opener, Options, Parsed, Skipped, seen};
use crate::monitor::Monitor;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes that are read at a time: what is made of them stays in the nearer caches.
const CHUNK: usize = 16 * 1024;

/// Bytes of a file that are looked at for a row, or for figures.
pub(super) const HEAD: u64 = 64 * 1024;

/// What the user named, and where its figures may be.
pub(super) struct Source {
    /// As typed, or the run below the folder that was typed.
    pub(super) name: String,
    /// Where the figures may be, the best first; files of one entry belong together.
    files: Vec<Vec<PathBuf>>,
    /// Whether it came out of a folder, where what is no log is nobody's mistake.
    pub(super) found: bool,
}

/// A run, read and judged.
pub(super) struct Judged {
    pub(super) name: String,
    /// The file that the figures are from.
    pub(super) file: PathBuf,
    pub(super) found: bool,
    pub(super) trainer: String,
    pub(super) run: RunInfo,
    pub(super) curves: Curves,
    pub(super) diagnosis: Diagnosis,
    pub(super) advice: Vec<Advice>,
    pub(super) skipped: Skipped,
    /// Remarks of the reader: where steps are from.
    pub(super) notes: Vec<String>,
    /// Those of them that must not be overlooked: that the trainer has failed.
    pub(super) warnings: Vec<String>,
    /// What is told of the runs before it in the same log; among the notes too.
    earlier: Option<String>,
}

impl Judged {
    /// Whether not one figure was found.
    pub(super) fn is_empty(&self) -> bool {
        self.curves.train.is_empty() && self.curves.eval.is_empty()
    }
}

/// The runs that an argument names: a file is one, a folder may hold many.
pub(super) fn sources(path: &Path) -> anyhow::Result<Vec<Source>> {
    let name = path.display().to_string();
    if name == "-" || path.is_file() {
        return Ok(vec![Source { name, files: vec![vec![path.to_owned()]], found: false }]);
    }
    if !path.exists() {
        anyhow::bail!("{name}: no such file or folder\n  hint: name a log, or a folder of them");
    }
    if !path.is_dir() {
        // A pipe, a device: it is read like a file.
        return Ok(vec![Source { name, files: vec![vec![path.to_owned()]], found: false }]);
    }
    let found = ingest::discover::discover(path);
    if found.is_empty() {
        anyhow::bail!(
            "{name}: no log is in this folder\n  hint: name the file itself, whatever it is called"
        );
    }
    let source = |found: ingest::discover::Found| Source {
        name: found.name.display().to_string(),
        files: found.files,
        found: true,
    };
    Ok(found.into_iter().map(source).collect())
}

/// Reads a source: of its files the first that holds evaluations, else the first that holds figures.
pub(super) fn judge(source: &Source, options: &Options) -> anyhow::Result<Judged> {
    let mut best: Option<Judged> = None;
    for files in &source.files {
        let judged = match read(source, files, options) {
            Ok(judged) => judged,
            // In a folder another file may do.
            Err(_) if source.found && source.files.len() > 1 => continue,
            Err(error) => return Err(error),
        };
        let better = best.as_ref().is_none_or(|best| best.is_empty() && !judged.is_empty());
        if !judged.curves.eval.is_empty() {
            best = Some(judged);
            break;
        }
        if better {
            best = Some(judged);
        }
    }
    let mut judged = best.ok_or_else(|| {
        anyhow::anyhow!("{}: none of its files can be read\n  hint: name the log itself", source.name)
    })?;
    judged.notes.extend(beside(source, &judged.file));
    judged.diagnosis = diagnose(&judged.curves, &judged.run, &Limits::DEFAULT);
    judged.advice = advice::advise(&judged.diagnosis, &judged.run);
    if judged.curves.eval.is_empty() && !judged.is_empty() && judged.advice.is_empty() {
        // A column that is called `val` may be the loss that is missed.
        match held_out_figure(&judged.file) {
            Some(eval) => judged.notes.push(said_to_be(&eval)),
            None => judged.advice = advice::evaluate(&judged.run),
        }
    }
    Ok(judged)
}

/// Printed logs beside the file that a run was judged by, of which a trainer leaves one, or one for stderr as well.
const PRINTED: usize = 2;

/// Says which logs of a folder were taken to be of the same run, where they are so many that they may be of others.
fn beside(source: &Source, judged: &Path) -> Option<String> {
    let firsts = source.files.iter().filter_map(|files| files.first());
    let printed = firsts.filter(|file| file.as_path() != judged && !ingest::discover::is_well_known(file));
    let names: Vec<_> = printed.filter_map(|file| Some(file.file_name()?.to_string_lossy())).collect();
    (names.len() > PRINTED).then(|| {
        format!(
            "taken to be of the same run and not judged: {}; name a file to judge it alone",
            names.join(", ")
        )
    })
}

fn read(source: &Source, files: &[PathBuf], options: &Options) -> anyhow::Result<Judged> {
    let mut fold = Fold::default();
    let (trainer, skipped) = records(files, options, &mut |record| fold.take(record))?;
    let Fold { run, curves, mut notes, warnings, earlier, .. } = fold;
    let earlier = told(&earlier);
    notes.extend(earlier.clone());
    let trainer = if run.trainer.is_empty() { trainer.into() } else { run.trainer.clone() };
    Ok(Judged {
        name: source.name.clone(),
        file: files[0].clone(),
        found: source.found,
        trainer,
        diagnosis: diagnose(&Curves::default(), &run, &Limits::DEFAULT),
        advice: Vec::new(),
        run,
        curves,
        skipped,
        notes,
        warnings,
        earlier,
    })
}

/// Reads the files of one run to their ends, `each` record as it comes; who wrote the first of them, and
/// what could not be used.
fn records(
    files: &[PathBuf],
    options: &Options,
    each: &mut dyn FnMut(&Record),
) -> anyhow::Result<(&'static str, Skipped)> {
    let (mut parsed, mut trainer) = (Parsed::default(), "text");
    let opener = Opener::default();
    // The file in which the run has begun.
    let mut begun = None;
    for (index, path) in files.iter().enumerate() {
        let mut reader = opener.open(path, options);
        let fail = |error: std::io::Error| {
            anyhow::anyhow!(
                "{}: cannot be read: {error}\n  hint: name a file that is yours to read",
                path.display()
            )
        };
        let mut file: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(std::io::stdin())
        } else {
            Box::new(std::fs::File::open(path).map_err(fail)?)
        };
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = match file.read(&mut chunk) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.map_err(fail)?,
            };
            if length > 0 {
                reader.push(&chunk[..length], &mut parsed);
            }
            let over = length == 0 || reader.is_useless();
            if over {
                reader.finish(&mut parsed);
            }
            for record in &parsed.records {
                // A second file of the same run begins no new one.
                if !matches!(record.event, Event::RunStarted(_)) || *begun.get_or_insert(index) == index {
                    each(record);
                }
            }
            parsed.records.clear();
            if over {
                break;
            }
        }
        if index == 0 {
            trainer = reader.trainer();
        }
    }
    Ok((trainer, parsed.skipped))
}

/// A source as a monitor sees it, judged at every evaluation as if it had been watched.
pub(super) fn replay(source: &Source, options: &Options) -> anyhow::Result<(Monitor, Skipped)> {
    let judged = judge(source, options)?;
    let files = source.files.iter().find(|files| files.first() == Some(&judged.file));
    let mut monitor = Monitor::new(Limits::DEFAULT);
    // Another trainer seldom writes what its run is called.
    let called =
        Path::new(&source.name).file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
    let (_, skipped) =
        records(files.map_or(&[], Vec::as_slice), options, &mut |record| match &record.event {
            Event::RunStarted(run) if run.name.is_empty() => {
                let run = Box::new(RunInfo { name: called.clone(), ..RunInfo::clone(run) });
                monitor.apply(&Record { t: record.t, event: Event::RunStarted(run) });
            }
            _ => monitor.apply(record),
        })?;
    if let Some(text) = judged.earlier {
        let t = monitor.snapshot().progress.elapsed_s;
        monitor.apply(&Record { t, event: Event::Note(Note { level: NoteLevel::Info, text }) });
    }
    Ok((monitor, skipped))
}

/// The newest run in the records of a source.
#[derive(Default)]
struct Fold {
    run: RunInfo,
    curves: Curves,
    notes: Vec<String>,
    warnings: Vec<String>,
    /// Runs before it in the same log: folds, trials, starts that were given up.
    before: usize,
    /// What was found of those that are not well.
    earlier: Vec<String>,
}

/// Of so many earlier runs the verdict of each is told.
const MOST_EARLIER: usize = 5;

/// The verdicts of the runs before the newest that are worth a word, in one note.
fn told(earlier: &[String]) -> Option<String> {
    let (first, more) = earlier.split_at(earlier.len().min(MOST_EARLIER));
    let more = if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
    (!first.is_empty()).then(|| format!("of the runs before it in this log: {}{more}", first.join("; ")))
}

impl Fold {
    /// Judges the run that another has begun after.
    fn end(&mut self) {
        if self.curves.eval.is_empty() && self.curves.train.is_empty() {
            return;
        }
        self.before += 1;
        let Diagnosis { verdict, severity, .. } = diagnose(&self.curves, &self.run, &Limits::DEFAULT);
        if severity > Severity::None {
            self.earlier.push(format!("run {} {verdict} ({severity})", self.before));
        }
    }

    fn take(&mut self, record: &Record) {
        match &record.event {
            Event::RunStarted(run) => {
                self.end();
                self.run = RunInfo::clone(run);
                self.notes.clear();
                self.warnings.clear();
            }
            Event::Note(note) => {
                // What must not be overlooked comes first.
                let warns = note.level == NoteLevel::Warning;
                self.notes.insert(if warns { 0 } else { self.notes.len() }, note.text.clone());
                self.warnings.extend(warns.then(|| note.text.clone()));
            }
            _ => {}
        }
        self.curves.apply(record.t, &record.event);
    }
}

/// Whether a file begins as rows to train on do, in JSON Lines or as a table. What has a loss beside them is a log.
pub(super) fn is_rows(path: &Path) -> bool {
    let mut line = Vec::new();
    let read = path.is_file().then(|| std::fs::File::open(path).ok()).flatten();
    let read = read.map(|file| BufReader::new(file.take(HEAD)).read_until(b'\n', &mut line));
    let begins = matches!(read, Some(Ok(_))) && (is_row(&line) || is_header(&line));
    // Rows may speak of a loss, of weight for instance; and a logger's lines have a text too, beside a record.
    begins
        && match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&line) {
            Ok(row) => !row.iter().any(|(key, value)| key.contains("loss") || value.is_object()),
            Err(_) => memchr::memmem::find(&line, b"loss").is_none(),
        }
}

/// What to do about a file whose figures have names of which none is known for a loss.
pub(super) fn other_figures(path: &Path) -> Option<String> {
    let figures = figures(path)?;
    match (of_side(&figures, Side::Train), of_side(&figures, Side::Valid)) {
        _ if figures.is_empty() => None,
        (Some(train), Some(eval)) => {
            Some(format!("if {train} and {eval} are losses, say so: --map \"train={train},eval={eval}\""))
        }
        (_, Some(eval)) => Some(said_to_be(eval)),
        _ => Some(format!(
            "its figures are called {}: say which is the eval loss with --map \"eval=NAME\"",
            figures.join(", ")
        )),
    }
}

/// The figures of a file's first lines whose names say nothing of a loss.
fn figures(path: &Path) -> Option<Vec<String>> {
    let mut head = Vec::new();
    let file = path.is_file().then(|| std::fs::File::open(path).ok()).flatten()?;
    file.take(HEAD).read_to_end(&mut head).ok()?;
    Some(seen::figures(&head))
}

/// The first of them that may be a loss of this side.
fn of_side(figures: &[String], side: Side) -> Option<&String> {
    let is = |name: &&String| names::read(name.as_bytes()).side == Some(side) && !rises(name.as_bytes());
    figures.iter().find(is)
}

/// A figure of held-out rows that is not known for a loss and may be one.
fn held_out_figure(path: &Path) -> Option<String> {
    of_side(&figures(path)?, Side::Valid).cloned()
}

fn said_to_be(eval: &str) -> String {
    format!("if {eval} is a loss, say so: --map \"eval={eval}\"")
}
