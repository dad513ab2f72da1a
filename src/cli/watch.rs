//! `tune watch`: the dashboard over anything that is being written, or was: a run's folder, a log, a
//! folder of logs, what another program prints.
//!
//! One thread follows the sources, the other draws; whoever writes the logs notices neither.

use super::feed::{Left, Sources, Stream};
use super::lines::Lines;
use super::meter::Meter;
use super::notify::{self, Notifier, Notify};
use super::remote::Trainers;
use super::{Failure, Outcome, Output, code, has_screen, say};
use crate::dashboard::{self, Capabilities, Runs, Update};
use crate::diagnosis::Limits;
use crate::ingest::Options;
use crate::ingest::discover::no_log;
use anyhow::anyhow;
use clap::Args;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Between two turns of the sources: with the time to a frame well below what a reader notices.
const PAUSE: Duration = Duration::from_millis(40);
/// Between two looks at the trainers of runs.
const LISTEN: Duration = Duration::from_millis(250);
/// Between two looks for new files in folders.
const SEARCH: Duration = Duration::from_secs(2);
/// Updates on their way; whoever reads faster than is drawn waits.
const UNDERWAY: usize = 4096;

#[derive(Args)]
pub(super) struct WatchArgs {
    /// Run folders, log files, folders of logs, or - for standard input
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// Lines of text in place of the dashboard: evaluations, and changes of the verdict
    #[arg(long)]
    plain: bool,
    /// Show what is there already, and do not wait for more
    #[arg(long, conflicts_with = "notify")]
    once: bool,
    #[command(flatten)]
    notify: Notify,
    #[command(flatten)]
    reading: super::Reading,
    #[command(flatten)]
    output: Output,
}

pub(super) fn watch(args: &WatchArgs) -> Outcome {
    let options = args.reading.options()?;
    let stdin = check(args)?;
    let screen = !args.plain && !args.once && !args.output.json && !args.output.quiet && has_screen();
    let (sender, updates) = sync_channel(UNDERWAY);
    let files: Vec<PathBuf> = args.sources.iter().filter(|source| !is_stdin(source)).cloned().collect();
    let sources = Sources::new(files, options.clone(), usize::from(stdin));
    if args.once && !stdin && sources.runs().is_empty() {
        return Err(Failure::usage(anyhow!(
            "{}: no log that tune can read\n  hint: name the file itself, with --format if need be",
            args.sources[0].display()
        )));
    }
    if !args.output.quiet {
        for (name, why) in sources.passed() {
            say(&format!("passed over: {name}: {why}"));
        }
    }
    let awaited = awaited(args);
    if let Some(awaited) = awaited.as_ref().filter(|_| !screen && !args.output.quiet) {
        say(awaited);
    }
    let side =
        Side { passes: Arc::new(AtomicBool::new(false)), echoes: !args.output.quiet && echoes(screen) };
    let piped = stdin.then(|| {
        let (sender, side) = (sender.clone(), side.clone());
        std::thread::spawn(move || read_stdin(&options, &sender, &side))
    });
    let once = args.once;
    // On a screen a run that has ended is still looked at, and may be resumed.
    let until = match (once, screen) {
        (true, _) => Until::Read,
        (false, false) => Until::Over,
        (false, true) => Until::Left,
    };
    let trainers = Trainers::default();
    let followed = trainers.clone();
    // That nobody listens any more ends it, and is no failure.
    std::thread::spawn(move || drop(follow(sources, &followed, until, &sender)));
    let (updates, relay) = if args.notify.command.is_some() {
        let (relayed, received) = sync_channel(UNDERWAY);
        let notifier = Notifier::new(&args.notify);
        (received, Some(std::thread::spawn(move || notify::relay(&updates, &relayed, notifier, stdin))))
    } else {
        (updates, None)
    };
    if !screen {
        let mut lines = Lines::new(args.output.json, args.output.quiet);
        for update in &updates {
            lines.take(update);
        }
        lines.summary();
        return if once && !stdin { found_any(&lines, &args.sources) } else { Ok(code::FINE) };
    }
    // In raw mode Ctrl-C is a key; what comes here is sent by other programs.
    super::signals::on_request(|| {
        dashboard::term::restore();
        std::process::exit(i32::from(code::INTERRUPTED));
    })
    .map_err(Failure::failed)?;
    let capabilities = Capabilities::from_environment(args.output.colors(), |name| std::env::var(name).ok());
    // Which process trains is not known, nor whether on this machine.
    let meter = Meter::start(|| None);
    let measure = || meter.read();
    let shown = dashboard::Options {
        capabilities,
        system: Some(&measure),
        linger: true,
        owns_run: false,
        notice: awaited.as_deref(),
        ..dashboard::Options::default()
    };
    let ask = |id, command| trainers.ask(id, command);
    dashboard::run(&updates, Runs::new(Limits::DEFAULT), &ask, shown).map_err(Failure::failed)?;
    drop(updates);
    if let Some(piped) = piped.filter(|piped| !piped.is_finished()) {
        // The program that prints must not die of a reader that is gone.
        side.passes.store(true, Ordering::SeqCst);
        say("the dashboard is closed; what comes is passed through until its end");
        let _ = piped.join();
        // It tells of what came after the dashboard, too. Of files there may always come more.
        relay.filter(|_| args.sources.len() == 1).map(std::thread::JoinHandle::join);
    }
    Ok(code::FINE)
}

fn is_stdin(source: &Path) -> bool {
    source.as_os_str() == "-"
}

/// Whether one of the sources is standard input.
///
/// # Errors
/// When a source is not there and is not about to be.
fn check(args: &WatchArgs) -> Result<bool, Failure> {
    let stdin = args.sources.iter().filter(|source| is_stdin(source)).count();
    if stdin > 1 {
        return Err(Failure::usage(anyhow!("-: standard input can be read once only\n  hint: name - once")));
    }
    if stdin == 1 && std::io::stdin().is_terminal() {
        let error = "-: standard input is the terminal\n  hint: python train.py 2>&1 | tune watch -";
        return Err(Failure::usage(anyhow!(error)));
    }
    for source in args.sources.iter().filter(|source| !is_stdin(source)) {
        let folder = source.parent().filter(|folder| !folder.as_os_str().is_empty());
        if !source.exists() && (args.once || folder.is_some_and(|folder| !folder.is_dir())) {
            return Err(Failure::usage(anyhow!(
                "{}: no such file or folder\n  hint: {}",
                source.display(),
                if args.once {
                    "without --once tune waits for it"
                } else {
                    "make its folder, or name another"
                }
            )));
        }
        let why = source.is_file().then(|| no_log(source)).flatten();
        if let Some(why) = why.filter(|_| args.reading.format.is_none()) {
            return Err(Failure::usage(anyhow!(
                "{}: {why}\n  hint: name what the trainer writes, a file or its folder",
                source.display()
            )));
        }
    }
    Ok(stdin == 1)
}

/// That not one figure was found is a mistake, where no more is waited for.
fn found_any(lines: &Lines, sources: &[PathBuf]) -> Outcome {
    let has_figures = |run: &dashboard::Run| {
        let curves = run.monitor.snapshot().curves;
        !curves.train.is_empty() || !curves.eval.is_empty()
    };
    if lines.runs.list().iter().any(has_figures) {
        return Ok(code::FINE);
    }
    let hint = sources.iter().find_map(|source| super::source::other_figures(source));
    let hint = hint.unwrap_or_else(|| "name the log that the trainer writes, or its folder".into());
    Err(Failure::usage(anyhow!("{}: no losses were found in it\n  hint: {hint}", sources[0].display())))
}

/// Which sources are not there yet, in words.
fn awaited(args: &WatchArgs) -> Option<String> {
    let missing = args.sources.iter().filter(|source| !is_stdin(source) && !source.exists());
    let missing: Vec<String> = missing.map(|source| source.display().to_string()).collect();
    match &missing[..] {
        [] => None,
        [one] => Some(format!("{one} does not exist yet; waiting for it")),
        many => Some(format!("{} do not exist yet; waiting for them", many.join(", "))),
    }
}

/// Whether what comes in by standard input is repeated on stderr: not into the dashboard.
fn echoes(screen: bool) -> bool {
    !screen || !std::io::stderr().is_terminal()
}

/// Where the text of standard input goes beside being read.
#[derive(Clone)]
struct Side {
    /// To stdout, once the dashboard is closed.
    passes: Arc<AtomicBool>,
    /// To stderr.
    echoes: bool,
}

fn read_stdin(options: &Options, sender: &SyncSender<Update>, side: &Side) {
    const ID: usize = 0;
    let mut stream = Stream::new(ID, "stdin", options);
    let mut send = |update| sender.send(update).is_ok();
    let mut input = std::io::stdin().lock();
    let mut bytes = vec![0; 1 << 16];
    let mut heard = send(Update::Run { id: ID, name: "stdin".into() });
    loop {
        let read = match input.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => &bytes[..read],
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if side.echoes {
            let _ = std::io::stderr().write_all(read);
        }
        if side.passes.load(Ordering::SeqCst) {
            // Nobody may want it; the program that prints is not to know.
            let _ = super::print_bytes(read);
        }
        heard = heard && stream.push(read, &mut send);
    }
    if heard {
        stream.finish(&mut send);
        let _ = send(Update::Gone { id: ID });
    }
}

/// How long sources are followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// To the end of what is there.
    Read,
    /// Until nothing more will come.
    Over,
    /// Until nobody listens any more.
    Left,
}

/// Reads on and on, `until` then.
fn follow(
    mut sources: Sources,
    trainers: &Trainers,
    until: Until,
    sender: &SyncSender<Update>,
) -> Result<(), Left> {
    let mut send = |update| sender.send(update).is_ok();
    let (mut searched, mut listened) = (Instant::now(), None::<Instant>);
    let grows = sources.may_grow();
    if !grows && sources.runs().is_empty() {
        return Ok(());
    }
    sources.begin(&mut send)?;
    loop {
        let any = sources.turn(&mut send)?;
        if until != Until::Read && listened.is_none_or(|at| at.elapsed() > LISTEN) {
            listened = Some(Instant::now());
            if !trainers.look(sources.runs(), &mut send) {
                return Err(Left);
            }
        }
        if any {
            continue;
        }
        if until == Until::Read || until == Until::Over && sources.are_over() {
            return sources.finish(&mut send);
        }
        std::thread::sleep(PAUSE * (1 + sources.pass()));
        if grows && searched.elapsed() > SEARCH {
            searched = Instant::now();
            sources.search();
        }
    }
}
