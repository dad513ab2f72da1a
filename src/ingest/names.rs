//! Names of figures: which is a loss, of which side, and which is a step. `eval_mails_loss`,
//! `Loss/val`, `valid's l2` and `Validation perplexity` are all understood here; what
//! event files and their likes call a scalar is in [`super::roles`].
//!
//! A name is cut into its words. Only what is known to be lower for a better model counts as a loss;
//! everything else is a metric at most, so that an accuracy is never read upside down.

use crate::event::metric;

/// Which rows a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Train,
    Valid,
    Test,
}

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Lower is better. Of several in one row that of the lowest rank is taken: 0 a loss by name,
    /// 1 a likelihood by another name, 2 a distance, 3 an error rate, 4 one part of a loss.
    Loss(u8),
    /// The exponential of a loss.
    Perplexity,
    /// The step; of several names in one row that of the lowest rank is taken.
    Step(u8),
    /// `10/840`: the step in words, of so many.
    StepOf,
    /// How many steps the run will take.
    Total,
    Epoch,
    LearningRate,
    GradNorm,
    /// Words that say which side the row is of.
    Phase,
    /// Seconds, speeds: with a side, the mark of a summary or of an evaluation.
    Pace,
    /// Some other figure.
    Metric,
    /// A figure about figures: a best, a threshold, a weight.
    Aside,
}

/// A name, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub what: What,
    pub side: Option<Side>,
    /// Name of the evaluation set.
    pub set: Option<String>,
    /// Whether the figure is the mean of an epoch (`train_loss_epoch`), which is preferred.
    pub of_epoch: bool,
    /// Whether the figure is the decimal logarithm of what it is called (`log10_val_loss`).
    pub log10: bool,
}

/// Whether only TRL's trainers have a figure of this name, among those that are Hugging Face's.
pub fn of_trl(name: &[u8]) -> bool {
    // Asked of every figure, most of which have shorter names than any of these.
    if name.len() < 10 {
        return false;
    }
    let sides: [&[u8]; 3] = [b"eval_", b"train/", b"eval/"];
    let bare = sides.iter().find_map(|side| name.strip_prefix(*side)).unwrap_or(name);
    matches!(
        bare,
        b"num_tokens" | b"mean_token_accuracy" | b"rewards/accuracies" | b"rewards/chosen" | b"reward_std"
    )
}

/// Whether only training on preferences or rewards has a figure of this name: DPO, GRPO and the like.
pub fn of_reward(name: &[u8]) -> bool {
    words(name).iter().any(|word| word == "reward" || word == "rewards")
}

/// The longest name that is looked into.
const LONGEST: usize = 120;

/// The side that a word in letters of either case stands for.
pub fn side(word: &[u8]) -> Option<Side> {
    match lower(word, &mut [0; 12])? {
        b"train" | b"training" | b"learn" | b"tr" | b"trn" | b"dtrain" | b"fit" => Some(Side::Train),
        b"eval" | b"evaluation" | b"evaluating" | b"val" | b"valid" | b"validation" | b"validating"
        | b"dev" | b"va" | b"vld" | b"heldout" | b"holdout" | b"dval" | b"dvalid" | b"deval" => {
            Some(Side::Valid)
        }
        b"test" | b"testing" | b"te" | b"dtest" => Some(Side::Test),
        _ => None,
    }
}

/// A word in small letters, in room for the longest that is known; a longer one is none of those.
fn lower<'a>(word: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let lower = room.get_mut(..word.len())?;
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    Some(lower)
}

/// Whether a name is that of a figure which is known to rise as a model gets better.
pub fn rises(name: &[u8]) -> bool {
    let is_loss = matches!(read(name).what, What::Loss(_) | What::Perplexity);
    !is_loss && words(name).iter().any(|word| metric::word_rises(word) == Some(true))
}

/// Cuts a name into words: at everything that is neither letter nor digit, where small letters turn
/// into capitals, before the digits at the end of a word, and where a side and a loss are one word.
fn words(name: &[u8]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = b' ';
    for &byte in &name[..name.len().min(LONGEST)] {
        let inside = byte.is_ascii_alphanumeric();
        let turn = before.is_ascii_lowercase() && byte.is_ascii_uppercase()
            || byte.is_ascii_digit()
                && before.is_ascii_alphabetic()
                && words.last().is_some_and(|w| side(w.as_bytes()).is_some());
        if inside && (!before.is_ascii_alphanumeric() || turn) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| inside) {
            word.push(byte.to_ascii_lowercase().into());
        }
        before = byte;
    }
    let two = |word: String| match in_one_word(word.as_bytes()) {
        Some(Side::Train) => vec!["train".into(), "loss".into()],
        Some(Side::Valid) => vec!["valid".into(), "loss".into()],
        Some(Side::Test) => vec!["test".into(), "loss".into()],
        None => vec![word],
    };
    words.into_iter().flat_map(two).collect()
}

/// Understands a name.
pub fn read(name: &[u8]) -> Name {
    let other = |what| Name { what, side: None, set: None, of_epoch: false, log10: false };
    match name {
        b"loss" => return Name { side: None, ..other(What::Loss(0)) },
        b"eval_loss" => return Name { side: Some(Side::Valid), ..other(What::Loss(0)) },
        b"global_step/max_steps" => return other(What::StepOf),
        b"total_steps" => return other(What::Total),
        b"_step" => return other(What::Step(5)),
        _ => {}
    }
    let words = words(name);
    let mut rest: Vec<&str> = Vec::new();
    let mut found = other(What::Metric);
    for word in &words {
        match (side(word.as_bytes()), found.side) {
            // Train rows that are evaluated like held-out ones are neither.
            (Some(Side::Train), Some(Side::Valid)) => return other(What::Aside),
            // `eval_test_loss`: the set of that name. Else the first word decides, as in `train_test_split`.
            (Some(Side::Test), Some(Side::Valid)) | (None, _) => rest.push(word),
            (Some(side), first) => found.side = first.or(Some(side)),
        }
    }
    if rest.iter().any(|word| ASIDE.contains(word)) {
        return other(What::Aside);
    }
    if rest.iter().any(|word| PACE.contains(word)) {
        return Name { side: found.side, ..other(What::Pace) };
    }
    // `train_speed(iter/s)` stands in every row of some.
    if rest.iter().any(|word| SPEED.contains(word)) {
        return other(What::Aside);
    }
    if let Some(what) = place(&words, &rest) {
        return Name { side: found.side, ..other(what) };
    }
    // `held out loss` in words.
    if let Some(at) = rest.windows(2).position(|pair| pair == ["held", "out"]) {
        rest.drain(at..at + 2);
        found.side = Some(Side::Valid);
    }
    loss(&rest, found)
}

/// Whether a name has a word of [`ASIDE`].
pub fn is_aside(name: &[u8]) -> bool {
    words(name).iter().any(|word| ASIDE.contains(&word.as_str()))
}

/// Words of figures that are no points of a curve.
pub(super) const ASIDE: &[&str] = &[
    "best",
    "min",
    "minimum",
    "max",
    "maximum",
    "lowest",
    "highest",
    "final",
    "target",
    "threshold",
    "patience",
    "delta",
    "scale",
    "scaling",
    "scaler",
    "weight",
    "coef",
    "coeff",
    "lambda",
    "decreased",
    "increased",
    "improved",
    "improvement",
    "previous",
    "prev",
    "std",
    "stdev",
    "stderr",
    "var",
    "num",
    "warmup",
    "remaining",
    "initial",
    "init",
    "diff",
    "difference",
    "gap",
    "ratio",
    "did",
    "not",
    "from",
];
/// What only a summary or an evaluation has: `train_runtime`, `eval_samples_per_second`.
const PACE: &[&str] = &["runtime", "second"];
const SPEED: &[&str] =
    &["time", "seconds", "sec", "elapsed", "eta", "took", "speed", "throughput", "memory", "mem", "tok"];

/// What says where in the run a row is, or how it was trained.
fn place(words: &[String], rest: &[&str]) -> Option<What> {
    let last = *rest.last()?;
    // `INFO`, `__main__` and `root` are what Python's loggers write before.
    let only = |allowed: &[&str]| rest.iter().all(|word| allowed.contains(word));
    Some(match last {
        // `eval_steps` is a setting, `eval step` a place.
        "steps" | "iters" | "updates" if rest.len() < words.len() => return None,
        "step" | "steps" | "update" | "updates"
            if only(&[
                "global",
                "trainer",
                "current",
                "cur",
                "optimizer",
                "opt",
                "info",
                "main",
                "root",
                "at",
                last,
            ]) =>
        {
            What::Step(u8::from(!rest.iter().any(|word| matches!(*word, "global" | "current"))))
        }
        "iter" | "iters" | "iteration" | "iterations" | "it"
            if only(&["global", "current", "cur", "info", "main", "root", last]) =>
        {
            What::Step(2)
        }
        "batch" if rest.len() == 1 && words.len() == 1 => What::Step(3),
        "epoch" | "ep" if only(&["current", "cur", "info", "main", "root", "after", "finished", last]) => {
            What::Epoch
        }
        "lr" if rest.len() <= 2 => What::LearningRate,
        "rate" if rest.ends_with(&["learning", "rate"]) => What::LearningRate,
        "norm" | "gnorm" if last == "gnorm" || rest.iter().any(|word| word.starts_with("grad")) => {
            What::GradNorm
        }
        "phase" | "split" | "mode" | "stage" | "subset" if rest.len() == 1 && words.len() == 1 => What::Phase,
        _ if rest.first() == Some(&"lr") => What::LearningRate,
        _ => return None,
    })
}

/// The loss that a word of small letters stands for.
fn by_name(word: &[u8]) -> Option<What> {
    Some(match word {
        b"loss" | b"losses" => What::Loss(0),
        b"nll" | b"ce" | b"xent" | b"crossentropy" | b"logloss" | b"mlogloss" | b"deviance" | b"bpb"
        | b"bpc" => What::Loss(1),
        b"rmse" | b"mse" | b"mae" | b"l1" | b"l2" | b"mape" | b"rmsle" | b"huber" | b"mphe" | b"quantile" => {
            What::Loss(2)
        }
        b"error" | b"merror" | b"wer" | b"cer" => What::Loss(3),
        b"ppl" | b"perplexity" => What::Perplexity,
        _ => return None,
    })
}

/// The side whose loss a word of small letters is: `trainloss`. Of one letter it is not told: `vloss` is the loss of
/// held-out rows, or of the value.
fn in_one_word(word: &[u8]) -> Option<Side> {
    side(word.strip_suffix(b"loss")?)
}

/// Whether a word, or a part of it between underscores, stands for a loss.
pub fn speaks_of_loss(word: &[u8]) -> bool {
    let named = |part: &[u8]| by_name(part).is_some() || in_one_word(part).is_some();
    word.split(|byte| *byte == b'_').any(|part| lower(part, &mut [0; 16]).is_some_and(named))
}

/// Whether any word of a name stands for a loss.
pub fn any_of_loss(name: &[u8]) -> bool {
    name.split(|byte| !byte.is_ascii_alphanumeric()).any(speaks_of_loss)
}

/// A loss by any of its names, else a metric.
fn loss(rest: &[&str], mut found: Name) -> Name {
    let mut rank = None;
    let mut set: Vec<&str> = Vec::new();
    let has = |word: &str| rest.contains(&word);
    let unit = ["byte", "char", "character", "word"].into_iter().any(has);
    let of_bits = has("bits") && (found.side.is_some() || has("per") && unit);
    for (index, word) in rest.iter().enumerate() {
        let named = match *word {
            "entropy" if index > 0 && rest[index - 1] == "cross" => Some(What::Loss(1)),
            "epoch" => {
                found.of_epoch = true;
                continue;
            }
            "log10" => {
                found.log10 = true;
                continue;
            }
            // `val_bits`, `bits_per_byte`: how many of them are set aside for a weight is a setting.
            "bits" | "bit" if of_bits => Some(What::Loss(1)),
            "per" | "byte" | "char" | "character" | "word" if of_bits => continue,
            // Words that change nothing.
            "s" | "mean" | "avg" | "average" | "running" | "step" | "cross" | "binary" | "multi" | "log"
            | "set" | "the" | "is" | "and" | "of" | "lm" | "token" | "metrics" | "info" | "root"
            | "squared" | "absolute" | "value" | "total" | "model" | "curr" | "current" | "cur" => continue,
            word => by_name(word.as_bytes()),
        };
        match named {
            // The exponential of a loss may be named after it: `lm loss PPL`.
            Some(What::Perplexity) => rank = Some(What::Perplexity),
            // `l2 loss`, `rmse loss`, `ce loss`: the first name that is found is the one.
            Some(what) => rank = Some(rank.unwrap_or(what)),
            None => set.push(word),
        }
    }
    let Some(what) = rank else { return found };
    // A loss that is written plainly beside it is the better one.
    found.what = if found.log10 && matches!(what, What::Loss(_)) { What::Loss(4) } else { what };
    if !set.is_empty() {
        match found.side {
            Some(Side::Valid | Side::Test) => found.set = Some(set.join("_")),
            _ => found.what = What::Loss(4),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &str, what: What, side: Option<Side>, set: Option<&str>) {
        for name in names.split(", ") {
            let found = read(name.as_bytes());
            assert_eq!((found.what, found.side, found.set.as_deref()), (what, side, set), "{name}");
        }
    }

    #[test]
    fn losses_by_their_many_names() {
        let valid = Some(Side::Valid);
        check(
            "eval_loss, val/loss, validation_loss, Loss/val, valid loss, valLoss, val.loss",
            What::Loss(0),
            valid,
            None,
        );
        check(
            "Validation Loss, dev_loss, eval/avg_loss, held_out_loss, val_loss_epoch",
            What::Loss(0),
            valid,
            None,
        );
        check("eval_mails_loss, eval/mails_loss", What::Loss(0), valid, Some("mails"));
        check("eval_test_loss", What::Loss(0), valid, Some("test"));
        check("eval_train_loss, eval_train_sample_loss", What::Aside, None, None);
        check("eval-rmse, valid's l2, valid_l2, validation-mae", What::Loss(2), valid, None);
        check("eval-logloss, valid's binary_logloss, val_nll, val cross entropy", What::Loss(1), valid, None);
        check("validation_0-logloss, valid_0's binary_logloss", What::Loss(1), valid, Some("0"));
        check("val_bits, val_bits_per_byte, eval/bits_per_char", What::Loss(1), valid, None);
        check("log10_val_loss", What::Loss(4), valid, None);
        check("log10_train_loss", What::Loss(4), Some(Side::Train), None);
        check("val_ppl, validation perplexity, val loss PPL", What::Perplexity, valid, None);
        check("loss, avg_loss, Loss", What::Loss(0), None, None);
        check(
            "train_loss, train/loss, Training Loss, Loss/train, train_loss_step",
            What::Loss(0),
            Some(Side::Train),
            None,
        );
        check("trainloss, TrainLoss", What::Loss(0), Some(Side::Train), None);
        check("valloss, epoch_valloss, EvalLoss", What::Loss(0), valid, None);
        check("train's l2, train-rmse, learn rmse", What::Loss(2), Some(Side::Train), None);
        check("test_loss, Test set: Average loss", What::Loss(0), Some(Side::Test), None);
        check("aux_loss, commit_loss", What::Loss(4), None, None);
    }

    #[test]
    fn what_is_no_loss() {
        check("tloss, vloss, ploss", What::Metric, None, None);
        check("eval_accuracy, valid's auc, val_f1, eval/bleu", What::Metric, Some(Side::Valid), None);
        check(
            "best_val_loss, loss_scale, Validation loss decreased, min_delta, final loss",
            What::Aside,
            None,
            None,
        );
        check("eval_runtime, eval_samples_per_second", What::Pace, Some(Side::Valid), None);
        check("train_runtime, train_samples_per_second", What::Pace, Some(Side::Train), None);
        check("train_speed(iter/s), memory(GiB), tok/sec", What::Aside, None, None);
        check("entropy, accuracy, bits, quant_bits, bits_per_param", What::Metric, None, None);
        check("total_steps", What::Total, None, None);
        check("eval_iters, eval_steps", What::Metric, Some(Side::Valid), None);
    }

    #[test]
    fn what_rises_is_no_loss_whatever_it_is_called() {
        assert!(
            ["val_accuracy", "eval/F1", "valid's auc", "rouge1", "eval_em"]
                .iter()
                .all(|name| rises(name.as_bytes()))
        );
        assert!(
            !["val_loss", "perf", "accumulated", "eval/reward_loss"]
                .iter()
                .any(|name| rises(name.as_bytes()))
        );
    }

    #[test]
    fn where_in_the_run() {
        check("global_step, current_steps, trainer/global_step", What::Step(0), None, None);
        check("step, steps, Step, INFO - step", What::Step(1), None, None);
        check("iter, iteration, Iter", What::Step(2), None, None);
        check("epoch, Epoch", What::Epoch, None, None);
        check("lr, learning_rate, Learning Rate, lr-AdamW", What::LearningRate, None, None);
        check("grad_norm, gradient norm, gnorm", What::GradNorm, None, None);
        check("max_steps, warmup_steps", What::Aside, None, None);
    }
}
