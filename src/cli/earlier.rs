//! Earlier runs of the same configuration, to be seen behind the one that runs now.

use crate::dashboard::Update;
use crate::event::Event;
use crate::event::record::Record;
use crate::store::RunDir;
use crate::store::log::is_being_written;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::mpsc::Sender;

/// How many are shown, the newest ones.
const MOST: usize = 5;
/// A log beyond this many bytes is left alone: it would be read for a curve of a few points.
const LARGEST: u64 = 64 << 20;

/// Where they are, and how they are known.
pub(super) struct Earlier {
    /// The folder of runs.
    pub(super) folder: PathBuf,
    /// The run that is no earlier one.
    pub(super) except: PathBuf,
    /// The configuration file, as it was typed.
    pub(super) config: String,
}

impl Earlier {
    /// Sends all that their logs tell, with ids from 1 on. What cannot be read is no earlier run.
    pub(super) fn send(&self, updates: &Sender<Update>) {
        for (index, run) in self.runs().iter().enumerate() {
            let id = index + 1;
            let Ok(records) = run.records() else { continue };
            let begin = Update::Run { id, name: run.name() };
            let records = records.into_iter().map(|record| Update::Record { id, record });
            // A dashboard that was left needs no more of this.
            for update in std::iter::once(begin).chain(records).chain([Update::Gone { id }]) {
                if updates.send(update).is_err() {
                    return;
                }
            }
        }
    }

    /// Newest first.
    fn runs(&self) -> Vec<RunDir> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let mut runs: Vec<(std::time::SystemTime, RunDir)> = entries
            .filter(|entry| entry.path() != self.except)
            .filter_map(|entry| RunDir::open(&entry.path()).ok())
            // One that goes on beside this is no earlier run, and would stand still on the screen.
            .filter(|run| !is_being_written(&run.log()))
            .filter_map(|run| {
                let about = run.log().metadata().ok().filter(|about| about.len() <= LARGEST)?;
                (self.config == config(&run)?).then_some((about.modified().ok()?, run))
            })
            .collect();
        runs.sort_by_key(|(modified, _)| std::cmp::Reverse(*modified));
        runs.truncate(MOST);
        runs.into_iter().map(|(_, run)| run).collect()
    }
}

/// The configuration that a run was started with, by the first line of its log.
fn config(run: &RunDir) -> Option<String> {
    let mut line = String::new();
    let log = std::fs::File::open(run.log()).ok()?;
    BufReader::new(log.take(1 << 20)).read_line(&mut line).ok()?;
    match Record::from_line(&line).ok()?.event {
        Event::RunStarted(info) => info.settings.config,
        _ => None,
    }
}
