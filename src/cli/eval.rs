//! `tune eval`: the loss of a model, with or without an adapter, on any rows, and how sure it is.
//!
//! The rows are encoded as training encodes them and computed as the trainer's evaluations are: dropout
//! off, batch after batch, nothing kept but sums.

use super::{Failure, Outcome, Output, code, open, open_run, print, say};
use crate::config::{self, Config};
use crate::data::encode::EncodeOptions;
use crate::data::{self, Example};
use crate::event::num::json as number;
use crate::fmt;
use crate::model::BUILTIN;
use crate::model::adapter::peft;
use crate::model::lora::Adapter;
use crate::train::loss::{SetLoss, evaluate_with};
use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

#[derive(Args)]
#[command(after_help = "\
The loss is the mean over all tokens that carry loss, in nats. Each figure comes with one standard error, \
which says how much it would change with other rows of the same kind (rows, not tokens, are taken as \
drawn). How rows are encoded is said by the run's configuration, or by --set data.max_length and \
--set data.mask_prompt.")]
pub(super) struct EvalArgs {
    /// The folder of a run, whose best adapter is judged
    #[arg(required_unless_present = "model", conflicts_with = "model")]
    run: Option<PathBuf>,
    /// `builtin`, or a model folder in Hugging Face form
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// An adapter folder of PEFT; without it the model by itself
    #[arg(long, value_name = "DIR", requires = "model")]
    adapter: Option<PathBuf>,
    /// The rows, JSON Lines or CSV
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Change one key, as in --set model.dtype=f32 (any number of times)
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    output: Output,
}

/// A figure and one standard error of it; none where there is a single row.
#[derive(Clone, Copy)]
struct Figure {
    value: f64,
    error: Option<f64>,
}

pub(super) fn eval(args: &EvalArgs) -> Outcome {
    let (config, adapter) = asked(args)?;
    let device = open::device(&args.device, &args.output).map_err(Failure::usage)?;
    let encoder = open::encoder(&config).map_err(Failure::usage)?;
    let options = EncodeOptions { max_length: config.data.max_length, mask_prompt: config.data.mask_prompt };
    let rows = data::load_rows(&args.data, "--data", &encoder, options).map_err(Failure::usage)?;
    let model = open::model(&config, &encoder, &device).map_err(Failure::usage)?;
    if let Some(run) = &args.run {
        open::warn_of_base(&open_run(run)?, &config, &model);
    }
    let adapter = match adapter {
        Some(folder) => peft::read(&folder, &model.spec, &model.device).map_err(Failure::usage)?,
        None => Adapter::none(&model.spec),
    };
    let whole = |path: &Path| path.canonicalize().ok();
    if args.run.is_some() && whole(&args.data).is_some_and(|data| whole(&config.data.train) == Some(data)) {
        say("warning: the run was trained on rows of this file: the loss of new rows will be higher");
    }
    let cut = rows.iter().filter(|row| row.cut > 0).count();
    if cut > 0 {
        let (are, were) = if cut == 1 { ("row is", "was") } else { ("rows are", "were") };
        let longest = options.max_length;
        say(&format!("warning: {cut} {are} longer than data.max_length = {longest} and {were} cut"));
    }
    let rows: Vec<Example> = rows.into_iter().map(|row| row.example).collect();
    let (start, mut said) = (Instant::now(), Duration::ZERO);
    let progress = &mut |done: usize| {
        let elapsed = start.elapsed();
        if !args.output.quiet && elapsed >= said + PROGRESS && done < rows.len() {
            said = elapsed;
            let left = elapsed.as_secs_f64() / done as f64 * (rows.len() - done) as f64;
            say(&format!("{done} of {} rows, about {} left", rows.len(), fmt::duration(left)));
        }
    };
    let set =
        evaluate_with(&model, &adapter, &rows, config.eval.batch_size, progress).map_err(Failure::failed)?;
    print(&if args.output.json { document(&set) } else { table(&set) });
    if set.mean().is_finite() {
        return Ok(code::FINE);
    }
    Err(Failure::failed(anyhow!(
        "the loss is not a finite number\n  hint: look at the weights, or try --set model.dtype=f32"
    )))
}

/// Keys of the configuration that matter here.
const USED: [&str; 5] =
    ["model.path", "model.dtype", "data.max_length", "data.mask_prompt", "eval.batch_size"];

/// Fails where a key is set that changes nothing here: who sets it thinks that it does.
fn matter(overrides: &[String]) -> Result<(), Failure> {
    let key = |set: &String| set.split('=').next().unwrap_or_default().trim().to_owned();
    let Some(idle) = overrides.iter().map(key).find(|key| !USED.contains(&key.as_str())) else {
        return Ok(());
    };
    Err(Failure::usage(anyhow!(
        "--set {idle}: changes nothing of how a model is judged\n  hint: these do: {}",
        USED.join(", ")
    )))
}

/// The configuration that says how, and the adapter that is judged.
fn asked(args: &EvalArgs) -> Result<(Config, Option<PathBuf>), Failure> {
    if let Some(run) = &args.run {
        if run.as_os_str() == BUILTIN && !run.exists() {
            return Err(Failure::usage(anyhow!(
                "{BUILTIN}: no such run\n  hint: --model {BUILTIN} is the model"
            )));
        }
        let dir = open_run(run)?;
        let config = config::load::load(&dir.config(), &args.overrides).map_err(Failure::usage)?;
        matter(&args.overrides)?;
        if !dir.best().is_dir() {
            return Err(Failure::usage(anyhow!(
                "{}: no adapter was saved yet\n  hint: the first is saved at the run's first evaluation",
                run.display()
            )));
        }
        return Ok((config, Some(dir.best())));
    }
    let mut config = config::load::defaults(&args.overrides).map_err(Failure::usage)?;
    matter(&args.overrides)?;
    if let Some(model) = &args.model {
        config.model.path.clone_from(model);
    }
    Ok((config, args.adapter.clone()))
}

/// Loss, perplexity and token accuracy. The error of the perplexity is that of the loss, to first order.
fn figures(set: &SetLoss) -> [Figure; 3] {
    let loss = Figure { value: set.mean(), error: set.mean_error() };
    let value = loss.value.exp();
    let perplexity = Figure { value, error: loss.error.map(|error| error * value) };
    [loss, perplexity, Figure { value: set.token_accuracy(), error: set.accuracy_error() }]
}

fn document(set: &SetLoss) -> String {
    let [loss, perplexity, accuracy] = figures(set);
    let document = json!({
        "loss": number(loss.value), "loss_se": loss.error,
        "perplexity": number(perplexity.value), "perplexity_se": perplexity.error,
        "token_accuracy": accuracy.value, "token_accuracy_se": accuracy.error,
        "tokens": set.tokens, "rows": set.examples.len(),
    });
    format!("{document:#}\n")
}

fn table(set: &SetLoss) -> String {
    let [loss, perplexity, accuracy] = figures(set);
    let error = |figure: Figure, scale: f64, digits: usize| {
        figure.error.map_or(String::new(), |error| format!(" ± {}", fmt::fixed(error * scale, digits)))
    };
    format!(
        "rows            {}\ntokens          {} that carry loss\nloss            {}{} nats per token\n\
         perplexity      {:.2}{}\ntoken accuracy  {:.1}{} %\n",
        set.examples.len(),
        set.tokens,
        fmt::fixed(loss.value, 4),
        error(loss, 1.0, 4),
        perplexity.value,
        error(perplexity, 1.0, 2),
        100.0 * accuracy.value,
        error(accuracy, 100.0, 1),
    )
}
