//! torchtune: `Step 1 | loss:2.1002 lr:0.002 ...` of its loggers, and the bar `12|96|Loss: 0.51: 100%|`
//! (epoch, step, loss) of its stdout.

use super::points::{At, Train};
use super::rows::{Cell, Rows};
use super::{Format, Map, Points, scan};
use crate::event::EvalStats;
use memchr::memchr;

pub(super) struct Torchtune {
    rows: Rows,
    /// Whether the loggers' lines have been seen: the bars say the same again.
    logged: bool,
}

impl Torchtune {
    pub(super) fn new(map: &Map) -> Self {
        Self { rows: Rows::new(map), logged: false }
    }

    fn logger(&mut self, rest: &[u8], points: &mut Points) -> bool {
        let Some((step, digits)) = scan::whole(rest) else { return false };
        let Some(rest) = rest[digits..].strip_prefix(b" | ") else { return false };
        self.rows.begin();
        let mut own = false;
        for word in rest.split(|&byte| byte == b' ') {
            let Some(colon) = memchr(b':', word) else { continue };
            own |= colon + 1 < word.len();
            let value = word[colon + 1..].strip_prefix(b"tensor(").unwrap_or(&word[colon + 1..]);
            if let Some((value, _)) = scan::number(value) {
                self.rows.cell(&word[..colon], Cell::Number(value));
            }
        }
        own && self.rows.give(At::step(step), points)
    }
}

impl Format for Torchtune {
    fn trainer(&self) -> &'static str {
        "torchtune"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        if let Some(rest) = scan::after(line, b"Step ") {
            let own = self.logger(rest, points);
            self.logged |= own;
            return own;
        }
        if self.logged {
            return false;
        }
        let Some(at) = scan::find(line, b"|Loss: ") else {
            // Its recipes say the mean of an evaluation beside the bar.
            if points.started()
                && let Some(loss) = scan::number_after(line, b"Validation loss: ")
            {
                points.eval(At::default(), EvalStats { loss, ..EvalStats::default() });
            }
            return false;
        };
        let mut places = line[..at].rsplit(|&byte| byte == b'|');
        let mut place = || scan::whole(places.next()?.trim_ascii()).map(|(value, _)| value);
        let (Some(step), Some(epoch)) = (place(), place()) else { return false };
        let Some((loss, _)) = scan::number(&line[at + b"|Loss: ".len()..]) else { return false };
        // The bar is drawn several times for a step, and its last frame may come after the end.
        if points.last_train() != Some(step) {
            let at = At { epoch: Some(epoch as f64), ..At::step(step) };
            points.train(Train { at, loss, ..Train::default() });
        }
        true
    }
}
