//! What happened: the one vocabulary of a training run.
//!
//! The trainer emits these events, the run log stores them, foreign logs are turned into them and
//! the dashboard replays them. Nothing here reads a clock, a file or a configuration: time is added
//! by [`record::Record`], and [`sink::Sink`] says where events go.

pub mod metric;
pub mod num;
mod places;
pub mod record;
pub mod sink;
pub mod trainer;

pub use places::{Places, StepKind};

use serde::{Deserialize, Serialize};

/// One thing that happened in a run. Events of one run arrive in the order in which they happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The first event of a run, and the only one that describes it.
    RunStarted(Box<RunInfo>),
    /// The run goes on from a saved state. Events after `step` that came before this one are void.
    RunResumed(Resumed),
    /// One optimiser step was taken.
    Step(StepStats),
    /// One pass over a fixed evaluation set is complete.
    Eval(EvalStats),
    /// The model was given the prompts of a few rows and wrote on by itself.
    Generated(Generated),
    /// An adapter was written to the run folder.
    CheckpointSaved(CheckpointSaved),
    /// Something a reader should know that is neither a step nor an evaluation.
    Note(Note),
    /// The last event of a run that ended in an orderly way.
    RunEnded(RunEnded),
    /// An event of a later version of this program; readers pass over it.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// A note that must not be overlooked.
    pub fn warning(text: String) -> Self {
        Self::Note(Note { level: NoteLevel::Warning, text })
    }
}

/// What a run is: its size, its model, and the settings that advice depends on.
///
/// Everything that a foreign log may not tell is optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Version of the run log's format, [`record::FORMAT`].
    pub format: u32,
    /// Name of the run, for titles.
    pub name: String,
    /// Who writes: `tune`, or the name of a foreign trainer.
    pub trainer: String,
    pub model: Option<ModelInfo>,
    pub data: Option<DataInfo>,
    /// Optimiser steps that the run will take if nothing stops it.
    pub total_steps: Option<u64>,
    /// Optimiser steps in one pass over the training rows; what an epoch counts where epochs are counted.
    pub steps_per_epoch: Option<f64>,
    /// Where the steps are from, which many logs do not tell.
    #[serde(default)]
    pub step_kind: StepKind,
    /// Optimiser steps between two evaluations.
    pub eval_every: Option<u64>,
    /// What the numbers of [`StepStats::loss`] mean.
    #[serde(default)]
    pub train_loss: LossMeaning,
    /// What the numbers of [`EvalStats::loss`] mean.
    #[serde(default)]
    pub eval_loss: LossMeaning,
    #[serde(default)]
    pub settings: Settings,
    /// What a look at the rows found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<DataAudit>,
    /// Where the run was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

/// What a look at the rows found before training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataAudit {
    /// The sides of the split that have rows.
    pub sides: Vec<AuditedSide>,
    /// What the user was warned of: leaks between the sides, blank answers.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One side of the split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditedSide {
    pub split: String,
    pub rows: u64,
    pub tokens: u64,
    /// Tokens that carry loss.
    pub loss_tokens: u64,
    /// Tokens of the median row and of the longest.
    pub median: u64,
    pub longest: u64,
    /// Rows that were cut to the greatest length.
    pub cut: u64,
    /// Rows that say the same, or nearly the same, as an earlier one of this side.
    pub duplicates: u64,
    pub near_duplicates: u64,
}

/// Where a run was started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The program and its version.
    pub program: String,
    /// Operating system and architecture.
    pub system: String,
    /// Threads that the machine can run at a time.
    pub threads: u64,
}

/// The base model, as a reader wants it named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    pub name: String,
    /// All parameters of the frozen base.
    pub params: u64,
    /// Parameters of the adapter, which are the only ones trained.
    pub trainable: u64,
    /// Layers of the base.
    pub layers: usize,
    /// Vocabulary size: `ln(vocab)` is the loss of knowing nothing.
    pub vocab: usize,
    /// Where and how it computes, for example `cpu f32 (avx512)`.
    pub device: String,
    /// Checksum of the base's weights; 0 where unknown.
    #[serde(default)]
    pub checksum: u32,
}

/// How much data there is on each side of the split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataInfo {
    pub train_rows: u64,
    pub valid_rows: u64,
    pub test_rows: u64,
    /// Tokens of the training rows that carry loss, in one epoch.
    pub train_tokens: u64,
    /// Tokens of the validation rows that carry loss.
    pub valid_tokens: u64,
    /// Checksum of the training rows as tokens; 0 where unknown.
    #[serde(default)]
    pub train_checksum: u32,
    /// Checksum of the validation rows as tokens: runs of one checksum were judged by the same rows.
    #[serde(default)]
    pub valid_checksum: u32,
    /// Checksum of the test rows as tokens; 0 where unknown, and where there are none.
    #[serde(default)]
    pub test_checksum: u32,
}

/// The settings of a run that a finding or an advice may depend on; `None` where unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The configuration file as the user typed its path, to print commands ready to paste.
    pub config: Option<String>,
    /// The `--set` overrides the user gave, in order.
    #[serde(default)]
    pub overrides: Vec<String>,
    pub epochs: Option<f64>,
    pub learning_rate: Option<f64>,
    pub schedule: Option<String>,
    pub weight_decay: Option<f64>,
    pub batch_size: Option<usize>,
    pub lora_r: Option<usize>,
    pub lora_alpha: Option<f64>,
    pub lora_dropout: Option<f64>,
    pub early_stopping: Option<bool>,
}

/// What a loss figure means. Losses of unlike meaning are never subtracted from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossMeaning {
    pub unit: LossUnit,
    pub weighting: Weighting,
}

impl LossMeaning {
    /// Of training on preferences or rewards.
    pub const SURROGATE: Self = Self { unit: LossUnit::Surrogate, weighting: Weighting::Unknown };

    /// Cross entropy in nats, averaged over all tokens that carry loss: what `tune` itself reports.
    pub const NATS_PER_TOKEN: Self = Self { unit: LossUnit::NatsPerToken, weighting: Weighting::Token };

    /// Whether a figure of this meaning may be compared with one of `other`.
    pub fn comparable(self, other: Self) -> bool {
        self.unit == other.unit
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossUnit {
    NatsPerToken,
    /// Of preferences or rewards: margins, or a surrogate that is 0 while nothing has changed. No cross entropy.
    Surrogate,
    /// A foreign trainer's loss: taken to be of one unit throughout its own log.
    #[default]
    Unknown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Every token that carries loss counts the same.
    Token,
    /// Every batch counts the same, however many tokens it has.
    Batch,
    #[default]
    Unknown,
}

/// The run goes on from a saved state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    /// Optimiser steps already taken in the saved state.
    pub step: u64,
}

/// One optimiser step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepStats {
    /// Optimiser steps taken so far, this one included; the first step is 1.
    pub step: u64,
    /// Passes over the training rows so far, this step included; `None` where a foreign log does not say.
    #[serde(with = "num::option", default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<f64>,
    /// Training loss of this step's batch, before the update, dropout on.
    #[serde(with = "num")]
    pub loss: f64,
    /// Tokens that carried loss in this step.
    pub tokens: u64,
    /// All tokens computed in this step.
    pub input_tokens: u64,
    #[serde(with = "num::option", default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Global gradient norm before clipping; `None` where the trainer does not say.
    #[serde(with = "num::option", default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
}

/// Which rows an evaluation ran over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Held-out rows that decide about stopping and the best checkpoint.
    #[default]
    Valid,
    /// Held-out rows that decide about nothing.
    Test,
    /// A fixed sample of the training rows, evaluated as the held-out ones are.
    TrainProbe,
}

/// One evaluation: the mean loss over a fixed set, dropout off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvalStats {
    /// Optimiser steps taken before this evaluation; 0 is the untouched base.
    pub step: u64,
    /// Passes over the training rows so far; `None` where a foreign log does not say.
    #[serde(with = "num::option", default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<f64>,
    #[serde(default)]
    pub split: Split,
    /// Name of the evaluation set, where a trainer evaluates several; the first named one decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Mean over all tokens that carry loss, in the unit that [`RunInfo::eval_loss`] says.
    #[serde(with = "num")]
    pub loss: f64,
    /// Tokens that carried loss; 0 where unknown.
    pub tokens: u64,
    /// Share of those tokens that the model ranks first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_accuracy: Option<f64>,
    /// Task metrics of a foreign trainer, by their names in its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// Loss of every example, in the order of the set; empty where unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<ExampleLoss>,
}

/// A figure beside the loss, such as `accuracy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    pub name: String,
    #[serde(with = "num")]
    pub value: f64,
}

/// The loss of one example of an evaluation set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExampleLoss {
    /// Sum of the token losses in nats.
    #[serde(with = "num")]
    pub nats: f64,
    /// Tokens that carried loss.
    pub tokens: u32,
}

/// What the model writes when it is given the prompts of a fixed few rows of one side, greedily, and
/// how much of that is the rows themselves.
///
/// Recitation is told from skill by the same figures on the other side: a model that has learnt the
/// task regenerates held-out completions as well as trained ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// Optimiser steps taken before.
    pub step: u64,
    #[serde(with = "num::option", default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<f64>,
    /// [`Split::TrainProbe`] or [`Split::Valid`].
    pub split: Split,
    /// Prompts that were given.
    pub prompts: u32,
    /// Share of the prompts whose completion came back token by token.
    #[serde(with = "num")]
    pub exact: f64,
    /// Mean share of the 8-token sequences of the reference that occur in what was written (Carlini
    /// et al. 2023, arXiv 2202.07646, count runs of tokens likewise); of the whole reference where
    /// it is shorter.
    #[serde(with = "num")]
    pub overlap: f64,
    /// Mean share of the written 4-token sequences that were written before in the same text.
    #[serde(with = "num")]
    pub repetition: f64,
    /// Mean chrF of the completion against the reference, 0 to 1 (Popovic 2015): quality, where
    /// `exact` and `overlap` are recitation.
    #[serde(with = "num::option", default, skip_serializing_if = "Option::is_none")]
    pub chrf: Option<f64>,
    /// The first few, whole, for the reader.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}

/// One prompt, what the row says, and what the model says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub prompt: String,
    pub reference: String,
    pub output: String,
}

/// Which of the adapters of a run folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointRole {
    /// The adapter with the lowest validation loss so far.
    Best,
    /// The newest adapter, with the state that `--resume` needs.
    Last,
    /// The earliest adapter that is within one standard error of the best.
    Earliest,
}

/// An adapter was written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSaved {
    pub role: CheckpointRole,
    pub step: u64,
    /// Validation loss of this adapter, where it has been measured.
    #[serde(with = "num::option", default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// A remark for the reader of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub level: NoteLevel,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteLevel {
    Info,
    Warning,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEnded {
    pub reason: StopReason,
    /// Optimiser steps taken in all.
    pub step: u64,
    #[serde(with = "num::option", default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<f64>,
    /// The best validation point, whose adapter is in `best/`.
    pub best: Option<BestPoint>,
    /// Whether the model in memory was set back to the best adapter at the end.
    pub restored_best: bool,
}

/// Where the validation loss was lowest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestPoint {
    pub step: u64,
    #[serde(with = "num::option", default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<f64>,
    #[serde(with = "num")]
    pub loss: f64,
}

/// Why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All steps were taken.
    Finished,
    /// The early-stopping rule fired.
    EarlyStopping,
    /// The user asked for the end: the run is complete as it stands.
    Requested,
    /// Ctrl-C or a signal: the run can be resumed.
    Interrupted,
    /// The loss or the gradient was not a finite number.
    NonFinite,
}

impl StopReason {
    /// Whether the run is over for good, so that it cannot go on from where it was left.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::EarlyStopping | Self::NonFinite)
    }
}
