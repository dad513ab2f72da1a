//! llama.cpp's `llama-finetune`: bars that draw the running mean of an epoch over and over.
//!
//! Only the last frame of a bar, `data=N/N`, is the epoch's value. The number of the epoch stands in
//! lines between the bars, up to 99 (two digits are printed of it: `1.1e+02`); from there on it is counted.

use super::points::{At, Train};
use super::{Format, Points, scan};
use crate::event::EvalStats;
use memchr::memchr;

#[derive(Default)]
pub(super) struct LlamaCpp {
    /// The epoch as it was last printed.
    printed: Option<u64>,
    /// Train bars that were completed, those before the log began included.
    completed: u64,
}

impl Format for LlamaCpp {
    fn trainer(&self) -> &'static str {
        "llama.cpp"
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        if memchr(b'=', line).is_none() {
            if let Some(epochs) = scan::whole_after(line, b" -epochs ").filter(|_| !points.started()) {
                // They are counted from 0.
                points.epochs_in_all(epochs.saturating_sub(1));
            }
            return false;
        }
        if let Some(epoch) = scan::after(line, b" epoch ").filter(|_| scan::has(line, b"lr=")) {
            let plain = |(_, digits): &(u64, usize)| epoch.get(*digits) == Some(&b' ');
            self.printed = scan::whole(epoch).filter(plain).map(|(epoch, _)| epoch);
        }
        let Some(rest) = scan::after(line, b"data=") else { return false };
        let Some((done, digits)) = scan::whole(rest) else { return false };
        let Some(rest) = rest[digits..].strip_prefix(b"/") else { return false };
        let Some((all, _)) = scan::whole(rest) else { return false };
        let train = scan::has(line, b"train: [");
        if !train && !scan::has(line, b"val: ") {
            return false;
        }
        if done < all {
            return true;
        }
        let Some(loss) = scan::number_after(rest, b"loss=") else { return false };
        if train {
            let epoch = self.printed.unwrap_or(self.completed);
            self.completed = epoch.saturating_add(1);
            let at = place(epoch);
            points.train(Train { at, loss, ..Train::default() });
        } else {
            let at = place(self.completed.saturating_sub(1));
            points.eval(at, EvalStats { loss, ..EvalStats::default() });
        }
        true
    }
}

fn place(epoch: u64) -> At {
    At::epoch(epoch as f64)
}
