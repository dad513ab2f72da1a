//! What to do about a finding, in words and as a configuration patch.
//!
//! The only place where advice is worded; rules return facts.

use super::Diagnosis;
use crate::event::RunInfo;

/// One piece of advice: what to change, to what, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// A sentence: what to do and why.
    pub text: String,
    /// The configuration keys to set, as `--set` takes them: `("lora.dropout", "0.1")`.
    pub patch: Vec<(String, String)>,
}

/// What to do, most useful first; nothing for a healthy run.
pub fn advise(diagnosis: &Diagnosis, run: &RunInfo) -> Vec<Advice> {
    let _ = (diagnosis, run);
    Vec::new()
}
