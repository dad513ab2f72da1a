//! Trainers of runs in other processes, for `tune watch`: whether one is there, whether it waits, and
//! asking it for something.

use super::feed;
use crate::dashboard::{Command, Trainer, Update};
use crate::store::RunDir;
use crate::store::control::ControlDir;
use crate::store::log;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Those that are known, by the ids of their runs; shared by who looks for them and who asks them.
#[derive(Clone, Default)]
pub(super) struct Trainers(Arc<Mutex<BTreeMap<usize, Option<Remote>>>>);

/// One of them.
struct Remote {
    run: RunDir,
    known: Trainer,
}

impl Remote {
    /// Of the run whose figures are in this file: only a run folder of ours has a trainer that listens.
    fn of(file: &Path) -> Option<Self> {
        let run = RunDir::open(file.parent()?).ok().filter(|run| run.log() == file)?;
        Some(Self { run, known: Trainer::Deaf })
    }
}

impl Trainers {
    /// Looks at the trainers of `runs`, and sends what has changed; false when nobody listens any more.
    pub(super) fn look(&self, runs: &[feed::Run], send: &mut dyn FnMut(Update) -> bool) -> bool {
        let mut news = Vec::new();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for run in runs {
            let remote = known.entry(run.id).or_insert_with(|| run.first().and_then(Remote::of));
            let Some(remote) = remote else { continue };
            let trainer = if !log::is_being_written(&remote.run.log()) {
                Trainer::Deaf
            } else if ControlDir::of(&remote.run).pauses() {
                Trainer::Paused
            } else {
                Trainer::Listening
            };
            if std::mem::replace(&mut remote.known, trainer) != trainer {
                news.push(Update::Trainer { id: run.id, trainer });
            }
        }
        drop(known);
        news.into_iter().all(send)
    }

    /// Asks the trainer of a run.
    ///
    /// # Errors
    /// When it is none of ours, or its folder cannot be written to.
    pub(super) fn ask(&self, id: usize, command: Command) -> Result<()> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&id) {
            Some(Some(remote)) => ControlDir::of(&remote.run).ask(command),
            _ => bail!(
                "only a run of tune itself can be asked for anything: stop another trainer where it runs"
            ),
        }
    }
}
