//! Trainers of runs in other processes, for `tune watch`: whether one is there, whether it waits, and
//! asking it for something.

use crate::dashboard::{Command, Trainer, Update};
use crate::store::RunDir;
use crate::store::control::Control;
use crate::store::log;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Those that are known, by the ids of their runs; shared by who looks for them and who asks them.
#[derive(Clone, Default)]
pub(super) struct Trainers(Arc<Mutex<BTreeMap<usize, Remote>>>);

/// One of them.
struct Remote {
    run: RunDir,
    known: Trainer,
}

impl Trainers {
    /// A run whose figures are in this file: only a run folder of ours has a trainer that listens.
    pub(super) fn add(&self, id: usize, file: &Path) {
        let ours = |folder: &Path| RunDir::open(folder).ok().filter(|run| run.log() == file);
        if let Some(run) = file.parent().and_then(ours) {
            let remote = Remote { run, known: Trainer::Deaf };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, remote);
        }
    }

    /// Looks at all of them, and sends what has changed; false when nobody listens any more.
    pub(super) fn look(&self, send: &mut dyn FnMut(Update) -> bool) -> bool {
        let mut news = Vec::new();
        for (&id, remote) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let trainer = if !log::is_being_written(&remote.run.log()) {
                Trainer::Deaf
            } else if Control::of(&remote.run).pauses() {
                Trainer::Paused
            } else {
                Trainer::Listening
            };
            if std::mem::replace(&mut remote.known, trainer) != trainer {
                news.push(Update::Trainer { id, trainer });
            }
        }
        news.into_iter().all(send)
    }

    /// Asks the trainer of a run.
    ///
    /// # Errors
    /// When it is none of ours, or its folder cannot be written to.
    pub(super) fn ask(&self, id: usize, command: Command) -> Result<()> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&id) {
            Some(remote) => Control::of(&remote.run).ask(command),
            None => bail!("only a run of tune itself can be asked for anything"),
        }
    }
}
