//! A row of named figures into points: the way of every format that writes names beside numbers.
//!
//! Of several losses in one row the plainest counts; the others are its parts. A `train_loss` beside
//! the run's seconds is a summary and no point.

use super::names::{self, Name, Side, What};
use super::points::{At, Train};
use super::{Map, Points, scan};
use crate::event::{EvalStats, LossMeaning, Metric, Split};

/// Names that are remembered; a log has a few dozen at most.
const MOST_NAMES: usize = 128;

/// One figure of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    Number(f64),
    Words(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// What stands between quotes or commas: a number if it is one from end to end.
    pub fn of(text: &'a [u8]) -> Self {
        match scan::number(text) {
            Some((value, length)) if length == text.len() => Self::Number(value),
            _ => Self::Words(text),
        }
    }
}

/// Reads rows, and remembers what their names mean.
#[derive(Debug, Default)]
pub struct Rows {
    map: Map,
    known: Vec<(Vec<u8>, Name)>,
    /// Where the name after the last one found is likely to be.
    next: usize,
    /// Whether there has been an evaluation on held-out rows, so that a test set is only that.
    valid_seen: bool,
    /// Whether the train loss has been given as the mean of an epoch.
    epoch_means: bool,
    /// Whether of several sets without a train set the first is the train set and the last decides.
    last_decides: bool,
    /// The side of names that do not say it.
    side: Option<Side>,
    /// What the losses are, by the figures beside them.
    meaning: LossMeaning,
    row: Row,
}

/// What one row says, as it is gathered.
#[derive(Debug, Default)]
struct Row {
    step: Option<(u8, u64)>,
    epoch: Option<f64>,
    learning_rate: Option<f64>,
    grad_norm: Option<f64>,
    phase: Option<Side>,
    /// Whether it says how long the whole training took, or how fast it was.
    paced: bool,
    /// Steps of the whole run.
    total: Option<u64>,
    train: Option<(u8, f64)>,
    /// Whether the train loss is called that: `train_loss`, not `loss`.
    named: bool,
    evals: Vec<Eval>,
    metrics: Vec<(Option<Side>, Metric)>,
    /// Whether words stand where a loss should.
    garbled: bool,
}

#[derive(Debug)]
struct Eval {
    side: Side,
    set: Option<String>,
    rank: u8,
    loss: f64,
}

/// Whether a metric is of this set, as in `validation_0-auc`.
fn names_set(metric: &str, set: &str) -> bool {
    metric.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == set)
}

/// Whether the words say that there is no figure.
fn means_nothing(words: &[u8]) -> bool {
    const NOTHING: [&[u8]; 4] = [b"none", b"null", b"na", b"n/a"];
    let ruled = words.iter().all(|byte| matches!(byte, b'-' | b':' | b' '));
    ruled || NOTHING.iter().any(|nothing| words.eq_ignore_ascii_case(nothing))
}

impl Rows {
    pub fn new(map: &Map) -> Self {
        Self { map: map.clone(), ..Self::default() }
    }

    /// Of several sets without a train set the first is taken for it, and the last decides.
    #[must_use]
    pub fn last_decides(self) -> Self {
        Self { last_decides: true, ..self }
    }

    /// Figures whose names do not say their side are of this one.
    pub fn set_side(&mut self, side: Option<Side>) {
        self.side = side;
    }

    /// Begins a row.
    pub fn begin(&mut self) {
        let row = &mut self.row;
        (row.step, row.epoch, row.learning_rate, row.grad_norm) = (None, None, None, None);
        (row.phase, row.paced, row.total, row.train, row.named) = (None, false, None, None, false);
        row.evals.clear();
        row.metrics.clear();
        row.garbled = false;
    }

    /// Adds one figure of the row.
    pub fn cell(&mut self, name: &[u8], cell: Cell) {
        let index = self.find(name);
        self.cell_at(index, cell);
    }

    /// As [`Rows::cell`], for a name that was looked up by [`Rows::find`].
    #[inline]
    pub fn cell_at(&mut self, index: usize, cell: Cell) {
        let Some((name, found)) = self.known.get(index) else { return };
        let row = &mut self.row;
        let value = match cell {
            Cell::Number(value) => value,
            Cell::Words(words) => {
                match found.what {
                    What::StepOf => {
                        let step = scan::whole(words);
                        row.step = step.map(|(step, _)| (0, step));
                        let rest = step.and_then(|(_, digits)| words[digits..].strip_prefix(b"/"));
                        row.total = rest.and_then(scan::whole).map(|(total, _)| total);
                    }
                    What::Phase => row.phase = names::side(words),
                    What::Loss(_) | What::Perplexity => row.garbled |= !means_nothing(words),
                    _ => {}
                }
                return;
            }
        };
        let side = found.side.or(self.side);
        match found.what {
            What::Step(rank) if value >= 0.0 && row.step.is_none_or(|(known, _)| rank < known) => {
                row.step = Some((rank, value as u64));
            }
            What::Total if value >= 1.0 => row.total = Some(value as u64),
            // What is told later in a row is of something else: the best so far.
            What::Epoch => row.epoch = row.epoch.or(Some(value)),
            What::LearningRate => row.learning_rate = Some(value),
            What::GradNorm => row.grad_norm = Some(value),
            What::Loss(rank) => {
                self.loss(index, side, rank, if found.log10 { 10_f64.powf(value) } else { value });
            }
            // The worst rank: only where there is no loss.
            What::Perplexity => self.loss(index, side, 5, value.ln()),
            What::Pace => row.paced |= found.side == Some(Side::Train),
            What::Metric => {
                let name = String::from_utf8_lossy(name).into_owned();
                row.metrics.push((side, Metric { name, value }));
            }
            What::Step(_) | What::StepOf | What::Total | What::Phase | What::Aside => {}
        }
    }

    fn loss(&mut self, index: usize, side: Option<Side>, rank: u8, loss: f64) {
        let name = &self.known[index].1;
        let named = name.side.is_some();
        let (side, of_epoch) = (side.or(self.row.phase).unwrap_or(Side::Train), name.of_epoch);
        if side == Side::Train {
            // The mean of an epoch and that of a step are not of one curve.
            if of_epoch && !self.epoch_means {
                self.epoch_means = true;
                self.row.train = None;
            }
            let wanted = of_epoch || !self.epoch_means;
            // One that is called a train loss goes before one that is not.
            let better = |(known, _)| rank < known || rank == known && named && !self.row.named;
            if wanted && self.row.train.is_none_or(better) {
                (self.row.train, self.row.named) = (Some((rank, loss)), named);
            }
            return;
        }
        let set = name.set.clone();
        match self.row.evals.iter_mut().find(|eval| eval.side == side && eval.set == set) {
            Some(eval) if rank < eval.rank => (eval.rank, eval.loss) = (rank, loss),
            Some(_) => {}
            None => self.row.evals.push(Eval { side, set, rank, loss }),
        }
    }

    /// Whether a figure of this name is of held-out rows.
    pub fn is_held_out(&mut self, name: &[u8]) -> bool {
        let index = self.find(name);
        let named = self.known.get(index).and_then(|(_, name)| name.side);
        matches!(named.or(self.side), Some(Side::Valid | Side::Test))
    }

    /// Where in the known names one is; past their end where there is no more room.
    pub fn find(&mut self, name: &[u8]) -> usize {
        let is = |entry: &(Vec<u8>, Name)| entry.0 == name;
        if self.known.get(self.next).is_some_and(is) {
            self.next += 1;
            return self.next - 1;
        }
        let index = self.known.iter().position(is).unwrap_or_else(|| {
            if self.known.len() < MOST_NAMES {
                self.known.push((name.to_vec(), self.understand(name)));
                if names::of_reward(name) {
                    self.meaning = LossMeaning::SURROGATE;
                }
                self.known.len() - 1
            } else {
                MOST_NAMES
            }
        });
        self.next = index + 1;
        index
    }

    /// What a name means: as the user says, else as it reads.
    fn understand(&self, name: &[u8]) -> Name {
        let mapped =
            |column: &Option<String>| column.as_ref().is_some_and(|column| column.as_bytes() == name);
        let read = names::read(name);
        let plain = |what, side| Name { what, side, set: None, of_epoch: false, log10: read.log10 };
        let loss = if read.what == What::Perplexity { read.what } else { What::Loss(0) };
        if mapped(&self.map.eval) {
            Name { set: read.set, ..plain(loss, Some(Side::Valid)) }
        } else if mapped(&self.map.train) {
            plain(loss, Some(Side::Train))
        } else if mapped(&self.map.step) {
            plain(What::Step(0), None)
        } else if matches!(read.what, What::Loss(_) | What::Perplexity)
            && match read.side {
                Some(Side::Valid | Side::Test) => self.map.eval.is_some(),
                _ => self.map.train.is_some(),
            }
        {
            // The user has named another.
            plain(What::Aside, None)
        } else {
            read
        }
    }

    /// The train loss of the row, where it is not the mean of an epoch.
    pub fn loss_of_step(&mut self) -> Option<&mut f64> {
        self.row.train.as_mut().filter(|_| !self.epoch_means).map(|(_, loss)| loss)
    }

    /// Whether the row that was gathered is a train or an eval point; a summary is neither.
    pub fn is_point(&self) -> bool {
        self.row.train.is_some_and(|_| !self.is_summary()) || !self.row.evals.is_empty()
    }

    /// Whether the row is what the trainer says of the whole run at its end: `train_loss` beside
    /// `train_runtime`. A figure of one step is called `loss`, which some put beside their speed.
    pub fn is_summary(&self) -> bool {
        self.row.paced && (self.row.named || self.row.train.is_none()) && self.row.evals.is_empty()
    }

    /// The step that the row says, and its epoch.
    pub fn place(&self) -> (Option<u64>, Option<f64>) {
        (self.row.step.map(|(_, step)| step), self.row.epoch)
    }

    /// Gives the row's points out; what it does not say itself of its place is taken from `hint`.
    pub fn give(&mut self, hint: At, points: &mut Points) -> bool {
        if self.row.garbled {
            points.skip("a loss that is no number");
        }
        if !self.is_point() {
            return false;
        }
        points.means(self.meaning);
        let summary = self.is_summary();
        let row = &mut self.row;
        // What is never ahead of the step is a count so far by the name of a total.
        if let (Some(total), Some((_, step))) = (row.total, row.step)
            && total > step
        {
            points.info().total_steps = Some(total);
        }
        let at = At {
            step: row.step.map(|(_, step)| step).or(hint.step),
            from_bar: row.step.is_none() && hint.from_bar,
            epoch: row.epoch.or(hint.epoch),
        };
        let mut train = row.train.filter(|_| !summary);
        if row.evals.is_empty() {
            // Nearly all rows.
            if let Some((_, loss)) = train {
                let (learning_rate, grad_norm) = (row.learning_rate, row.grad_norm);
                points.train(Train { at, loss, learning_rate, grad_norm });
            }
            return true;
        }
        let mut evals = std::mem::take(&mut row.evals);
        if self.last_decides && train.is_none() && evals.len() > 1 {
            let first = evals.remove(0);
            train = Some((first.rank, first.loss));
            evals.reverse();
            // What else is said of the train set is no metric of held-out rows.
            row.metrics
                .retain(|(_, metric)| first.set.as_ref().is_none_or(|set| !names_set(&metric.name, set)));
        }
        if evals.iter().any(|eval| eval.side == Side::Valid) {
            self.valid_seen = true;
            // Held-out rows come before test rows, whatever the order of the columns.
            evals.sort_by_key(|eval| eval.side == Side::Test);
        }
        // `perplexity: 12.2 eval_loss: 2.5`: that of the evaluation, said once more.
        if !row.named && train.is_some_and(|(rank, _)| rank == 5) && evals.iter().all(|eval| eval.rank < 5) {
            train = None;
        }
        let unlike = |eval: &Eval| train.is_some_and(|(rank, _)| rank < 5 && rank != eval.rank);
        if evals.first().is_some_and(|eval| (2..4).contains(&eval.rank) && unlike(eval)) {
            points.skip("the train loss is of another kind than the eval loss");
            train = None;
        }
        if let Some((_, loss)) = train {
            let (learning_rate, grad_norm) = (row.learning_rate, row.grad_norm);
            points.train(Train { at, loss, learning_rate, grad_norm });
        }
        // With a plain loss there, the named ones are its parts.
        let plain = evals.iter().any(|eval| eval.set.is_none());
        let mut metrics = Some(std::mem::take(&mut row.metrics));
        for eval in evals.into_iter().filter(|eval| !plain || eval.set.is_none()) {
            let test = eval.side == Side::Test && self.valid_seen;
            let own = |(side, _): &(Option<Side>, Metric)| *side == Some(eval.side);
            let metrics = metrics.take().unwrap_or_default();
            points.eval(
                at,
                EvalStats {
                    split: if test { Split::Test } else { Split::Valid },
                    set: eval.set.clone(),
                    loss: eval.loss,
                    metrics: metrics.into_iter().filter(own).map(|(_, metric)| metric).collect(),
                    ..EvalStats::default()
                },
            );
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::ingest::Parsed;

    #[test]
    fn the_decimal_logarithm_of_a_loss_is_taken_back() {
        let map = Map { eval: Some("log10_score".into()), ..Map::default() };
        for (map, name, plain, loss) in [
            (Map::default(), "log10_val_loss", None, 100.0),
            (Map::default(), "log10_val_loss", Some(5.0), 5.0),
            (Map::default(), "val_loss", None, 2.0),
            (map, "log10_score", None, 100.0),
        ] {
            let (mut rows, mut points, mut parsed) = (Rows::new(&map), Points::new("csv"), Parsed::default());
            rows.begin();
            rows.cell(name.as_bytes(), Cell::Number(2.0));
            if let Some(plain) = plain {
                rows.cell(b"val_loss", Cell::Number(plain));
            }
            rows.give(At::step(1), &mut points);
            points.drain(&mut parsed);
            let read = |event: &Event| if let Event::Eval(eval) = event { Some(eval.loss) } else { None };
            let losses: Vec<f64> = parsed.records.iter().filter_map(|record| read(&record.event)).collect();
            assert_eq!(losses, [loss], "{name}");
        }
    }
}
