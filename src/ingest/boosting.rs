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
/// as it does there: its `best` is that of the last.
pub(super) struct Catboost(Rows);

impl Catboost {
    pub(super) fn new(map: &Map) -> Self {
        Self(Rows::new(map))
    }
}

impl Format for Catboost {
    fn trainer(&self) -> &'static str {
        "catboost"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        let Some(tab) = memchr(b'\t', line) else { return false };
        let Some(head) = line[..tab].strip_suffix(b":") else { return false };
        let from = head.len() - head.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let Some((step, _)) = scan::whole(&head[from..]) else { return false };
        self.0.begin();
        let several = scan::has(line, b"\ttest1: ");
        // The set that comes first decides.
        for part in line[tab + 1..].rsplit(|&byte| byte == b'\t') {
            let Some(colon) = memchr(b':', part) else { continue };
            let value = part[colon + 1..].trim_ascii();
            let Cell::Number(value) = Cell::of(value) else { continue };
            match part[..colon].trim_ascii() {
                b"learn" => self.0.cell(b"learn loss", Cell::Number(value)),
                b"test" if several => self.0.cell(b"test 0 loss", Cell::Number(value)),
                b"test" => self.0.cell(b"test loss", Cell::Number(value)),
                name => match name.strip_prefix(b"test") {
                    Some(set) if set.iter().all(u8::is_ascii_digit) => {
                        self.0.cell(&[b"test ", set, b" loss"].concat(), Cell::Number(value));
                    }
                    _ => {}
                },
            }
        }
        self.0.give(At::step(step), points)
    }
}
