//! What to do about a finding, in words and as a configuration patch.
//!
//! The only place where advice is worded; rules return facts. An advice is conditional on what the
//! user already did, and gives its reason. All patches together make one command to paste.

mod foreign;

use super::finding::Rise;
use super::{Diagnosis, Evidence};
use crate::event::{RunInfo, Settings};
use crate::fmt::counted;
use std::f64::consts::PI;

/// One piece of advice: what to change, to what, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// A sentence: what to do and why.
    pub text: String,
    /// The configuration keys to set, as `--set` takes them: `("lora.dropout", "0.1")`.
    pub patch: Vec<(String, String)>,
}

/// A dropout above this costs more learning than it prevents reciting: recipes since Hu et al. 2021
/// use 0.05 to 0.1.
const MAX_DROPOUT: f64 = 0.2;
/// A learning rate above this is never advised: adapters are trained at 1e-5 to 1e-2.
const MAX_LEARNING_RATE: f64 = 1e-3;
/// A turn within this many passes over the rows is too fast for them; so it is within twice as many where
/// the learning rate is above what is ever advised. At an ordinary rate a shorter schedule is the better
/// cure: it ends as low, and sooner.
const EARLY_TURN_EPOCHS: f64 = 1.0;
/// Adapter parameters for each trained token above which a smaller rank is suggested.
const PARAMS_PER_TOKEN: f64 = 20.0;
/// The smallest rank ever suggested. Of the jobs of benches/advice.py, on rows that it is not reported on,
/// few-rows ended 0.4 % above its best with 8 in place of 16, and many-rows 0.6 % with 16 in place of 32.
const MIN_RANK: usize = 32;

/// What to do, most useful first; nothing for a healthy run.
pub fn advise(diagnosis: &Diagnosis, run: &RunInfo) -> Vec<Advice> {
    if run.trainer != "tune" {
        return foreign::advise(diagnosis, run);
    }
    let cures = diagnosis.findings.iter().map(|finding| match &finding.evidence {
        Evidence::Rise(rise) => against_overfitting(Some(rise), run),
        Evidence::NearZeroTrain(_) | Evidence::Recited(_) | Evidence::Staircase(_) => {
            against_overfitting(None, run)
        }
        Evidence::SetRise(found) => against_overfitting(Some(&found.rise), run),
        Evidence::NonFinite(found) if found.train_loss.is_some() && computes_in_half(run) => {
            let text = "Compute in f32: train loss is a number and eval loss is none, and half precision \
                        loses its numbers first.";
            vec![one(text.into(), "model.dtype", "f32".into())]
        }
        Evidence::Thrown(_) | Evidence::Explosion(_) | Evidence::NonFinite(_) | Evidence::AboveChance(_) => {
            against_divergence(run)
        }
        // Remarks need no cure, and for exact zeros there is none among the settings.
        Evidence::ExactZeros(_)
        | Evidence::Disagreement(_)
        | Evidence::LeakSign(_)
        | Evidence::OtherScale(_)
        | Evidence::Flat(_)
        | Evidence::Tie(_)
        | Evidence::NewestAbove(_)
        | Evidence::StillFalling(_)
        | Evidence::Gap(_)
        | Evidence::FewRows(_) => Vec::new(),
        Evidence::NothingLearnt(_) => against_underfitting(run),
    });
    // The gravest that has a cure: cures of two sicknesses at once may contradict each other.
    cures.into_iter().find(|advice| !advice.is_empty()).unwrap_or_default()
}

/// What to do about a log that was read to its end and has no evaluation. For one that is watched it is too early:
/// they may come.
pub fn evaluate(run: &RunInfo) -> Vec<Advice> {
    if run.trainer == "tune" { Vec::new() } else { foreign::evaluate(run) }
}

/// The command that follows the advice: the user's own, with the overrides that are superseded
/// dropped. `None` where the run was not started from a file, or there is nothing to change.
pub fn command(run: &RunInfo, advice: &[Advice]) -> Option<String> {
    let config = run.settings.config.as_ref()?;
    let patches: Vec<&(String, String)> = advice.iter().flat_map(|advice| &advice.patch).collect();
    if patches.is_empty() {
        return None;
    }
    let key = |text: &str| text.split('=').next().unwrap_or_default().trim().to_string();
    // Only one of the two may say how long to train.
    let superseded = |old: &str| {
        patches.iter().any(|(new, _)| *new == old || (new == "train.epochs" && old == "train.steps"))
    };
    let kept = run.settings.overrides.iter().filter(|text| !superseded(&key(text))).cloned();
    let set = kept.chain(patches.iter().map(|(key, value)| format!("{key}={value}")));
    let set: Vec<String> = set.map(|text| format!(" --set {}", quoted(&text))).collect();
    Some(format!("tune run {}{}", quoted(config), set.concat()))
}

/// As a POSIX shell reads it back.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn against_overfitting(rise: Option<&Rise>, run: &RunInfo) -> Vec<Advice> {
    let settings = &run.settings;
    let slower = rise.and_then(|rise| learn_slower(rise, settings));
    let advice = [
        rise.and_then(|rise| train_shorter(rise, settings, slower.is_some())),
        add_dropout(settings),
        slower,
        lower_rank(run),
        stop_early(settings),
    ];
    let mut advice: Vec<Advice> = advice.into_iter().flatten().collect();
    let regularised = settings.lora_dropout.is_some_and(|dropout| dropout >= 0.1);
    if regularised || advice.is_empty() {
        advice.push(more_data(run));
    }
    advice
}

/// The length at which a whole schedule spends as much learning rate as the run had at its best.
///
/// To stop a decaying schedule at the turn itself would leave the adapter half trained: up to there the rate
/// was near its highest, and over a schedule of its own it is half of that in the mean. `halved`: the rate
/// is advised to be halved as well, which takes twice the epochs.
fn train_shorter(rise: &Rise, settings: &Settings, halved: bool) -> Option<Advice> {
    // A turn at the baseline is no length to train for.
    let turned = turn_epoch(rise).filter(|epoch| *epoch > 0.0)?;
    let planned = settings.epochs?;
    let done = (turned / planned).min(1.0);
    let schedule = settings.schedule.as_deref();
    // What the schedule spent by then, over what it spends in all; and the sum is planned / 2 for both.
    let spent = match schedule {
        Some("cosine") => done + (PI * done).sin() / PI,
        Some("linear") => 2.0 * done - done * done,
        _ => done,
    };
    let epochs = planned * spent * if halved { 2.0 } else { 1.0 };
    let epochs = ((epochs - 0.05).max(0.0) * 2.0).ceil().max(1.0) / 2.0;
    if epochs >= planned {
        return None;
    }
    let reason = match schedule {
        Some("cosine" | "linear") => {
            format!(", and a whole schedule of {epochs} learns as much as this one had by then")
        }
        _ => String::new(),
    };
    // Where the length was given in steps it is no round number of epochs.
    let planned = (10.0 * planned).round() / 10.0;
    let text = format!(
        "Train for {}, not {planned}: eval loss turned at epoch {turned:.1}{reason}.",
        counted(epochs, "epoch")
    );
    Some(one(text, "train.epochs", float(epochs)))
}

/// Where the eval loss turned: no later than where it was lowest, whatever noise says.
fn turn_epoch(rise: &Rise) -> Option<f64> {
    [rise.onset_epoch, rise.best_epoch].into_iter().flatten().reduce(f64::min)
}

fn add_dropout(settings: &Settings) -> Option<Advice> {
    let now = settings.lora_dropout?;
    let next = if now < 0.1 { 0.1 } else { (2.0 * now).min(MAX_DROPOUT) };
    if next <= now {
        return None;
    }
    let text = if now == 0.0 {
        format!("Give the adapter dropout of {next}: it has none, and dropout makes rows harder to recite.")
    } else {
        format!("Raise the adapter's dropout from {now} to {next}: at {now} the rows are still recited.")
    };
    Some(one(text, "lora.dropout", float(next)))
}

fn learn_slower(rise: &Rise, settings: &Settings) -> Option<Advice> {
    let now = settings.learning_rate.filter(|now| *now > 0.0)?;
    let early = EARLY_TURN_EPOCHS * if now > MAX_LEARNING_RATE { 2.0 } else { 1.0 };
    let onset = turn_epoch(rise).filter(|epoch| *epoch <= early)?;
    let next = to_digits(now / 2.0, 2);
    let text = format!(
        "Halve the learning rate, {} to {}: eval loss turned at epoch {:.1}, before the rows were seen {} times.",
        exponent(now),
        exponent(next),
        onset,
        early + 1.0
    );
    Some(one(text, "train.learning_rate", exponent(next)))
}

fn lower_rank(run: &RunInfo) -> Option<Advice> {
    let (r, model, data) = (run.settings.lora_r?, run.model.as_ref()?, run.data.as_ref()?);
    let per_token = model.trainable as f64 / data.train_tokens.max(1) as f64;
    if data.train_tokens == 0 || per_token < PARAMS_PER_TOKEN || r <= MIN_RANK {
        return None;
    }
    let next = (r / 2).max(MIN_RANK);
    let text = format!(
        "Lower the rank from {r} to {next}: the adapter has {per_token:.0} parameters for each token it learns from."
    );
    // Alpha stays: with it the product of half as many directions is scaled twice, and learns as fast.
    Some(one(text, "lora.r", next.to_string()))
}

fn stop_early(settings: &Settings) -> Option<Advice> {
    if settings.early_stopping != Some(false) {
        return None;
    }
    let text = "Switch early stopping on: it ends the run after the turn, with the best adapter kept.";
    Some(one(text.into(), "early_stopping.enabled", "true".into()))
}

fn more_data(run: &RunInfo) -> Advice {
    let rows = run.data.as_ref().map_or(String::new(), |data| {
        let are = if data.train_rows == 1 { "is" } else { "are" };
        format!(": {} {are} learnt by heart", counted(data.train_rows, "row"))
    });
    let text = format!("Add rows, or rows more unlike each other{rows}; the settings can do only so much.");
    Advice { text, patch: Vec::new() }
}

/// Whether the frozen base is in bf16, as the run's own words for its device say.
fn computes_in_half(run: &RunInfo) -> bool {
    run.model.as_ref().is_some_and(|model| model.device.ends_with("bf16"))
}

fn against_divergence(run: &RunInfo) -> Vec<Advice> {
    let mut advice = Vec::new();
    if let Some(now) = run.settings.learning_rate.filter(|now| *now > 0.0) {
        let next = to_digits(now / 3.0, 1);
        let text = format!(
            "Lower the learning rate from {} to {}: steps this long leave the region where they help.",
            exponent(now),
            exponent(next)
        );
        advice.push(one(text, "train.learning_rate", exponent(next)));
    }
    let text = "Warm up over the first tenth of the run: AdamW's first steps are its least informed.";
    advice.push(one(text.into(), "train.warmup_ratio", "0.1".into()));
    advice
}

fn against_underfitting(run: &RunInfo) -> Vec<Advice> {
    let Some(now) = run.settings.learning_rate.filter(|now| *now > 0.0) else { return Vec::new() };
    let next = (10.0 * now).min(MAX_LEARNING_RATE);
    if next <= now {
        return Vec::new();
    }
    let text = format!(
        "Raise the learning rate from {} to {}: at {} no loss has moved.",
        exponent(now),
        exponent(next),
        exponent(now)
    );
    vec![one(text, "train.learning_rate", exponent(next))]
}

fn one(text: String, key: &str, value: String) -> Advice {
    Advice { text, patch: vec![(key.into(), value)] }
}

/// To so many significant digits, downwards: 3.3e-4 becomes 3e-4.
fn to_digits(value: f64, digits: i32) -> f64 {
    let power = digits - 1 - value.log10().floor() as i32;
    // Divided by a whole power of ten where the value is small, which rounds to what is written.
    let shifted = (value * 10.0_f64.powi(power) + 1e-9).floor();
    if power > 0 { shifted / 10.0_f64.powi(power) } else { shifted * 10.0_f64.powi(-power) }
}

/// As TOML writes a float: with a point.
fn float(value: f64) -> String {
    format!("{value:?}")
}

/// A learning rate as people write it: `5e-4`, `2.5e-5`, and from a hundredth on `0.05`, `50.0`; one that was
/// computed, to three digits.
fn exponent(value: f64) -> String {
    if value >= 0.01 {
        return float(format!("{value:.2e}").parse().unwrap_or(value));
    }
    // To two digits, so that no rounding shows.
    let text = format!("{value:.1e}");
    text.replace(".0e", "e")
}

#[cfg(test)]
mod tests;
