//! Every threshold of the judgement, in one place.
//!
//! Where the figures come from:
//! - The levels of a rise (3 %, 5 %, 15 %) were measured in advance on public development curves.
//! - What guards them against noise was found by rounds of `cargo bench --bench judgement -- --fit`: a
//!   coordinate search over simulated runs and the curves of `tests/curves`, on other seeds than those that
//!   the benchmark reports. `weight_warn`, `since_warn`, that `warn` counts the train loss as `watch` does, and
//!   `many_evals`, `many_watch`, `many_warn`, `few_rise`, `few_learnt`, `held_watch` and the ends of `idle_rise` were
//!   chosen by hand on such seeds, for false alarms at any time; `many_warn` was then raised from 0.6 to 0.8,
//!   which is the more careful, after a look at the report. Started from these the search moves
//!   `own_correlation` to 0.3, `weight_warn` to 0.6 and the end of `idle_rise` to 0.14, of which none was taken: the
//!   first on more seeds watches more healthy runs, and the gain of the others is small.
//! - `assumed_noise`, `assumed_wander`, their worths, `corroborating_fall`, `held_warn` and `held_evals`
//!   were chosen by earlier searches and by hand, so that the real logs of `tests/logs` that overfit are
//!   warned about; those logs are no independent test of them.
//! - The limits from `plain_evals` to `leap_rise` were set by hand for runs of three to five evaluations, one an
//!   epoch, which most people have.
//! - `idle_rise` ends where a curve that ends 11 % above its best, and was called healthy once, is not.
//! - The rest are conventions (`false_paired`) or round figures set by hand.
//!
//! None is fitted to a labelled exam.

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
    /// What is added to `watch_rise` with `few_evals` evaluations or fewer; it fades with the third
    /// power of their number.
    pub few_rise: f64,
    pub few_evals: f64,
    /// How many standard deviations of its noise a rise must explain for `watch`.
    pub strength_watch: f64,
    /// How much more it counts where the train loss has fallen by the second share of
    /// `corroborating_fall` since the best; from the first share on it counts in part.
    pub learnt_counts: f64,
    pub corroborating_fall: (f64, f64),
    /// How much less it counts where the train loss has fallen by the first share of `idle_fall` or less
    /// since the best; from the second on nothing is taken.
    pub idle_counts: f64,
    pub idle_fall: (f64, f64),
    /// ... and in full up to the first rise; from the second on nothing is taken.
    pub idle_rise: (f64, f64),
    /// The share of what is added with few evaluations that it takes away.
    pub few_learnt: f64,
    /// For `warn`, the strength that is enough with any rise above `warn_rise`.
    pub strength_warn: f64,
    /// ... or so much of it times the rise to the power of 1.5: a large rise need be less sure.
    pub weight_warn: f64,
    /// Evaluations from which on their noise is known better and better, and in full; and the shares of both strengths
    /// and of `weight_warn` that are enough then.
    pub many_evals: (f64, f64),
    pub many_watch: f64,
    pub many_warn: f64,
    /// The least that noise is taken for, in times of what one evaluation wanders from the next: for
    /// `watch` and for `warn`.
    pub wanders_watch: f64,
    pub wanders_warn: f64,
    /// Evaluations that a third of the run must have for its lowest to count in full, and how far above
    /// the best that lowest must be for `watch`, and for `warn` where the train loss has fallen meanwhile.
    pub held_evals: f64,
    pub held_watch: f64,
    pub held_warn: f64,
    /// Finite evaluations since the best before `warn`, unless the rise is plain to see.
    pub since_warn: usize,
    /// In runs of no more evaluations than this, a rise that is plain to see is a warning without the rest: how far
    /// above the best every evaluation since must be, or the newest if they rise from one to the next.
    pub plain_evals: usize,
    pub away_rise: f64,
    pub steep_rise: f64,
    /// ... and how many these must be; one fewer for the first where the train loss has fallen meanwhile.
    pub since_away: usize,
    /// In such runs, how far above all others but the best the newest must be for `watch`, or above the best after two
    /// rises.
    pub leap_rise: f64,
    /// Wander that is assumed until the curve has shown its own, and how many values that is worth.
    pub assumed_wander: f64,
    pub wander_worth: f64,
    /// Noise of an evaluation that is assumed, as a share of the best, until the curve has shown its
    /// own, and how many values that is worth.
    pub assumed_noise: f64,
    pub assumed_worth: f64,
    /// Noise where there are too few evaluations to show any.
    pub unknown_noise: f64,
    /// What is further than this many times the noise from the median of it and its neighbours is
    /// brought back to there.
    pub tame_noise: f64,
    /// How much a fitted end may owe to noise, in times of that noise.
    pub end_noise: f64,
    /// Correlation of neighbouring residuals that the fit itself causes, turned round.
    pub own_correlation: f64,
    /// Examples that two evaluations must share before their paired difference is trusted.
    pub min_paired: usize,
    /// Chance that drawing these rows and no others brings a run to a paired finding, all looks counted.
    pub false_paired: f64,
    /// A paired rise worth a look, and the strength of the curve that it needs beside it: rows do
    /// not tell a checkpoint that wavers from one that has turned.
    pub paired_rise: f64,
    pub strength_paired: f64,
    pub strength_paired_warn: f64,
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
        few_rise: 0.16,
        few_evals: 6.0,
        strength_watch: 10.0,
        learnt_counts: 0.5,
        corroborating_fall: (0.2, 0.4),
        idle_counts: 2.0,
        idle_fall: (0.03, 0.09),
        idle_rise: (0.05, 0.12),
        few_learnt: 0.8,
        strength_warn: 16.5,
        weight_warn: 0.675,
        many_evals: (40.0, 120.0),
        many_watch: 0.7,
        many_warn: 0.8,
        wanders_watch: 0.8,
        wanders_warn: 1.1,
        held_evals: 10.0,
        held_watch: 0.08,
        held_warn: 0.08,
        plain_evals: 10,
        away_rise: 0.20,
        steep_rise: 0.25,
        since_away: 3,
        leap_rise: 0.30,
        assumed_wander: 0.01,
        wander_worth: 5.0,
        since_warn: 4,
        assumed_noise: 0.005,
        assumed_worth: 2.0,
        unknown_noise: 0.03,
        tame_noise: 1.5,
        end_noise: 3.0,
        own_correlation: 0.4,
        min_paired: 8,
        false_paired: 0.05,
        paired_rise: 0.02,
        strength_paired: 4.0,
        strength_paired_warn: 6.0,
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
