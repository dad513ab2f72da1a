//! A document that is written anew as a run goes on, such as `trainer_state.json`: which of its records are known.
//!
//! Given out again they would be news each time, to whoever is notified and to whoever reads along.

use crate::event::Event;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// The records of a document that have been given out; of another file none is kept.
pub(super) struct Known {
    is_document: bool,
    /// A hash of each.
    hashes: Vec<u64>,
    /// How many of them have been met again, while the document is read once more.
    again: Option<usize>,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    New,
    Known,
    /// Not what stood there before: the document is of another run.
    Other,
}

impl Known {
    pub(super) fn of(path: &Path) -> Self {
        let is_document = path.extension().is_some_and(|extension| extension == "json");
        Self { is_document, hashes: Vec::new(), again: None }
    }

    /// The document is read from its beginning.
    pub(super) fn again(&mut self) {
        self.again = self.is_document.then_some(0);
    }

    /// Takes in the next record.
    pub(super) fn meet(&mut self, event: &Event) -> Met {
        let hash = hash(event);
        match (self.again, hash) {
            (Some(met), _) if met == self.hashes.len() => self.again = None,
            // What stands at the end of a part may stand elsewhere in the whole.
            (Some(_), None) => return Met::Known,
            (Some(met), Some(hash)) if self.hashes[met] == hash => {
                self.again = Some(met + 1);
                return Met::Known;
            }
            (Some(_), Some(_)) => return Met::Other,
            (None, _) => {}
        }
        self.hashes.extend(hash.filter(|_| self.is_document));
        Met::New
    }
}

/// What a record is told by: its place and its loss; `None` for what is said of the end.
fn hash(event: &Event) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match event {
        Event::RunStarted(run) => run.trainer.hash(&mut hasher),
        Event::RunResumed(resumed) => (1, resumed.step).hash(&mut hasher),
        Event::Step(step) => (2, step.step, step.loss.to_bits()).hash(&mut hasher),
        Event::Eval(eval) => (3, eval.step, eval.loss.to_bits(), &eval.set).hash(&mut hasher),
        Event::Generated(generated) => (4, generated.step).hash(&mut hasher),
        Event::CheckpointSaved(saved) => (5, saved.step).hash(&mut hasher),
        Event::Note(_) | Event::RunEnded(_) | Event::Unknown => return None,
    }
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EvalStats;

    #[test]
    fn what_was_there_before_is_known_until_something_differs() {
        let eval = |step, loss| Event::Eval(EvalStats { step, loss, ..EvalStats::default() });
        let mut known = Known::of(Path::new("trainer_state.json"));
        let mut meet = |again: bool, events: &[Event]| {
            if again {
                known.again();
            }
            events.iter().map(|event| known.meet(event)).collect::<Vec<_>>()
        };
        let note = || Event::warning("cut short".into());
        assert_eq!(meet(false, &[eval(1, 2.0), note()]), [Met::New, Met::New]);
        assert_eq!(meet(true, &[note(), eval(1, 2.0), eval(2, 1.9)]), [Met::Known, Met::Known, Met::New]);
        assert_eq!(meet(true, &[eval(1, 2.0), eval(2, 1.8)]), [Met::Known, Met::Other]);
    }
}
