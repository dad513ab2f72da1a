//! Where events go, and the one thing that comes back.
//!
//! The trainer knows a [`Sink`] and nothing of what is behind it. [`Control`] is the return value
//! of `emit`: it carries Ctrl-C, the keys of the dashboard and early stopping back to the loop.

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

/// Passes every event to several sinks, in order. All of them see it, whatever the first ones ask.
pub struct Tee<'a>(pub Vec<&'a mut dyn Sink>);

impl Sink for Tee<'_> {
    fn emit(&mut self, event: &Event) -> Control {
        self.0.iter_mut().fold(Control::Continue, |wish, sink| wish.max(sink.emit(event)))
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
    use crate::event::{Note, NoteLevel};

    struct Asks(Control, usize);

    impl Sink for Asks {
        fn emit(&mut self, _: &Event) -> Control {
            self.1 += 1;
            self.0
        }
    }

    #[test]
    fn a_tee_reaches_every_sink_and_keeps_the_gravest_wish() {
        let mut first = Asks(Control::Stop(StopReason::EarlyStopping), 0);
        let mut second = Asks(Control::Save, 0);
        let mut third = Asks(Control::Stop(StopReason::Interrupted), 0);
        let event = Event::Note(Note { level: NoteLevel::Info, text: "hello".into() });
        let wish = Tee(vec![&mut first, &mut second, &mut third]).emit(&event);
        assert_eq!(wish, Control::Stop(StopReason::EarlyStopping));
        assert_eq!((first.1, second.1, third.1), (1, 1, 1));
    }
}
