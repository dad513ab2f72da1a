//! Every threshold of the judgement, in one place.
//!
//! The levels of a rise (3 %, 5 %, 15 % of the median of three) were measured in advance on public
//! development curves. What guards them against noise was chosen by hand among some ten settings on
//! simulated plateaus and rises like those of `tests/it/curves.rs`. None is fitted to a run of ours
//! or to a labelled exam.

/// Thresholds of the rules. Rises are shares of the best loss: 0.05 is 5 % above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Finite evaluations before a trend is judged at all: a fall, a turn and a confirmation.
    pub min_evals: usize,
    /// A rise of the eval loss worth a look.
    pub watch_rise: f64,
    /// A rise worth stopping for.
    pub warn_rise: f64,
    /// A rise that spoils the run.
    pub severe_rise: f64,
    /// A newest evaluation no further than this above the best is a recovery, whatever came before;
    /// and a best no further than this below an earlier one is no improvement worth the name.
    pub recovered_rise: f64,
    /// Chance that noise alone brings a run to `watch` at some time, shared out over all pairs of
    /// evaluations: what a rise must exceed widens as evaluations grow in number.
    pub false_watch: f64,
    /// The same for `warn` and above.
    pub false_warn: f64,
    /// However few evaluations there are, `warn` needs this many standard errors.
    pub min_guard: f64,
    /// Noise that a curve is taken to have, as a share of its best, until it has shown its own. A
    /// foreign curve that is noisier than this and flat from its first few evaluations on is the
    /// one that false alarms are left for.
    pub assumed_noise: f64,
    /// How many independent values that assumption is worth when it is weighed against the curve's.
    pub assumed_worth: f64,
    /// The turn ends where the V-fit is more noise than this above its lowest.
    pub onset_noise: f64,
    /// Examples that two evaluations must share before their paired difference is trusted.
    pub min_paired: usize,
    /// A train loss risen by more than this with the eval loss is divergence, not overfitting.
    pub train_rise: f64,
    /// Train and eval loss both risen by more than this: the run has blown up.
    pub explosion: f64,
    /// A train loss below this, in nats per token, means that the rows are recited.
    pub near_zero_train: f64,
    /// ... if the eval loss is at least this far above it: an easy task is learnt on both sides.
    pub near_zero_gap: f64,
}

impl Limits {
    /// The limits that `tune` judges by.
    pub const DEFAULT: Self = Self {
        min_evals: 3,
        watch_rise: 0.03,
        warn_rise: 0.05,
        severe_rise: 0.15,
        recovered_rise: 0.015,
        false_watch: 0.25,
        false_warn: 0.02,
        min_guard: 3.0,
        assumed_noise: 0.012,
        assumed_worth: 4.0,
        onset_noise: 0.5,
        min_paired: 8,
        train_rise: 0.10,
        explosion: 0.25,
        near_zero_train: 0.05,
        near_zero_gap: 0.25,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
