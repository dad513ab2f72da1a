//! What a scalar is by its name, as `TensorBoard`, W&B and `MLflow` have it: the train loss, the loss
//! of an evaluation set, a learning rate, a task metric, or nothing to us.
//!
//! Names are read as words: `eval/mails_loss`, `val_loss`, `valid.loss` and `Loss/validation` all say
//! whose loss they are. Nothing is counted and nothing is grouped here.

use super::names;
use crate::event::metric;

/// What a scalar is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A loss on training rows, of one step or of an epoch.
    TrainLoss(Grain),
    /// A loss on held-out rows: of the only set, or of the one with this name.
    EvalLoss(Option<String>),
    TestLoss,
    LearningRate,
    GradNorm,
    Epoch,
    /// A figure of an evaluation that is no loss, under the name that the log has for it.
    EvalMetric,
    /// The training step, in a log whose rows are numbered otherwise; the lowest number is the surest.
    Step(u8),
    /// Seconds since 1970, in a log whose rows are stamped.
    Time,
    /// What is said of the whole training at its end.
    Summary,
    Ignored,
}

/// How much a train loss is the mean of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    /// One step, or the steps since the figure before.
    Steps,
    /// A whole epoch.
    Epoch,
}

/// Which rows all the scalars of a file are about, where its place says so and their names do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Train,
    Eval,
}

impl Side {
    /// What a folder called `name` holds: Keras writes `train/` and `validation/`, `CatBoost` `learn/`
    /// and `test/`.
    pub fn of_folder(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" | "learn" => Some(Self::Train),
            "validation" | "valid" | "val" | "eval" | "test" | "dev" => Some(Self::Eval),
            _ => None,
        }
    }

    /// What a folder holds that is of one series: `add_scalars("loss", {"train": .., "val": ..})` writes the
    /// scalar `loss` into the folders `loss_train` and `loss_val`, or into those two within `loss`.
    pub(super) fn of_series(folder: &str, scalar: &str) -> Option<Self> {
        let (series, side) = series_of_folder(folder)?;
        let of_it = series == "loss" || series == scalar.to_ascii_lowercase().replace('/', "_");
        of_it.then_some(side)
    }
}

/// The name of a folder without what says whose series it holds, where it says that: what the folders
/// of `add_scalars` have in common.
pub(super) fn series_of_folder(name: &str) -> Option<(String, Side)> {
    let lower = name.to_ascii_lowercase();
    let side = lower.split('_').find_map(side_word)?;
    let side = if side == Named::Train { Side::Train } else { Side::Eval };
    let rest: Vec<&str> = lower.split('_').filter(|word| side_word(word).is_none()).collect();
    Some((rest.join("_"), side))
}

/// Whether a word of the name of an evaluation figure says that it is about how good the answers are.
fn is_metric(word: &str) -> bool {
    metric::word_rises(word).is_some()
}

/// What the scalar called `name` is, in a file about `side`.
pub(super) fn role(name: &str, side: Option<Side>) -> Role {
    let lower = name.to_ascii_lowercase();
    if let Some(rank) = step_rank(&lower) {
        return Role::Step(rank);
    }
    if lower == "_timestamp" {
        return Role::Time;
    }
    // As the Hugging Face trainer has it.
    if lower.ends_with("train_runtime") {
        return Role::Summary;
    }
    let mut words: Vec<&str> =
        lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.ends_with(&["learning", "rate"]) || words.first() == Some(&"lr") || words.last() == Some(&"lr") {
        return Role::LearningRate;
    }
    if words.ends_with(&["grad", "norm"]) || words.ends_with(&["gradient", "norm"]) {
        return Role::GradNorm;
    }
    let named = words.iter().find_map(|word| side_word(word));
    if words.last() == Some(&"epoch") && words.len() - usize::from(named.is_some()) == 1 {
        return Role::Epoch;
    }
    // `train_loss_epoch` of Lightning and `epoch_loss` of Keras are means of an epoch.
    let grain = grain(&mut words);
    // As `names::read` has it: of sets called after other sides, that of test rows is one, that of train rows none.
    let of_eval = |word: &str, side| named == Some(Named::Eval) && side_word(word) == Some(side);
    if words.iter().any(|word| of_eval(word, Named::Train)) {
        return Role::Ignored;
    }
    words.retain(|word| side_word(word).is_none() || of_eval(word, Named::Test));
    words.iter_mut().filter(|word| **word == "losses").for_each(|word| *word = "loss");
    // Keras plots its evaluations once more, over the iterations; `best_val_loss` is the lowest so far.
    if words.contains(&"vs") || words.iter().any(|word| names::ASIDE.contains(word)) {
        return Role::Ignored;
    }
    let side = match (named, side) {
        (Some(named), _) => named,
        (None, Some(Side::Train) | None) => Named::Train,
        (None, Some(Side::Eval)) => Named::Eval,
    };
    match (side, words.as_slice()) {
        // The mean of a whole run at its end: `train/train_loss` of the Hugging Face trainer.
        (Named::Train, ["loss"]) if repeats_side(&lower) => Role::Ignored,
        (Named::Train, ["loss"]) => Role::TrainLoss(grain),
        (Named::Test, ["loss"]) => Role::TestLoss,
        // The figure of one batch of an evaluation; its mean is beside it.
        (Named::Eval, [.., "loss"]) if lower.ends_with("_step") => Role::Ignored,
        (Named::Eval, ["loss"]) => Role::EvalLoss(None),
        (Named::Eval, [set @ .., "loss"]) => Role::EvalLoss(Some(set.join("_"))),
        (Named::Eval, words) if words.iter().any(|word| is_metric(word)) => Role::EvalMetric,
        _ => Role::Ignored,
    }
}

/// The functions that `CatBoost` minimises, or measures and wants low.
const OBJECTIVES: &[&str] = &[
    "rmse",
    "multirmse",
    "rmsewithuncertainty",
    "logloss",
    "multilogloss",
    "crossentropy",
    "multicrossentropy",
    "multiclass",
    "multiclassonevsall",
    "focal",
    "brierscore",
    "mae",
    "mape",
    "smape",
    "msle",
    "medianabsoluteerror",
    "quantile",
    "multiquantile",
    "loglinquantile",
    "expectile",
    "huber",
    "logcosh",
    "fairloss",
    "lq",
    "poisson",
    "tweedie",
    "cox",
    "survivalaft",
    "hingeloss",
    "zerooneloss",
    "hammingloss",
    "pairlogit",
    "pairlogitpairwise",
    "queryrmse",
    "querysoftmax",
    "querycrossentropy",
];

/// Whether a `CatBoost` file calls a loss so, where nothing in it is called a loss. Behind a colon are
/// its parameters, as in `Huber:delta=1.0`, or the number of a test set.
pub(super) fn is_objective(name: &str) -> bool {
    let bare = name.split(':').next().unwrap_or_default();
    OBJECTIVES.contains(&&*bare.to_ascii_lowercase())
}

/// The column of a `CatBoost` table that holds such a loss, as any other calls it: `Huber:delta=1.0:1`
/// is the loss of the set with the number 1.
pub(super) fn objective(column: &[u8]) -> Option<Vec<u8>> {
    let column = std::str::from_utf8(column).ok().filter(|column| is_objective(column))?;
    let set = column.rsplit(':').next().filter(|set| set.bytes().all(|byte| byte.is_ascii_digit()));
    Some(set.map_or_else(|| "loss".to_owned(), |set| format!("loss:{set}")).into_bytes())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Train,
    Eval,
    Test,
}

fn side_word(word: &str) -> Option<Named> {
    match word {
        "train" | "training" | "learn" => Some(Named::Train),
        "eval" | "evaluation" | "val" | "valid" | "validation" | "dev" | "heldout" => Some(Named::Eval),
        "test" => Some(Named::Test),
        _ => None,
    }
}

fn repeats_side(lower: &str) -> bool {
    lower == "train/train_loss" || lower == "train_train_loss"
}

/// Takes the word for the grain out of a name.
fn grain(words: &mut Vec<&str>) -> Grain {
    if words.len() < 2 {
        return Grain::Steps;
    }
    let (first, last) = (words[0], words[words.len() - 1]);
    match (first, last) {
        ("epoch", _) => {
            words.remove(0);
            Grain::Epoch
        }
        (_, "epoch") => {
            words.pop();
            Grain::Epoch
        }
        ("batch" | "iter", _) => {
            words.remove(0);
            Grain::Steps
        }
        (_, "step") => {
            words.pop();
            Grain::Steps
        }
        _ => Grain::Steps,
    }
}

fn step_rank(lower: &str) -> Option<u8> {
    Some(match lower {
        "train/global_step" | "trainer/global_step" | "global_step" => 0,
        "train/step" | "step" | "iteration" | "iter" | "current_steps" => 1,
        "_step" => 2,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are() {
        let set = |name: &str| Role::EvalLoss(Some(name.to_owned()));
        let (step, epoch) = (Role::TrainLoss(Grain::Steps), Role::TrainLoss(Grain::Epoch));
        for (name, expected) in [
            ("train/loss", step.clone()),
            ("loss", step.clone()),
            ("train_loss", step.clone()),
            ("Loss/train", step.clone()),
            ("train_loss_step", step.clone()),
            ("batch_loss", step),
            ("train_loss_epoch", epoch.clone()),
            ("epoch_loss", epoch),
            ("eval/loss", Role::EvalLoss(None)),
            ("eval_loss", Role::EvalLoss(None)),
            ("val_loss", Role::EvalLoss(None)),
            ("Loss/validation", Role::EvalLoss(None)),
            ("val_loss_epoch", Role::EvalLoss(None)),
            ("epoch_val_loss", Role::EvalLoss(None)),
            ("eval/mails_loss", set("mails")),
            ("eval/g0/loss", set("g0")),
            ("eval/test_loss", set("test")),
            ("test/loss", Role::TestLoss),
            ("train/learning_rate", Role::LearningRate),
            ("lr-AdamW/pg1", Role::LearningRate),
            ("train/grad_norm", Role::GradNorm),
            ("train/epoch", Role::Epoch),
            ("epoch", Role::Epoch),
            ("eval/mean_token_accuracy", Role::EvalMetric),
            ("val_acc", Role::EvalMetric),
            ("trainer/global_step", Role::Step(0)),
            ("_step", Role::Step(2)),
        ] {
            assert_eq!(role(name, None), expected, "{name}");
        }
        for name in [
            "train/train_loss",
            "val_loss_step",
            "eval/runtime",
            "eval/samples_per_second",
            "train/aux_loss",
            "evaluation_loss_vs_iterations",
            "system/gpu.0.loss_of_power",
            "train/num_tokens",
            "best_val_loss",
            "eval/train_loss",
            "eval/min_loss",
            "",
            "epoch_learning",
        ] {
            assert_eq!(role(name, None), Role::Ignored, "{name}");
        }
    }

    #[test]
    fn a_folder_says_whose_a_nameless_loss_is() {
        let eval = Side::of_folder("Validation");
        assert_eq!(role("epoch_loss", eval), Role::EvalLoss(None));
        assert_eq!(role("epoch_accuracy", eval), Role::EvalMetric);
        assert_eq!(role("epoch_loss", Side::of_folder("train")), Role::TrainLoss(Grain::Epoch));
        assert_eq!(Side::of_folder("runs"), None);
        for (folder, scalar, side) in [
            ("loss_val", "loss", Some(Side::Eval)),
            ("Loss_nets_train", "Loss/nets", Some(Side::Train)),
            ("valid_loss", "losses", Some(Side::Eval)),
            ("test_run", "loss", None),
            ("bert_val_split", "loss", None),
            ("loss_scaled", "loss", None),
        ] {
            assert_eq!(Side::of_series(folder, scalar), side, "{folder} {scalar}");
        }
    }
}
