//! Which steps a run has points of, as few numbers: steps are mostly as far apart as the two before them.

/// Stretches that are remembered. A log whose steps never keep their distance is no reason to run out of memory.
const MOST: usize = 4096;

/// The steps of one series, which only rise.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Stretch>);

#[derive(Debug)]
struct Stretch {
    first: u64,
    last: u64,
    apart: u64,
}

impl Steps {
    /// Adds a step; one that is not beyond the last is passed over.
    pub(super) fn add(&mut self, step: u64) {
        if let Some(stretch) = self.0.last_mut() {
            if step <= stretch.last {
                return;
            }
            let apart = step - stretch.last;
            if stretch.first == stretch.last || apart == stretch.apart {
                (stretch.last, stretch.apart) = (step, apart);
                return;
            }
        }
        if self.0.len() >= MOST {
            self.0.drain(..MOST / 2);
        }
        self.0.push(Stretch { first: step, last: step, apart: 1 });
    }

    /// The last step before this one.
    pub(super) fn before(&self, step: u64) -> Option<u64> {
        let stretch = self.0.iter().rev().find(|stretch| stretch.first < step)?;
        let inside = stretch.first + (step - 1 - stretch.first) / stretch.apart.max(1) * stretch.apart;
        Some(inside.min(stretch.last))
    }

    /// Forgets the steps after this one.
    pub(super) fn cut(&mut self, step: u64) {
        let last = self.before(step.saturating_add(1));
        self.0.retain(|stretch| last.is_some_and(|last| stretch.first <= last));
        if let Some((stretch, last)) = self.0.last_mut().zip(last) {
            stretch.last = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_before_another_is_found_and_what_comes_after_is_forgotten() {
        let mut steps = Steps::default();
        let all = [1, 10, 20, 30, 40, 45, 46, 47, 100];
        for step in all {
            steps.add(step);
        }
        for step in 0..120 {
            assert_eq!(steps.before(step), all.iter().copied().rfind(|&known| known < step), "{step}");
        }
        steps.cut(33);
        assert_eq!((steps.before(200), steps.before(30)), (Some(30), Some(20)));
        steps.add(34);
        assert_eq!(steps.before(200), Some(34));
    }
}
