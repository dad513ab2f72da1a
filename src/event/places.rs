//! What a place in a run is called: its step, or the epoch where a log has no steps and epochs are
//! counted in their place. What is said of foreign logs takes its words from here.

use super::RunInfo;
use serde::{Deserialize, Serialize};

/// Where the steps of a run are from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Each figure says its own.
    #[default]
    Explicit,
    /// The progress bar beside each figure does.
    Bar,
    /// Worked out from the epoch and the number of steps in one.
    WorkedOut,
    /// There are none: whole epochs are counted.
    Epoch,
    /// There are none: thousandths of an epoch are counted.
    EpochThousandth,
    /// There are none: the figures themselves are counted.
    Ordinal,
}

impl StepKind {
    /// What a reader must know of the steps.
    pub fn words(self) -> Option<&'static str> {
        match self {
            Self::Explicit => None,
            Self::Bar => Some("steps are read from the progress bar beside each figure"),
            Self::WorkedOut => Some("steps are worked out from the epoch and the number of steps in one"),
            Self::Epoch => Some("no steps are written: epochs are counted in their place"),
            Self::EpochThousandth => {
                Some("no steps are written: epochs are counted in their place, in thousandths")
            }
            Self::Ordinal => Some("neither steps nor epochs are written: the figures are counted"),
        }
    }

    /// Whether the numbers are no steps of the trainer's, so that none of its checkpoints can be told by them.
    pub fn is_made_up(self) -> bool {
        matches!(self, Self::Epoch | Self::EpochThousandth | Self::Ordinal)
    }
}

/// How the places of one run are called.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Places {
    /// What one epoch counts, where epochs are counted in the place of steps.
    per_epoch: Option<f64>,
    /// Whether figures are counted in the place of steps.
    ordinal: bool,
}

impl RunInfo {
    /// How the places of this run are called.
    pub fn places(&self) -> Places {
        Places {
            per_epoch: self.steps_per_epoch.filter(|per_epoch| self.counts_epochs() && *per_epoch > 0.0),
            ordinal: self.step_kind == StepKind::Ordinal,
        }
    }

    /// Whether epochs, or parts of them, are counted in the place of steps.
    pub fn counts_epochs(&self) -> bool {
        matches!(self.step_kind, StepKind::Epoch | StepKind::EpochThousandth)
    }
}

impl Places {
    /// `step 120`, or `epoch 3.25`.
    pub fn at(self, step: u64) -> String {
        format!("{} {}", self.unit(), self.number(step))
    }

    /// The place with its epoch, where that says more: `step 120, epoch 3.0`.
    pub fn with_epoch(self, step: u64, epoch: Option<f64>) -> String {
        match self.epoch(epoch).filter(|epoch| *epoch > 0.0) {
            Some(epoch) => format!("{}, epoch {epoch:.1}", self.at(step)),
            None => self.at(step),
        }
    }

    /// The number, of how many in all where that is known: `120/600`, or `3.25/6`.
    pub fn of_all(self, step: u64, total: Option<u64>) -> String {
        total.map_or_else(
            || self.number(step),
            |total| format!("{}/{}", self.number(step), self.number(total)),
        )
    }

    /// The epoch, where it says more than the place does.
    pub fn epoch(self, epoch: Option<f64>) -> Option<f64> {
        epoch.filter(|_| self.per_epoch.is_none())
    }

    /// The number alone: `120`, or `3.25`.
    pub fn number(self, step: u64) -> String {
        let Some(per_epoch) = self.per_epoch else { return step.to_string() };
        let number = format!("{:.2}", step as f64 / per_epoch);
        number.trim_end_matches('0').trim_end_matches('.').into()
    }

    /// How many steps are one of what is counted.
    pub fn one(self) -> f64 {
        self.per_epoch.unwrap_or(1.0)
    }

    /// What is counted.
    pub fn unit(self) -> &'static str {
        match self.per_epoch {
            Some(_) => "epoch",
            None if self.ordinal => "figure",
            None => "step",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_called_what_its_log_counts() {
        let run = |counts_epochs, per_epoch| RunInfo {
            step_kind: if counts_epochs { StepKind::EpochThousandth } else { StepKind::Explicit },
            steps_per_epoch: Some(per_epoch),
            ..RunInfo::default()
        };
        let words = |run: RunInfo, step| (run.places().at(step), run.places().with_epoch(step, Some(1.25)));
        for (run, step, at, with_epoch) in [
            (run(false, 96.0), 120, "step 120", "step 120, epoch 1.2"),
            (run(true, 1000.0), 1250, "epoch 1.25", "epoch 1.25"),
            (run(true, 1000.0), 20_000, "epoch 20", "epoch 20"),
            (run(true, 1.0), 40, "epoch 40", "epoch 40"),
            (RunInfo::default(), 0, "step 0", "step 0, epoch 1.2"),
            (
                RunInfo { step_kind: StepKind::Ordinal, ..RunInfo::default() },
                7,
                "figure 7",
                "figure 7, epoch 1.2",
            ),
        ] {
            assert_eq!(words(run, step), (at.into(), with_epoch.into()));
        }
        for (counts_epochs, of_all, epoch) in [(false, "120/600", Some(1.25)), (true, "1.2/6", None)] {
            let places = run(counts_epochs, 100.0).places();
            assert_eq!((places.of_all(120, Some(600)).as_str(), places.epoch(Some(1.25))), (of_all, epoch));
        }
    }
}
