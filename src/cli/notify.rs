//! Tells someone who is not looking on that a run has gone bad: by a command of their own, once for each new
//! verdict of `warn` or above, and when a run is stopped for it. What the command does is its own business; that
//! it failed is handed back.

use crate::dashboard::{Runs, Update};
use crate::diagnosis::{Finding, Limits, Severity, Verdict};
use crate::event::Event;
use crate::event::record::Record;
use crate::monitor::Snapshot;
use clap::builder::NonEmptyStringValueParser;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// How long commands are waited for at the end, to tell whether they fail.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(5);
/// Nothing new for so long: a log is read to its end.
const CALM: Duration = Duration::from_millis(300);
/// A log to which something is always added is looked at so often.
const BUSY: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(super) struct Notify {
    /// Run COMMAND in a shell when a run is newly found at warn or above, or is stopped for what was found; it is
    /// told what by the variables `TUNE_RUN`, `TUNE_VERDICT`, `TUNE_SEVERITY`, `TUNE_STEP` and `TUNE_MESSAGE`
    #[arg(id = "notify", long = "notify", value_name = "COMMAND", value_parser = NonEmptyStringValueParser::new())]
    pub(super) command: Option<String>,
}

/// Starts the command, and knows what it was told already.
pub(super) struct Notifier {
    command: Option<String>,
    /// The verdicts of each run, by its id, that were told since it was last well, each as grave as it was.
    told: BTreeMap<usize, Vec<(Verdict, Severity)>>,
    /// Runs that are stopped, and of which that was told.
    stopped: BTreeSet<usize>,
    /// Commands that have not ended, and of which run the last one is.
    running: usize,
    last: usize,
    /// Of which run each was that has, and why it failed.
    ended: (Sender<Ended>, Receiver<Ended>),
}

type Ended = (usize, Option<String>);

impl Notifier {
    pub(super) fn new(notify: &Notify) -> Self {
        Self {
            command: notify.command.clone(),
            told: BTreeMap::new(),
            stopped: BTreeSet::new(),
            running: 0,
            last: 0,
            ended: channel(),
        }
    }

    /// Looks at a run as it stands now, and tells what is new and grave; with `stops`, that it is being stopped.
    pub(super) fn look(&mut self, id: usize, name: &str, snapshot: &Snapshot, stops: bool) {
        let new = self.know(id, snapshot);
        if stops && self.stopped.insert(id) {
            self.tell(id, name, snapshot, " was stopped");
        } else if new {
            self.tell(id, name, snapshot, "");
        }
    }

    /// Takes note of how a run stands, as if that had been told; whether it is new.
    pub(super) fn know(&mut self, id: usize, snapshot: &Snapshot) -> bool {
        let now = (snapshot.diagnosis.verdict, snapshot.diagnosis.severity);
        let told = self.told.entry(id).or_default();
        if now.1 == Severity::None {
            told.clear();
        }
        let new = now.1 >= Severity::Warn && !told.iter().any(|of| of.0 == now.0 && of.1 >= now.1);
        if new {
            told.push(now);
        }
        new
    }

    /// A run begins anew.
    fn forget(&mut self, id: usize) {
        self.told.remove(&id);
        self.stopped.remove(&id);
    }

    fn tell(&mut self, id: usize, name: &str, snapshot: &Snapshot, happened: &str) {
        let Some(command) = &self.command else { return };
        let diagnosis = snapshot.diagnosis;
        let finding = diagnosis.findings.first().map(|finding| finding.message(snapshot.run.places()));
        let finding = finding.map_or(String::new(), |finding| format!(": {finding}"));
        let message = format!("{name}{happened}: {} ({}){finding}", diagnosis.verdict, diagnosis.severity);
        let mut shell = shell(command);
        shell
            .env("TUNE_RUN", name)
            .env("TUNE_VERDICT", diagnosis.verdict.to_string())
            .env("TUNE_SEVERITY", diagnosis.severity.to_string())
            .env("TUNE_STEP", judged_at(snapshot).to_string())
            .env("TUNE_MESSAGE", message);
        let ended = self.ended.0.clone();
        self.running += 1;
        self.last = id;
        if let Err(error) = start(shell, move |failure| drop(ended.send((id, failure)))) {
            // The receiver is ours.
            let _ = self
                .ended
                .0
                .send((id, Some(format!("the command of --notify could not be started: {error}"))));
        }
    }

    /// Why commands failed that have ended since the last call, or do so while it waits, and of which run each was.
    pub(super) fn troubles(&mut self, patience: Duration) -> Vec<(usize, String)> {
        let until = Instant::now() + patience;
        let mut troubles = Vec::new();
        while self.running > 0 {
            let left = until.saturating_duration_since(Instant::now());
            let Ok((id, failure)) = self.ended.1.recv_timeout(left) else { break };
            self.running -= 1;
            troubles.extend(failure.map(|failure| (id, failure)));
        }
        if self.running > 0 && !patience.is_zero() {
            troubles.push((self.last, "the command of --notify has not ended; it is left to itself".into()));
        }
        troubles
    }
}

/// Hands updates on as long as someone takes them, and looks at the runs until no more come: when it is calm, since
/// what a log has been through on its way is no news, and now and then where it never is. What a log had when the
/// watch began is no news either. Run 0 may be a `stream`, which has no before.
pub(super) fn relay(
    updates: &Receiver<Update>,
    to: &SyncSender<Update>,
    mut notifier: Notifier,
    stream: bool,
) {
    let mut runs = Runs::new(Limits::DEFAULT);
    // Runs that are read to where they were when they were found.
    let mut current: BTreeSet<usize> = stream.then_some(0).into_iter().collect();
    // Those that were there first: all are named before any is read to its end.
    let (mut first, mut naming) = (BTreeSet::new(), true);
    let mut looked = Instant::now();
    loop {
        let patience = match updates.recv_timeout(CALM) {
            Ok(update) => {
                // A run begins anew or goes on from before: nobody will see again how it stood.
                let turned = turned(&update).filter(|id| current.contains(id));
                if let Some(id) = turned {
                    look(&mut notifier, &runs, id);
                }
                runs.apply(update.clone());
                if let Some(id) = turned {
                    look(&mut notifier, &runs, id);
                }
                match update {
                    Update::Run { id, .. } => {
                        notifier.forget(id);
                        if naming {
                            first.insert(id);
                        }
                    }
                    Update::Written { id, .. } => {
                        current.insert(id);
                        naming = false;
                        let found = runs.position(id).and_then(|index| runs.get(index));
                        if let Some(run) = found.filter(|_| first.remove(&id)) {
                            notifier.know(id, &run.monitor.snapshot());
                        }
                    }
                    _ => {}
                }
                // A dashboard that was left is the best reason to be told.
                let _ = to.send(update);
                if looked.elapsed() < BUSY {
                    continue;
                }
                Duration::ZERO
            }
            Err(RecvTimeoutError::Timeout) => Duration::ZERO,
            Err(RecvTimeoutError::Disconnected) => LAST_WAIT,
        };
        looked = Instant::now();
        for id in &current {
            look(&mut notifier, &runs, *id);
        }
        for (id, text) in notifier.troubles(patience) {
            let run = runs.position(id).and_then(|index| runs.get(index));
            let t = run.map_or(0.0, |run| run.monitor.snapshot().progress.elapsed_s);
            let _ = to.send(Update::Record { id, record: Record { t, event: Event::warning(text) } });
        }
        if !patience.is_zero() {
            return;
        }
    }
}

/// Of which run an update takes something back.
fn turned(update: &Update) -> Option<usize> {
    match update {
        Update::Run { id, .. } => Some(*id),
        Update::Record { id, record } => matches!(record.event, Event::RunResumed(_)).then_some(*id),
        _ => None,
    }
}

fn look(notifier: &mut Notifier, runs: &Runs, id: usize) {
    if let Some(run) = runs.position(id).and_then(|index| runs.get(index)) {
        notifier.look(id, &run.name, &run.monitor.snapshot(), false);
    }
}

/// The step that the verdict is of: that of the newest evaluation, or of a finding of a later train figure. A run
/// may have trained on since, and the message says nothing of that.
fn judged_at(snapshot: &Snapshot) -> u64 {
    let evaluated = snapshot.curves.eval.last().map(|eval| eval.step);
    let found = snapshot.diagnosis.findings.first().and_then(Finding::step);
    evaluated.max(found).unwrap_or(snapshot.progress.step)
}

/// The user's shell, at work on a command, out of reach of a Ctrl-C that is meant for the run.
fn shell(command: &str) -> Command {
    #[cfg(unix)]
    {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        shell
    }
    #[cfg(not(unix))]
    {
        let mut shell = Command::new("cmd");
        // As it was typed: cmd has its own idea of quotes.
        std::os::windows::process::CommandExt::raw_arg(shell.arg("/C"), command);
        shell
    }
}

/// Starts a command; `done` is told why it failed, if it did, when it has ended. What it leaves running is not
/// waited for.
fn start(mut shell: Command, done: impl FnOnce(Option<String>) + Send + 'static) -> std::io::Result<()> {
    let said = tempfile::tempfile()?;
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?);
    let mut child = shell.spawn()?;
    let wait = move || {
        done(match child.wait() {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("the command of --notify failed, {status}{}", last_line(said))),
            Err(error) => Some(format!("the command of --notify was lost: {error}")),
        });
    };
    Builder::new().name("notify".into()).spawn(wait).map(drop)
}

/// The last that a command said, behind a colon.
fn last_line(mut said: File) -> String {
    const MOST: u64 = 1 << 16;
    let mut text = Vec::new();
    // What cannot be read is not said.
    let _ = said.rewind().and_then(|()| said.take(MOST).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    text.lines().rfind(|line| !line.trim().is_empty()).map_or(String::new(), |line| format!(": {line}"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::event::{EvalStats, StepStats};
    use crate::monitor::Monitor;

    /// A notifier whose command writes what it is told to the file `told` in the folder, a line each time.
    fn teller(place: &tempfile::TempDir) -> (std::path::PathBuf, Notifier) {
        let file = place.path().join("told");
        let command = format!("echo \"$TUNE_RUN $TUNE_SEVERITY $TUNE_MESSAGE\" >> '{}'", file.display());
        (file, Notifier::new(&Notify { command: Some(command) }))
    }

    fn told(file: &std::path::Path) -> Vec<String> {
        std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn eval(step: u64, loss: f64) -> Record {
        let stats = EvalStats { step, loss, ..EvalStats::default() };
        Record { t: step as f64, event: Event::Eval(stats) }
    }

    /// Falls to 1.8 at step 6 and climbs from there.
    fn loss(step: u64) -> f64 {
        if step <= 6 { 3.0 - 0.2 * step as f64 } else { 1.8 + 0.1 * (step - 6) as f64 }
    }

    fn send_overfit(sender: &Sender<Update>, id: usize, name: &str) {
        sender.send(Update::Run { id, name: name.into() }).expect("a receiver");
        for step in 1..=16 {
            sender.send(Update::Record { id, record: eval(step, loss(step)) }).expect("a receiver");
        }
    }

    #[test]
    fn what_is_new_is_told_once_and_a_stop_always() {
        let place = tempfile::tempdir().unwrap();
        let (file, mut notifier) = teller(&place);
        let mut monitor = Monitor::new(Limits::DEFAULT);
        let mut severities = Vec::new();
        for step in 1..=16 {
            monitor.apply(&eval(step, loss(step)));
            notifier.look(7, "job", &monitor.snapshot(), false);
            assert!(notifier.troubles(LAST_WAIT).is_empty());
            severities.push(monitor.snapshot().diagnosis.severity);
        }
        assert!(severities.contains(&Severity::Watch), "{severities:?}");
        // It may come to be severe at once.
        let before = told(&file);
        assert!((1..=2).contains(&before.len()), "{before:?}");
        assert!(before.iter().all(|line| line.contains(" job: overfitting (")), "{before:?}");
        for _ in 0..2 {
            notifier.look(7, "job", &monitor.snapshot(), true);
            notifier.troubles(LAST_WAIT);
        }
        assert_eq!(told(&file).len(), before.len() + 1);
        let stop = told(&file).pop().unwrap();
        assert!(stop.starts_with("job severe job was stopped: overfitting (severe): eval loss"), "{stop}");
        // A new best clears it, and the next rise is news again.
        monitor.apply(&eval(17, 1.0));
        notifier.look(7, "job", &monitor.snapshot(), false);
        for step in 18..=40 {
            monitor.apply(&eval(step, 1.0 + 0.1 * (step - 17) as f64));
        }
        notifier.look(7, "job", &monitor.snapshot(), false);
        notifier.troubles(LAST_WAIT);
        assert_eq!(told(&file).len(), before.len() + 2, "{:?}", told(&file));
        // What another session has told is known.
        let (_, mut next) = teller(&place);
        assert!(next.know(7, &monitor.snapshot()));
        next.look(7, "job", &monitor.snapshot(), false);
        assert_eq!(next.running, 0);
    }

    #[test]
    fn the_step_that_is_told_is_that_of_the_evaluation() {
        let mut monitor = Monitor::new(Limits::DEFAULT);
        for step in 1..=16 {
            monitor.apply(&eval(step, loss(step)));
        }
        let train = |step, loss| {
            let stats = StepStats { step, loss, ..StepStats::default() };
            Record { t: step as f64, event: Event::Step(stats) }
        };
        monitor.apply(&train(19, 1.0));
        assert_eq!((judged_at(&monitor.snapshot()), monitor.snapshot().progress.step), (16, 19));
        // A train loss that is none is judged where it comes.
        let mut broken = Monitor::new(Limits::DEFAULT);
        broken.apply(&eval(1, 2.0));
        broken.apply(&train(2, 1.0));
        (3..=12).for_each(|step| broken.apply(&train(step, f64::NAN)));
        assert!(broken.snapshot().diagnosis.severity >= Severity::Warn);
        assert!(judged_at(&broken.snapshot()) >= 3);
    }

    #[test]
    fn a_source_that_never_rests_is_looked_at() {
        let place = tempfile::tempdir().unwrap();
        let (file, notifier) = teller(&place);
        let (sender, updates) = channel();
        // Nobody takes what is handed on.
        let (to, _) = std::sync::mpsc::sync_channel(0);
        let relayed = std::thread::spawn(move || relay(&updates, &to, notifier, true));
        send_overfit(&sender, 0, "bars");
        let until = Instant::now() + 5 * BUSY;
        while told(&file).is_empty() && Instant::now() < until {
            sender.send(Update::Output { id: 0, line: "1 %".into() }).unwrap();
            std::thread::sleep(CALM / 6);
        }
        assert!(told(&file)[0].starts_with("bars severe bars: overfitting"), "{:?}", told(&file));
        drop(sender);
        relayed.join().unwrap();
        assert_eq!(told(&file).len(), 1);
    }

    #[test]
    fn what_a_log_had_at_first_is_no_news_and_what_comes_is() {
        let place = tempfile::tempdir().unwrap();
        let (file, notifier) = teller(&place);
        let (sender, updates) = channel();
        for (id, name) in [(1, "old"), (2, "new")] {
            send_overfit(&sender, id, name);
            sender.send(Update::Written { id, age: Duration::ZERO }).unwrap();
        }
        drop(sender);
        let (to, _) = std::sync::mpsc::sync_channel(0);
        relay(&updates, &to, notifier, false);
        let told = told(&file);
        assert!(told.len() == 1 && told[0].starts_with("new severe new: overfitting"), "{told:?}");
    }

    #[test]
    fn a_run_that_begins_anew_at_once_is_told_of_with_the_one_before() {
        let place = tempfile::tempdir().unwrap();
        let (file, notifier) = teller(&place);
        let (sender, updates) = channel();
        for _ in 0..2 {
            send_overfit(&sender, 0, "twice");
        }
        // From a checkpoint it takes the same way again.
        let resumed = Event::RunResumed(crate::event::Resumed { step: 6 });
        sender.send(Update::Record { id: 0, record: Record { t: 17.0, event: resumed } }).unwrap();
        for step in 7..=16 {
            sender.send(Update::Record { id: 0, record: eval(step, loss(step)) }).unwrap();
        }
        drop(sender);
        let (to, _) = std::sync::mpsc::sync_channel(0);
        relay(&updates, &to, notifier, true);
        assert_eq!(told(&file).len(), 3, "{:?}", told(&file));
    }

    #[test]
    fn what_a_command_leaves_running_is_not_waited_for() {
        let begun = Instant::now();
        let (done, ended) = channel();
        start(shell("sleep 10 & echo one >&2; echo two >&2; exit 2"), move |failure| {
            done.send(failure).unwrap();
        })
        .unwrap();
        let failure = ended.recv_timeout(LAST_WAIT).unwrap().unwrap();
        assert!(failure.ends_with("failed, exit status: 2: two"), "{failure}");
        assert!(begun.elapsed() < LAST_WAIT);
    }
}
