//! The file store of `MLflow`: `mlruns/<experiment>/<run>/metrics/<name>`, a file a metric, a line a figure.
//!
//! A line is `<milliseconds since 1970> <value> <step>`. Each file is read by itself, and what it is
//! about is in its name alone; the records of a run's files belong together.

use super::roles::Side;
use super::scalars::{Figure, Scalars};
use super::{Parsed, Reader};

/// The longest line that can be one of these.
const LINE: usize = 256;

/// Whether a folder of this name is that of a run, which has a `metrics` folder in it.
pub(super) fn is_run(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads one metric.
#[derive(Debug)]
pub struct Mlflow {
    name: String,
    /// A line that has not come to its end.
    kept: Vec<u8>,
    line: u64,
    scalars: Scalars,
}

impl Mlflow {
    /// For the metric called `name`: the path of its file below `metrics/`.
    pub fn new(name: impl Into<String>, side: Option<Side>) -> Self {
        Self { name: name.into(), kept: Vec::new(), line: 0, scalars: Scalars::new("mlflow", side) }
    }

    /// Whether a file that begins so is a metric.
    pub fn sniff(head: &[u8]) -> bool {
        let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
        // Milliseconds of this century: what else are three numbers?
        point(line).is_some_and(|(time, ..)| (1e9..1e10).contains(&time))
    }

    fn take(&mut self, line: &[u8], out: &mut Parsed) {
        self.line += 1;
        if line.trim_ascii().is_empty() {
            return;
        }
        match point(line) {
            Some((time, value, step)) => {
                self.scalars.put(self.name.as_bytes(), Figure { step, time, value }, &mut out.records);
            }
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
