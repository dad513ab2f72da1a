//! `tune bench`: how fast this machine trains a model, and in how much memory.
//!
//! The steps are the trainer's own, on random rows; nothing is written. What a step is, and what the
//! figures mean, is said in the help, so that other trainers can be measured in the same way.

use super::plan::size;
use super::{Failure, Outcome, Output, code, meter, open, print, say};
use crate::config::{self, Config, Dtype, Schedule};
use crate::data::Example;
use crate::device::{self, Chosen};
use crate::kernel::Kernels;
use crate::model::lora::{Adapter, AdapterConfig};
use crate::model::plan::{Memory, Size};
use crate::model::spec::Spec;
use crate::model::{CausalLm, precision_of};
use crate::train::optim::AdamW;
use crate::train::plan::Plan;
use crate::train::step::{Stepper, keep};
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::time::Instant;

/// Steps before the measured ones: pages are touched and threads started in them.
const WARM_UP: u64 = 2;
/// Different batches, taken in turn.
const BATCHES: usize = 5;

#[derive(Args)]
#[command(after_help = "\
A step is forward, backward and AdamW on random ids with loss on every token, LoRA with alpha 16 and \
dropout 0.05 on all linear layers of the blocks; two steps go before the measured ones. peak_mb is the \
largest resident memory of the process in MiB, loading included.")]
pub(super) struct BenchArgs {
    /// `builtin`, or a model folder in Hugging Face form
    model: String,
    /// Tokens in a row
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    seq: u32,
    /// Rows in a batch
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Rank of the adapter
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rank: u32,
    /// How the frozen weights are kept
    #[arg(long, value_enum, default_value_t = Precision::Auto)]
    dtype: Precision,
    /// Keep the input of each layer alone, and compute the rest again on the way back
    #[arg(long)]
    checkpointing: bool,
    /// Measured steps
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Threads that compute [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Precision {
    Auto,
    F32,
    Bf16,
}

/// What was measured.
struct Figures {
    /// Tokens of one step.
    tokens: usize,
    /// Seconds of each measured step, sorted.
    seconds: Vec<f64>,
    /// Where and how it was computed.
    place: String,
    /// `f32` or `bf16`.
    dtype: &'static str,
}

pub(super) fn bench(args: &BenchArgs) -> Outcome {
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads as usize)
            .build_global()
            .context("the threads cannot be started")
            .map_err(Failure::failed)?;
    }
    let mut chosen = device::choose(&args.device).map_err(Failure::usage)?;
    if let Some(remark) = chosen.remark.take().filter(|_| !args.output.quiet) {
        say(&remark);
    }
    let dtype = match args.dtype {
        Precision::Auto => Dtype::Auto,
        Precision::F32 => Dtype::F32,
        Precision::Bf16 => Dtype::Bf16,
    };
    fits(args, dtype, &chosen, meter::free()).map_err(Failure::usage)?;
    let model = CausalLm::load(&args.model, dtype, args.seq as usize, &chosen.device);
    let figures = measure(args, &model.map_err(Failure::usage)?).map_err(Failure::failed)?;
    print(&if args.output.json { figures.json() } else { figures.text() });
    Ok(code::FINE)
}

/// The configuration by which steps are taken.
fn config(args: &BenchArgs) -> Config {
    let mut config = Config::default();
    config.train.batch_size = args.batch as usize;
    config.train.steps = Some(WARM_UP + u64::from(args.steps));
    config.train.gradient_checkpointing = args.checkpointing;
    config.train.schedule = Schedule::Constant;
    config.train.learning_rate = 2e-4;
    config.lora =
        config::Lora { r: args.rank as usize, alpha: 16.0, dropout: 0.05, ..config::Lora::default() };
    config
}

/// Bytes of a random token: its id, and whether it carries loss.
const OF_TOKEN: usize = 5;

/// Fails where rows are longer than the model knows positions, or would not fit the `free` bytes.
fn fits(args: &BenchArgs, dtype: Dtype, chosen: &Chosen, free: Option<u64>) -> Result<()> {
    open::folder(&args.model)?;
    let spec = Spec::of(&args.model)?;
    let (batch, length) = (args.batch as usize, args.seq as usize);
    ensure!(
        length <= spec.max_positions,
        "--seq {length}: the model knows {0} positions\n  hint: --seq {0}",
        spec.max_positions
    );
    let Some(free) = free else { return Ok(()) };
    let config = config(args);
    let tokens = batch.saturating_mul(length);
    let row = std::mem::size_of::<Example>() + OF_TOKEN * length;
    let rows = BATCHES.saturating_mul(batch).saturating_mul(row) as u64;
    let mut needed = rows;
    // Rows that fit are few enough for the rest to be counted. A device has memory of its own.
    if rows <= free && chosen.device.is_cpu() {
        let bytes = precision_of(&args.model, dtype, &chosen.device)?.size_in_bytes() as u64;
        let (adapter, kernels) = (AdapterConfig::new(&config.lora)?, Kernels::for_device(&chosen.device));
        let size = Size { tokens, targets: tokens };
        needed += Memory::of(&spec, &adapter, kernels, keep(&config.train), size, bytes).total();
    }
    ensure!(
        needed <= free,
        "--batch {batch} with --seq {length} takes {}{}, and {} are free\n  \
         hint: a smaller --batch, --seq or --rank, or --checkpointing, takes less",
        size(needed),
        if needed == rows { " for the rows alone" } else { "" },
        size(free)
    );
    Ok(())
}

fn measure(args: &BenchArgs, model: &CausalLm) -> Result<Figures> {
    let config = config(args);
    let mut adapter = Adapter::new(AdapterConfig::new(&config.lora)?, &model.spec, 0, &model.device)?;
    let mut optimiser = AdamW::new(&adapter, config.train.weight_decay)?;
    let rows = random_rows(BATCHES * args.batch as usize, args.seq as usize, model.spec.vocab as u32);
    let plan = Plan::new(&config, rows.len());
    let mut stepper = Stepper::new(model, &rows, None, &config, plan);
    let mut seconds = Vec::new();
    for step in 1..=plan.total_steps {
        let start = Instant::now();
        let stats = stepper.take(step, &mut adapter, &mut optimiser)?;
        ensure!(stats.loss.is_finite(), "the loss of step {step} is {}", stats.loss);
        if step > WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok(Figures {
        tokens: args.batch as usize * args.seq as usize,
        seconds,
        place: model.kernels.describe(&model.device),
        dtype: model.dtype.as_str(),
    })
}

/// Rows of random ids, every token of which carries loss.
fn random_rows(rows: usize, length: usize, vocab: u32) -> Vec<Example> {
    let mut random = ChaCha8Rng::seed_from_u64(123);
    let mut row = || Example {
        ids: (0..length).map(|_| random.random_range(0..vocab)).collect(),
        loss_mask: vec![true; length],
    };
    (0..rows).map(|_| row()).collect()
}

impl Figures {
    fn median(&self) -> f64 {
        let (below, above) = ((self.seconds.len() - 1) / 2, self.seconds.len() / 2);
        f64::midpoint(self.seconds[below], self.seconds[above])
    }

    fn rate(&self, seconds: f64) -> f64 {
        self.tokens as f64 / seconds
    }

    fn json(&self) -> String {
        let rounded = |value: f64| (10.0 * value).round() / 10.0;
        let document = json!({
            "impl": format!("tune-{}", self.dtype),
            "tok_s": rounded(self.rate(self.median())),
            "best": rounded(self.rate(self.seconds[0])),
            "ms": rounded(1e3 * self.median()),
            "peak_mb": peak_mb(),
            "device": self.place,
        });
        format!("{document}\n")
    }

    fn text(&self) -> String {
        let peak = peak_mb().map_or_else(|| "not known here".into(), |mb| format!("{mb} MiB"));
        format!(
            "{:.0} tokens/s (median of {}; best {:.0}), {:.1} ms a step, peak memory {peak}\n{}, {}\n",
            self.rate(self.median()),
            self.seconds.len(),
            self.rate(self.seconds[0]),
            1e3 * self.median(),
            self.place,
            self.dtype,
        )
    }
}

/// The largest resident memory that this process has had, in MiB, where the system tells it.
fn peak_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(seconds: &[f64]) -> Figures {
        Figures { tokens: 100, seconds: seconds.to_vec(), place: "cpu".into(), dtype: "f32" }
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(figures(&[1.0, 2.0, 9.0]).median(), 2.0);
        assert_eq!(figures(&[1.0, 2.0, 4.0, 9.0]).median(), 3.0);
        assert_eq!(figures(&[0.5]).rate(0.5), 200.0);
    }

    #[test]
    fn rows_are_full_and_inside_the_vocabulary() {
        let rows = random_rows(3, 7, 11);
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row.ids.len() == 7 && row.ids.iter().all(|&id| id < 11)));
        assert!(rows.iter().flat_map(|row| &row.loss_mask).all(|&mask| mask));
        assert_ne!(rows[0].ids, rows[1].ids);
    }
}
