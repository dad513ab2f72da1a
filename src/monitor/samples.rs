//! What the model writes by itself, in the words that the screen and all reports use.

use crate::curve::Curves;
use crate::event::{Generated, Sample, Split};

/// The newest time that this side was asked.
pub fn newest(curves: &Curves, split: Split) -> Option<&Generated> {
    curves.generated.iter().rev().find(|generated| generated.split == split)
}

/// The rates beside that of rows that came back whole.
pub fn facts(generated: &Generated) -> String {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let mut facts = vec![
        format!("step {}, {} prompts", generated.step, generated.prompts),
        format!("overlap {}", percent(generated.overlap)),
        format!("repeats {}", percent(generated.repetition)),
    ];
    facts.extend(generated.chrf.map(|chrf| format!("chrF {chrf:.2}")));
    facts.join(", ")
}

/// Whether a sample is its row word for word, and its parts with their names.
pub fn parts(sample: &Sample) -> (bool, [(&'static str, &str); 3]) {
    let verbatim = sample.output.trim() == sample.reference.trim();
    (
        verbatim,
        [("prompt", &sample.prompt), ("row says", &sample.reference), ("model writes", &sample.output)],
    )
}
