//! The file store of `MLflow`: `mlruns/<experiment>/<run>/metrics/<name>`, a file a metric, a line a figure.
//!
//! A line is `<milliseconds since 1970> <value> <step>`. What a file is about is in its name alone; the
//! records of a run's files belong together. What is of no curve by itself, a learning rate say, is kept
//! [`Beside`] for the files of the same run.

use super::roles::{Role, Side, role};
use super::scalars::{Figure, Scalars};
use super::{Parsed, Reader, scan};
use crate::event::record::Record;
use crate::event::{Event, RunEnded, StopReason};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest line that can be one of these.
const LINE: usize = 256;

/// Whether a folder of this name is that of a run, which has a `metrics` folder in it.
pub(super) fn is_run(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the metric in this file says something of the points of others, and is best read before them.
pub(super) fn is_beside(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    beside(&role(&name, None)).is_some()
}

/// Which of the names in [`BESIDE`] a metric goes by.
fn beside(role: &Role) -> Option<usize> {
    match role {
        Role::LearningRate => Some(0),
        Role::GradNorm => Some(1),
        Role::Epoch => Some(2),
        _ => None,
    }
}

const BESIDE: [&[u8]; 3] = [b"learning_rate", b"grad_norm", b"epoch"];
/// Steps of which they are kept.
const STEPS: usize = 1 << 20;

/// What the metrics of one run say of each other's points: by step, the figures named in [`BESIDE`].
#[derive(Clone, Debug, Default)]
pub(super) struct Beside(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    steps: BTreeMap<u64, [Option<f32>; 3]>,
    /// The furthest step of any figure that makes a point.
    furthest: u64,
}

impl Beside {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, step: u64, which: usize, value: f64) {
        let steps = &mut self.shared().steps;
        if steps.len() < STEPS || steps.contains_key(&step) {
            steps.entry(step).or_default()[which] = Some(value as f32);
        }
    }

    /// Notes that there is a figure at this step, and tells what is said of it.
    fn visit(&self, step: u64) -> [Option<f32>; 3] {
        let mut shared = self.shared();
        shared.furthest = shared.furthest.max(step);
        shared.steps.get(&step).copied().unwrap_or_default()
    }
}

/// The name of the file that says what became of a run.
pub(super) const STATUS: &str = "meta.yaml";

/// Reads what became of a run: `status: 3` in its `meta.yaml`, which is the last of its files.
#[derive(Debug, Default)]
pub(super) struct Status {
    beside: Beside,
    text: Vec<u8>,
    said: bool,
}

impl Status {
    /// Of a longer file the beginning is read.
    const LONGEST: usize = 1 << 16;

    pub(super) fn of_run(beside: Beside) -> Self {
        Self { beside, ..Self::default() }
    }
}

impl Reader for Status {
    fn push(&mut self, chunk: &[u8], _out: &mut Parsed) {
        let room = Self::LONGEST.saturating_sub(self.text.len());
        self.text.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    fn settle(&mut self, out: &mut Parsed) {
        let lines = self.text.split(|&byte| byte == b'\n');
        let status = lines.filter_map(|line| line.strip_prefix(b"status: ")).find_map(scan::whole);
        // `RunStatus` of its protocol: 1 running, 2 scheduled, 3 finished, 4 failed, 5 killed.
        let reason = match status {
            Some((3, _)) => StopReason::Finished,
            Some((4 | 5, _)) => StopReason::Interrupted,
            _ => return,
        };
        let step = self.beside.shared().furthest;
        if step > 0 && !std::mem::replace(&mut self.said, true) {
            let ended = RunEnded { reason, step, epoch: None, best: None, restored_best: false };
            out.records.push(Record { t: 0.0, event: Event::RunEnded(ended) });
        }
    }

    fn finish(&mut self, out: &mut Parsed) {
        self.settle(out);
    }

    fn trainer(&self) -> &'static str {
        "mlflow"
    }
}

/// Reads one metric.
#[derive(Debug)]
pub struct Mlflow {
    name: String,
    beside: Beside,
    /// A line that has not come to its end.
    kept: Vec<u8>,
    line: u64,
    scalars: Scalars,
}

impl Mlflow {
    /// For the metric called `name`: the path of its file below `metrics/`.
    pub fn new(name: impl Into<String>, side: Option<Side>) -> Self {
        Self::of_run(name, side, Beside::default())
    }

    /// As [`Mlflow::new`], of a run that has other metrics.
    pub(super) fn of_run(name: impl Into<String>, side: Option<Side>, beside: Beside) -> Self {
        Self { name: name.into(), beside, kept: Vec::new(), line: 0, scalars: Scalars::new("mlflow", side) }
    }

    /// Whether a file that begins so is a metric.
    pub fn sniff(head: &[u8]) -> bool {
        let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
        // Milliseconds of this century: what else are three numbers?
        point(line).is_some_and(|(time, ..)| (1e9..1e10).contains(&time))
    }

    fn put(&mut self, figure: Figure, out: &mut Parsed) {
        let name = self.scalars.name(self.name.as_bytes());
        if let Some(which) = beside(self.scalars.role(name)) {
            return self.beside.put(figure.step, which, figure.value);
        }
        self.scalars.put_named(name, figure, &mut out.records);
        for (name, value) in BESIDE.iter().zip(self.beside.visit(figure.step)) {
            if let Some(value) = value {
                // In as many digits as it was kept.
                let value = value.to_string().parse().unwrap_or(f64::NAN);
                self.scalars.put(name, Figure { value, ..figure }, &mut out.records);
            }
        }
    }

    fn take(&mut self, line: &[u8], out: &mut Parsed) {
        self.line += 1;
        if line.trim_ascii().is_empty() {
            return;
        }
        match point(line) {
            Some((time, value, step)) => self.put(Figure { step, time, value }, out),
            None => out.skipped.add(self.line, "not `milliseconds value step`"),
        }
    }
}

impl Reader for Mlflow {
    fn push(&mut self, chunk: &[u8], out: &mut Parsed) {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line = std::mem::take(&mut self.kept);
            if line.is_empty() {
                self.take(&rest[..end], out);
            } else {
                let whole = [&line, &rest[..end.min(LINE + 1)]].concat();
                self.take(&whole, out);
            }
            rest = &rest[end + 1..];
        }
        // Of a line that is too long the beginning is enough to see that.
        let room = (LINE + 1).saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&rest[..rest.len().min(room)]);
    }

    fn settle(&mut self, out: &mut Parsed) {
        self.scalars.settle(&mut out.records);
    }

    fn finish(&mut self, out: &mut Parsed) {
        let line = std::mem::take(&mut self.kept);
        if !line.is_empty() {
            self.take(&line, out);
        }
        self.settle(out);
    }

    fn trainer(&self) -> &'static str {
        "mlflow"
    }
}

/// Seconds since 1970, the figure, and its step.
fn point(line: &[u8]) -> Option<(f64, f64, u64)> {
    if line.len() > LINE {
        return None;
    }
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let time: f64 = words.next()?.parse().ok()?;
    let value = words.next()?.parse().ok()?;
    // Files of the first versions have no step.
    let step = words.next().map_or(Some(0), |step| step.parse().ok())?;
    words.next().is_none().then_some((time / 1000.0, value, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn a_metric_is_read_by_its_name_whatever_is_between() {
        let text = "1795203340907 2.5 6\n\n1795203341907 nan 12\nspoilt\n1795203342907 inf 18";
        assert!(Mlflow::sniff(text.as_bytes()) && !Mlflow::sniff(b"1 2 3\n"));
        for chunk in [1, 3, 1000] {
            let (mut reader, mut out) = (Mlflow::new("eval_loss", None), Parsed::default());
            for piece in text.as_bytes().chunks(chunk) {
                reader.push(piece, &mut out);
            }
            reader.finish(&mut out);
            let points = out.records[1..].iter().map(|record| match &record.event {
                Event::Eval(stats) => format!("{} {} {}", record.t, stats.step, stats.loss),
                other => panic!("{other:?}"),
            });
            assert_eq!(points.collect::<Vec<_>>(), ["0 6 2.5", "1 12 NaN", "2 18 inf"]);
            assert_eq!(out.skipped.first, [(4, "not `milliseconds value step`")]);
        }
    }

    #[test]
    fn what_is_said_beside_a_loss_is_of_its_point() {
        let metrics = [("learning_rate", "1 0.0002 6\n1 0.0001 12\n"), ("epoch", "1 0.5 6\n1 1.0 12\n")];
        let losses = [("loss", "1 2.5 6\n1 2.25 12\n1 2.0 18\n"), ("eval_loss", "1 2.75 12\n")];
        let (run, mut out) = (Beside::default(), Parsed::default());
        for (name, text) in metrics.into_iter().chain(losses) {
            let mut reader = Mlflow::of_run(name, None, run.clone());
            reader.push(text.as_bytes(), &mut out);
            reader.finish(&mut out);
        }
        let mut points = Vec::new();
        for record in &out.records {
            match &record.event {
                Event::Step(stats) => points.push((stats.step, stats.epoch, stats.learning_rate)),
                Event::Eval(stats) => points.push((stats.step, stats.epoch, None)),
                _ => {}
            }
        }
        let steps = [(6, Some(0.5), Some(0.0002)), (12, Some(1.0), Some(0.0001)), (18, None, None)];
        assert_eq!(points[..3], steps);
        assert_eq!(points[3..], [(12, Some(1.0), None)]);
        let is = |name: &str| is_beside(Path::new(name));
        assert!(is("m/metrics/learning_rate") && is("epoch") && is("grad_norm") && !is("loss"));
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let long = format!("1795203340907 2.5 6{}\n", " ".repeat(LINE));
        for chunk in [1, 300, 1000] {
            let (mut reader, mut out) = (Mlflow::new("loss", None), Parsed::default());
            for piece in long.as_bytes().chunks(chunk) {
                reader.push(piece, &mut out);
            }
            assert_eq!((out.records.len(), out.skipped.total()), (0, 1), "in pieces of {chunk}");
        }
        let (mut reader, mut out) = (Mlflow::new("loss", None), Parsed::default());
        for _ in 0..100 {
            reader.push(&[b'1'; 1000], &mut out);
        }
        assert!(reader.kept.len() <= LINE + 1);
        reader.push(b"\n1795203340907 2.5 6\n", &mut out);
        reader.finish(&mut out);
        assert_eq!((out.records.len(), out.skipped.total()), (2, 1));
    }
}
