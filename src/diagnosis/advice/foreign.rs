//! Advice for a run of another trainer, in that trainer's own options: the one table of their names.
//!
//! What another trainer was told is seldom in its log, so nothing here depends on settings but where
//! they are known; and there is no command to paste, for nobody knows how it was started.

use super::{Advice, exponent, more_data};
use crate::diagnosis::finding::{ExactZeros, Rise};
use crate::diagnosis::{Diagnosis, Epochs, Evidence};
use crate::event::{BestPoint, RunInfo, trainer};
use crate::fmt::{counted, fixed};

/// How a trainer names what advice is about; `None` where it has no such option, or one that is only
/// in the user's own code.
struct Options {
    trainers: &'static [&'static str],
    /// Of the length of a run, and whether it counts epochs (else steps, or rounds).
    length: (&'static str, bool),
    /// What keeps or restores the best model.
    keep_best: Option<&'static str>,
    dropout: Option<&'static str>,
    decay: Option<&'static str>,
    rate: Option<&'static str>,
    warmup: Option<&'static str>,
    /// How it is told to evaluate on held-out rows.
    evaluate: Option<&'static str>,
}

const TABLE: &[Options] = &[
    Options {
        trainers: &["hf-trainer", "trl", "llama-factory", "ms-swift"],
        length: ("--num_train_epochs", true),
        keep_best: Some("--load_best_model_at_end true --metric_for_best_model eval_loss"),
        dropout: Some("lora_dropout"),
        decay: Some("--weight_decay"),
        rate: Some("--learning_rate"),
        warmup: Some("--warmup_steps"),
        evaluate: Some("eval_dataset=... and --eval_strategy steps --eval_steps 20"),
    },
    Options {
        trainers: &["mlx-lm"],
        length: ("--iters", false),
        keep_best: Some("--save-every, and the adapter file of the best iteration"),
        dropout: Some("dropout under lora_parameters of the config"),
        decay: Some("weight_decay under optimizer_config of the config, or fewer --num-layers"),
        rate: Some("--learning-rate"),
        warmup: Some("warmup under lr_schedule of the config"),
        evaluate: Some("a valid.jsonl beside train.jsonl, and --steps-per-eval"),
    },
    Options {
        trainers: &["llama.cpp"],
        length: ("-epochs", true),
        keep_best: Some("a shorter run, for it saves the last model only"),
        dropout: None,
        decay: Some("-wd"),
        rate: Some("-lr"),
        warmup: None,
        evaluate: Some("-val-split 0.1"),
    },
    Options {
        trainers: &["torchtune"],
        length: ("epochs=", true),
        keep_best: Some("the checkpoint of the best epoch"),
        dropout: Some("model.lora_dropout="),
        decay: Some("optimizer.weight_decay="),
        rate: Some("optimizer.lr="),
        warmup: Some("lr_scheduler.num_warmup_steps="),
        evaluate: Some("dataset_val and run_val_every_n_steps=20, in the recipes that have them"),
    },
    Options {
        trainers: &["litgpt"],
        length: ("--train.epochs", true),
        keep_best: Some("the checkpoint nearest to the best evaluation (--train.save_interval)"),
        dropout: Some("--lora_dropout"),
        decay: None,
        rate: None,
        warmup: Some("--train.lr_warmup_steps"),
        evaluate: Some("--eval.interval 20 and --data.val_split_fraction 0.1"),
    },
    Options {
        trainers: &["nanogpt"],
        length: ("--max_iters", false),
        keep_best: Some("--always_save_checkpoint=False, which keeps the best"),
        dropout: Some("--dropout"),
        decay: Some("--weight_decay"),
        rate: Some("--learning_rate"),
        warmup: Some("--warmup_iters"),
        evaluate: Some("--eval_interval"),
    },
    Options {
        trainers: &["lightning"],
        length: ("Trainer(max_epochs=...)", true),
        keep_best: Some("ModelCheckpoint(monitor=\"val_loss\") and EarlyStopping"),
        dropout: None,
        decay: None,
        rate: None,
        warmup: None,
        evaluate: Some("a validation_step and Trainer.fit(val_dataloaders=...)"),
    },
    Options {
        trainers: &["keras"],
        length: ("fit(epochs=...)", true),
        keep_best: Some("EarlyStopping(restore_best_weights=True)"),
        dropout: Some("layers.Dropout"),
        decay: Some("AdamW(weight_decay=...)"),
        rate: Some("the optimizer's learning_rate"),
        warmup: None,
        evaluate: Some("fit(validation_split=0.1)"),
    },
    Options {
        trainers: &["fastai"],
        length: ("n_epoch", true),
        keep_best: Some("SaveModelCallback(monitor=\"valid_loss\")"),
        dropout: None,
        decay: Some("wd"),
        rate: Some("lr_max"),
        warmup: Some("pct_start"),
        evaluate: Some("valid_pct=0.1 in the DataLoaders"),
    },
    Options {
        trainers: &["xgboost"],
        length: ("num_boost_round", false),
        keep_best: Some("early_stopping_rounds"),
        dropout: None,
        decay: Some("lambda"),
        rate: Some("eta"),
        warmup: None,
        evaluate: Some("evals=[(dtrain, \"train\"), (dvalid, \"eval\")]"),
    },
    Options {
        trainers: &["lightgbm"],
        length: ("num_iterations", false),
        keep_best: Some("early_stopping_round"),
        dropout: None,
        decay: Some("lambda_l2"),
        rate: Some("learning_rate"),
        warmup: None,
        evaluate: Some("valid_sets=[valid]"),
    },
    Options {
        trainers: &["catboost"],
        length: ("iterations", false),
        keep_best: Some("use_best_model and od_wait"),
        dropout: None,
        decay: Some("l2_leaf_reg"),
        rate: Some("learning_rate"),
        warmup: None,
        evaluate: Some("fit(eval_set=...)"),
    },
];

/// Of a trainer that nobody knows: a plain table, or a container that many write to.
const UNKNOWN: Options = Options {
    trainers: &[],
    length: ("", true),
    keep_best: None,
    dropout: None,
    decay: None,
    rate: None,
    warmup: None,
    evaluate: None,
};

/// What to do, most useful first.
pub(super) fn advise(diagnosis: &Diagnosis, run: &RunInfo) -> Vec<Advice> {
    let options = options_of(run);
    // The best is known from the rise alone, whatever else was found.
    let risen = diagnosis.findings.iter().find_map(|finding| match &finding.evidence {
        Evidence::Rise(rise) => Some(rise),
        _ => None,
    });
    let (first, epochs) = (diagnosis.set.as_deref(), diagnosis.epochs);
    let keep = |best: BestPoint| use_best(options, best, first, epochs, run);
    let shorten = |rise, set| against_overfitting(options, rise, set, epochs, run);
    let cures = diagnosis.findings.iter().map(|finding| match &finding.evidence {
        Evidence::Rise(rise) => shorten(Some(rise), first),
        Evidence::SetRise(found) => shorten(Some(&found.rise), Some(found.set.as_str())),
        Evidence::NearZeroTrain(_) | Evidence::Recited(_) | Evidence::Staircase(_) => shorten(risen, first),
        Evidence::Thrown(found) => {
            against_divergence(options, found.throw.learning_rate, Some(keep(best_of(&found.rise))))
        }
        Evidence::Explosion(rise) => {
            against_divergence(options, run.settings.learning_rate, Some(keep(best_of(rise))))
        }
        Evidence::NonFinite(found) if found.train_loss.is_some() => {
            against_broken_eval(options, found.best.map(keep))
        }
        Evidence::NonFinite(found) => {
            against_divergence(options, run.settings.learning_rate, found.best.map(keep))
        }
        Evidence::AboveChance(_) => against_divergence(options, run.settings.learning_rate, None),
        Evidence::ExactZeros(found) => against_zeros(options, found, found.best.map(keep), run),
        Evidence::NothingLearnt(found) => against_underfitting(options, found.learning_rate),
        Evidence::Disagreement(_)
        | Evidence::LeakSign(_)
        | Evidence::OtherScale(_)
        | Evidence::Flat(_)
        | Evidence::Tie(_)
        | Evidence::NewestAbove(_)
        | Evidence::StillFalling(_)
        | Evidence::Gap(_)
        | Evidence::FewRows(_) => Vec::new(),
    });
    // As for our own runs: the gravest that has a cure.
    cures.into_iter().find(|advice| !advice.is_empty()).unwrap_or_default()
}

fn options_of(run: &RunInfo) -> &'static Options {
    TABLE.iter().find(|options| options.trainers.contains(&run.trainer.as_str())).unwrap_or(&UNKNOWN)
}

/// What a run without evaluations lacks.
pub(super) fn evaluate(run: &RunInfo) -> Vec<Advice> {
    let how = options_of(run).evaluate.map_or(String::new(), |how| format!(" ({how})"));
    said(vec![format!(
        "Hold some rows out and evaluate on them while it trains{how}: the train loss falls in a healthy run and in \
         one that recites its rows."
    )])
}

/// `set` is the evaluation set that has risen, where it has a name.
fn against_overfitting(
    options: &Options,
    rise: Option<&Rise>,
    set: Option<&str>,
    epochs: Epochs,
    run: &RunInfo,
) -> Vec<Advice> {
    let mut texts = Vec::new();
    if let Some(rise) = rise {
        texts.push(use_best(options, best_of(rise), set, epochs, run));
        texts.push(if rise.never_improved {
            lower_rate(options, None, "the first evaluation is still the best one")
        } else {
            train_shorter(options, rise, epochs, run)
        });
    }
    if let Some(dropout) = options.dropout {
        texts.push(format!(
            "Give it dropout of 0.1 ({dropout}), or more than it has: rows are learnt by heart."
        ));
    }
    if let Some(decay) = options.decay {
        texts.push(format!(
            "Raise the weight decay ({decay}): it keeps weights small where rows do not insist."
        ));
    }
    if options.dropout.or(options.decay).is_none() {
        texts.push(more_data(run).text);
    }
    said(texts)
}

fn best_of(rise: &Rise) -> BestPoint {
    BestPoint { step: rise.best_step, epoch: rise.best_epoch, loss: rise.best_loss }
}

/// Which checkpoint to take, by the loss of `set` where it has a name.
fn use_best(options: &Options, best: BestPoint, set: Option<&str>, epochs: Epochs, run: &RunInfo) -> String {
    let places = run.places();
    let first = trainer::of(&run.trainer).is_some_and(|trainer| trainer.evaluates_first);
    if best.step == 0 && !epochs.from_zero && first {
        return format!(
            "Use the model as it was before the training: eval loss was lowest then ({}).",
            fixed(best.loss, 3)
        );
    }
    let epoch = places.epoch(best.epoch).filter(|epoch| *epoch > 0.0);
    let place = epoch.map_or(String::new(), |epoch| format!(" (epoch {epoch:.1})"));
    // The one option that names the loss of a set is that of Hugging Face's trainers.
    let loss = set.map_or("eval_loss".into(), |set| format!("eval_{set}_loss"));
    let keep = options.keep_best.map(|keep| keep.replace("eval_loss", &loss));
    let keep = keep.map_or(String::new(), |keep| format!(" To keep it: {keep}."));
    let at = places.at(best.step);
    let loss = fixed(best.loss, 3);
    format!("Use the checkpoint at {at}{place}: eval loss was lowest there ({loss}).{keep}")
}

/// No longer than to the best, in the unit that the trainer counts in.
fn train_shorter(options: &Options, rise: &Rise, epochs: Epochs, run: &RunInfo) -> String {
    let (length, by_epochs) = options.length;
    let option = if length.is_empty() { String::new() } else { format!(" ({length})") };
    let (best, last) = (rise.best_step, rise.last_step);
    let why = "eval loss turned there";
    let best_epoch = rise.best_epoch.map(|number| epochs.until(number));
    if let Some(epoch) = best_epoch.filter(|epoch| (by_epochs || run.counts_epochs()) && *epoch > 0.0) {
        // Without a word on the plan, as many as there were until the newest evaluation.
        let planned = run.settings.epochs.or(epochs.trained);
        let planned = planned.map_or(String::new(), |planned| format!(", not {planned:.1}"));
        format!("Train for about {epoch:.1} epochs{planned}{option}: {why}.")
    } else {
        let planned = run.total_steps.unwrap_or(last);
        if run.step_kind.is_made_up() {
            let share = 100.0 * best as f64 / planned.max(1) as f64;
            return format!("Train for about {share:.0} % as long{option}: {why}.");
        }
        format!("Train for about {}, not {planned}{option}: {why}.", counted(best, "step"))
    }
}

/// `best` is the sentence on which checkpoint to take, here and below.
fn against_divergence(options: &Options, rate: Option<f64>, best: Option<String>) -> Vec<Advice> {
    let mut texts: Vec<String> = best.into_iter().collect();
    texts.push(lower_rate(options, rate, "steps this long leave the region where they help"));
    if let Some(warmup) = options.warmup {
        texts.push(format!("Warm up over the first tenth of the run ({warmup})."));
    }
    said(texts)
}

/// What leaves a batch without a single label.
const NO_LABELS: &str = "rows that are empty, whose every label is masked (-100), or that the greatest \
                         length cuts before their answer have no loss";

/// The training is well, so that its settings are not to blame.
fn against_broken_eval(options: &Options, best: Option<String>) -> Vec<Advice> {
    let labels = format!("Look at the labels of the eval rows: {NO_LABELS}, and NaN as their mean.");
    let option = if is_hugging_face(options) { " (no --fp16_full_eval or --bf16_full_eval)" } else { "" };
    let precision =
        format!("Evaluate in float32{option}: fp16 and bf16 lose numbers that the training keeps.");
    // What was a number once had labels.
    said(match best {
        Some(best) => vec![precision, labels, best],
        None => vec![labels, precision],
    })
}

fn against_zeros(options: &Options, found: &ExactZeros, best: Option<String>, run: &RunInfo) -> Vec<Advice> {
    let labels = format!("Look at the labels of one batch: {NO_LABELS}.");
    let unfiltered = "See NaN as it is: --logging_nan_inf_filter false.";
    let unfiltered = is_hugging_face(options).then(|| unfiltered.to_owned());
    if found.throughout || found.series == "eval loss" {
        return said([labels].into_iter().chain(unfiltered).collect());
    }
    let why = "a loss that turns to 0 at once was NaN before a filter, as after steps that are too long";
    let slower = lower_rate(options, run.settings.learning_rate, why);
    // A model whose weights are NaN has no eval loss that is a number.
    if found.series == "train loss" {
        return said([labels].into_iter().chain(unfiltered).chain([slower]).chain(best).collect());
    }
    said(best.into_iter().chain([slower]).chain(unfiltered).chain([labels]).collect())
}

/// Whether the options are those of `transformers.TrainingArguments`.
fn is_hugging_face(options: &Options) -> bool {
    options.trainers.contains(&"hf-trainer")
}

fn against_underfitting(options: &Options, rate: Option<f64>) -> Vec<Advice> {
    let option = options.rate.map_or(String::new(), |option| format!(" ({option})"));
    let now = rate.map_or(String::new(), |rate| format!(" from {}", exponent(rate)));
    said(vec![format!("Raise the learning rate{now} tenfold{option}: no loss has moved.")])
}

fn lower_rate(options: &Options, rate: Option<f64>, why: &str) -> String {
    let option = options.rate.map_or(String::new(), |option| format!(" ({option})"));
    let now = rate.map_or(String::new(), |rate| format!(" from {}", exponent(rate)));
    format!("Lower the learning rate{now} to a third{option}: {why}.")
}

fn said(texts: Vec<String>) -> Vec<Advice> {
    texts.into_iter().map(|text| Advice { text, patch: Vec::new() }).collect()
}
