//! What is known of a trainer by its name: what its losses are, and when it evaluates first.
//!
//! How its log is read is for `ingest`, and what its options are called for `diagnosis::advice`.

/// What the losses of a trainer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Losses {
    /// Of a language model, in nats a token, by construction.
    Language,
    /// Of a language model as a rule; but of margins, sums or what else its user trains as well.
    MostlyLanguage,
    /// Of trees on a table: often a share of wrong answers, never of text.
    Tabular,
    /// Of whatever its user trains.
    Any,
}

/// A trainer, or what holds figures where the trainer is not known.
#[derive(Clone, Copy, Debug)]
pub struct Trainer {
    /// As `--format` takes it and [`super::RunInfo::trainer`] has it.
    pub name: &'static str,
    pub losses: Losses,
    /// Whether an evaluation at step 0 is one before all training; others may have taken their first step, or grown
    /// their first tree, by then.
    pub evaluates_first: bool,
}

/// Every name that a source may go by: trainers, then containers.
pub const TRAINERS: &[Trainer] = {
    use Losses::{Any, Language, MostlyLanguage, Tabular};
    const fn trainer(name: &'static str, losses: Losses, evaluates_first: bool) -> Trainer {
        Trainer { name, losses, evaluates_first }
    }
    &[
        trainer("tune", Language, true),
        trainer("hf-trainer", MostlyLanguage, true),
        trainer("trl", MostlyLanguage, true),
        trainer("mlx-lm", Language, true),
        trainer("llama.cpp", Language, false),
        trainer("torchtune", Language, true),
        trainer("lightning", Any, false),
        trainer("keras", Any, false),
        trainer("fastai", Any, false),
        trainer("nanogpt", Language, true),
        trainer("litgpt", Language, true),
        trainer("llama-factory", MostlyLanguage, true),
        trainer("ms-swift", MostlyLanguage, true),
        trainer("xgboost", Tabular, false),
        trainer("lightgbm", Tabular, false),
        trainer("catboost", Tabular, false),
        trainer("tensorboard", Any, false),
        trainer("wandb", Any, false),
        trainer("mlflow", Any, false),
        trainer("csv", Any, false),
        trainer("jsonl", Any, false),
        trainer("text", Any, false),
    ]
};

/// The trainer that is called `name`; `None` for one that only a later version of this program knows.
pub fn of(name: &str) -> Option<&'static Trainer> {
    TRAINERS.iter().find(|trainer| trainer.name == name)
}
