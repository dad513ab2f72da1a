//! Files that other programs write, followed and read: what comes of them goes into one channel, a run
//! an id, to whoever shows or judges it.
//!
//! Opens and polls files, and asks [`crate::ingest`] what is in them; knows nothing of screens. A run may be
//! in several files. What begins anew in its file begins anew on the screen. Which files there are is
//! the business of [`sources`], what a program prints that of [`stream`].

mod known;
mod sources;
mod stream;

pub(super) use sources::Sources;
pub(super) use stream::Stream;

use crate::dashboard::Update;
use crate::event::record::Record;
use crate::event::{Event, StopReason};
use crate::ingest::{Opener, Options, Parsed, Reader, Skipped};
use crate::store::RunDir;
use crate::store::follow::{Follower, News};
use crate::store::log::is_being_written;
use known::{Known, Met};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Turns for which a file that has just grown is looked at in each one.
const FRESH: u32 = 50;
/// Turns of silence that let a file pass one turn more: a line waits for a small share of the time
/// since the one before it.
const PATIENCE: u32 = 3000;
/// The most turns that a file lets pass.
const LONGEST: u32 = 24;
/// A run that is sent into the background ends as interrupted, and within this time it goes on.
const HANDOVER: Duration = Duration::from_secs(10);

/// A run of our own whose log no process holds, and that has not been written to for so long, was killed. Less would
/// be too little where the file system has no locks.
const KILLED_AFTER: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The files of one run.
pub(super) struct Run {
    pub(super) id: usize,
    pub(super) name: String,
    files: Vec<File>,
    options: Options,
    opener: Opener,
    announced: bool,
    /// Whether it was said how old its newest line is.
    dated: bool,
    /// Whether anything has come of it.
    given: bool,
    fate: Fate,
    started: Instant,
    /// When it was last looked whether it was killed.
    looked: Instant,
}

/// What has become of a run.
#[derive(Clone, Copy)]
enum Fate {
    /// It has not said that it is over.
    Open,
    /// It was killed, which was told.
    Killed,
    Ended(StopReason),
}

/// One file, and how far it is read.
struct File {
    follower: Follower,
    reader: Box<dyn Reader>,
    parsed: Parsed,
    /// Whether its run has begun in it.
    begun: bool,
    /// What has been given out of it, where it is a document that is written anew each time.
    known: Known,
    /// Whether all that is there was given out.
    settled: bool,
    /// Turns since there was anything new, and how many it still lets pass.
    silent: u32,
    rest: u32,
    /// Lines that could not be used, of which something was said.
    told: u64,
    /// Why it cannot be read, as it was said.
    trouble: Option<String>,
}

/// Nobody listens any more.
pub(super) struct Left;

impl File {
    fn new(path: &Path, options: &Options, opener: &Opener) -> Self {
        Self {
            follower: Follower::new(path),
            reader: opener.open(path, options),
            parsed: Parsed::default(),
            begun: false,
            known: Known::of(path),
            settled: false,
            silent: 0,
            rest: 0,
            told: 0,
            trouble: None,
        }
    }

    /// Looks, if it is its turn; whether there was anything new. A quiet file lets `least` turns pass or more.
    fn turn(&mut self, least: u32, bytes: &mut Vec<u8>, (options, opener): (&Options, &Opener)) -> bool {
        if self.rest > 0 {
            (self.rest, self.silent) = (self.rest - 1, self.silent.saturating_add(1));
            return false;
        }
        let new = self.look(bytes, options, opener);
        self.silent = if new { 0 } else { self.silent.saturating_add(1) };
        self.rest = if new { 0 } else { rest(self.silent).max(least.min(LONGEST)) };
        new
    }

    /// Looks once; whether there was anything new.
    fn look(&mut self, bytes: &mut Vec<u8>, options: &Options, opener: &Opener) -> bool {
        bytes.clear();
        match self.follower.poll(bytes) {
            Ok(News::Bytes) => {
                (self.settled, self.trouble) = (false, None);
                self.reader.push(bytes, &mut self.parsed);
                true
            }
            Ok(News::Restarted) => {
                if !self.reader.restart() {
                    self.reader = opener.open(self.follower.path(), options);
                    self.known.again();
                }
                true
            }
            Ok(News::Nothing | News::Missing) => {
                if !std::mem::replace(&mut self.settled, true) {
                    self.reader.settle(&mut self.parsed);
                    self.tell();
                }
                false
            }
            Err(error) => {
                let trouble = error.to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    self.note(format!("{}: cannot be read: {trouble}", self.follower.path().display()));
                    self.trouble = Some(trouble);
                }
                false
            }
        }
    }

    /// Says how much could not be used, when that has become much more than was said.
    fn tell(&mut self) {
        let total = self.parsed.skipped.total();
        if total > 2 * self.told {
            self.told = total;
            self.note(skipped(&self.parsed.skipped));
        }
    }

    fn note(&mut self, text: String) {
        let event = Event::warning(text);
        let t = self.parsed.records.last().map_or(0.0, |record| record.t);
        self.parsed.records.push(Record { t, event });
    }
}

/// Turns that a file lets pass after so many without anything new.
fn rest(silent: u32) -> u32 {
    if silent < FRESH { 0 } else { (1 + silent / PATIENCE).min(LONGEST) }
}

/// What could not be used, in words.
pub(super) fn skipped(skipped: &Skipped) -> String {
    let first =
        skipped.first.first().map_or(String::new(), |(line, why)| format!(", the first is {line}: {why}"));
    match skipped.total() {
        1 => format!("one line or record could not be used{first}"),
        total => format!("{total} lines or records could not be used{first}"),
    }
}

impl Run {
    pub(super) fn new(id: usize, name: String, files: &[PathBuf], options: Options) -> Self {
        let opener = Opener::default();
        let files = files.iter().map(|path| File::new(path, &options, &opener)).collect();
        Self {
            id,
            name,
            files,
            options,
            opener,
            announced: false,
            dated: false,
            given: false,
            fate: Fate::Open,
            started: Instant::now(),
            looked: Instant::now(),
        }
    }

    /// The same run, read once more from the start under another id.
    pub(super) fn again(&self, id: usize, name: String) -> Self {
        let files: Vec<PathBuf> = self.files.iter().map(|file| file.follower.path().to_owned()).collect();
        Self::new(id, name, &files, self.options.clone())
    }

    /// Its first file.
    pub(super) fn first(&self) -> Option<&Path> {
        self.files.first().map(|file| file.follower.path())
    }

    /// Whether these files are those of this run, by whatever names.
    fn is_in(&self, files: &[PathBuf]) -> bool {
        let same = |a: &Path, b: &Path| {
            a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
        };
        self.first().zip(files.first()).is_some_and(|(ours, theirs)| same(ours, theirs))
    }

    /// The run is in this file too.
    pub(super) fn add(&mut self, path: &Path) {
        if !self.files.iter().any(|file| file.follower.path() == path) {
            self.files.push(File::new(path, &self.options, &self.opener));
        }
    }

    /// Says that the run is there, if that was not said yet.
    pub(super) fn begin(&mut self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        if std::mem::replace(&mut self.announced, true) { Ok(()) } else { self.announce(send) }
    }

    /// Looks at every file once, but for those that have long been quiet, which let `least` turns pass or
    /// more; whether there was anything new.
    pub(super) fn turn(&mut self, least: u32, send: &mut dyn FnMut(Update) -> bool) -> Result<bool, Left> {
        let mut bytes = Vec::new();
        let mut any = false;
        self.begin(send)?;
        for index in 0..self.files.len() {
            let file = &mut self.files[index];
            // What is written while we look on was written now, where the log does not say when.
            let live = file.settled;
            any |= file.turn(least, &mut bytes, (&self.options, &self.opener));
            if file.parsed.records.is_empty() {
                continue;
            }
            let mut records = std::mem::take(&mut file.parsed.records);
            if live {
                let now = self.started.elapsed().as_secs_f64();
                records.iter_mut().filter(|record| record.t == 0.0).for_each(|record| record.t = now);
            }
            self.give(index, records, send)?;
        }
        if !any && !std::mem::replace(&mut self.dated, true) {
            self.date(send)?;
            self.unknown(send)?;
        }
        if !any && self.looked.elapsed() > LOOK_AGAIN {
            self.looked = Instant::now();
            self.tell_killed(send)?;
        }
        Ok(any)
    }

    /// Says once that a run of our own was killed.
    fn tell_killed(&mut self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        if !matches!(self.fate, Fate::Open) || !self.is_over() {
            return Ok(());
        }
        self.fate = Fate::Killed;
        let run = self.first().and_then(Path::parent).map_or(Path::new("."), crate::cli::named);
        let run = run.display();
        self.warn(
            format!(
                "no process writes this run any more, and it has not ended: tune run --resume {run} goes on"
            ),
            send,
        )
    }

    fn warn(&self, text: String, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        let record = Record { t: 0.0, event: Event::warning(text) };
        heard(send(Update::Record { id: self.id, record }))
    }

    /// Says which figures there are, where none of them has the name of a loss: more of the same will not help.
    fn unknown(&self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        if self.given {
            return Ok(());
        }
        let hint = self.files.iter().find_map(|file| crate::cli::source::other_figures(file.follower.path()));
        let Some(hint) = hint else { return Ok(()) };
        self.warn(format!("no losses so far; {hint}"), send)
    }

    /// Says how long ago its files were written to: what has just been read may be old. One that is not there yet
    /// has nothing old.
    fn date(&self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        let written = |file: &File| file.follower.path().metadata().ok()?.modified().ok()?.elapsed().ok();
        let age = self.files.iter().filter_map(written).min().unwrap_or_default();
        heard(send(Update::Written { id: self.id, age }))
    }

    /// Whether this is a run of our own that has ended or was killed, and no process is about to go on with it.
    fn is_over(&self) -> bool {
        let Some(log) = self.first().filter(|log| is_own(log)) else { return false };
        let rests = |least: Duration| {
            let written = log.metadata().and_then(|data| data.modified()).ok();
            written.and_then(|at| at.elapsed().ok()).is_none_or(|age| age > least)
        };
        let ended = match self.fate {
            Fate::Open | Fate::Killed => self.given && rests(KILLED_AFTER),
            Fate::Ended(StopReason::Interrupted) => rests(HANDOVER),
            Fate::Ended(_) => true,
        };
        ended && !is_being_written(log)
    }

    /// Turns until one of its files is looked at.
    fn resting(&self) -> u32 {
        self.files.iter().map(|file| file.rest).min().unwrap_or(0)
    }

    /// Lets every file pass so many turns, in which none would have been looked at.
    fn pass(&mut self, turns: u32) {
        for file in &mut self.files {
            file.rest = file.rest.saturating_sub(turns);
            file.silent = file.silent.saturating_add(turns);
        }
    }

    /// Nothing more will come: what is still unread is read, and a last line without an end as it stands.
    pub(super) fn finish(&mut self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        self.files.iter_mut().for_each(|file| file.rest = 0);
        while self.turn(0, send)? {}
        for index in 0..self.files.len() {
            let file = &mut self.files[index];
            file.reader.finish(&mut file.parsed);
            file.tell();
            let records = std::mem::take(&mut file.parsed.records);
            self.give(index, records, send)?;
        }
        self.tell_killed(send)
    }

    fn announce(&self, send: &mut dyn FnMut(Update) -> bool) -> Result<(), Left> {
        heard(send(Update::Run { id: self.id, name: self.name.clone() }))
    }

    fn give(
        &mut self,
        index: usize,
        records: Vec<Record>,
        send: &mut dyn FnMut(Update) -> bool,
    ) -> Result<(), Left> {
        for record in records {
            let file = &mut self.files[index];
            match file.known.meet(&record.event) {
                Met::Known => continue,
                Met::New => {}
                Met::Other => {
                    // It is of another run: from its beginning, then.
                    *file = File::new(file.follower.path(), &self.options, &self.opener);
                    file.begun = true;
                    return Ok(());
                }
            }
            if matches!(record.event, Event::RunStarted(_)) {
                if self.files[index].begun {
                    // Another run in the same place: nothing of the one before is of it.
                    self.announce(send)?;
                    for (other, file) in self.files.iter_mut().enumerate() {
                        if other != index {
                            *file = File::new(file.follower.path(), &self.options, &self.opener);
                        }
                    }
                } else if self.files.iter().any(|file| file.begun) {
                    // A second file of the same run begins no new one.
                    self.files[index].begun = true;
                    continue;
                }
                self.files[index].begun = true;
            }
            match &record.event {
                Event::RunEnded(end) => self.fate = Fate::Ended(end.reason),
                Event::RunStarted(_) | Event::RunResumed(_) => self.fate = Fate::Open,
                _ => {}
            }
            self.given = true;
            heard(send(Update::Record { id: self.id, record }))?;
        }
        Ok(())
    }
}

/// Whether a file is the log of a run folder of ours.
fn is_own(log: &Path) -> bool {
    let run = log.parent().and_then(|folder| RunDir::open(crate::cli::named(folder)).ok());
    run.is_some_and(|run| run.log().file_name() == log.file_name())
}

fn heard(heard: bool) -> Result<(), Left> {
    if heard { Ok(()) } else { Err(Left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_longer_a_file_is_quiet_the_less_often_it_is_looked_at_but_never_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.log");
        std::fs::write(&path, "step 1 loss 2.5 eval_loss 2.6\n").unwrap();
        let mut run = Run::new(0, "run".into(), std::slice::from_ref(&path), Options::default());
        let mut evals = 0;
        let mut count = |update: Update| {
            evals += usize::from(matches!(
                update,
                Update::Record { record: Record { event: Event::Eval(_), .. }, .. }
            ));
            true
        };
        let mut turn = |least| run.turn(least, &mut count).is_ok_and(|new| new);
        assert!(turn(0));
        let mut log = std::fs::File::options().append(true).open(&path).unwrap();
        let mut line = 1;
        // Silent turns, and those that the next line may wait for after them.
        for (silent, waits) in
            [(0, 1), (FRESH - 2, 1), (1000, 2), (4 * PATIENCE, 6), (100 * PATIENCE, 1 + LONGEST)]
        {
            for _ in 0..silent {
                assert!(!turn(0));
            }
            line += 1;
            writeln!(log, "step {line} loss 2.5 eval_loss 2.6").unwrap();
            let waited = 1 + (0..2 * LONGEST).take_while(|_| !turn(0)).count() as u32;
            assert!(waited <= waits, "after {silent}: {waited} turns");
        }
        assert_eq!(evals, line);
    }
}
