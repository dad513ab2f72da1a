//! `tune exec`: start someone else's trainer, look on, and stop it politely when it overfits.
//!
//! The child and its signals are in [`child`], how it is asked to end in [`stop`]. Here its output goes
//! two ways: to the user as it is, and to a reader whose records are judged.

mod checkpoint;
mod child;
mod stop;

use super::feed::{self, Stream};
use super::{Color, Failure, Level, Outcome, code, has_screen, say, stdout_is_terminal};
use crate::dashboard::{self, Look, Run, Runs, Update};
use crate::diagnosis::{Limits, Severity};
use crate::ingest::Options;
use crate::report::text;
use anyhow::anyhow;
use child::{Channel, Child, Happening};
use clap::Args;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
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

#[derive(Args)]
pub(super) struct ExecArgs {
    /// Stop the trainer when a finding is this grave: watch, warn or severe; without it, only look on
    #[arg(long, value_enum, value_name = "LEVEL")]
    stop_on: Option<Level>,
    /// A log that the trainer writes, judged too (any number of times)
    #[arg(long = "log", value_name = "PATH")]
    logs: Vec<PathBuf>,
    /// Seconds that the trainer is given to save when it is asked to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u64,
    /// The trainer's own output in place of the dashboard
    #[arg(long)]
    plain: bool,
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
    let child = Child::start(&args.command, terminal, !screen).map_err(Failure::usage)?;
    let kept = if screen {
        on_screen(args, &options, child)?
    } else {
        Keeper::new(args, &options, View::Pass).keep(&child)
    };
    Ok(conclude(args, &kept, screen, begun))
}

/// What is known when the child has ended.
struct Kept {
    status: ExitStatus,
    runs: Runs,
    /// The run whose findings stopped the trainer.
    convicted: Option<usize>,
}

/// Runs the keeper beside the dashboard.
fn on_screen(args: &ExecArgs, options: &Options, child: Child) -> Result<Kept, Failure> {
    let (updates, received) = mpsc::channel();
    let wishes = Arc::new(AtomicBool::new(false));
    let mut keeper = Keeper::new(args, options, View::Screen(updates));
    keeper.wished = Arc::clone(&wishes);
    let options = dashboard::Options {
        look: Look::from_environment(args.color.wanted(), |name| std::env::var(name).ok()),
        linger: true,
        owns_run: true,
        detaches: false,
        folder: Path::new("."),
        system: None,
    };
    let keeping = std::thread::spawn(move || keeper.keep(&child));
    // What only a trainer of our own can do is not asked of someone else's.
    let ask = |_, command| {
        use dashboard::Command::{Interrupt, Stop, StopAfterEval};
        wishes.fetch_or(matches!(command, Stop | StopAfterEval | Interrupt), Ordering::SeqCst);
        Ok(())
    };
    let outcome = dashboard::run(&received, Runs::new(Limits::DEFAULT), &ask, options);
    // Nobody looks on any more, so nobody can stop it later: the trainer ends with its screen.
    if outcome.as_ref().map_or(true, |outcome| outcome.exit != dashboard::Exit::Ended) {
        wishes.store(true, Ordering::SeqCst);
    }
    let kept =
        keeping.join().map_err(|_| Failure::failed(anyhow!("the watch failed: this is a bug in tune")))?;
    outcome.map_err(Failure::failed)?;
    Ok(kept)
}

/// Where the child's output goes.
enum View {
    /// To our own output, as it is.
    Pass,
    /// To the log panel of the dashboard.
    Screen(Sender<Update>),
}

/// Looks on until the child has ended, and asks it to end when its run has gone bad.
struct Keeper {
    stop_on: Option<Severity>,
    grace: Duration,
    view: View,
    /// The child's output first, then the logs that it writes.
    runs: Runs,
    output: Stream,
    logs: Vec<feed::Run>,
    /// The user has asked for the end.
    wished: Arc<AtomicBool>,
    stop: Option<(Instant, Stop)>,
    convicted: Option<usize>,
    /// What each stream has printed since its last whole line.
    begun: [Vec<u8>; 2],
}

impl Keeper {
    fn new(args: &ExecArgs, options: &Options, view: View) -> Self {
        let program = args.command.first().map(Path::new).and_then(Path::file_name);
        let name = program.map_or_else(String::new, |name| name.display().to_string());
        let mut keeper = Self {
            stop_on: args.stop_on.map(Level::severity),
            grace: Duration::from_secs(args.grace),
            view,
            runs: Runs::new(Limits::DEFAULT),
            output: Stream::new(OUTPUT, &name, options),
            logs: Vec::new(),
            wished: Arc::default(),
            stop: None,
            convicted: None,
            begun: [Vec::new(), Vec::new()],
        };
        keeper.take(Update::Run { id: OUTPUT, name });
        keeper.take(Update::Trainer { id: OUTPUT, trainer: dashboard::Trainer::Stoppable });
        for (index, path) in args.logs.iter().enumerate() {
            let (name, files) = (path.display().to_string(), [path.clone()]);
            keeper.logs.push(feed::Run::new(OUTPUT + 1 + index, name, &files, options.clone()));
        }
        keeper
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
            self.read_logs();
            if let Some((status, at)) = ended
                && (open == 0 || at.elapsed() > REST)
            {
                break status;
            }
            if ended.is_none() {
                self.judge(child);
            }
        };
        self.finish();
        Kept { status, runs: self.runs, convicted: self.convicted }
    }

    /// Hands on what the child printed, and reads whole lines of it: two channels may mix.
    fn printed(&mut self, channel: Channel, bytes: &[u8]) {
        if let View::Pass = self.view {
            pass(channel, bytes);
        }
        let begun = &mut self.begun[channel as usize];
        begun.extend_from_slice(bytes);
        let end = begun.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map(|at| at + 1);
        let Some(end) = end.or((begun.len() > LONGEST).then_some(begun.len())) else { return };
        let lines: Vec<u8> = begun.drain(..end).collect();
        let mut updates = Vec::new();
        self.output.push(&lines, &mut keep_in(&mut updates));
        self.take_all(updates);
    }

    /// Looks into the logs until there is nothing new.
    fn read_logs(&mut self) {
        for index in 0..self.logs.len() {
            loop {
                let mut updates = Vec::new();
                let more = self.logs[index].turn(&mut keep_in(&mut updates));
                self.take_all(updates);
                if !matches!(more, Ok(true)) {
                    break;
                }
            }
        }
    }

    /// Nothing more will come.
    fn finish(&mut self) {
        let mut updates = Vec::new();
        for begun in std::mem::take(&mut self.begun) {
            self.output.push(&begun, &mut keep_in(&mut updates));
        }
        self.output.finish(&mut keep_in(&mut updates));
        for log in &mut self.logs {
            // The one reason to fail is that nobody listens, and we do.
            let _ = log.finish(&mut keep_in(&mut updates));
        }
        updates.extend((0..=self.logs.len()).map(|index| Update::Gone { id: OUTPUT + index }));
        self.take_all(updates);
    }

    /// Takes in what came of a run, for us and for the screen.
    fn take(&mut self, update: Update) {
        if let View::Screen(updates) = &self.view {
            // A dashboard that was left does not end the watch.
            let _ = updates.send(update.clone());
        }
        self.runs.apply(update);
    }

    fn take_all(&mut self, updates: Vec<Update>) {
        for update in updates {
            self.take(update);
        }
    }

    /// Asks the child to end where its run has gone bad or the user wants it, and insists.
    fn judge(&mut self, child: &Child) {
        if self.stop.is_none() {
            let bad = |run: &Run| {
                self.stop_on.is_some_and(|level| run.monitor.snapshot().diagnosis.severity >= level)
            };
            self.convicted = self.runs.list().iter().position(bad);
            if self.convicted.is_none() && !self.wished.load(Ordering::SeqCst) {
                return;
            }
            if let (Some(run), View::Pass) = (self.convicted, &self.view) {
                say(&format!("tune: stopping the trainer: {}", reason(&self.runs.list()[run])));
            }
            self.stop = Some((Instant::now(), Stop::default()));
        }
        if let Some((since, stop)) = &mut self.stop
            && let Some(ask) = stop.ask(since.elapsed(), self.grace)
        {
            child.ask(ask);
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
    let runs = kept.runs.list();
    let code = if kept.convicted.is_some() { code::FINDING } else { child::code(kept.status) };
    if screen && code != code::FINE && kept.convicted.is_none() {
        // The dashboard has covered up what the trainer said last.
        let lines = runs.first().map(|run| &run.output).into_iter().flatten();
        let lines: Vec<&String> = lines.collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].iter().for_each(|line| say(line));
    }
    // The run that spoke for stopping, else the one with most to say.
    let evals = |run: &&Run| run.monitor.snapshot().curves.eval.len();
    let fullest = runs.iter().rev().max_by_key(evals);
    let Some(run) = kept.convicted.map(|index| &runs[index]).or(fullest) else { return code };
    if args.quiet {
        return code;
    }
    let snapshot = run.monitor.snapshot();
    if screen && kept.convicted.is_some() {
        say(&format!("tune: the trainer was stopped: {}", reason(run)));
    } else {
        say(&format!("tune: {}", text::verdict(&snapshot)));
    }
    if let Some(best) = snapshot.diagnosis.best.map(|best| &snapshot.curves.eval[best]) {
        let saved = checkpoint::nearest(Path::new("."), best.step, begun);
        let saved = saved.map_or_else(
            || "no checkpoint was found".into(),
            |(path, step)| {
                let path = path.strip_prefix(".").unwrap_or(&path);
                format!("the nearest checkpoint is {} (step {step})", path.display())
            },
        );
        say(&format!("tune: best eval loss {:.4} at step {}; {saved}", best.loss, best.step));
    }
    code
}

/// Why the trainer is stopped: the gravest finding, in words.
fn reason(run: &Run) -> String {
    let snapshot = run.monitor.snapshot();
    let diagnosis = snapshot.diagnosis;
    diagnosis.findings.first().map_or_else(
        || text::verdict(&snapshot),
        |finding| format!("{} ({}): {}", diagnosis.verdict, diagnosis.severity, finding.message()),
    )
}

/// To our own output, as it came. That nobody reads it is no reason to stop looking on.
fn pass(channel: Channel, bytes: &[u8]) {
    match channel {
        Channel::Out => drop(super::print_bytes(bytes)),
        Channel::Err => drop(std::io::stderr().lock().write_all(bytes)),
    }
}
