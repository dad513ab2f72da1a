//! The command line: what can be typed, one file a subcommand, and the exit codes.
//!
//! Errors are printed here and nowhere else: what is wrong, then a `hint:`.

mod bench;
mod check;
mod compare;
mod data;
mod detach;
mod earlier;
mod eval;
mod exec;
mod export;
mod feed;
mod generate;
mod init;
mod lines;
mod meter;
mod notify;
mod open;
#[cfg(all(test, unix))]
mod panicked;
mod plan;
mod remote;
mod report;
mod run;
mod runs;
mod signals;
mod source;
mod stopping;
mod ties;
mod watch;
mod wire;
mod wishes;

use crate::diagnosis::Severity;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit codes; the words of each are the contract with scripts.
mod code {
    pub(super) const FINE: u8 = 0;
    /// A finding at or above the level that was asked for.
    pub(super) const FINDING: u8 = 1;
    /// The user's mistake: arguments, configuration, data.
    pub(super) const USAGE: u8 = 2;
    /// The run failed.
    pub(super) const FAILED: u8 = 3;
    /// Interrupted with the state saved: 128 + SIGINT, as shells have it.
    pub(super) const INTERRUPTED: u8 = 130;
}

/// Fine-tune language models with LoRA, and be told the moment they overfit.
#[derive(Parser)]
#[command(name = "tune", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fine-tune a model, watched live
    Run(run::RunArgs),
    /// Watch any training run live: a run folder, a log, a folder of logs, or - for what is piped in
    Watch(watch::WatchArgs),
    /// Start someone else's trainer, look on, and stop it politely when it overfits
    Exec(exec::ExecArgs),
    /// Judge logs of any trainer: one verdict a run, and an exit code for scripts
    Check(check::CheckArgs),
    /// Put two runs side by side, with the paired error of their difference
    Compare(compare::CompareArgs),
    /// Measure how fast this machine trains a model
    Bench(bench::BenchArgs),
    /// Look at the rows before training: the split, tokens, duplicates, leaks between the sides
    Data(data::DataArgs),
    /// Ask a run's best adapter, and the base model beside it
    Generate(generate::GenerateArgs),
    /// Judge a model, or a run's best adapter, by any rows
    Eval(eval::EvalArgs),
    /// Hand a run's best adapter over to another program
    Export(export::ExportArgs),
    /// Write the report of a run: a page, a picture, Markdown or JSON
    Report(report::ReportArgs),
    /// List the runs of a folder
    Runs(runs::RunsArgs),
    /// Print a commented configuration to start from
    Init(init::InitArgs),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}

/// Flags that several commands share.
#[derive(Args, Clone, Debug)]
struct Output {
    /// Print JSON on stdout; talk goes to stderr
    #[arg(long)]
    json: bool,
    /// Use colours: auto, always or never (`NO_COLOR` is honoured)
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
    /// Print results and errors only
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// How grave a finding has to be for something to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Watch,
    Warn,
    Severe,
}

impl Level {
    fn severity(self) -> Severity {
        match self {
            Self::Watch => Severity::Watch,
            Self::Warn => Severity::Warn,
            Self::Severe => Severity::Severe,
        }
    }
}

impl Output {
    /// Whether colours are wanted on a terminal.
    fn colors(&self) -> bool {
        self.color.wanted()
    }
}

impl Color {
    /// Whether colours are wanted on a terminal.
    fn wanted(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !is_dumb(),
        }
    }
}

/// How other trainers' logs are to be read.
#[derive(Args, Clone, Debug)]
struct Reading {
    /// What the logs are, where that cannot be told: a trainer or a container, such as hf-trainer or csv
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// Which columns are what, as in `--map eval=val_loss,train=loss,step=iteration`
    #[arg(long, value_name = "WHAT=COLUMN,...", value_delimiter = ',')]
    map: Vec<String>,
}

impl Reading {
    fn options(&self) -> Result<crate::ingest::Options, Failure> {
        let known = crate::event::trainer::TRAINERS.iter().map(|trainer| trainer.name);
        if let Some(name) = self.format.as_ref().filter(|name| !known.clone().any(|known| known == **name)) {
            let distance = |known: &str| strsim::damerau_levenshtein(known, name);
            // A third of its letters may be wrong; beyond that another word was meant.
            let near = known.clone().filter(|known| 3 * distance(known) <= known.len().max(name.len()));
            let begun = known.clone().find(|known| name.len() > 1 && known.starts_with(name.as_str()));
            let near = near.min_by_key(|known| distance(known)).or(begun);
            let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
            return Err(Failure::usage(anyhow::anyhow!(
                "--format {name}: no such format\n  hint: {near}there are {}",
                known.collect::<Vec<_>>().join(", ")
            )));
        }
        let mut map = crate::ingest::Map::default();
        for part in &self.map {
            let (what, column) = part.split_once('=').unwrap_or((part, ""));
            let place = match what.trim() {
                "eval" => &mut map.eval,
                "train" => &mut map.train,
                "step" => &mut map.step,
                _ => {
                    return Err(Failure::usage(anyhow::anyhow!(
                        "--map {part}: not one of eval, train and step\n  hint: --map eval=val_loss,train=loss,step=iteration"
                    )));
                }
            };
            if column.trim().is_empty() {
                return Err(Failure::usage(anyhow::anyhow!(
                    "--map {part}: the column is missing\n  hint: --map {}=COLUMN",
                    what.trim()
                )));
            }
            if what.trim() != "step" && crate::ingest::names::rises(column.as_bytes()) {
                return Err(Failure::usage(anyhow::anyhow!(
                    "--map {part}: this figure rises as a model gets better\n  \
                     hint: name a loss, an error or a perplexity: of those, lower is better"
                )));
            }
            *place = Some(column.trim().to_owned());
        }
        Ok(crate::ingest::Options { format: self.format.clone(), map })
    }
}

/// Why a command did not do what it was asked.
struct Failure {
    code: u8,
    error: anyhow::Error,
}

type Outcome = Result<u8, Failure>;

impl Failure {
    /// The user's mistake.
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: code::USAGE, error: error.into() }
    }

    /// The run failed.
    fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { code: code::FAILED, error: error.into() }
    }
}

/// Does what the arguments say; the answer is the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(mut error) => {
            if arguments.get(1).is_some_and(takes_keys) {
                point_to_key(&mut error);
            }
            // Clap's own text: help and version on stdout, mistakes on stderr.
            let _ = error.print();
            return if error.use_stderr() { code::USAGE } else { code::FINE };
        }
    };
    let outcome = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Watch(args) => watch::watch(&args),
        Command::Exec(args) => exec::exec(&args),
        Command::Check(args) => check::check(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Data(args) => data::data(&args),
        Command::Generate(args) => generate::generate(&args),
        Command::Eval(args) => eval::eval(&args),
        Command::Export(args) => export::export(&args),
        Command::Report(args) => report::report(&args),
        Command::Runs(args) => runs::runs(&args),
        Command::Init(args) => init::init(&args),
        Command::Schema => init::schema(),
    };
    match outcome {
        Ok(code::FINE) if UNWRITTEN.load(Ordering::Relaxed) => code::FAILED,
        Ok(code) => code,
        Err(Failure { code, error }) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            code
        }
    }
}

/// Whether the command can be given keys of the configuration.
fn takes_keys(command: &OsString) -> bool {
    let cli = Cli::command();
    let mut options = cli.find_subcommand(command).into_iter().flat_map(clap::Command::get_arguments);
    options.any(|option| option.get_long() == Some("set"))
}

/// Where an option is unknown that is a key of the configuration, says how that is given.
fn point_to_key(error: &mut clap::Error) {
    if error.kind() != clap::error::ErrorKind::UnknownArgument {
        return;
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return };
    let name = option.trim_start_matches('-').replace('-', "_");
    if let Some(key) = crate::config::key_called(&name) {
        let tip = format!("'--set {key}=VALUE' sets that key of the configuration");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

/// Whether something could not be written to stdout though somebody reads it: a full disk.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// Writes to stdout. A reader that has gone away is no error.
fn print(text: &str) {
    let _ = print_bytes(text.as_bytes());
}

/// Writes to stdout; whether there was a reader.
fn printed(text: &str) -> bool {
    print_bytes(text.as_bytes()).is_ok()
}

/// Writes to stdout what need not be text.
fn print_bytes(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).inspect_err(|error| {
        if error.kind() != ErrorKind::BrokenPipe && !UNWRITTEN.swap(true, Ordering::Relaxed) {
            say(&format!("error: stdout cannot be written: {error}\n  hint: make room, or write elsewhere"));
        }
    })
}

/// Says something that is not a result.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether the dashboard can be shown: on a terminal whose cursor can be moved.
fn has_screen() -> bool {
    stdout_is_terminal() && !is_dumb()
}

/// Whether the terminal knows no colours and no other control sequences.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|name| name == "dumb")
}

/// A folder by a name that can be opened: that of a bare file name is empty.
fn named(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// The run folder that an argument names.
fn open_run(path: &Path) -> Result<crate::store::RunDir, Failure> {
    if path.is_file() {
        let folder = path.parent().map(named).filter(|folder| crate::store::RunDir::open(folder).is_ok());
        let hint = folder.map_or_else(
            || "give a folder that tune run has made; tune watch and tune check take logs, several at once, too, tune report takes one".into(),
            |folder| format!("name its folder: {}", folder.display()),
        );
        return Err(Failure::usage(anyhow::anyhow!(
            "{}: a file, not a run folder\n  hint: {hint}",
            path.display()
        )));
    }
    crate::store::RunDir::open(path).map_err(Failure::usage)
}

/// A run as its log tells it.
fn replay(run: &crate::store::RunDir) -> Result<crate::monitor::Monitor, Failure> {
    let mut monitor = crate::monitor::Monitor::new(crate::diagnosis::Limits::DEFAULT);
    for record in run.records().map_err(Failure::usage)? {
        monitor.apply(&record);
    }
    Ok(monitor)
}
