//! Tells someone who is not looking on that a run has gone bad: by a command of their own, once for each new
//! verdict of `warn` or above, and for an early stop. What the command does is its own business; that it failed is handed back.

use crate::dashboard::{Runs, Update};
use crate::diagnosis::{Limits, Severity};
use crate::event::record::Record;
use crate::event::{Event, Note, NoteLevel};
use crate::monitor::Snapshot;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::time::{Duration, Instant};

/// How long a command is waited for at the end, to tell whether it failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Nothing new for so long: a log is read to its end.
const CALM: Duration = Duration::from_millis(300);

#[derive(clap::Args)]
pub(super) struct Notify {
    /// Run COMMAND in a shell when a run is newly found at warn or above, or is stopped early; it is told what by
    /// the variables `TUNE_RUN`, `TUNE_VERDICT`, `TUNE_SEVERITY`, `TUNE_STEP` and `TUNE_MESSAGE`
    #[arg(long, value_name = "COMMAND")]
    pub(super) notify: Option<String>,
}

/// Starts the command, and knows of what it was told already.
pub(super) struct Notifier {
    command: Option<String>,
    /// The gravest that was told of each run, by its id, since it was last well.
    told: BTreeMap<usize, Severity>,
    /// Commands that have not ended.
    running: usize,
    /// What became of each that has: why it failed.
    ended: (Sender<Option<String>>, Receiver<Option<String>>),
}

impl Notifier {
    pub(super) fn new(notify: &Notify) -> Self {
        Self { command: notify.notify.clone(), told: BTreeMap::new(), running: 0, ended: channel() }
    }

    /// Looks at a run as it stands now, and tells of it what is new and grave.
    pub(super) fn look(&mut self, id: usize, name: &str, snapshot: &Snapshot) {
        let severity = snapshot.diagnosis.severity;
        if severity == Severity::None {
            self.told.remove(&id);
        }
        let graver = self.told.get(&id).is_none_or(|told| *told < severity);
        if severity >= Severity::Warn && graver {
            self.told.insert(id, severity);
            self.tell(name, snapshot);
        }
    }

    /// Tells of a run that is stopped early, unless its verdict has been told.
    pub(super) fn stopped(&mut self, id: usize, name: &str, snapshot: &Snapshot) {
        if self.told.insert(id, Severity::Severe).is_none() {
            self.tell(name, snapshot);
        }
    }

    fn tell(&mut self, name: &str, snapshot: &Snapshot) {
        let Some(command) = &self.command else { return };
        let diagnosis = snapshot.diagnosis;
        let places = snapshot.run.places();
        let message = diagnosis.findings.first().map(|finding| finding.message(places));
        let mut shell = shell(command);
        shell
            .env("TUNE_RUN", name)
            .env("TUNE_VERDICT", diagnosis.verdict.to_string())
            .env("TUNE_SEVERITY", diagnosis.severity.to_string())
            .env("TUNE_STEP", snapshot.progress.step.to_string())
            .env("TUNE_MESSAGE", message.unwrap_or_else(|| "stopped early".into()));
        let ended = self.ended.0.clone();
        self.running += 1;
        std::thread::spawn(move || ended.send(failure(shell)));
    }

    /// Why commands failed that have ended since the last call, or do so while it waits.
    pub(super) fn troubles(&mut self, patience: Duration) -> Vec<String> {
        let until = Instant::now() + patience;
        let mut troubles = Vec::new();
        while self.running > 0 {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(ended) = self.ended.1.recv_timeout(left) else { break };
            self.running -= 1;
            troubles.extend(ended);
        }
        troubles
    }
}

/// A warning for the list of events.
pub(super) fn note(text: String) -> Event {
    Event::Note(Note { level: NoteLevel::Warning, text })
}

/// Hands updates on, and looks at the runs whenever nothing new has come for a moment: what a log has been through
/// long ago is no news.
pub(super) fn relay(updates: &Receiver<Update>, to: &SyncSender<Update>, mut notifier: Notifier) {
    let (mut runs, mut ids) = (Runs::new(Limits::DEFAULT), Vec::new());
    loop {
        let patience = match updates.recv_timeout(CALM) {
            Ok(update) => {
                if let Update::Run { id, .. } = update {
                    ids.retain(|known| *known != id);
                    ids.push(id);
                }
                runs.apply(update.clone());
                if to.send(update).is_err() {
                    return;
                }
                continue;
            }
            Err(RecvTimeoutError::Timeout) => Duration::ZERO,
            Err(RecvTimeoutError::Disconnected) => PATIENCE,
        };
        for id in &ids {
            if let Some(run) = runs.position(*id).and_then(|index| runs.get(index)) {
                notifier.look(*id, &run.name, &run.monitor.snapshot());
            }
        }
        for text in notifier.troubles(patience) {
            let record = Record { t: 0.0, event: note(text) };
            let told = ids.first().map(|id| to.send(Update::Record { id: *id, record }).is_ok());
            if told == Some(false) {
                return;
            }
        }
        if !patience.is_zero() {
            return;
        }
    }
}

/// The user's shell, at work on a command, out of reach of a Ctrl-C that is meant for the run.
fn shell(command: &str) -> Command {
    let (program, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut shell = Command::new(program);
    shell.args([flag, command]).stdin(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut shell, 0);
    shell
}

/// Runs it to its end; why it failed, with the last that it said.
fn failure(mut shell: Command) -> Option<String> {
    let output = match shell.output() {
        Ok(output) if output.status.success() => return None,
        Ok(output) => output,
        Err(error) => return Some(format!("the command of --notify could not be started: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let last =
        said.lines().rfind(|line| !line.trim().is_empty()).map_or(String::new(), |line| format!(": {line}"));
    Some(format!("the command of --notify failed, {}{last}", output.status))
}
