//! What is known of the trainer's run: from what it prints, and from the logs that it writes. Of all
//! these one is the run's source at any time, and the same one is shown.
//!
//! A log is preferred to what is printed, which is rounded, as long as it is not behind it.

use super::places::places;
use super::{ExecArgs, OUTPUT, keep_in};
use crate::cli::feed::{self, Sources, Stream};
use crate::dashboard::{Run, Runs, Trainer, Update};
use crate::diagnosis::Limits;
use crate::event::record::Record;
use crate::event::{Event, Note, NoteLevel, RunEnded, StopReason};
use crate::ingest::Options;
use crate::ingest::discover::is_well_known;
use crate::monitor::Progress;
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Between two looks into the logs.
const LOOK: Duration = Duration::from_millis(100);
/// Between two looks for new logs, at least.
const SEARCH: Duration = Duration::from_secs(1);
/// How many times longer than looking for logs took it is not done again.
const REST: u32 = 100;

/// Everything that speaks of the trainer's run.
pub(super) struct Figures {
    /// What the trainer prints first, then the logs that it writes, each as a run of its own.
    runs: Runs,
    printed: Stream,
    logs: Sources,
    /// Whether the user has named the logs, so that any of them is one.
    named: bool,
    looked: Instant,
    search_at: Instant,
    screen: Option<Screen>,
}

/// The dashboard: it shows one run, whatever its figures are from.
struct Screen {
    name: String,
    updates: Sender<Update>,
    /// The log that is shown, read once more for it; what is printed, where there is none.
    log: Option<feed::Run>,
}

impl Screen {
    /// A dashboard that was left does not end the watch.
    fn send(&self, update: Update) {
        let _ = self.updates.send(update);
    }
}

impl Figures {
    /// Before the trainer is started: what is there already is not its work.
    pub(super) fn new(args: &ExecArgs, options: &Options, screen: Option<Sender<Update>>) -> Self {
        let name = super::name::name(&args.command);
        let first = OUTPUT + 1;
        let logs = if args.logs.is_empty() {
            Sources::written(places(&args.command), options.clone(), first)
        } else {
            Sources::new(args.logs.clone(), options.clone(), first)
        };
        let mut figures = Self {
            runs: Runs::new(Limits::DEFAULT),
            printed: Stream::new(OUTPUT, &name, options),
            logs,
            named: !args.logs.is_empty(),
            looked: Instant::now(),
            search_at: Instant::now(),
            screen: screen.map(|updates| Screen { name: name.clone(), updates, log: None }),
        };
        let trainer = Trainer::Stoppable;
        figures.take(vec![Update::Run { id: OUTPUT, name }, Update::Trainer { id: OUTPUT, trainer }]);
        figures
    }

    /// The trainer has printed these lines.
    pub(super) fn printed(&mut self, lines: &[u8]) {
        let mut updates = Vec::new();
        self.printed.push(lines, &mut keep_in(&mut updates));
        self.take(updates);
    }

    /// Looks for logs, and into them, if it is time to.
    pub(super) fn look(&mut self) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.search();
        self.read();
        self.looked = Instant::now();
        self.show();
    }

    fn search(&mut self) {
        let now = Instant::now();
        if self.logs.may_grow() && now >= self.search_at {
            self.logs.search();
            self.search_at = Instant::now() + SEARCH.max(now.elapsed() * REST);
        }
    }

    /// Reads the logs until there is nothing new in any.
    fn read(&mut self) {
        loop {
            let mut updates = Vec::new();
            let more = self.logs.turn(&mut keep_in(&mut updates));
            self.take(updates);
            // The one reason to fail is that nobody listens, and we do.
            if !matches!(more, Ok(true)) {
                return;
            }
        }
    }

    /// Nothing more will come.
    pub(super) fn finish(&mut self) {
        let mut updates = Vec::new();
        self.printed.finish(&mut keep_in(&mut updates));
        self.take(std::mem::take(&mut updates));
        self.search_at = Instant::now();
        self.search();
        self.read();
        let _ = self.logs.finish(&mut keep_in(&mut updates));
        self.take(updates);
        self.show();
        if let Some(Screen { updates, log, .. }) = &mut self.screen {
            let mut send = |update| updates.send(update).is_ok();
            let _ = log.as_mut().map_or(Ok(()), |log| log.finish(&mut send));
            send(Update::Gone { id: OUTPUT });
        }
        self.runs.close();
    }

    /// Says on the screen that the trainer is asked to end, and why.
    pub(super) fn asked(&mut self, why: String) {
        self.take(vec![Update::Trainer { id: OUTPUT, trainer: Trainer::Asked }]);
        self.note(why);
    }

    /// Says something on the screen that is not of the trainer.
    pub(super) fn note(&self, text: String) {
        self.tell(Event::warning(text));
    }

    /// Says on the screen that the trainer has ended because it was asked to.
    pub(super) fn stopped(&self, reason: StopReason) {
        let Some((run, _)) = self.best() else { return };
        let Progress { step, epoch, .. } = run.monitor.snapshot().progress;
        self.tell(Event::RunEnded(RunEnded { reason, step, epoch, best: None, restored_best: false }));
    }

    fn tell(&self, event: Event) {
        if let Some(screen) = &self.screen {
            let t = self.run(OUTPUT).map_or(0.0, |run| run.monitor.snapshot().progress.elapsed_s);
            screen.send(Update::Record { id: OUTPUT, record: Record { t, event } });
        }
    }

    /// Takes in what came of a run. What is printed goes to the screen too; its figures as long as no
    /// log is shown.
    fn take(&mut self, updates: Vec<Update>) {
        for update in updates {
            let shown = match update {
                Update::Output { .. } | Update::Trainer { .. } => true,
                Update::Run { id, .. } | Update::Record { id, .. } => {
                    id == OUTPUT && self.screen.as_ref().is_some_and(|screen| screen.log.is_none())
                }
                // When its trainer ends is known from itself, and what it writes is new.
                Update::Written { .. } | Update::Gone { .. } => false,
            };
            if let Some(screen) = self.screen.as_ref().filter(|_| shown) {
                screen.send(update.clone());
            }
            self.runs.apply(update);
        }
    }

    /// Brings what is new of the log that is shown to the screen; begins to show one when it has become
    /// the run's source, and stays with it.
    fn show(&mut self) {
        let source = self.source();
        let Some(screen) = &mut self.screen else { return };
        let found =
            |run: &&feed::Run| screen.log.as_ref().map_or(Some(run.id) == source, |log| log.name == run.name);
        let Some(run) = self.logs.runs().iter().find(found) else { return };
        let file = run.first().map(Path::to_owned).unwrap_or_default();
        // A document is written now and then: on the screen it would be behind.
        if screen.log.is_none() && is_document(&file) && evals(&self.runs, OUTPUT) > 0 {
            return;
        }
        if screen.log.as_ref().and_then(feed::Run::first) != Some(&file) {
            let mut again = run.again(OUTPUT, screen.name.clone());
            let _ = again.begin(&mut |update| screen.updates.send(update).is_ok());
            let text = format!("the figures are from {}, which the trainer writes", file.display());
            let event = Event::Note(Note { level: NoteLevel::Info, text });
            screen.send(Update::Record { id: OUTPUT, record: Record { t: 0.0, event } });
            // Its name tells it from the others.
            again.name.clone_from(&run.name);
            screen.log = Some(again);
        }
        let Screen { updates, log, .. } = screen;
        let mut send = |update| updates.send(update).is_ok();
        while let Some(Ok(true)) = log.as_mut().map(|log| log.turn(0, &mut send)) {}
    }

    /// The id of the log that is the run's source now: the one with most evaluations, if it is not behind
    /// what is printed. `None`: what is printed is.
    fn source(&self) -> Option<usize> {
        let printed = evals(&self.runs, OUTPUT);
        let usable = |run: &&feed::Run| {
            let found = evals(&self.runs, run.id);
            // A table of any name may hold anything, and is not believed against what is printed.
            let log = self.named || printed == 0 || run.first().is_some_and(is_well_known);
            log && found > 0 && found >= printed
        };
        let trained = |id| self.run(id).is_some_and(|run| !run.monitor.snapshot().curves.train.is_empty());
        let first = |run: &&feed::Run| {
            let known = run.first().is_some_and(is_well_known);
            (Reverse(evals(&self.runs, run.id)), Reverse(known))
        };
        let best = self.logs.runs().iter().filter(usable).min_by_key(first);
        let only = || self.logs.runs().iter().find(|run| printed == 0 && !trained(OUTPUT) && trained(run.id));
        best.or_else(only).map(|run| run.id)
    }

    fn run(&self, id: usize) -> Option<&Run> {
        self.runs.get(self.runs.position(id)?)
    }

    /// The run as its source has it, and the file that this is; none where it is what was printed.
    pub(super) fn best(&self) -> Option<(&Run, Option<PathBuf>)> {
        let source = self.source();
        let file = source.and_then(|id| self.logs.runs().iter().find(|run| run.id == id)?.first());
        Some((self.run(source.unwrap_or(OUTPUT))?, file.map(Path::to_owned)))
    }

    /// What the trainer printed last, line by line.
    pub(super) fn last_words(&self, count: usize) -> impl Iterator<Item = &str> {
        let lines = self.run(OUTPUT).map(|run| &run.output);
        lines
            .into_iter()
            .flat_map(move |lines| lines.iter().skip(lines.len().saturating_sub(count)))
            .map(String::as_str)
    }
}

fn evals(runs: &Runs, id: usize) -> usize {
    runs.position(id).and_then(|at| runs.get(at)).map_or(0, |run| run.monitor.snapshot().curves.eval.len())
}

fn is_document(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "json")
}
