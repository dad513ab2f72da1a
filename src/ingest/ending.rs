//! What trainers print when they are done: the line that says it, and whether a rule or an error has ended it.
//!
//! Only lines that say nothing else; what is worked out from steps and totals is the business of
//! [`super::Points`].

use super::scan;
use crate::event::StopReason;

/// A longer line says more than that.
const LONGEST: usize = 400;

/// Beginnings of lines that say that the training is over.
const OVER: [&[u8]; 8] = [
    // Hugging Face, and loops of one's own.
    b"Training complete",
    b"Training finished",
    b"Training done",
    b"Finished training",
    // mlx-lm, torchtune.
    b"Saved final weights",
    b"Saving final epoch checkpoint",
    // CatBoost, LightGBM.
    b"bestTest = ",
    b"Did not meet early stopping",
];
/// Beginnings of lines that say that a rule has ended it.
const STOPPED: [&[u8]; 3] =
    [b"Early stopping, best iteration is", b"Stopped by overfitting detector", b"Stopping. Best iteration"];

/// Why the training is over, if the line says that it is. Called for lines that hold no figure.
pub(super) fn ending(line: &[u8]) -> Option<StopReason> {
    let line = line.trim_ascii();
    // Most begin otherwise: bars with blanks and digits, warnings with a path.
    if line.len() > LONGEST || !matches!(line.first()?, b'D'..=b'T' | b'b' | b'`') {
        return None;
    }
    let begins = |with: &[&[u8]]| with.iter().any(|words| line.starts_with(words));
    // Lightning, Keras, fastai.
    let stopped = line.starts_with(b"Epoch ") && line.ends_with(b": early stopping")
        || line.starts_with(b"No improvement since epoch ")
        || line.starts_with(b"Monitored metric ") && of_lightning(line) == Some(StopReason::EarlyStopping);
    if stopped || begins(&STOPPED) {
        return Some(StopReason::EarlyStopping);
    }
    let over = begins(&OVER) || line.starts_with(b"`Trainer.fit`") && of_lightning(line).is_some();
    over.then_some(StopReason::Finished)
}

/// What Lightning says, be it behind a bar or on a line of its own.
pub(super) fn of_lightning(text: &[u8]) -> Option<StopReason> {
    if scan::has(text, b"Signaling Trainer to stop") {
        return Some(StopReason::EarlyStopping);
    }
    scan::has(text, b"`Trainer.fit` stopped: `max_").then_some(StopReason::Finished)
}

/// Python's account of an error, over several lines: those of the calls are indented, and what went wrong
/// stands on the first that is not.
#[derive(Debug, Default)]
pub(super) struct Traceback {
    open: bool,
}

impl Traceback {
    /// What went wrong, where the line says it. Called for lines that hold no figure.
    pub(super) fn line<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        if !self.open {
            self.open = line.starts_with(b"Traceback (most recent call last):");
            return None;
        }
        self.open = matches!(line.first(), Some(b' ' | b'\t'));
        let error = line.trim_ascii();
        (!self.open && !error.is_empty()).then_some(&error[..error.len().min(LONGEST)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_at_the_end_of_a_traceback() {
        let mut traceback = Traceback::default();
        let lines = [
            "Traceback (most recent call last):",
            "  File \"train.py\", line 4, in <module>",
            "    trainer.train()",
            "torch.OutOfMemoryError: CUDA out of memory",
            "bash: exit 1",
        ];
        let found: Vec<_> = lines.iter().filter_map(|line| traceback.line(line.as_bytes())).collect();
        assert_eq!(found, [b"torch.OutOfMemoryError: CUDA out of memory"]);
    }

    #[test]
    fn the_last_words_of_trainers() {
        for (line, expected) in [
            ("Training completed. Do not forget to share your model", Some(StopReason::Finished)),
            ("Saved final weights to adapters/adapters.safetensors.", Some(StopReason::Finished)),
            ("`Trainer.fit` stopped: `max_epochs=40` reached.", Some(StopReason::Finished)),
            ("bestTest = 1.170292059\n", Some(StopReason::Finished)),
            ("Epoch 13: early stopping", Some(StopReason::EarlyStopping)),
            ("Stopped by overfitting detector  (20 iterations wait)", Some(StopReason::EarlyStopping)),
            ("Early stopping, best iteration is:", Some(StopReason::EarlyStopping)),
            ("Epoch 13/40", None),
            ("Training until validation scores don't improve for 5 rounds", None),
            ("Training Progress: 100%", None),
            ("Epoch 3: early stopping is off", None),
            ("", None),
        ] {
            assert_eq!(ending(line.as_bytes()), expected, "{line}");
        }
    }
}
