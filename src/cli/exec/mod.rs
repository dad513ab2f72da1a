//! `tune exec`: start someone else's trainer, look on, and stop it politely when it overfits.
//!
//! The child and its signals are in [`child`], how it is asked to end in [`stop`], and what is known of
//! its run, printed or written, in [`figures`]. Here its output goes two ways: to the user as it is, and
//! to those figures, which are judged.

mod checkpoint;
mod child;
mod figures;
mod name;
mod passing;
mod places;
mod stop;

use super::meter::{self, Meter};
use super::notify::{self, Notifier, Notify};
use super::{Color, Failure, Level, Outcome, code, has_screen, say, stdout_is_terminal};
use crate::dashboard::{self, Capabilities, Run, Runs, Update};
use crate::diagnosis::{Evidence, Finding, Limits, Severity};
use crate::event::StopReason;
use crate::fmt::fixed;
use crate::report::text;
use anyhow::anyhow;
use checkpoint::Place;
use child::{Channel, Child, Happening};
use clap::Args;
use figures::Figures;
use passing::Passing;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};
use stop::Stop;

/// How long nothing may happen before the clock is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long the streams of a child that has ended are still read: a process that it left behind may
/// hold them open.
const REST: Duration = Duration::from_millis(500);
/// The run of the child's own output.
const OUTPUT: usize = 0;
/// Lines of its output that are shown again when a trainer fails behind the dashboard.
const LAST_WORDS: usize = 15;
/// The longest stretch of output without a line's end that is kept.
const LONGEST: usize = 1 << 20;

/// The longest time, in seconds, that a trainer may be given to save.
const DAY: u64 = 24 * 60 * 60;

#[derive(Args)]
pub(super) struct ExecArgs {
    /// Stop the trainer when a finding is this grave: watch, warn or severe; without it, only look on
    #[arg(long, value_enum, value_name = "LEVEL")]
    stop_on: Option<Level>,
    /// A log that the trainer writes; without it, they are looked for below this folder and those that
    /// the command names (any number of times)
    #[arg(long = "log", value_name = "PATH")]
    logs: Vec<PathBuf>,
    /// Seconds that the trainer is given to save when it is asked to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=DAY))]
    grace: u64,
    /// The trainer's own output in place of the dashboard
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    notify: Notify,
    #[command(flatten)]
    reading: super::Reading,
    /// Use colours: auto, always or never (`NO_COLOR` is honoured)
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
    /// Say nothing of our own
    #[arg(short, long)]
    quiet: bool,
    /// The trainer and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn exec(args: &ExecArgs) -> Outcome {
    let begun = SystemTime::now();
    let options = args.reading.options()?;
    let terminal = stdout_is_terminal();
    let screen = has_screen() && !args.plain && !args.quiet;
    let (updates, received) = mpsc::channel();
    let figures = Figures::new(args, &options, screen.then_some(updates));
    let child = Child::start(&args.command, terminal, !screen).map_err(Failure::usage)?;
    let keeper = Keeper::new(args, figures, !screen);
    let kept = if screen { on_screen(args, keeper, child, &received)? } else { keeper.keep(&child) };
    Ok(conclude(args, &kept, screen, begun))
}

/// What is known when the child has ended.
struct Kept {
    status: ExitStatus,
    figures: Figures,
    /// Whether its run was so bad that the trainer was stopped.
    convicted: bool,
    troubles: Vec<String>,
}

/// Runs the keeper beside the dashboard.
fn on_screen(
    args: &ExecArgs,
    mut keeper: Keeper,
    child: Child,
    received: &Receiver<Update>,
) -> Result<Kept, Failure> {
    let wishes = Arc::new(AtomicBool::new(false));
    keeper.wished = Arc::clone(&wishes);
    let id = child.id;
    let meter = Meter::start(move || meter::largest_under(id));
    let measure = || meter.read();
    let options = dashboard::Options {
        capabilities: Capabilities::from_environment(args.color.wanted(), |name| std::env::var(name).ok()),
        system: Some(&measure),
        ..dashboard::Options::default()
    };
    let keeping = std::thread::spawn(move || keeper.keep(&child));
    // What only a trainer of our own can do is not asked of someone else's.
    let ask = |_, command| {
        use dashboard::Command::{Interrupt, Stop};
        wishes.fetch_or(matches!(command, Stop | Interrupt), Ordering::SeqCst);
        Ok(())
    };
    let outcome = dashboard::run(received, Runs::new(Limits::DEFAULT), &ask, options);
    // Nobody looks on any more, so nobody can stop it later: the trainer ends with its screen.
    if outcome.as_ref().map_or(true, |outcome| outcome.exit != dashboard::Exit::Ended) {
        wishes.store(true, Ordering::SeqCst);
    }
    let kept =
        keeping.join().map_err(|_| Failure::failed(anyhow!("the watch failed: this is a bug in tune")))?;
    outcome.map_err(Failure::failed)?;
    Ok(kept)
}

/// Looks on until the child has ended, and asks it to end when its run has gone bad.
struct Keeper {
    stop_on: Option<Severity>,
    grace: Duration,
    /// Whether the child's output is passed on to our own, as it is.
    passes: bool,
    passing: Passing,
    /// Whether nothing of our own is said.
    quiet: bool,
    figures: Figures,
    /// The user has asked for the end.
    wished: Arc<AtomicBool>,
    stop: Option<(Instant, Stop)>,
    convicted: bool,
    notifier: Notifier,
    /// What went wrong behind the dashboard, to be said once more when it is closed.
    troubles: Vec<String>,
    /// What each stream has printed since its last whole line.
    begun: [Vec<u8>; 2],
}

impl Keeper {
    fn new(args: &ExecArgs, figures: Figures, passes: bool) -> Self {
        Self {
            stop_on: args.stop_on.map(Level::severity),
            grace: Duration::from_secs(args.grace),
            passes,
            passing: Passing::new(),
            quiet: args.quiet,
            figures,
            wished: Arc::default(),
            stop: None,
            convicted: false,
            notifier: Notifier::new(&args.notify),
            troubles: Vec::new(),
            begun: [Vec::new(), Vec::new()],
        }
    }

    /// Looks on to the end.
    fn keep(mut self, child: &Child) -> Kept {
        let (mut open, mut ended) = (child.streams, None::<(ExitStatus, Instant)>);
        let status = loop {
            match child.happenings.recv_timeout(TICK) {
                Ok(Happening::Output(channel, bytes)) => self.printed(channel, &bytes),
                Ok(Happening::Closed) => open = open.saturating_sub(1),
                Ok(Happening::Exited(status)) => ended = Some((status, Instant::now())),
                Ok(Happening::Signal(signal)) => child.hand_on(signal),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.figures.look();
            if let Some((status, at)) = ended
                && (open == 0 || at.elapsed() > REST)
            {
                break status;
            }
            if ended.is_none() {
                self.judge(child);
            }
            self.notify(Duration::ZERO);
        };
        for begun in std::mem::take(&mut self.begun) {
            self.figures.printed(&begun);
        }
        self.figures.finish();
        if self.stop.is_some() {
            self.figures.stopped(if self.convicted {
                StopReason::EarlyStopping
            } else {
                StopReason::Requested
            });
        }
        self.notify(notify::LAST_WAIT);
        if self.passes && !self.quiet {
            // What is said of the end comes next.
            self.passing.end_line();
        }
        Kept { status, figures: self.figures, convicted: self.convicted, troubles: self.troubles }
    }

    /// Tells of a verdict that is new, and of what became of the telling.
    fn notify(&mut self, patience: Duration) {
        if let Some((run, _)) = self.figures.best() {
            self.notifier.look(OUTPUT, &run.name, &run.monitor.snapshot(), self.convicted);
        }
        for (_, text) in self.notifier.troubles(patience) {
            if self.passes && !self.quiet {
                self.passing.say(&text);
            } else if !self.passes {
                self.figures.note(text.clone());
                self.troubles.push(text);
            }
        }
    }

    /// Hands on what the child printed, and reads whole lines of it: two channels may mix.
    fn printed(&mut self, channel: Channel, bytes: &[u8]) {
        if self.passes {
            self.passing.pass(channel, bytes);
        }
        let begun = &mut self.begun[channel as usize];
        begun.extend_from_slice(bytes);
        let end = begun.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map(|at| at + 1);
        let Some(end) = end.or((begun.len() > LONGEST).then_some(begun.len())) else { return };
        let lines: Vec<u8> = begun.drain(..end).collect();
        self.figures.printed(&lines);
    }

    /// Asks the child to end where its run has gone bad or the user wants it, and insists.
    fn judge(&mut self, child: &Child) {
        if self.stop.is_none() {
            let bad = |run: &Run| {
                self.stop_on.is_some_and(|level| run.monitor.snapshot().diagnosis.severity >= level)
            };
            let bad = self.figures.best().map(|(run, _)| run).filter(|run| bad(run));
            self.convicted = bad.is_some();
            let why = match bad {
                Some(run) => format!("stopping the trainer: {}", reason(run)),
                None if self.wished.load(Ordering::SeqCst) => "asked the trainer to stop".into(),
                None => return,
            };
            if !self.passes {
                self.figures.asked(format!("{why}; SIGTERM follows after {} s", self.grace.as_secs()));
            } else if self.convicted && !self.quiet {
                self.passing.say(&why);
            }
            self.stop = Some((Instant::now(), Stop::default()));
        }
        if let Some((since, stop)) = &mut self.stop
            && let Some(ask) = stop.ask(since.elapsed(), self.grace)
        {
            let patience = since.elapsed().as_secs();
            child.ask(ask);
            if let Some(signal) = ask.insists() {
                self.remark(format!("it did not end within {patience} s: {signal}"));
            }
        }
    }

    /// Says something of our own where it can be read now.
    fn remark(&mut self, text: String) {
        if !self.passes {
            self.figures.note(text);
        } else if !self.quiet {
            self.passing.say(&text);
        }
    }
}

/// Puts updates aside; someone listens.
fn keep_in(updates: &mut Vec<Update>) -> impl FnMut(Update) -> bool {
    |update| {
        updates.push(update);
        true
    }
}

/// Says how it ended; the answer is the exit code.
fn conclude(args: &ExecArgs, kept: &Kept, screen: bool, begun: SystemTime) -> u8 {
    let code = if kept.convicted { code::FINDING } else { child::code(kept.status) };
    if screen && code != code::FINE && !kept.convicted {
        // The dashboard has covered up what the trainer said last.
        kept.figures.last_words(LAST_WORDS).for_each(say);
    }
    kept.troubles.iter().for_each(|trouble| say(&format!("tune: {trouble}")));
    if let Some(ended) = child::failure(kept.status).filter(|_| !args.quiet) {
        say(&format!("tune: the trainer {ended}"));
    }
    let Some((run, file)) = kept.figures.best() else { return code };
    if args.quiet {
        return code;
    }
    let snapshot = run.monitor.snapshot();
    if screen && kept.convicted {
        say(&format!("tune: the trainer was stopped: {}", reason(run)));
    } else {
        say(&format!("tune: {}", reason(run)));
    }
    // A metric that goes better is why a rise is a watch only, and another checkpoint may be worth keeping for it.
    let tempers = |remark: &&Finding| matches!(remark.evidence, Evidence::Disagreement(_));
    for remark in snapshot.diagnosis.remarks.iter().filter(tempers) {
        say(&format!("  note: {}", remark.message(snapshot.run.places())));
    }
    snapshot.advice.iter().for_each(|advice| say(&format!("  hint: {}", advice.text)));
    let empty = snapshot.curves.eval.is_empty() && snapshot.curves.train.is_empty();
    say(&match file {
        Some(file) => format!("tune: judged by {}, which the trainer wrote", file.display()),
        None if empty && !args.logs.is_empty() => {
            let logs = args.logs.iter().map(|log| log.display().to_string()).collect::<Vec<_>>().join(", ");
            format!("tune: no loss was printed, and none is in {logs}\n  hint: --log PATH is where the trainer writes")
        }
        None if empty => {
            "tune: no loss was printed, and none is in a log below this folder or one that the command names\n  \
             hint: --log PATH names a log elsewhere"
                .into()
        }
        None => "tune: judged by what the trainer printed".into(),
    });
    if let Some(best) = snapshot.diagnosis.best.map(|best| &snapshot.curves.eval[best]) {
        let places = snapshot.run.places();
        let place = places.at(best.step);
        let counted = if snapshot.run.counts_epochs() {
            Some(Place::Epoch((best.step as f64 / places.one()).round() as u64))
        } else {
            (!snapshot.run.step_kind.is_made_up()).then_some(Place::Step(best.step))
        };
        let saved = saved(args, counted, begun);
        let set = snapshot.curves.named_set().map_or(String::new(), |set| format!(" of {set}"));
        say(&format!("tune: best eval loss{set} {} at {place}; {saved}", fixed(best.loss, 4)));
    }
    code
}

/// The checkpoint nearest to a place of the run, in words.
fn saved(args: &ExecArgs, place: Option<Place>, begun: SystemTime) -> String {
    let roots = places::places(&args.command);
    let nearest = place.and_then(|place| {
        let (path, number) = roots.iter().find_map(|root| checkpoint::nearest(root, place, begun))?;
        let path = path.strip_prefix(".").unwrap_or(&path).display().to_string();
        Some(format!("the nearest checkpoint is {path} ({} {number})", place.unit()))
    });
    nearest.unwrap_or_else(|| match place {
        Some(Place::Step(_)) => "no checkpoint was found".into(),
        Some(Place::Epoch(epoch)) => format!(
            "no checkpoint is named for its epoch, as epoch_{epoch}.pt would be, and the log has no steps"
        ),
        None => "which checkpoint is of it cannot be told: no steps are written".into(),
    })
}

/// Why the trainer is stopped: the gravest finding, in words.
fn reason(run: &Run) -> String {
    let snapshot = run.monitor.snapshot();
    let diagnosis = snapshot.diagnosis;
    diagnosis.findings.first().map_or_else(
        || text::verdict(&snapshot),
        |finding| {
            format!(
                "{} ({}): {}",
                diagnosis.verdict,
                diagnosis.severity,
                finding.message(snapshot.run.places())
            )
        },
    )
}
