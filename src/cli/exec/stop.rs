//! How a trainer is stopped: asked politely, and again, and then no more. Knows no process and no
//! clock: it is told how long ago the first request was.

use super::child::Ask;
use std::time::Duration;

/// A request to stop that is under way.
#[derive(Debug, Default)]
pub(super) struct Stop {
    asked: usize,
}

impl Stop {
    /// What to ask now, `since` the decision to stop; nothing while the last request may still be
    /// heeded. A trainer is given `grace` to save after the first one, and as long again after the second.
    pub(super) fn ask(&mut self, since: Duration, grace: Duration) -> Option<Ask> {
        let last = grace.saturating_mul(2);
        let steps = [(Duration::ZERO, Ask::Interrupt), (grace, Ask::Terminate), (last, Ask::Kill)];
        let (after, ask) = *steps.get(self.asked)?;
        if since < after {
            return None;
        }
        self.asked += 1;
        Some(ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_three_times_and_each_once() {
        let mut stop = Stop::default();
        let asked: Vec<(u64, Ask)> = (0..100)
            .filter_map(|s| Some((s, stop.ask(Duration::from_secs(s), Duration::from_secs(30))?)))
            .collect();
        assert_eq!(asked, [(0, Ask::Interrupt), (30, Ask::Terminate), (60, Ask::Kill)]);
    }

    #[test]
    fn the_longest_grace_is_no_mistake() {
        let mut stop = Stop::default();
        let asked = [0, 1, 2].map(|s| stop.ask(Duration::from_secs(s), Duration::MAX));
        assert_eq!(asked, [Some(Ask::Interrupt), None, None]);
    }
}
