//! What the model writes by itself, in the words that the screen and all reports use.

use crate::curve::Curves;
use crate::event::{Generated, Sample, Split};

/// The newest time that this side was asked.
pub fn newest(curves: &Curves, split: Split) -> Option<&Generated> {
    curves.generated.iter().rev().find(|generated| generated.split == split)
}

/// Prompts below which a share says less than the count.
const FEW_PROMPTS: u32 = 20;

/// How many rows came back whole: `33 %`, or `1 of 3`.
pub fn recited(generated: &Generated) -> String {
    let (exact, prompts) = (generated.exact.clamp(0.0, 1.0), generated.prompts);
    if (1..FEW_PROMPTS).contains(&prompts) {
        return format!("{:.0} of {prompts}", exact * f64::from(prompts));
    }
    format!("{:.0} %", 100.0 * exact)
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
