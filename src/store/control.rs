//! What someone asks of a run's trainer from another process: one empty file for each wish, in the
//! folder `control` of the run.
//!
//! An empty file is whole as soon as it is there, and of two wishes in one moment none is lost, so
//! nothing is written aside here. The trainer looks between two steps and takes away what it has
//! heard; `pause` lies there as long as the trainer waits. What is left of an earlier session is
//! cleared at the start and at the end.

use super::RunDir;
use crate::event::sink::Command;
use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::path::PathBuf;

/// The wishes that are heard once, by the names of their files.
const ONCE: &[(Command, &str)] = &[
    (Command::Save, "save"),
    (Command::Evaluate, "evaluate"),
    (Command::StopAfterEval, "stop-after-eval"),
    (Command::Stop, "stop"),
    (Command::Interrupt, "interrupt"),
];
const PAUSE: &str = "pause";

/// The folder of the wishes of one run.
#[derive(Clone, Debug)]
pub struct ControlDir {
    folder: PathBuf,
}

impl ControlDir {
    /// That of this run, which need not exist yet.
    pub fn of(run: &RunDir) -> Self {
        Self { folder: run.root().join("control") }
    }

    /// Asks the trainer for something; it hears at the end of its step.
    ///
    /// # Errors
    /// When the run's folder cannot be written to.
    pub fn ask(&self, command: Command) -> Result<()> {
        let once = ONCE.iter().find(|(wish, _)| *wish == command);
        let path = self.folder.join(once.map_or(PAUSE, |(_, name)| name));
        let ask = || {
            if command == Command::Pause(false) {
                return match std::fs::remove_file(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                    done => done,
                };
            }
            match std::fs::create_dir(&self.folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map(drop)
        };
        ask().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Takes the wishes that are heard once, the mildest first.
    pub fn take(&self) -> Vec<Command> {
        // Most runs are never asked for anything: one look for all.
        if !self.folder.is_dir() {
            return Vec::new();
        }
        let taken = |(_, name): &&(Command, &str)| std::fs::remove_file(self.folder.join(name)).is_ok();
        ONCE.iter().filter(taken).map(|(command, _)| *command).collect()
    }

    /// Whether the trainer is to wait.
    pub fn pauses(&self) -> bool {
        self.folder.join(PAUSE).is_file()
    }

    /// Forgets all wishes.
    pub fn clear(&self) {
        self.take();
        // What cannot be removed is somebody else's; a wish that is left is heard by nobody.
        let _ = std::fs::remove_file(self.folder.join(PAUSE));
        let _ = std::fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wish_is_heard_once_and_a_pause_until_it_is_taken_back() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create_at(&parent.path().join("run"), "").unwrap();
        let control = ControlDir::of(&run);
        assert!(control.take().is_empty() && !control.pauses());
        control.ask(Command::Pause(false)).unwrap();
        for command in [Command::Stop, Command::Save, Command::Save, Command::Pause(true)] {
            control.ask(command).unwrap();
        }
        assert_eq!(control.take(), [Command::Save, Command::Stop]);
        assert!(control.take().is_empty());
        assert!(control.pauses() && control.pauses());
        control.ask(Command::Pause(false)).unwrap();
        assert!(!control.pauses());
        for (command, _) in ONCE {
            control.ask(*command).unwrap();
        }
        control.ask(Command::Pause(true)).unwrap();
        control.clear();
        assert!(control.take().is_empty() && !control.pauses());
        assert!(!run.root().join("control").exists(), "nothing is left behind");
    }
}
