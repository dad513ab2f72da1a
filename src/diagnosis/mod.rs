//! Judgement: what the curves of a run say about it, and how sure one may be.
//!
//! Pure: the same curves and limits give the same diagnosis. Each rule looks for one sickness and
//! returns a [`Finding`] that carries its evidence; the gravest finding is the verdict. What to do
//! about it is said in `advice`, and nowhere else.

pub mod advice;
pub mod finding;

pub use finding::{Evidence, Finding, Severity, Verdict};

/// The judgement of a run as it stands.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The kind of the gravest finding, else healthy or undecided.
    pub verdict: Verdict,
    /// The severity of the gravest finding.
    pub severity: Severity,
    /// The gravest first.
    pub findings: Vec<Finding>,
    /// Why nothing can be said yet; set when the verdict is `Undecided`.
    pub undecided: Option<String>,
    /// Index in `Curves::eval` of the best evaluation.
    pub best: Option<usize>,
    /// How far the recent evaluations (median of the last three) are above the best, as a share of the best; negative or zero: not at all.
    pub rise: Option<f64>,
    /// One standard error of that rise, as a share of the best; `None` where it cannot be measured.
    pub noise: Option<f64>,
    /// Index in `Curves::eval` of the turn: the last evaluation before the rise. Set when there is a finding of overfitting.
    pub onset: Option<usize>,
}
