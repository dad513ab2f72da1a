//! `tune run`: from a configuration to a trained adapter.
//!
//! Everything that can be wrong with what the user gave is found before the run folder is made, so
//! that a mistake leaves nothing behind.

mod describe;
mod ended;

use super::data::{holdout, warn};
use super::detach;
use super::earlier::Earlier;
use super::meter::{self, Meter};
use super::notify::{Notifier, Notify};
use super::ties::Ties;
use super::wire::{Aides, OWN, Past, Plain, View, Wire};
use super::wishes::Wishes;
use super::{Failure, Outcome, Output, code, has_screen, open, open_run, print, say};
use crate::config::{self, Config, Holdout};
use crate::dashboard::{self, Capabilities, Exit};
use crate::data::{self, Augmenter, Dataset, Encoder};
use crate::diagnosis::{Finding, Limits};
use crate::event::record::Record;
use crate::event::{Event, Resumed, RunEnded, RunInfo, StopReason};
use crate::model::lora::{Adapter, AdapterConfig};
use crate::model::{BUILTIN, CausalLm};
use crate::monitor::Monitor;
use crate::report::text;
use crate::store::RunDir;
use crate::store::log::Writer;
use crate::train::checkpoint::{Folders, State};
use crate::train::{Job, train};
use anyhow::{Context, Result, anyhow};
use clap::Args;
use describe::{describe, same_inputs};
use ended::{broken, conclusion, going_on, replayed};
use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is typed or not")]
pub(super) struct RunArgs {
    /// The configuration, TOML; `tune init` prints one
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// Go on with an interrupted run, named by its folder
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// The run's folder itself, in place of a new one under `output.dir`
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Change one key, as in --set lora.dropout=0.1 (any number of times)
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
    /// Print what the run would need, and stop
    #[arg(long, conflicts_with_all = ["resume", "out"])]
    plan: bool,
    /// Train in the background, and return when it has begun; tune watch shows it
    #[arg(long, conflicts_with_all = ["plan", "plain"])]
    detach: bool,
    /// This is the process in the background, whose run folder is there already
    #[arg(long = detach::BACKGROUND, hide = true, conflicts_with = "detach")]
    background: bool,
    /// Lines of text in place of the dashboard
    #[arg(long)]
    plain: bool,
    /// A line for every step
    #[arg(short, long)]
    verbose: bool,
    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    notify: Notify,
    #[command(flatten)]
    output: Output,
}

/// A run that is ready to start.
struct Prepared {
    config: Config,
    dir: RunDir,
    log: Writer,
    model: CausalLm,
    dataset: Dataset,
    encoder: Encoder,
    state: State,
    /// `Some` when the run goes on from a saved state.
    past: Option<(Monitor, Past)>,
    info: RunInfo,
}

/// How a run was left, and all that was seen of it.
struct Driven {
    ended: RunEnded,
    monitor: Monitor,
    /// Whether it is to go on in the background.
    detached: bool,
}

pub(super) fn run(args: &RunArgs) -> Outcome {
    if args.detach {
        detach::check()?;
    }
    if args.background {
        detach::leave_terminal();
    }
    if let (true, Some(path)) = (args.plan, &args.config) {
        let config = config::load::load(path, &args.overrides).map_err(Failure::usage)?;
        return super::plan::show(&config, &args.device, &args.output);
    }
    if let (Some(root), [_, ..]) = (&args.resume, &args.overrides[..]) {
        return Err(Failure::usage(anyhow!(
            "--set: a run goes on with the configuration that it was started with\n  \
             hint: start another run to change a key: tune run {} --set ... --out OTHER",
            root.join("config.toml").display()
        )));
    }
    let wishes = Wishes::default();
    wishes.listen().map_err(Failure::failed)?;
    let prepared = match (&args.config, &args.resume) {
        (_, Some(resume)) => resumed(args, resume, &wishes)?,
        (Some(config), None) => fresh(args, config, &wishes)?,
        (None, None) => {
            return Err(Failure::usage(anyhow!("no configuration\n  hint: tune run CONFIG.toml")));
        }
    };
    let dir = prepared.dir.clone();
    if args.detach {
        // Everything is found to be right; the other process needs the memory and the log.
        drop(prepared);
        return detach::start(&dir, &background(args, &dir), args.output.json);
    }
    if args.output.json {
        say(&format!("run folder: {}", dir.root().display()));
    }
    // A run that goes on was told when it began.
    let few = prepared.past.is_none().then(|| holdout::few(&prepared.config, &prepared.dataset)).flatten();
    if let Some(few) = &few {
        say(&format!("warning: {few}"));
    }
    let Driven { ended, monitor, detached } = drive(args, prepared, &wishes)?;
    if detached && ended.reason == StopReason::Interrupted {
        return detach::start(&dir, &resuming(args, &dir), false);
    }
    if let Err(error) = super::report::write_into(&dir, &monitor) {
        // The run itself is whole.
        say(&format!("warning: no report: {error:#}"));
    }
    if args.output.json {
        print(&conclusion(&dir, &ended, &monitor));
    } else {
        let said = |remark: &Finding| few.is_some() && holdout::said(remark);
        print(&text::summary_without(&monitor.snapshot(), said));
        print(&format!("\nrun folder: {}\n", dir.root().display()));
    }
    Ok(match ended.reason {
        StopReason::Interrupted => {
            going_on("interrupted", &dir);
            code::INTERRUPTED
        }
        StopReason::Requested => {
            going_on("stopped as asked", &dir);
            code::FINE
        }
        StopReason::NonFinite => {
            say(&match ended.best {
                Some(_) => format!(
                    "error: the loss is no longer a finite number\n  \
                     hint: lower train.learning_rate; the best adapter from before is in {}",
                    dir.best().display()
                ),
                None => "error: the loss of the base model itself is not a finite number\n  \
                         hint: look at its weights, or try --set model.dtype=f32"
                    .into(),
            });
            code::FAILED
        }
        StopReason::Finished | StopReason::EarlyStopping => code::FINE,
    })
}

/// The arguments by which this run is trained in the background.
fn background<'a>(args: &'a RunArgs, dir: &'a RunDir) -> Vec<&'a OsStr> {
    let Some(config) = &args.config else { return resuming(args, dir) };
    let mut arguments = vec![config.as_os_str(), "--out".as_ref(), dir.root().as_os_str()];
    arguments.extend(args.overrides.iter().flat_map(|set| ["--set", set].map(OsStr::new)));
    arguments.extend(passed_on(args));
    arguments
}

/// The arguments by which it goes on there.
fn resuming<'a>(args: &'a RunArgs, dir: &'a RunDir) -> Vec<&'a OsStr> {
    let mut arguments: Vec<&OsStr> = vec!["--resume".as_ref(), dir.root().as_os_str()];
    arguments.extend(passed_on(args));
    arguments
}

fn passed_on(args: &RunArgs) -> impl Iterator<Item = &OsStr> {
    let verbose = args.verbose.then_some("--verbose");
    let notify = args.notify.command.iter().flat_map(|command| ["--notify", command]);
    ["--device", &args.device].into_iter().chain(verbose).chain(notify).map(OsStr::new)
}

/// A new run.
fn fresh(args: &RunArgs, path: &Path, wishes: &Wishes) -> Result<Prepared, Failure> {
    let mut config = config::load::load(path, &args.overrides).map_err(Failure::usage)?;
    let (model, dataset, encoder) = load(args, &mut config).map_err(Failure::usage)?;
    // What "auto" comes to depends on the machine, and a run may go on on another.
    config.model.dtype = model.precision();
    let state = fresh_state(&config, &model).map_err(Failure::usage)?;
    let text = anchored(config.clone()).and_then(|config| Ok(config.to_toml()?)).map_err(Failure::usage)?;
    wishes.check()?;
    let dir = if let Some(out) = &args.out {
        if args.background { RunDir::open(out) } else { RunDir::create_at(out, &text) }
    } else {
        let now = jiff::Zoned::now();
        let seed = (now.timestamp().as_nanosecond() as u32) ^ std::process::id();
        let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        RunDir::create(&config.output.dir, &stem, &now.strftime("%Y-%m-%d").to_string(), seed, &text)
    };
    let dir = dir.map_err(Failure::usage)?;
    let log = Writer::open(&dir.log()).map_err(Failure::failed)?;
    let info = describe(args, path, &config, &model, &dataset, &state.adapter, &dir);
    Ok(Prepared { config, dir, log, model, dataset, encoder, state, past: None, info })
}

/// The configuration with every path from the root of the disk: a run goes on from wherever it is resumed.
fn anchored(mut config: Config) -> Result<Config> {
    let anchor = |path: &mut PathBuf| -> Result<()> {
        *path = std::path::absolute(&*path).with_context(|| path.display().to_string())?;
        Ok(())
    };
    anchor(&mut config.data.train)?;
    if let Holdout::File(path) = &mut config.data.valid {
        anchor(path)?;
    }
    config.data.test.as_mut().map_or(Ok(()), anchor)?;
    anchor(&mut config.output.dir)?;
    if config.model.path != BUILTIN {
        let mut path = PathBuf::from(&config.model.path);
        anchor(&mut path)?;
        config.model.path = path.to_str().context("model.path is not Unicode")?.into();
    }
    Ok(config)
}

/// A run that goes on.
fn resumed(args: &RunArgs, root: &Path, wishes: &Wishes) -> Result<Prepared, Failure> {
    let dir = open_run(root)?;
    // Nothing is read before the run is ours: another process may still be writing to it.
    let mut log = Writer::open(&dir.log()).map_err(Failure::usage)?;
    dir.sweep().map_err(Failure::failed)?;
    let mut config = config::load::load(&dir.config(), &[]).map_err(Failure::usage)?;
    let records = dir.records().map_err(Failure::usage)?;
    let mut monitor = Monitor::new(Limits::DEFAULT);
    for record in &records {
        monitor.apply(record);
    }
    if let Some(ended) = monitor.snapshot().ended
        && ended.reason.is_final()
    {
        // A kill may have come between the last event and the report.
        if !dir.report().exists() {
            super::report::write_into(&dir, &monitor).map_err(Failure::failed)?;
        }
        return Err(Failure::usage(anyhow!(
            "{}: the run is over ({})\n  hint: its best adapter is in {}; start anew with tune run",
            root.display(),
            crate::monitor::log::reason(ended.reason),
            dir.best().display()
        )));
    }
    let (model, dataset, encoder) = load(args, &mut config).map_err(Failure::usage)?;
    let state = fresh_state(&config, &model).map_err(Failure::usage)?;
    wishes.check()?;
    let info = describe(args, &dir.config(), &config, &model, &dataset, &state.adapter, &dir);
    same_inputs(&info, monitor.snapshot().run, root)?;
    let saved = folders(&config, &dir).load(state.clone()).map_err(Failure::usage)?;
    let Some(state) = saved else {
        // Killed between the best adapter and the first state, it has lost nothing that cannot begin again.
        if monitor.snapshot().last_saved.is_some() {
            return Err(Failure::usage(anyhow!(
                "{}: the saved state is missing, the run cannot go on\n  hint: its best adapter is in {}; start anew with tune run",
                dir.state().display(),
                dir.best().display()
            )));
        }
        // Killed before the first evaluation was saved: begin again, in the same folder.
        log.clear().map_err(Failure::failed)?;
        return Ok(Prepared { config, dir, log, model, dataset, encoder, state, past: None, info });
    };
    let seconds = records.last().map_or(0.0, |record| record.t);
    let going_on = Record { t: seconds, event: Event::RunResumed(Resumed { step: state.step }) };
    let past = Past { records: records.into_iter().chain([going_on]).collect(), seconds };
    Ok(Prepared { config, dir, log, model, dataset, encoder, state, past: Some((monitor, past)), info })
}

/// The model and the data, checked against each other.
fn load(args: &RunArgs, config: &mut Config) -> Result<(CausalLm, Dataset, Encoder)> {
    let device = open::device(&args.device, &args.output)?;
    let encoder = open::encoder(config)?;
    let dataset = data::load(&config.data, &encoder)?;
    Augmenter::new(config, &encoder, &dataset)?;
    warn(&dataset);
    if let Some(remark) = super::plan::fit(config, &dataset, &device, super::meter::free())? {
        say(&remark);
    }
    let model = open::model(config, &encoder, &device)?;
    Ok((model, dataset, encoder))
}

pub(super) fn fresh_state(config: &Config, model: &CausalLm) -> Result<State> {
    let adapter =
        Adapter::new(AdapterConfig::new(&config.lora)?, &model.spec, config.train.seed, &model.device)?;
    State::new(adapter, config.train.weight_decay)
}

pub(super) fn folders(config: &Config, dir: &RunDir) -> Folders {
    Folders { best: dir.best(), last: dir.last(), state: dir.state(), base: config.model.path.clone() }
}

/// Trains, with someone looking on.
fn drive(args: &RunArgs, prepared: Prepared, wishes: &Wishes) -> Result<Driven, Failure> {
    let Prepared { config, dir, log, model, dataset, encoder, state, past, info } = prepared;
    let resumed = past.is_some();
    let (monitor, past) = past.unwrap_or_else(|| (Monitor::new(Limits::DEFAULT), Past::default()));
    let folders = folders(&config, &dir);
    let job = Job {
        config: &config,
        model: &model,
        splits: &dataset.splits,
        augmenter: Augmenter::new(&config, &encoder, &dataset).map_err(Failure::usage)?,
        encoder: &encoder,
        folders: &folders,
        info,
    };
    let dashboard = !args.plain && !args.output.json && !args.output.quiet && has_screen();
    let (sender, receiver) = mpsc::channel();
    let past_runs = sender.clone();
    let view = if dashboard {
        View::Screen(sender)
    } else if args.output.json {
        View::Json
    } else if args.output.quiet {
        View::Quiet
    } else {
        View::Plain(Box::new(Plain::new(super::replay(&dir)?, args.verbose)))
    };
    let ties = Ties::new(dir.clone());
    let aides = Aides { ties, wishes: wishes.clone(), notifier: Notifier::new(&args.notify) };
    let wire = Wire::new(log, &dir, view, &config.early_stopping, &past, aides);
    if !dashboard {
        let ended = train_on(wire, job, state, resumed).map_err(|error| broken(&error, &dir))?;
        return Ok(Driven { ended, monitor: replayed(&dir)?, detached: false });
    }
    let meter = Meter::start(meter::own);
    let measure = || meter.read();
    let options = dashboard::Options {
        capabilities: Capabilities::from_environment(args.output.colors(), |name| std::env::var(name).ok()),
        linger: true,
        owns_run: true,
        detaches: detach::POSSIBLE,
        folder: dir.root(),
        notice: None,
        system: Some(&measure),
    };
    let runs = dashboard::Runs::new(Limits::DEFAULT).with(OWN, dir.name(), monitor);
    std::thread::scope(|scope| {
        if let (Some(parent), Some(path)) = (dir.root().parent(), &job.info.settings.config) {
            let earlier = Earlier { folder: parent.into(), except: dir.root().into(), config: path.clone() };
            scope.spawn(move || earlier.send(&past_runs));
        }
        let trainer = scope.spawn(|| train_on(wire, job, state, resumed));
        let ask = |_, command| {
            wishes.take(command);
            Ok(())
        };
        let outcome = watched(move || dashboard::run(&receiver, runs, &ask, options));
        if outcome.as_ref().is_some_and(|outcome| outcome.exit == Exit::Abandoned) {
            std::process::exit(i32::from(code::INTERRUPTED));
        }
        let trained =
            trainer.join().unwrap_or_else(|_| Err(anyhow!("the trainer failed: this is a bug in tune")));
        let ended = trained.map_err(|error| broken(&error, &dir))?;
        let detached = outcome.as_ref().is_some_and(|outcome| outcome.exit == Exit::Detached);
        let seen = outcome.and_then(|outcome| outcome.runs.into_monitor(OWN));
        Ok(Driven { ended, monitor: seen.map_or_else(|| replayed(&dir), Ok)?, detached })
    })
}

/// How the dashboard was left. `None` when it failed: the run goes on without it.
fn watched(dashboard: impl FnOnce() -> Result<dashboard::Outcome>) -> Option<dashboard::Outcome> {
    // Where it panics, the terminal was given back and the reason said by the time this is known.
    match catch_unwind(AssertUnwindSafe(dashboard)) {
        Ok(Ok(outcome)) => return Some(outcome),
        Ok(Err(error)) => say(&format!("warning: {error:#}; the run goes on, as lines of text")),
        Err(_) => {
            say("warning: the dashboard failed: this is a bug in tune; the run goes on, as lines of text");
        }
    }
    None
}

fn train_on(mut wire: Wire, job: Job, state: State, resumed: bool) -> Result<RunEnded> {
    let trained = train(job, state, resumed, &mut wire);
    match wire.failure.take() {
        Some(failure) => Err(failure).context("the run was stopped"),
        None => trained,
    }
}
