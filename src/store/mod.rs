//! A run's folder: its names and paths, how it comes to be, and how it is found again.
//!
//! What is in the folders `best/`, `last/` and `state/` is the trainer's business; the event log is
//! in [`log`]; what other processes ask of the trainer is in [`control`]; other programs' files are
//! followed by [`follow`].

pub mod control;
pub mod follow;
pub mod log;

use crate::event::Event;
use crate::event::record::Record;
use crate::files::{ASIDE, folder_of, folder_with, sync_folder};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
}

const CONFIG: &str = "config.toml";
const LOG: &str = "run.jsonl";
const TIED: &str = "tied";

/// Names to try before giving up on finding one that is free.
const ATTEMPTS: u32 = 100;

impl RunDir {
    /// Makes a folder for a new run under `parent`, called `<name>-<date>-<id>`, with its configuration in it.
    ///
    /// `seed` makes the id; where the name is taken, the next one is tried.
    ///
    /// # Errors
    /// When the folder cannot be made or written to. No folder of the run is left behind then.
    pub fn create(parent: &Path, name: &str, date: &str, seed: u32, config: &str) -> Result<Self> {
        for attempt in 0..ATTEMPTS {
            let id = seed.wrapping_add(attempt) & 0xffff;
            let root = parent.join(format!("{name}-{date}-{id:04x}"));
            if !root.exists() {
                return Self::make(root, config);
            }
        }
        bail!(
            "{}: no free name for a run called {name}\n  hint: name its folder with --out",
            parent.display()
        )
    }

    /// Makes a folder for a new run at `root` itself.
    ///
    /// # Errors
    /// When something is there already, or as for [`RunDir::create`].
    pub fn create_at(root: &Path, config: &str) -> Result<Self> {
        if root.join(LOG).exists() {
            let over = Self { root: root.to_owned() }.is_over();
            let (over, more) = if over {
                (", which is over", String::new())
            } else {
                ("", format!("; or go on with that one: tune run --resume {}", root.display()))
            };
            bail!(
                "{}: holds a run already{over}\n  hint: name another folder with --out{more}",
                root.display()
            );
        }
        let empty = match std::fs::read_dir(root) {
            Ok(mut entries) => entries.next().is_none(),
            // With nothing there, making it tells what else is in the way.
            Err(_) => root.symlink_metadata().is_err(),
        };
        ensure!(
            empty,
            "{}: is not an empty folder\n  hint: name one that does not exist yet",
            root.display()
        );
        Self::make(root.to_owned(), config)
    }

    /// Makes the folder with what every run has from its beginning.
    fn make(root: PathBuf, config: &str) -> Result<Self> {
        let parent = folder_of(&root);
        let make = || -> std::io::Result<()> {
            if let Some(file) = parent.ancestors().find(|path| path.exists()).filter(|path| !path.is_dir()) {
                return Err(std::io::Error::other(format!("{} is not a folder", file.display())));
            }
            folder_with(&root, |folder| {
                for (name, text) in [(CONFIG, config), (LOG, "")] {
                    let mut file = std::fs::File::create(folder.join(name))?;
                    file.write_all(text.as_bytes())?;
                    file.sync_all()?;
                }
                Ok(())
            })
        };
        make().map_err(|error| {
            anyhow!(
                "{}: the run folder cannot be made: {error}\n  \
                 hint: choose a place that can be written to with --out or output.dir",
                root.display()
            )
        })?;
        Ok(Self { root })
    }

    /// The folder of an existing run.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(root: &Path) -> Result<Self> {
        ensure!(
            root.is_dir(),
            "{}: no such folder\n  hint: tune run prints the folder of each run",
            root.display()
        );
        let dir = Self { root: root.to_owned() };
        for path in [dir.config(), dir.log()] {
            ensure!(
                path.is_file(),
                "{}: not a run folder, {} is missing\n  hint: tune run prints the folder of each run",
                root.display(),
                path.display()
            );
        }
        Ok(dir)
    }

    /// Whether the log says that the run has ended for good.
    fn is_over(&self) -> bool {
        let records = self.records().unwrap_or_default();
        let last = records.iter().rev().find_map(|record| match &record.event {
            Event::RunEnded(ended) => Some(ended.reason.is_final()),
            Event::RunResumed(_) => Some(false),
            _ => None,
        });
        last.unwrap_or(false)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The run's name: the last part of its path.
    pub fn name(&self) -> String {
        self.root.file_name().unwrap_or(self.root.as_os_str()).to_string_lossy().into_owned()
    }

    /// The configuration as resolved.
    pub fn config(&self) -> PathBuf {
        self.root.join(CONFIG)
    }

    /// The event log.
    pub fn log(&self) -> PathBuf {
        self.root.join(LOG)
    }

    /// The adapter with the lowest validation loss.
    pub fn best(&self) -> PathBuf {
        self.root.join("best")
    }

    /// The newest adapter.
    pub fn last(&self) -> PathBuf {
        self.root.join("last")
    }

    /// The earliest adapter that is no worse than the best for all that can be told.
    pub fn earliest(&self) -> PathBuf {
        self.root.join("earliest")
    }

    /// The adapter of an evaluation that is tied with the best.
    pub fn tied(&self, step: u64) -> PathBuf {
        self.state().join(TIED).join(step.to_string())
    }

    /// The steps of the adapters under [`RunDir::tied`].
    pub fn tied_steps(&self) -> Vec<u64> {
        let Ok(entries) = std::fs::read_dir(self.state().join(TIED)) else { return Vec::new() };
        let step = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        entries.filter_map(|entry| step(entry.ok()?)).collect()
    }

    /// Puts a copy of the files of the folder `from` at `to`, in place of what is there.
    ///
    /// Hard links where the disk has them: no file of a run is written to once it bears its name. To be
    /// called by the one process that writes to the run.
    ///
    /// # Errors
    /// When the disk refuses. Whatever is at `to` is whole at every moment.
    pub fn keep(&self, from: &Path, to: &Path) -> Result<()> {
        let keep = || -> Result<()> {
            let parent = to.parent().unwrap_or(&self.root);
            std::fs::create_dir_all(parent)?;
            let aside = aside(to, "new")?;
            std::fs::create_dir(&aside)?;
            for entry in std::fs::read_dir(from)? {
                let entry = entry?;
                let (path, place) = (entry.path(), aside.join(entry.file_name()));
                std::fs::hard_link(&path, &place).or_else(|_| std::fs::copy(&path, &place).map(drop))?;
            }
            self.discard(to)?;
            std::fs::rename(&aside, to)?;
            Ok(sync_folder(parent)?)
        };
        keep().with_context(|| format!("{} cannot be written", to.display()))
    }

    /// Removes a folder, if it is there, so that it is never seen with only some of its files.
    pub fn discard(&self, folder: &Path) -> Result<()> {
        let discard = || -> std::io::Result<()> {
            if folder.exists() {
                let aside = aside(folder, "old")?;
                std::fs::rename(folder, &aside)?;
                std::fs::remove_dir_all(&aside)?;
            }
            Ok(())
        };
        discard().with_context(|| format!("{} cannot be removed", folder.display()))
    }

    /// The report of the run, as a page.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// What `--resume` needs.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Removes what a killed process was still writing, none of which bears its final name.
    ///
    /// To be called by the one process that writes to the run.
    pub fn sweep(&self) -> Result<()> {
        let tied = self.state().join(TIED);
        for folder in [self.root.clone(), self.best(), self.last(), self.state(), tied] {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.filter_map(Result::ok) {
                if entry.file_name().to_string_lossy().starts_with(ASIDE) {
                    let path = entry.path();
                    let remove = if path.is_dir() { std::fs::remove_dir_all } else { std::fs::remove_file };
                    remove(&path).with_context(|| path.display().to_string())?;
                }
            }
        }
        Ok(())
    }

    /// Everything that was recorded.
    pub fn records(&self) -> Result<Vec<Record>> {
        log::read(&self.log())
    }
}

/// A free name beside a folder's own, for one that is on its way there or from there.
fn aside(folder: &Path, way: &str) -> std::io::Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.with_file_name(format!("{ASIDE}-{way}-{name}"));
    match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(aside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::replace;

    #[test]
    fn a_new_run_gets_a_folder_of_its_own() {
        let parent = tempfile::tempdir().unwrap();
        let runs = parent.path().join("a/b");
        let create = || RunDir::create(&runs, "quickstart", "2026-11-21", 0xffff, "x = 1\n").unwrap();
        let (first, second) = (create(), create());
        assert_eq!(first.name(), "quickstart-2026-11-21-ffff");
        assert_eq!(second.name(), "quickstart-2026-11-21-0000");
        assert_eq!(std::fs::read_to_string(first.config()).unwrap(), "x = 1\n");
        assert!(first.records().unwrap().is_empty());
        assert_eq!(RunDir::open(first.root()).unwrap(), first);
        assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 2, "nothing else may be left behind");
    }

    #[test]
    fn a_place_that_is_taken_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("run");
        std::fs::create_dir(&root).unwrap();
        RunDir::create_at(&root, "").unwrap();
        let error = RunDir::create_at(&root, "").unwrap_err().to_string();
        let going_on = "holds a run already\n  hint: name another folder with --out; or go on with that one: tune run --resume";
        assert!(error.contains(going_on), "{error}");
        let other = parent.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("notes.txt"), "mine").unwrap();
        assert!(RunDir::create_at(&other, "").unwrap_err().to_string().contains("is not an empty folder"));
        assert!(other.join("notes.txt").exists());
    }

    #[test]
    fn a_folder_that_is_kept_stays_as_it_was() {
        let parent = tempfile::tempdir().unwrap();
        let dir = RunDir::create_at(&parent.path().join("run"), "").unwrap();
        let (best, tied) = (dir.best(), dir.tied(150));
        std::fs::create_dir(&best).unwrap();
        replace(&best.join("weights"), b"first").unwrap();
        dir.keep(&best, &tied).unwrap();
        replace(&best.join("weights"), b"second").unwrap();
        let read = |folder: &Path| std::fs::read_to_string(folder.join("weights")).unwrap();
        assert_eq!((read(&tied), read(&best)), ("first".into(), "second".into()));
        dir.keep(&best, &tied).unwrap();
        assert_eq!((read(&tied), dir.tied_steps()), ("second".into(), vec![150]));
        // What a killed process leaves is gone after the next sweep, and only that.
        std::fs::create_dir(tied.with_file_name(".tmp-new-200")).unwrap();
        dir.sweep().unwrap();
        assert_eq!(std::fs::read_dir(tied.parent().unwrap()).unwrap().count(), 1);
        dir.discard(&tied).unwrap();
        dir.discard(&tied).unwrap();
        assert!(dir.tied_steps().is_empty());
    }

    #[test]
    fn a_folder_that_is_no_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RunDir::open(dir.path()).unwrap_err().to_string().contains("not a run folder"));
        assert!(RunDir::open(&dir.path().join("none")).unwrap_err().to_string().contains("no such folder"));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = format!("{:#}", RunDir::create(&file, "x", "d", 1, "").unwrap_err());
        assert!(error.contains("the run folder cannot be made"), "{error}");
    }
}
