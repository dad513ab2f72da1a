//! Runs in the background: `tune run --detach`, and `d` in the dashboard.
//!
//! The run is trained by a second process: the same command in a session of its own, which no
//! terminal ends, with its lines in the run's folder. `tune watch` shows it, and its keys reach it
//! through [`crate::store::control`].

use super::{Failure, Outcome, code, print, say};
use crate::store::RunDir;
use anyhow::{Context, anyhow};
use serde_json::json;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The flag by which a process knows that it is the one in the background.
pub(super) const BACKGROUND: &str = "background";
/// Whether a run can be left in the background here.
pub(super) const POSSIBLE: bool = cfg!(unix);
/// What a run in the background prints.
const OUTPUT: &str = "output.log";
/// Between two looks whether the other process has begun.
const LOOK: Duration = Duration::from_millis(30);

/// Refuses where a process cannot leave its terminal.
pub(super) fn check() -> Result<(), Failure> {
    if POSSIBLE {
        return Ok(());
    }
    Err(Failure::usage(anyhow!(
        "--detach: only Unix systems have it yet\n  hint: leave it out, and keep the terminal open"
    )))
}

/// Starts a run in the background, and says where it is when its first event is in its log.
///
/// `arguments` are those of `tune run`; nobody may hold the run's log.
pub(super) fn start(dir: &RunDir, arguments: &[&OsStr], json: bool) -> Outcome {
    let path = dir.root().join(OUTPUT);
    let size = |path: &std::path::Path| path.metadata().map_or(0, |about| about.len());
    let (before, said) = (size(&dir.log()), size(&path));
    let spawn = || -> anyhow::Result<Child> {
        let out = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").args(arguments).arg(format!("--{BACKGROUND}"));
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        Ok(command.spawn()?)
    };
    let mut child = spawn().context("cannot start in the background").map_err(Failure::failed)?;
    let root = dir.root().display();
    while size(&dir.log()) <= before {
        let Some(status) = child.try_wait().map_err(Failure::failed)? else {
            std::thread::sleep(LOOK);
            continue;
        };
        // What it said is the reason.
        let mut text = String::new();
        let _ = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(said))?;
            file.read_to_string(&mut text)
        });
        say(text.trim_end());
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(code::FAILED);
        let error = anyhow!("{root}: the run has ended before its first step");
        return Err(Failure { code: code.max(1), error });
    }
    let id = child.id();
    if json {
        print(&format!("{}\n", json!({ "run": dir.root(), "pid": id })));
    } else {
        print(&format!(
            "{root}: runs in the background, process {id}\n  \
             tune watch {root}    shows it; its keys stop, save, evaluate and pause it\n  \
             {}    has its lines\n",
            path.display()
        ));
    }
    Ok(code::FINE)
}

/// Leaves the terminal, for the process in the background.
pub(super) fn leave_terminal() {
    // Only the first process of a session cannot begin one: it has none to leave.
    #[cfg(unix)]
    let _ = rustix::process::setsid();
}
