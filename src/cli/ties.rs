//! The adapters of a run that are tied with its best: kept while they are, and the earliest offered.
//!
//! Which evaluations are tied is for the judgement to say. Here their adapters are put by before the
//! next best takes their place in `best/`, as hard links where the disk has them: nothing is computed
//! or written twice.

use crate::curve::{Curves, EvalPoint};
use crate::diagnosis::{Limits, ties};
use crate::event::{CheckpointRole, CheckpointSaved};
use crate::store::RunDir;
use anyhow::Result;

/// Looks after the tied adapters of one run.
pub(super) struct Ties {
    dir: RunDir,
    /// The step whose adapter is in `earliest/`; `None` where nothing is known of it.
    offered: Option<u64>,
}

impl Ties {
    pub(super) fn new(dir: RunDir) -> Self {
        Self { dir, offered: None }
    }

    /// Puts by what is in `best/`, if the newest evaluation is better and tied with it.
    ///
    /// To be called between an evaluation and what the trainer saves after it.
    pub(super) fn put_by(&self, curves: &Curves) -> Result<()> {
        let newest = curves.eval.len().checked_sub(1);
        if newest.is_none() || curves.best() != newest {
            return Ok(());
        }
        match tied(curves).last() {
            Some(before) => self.dir.keep(&self.dir.best(), &self.dir.tied(before.step)),
            None => Ok(()),
        }
    }

    /// Forgets what is tied no longer and offers the earliest that is; gives it back where it is news.
    ///
    /// To be called once the trainer has saved: a run that is taken up again finds what it had then.
    pub(super) fn settle(&mut self, curves: &Curves) -> Result<Option<CheckpointSaved>> {
        let tied: Vec<&EvalPoint> = tied(curves).collect();
        for step in self.dir.tied_steps() {
            if !tied.iter().any(|point| point.step == step) {
                self.dir.discard(&self.dir.tied(step))?;
            }
        }
        let Some(earliest) = tied.into_iter().find(|point| self.dir.tied(point.step).is_dir()) else {
            self.offered = None;
            self.dir.discard(&self.dir.earliest())?;
            return Ok(None);
        };
        if self.offered == Some(earliest.step) {
            return Ok(None);
        }
        self.dir.keep(&self.dir.tied(earliest.step), &self.dir.earliest())?;
        self.offered = Some(earliest.step);
        let (step, loss) = (earliest.step, Some(earliest.loss));
        Ok(Some(CheckpointSaved { role: CheckpointRole::Earliest, step, loss }))
    }
}

/// The evaluations that are tied with the best, the earliest first.
fn tied(curves: &Curves) -> impl DoubleEndedIterator<Item = &EvalPoint> {
    ties::tied(curves, &Limits::DEFAULT).into_iter().map(|index| &curves.eval[index])
}
