//! What was asked: the configuration of a run, its sections, keys and defaults.
//!
//! Every key is declared once, with its documentation and its default; the `sections!` macro makes
//! of it the struct, its `Default` and the registry [`SECTIONS`], from which `load` knows the valid
//! keys and their types, and [`template`] makes a commented file. Reading files and `--set` is in
//! [`mod@load`], rules across keys are in [`check`], and the way back to text is in [`mod@write`]; [`schema`] is for editors.

#![expect(
    clippy::doc_markdown,
    clippy::doc_link_with_quotes,
    reason = "the documentation of a key is shown to users as well, who read it as plain text"
)]

pub mod check;
pub mod load;
pub mod schema;
mod value;
pub mod write;

pub use load::{ConfigError, key_called, load};
pub use value::{Holdout, Targets};
pub use write::{template, template_with};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use value::Kind;

/// One key of a section, as the user sees it.
pub struct Key {
    pub name: &'static str,
    /// The documentation, one line an entry.
    pub doc: &'static [&'static str],
    /// The default as TOML; `None` for a key that is absent by default.
    pub default: fn() -> Option<toml::Value>,
    /// What a value is, in words that follow "expected".
    pub expects: &'static str,
    /// A value as it is written in the file, for a key that is absent by default.
    pub example: &'static str,
    /// Whether a value has the right type.
    pub accepts: fn(toml::Value) -> bool,
}

/// One section, in the order of the file.
pub struct Section {
    pub name: &'static str,
    pub doc: &'static [&'static str],
    pub keys: &'static [Key],
}

macro_rules! sections {
    ($(
        $(#[doc = $sdoc:literal])*
        $section:ident: $Section:ident {
            $( $(#[doc = $doc:literal])* $key:ident: $Type:ty = $default:expr, )*
        }
    )*) => {
        /// Everything a run can be told. Sections and keys are those of the file.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config { $( $(#[doc = $sdoc])* pub $section: $Section, )* }

        $(
            $(#[doc = $sdoc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $Section { $( $(#[doc = $doc])* pub $key: $Type, )* }

            impl Default for $Section {
                fn default() -> Self { Self { $( $key: $default, )* } }
            }
        )*

        /// Every section and key, in the order of the file.
        pub const SECTIONS: &[Section] = &[$( Section {
            name: stringify!($section),
            doc: &[$($sdoc),*],
            keys: &[$( Key {
                name: stringify!($key),
                doc: &[$($doc),*],
                default: || {
                    let value: $Type = $default;
                    toml::Value::try_from(value).ok()
                },
                expects: <$Type as Kind>::EXPECTS,
                example: <$Type as Kind>::EXAMPLE,
                accepts: |value| <$Type as Deserialize>::deserialize(value).is_ok(),
            }, )*],
        }, )*];
    };
}

sections! {
    /// The frozen base model.
    model: Model {
        /// `builtin`, or a folder in Hugging Face form: config.json, *.safetensors, tokenizer.json.
        path: String = "builtin".into(),
        /// How the frozen weights are kept: auto (bf16 where the files hold bf16 or the processor multiplies it, else f32), f32 or bf16. Adapters and sums are f32.
        dtype: Dtype = Dtype::Auto,
    }

    /// The adapter that is trained.
    lora: Lora {
        /// Rank: how many directions each adapted matrix may change in.
        r: usize = 16,
        /// The adapter's product is scaled by alpha / r (by alpha / sqrt(r) with rslora).
        alpha: f64 = 32.0,
        /// Share of the adapter's inputs zeroed at random in each training step, from 0 to below 1.
        dropout: f64 = 0.0,
        /// Which matrices are adapted: "all-linear", or a list such as ["q_proj", "v_proj"].
        targets: Targets = Targets::AllLinear,
        /// Rank-stabilised scaling: alpha / sqrt(r) in place of alpha / r.
        rslora: bool = false,
    }

    /// What is learnt, and what is held out.
    data: Data {
        /// Rows to learn from, JSON Lines or CSV.
        train: PathBuf = "datasets/support-emails.jsonl".into(),
        /// What is held out to judge by: a fraction of the rows, a number of rows, or a file.
        valid: Holdout = Holdout::Fraction(0.1),
        /// A file of rows that are evaluated once, at the end, and decide about nothing.
        test: Option<PathBuf> = None,
        /// Rows longer than this many tokens are cut.
        max_length: usize = 512,
        /// Loss on completions only; false trains on prompts too.
        mask_prompt: bool = true,
        /// Seed of the split.
        seed: u64 = 0,
    }

    /// How it is learnt.
    train: Train {
        /// Passes over the training rows. Give this or `steps`.
        epochs: f64 = 10.0,
        /// Optimiser steps in all, in place of `epochs`.
        steps: Option<u64> = None,
        /// Rows computed together.
        batch_size: usize = 8,
        /// Batches summed before each optimiser step.
        gradient_accumulation: usize = 1,
        /// Keep the input of each layer alone and compute the rest again on the way back: a third slower, in a fraction of the memory.
        gradient_checkpointing: bool = false,
        /// The highest learning rate of the schedule.
        learning_rate: f64 = 1e-3,
        /// What the learning rate does after the warm-up: constant, linear or cosine (both down to 0).
        schedule: Schedule = Schedule::Cosine,
        /// Share of all steps during which the learning rate climbs from 0.
        warmup_ratio: f64 = 0.03,
        /// AdamW's decoupled weight decay of the adapter.
        weight_decay: f64 = 0.01,
        /// Gradients are scaled down to this global norm; 0 switches clipping off.
        max_grad_norm: f64 = 1.0,
        /// Seed of the adapter's start, the order of the rows and dropout.
        seed: u64 = 0,
    }

    /// Variations of the training rows, other ones in each epoch; held-out rows are never touched. Prompts alone are varied, and of them no word with a digit or sign in it and no name that the answer repeats.
    augment: Augment {
        /// Share of the words of a prompt that are left out.
        word_dropout: f64 = 0.0,
        /// Share of the words of a prompt that are misspelt: two letters swapped, one left out or doubled.
        typos: f64 = 0.0,
        /// Share of the words of a prompt that lose their punctuation.
        drop_punctuation: f64 = 0.0,
        /// Share of the prompts that are written without capitals.
        lowercase: f64 = 0.0,
        /// Share of the prompts whose sentences change places within their line: only where their order tells nothing.
        shuffle_sentences: f64 = 0.0,
        /// NEFTune: uniform noise of up to this, over the root of tokens times width, on the embeddings of training rows; 5 to 15 in its paper, 0 for none.
        neftune_noise_alpha: f64 = 0.0,
    }

    /// When the held-out rows are evaluated. There is always one evaluation before the first step and one after the last.
    eval: Eval {
        /// Passes over the training rows between evaluations. Give this or `every_steps`.
        every_epochs: f64 = 0.5,
        /// Optimiser steps between evaluations, in place of `every_epochs`.
        every_steps: Option<u64> = None,
        /// Rows evaluated together.
        batch_size: usize = 8,
    }

    /// What is asked of the model beside the held-out rows, at each of their evaluations.
    probe: Probe {
        /// Training rows, always the same ones, whose loss is measured as that of the held-out rows is, dropout off; 0 for none. Each costs as much as a held-out row.
        rows: usize = 32,
        /// Prompts of each side, always the same ones, that the model continues by itself: recitation on the training side and skill on the other are seen and counted. 0 for none.
        prompts: usize = 3,
        /// Most tokens of each continuation.
        max_tokens: usize = 24,
    }

    /// When to stop before the end.
    early_stopping: EarlyStopping {
        /// Whether the rule below may end the run.
        enabled: bool = true,
        /// patience, verdict (tune's own judgement: overfitting, memorising or diverged at warn), or Prechelt's gl, pq or up.
        rule: StopRule = StopRule::Patience,
        /// For patience: evaluations in a row without an improvement that end the run.
        patience: usize = 3,
        /// For gl: percent above the lowest loss (5 if not given); for pq: gl over the progress of training (0.75); for up: rises in a row, of five evaluations each (2).
        threshold: Option<f64> = None,
        /// For patience: how much lower than the best the loss must be to count as an improvement, relative to the best.
        min_delta: f64 = 0.0,
        /// Evaluate the test rows with the best adapter, not with the last one. Both are kept, in best/ and last/.
        restore_best: bool = true,
    }

    /// Where the run is kept.
    output: Output {
        /// Folder in which each run makes a folder of its own.
        dir: PathBuf = "runs".into(),
    }
}

/// Precision of the frozen base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// bf16 where the files hold no more than that or the device multiplies it, else f32.
    Auto,
    F32,
    Bf16,
}

/// What ends a run early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopRule {
    /// No improvement on the best for a number of evaluations.
    Patience,
    /// The judgement of the run.
    Verdict,
    /// Generalisation loss (Prechelt 1998), as the next two.
    Gl,
    /// Generalisation loss over the progress of training.
    Pq,
    /// Rises from strip to strip.
    Up,
}

/// Shape of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    Constant,
    Linear,
    Cosine,
}

impl Schedule {
    /// The name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Linear => "linear",
            Self::Cosine => "cosine",
        }
    }
}
