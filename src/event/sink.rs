//! Where events go, and the one thing that comes back.
//!
//! The trainer knows a [`Sink`] and nothing of what is behind it. [`Control`] is the return value
//! of `emit`: it carries Ctrl-C, the keys of the dashboard and early stopping back to the loop.
//! [`Command`] is what a person asks for, by a key or from another process.

use super::{Event, StopReason};

/// A consumer of events.
pub trait Sink {
    /// Takes one event; the answer is what the trainer should do next.
    fn emit(&mut self, event: &Event) -> Control;
}

/// What a consumer asks of the trainer, from the mildest to the gravest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    #[default]
    Continue,
    /// Write a checkpoint after this step.
    Save,
    /// Evaluate after this step.
    Evaluate,
    /// End the run after this step, with everything saved.
    Stop(StopReason),
}

/// What a person asks of a trainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Finish this step, save, and end the run as complete.
    Stop,
    /// Go on to the next evaluation, and then do the same.
    StopAfterEval,
    /// Finish this step, save, and end the run so that it can be resumed.
    Interrupt,
    /// Write a checkpoint after this step.
    Save,
    /// Evaluate after this step.
    Evaluate,
    /// Wait after this step, or go on.
    Pause(bool),
}

impl Control {
    /// Of two wishes the graver one; of two stops the first.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Continue => 0,
            Self::Save => 1,
            Self::Evaluate => 2,
            Self::Stop(_) => 3,
        }
    }
}

/// Collects events and never objects: what tests drive the trainer with.
impl Sink for Vec<Event> {
    fn emit(&mut self, event: &Event) -> Control {
        self.push(event.clone());
        Control::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graver_wish_wins_and_of_two_stops_the_first() {
        let (early, interrupted) =
            (Control::Stop(StopReason::EarlyStopping), Control::Stop(StopReason::Interrupted));
        assert_eq!(Control::Continue.max(Control::Save).max(Control::Evaluate), Control::Evaluate);
        assert_eq!(Control::Save.max(early), early);
        assert_eq!(early.max(interrupted), early);
    }
}
