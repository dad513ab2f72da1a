//! `tune` fine-tunes language models with LoRA, and says the moment they overfit, and why.
//!
//! This page is the architecture: what the parts are, who knows whom, and where new things go.
//!
//! # Bird's eye
//!
//! Everything hangs on one stream of events that flows one way. The trainer emits [`event::Event`]s;
//! the run log stores them, the judgement reads them, the dashboard shows what came of it. A finished
//! run is replayed from its log through the same code, so it looks as it did live.
//!
//! ```text
//! config -> data -> model -> train --Event--> Sink = cli::wire( store::log -> run.jsonl
//!                                                               dashboard  (Monitor -> Snapshot -> view)
//!                                                               early stop (Monitor -> Diagnosis -> Stop) )
//! run.jsonl -> store --Record--> Monitor -> Snapshot -> { dashboard, report }
//! ```
//!
//! The one thing that flows backwards is what `emit` returns, [`event::sink::Control`]: it carries
//! Ctrl-C, the dashboard's keys and early stopping. So [`train`] knows nothing of who listens, and a
//! test drives it with a vector of events.
//!
//! # Modules, in layer order
//!
//! A module may name only modules above it, and of those only the ones that its work needs; the table
//! is in `tests/it/tidy.rs`.
//!
//! *Vocabulary*
//! - [`event`]: what happened; the events, their records in the log, and the sink they go to.
//! - [`config`]: what was asked; the keys, their documentation and defaults, every mistake at once.
//! - [`fmt`](mod@fmt): figures as people read them.
//!
//! *Computing*
//! - [`files`]: files that appear under their name only when they are whole.
//! - [`device`]: which device computes.
//! - [`kernel`]: the few operations that a decoder layer is made of, forward and backward: in candle
//!   for every device, and native for the CPU.
//! - [`data`]: rows to read, split, tokenise and lay out; host memory only.
//! - [`model`]: a frozen causal language model with an adapter; the embedded base model.
//! - [`train`]: the loop, the optimiser, the evaluations, the checkpoints.
//!
//! *Judging*
//! - [`curve`]: events folded into series aligned by step; smoothing and trends.
//! - [`diagnosis`]: what the curves say, with the evidence; advice is apart from the rules.
//! - [`monitor`]: the state of one run as its records come in, and the `Snapshot` that all readers share.
//! - [`report`]: a snapshot as text, as a picture, as a page and as a document for programs.
//!
//! *Shells*
//! - [`store`]: a run's folder and its log on the disk.
//! - [`ingest`]: the logs of other trainers, as the same records.
//! - [`dashboard`]: the screen of one run or many, its keys, the loop that draws.
//! - [`cli`]: the commands; the only place where all of these meet. The clock is read here, and by the
//!   loop that draws.
//!
//! # What does not occur
//!
//! Most of what keeps the parts apart is something missing, so it is easily lost; what can be seen in
//! the source as text is a test in `tests/it/tidy.rs`.
//!
//! - No files, clock, randomness or printing in [`curve`], [`diagnosis`], [`monitor`], [`report`],
//!   [`train::schedule`], [`train::plan`], [`train::likeness`], [`dashboard::message`],
//!   [`dashboard::update`], `dashboard::viewport`, `dashboard::export` and [`dashboard::view`]: the same records
//!   in, the same bytes out.
//! - No clock in the trainer: `cli::wire` stamps the events, the dashboard paces its frames.
//!   Throughput comes from stamps and token counts, so that a replayed run shows the figures it had.
//! - No tensor in [`data`]. No cuda but in [`device`] and [`kernel`], no terminal library but in
//!   [`dashboard`], no argument parser but in [`cli`].
//! - No `unsafe` but in `kernel::cpu`, in the two calls of `model::weights` that deal with a memory map and in `main.rs`.
//! - No finding without evidence. What to change in a job is said in [`diagnosis::advice`] alone.
//! - No loss without its meaning ([`event::LossMeaning`]); unlike losses are never subtracted.
//! - No bare float in the log: JSON has no NaN, and a run that diverged must be able to say so
//!   ([`event::num`]).
//! - No reader that a torn last line or an event of a later version would stop.
//! - No ignored test, no silenced lint: an exception is an `expect` with its reason.
//!
//! # For a stranger
//!
//! To read, in this order: [`event`], [`train`], [`diagnosis`], [`monitor`], [`dashboard::view`].
//!
//! Where would this go?
//! - *Another rule*: a file in `diagnosis/` with its evidence, the function that makes a `Finding` of curves, and its
//!   words; its variant in `diagnosis/finding.rs`, from where the compiler leads to every place that must know of it
//!   (verdict, kind, step, advice); its line in the list of rules; and curves in `tests/curves/` that it must and must
//!   not find.
//! - *Another trainer's log*: a file in `ingest/`, its line in [`event::trainer`], and a log with its truth in
//!   `tests/logs/`; [`ingest`] says how.
//! - *Another model family*: one file in `model/family/`, its line in the list there, and its fixture,
//!   which `tests/fixtures/models/make.py` makes with transformers and `tests/it/families.rs` holds it to.
//! - *Native CUDA kernels*: `kernel/cuda/`, one more variant of [`kernel::Kernels`], measured against
//!   `kernel/portable.rs` by the tests that the native CPU ones pass.
//! - *Another key*: one line of [`config`]; `--set`, the checks of its type and the commented
//!   `configs/default.toml` follow from it.

pub mod event;
pub mod config;
pub mod fmt;
pub mod files;
pub mod device;
pub use tune_kernel as kernel;
pub mod data;
pub mod model;
pub mod train;
pub mod curve;
pub mod diagnosis;
pub mod monitor;
pub mod report;
pub mod store;
pub mod ingest;
pub mod dashboard;
pub mod cli;
