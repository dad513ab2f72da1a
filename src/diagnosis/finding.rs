//! Findings: what a rule has found, how grave it is, and the numbers that convict.
//!
//! A finding without evidence cannot be built: its kind follows from its evidence.

pub use super::axes::Disagreement;
pub use super::few_rows::FewRows;
pub use super::rate::{StillFalling, Thrown};
pub use super::recite::{Recited, Staircase};
pub use super::remarks::{Flat, Gap, LeakSign, NewestAbove, OtherScale, Tie};
pub use super::sanity::{AboveChance, ExactZeros};
pub use super::sets::SetRise;
pub use super::underfit::NothingLearnt;

use crate::event::{BestPoint, LossUnit, Places};
use crate::fmt::fixed;
use serde::Serialize;
use std::fmt;

/// The name of a run's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Eval loss falling, or flat within its noise.
    Healthy,
    /// Eval loss has risen from its best by more than noise explains, train loss not risen with it.
    Overfitting,
    /// The train set is being reproduced while held-out quality is not better.
    Memorizing,
    /// Both losses still high and still falling at the end, or never left the start.
    Underfitting,
    /// NaN, explosion, or both losses rising.
    Diverged,
    /// Not enough to judge.
    Undecided,
}

/// How grave a finding is, in rising order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    #[default]
    None,
    /// Worth a look.
    Watch,
    /// Worth stopping for.
    Warn,
    /// The run is spoilt from here on.
    Severe,
}

/// One thing that a rule has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub severity: Severity,
    pub evidence: Evidence,
}

/// The steps and numbers that convict, one form a rule.
///
/// Written for programs as the named numbers alone: the finding's kind says which form it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Evidence {
    /// The validation loss has risen above its best.
    Rise(Rise),
    /// The train loss is close to zero.
    NearZeroTrain(NearZeroTrain),
    /// A loss or a gradient norm was not a number.
    NonFinite(NonFinite),
    /// Train and validation loss rise together.
    Explosion(Rise),
    /// The train loss was thrown up, and the eval loss has not come back.
    Thrown(Thrown),
    /// Another evaluation set has risen above its best.
    SetRise(SetRise),
    /// Most losses are above that of knowing nothing.
    AboveChance(AboveChance),
    /// The train loss is exactly zero.
    ExactZeros(ExactZeros),
    /// Both losses are where they began.
    NothingLearnt(NothingLearnt),
    /// Trained rows are regenerated, held-out ones are not.
    Recited(Recited),
    /// The train loss steps down where an epoch begins.
    Staircase(Staircase),
    /// The eval loss has risen and a metric is better.
    Disagreement(Disagreement),
    /// The eval loss keeps to the train loss after many epochs.
    LeakSign(LeakSign),
    /// The train loss is a multiple of the eval loss throughout.
    OtherScale(OtherScale),
    /// The eval loss has stopped improving.
    Flat(Flat),
    /// Several evaluations are equally low.
    Tie(Tie),
    /// The newest evaluation is far above the best, and it may be chance.
    NewestAbove(NewestAbove),
    /// The eval loss falls as fast at the end as before.
    StillFalling(StillFalling),
    /// Trained rows are ahead of held-out ones, and more and more.
    Gap(Gap),
    /// The held-out rows are too few to show a rise worth stopping for.
    FewRows(FewRows),
}

/// Where the validation loss was lowest, and how far above that it is now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rise {
    pub best_step: u64,
    pub best_epoch: Option<f64>,
    pub best_loss: f64,
    /// Step of the newest evaluation.
    pub last_step: u64,
    pub last_loss: f64,
    /// Median of the last three evaluations.
    pub recent_loss: f64,
    /// `recent_loss / best_loss - 1`.
    pub rise: f64,
    /// One standard error of the rise, as a share of the best; `None` where it cannot be measured.
    pub noise: Option<f64>,
    /// Whether that is an assumption for the most part, the curve having shown hardly any of its own.
    pub noise_assumed: bool,
    /// Chance of so high a recent loss without a true rise, from the losses of the rows and with all
    /// looks of the run counted; `None` where the rows are not known.
    pub p: Option<f64>,
    /// How many standard deviations of its noise the rise of the curve explains.
    pub strength: f64,
    /// Step of the last evaluation before the rise.
    pub onset_step: u64,
    pub onset_epoch: Option<f64>,
    /// Train loss at the best evaluation and now, averaged since the evaluation before.
    pub train_at_best: Option<f64>,
    pub train_now: Option<f64>,
    /// Slope of the eval loss since the onset, as a share of the best an epoch; `None` where epochs
    /// are not known.
    pub rise_per_epoch: Option<f64>,
    /// Whether the first evaluation is still the best one.
    pub never_improved: bool,
    /// Whether it would be a warning, were not a fall of the learning rate ahead that may bring it down again.
    pub held: bool,
}

/// The train loss is close to zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NearZeroTrain {
    pub step: u64,
    pub train_loss: f64,
    pub eval_loss: f64,
    pub limit: f64,
    pub unit: LossUnit,
}

/// The first number that was none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NonFinite {
    pub step: u64,
    /// Which series: `train loss`, `eval loss` or `gradient norm`.
    pub series: &'static str,
    /// Whether later numbers of that series are finite again.
    pub recovered: bool,
    /// The newest train loss, where the eval loss alone is broken and the training is well.
    pub train_loss: Option<f64>,
    /// The best evaluation that was a number.
    pub best: Option<BestPoint>,
}

/// Evidence as a sentence.
pub(super) trait Words {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result;
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "healthy",
            Self::Overfitting => "overfitting",
            Self::Memorizing => "memorizing",
            Self::Underfitting => "underfitting",
            Self::Diverged => "diverged",
            Self::Undecided => "undecided",
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Watch => "watch",
            Self::Warn => "warn",
            Self::Severe => "severe",
        })
    }
}

impl Rise {
    /// Change of the train loss since the best evaluation, as a share; negative where it fell.
    pub fn train_rise(&self) -> Option<f64> {
        let (before, now) = (self.train_at_best?, self.train_now?);
        (before > 0.0).then(|| now / before - 1.0)
    }
}

impl Finding {
    /// The verdict that this finding stands for; `Healthy` for a remark, which stands for none.
    pub fn verdict(&self) -> Verdict {
        match &self.evidence {
            Evidence::Rise(_) | Evidence::SetRise(_) => Verdict::Overfitting,
            Evidence::NearZeroTrain(_) | Evidence::Recited(_) | Evidence::Staircase(_) => Verdict::Memorizing,
            // A number that was none and is one again spoilt nothing.
            Evidence::NonFinite(found) if found.recovered => Verdict::Healthy,
            Evidence::NonFinite(_)
            | Evidence::Explosion(_)
            | Evidence::Thrown(_)
            | Evidence::AboveChance(_)
            | Evidence::ExactZeros(_) => Verdict::Diverged,
            Evidence::NothingLearnt(_) => Verdict::Underfitting,
            Evidence::Disagreement(_)
            | Evidence::LeakSign(_)
            | Evidence::OtherScale(_)
            | Evidence::Flat(_)
            | Evidence::Tie(_)
            | Evidence::NewestAbove(_)
            | Evidence::StillFalling(_)
            | Evidence::Gap(_)
            | Evidence::FewRows(_) => Verdict::Healthy,
        }
    }

    /// The name of the kind, as reports for programs give it: that of the verdict it stands for, and
    /// of a remark its own.
    pub fn kind(&self) -> String {
        match &self.evidence {
            Evidence::NonFinite(found) if found.recovered => "recovered".into(),
            Evidence::Disagreement(_) => "disagreement".into(),
            Evidence::LeakSign(_) => "leak".into(),
            Evidence::OtherScale(_) => "scale".into(),
            Evidence::Flat(_) => "plateau".into(),
            Evidence::Tie(_) => "tie".into(),
            Evidence::Gap(_) => "gap".into(),
            Evidence::FewRows(_) => "few_rows".into(),
            Evidence::NewestAbove(_) => "newest_above".into(),
            Evidence::StillFalling(_) => "still_falling".into(),
            Evidence::Rise(_)
            | Evidence::SetRise(_)
            | Evidence::NearZeroTrain(_)
            | Evidence::Recited(_)
            | Evidence::Staircase(_)
            | Evidence::NonFinite(_)
            | Evidence::Explosion(_)
            | Evidence::Thrown(_)
            | Evidence::AboveChance(_)
            | Evidence::ExactZeros(_)
            | Evidence::NothingLearnt(_) => self.verdict().to_string(),
        }
    }

    /// What was found, with its numbers, as a sentence without a full stop.
    pub fn message(&self, places: Places) -> String {
        let mut out = String::new();
        let found: &dyn Words = match &self.evidence {
            Evidence::Rise(rise) => rise,
            Evidence::Explosion(rise) => {
                out.push_str("train and eval loss rise together: ");
                rise
            }
            Evidence::NearZeroTrain(found) => found,
            Evidence::NonFinite(found) => found,
            Evidence::AboveChance(found) => found,
            Evidence::ExactZeros(found) => found,
            Evidence::NothingLearnt(found) => found,
            Evidence::Recited(found) => found,
            Evidence::Staircase(found) => found,
            Evidence::Disagreement(found) => found,
            Evidence::LeakSign(found) => found,
            Evidence::OtherScale(found) => found,
            Evidence::Flat(found) => found,
            Evidence::Tie(found) => found,
            Evidence::Gap(found) => found,
            Evidence::FewRows(found) => found,
            Evidence::Thrown(found) => found,
            Evidence::SetRise(found) => found,
            Evidence::NewestAbove(found) => found,
            Evidence::StillFalling(found) => found,
        };
        // A string takes everything.
        let _ = found.words(&mut out, places);
        out
    }

    /// Where in the run it is, as an optimiser step; `None` where it is of the whole run.
    pub fn step(&self) -> Option<u64> {
        match &self.evidence {
            Evidence::Rise(rise) | Evidence::Explosion(rise) => Some(rise.onset_step),
            Evidence::NearZeroTrain(found) => Some(found.step),
            Evidence::NonFinite(found) => Some(found.step),
            Evidence::AboveChance(found) => Some(found.step),
            Evidence::ExactZeros(found) => Some(found.step),
            Evidence::Recited(found) => Some(found.step),
            Evidence::Disagreement(found) => Some(found.metric_step),
            Evidence::LeakSign(found) => Some(found.step),
            Evidence::Flat(found) => Some(found.best_step),
            Evidence::Tie(found) => Some(found.best_step),
            Evidence::Gap(found) => Some(found.last_step),
            Evidence::Thrown(found) => Some(found.rise.onset_step),
            Evidence::SetRise(found) => Some(found.rise.onset_step),
            Evidence::NewestAbove(found) => Some(found.step),
            Evidence::StillFalling(found) => Some(found.last_step),
            Evidence::NothingLearnt(_)
            | Evidence::Staircase(_)
            | Evidence::OtherScale(_)
            | Evidence::FewRows(_) => None,
        }
    }
}

/// How far above a best, to be followed by it: `21.6 % ± 1.0 % above`, and from twice on `2.6 times`. An
/// error larger than the figure says no more than that little is known, and is left out; one that was assumed
/// is called so.
pub fn above(rise: f64, noise: Option<f64>, assumed: bool) -> String {
    if rise > 1.0 {
        return format!("{:.1} times", 1.0 + rise);
    }
    let noise = noise.filter(|noise| *noise <= rise.abs());
    let assumed = if assumed { " (assumed noise)" } else { "" };
    let noise = noise.map_or(String::new(), |noise| format!(" \u{b1} {:.1} %{assumed}", 100.0 * noise));
    format!("{:.1} %{noise} above", 100.0 * rise)
}

/// The unit behind a loss, where it is known.
pub(super) fn unit(unit: LossUnit) -> &'static str {
    match unit {
        LossUnit::NatsPerToken => " nats per token",
        LossUnit::Surrogate | LossUnit::Unknown => "",
    }
}

/// How often, in words where that reads better.
pub(super) fn times(count: usize) -> String {
    match count {
        1 => "once".into(),
        2 => "twice".into(),
        count => format!("{count} times"),
    }
}

/// A smaller rise is printed as none.
const LEAST_RISE: f64 = 0.0005;

impl Words for Rise {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        // Where the best is one of the three the median may be no rise, and that of the newest is meant.
        if self.rise < LEAST_RISE {
            let newest = above(self.last_loss / self.best_loss - 1.0, self.noise, self.noise_assumed);
            write!(f, "the newest eval loss is {newest} its best ")?;
        } else {
            let recent = above(self.rise, self.noise, self.noise_assumed);
            write!(f, "eval loss (median of the last three) is {recent} its best ")?;
        }
        let best = fixed(self.best_loss, 3);
        write!(f, "({best} at {})", places.with_epoch(self.best_step, self.best_epoch))?;
        if let Some(p) = self.p.filter(|p| *p < 0.05) {
            let p = if p < 0.001 { "< 0.001".into() } else { format!("= {p:.3}") };
            write!(f, ", over the same rows (p {p}, all looks counted)")?;
        }
        if self.never_improved {
            f.write_str(", which is the first evaluation: it has never improved")?;
        }
        match self.rise_per_epoch {
            // Slower than a tenth of the whole rise an epoch is not worth the word.
            Some(slope) if slope > 0.1 * self.rise => {
                write!(f, ", and rising by {:.1} % an epoch", 100.0 * slope)?;
            }
            _ => {}
        }
        match self.train_rise() {
            Some(change) if change.abs() < 0.005 => f.write_str("; train loss is where it was then")?,
            Some(change) => {
                let verb = if change < 0.0 { "fell" } else { "rose" };
                write!(f, "; train loss {verb} {:.0} % meanwhile", 100.0 * change.abs())?;
            }
            None => {}
        }
        if self.held {
            f.write_str("; no warning yet, for the learning rate has still to fall")?;
        }
        Ok(())
    }
}

impl Words for NearZeroTrain {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        write!(
            f,
            "train loss is {}{}, below {} since {}{}, while eval loss is {} and no better than \
             before that",
            fixed(self.train_loss, 3),
            unit(self.unit),
            self.limit,
            places.at(self.step),
            // Rows are recited where they are text.
            if self.unit == LossUnit::NatsPerToken { ": the rows are being recited" } else { "" },
            fixed(self.eval_loss, 3)
        )
    }
}

impl Words for NonFinite {
    fn words(&self, f: &mut dyn fmt::Write, places: Places) -> fmt::Result {
        let state =
            if self.recovered { "was not a finite number at" } else { "is not a finite number since" };
        write!(f, "{} {state} {}", self.series, places.at(self.step))?;
        match self.train_loss {
            _ if self.recovered => f.write_str(", and recovered"),
            Some(loss) => write!(f, ", while train loss is a number ({})", fixed(loss, 3)),
            None => Ok(()),
        }
    }
}
