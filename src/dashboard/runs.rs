//! The runs that the dashboard knows, and what reaches it about them: one [`Monitor`] a run, in the
//! order in which they appeared. Draws nothing and reads no channel.

use crate::diagnosis::Limits;
use crate::event::StopReason;
use crate::event::record::Record;
use crate::monitor::Monitor;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Lines of a foreign trainer's output that are kept.
const OUTPUT_LINES: usize = 5000;
/// Characters of such a line that are kept.
const OUTPUT_WIDTH: usize = 500;

/// A log to which nothing was added for so many seconds is not said to be running.
pub const STALE_S: u64 = 600;

/// What reaches the dashboard. The sender chooses the ids; they need not follow each other.
#[derive(Clone, Debug)]
pub enum Update {
    /// A run begins, or begins anew: whatever was known under this id is forgotten, but for what its
    /// trainer has printed.
    Run { id: usize, name: String },
    /// Something happened in a run.
    Record { id: usize, record: Record },
    /// A line that a foreign trainer printed, for the log panel.
    Output { id: usize, line: String },
    /// Whether the run's trainer can be asked for something has changed, or whether it waits.
    Trainer { id: usize, trainer: Trainer },
    /// All that the run's source had is told; it was last written to so long ago.
    Written { id: usize, age: Duration },
    /// No more will come of this run.
    Gone { id: usize },
}

/// What is known of the trainer of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trainer {
    /// There is none that could be asked for anything.
    #[default]
    Deaf,
    /// It can be asked to end, and for no more.
    Stoppable,
    /// It was asked to end, and has not yet.
    Asked,
    /// It can be asked for everything.
    Listening,
    /// The same, and it waits.
    Paused,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    id: usize,
    /// As its source is named.
    pub name: String,
    /// What is known of it.
    pub monitor: Monitor,
    /// The newest lines that its trainer printed, oldest first.
    pub output: VecDeque<String>,
    /// What is known of its trainer.
    pub trainer: Trainer,
    /// No more will come.
    pub gone: bool,
    /// How old the newest that was heard of it was when it came, where that was since the last
    /// [`Runs::tick`].
    news: Option<Duration>,
    /// When that came, and how old it was then.
    heard: Option<(Instant, Duration)>,
    /// Seconds since then, as of the last [`Runs::tick`].
    pub idle_s: u64,
}

/// All runs, in the order in which they appeared.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    limits: Limits,
    list: Vec<Run>,
}

impl Run {
    fn new(id: usize, name: String, monitor: Monitor) -> Self {
        Self {
            id,
            name,
            monitor,
            output: VecDeque::new(),
            trainer: Trainer::Deaf,
            gone: false,
            news: None,
            heard: None,
            idle_s: 0,
        }
    }

    /// As its sender knows it.
    pub fn id(&self) -> usize {
        self.id
    }

    /// For how long nothing has been written, where that is so long that it may well be over: whoever writes
    /// it cannot be asked.
    pub fn stale_s(&self) -> Option<u64> {
        Some(self.idle_s).filter(|idle| *idle >= STALE_S && self.trainer == Trainer::Deaf && !self.is_over())
    }

    /// Whether its newest session ended by an interrupt.
    pub fn was_interrupted(&self) -> bool {
        self.monitor.snapshot().ended.is_some_and(|ended| ended.reason == StopReason::Interrupted)
    }

    /// Whether there is nothing to wait for: the run has ended, or its log has.
    pub fn is_over(&self) -> bool {
        self.gone || self.monitor.snapshot().ended.is_some()
    }

    /// Whether anything has come of it beside what was there at first.
    pub fn has_news(&self) -> bool {
        self.news.is_some() || self.heard.is_some()
    }
}

impl Runs {
    /// No runs yet; those that come are judged by `limits`.
    pub fn new(limits: Limits) -> Self {
        Self { limits, list: Vec::new() }
    }

    /// With a run of which something is known already, and whose trainer listens.
    #[must_use]
    pub fn with(mut self, id: usize, name: impl Into<String>, monitor: Monitor) -> Self {
        self.list.push(Run { trainer: Trainer::Listening, ..Run::new(id, name.into(), monitor) });
        self
    }

    /// All, in the order in which they appeared.
    pub fn list(&self) -> &[Run] {
        &self.list
    }

    /// The one of this index, if there is one.
    pub fn get(&self, index: usize) -> Option<&Run> {
        self.list.get(index)
    }

    /// Where the run with this id is in the list.
    pub fn position(&self, id: usize) -> Option<usize> {
        self.list.iter().position(|run| run.id == id)
    }

    /// The run with this id, and all that was seen of it.
    pub fn into_monitor(self, id: usize) -> Option<Monitor> {
        self.list.into_iter().find(|run| run.id == id).map(|run| run.monitor)
    }

    /// Takes in one update.
    pub fn apply(&mut self, update: Update) {
        match update {
            Update::Run { id, name } => {
                let mut run = Run::new(id, name, Monitor::new(self.limits));
                match self.position(id) {
                    // The log begins anew, not the process that writes it.
                    Some(index) => {
                        run.trainer = self.list[index].trainer;
                        run.output = std::mem::take(&mut self.list[index].output);
                        self.list[index] = run;
                    }
                    None => self.list.push(run),
                }
            }
            Update::Record { id, record } => {
                let run = self.run(id);
                run.news = Some(Duration::ZERO);
                run.monitor.apply(&record);
            }
            Update::Output { id, line } => {
                let run = self.run(id);
                run.news = Some(Duration::ZERO);
                let output = &mut run.output;
                if output.len() == OUTPUT_LINES {
                    output.pop_front();
                }
                output.push_back(line.chars().take(OUTPUT_WIDTH).collect());
            }
            Update::Trainer { id, trainer } => self.run(id).trainer = trainer,
            Update::Written { id, age } => {
                let run = self.run(id);
                run.news = Some(age);
                run.monitor.settle();
            }
            Update::Gone { id } => {
                let run = self.run(id);
                (run.gone, run.trainer) = (true, Trainer::Deaf);
                run.monitor.settle();
            }
        }
    }

    /// It is `now`: works out how long nothing was heard of each run.
    pub fn tick(&mut self, now: Instant) {
        for run in &mut self.list {
            if let Some(age) = run.news.take() {
                run.heard = Some((now, age));
            }
            let over = run.is_over();
            let heard = run.heard.filter(|_| !over);
            run.idle_s = heard.map_or(0, |(at, age)| (now.duration_since(at) + age).as_secs());
        }
    }

    /// No more will come of any run.
    pub fn close(&mut self) {
        self.list.iter_mut().for_each(|run| run.gone = true);
    }

    /// The run with this id; one without a name where it was not announced.
    fn run(&mut self, id: usize) -> &mut Run {
        let index = self.position(id).unwrap_or_else(|| {
            self.list.push(Run::new(id, String::new(), Monitor::new(self.limits)));
            self.list.len() - 1
        });
        &mut self.list[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, StepStats};

    fn step(id: usize, step: u64) -> Update {
        let stats = StepStats { step, loss: 1.0, ..StepStats::default() };
        Update::Record { id, record: Record { t: 0.0, event: Event::Step(stats) } }
    }

    #[test]
    fn each_run_has_a_monitor_of_its_own_and_may_begin_anew() {
        let mut runs = Runs::default();
        let name = |name: &str| name.to_owned();
        for update in [
            Update::Run { id: 7, name: name("a") },
            step(7, 1),
            step(7, 2),
            Update::Run { id: 3, name: name("b") },
            step(3, 9),
            Update::Output { id: 7, line: "kept".into() },
            Update::Run { id: 7, name: name("a") },
            step(7, 5),
            Update::Gone { id: 3 },
        ] {
            runs.apply(update);
        }
        let steps: Vec<u64> = runs.list().iter().map(|run| run.monitor.snapshot().progress.step).collect();
        assert_eq!(steps, [5, 9]);
        assert_eq!(runs.get(0).unwrap().monitor.snapshot().curves.train.len(), 1);
        assert_eq!(runs.get(0).unwrap().output, ["kept"]);
        assert_eq!(runs.list().iter().map(Run::is_over).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn output_is_bounded() {
        let mut runs = Runs::default();
        for i in 0..OUTPUT_LINES + 10 {
            runs.apply(Update::Output { id: 0, line: format!("{i} {}", "x".repeat(2 * OUTPUT_WIDTH)) });
        }
        let output = &runs.get(0).unwrap().output;
        assert_eq!(output.len(), OUTPUT_LINES);
        assert!(output[0].starts_with("10 ") && output[0].len() == OUTPUT_WIDTH);
    }
}
