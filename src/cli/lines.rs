//! Runs that are watched, as lines: an evaluation a line, and a line when the verdict changes; or the
//! same as JSON Lines. Where there are several runs, each line says of which it is.

use super::print;
use crate::dashboard::{Runs, Update};
use crate::diagnosis::{Limits, Severity, Verdict};
use crate::event::record::Record;
use crate::event::{Event, Split};
use crate::report::text;
use serde::Serialize;

/// Prints what comes of the runs.
pub(super) struct Lines {
    pub(super) runs: Runs,
    json: bool,
    /// Whether only what is asked for is printed: the verdicts.
    quiet: bool,
    /// The last verdict that was printed of each run, by its place in the list.
    verdicts: Vec<(Verdict, Severity)>,
}

/// A line of JSON: something that happened in a run.
#[derive(Serialize)]
struct Happened<'a> {
    run: &'a str,
    #[serde(flatten)]
    record: &'a Record,
}

/// A line of JSON: a verdict that is new.
#[derive(Serialize)]
struct Judged<'a> {
    run: &'a str,
    step: u64,
    verdict: String,
    severity: String,
    message: Option<String>,
}

impl Lines {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        Self { runs: Runs::new(Limits::DEFAULT), json, quiet, verdicts: Vec::new() }
    }

    /// Takes in one update and prints what it tells.
    pub(super) fn take(&mut self, update: Update) {
        let (id, record) = match &update {
            Update::Record { id, record } => (*id, Some(record.clone())),
            Update::Run { id, .. }
            | Update::Output { id, .. }
            | Update::Trainer { id, .. }
            | Update::Written { id, .. }
            | Update::Gone { id } => (*id, None),
        };
        let fresh = matches!(update, Update::Run { .. });
        self.runs.apply(update);
        let Some(index) = self.runs.position(id) else { return };
        self.verdicts.resize(self.runs.list().len(), (Verdict::Undecided, Severity::None));
        if fresh {
            self.verdicts[index] = (Verdict::Undecided, Severity::None);
        }
        if let Some(record) = record.filter(|_| !self.quiet) {
            self.show(index, &record);
        }
        self.judged(index);
    }

    /// What a record tells, but for the verdict.
    fn show(&mut self, index: usize, record: &Record) {
        let Some(run) = self.runs.get(index) else { return };
        let snapshot = run.monitor.snapshot();
        let places = snapshot.run.places();
        if self.json {
            json(&Happened { run: &run.name, record });
        } else {
            let line = match &record.event {
                Event::Eval(stats) if stats.split == Split::Valid => {
                    let (set, eval) = (stats.set.as_deref(), &snapshot.curves.eval);
                    let at = eval.iter().rposition(|point| point.step == stats.step);
                    let first = at.filter(|_| set == snapshot.curves.set());
                    Some(first.map_or_else(
                        || text::set_line(&snapshot, set.unwrap_or_default(), stats.step),
                        |at| text::eval_line(&snapshot, at),
                    ))
                }
                Event::Note(note) => Some(note.text.clone()),
                Event::RunResumed(resumed) => Some(format!("resumed from {}", places.at(resumed.step))),
                Event::RunEnded(ended) => Some(crate::monitor::log::ended(ended, places)),
                _ => None,
            };
            if let Some(line) = line.filter(|line| !line.is_empty()) {
                print(&format!("{}{line}\n", self.prefix(index)));
            }
        }
    }

    /// The verdict, where it is new.
    fn judged(&mut self, index: usize) {
        let Some(run) = self.runs.get(index) else { return };
        let snapshot = run.monitor.snapshot();
        let places = snapshot.run.places();
        let now = (snapshot.diagnosis.verdict, snapshot.diagnosis.severity);
        if now == self.verdicts[index] {
            return;
        }
        self.verdicts[index] = now;
        let finding = snapshot.diagnosis.findings.first();
        if self.json {
            json(&Judged {
                run: &run.name,
                step: snapshot.progress.step,
                verdict: now.0.to_string(),
                severity: now.1.to_string(),
                message: finding.map(|finding| finding.message(places)),
            });
        } else {
            let why = finding.map_or(String::new(), |finding| format!(": {}", finding.message(places)));
            print(&format!(
                "{}{} at {}{why}\n",
                self.prefix(index),
                text::verdict(&snapshot),
                places.at(snapshot.progress.step)
            ));
        }
    }

    /// The end of the last of them: each run's story.
    pub(super) fn summary(&self) {
        if self.json {
            return;
        }
        for run in self.runs.list() {
            let name = if self.runs.list().len() > 1 { format!("\n{}\n", run.name) } else { "\n".into() };
            print(&(name + &text::summary(&run.monitor.snapshot())));
        }
    }

    fn prefix(&self, index: usize) -> String {
        match self.runs.get(index) {
            Some(run) if self.runs.list().len() > 1 => format!("{}: ", run.name),
            _ => String::new(),
        }
    }
}

fn json(line: &impl Serialize) {
    if let Ok(line) = serde_json::to_string(line) {
        print(&(line + "\n"));
    }
}
