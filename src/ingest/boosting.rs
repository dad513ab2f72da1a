//! XGBoost, LightGBM and CatBoost: one line a round, every set and metric beside its name.
//!
//! `[5]<TAB>train-rmse:1.55366<TAB>eval-rmse:1.56345`, `[5]<TAB>train's l2: 2.58293<TAB>valid's l2: 2.57801`,
//! `5:<TAB>learn: 1.6258073<TAB>test: 1.6115740<TAB>best: ...`.

use super::points::At;
use super::rows::{Cell, Rows};
use super::{Format, Map, Points, scan};
use memchr::memchr;

/// `[5]` and what follows it.
fn round(line: &[u8]) -> Option<(u64, &[u8])> {
    // Prefixes of loggers come before; the round is right before a tab.
    let at = memchr(b'\t', line)?;
    let head = line[..at].trim_ascii_end().strip_suffix(b"]")?;
    let open = head.iter().rposition(|&byte| byte == b'[')?;
    let (step, digits) = scan::whole(&head[open + 1..])?;
    (open + 1 + digits == head.len()).then_some((step, &line[at + 1..]))
}

fn cells(rest: &[u8], rows: &mut Rows) {
    for part in rest.split(|&byte| byte == b'\t') {
        if let Some(colon) = part.iter().rposition(|&byte| byte == b':') {
            let value = part[colon + 1..].trim_ascii();
            // Cross validation writes `0.5+0.01`.
            if let Some((value, _)) = scan::number(value) {
                rows.cell(part[..colon].trim_ascii(), Cell::Number(value));
            }
        }
    }
}

/// Takes in the figures of one round.
fn give(rows: &mut Rows, step: u64, rest: &[u8], points: &mut Points) -> bool {
    rows.begin();
    cells(rest, rows);
    if !rows.is_point() {
        points.skip("no metric that is lower for a better model");
    }
    rows.give(At::step(step), points)
}

/// Whether the next round is one that was printed before: the best one, at an early stop.
fn repeats(line: &[u8]) -> bool {
    scan::has(line, b"est iteration")
}

/// XGBoost; of unnamed sets, `validation_0` and `validation_1`, the last decides, as it does there.
pub(super) struct Xgboost {
    rows: Rows,
    repeats: bool,
}

impl Xgboost {
    pub(super) fn new(map: &Map) -> Self {
        Self { rows: Rows::new(map).last_decides(), repeats: false }
    }
}

impl Format for Xgboost {
    fn trainer(&self) -> &'static str {
        "xgboost"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        let Some((step, rest)) = round(line) else {
            self.repeats |= repeats(line);
            return false;
        };
        if std::mem::take(&mut self.repeats) {
            return false;
        }
        if memchr(b'-', rest).is_none() || scan::after(rest, b"'s ").is_some() {
            return false;
        }
        give(&mut self.rows, step, rest, points)
    }
}

/// LightGBM, from Python or from its own program: `[LightGBM] [Info] Iteration:5, valid_1 l2 : 2.57801`.
pub(super) struct Lightgbm {
    rows: Rows,
    repeats: bool,
}

impl Lightgbm {
    pub(super) fn new(map: &Map) -> Self {
        Self { rows: Rows::new(map), repeats: false }
    }
}

impl Format for Lightgbm {
    fn trainer(&self) -> &'static str {
        "lightgbm"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        if let Some((step, rest)) = scan::after(line, b"] Iteration:").and_then(|rest| {
            let (step, digits) = scan::whole(rest)?;
            Some((step, rest[digits..].strip_prefix(b", ")?))
        }) {
            return give(&mut self.rows, step, rest, points);
        }
        let Some((step, rest)) = round(line) else {
            self.repeats |= repeats(line);
            return false;
        };
        if scan::after(rest, b"'s ").is_none() || std::mem::take(&mut self.repeats) {
            return false;
        }
        give(&mut self.rows, step, rest, points)
    }
}

/// CatBoost, whose lines do not name the metric. Of several sets, `test`, `test1` and so on, the last decides,
/// as it does there: its `best` is that of the last. The best tells, too, which way is better: of a score,
/// an AUC say, it rises, and a score is no loss.
pub(super) struct Catboost {
    rows: Rows,
    /// Whether the figures are of a score; `None` until the best has moved.
    score: Option<bool>,
    /// The best of the round before.
    best: Option<f64>,
    /// Rounds that wait for that to be known.
    waiting: Vec<Vec<u8>>,
}

/// So many rounds without any change are taken for losses.
const MOST_WAITING: usize = 100;

impl Catboost {
    pub(super) fn new(map: &Map) -> Self {
        Self { rows: Rows::new(map), score: None, best: None, waiting: Vec::new() }
    }

    /// What a round with these newest and best figures shows: which way is better.
    fn learn(&mut self, newest: f64, best: f64) {
        let before = self.best.replace(best);
        if best != newest {
            self.score = Some(best > newest);
        } else if let Some(before) = before.filter(|before| *before != best) {
            self.score = Some(best > before);
        }
    }

    fn give_waiting(&mut self, points: &mut Points) {
        for line in std::mem::take(&mut self.waiting) {
            self.give(&line, points);
        }
    }

    /// The round at the head of a line.
    fn round(line: &[u8]) -> Option<u64> {
        let head = line[..memchr(b'\t', line)?].strip_suffix(b":")?;
        let from = head.len() - head.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        scan::whole(&head[from..]).map(|(step, _)| step)
    }

    fn give(&mut self, line: &[u8], points: &mut Points) {
        let Some(step) = Self::round(line) else { return };
        if self.score == Some(true) {
            return points.skip("no metric that is lower for a better model");
        }
        self.rows.begin();
        let several = scan::has(line, b"\ttest1: ");
        // The set that comes first decides.
        for (name, value) in line.rsplit(|&byte| byte == b'\t').filter_map(figure) {
            let value = Cell::Number(value);
            match name {
                b"learn" => self.rows.cell(b"learn loss", value),
                b"test" if several => self.rows.cell(b"test 0 loss", value),
                b"test" => self.rows.cell(b"test loss", value),
                name => match name.strip_prefix(b"test") {
                    Some(set) if set.iter().all(u8::is_ascii_digit) => {
                        self.rows.cell(&[b"test ", set, b" loss"].concat(), value);
                    }
                    _ => {}
                },
            }
        }
        self.rows.give(At::step(step), points);
    }
}

impl Format for Catboost {
    fn trainer(&self) -> &'static str {
        "catboost"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        let Some(step) = Self::round(line) else { return false };
        let is_side = |name: &[u8]| name == b"learn" || name.starts_with(b"test");
        if !line.split(|&byte| byte == b'\t').filter_map(figure).any(|(name, _)| is_side(name)) {
            return false;
        }
        if step == 0 {
            // Another fit, of another metric perhaps.
            self.give_waiting(points);
            (self.score, self.best) = (None, None);
        }
        // The figure before the best is that of the set that decides.
        let mut newest = None;
        for (name, value) in line.split(|&byte| byte == b'\t').filter_map(figure) {
            match (name, newest) {
                (b"best", Some(newest)) => self.learn(newest, value),
                (name, _) if name.starts_with(b"test") => newest = Some(value),
                _ => {}
            }
        }
        if newest.is_some() && self.score.is_none() && self.waiting.len() < MOST_WAITING {
            self.waiting.push(line.to_vec());
        } else {
            self.give_waiting(points);
            self.give(line, points);
        }
        true
    }

    fn finish(&mut self, points: &mut Points) {
        self.give_waiting(points);
    }
}

/// `name: value`, with or without words behind it.
fn figure(part: &[u8]) -> Option<(&[u8], f64)> {
    let colon = memchr(b':', part)?;
    let (value, _) = scan::number(part[colon + 1..].trim_ascii())?;
    Some((part[..colon].trim_ascii(), value))
}
