//! Where the events of a live run go, and what comes back to the trainer.
//!
//! [`Wire`] stamps each event once and hands the record to the run log and to the view: the
//! dashboard on another thread, lines of text, or JSON. Back come Ctrl-C, the dashboard's keys, the
//! wishes of other processes and early stopping.

use super::notify::{self, Notifier};
use super::stopping::Stopping;
use super::ties::Ties;
use super::wishes::Wishes;
use super::{printed, say};
use crate::config::EarlyStopping;
use crate::dashboard::{self, Command, Trainer};
use crate::diagnosis::Limits;
use crate::event::record::Record;
use crate::event::sink::{Control, Sink};
use crate::event::{CheckpointRole, CheckpointSaved, Event, Split, StopReason};
use crate::fmt::fixed;
use crate::monitor::Monitor;
use crate::report::text;
use crate::store::RunDir;
use crate::store::control::ControlDir;
use crate::store::log::Writer;
use anyhow::Result;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Seconds between two lines of progress when no evaluation comes in between.
const PROGRESS_S: f64 = 30.0;

/// The run that this process trains, to the dashboard.
pub(super) const OWN: usize = 0;

/// Who looks on.
pub(super) enum View {
    /// The dashboard, on another thread.
    Screen(Sender<dashboard::Update>),
    /// Lines of text on stdout.
    Plain(Box<Plain>),
    /// The records themselves on stdout.
    Json,
    /// Nobody.
    Quiet,
}

/// Who acts on what happens.
pub(super) struct Aides {
    /// Puts adapters by.
    pub(super) ties: Ties,
    /// Hears the user.
    pub(super) wishes: Wishes,
    /// Tells a user who is away.
    pub(super) notifier: Notifier,
}

/// The sink of a live run.
pub(super) struct Wire {
    started: Instant,
    /// Seconds of training before this session.
    before_s: f64,
    log: Writer,
    dir: RunDir,
    view: View,
    /// The judgement that a rule goes by.
    monitor: Monitor,
    /// What may end the run early.
    stopping: Stopping,
    aides: Aides,
    /// What other processes ask for.
    asked: ControlDir,
    /// Whether one of them wants the trainer to wait, when last looked at.
    asked_to_wait: bool,
    /// Why the log, or an adapter, could not be written.
    pub(super) failure: Option<anyhow::Error>,
}

impl Wire {
    /// A wire that goes on after `past`, the sessions before this one.
    pub(super) fn new(
        log: Writer,
        dir: &RunDir,
        view: View,
        stopping: &EarlyStopping,
        past: &Past,
        mut aides: Aides,
    ) -> Self {
        let mut monitor = Monitor::new(Limits::DEFAULT);
        for record in &past.records {
            monitor.apply(record);
        }
        let mut stopping = Stopping::new(stopping);
        let snapshot = monitor.snapshot();
        snapshot.curves.eval.iter().for_each(|point| stopping.look(&snapshot, point));
        // That was told when it happened.
        aides.notifier.know(OWN, &snapshot);
        let asked = ControlDir::of(dir);
        // What is left of a session that was killed was not meant for this one.
        asked.clear();
        Self {
            started: Instant::now(),
            before_s: past.seconds,
            log,
            dir: dir.clone(),
            view,
            monitor,
            stopping,
            aides,
            asked,
            asked_to_wait: false,
            failure: None,
        }
    }

    /// Waits as long as someone wants it: here, or in another process, which is told.
    fn pause(&mut self) {
        self.asked_to_wait = self.asked.ask(Command::Pause(true)).is_ok();
        self.tell(Trainer::Paused);
        let (asked, wishes, asked_to_wait) = (&self.asked, &self.aides.wishes, &mut self.asked_to_wait);
        // A pause takes no time of training.
        self.started += wishes.wait(&mut || heed(asked, wishes, asked_to_wait));
        // A file that stays says no more than that someone wants it.
        let _ = self.asked.ask(Command::Pause(false));
        self.asked_to_wait = false;
        self.tell(Trainer::Listening);
    }

    fn tell(&self, trainer: Trainer) {
        if let View::Screen(sender) = &self.view {
            // A screen that was left needs to know nothing.
            let _ = sender.send(dashboard::Update::Trainer { id: OWN, trainer });
        }
    }

    /// Shows a record. Whoever can no longer be shown anything does not end the run.
    fn show(&mut self, record: Record) {
        let shown = match &mut self.view {
            View::Screen(sender) => {
                if sender.send(dashboard::Update::Record { id: OWN, record }).is_err() {
                    // The screen has failed, and the log tells what there was to see.
                    self.view = match super::replay(&self.dir) {
                        Ok(monitor) => View::Plain(Box::new(Plain::new(monitor, false))),
                        Err(_) => View::Quiet,
                    };
                }
                true
            }
            View::Plain(plain) => plain.show(&record),
            View::Json => printed(&(record.to_line() + "\n")),
            View::Quiet => true,
        };
        if !shown {
            say("stdout is closed; the run goes on without it, and its log is in the run folder");
            self.view = View::Quiet;
        }
    }

    /// Takes in the newest event: puts adapters by, and says whether to stop.
    fn judge(&mut self, record: &Record) -> Result<()> {
        self.monitor.apply(record);
        let snapshot = self.monitor.snapshot();
        let evaluated = matches!(&record.event, Event::Eval(stats) if stats.split == Split::Valid);
        if let Some(point) = snapshot.curves.eval.last().filter(|_| evaluated) {
            self.stopping.look(&snapshot, point);
        }
        self.aides.notifier.look(OWN, &snapshot.run.name, &snapshot, self.stopping.has_fired);
        match &record.event {
            Event::Eval(_) if evaluated => self.aides.ties.put_by(snapshot.curves),
            Event::CheckpointSaved(CheckpointSaved { role: CheckpointRole::Last, .. }) => {
                let Some(saved) = self.aides.ties.settle(snapshot.curves)? else { return Ok(()) };
                self.take(&Event::CheckpointSaved(saved))
            }
            _ => Ok(()),
        }
    }

    /// Notes what became of commands that were to notify; before the last event they are waited for.
    fn notified(&mut self, event: &Event) -> Result<()> {
        let patience = if matches!(event, Event::RunEnded(_)) { notify::LAST_WAIT } else { Duration::ZERO };
        let begun = Instant::now();
        let troubles = self.aides.notifier.troubles(patience);
        // Waiting takes no time of training.
        self.started += begun.elapsed();
        troubles.into_iter().try_for_each(|(_, text)| self.take(&Event::warning(text)))
    }

    /// Hands an event to the log, to who looks on, and to the judgement.
    fn take(&mut self, event: &Event) -> Result<()> {
        let t = self.before_s + self.started.elapsed().as_secs_f64();
        let record = Record { t, event: event.clone() };
        self.log.append(&record)?;
        self.show(record.clone());
        self.judge(&record)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.asked.clear();
    }
}

/// Passes on what other processes ask for.
fn heed(asked: &ControlDir, wishes: &Wishes, asked_to_wait: &mut bool) {
    let wait = asked.pauses();
    if std::mem::replace(asked_to_wait, wait) != wait {
        wishes.take(Command::Pause(wait));
    }
    asked.take().into_iter().for_each(|command| wishes.take(command));
}

impl Sink for Wire {
    fn emit(&mut self, event: &Event) -> Control {
        if self.failure.is_none() {
            self.failure = self.notified(event).and_then(|()| self.take(event)).err();
        }
        if self.failure.is_some() {
            return Control::Stop(StopReason::Interrupted);
        }
        let early = if self.stopping.has_fired {
            Control::Stop(StopReason::EarlyStopping)
        } else {
            Control::Continue
        };
        if matches!(event, Event::Step(_)) {
            heed(&self.asked, &self.aides.wishes, &mut self.asked_to_wait);
            if self.aides.wishes.pauses() {
                self.pause();
            }
        }
        self.aides.wishes.answer(event).max(early)
    }
}

/// What happened in the sessions before this one.
#[derive(Default)]
pub(super) struct Past {
    /// All of it, and that the run goes on.
    pub(super) records: Vec<Record>,
    /// Seconds of training.
    pub(super) seconds: f64,
}

/// The run as lines that are good to read in a log.
pub(super) struct Plain {
    pub(super) monitor: Monitor,
    /// When the last line was printed.
    printed: f64,
    /// Whether every step gets a line.
    verbose: bool,
}

impl Plain {
    pub(super) fn new(monitor: Monitor, verbose: bool) -> Self {
        Self { monitor, printed: 0.0, verbose }
    }

    /// Prints what a record tells; whether anybody can read it.
    fn show(&mut self, record: &Record) -> bool {
        self.monitor.apply(record);
        let snapshot = self.monitor.snapshot();
        let text = match &record.event {
            Event::RunStarted(_) => text::header(&snapshot),
            Event::RunResumed(resumed) => {
                format!("{}resumed from step {}\n", text::header(&snapshot), resumed.step)
            }
            Event::Eval(stats) if stats.split == Split::Valid => {
                text::eval_line(&snapshot, snapshot.curves.eval.len() - 1) + "\n"
            }
            Event::Eval(stats) if stats.split == Split::Test => {
                format!("test rows: loss {} at step {}\n", fixed(stats.loss, 4), stats.step)
            }
            Event::Step(_) if self.verbose || record.t > self.printed + PROGRESS_S => {
                text::step_line(&snapshot) + "\n"
            }
            Event::Note(note) => note.text.clone() + "\n",
            _ => return true,
        };
        self.printed = record.t;
        printed(&text)
    }
}
