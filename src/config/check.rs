//! Rules on the values of a configuration, collected, not first-fail.
//!
//! Types are judged before, in `load`, which also knows where a value came from. Whether files exist,
//! or the model has the matrices that `lora.targets` names, is found out by those who open them.

use super::{Config, Holdout, Targets};

/// Two keys of which one displaces the other. The second is absent by default.
pub struct Either {
    pub section: &'static str,
    pub first: &'static str,
    pub second: &'static str,
}

/// The pairs of keys that exclude each other.
pub const EITHER: &[Either] = &[
    Either { section: "train", first: "epochs", second: "steps" },
    Either { section: "eval", first: "every_epochs", second: "every_steps" },
];

/// The largest rank: above every width of a matrix that is in use, and far below an overflow.
pub const MAX_RANK: usize = 1 << 16;

/// The largest learning rate: a hundred times what any adapter is trained with, and less than what 2e4, a minus
/// forgotten, comes to.
pub const MAX_LEARNING_RATE: f64 = 1.0;

/// A value that has the right type and is wrong all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub section: &'static str,
    pub key: &'static str,
    pub message: String,
    pub hint: &'static str,
}

/// Everything that is wrong with the values of `config`.
pub fn check(config: &Config) -> Vec<Complaint> {
    let mut rules = Rules(Vec::new());
    model_and_lora(config, &mut rules);
    data(config, &mut rules);
    train(config, &mut rules);
    augment(config, &mut rules);
    cadence(config, &mut rules);
    rules.0
}

struct Rules(Vec<Complaint>);

impl Rules {
    /// Complains of `key`, which is `section.key`, unless `holds`.
    fn require(&mut self, holds: bool, key: &'static str, message: impl Into<String>, hint: &'static str) {
        if !holds {
            let (section, key) = key.split_once('.').unwrap_or(("", key));
            self.0.push(Complaint { section, key, message: message.into(), hint });
        }
    }

    fn at_least_one(&mut self, value: u64, key: &'static str) {
        self.require(value >= 1, key, "0 is out of range", "the smallest value is 1");
    }

    fn above_zero(&mut self, value: f64, key: &'static str) {
        self.require(
            value.is_finite() && value > 0.0,
            key,
            out_of_range(value),
            "give a finite number above 0",
        );
    }

    fn not_negative(&mut self, value: f64, key: &'static str) {
        self.require(
            value.is_finite() && value >= 0.0,
            key,
            out_of_range(value),
            "give 0 or a finite number above it",
        );
    }
}

fn out_of_range(value: f64) -> String {
    format!("{value} is out of range")
}

fn model_and_lora(config: &Config, rules: &mut Rules) {
    let (model, lora) = (&config.model, &config.lora);
    rules.require(
        !model.path.is_empty(),
        "model.path",
        "no model is named",
        "\"builtin\", or a folder with config.json, *.safetensors and tokenizer.json",
    );
    rules.at_least_one(lora.r as u64, "lora.r");
    rules.require(
        lora.r <= MAX_RANK,
        "lora.r",
        format!("{} is out of range", lora.r),
        "the largest value is 65536; 8 to 64 are usual",
    );
    rules.above_zero(lora.alpha, "lora.alpha");
    rules.require(
        (0.0..1.0).contains(&lora.dropout),
        "lora.dropout",
        out_of_range(lora.dropout),
        "give a share from 0 to below 1, such as 0.1",
    );
    if let Targets::Named(names) = &lora.targets {
        rules.require(
            !names.is_empty(),
            "lora.targets",
            "the list is empty, so nothing would be trained",
            "\"all-linear\" adapts every matrix of every block",
        );
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            rules.require(
                false,
                "lora.targets",
                format!("{twice:?} is listed twice"),
                "name each matrix once",
            );
        }
    }
}

fn data(config: &Config, rules: &mut Rules) {
    let data = &config.data;
    rules.require(
        !data.train.as_os_str().is_empty(),
        "data.train",
        "no file is named",
        "a file of rows to learn from, JSON Lines or CSV",
    );
    match &data.valid {
        Holdout::Fraction(share) => rules.require(
            *share > 0.0 && *share < 1.0,
            "data.valid",
            out_of_range(*share),
            "a share of the rows is above 0 and below 1, such as 0.1; a number of rows has no decimal point",
        ),
        Holdout::Rows(rows) => rules.require(
            *rows >= 1,
            "data.valid",
            "0 rows leave nothing to judge by",
            "hold out some rows, such as 0.1 of them or 50: without them overfitting cannot be seen",
        ),
        Holdout::File(path) => {
            rules.require(
                !path.as_os_str().is_empty(),
                "data.valid",
                "no file is named",
                "a fraction such as 0.1, a number of rows such as 50, or a file",
            );
            rules.require(
                *path != data.train || path.as_os_str().is_empty(),
                "data.valid",
                "this is the training file",
                "rows that are trained on cannot show overfitting; give a fraction such as 0.1 to hold some out",
            );
        }
    }
    if let Some(test) = &data.test {
        rules.require(
            *test != data.train,
            "data.test",
            "this is the training file",
            "test rows must be trained on nowhere",
        );
        rules.require(
            !matches!(&data.valid, Holdout::File(valid) if valid == test),
            "data.test",
            "this is the validation file",
            "test rows must not decide when to stop",
        );
    }
    rules.require(
        data.max_length >= 2,
        "data.max_length",
        format!("{} is out of range", data.max_length),
        "the smallest value is 2: one token to read and one to predict",
    );
}

fn train(config: &Config, rules: &mut Rules) {
    let train = &config.train;
    rules.above_zero(train.epochs, "train.epochs");
    if let Some(steps) = train.steps {
        rules.at_least_one(steps, "train.steps");
    }
    rules.at_least_one(train.batch_size as u64, "train.batch_size");
    rules.at_least_one(train.gradient_accumulation as u64, "train.gradient_accumulation");
    rules.above_zero(train.learning_rate, "train.learning_rate");
    rules.require(
        !train.learning_rate.is_finite() || train.learning_rate <= MAX_LEARNING_RATE,
        "train.learning_rate",
        out_of_range(train.learning_rate),
        "the largest value is 1; adapters are trained with 1e-5 to 1e-2, and 2e-4 has a minus",
    );
    rules.require(
        (0.0..=1.0).contains(&train.warmup_ratio),
        "train.warmup_ratio",
        out_of_range(train.warmup_ratio),
        "give a share of all steps from 0 to 1, such as 0.03",
    );
    rules.not_negative(train.weight_decay, "train.weight_decay");
    rules.not_negative(train.max_grad_norm, "train.max_grad_norm");
}

fn augment(config: &Config, rules: &mut Rules) {
    let augment = &config.augment;
    for (share, key) in [
        (augment.word_dropout, "augment.word_dropout"),
        (augment.typos, "augment.typos"),
        (augment.drop_punctuation, "augment.drop_punctuation"),
        (augment.lowercase, "augment.lowercase"),
        (augment.shuffle_sentences, "augment.shuffle_sentences"),
    ] {
        rules.require(
            (0.0..=1.0).contains(&share),
            key,
            out_of_range(share),
            "give a share from 0 to 1, such as 0.05",
        );
        rules.require(
            share <= 0.0 || config.data.mask_prompt,
            key,
            "data.mask_prompt is false, so the model would learn to write what is varied",
            "set data.mask_prompt = true, or this to 0",
        );
    }
    rules.not_negative(augment.neftune_noise_alpha, "augment.neftune_noise_alpha");
}

fn cadence(config: &Config, rules: &mut Rules) {
    let (eval, stopping) = (&config.eval, &config.early_stopping);
    rules.above_zero(eval.every_epochs, "eval.every_epochs");
    if let Some(steps) = eval.every_steps {
        rules.at_least_one(steps, "eval.every_steps");
    }
    rules.at_least_one(eval.batch_size as u64, "eval.batch_size");
    rules.at_least_one(config.probe.max_tokens as u64, "probe.max_tokens");
    rules.at_least_one(stopping.patience as u64, "early_stopping.patience");
    if let Some(threshold) = stopping.threshold {
        rules.above_zero(threshold, "early_stopping.threshold");
    }
    rules.require(
        (0.0..1.0).contains(&stopping.min_delta),
        "early_stopping.min_delta",
        out_of_range(stopping.min_delta),
        "give a share of the best loss from 0 to below 1, such as 0.001",
    );
    rules.require(
        !config.output.dir.as_os_str().is_empty(),
        "output.dir",
        "no folder is named",
        "\"runs\" is the default",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The complaints of the defaults after `change`, a line each.
    fn complaints(change: impl Fn(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        let line = |c: Complaint| format!("{}.{}: {}", c.section, c.key, c.message);
        check(&config).into_iter().map(line).collect()
    }

    #[test]
    fn the_defaults_are_right() {
        assert_eq!(complaints(|_| ()), [""; 0]);
    }

    #[test]
    fn the_edges_of_ranges_are_in_or_out() {
        let fine = |change: fn(&mut Config)| assert_eq!(complaints(change), [""; 0]);
        fine(|c| c.lora.r = 1);
        fine(|c| c.lora.r = 65_536);
        fine(|c| c.train.warmup_ratio = 1.0);
        fine(|c| c.train.max_grad_norm = 0.0);
        fine(|c| c.train.weight_decay = 0.0);
        fine(|c| c.data.max_length = 2);
        fine(|c| c.data.valid = Holdout::Rows(1));
        assert_eq!(complaints(|c| c.lora.dropout = 1.0), ["lora.dropout: 1 is out of range"]);
        assert_eq!(complaints(|c| c.lora.dropout = f64::NAN), ["lora.dropout: NaN is out of range"]);
        assert_eq!(complaints(|c| c.lora.r = 0), ["lora.r: 0 is out of range"]);
        assert_eq!(complaints(|c| c.lora.r = 65_537), ["lora.r: 65537 is out of range"]);
        assert_eq!(complaints(|c| c.lora.alpha = 0.0), ["lora.alpha: 0 is out of range"]);
        assert_eq!(complaints(|c| c.data.max_length = 1), ["data.max_length: 1 is out of range"]);
        for rate in [0.0, 2e4, f64::INFINITY] {
            let change = |c: &mut Config| c.train.learning_rate = rate;
            assert_eq!(complaints(change), [format!("train.learning_rate: {rate} is out of range")]);
        }
        assert_eq!(complaints(|c| c.train.weight_decay = -0.1), ["train.weight_decay: -0.1 is out of range"]);
        assert_eq!(complaints(|c| c.train.warmup_ratio = 1.1), ["train.warmup_ratio: 1.1 is out of range"]);
        assert_eq!(
            complaints(|c| c.early_stopping.patience = 0),
            ["early_stopping.patience: 0 is out of range"]
        );
        for share in [0.0, 1.0, -0.5] {
            let change = |c: &mut Config| c.data.valid = Holdout::Fraction(share);
            assert_eq!(complaints(change), [format!("data.valid: {share} is out of range")]);
        }
    }

    #[test]
    fn variations_are_shares_of_prompts_that_are_not_learnt() {
        assert_eq!(complaints(|c| c.augment.typos = 1.0), [""; 0]);
        assert_eq!(complaints(|c| c.augment.typos = 1.5), ["augment.typos: 1.5 is out of range"]);
        assert_eq!(
            complaints(|c| c.augment.neftune_noise_alpha = -5.0),
            ["augment.neftune_noise_alpha: -5 is out of range"]
        );
        let learnt = complaints(|c| {
            c.data.mask_prompt = false;
            c.augment.word_dropout = 0.1;
            c.augment.neftune_noise_alpha = 5.0;
        });
        let message = "data.mask_prompt is false, so the model would learn to write what is varied";
        assert_eq!(learnt, [format!("augment.word_dropout: {message}")]);
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let all = complaints(|c| {
            c.model.path = String::new();
            c.lora.targets = Targets::Named(Vec::new());
            c.data.valid = Holdout::Rows(0);
            c.train.epochs = -1.0;
            c.train.steps = Some(0);
            c.train.batch_size = 0;
            c.eval.every_steps = Some(0);
        });
        assert_eq!(
            all,
            [
                "model.path: no model is named",
                "lora.targets: the list is empty, so nothing would be trained",
                "data.valid: 0 rows leave nothing to judge by",
                "train.epochs: -1 is out of range",
                "train.steps: 0 is out of range",
                "train.batch_size: 0 is out of range",
                "eval.every_steps: 0 is out of range",
            ]
        );
    }

    #[test]
    fn held_out_files_are_not_the_training_file() {
        let same = complaints(|c| {
            c.data.valid = Holdout::File(c.data.train.clone());
            c.data.test = Some(c.data.train.clone());
        });
        assert_eq!(
            same,
            [
                "data.valid: this is the training file",
                "data.test: this is the training file",
                "data.test: this is the validation file",
            ]
        );
    }

    #[test]
    fn a_target_is_named_once() {
        let twice = complaints(|c| c.lora.targets = Targets::Named(vec!["q_proj".into(), "q_proj".into()]));
        assert_eq!(twice, ["lora.targets: \"q_proj\" is listed twice"]);
    }
}
