//! What about a run its user has chosen: as names and values, and what differs between two runs.

use crate::event::{DataInfo, RunInfo};

/// The settings that differ between two runs: the key, and both values.
pub fn changed(a: &RunInfo, b: &RunInfo) -> Vec<(&'static str, String, String)> {
    let pairs = settings(a).into_iter().zip(settings(b));
    pairs.filter(|(a, b)| a.1 != b.1).map(|((key, a), (_, b))| (key, a, b)).collect()
}

/// Everything about a run that its user has chosen and that its log tells.
pub fn settings(run: &RunInfo) -> Vec<(&'static str, String)> {
    let set = &run.settings;
    let number = |value: Option<f64>| value.map(|value| value.to_string());
    let rows = |of: fn(&DataInfo) -> u64| run.data.as_ref().map(|data| of(data).to_string());
    let fields = vec![
        ("model", run.model.as_ref().map(|model| model.name.clone())),
        ("train rows", rows(|data| data.train_rows)),
        ("held-out rows", rows(|data| data.valid_rows)),
        ("steps", run.total_steps.filter(|_| !run.counts_epochs()).map(|steps| steps.to_string())),
        ("epochs", set.epochs.map(|epochs| format!("{epochs:.1}"))),
        ("learning rate", set.learning_rate.map(|rate| format!("{rate:e}"))),
        ("schedule", set.schedule.clone()),
        ("weight decay", number(set.weight_decay)),
        ("batch size", set.batch_size.map(|size| size.to_string())),
        ("rank", set.lora_r.map(|rank| rank.to_string())),
        ("alpha", number(set.lora_alpha)),
        ("dropout", number(set.lora_dropout)),
        ("early stopping", set.early_stopping.map(|on| if on { "on" } else { "off" }.to_owned())),
        ("--set", (!set.overrides.is_empty()).then(|| set.overrides.join(" "))),
    ];
    fields.into_iter().map(|(key, value)| (key, value.unwrap_or_else(|| "-".into()))).collect()
}
