//! The training loop.
//!
//! [`train`] is the whole of it: steps, evaluations, checkpoints, and the wishes that come back
//! from the sink. It knows nothing of who listens: judgement, run log and dashboard are behind the
//! [`Sink`], and the only thing that flows back is [`Control`].

pub mod checkpoint;
pub mod likeness;
pub mod loss;
pub mod optim;
pub mod plan;
pub mod probe;
pub mod schedule;
pub mod step;

use crate::config::Config;
use crate::data::{Augmenter, Encoder, Example, Splits};
use crate::event::sink::{Control, Sink};
use crate::event::{BestPoint, EvalStats, Event, Resumed, RunEnded, RunInfo, Split, StopReason};
use crate::model::CausalLm;
use anyhow::{Result, ensure};
use checkpoint::{Folders, State};
use plan::Plan;
use probe::Probe;
use step::Stepper;

/// The end of a run whose loss is no number.
const BROKEN: Control = Control::Stop(StopReason::NonFinite);

/// What a run works with.
pub struct Job<'a> {
    pub config: &'a Config,
    pub model: &'a CausalLm,
    pub splits: &'a Splits,
    /// Varies the training rows of `splits`, where that is asked for.
    pub augmenter: Option<Augmenter<'a>>,
    /// How the model reads text, and how what it writes is read.
    pub encoder: &'a Encoder,
    pub folders: &'a Folders,
    /// What the first event says.
    pub info: RunInfo,
}

/// Trains the adapter of `state` until the steps are taken or someone says stop.
///
/// With `resumed` the state was read back from a folder, else it is fresh. At every evaluation the
/// state is saved; a run killed at any moment loses what came after.
///
/// # Errors
/// When the device or the disk fails. What was saved before is intact.
pub fn train(job: Job, mut state: State, resumed: bool, sink: &mut dyn Sink) -> Result<RunEnded> {
    let Job { config, model, splits, augmenter, encoder, folders, info } = job;
    ensure!(
        !splits.train.is_empty() && !splits.valid.is_empty(),
        "there is nothing to train on or to judge by"
    );
    let plan = Plan::new(config, splits.train.len());
    let mut stepper = Stepper::new(model, &splits.train, augmenter, config, plan);
    let probe = Probe::new(config, splits, encoder);
    let batch_size = config.eval.batch_size;
    let evaluator = Evaluator { model, valid: &splits.valid, probe, batch_size, plan, folders };

    let mut wish = if resumed {
        folders.save_best(&state)?;
        sink.emit(&Event::RunResumed(Resumed { step: state.step }))
    } else {
        match (sink.emit(&Event::RunStarted(Box::new(info))), evaluator.run(&mut state, sink)?) {
            (_, BROKEN) => BROKEN,
            (first, second) => first.max(second),
        }
    };
    let mut evaluated = true;
    let reason = loop {
        if let Control::Stop(reason) = wish {
            break reason;
        }
        if state.step >= plan.total_steps {
            break StopReason::Finished;
        }
        let next = state.step + 1;
        let parts = stepper.parts();
        let stats = stepper.take(next, &mut state.adapter, &mut state.optimiser)?;
        if stepper.parts() > parts {
            sink.emit(&cut(stepper.parts(), config.train.batch_size));
        }
        wish = sink.emit(&Event::Step(stats));
        if !(stats.loss.is_finite() && stats.grad_norm.is_none_or(f64::is_finite)) {
            break StopReason::NonFinite;
        }
        state.step = next;
        evaluated = plan.evaluates_at(next) || wish == Control::Evaluate;
        if evaluated {
            // A loss that is no number goes before whatever else was wished for: nothing was saved.
            let asked = evaluator.run(&mut state, sink)?;
            wish = if asked == BROKEN { BROKEN } else { wish.max(asked) };
        } else if wish == Control::Save {
            wish = sink.emit(&Event::CheckpointSaved(folders.save_last(&state, None)?));
        }
    };
    if !evaluated && reason != StopReason::NonFinite {
        sink.emit(&Event::CheckpointSaved(folders.save_last(&state, None)?));
    }
    finish(config, model, &splits.test, plan, state, reason, sink)
}

/// What is said when the device has run out of memory for whole batches.
fn cut(parts: usize, batch_size: usize) -> Event {
    let rows = match batch_size.div_ceil(parts) {
        1 => "one row".into(),
        rows => format!("{rows} rows"),
    };
    let text = format!(
        "out of memory: from here on batches are computed {rows} at a time and summed; \
         train.gradient_checkpointing = true takes less memory too"
    );
    Event::warning(text)
}

/// The end of a run: the best adapter back in place, the test rows, the last event.
fn finish(
    config: &Config,
    model: &CausalLm,
    test: &[Example],
    plan: Plan,
    mut state: State,
    reason: StopReason,
    sink: &mut dyn Sink,
) -> Result<RunEnded> {
    let best = state.best.as_ref().map(|(point, _)| *point);
    let mut restored_best = false;
    if reason != StopReason::Interrupted {
        if let Some((_, adapter)) = state.best.filter(|_| config.early_stopping.restore_best) {
            state.adapter = adapter;
            restored_best = true;
        }
        if !test.is_empty() {
            let at = if restored_best { best.map_or(state.step, |point| point.step) } else { state.step };
            let set = loss::evaluate(model, &state.adapter, test, config.eval.batch_size)?;
            sink.emit(&Event::Eval(eval_stats(set, at, plan, Split::Test)));
        }
    }
    let ended =
        RunEnded { reason, step: state.step, epoch: Some(plan.epoch_at(state.step)), best, restored_best };
    sink.emit(&Event::RunEnded(ended.clone()));
    Ok(ended)
}

/// Evaluates the validation rows and saves what follows from it.
struct Evaluator<'a> {
    model: &'a CausalLm,
    valid: &'a [Example],
    probe: Probe<'a>,
    batch_size: usize,
    plan: Plan,
    folders: &'a Folders,
}

impl Evaluator<'_> {
    /// One evaluation. The event is out before the state is saved: a log may know more than a state, never less.
    ///
    /// The probe comes first, so that whoever judges by the validation loss has it at hand.
    fn run(&self, state: &mut State, sink: &mut dyn Sink) -> Result<Control> {
        let mut wish = Control::Continue;
        let epoch = self.plan.epoch_at(state.step);
        for generated in self.probe.generate(self.model, &state.adapter, state.step, epoch)? {
            wish = wish.max(sink.emit(&Event::Generated(generated)));
        }
        if !self.probe.rows.is_empty() {
            let set = loss::evaluate(self.model, &state.adapter, &self.probe.rows, self.batch_size)?;
            let stats = eval_stats(set, state.step, self.plan, Split::TrainProbe);
            wish = wish.max(sink.emit(&Event::Eval(stats)));
        }
        let set = loss::evaluate(self.model, &state.adapter, self.valid, self.batch_size)?;
        let stats = eval_stats(set, state.step, self.plan, Split::Valid);
        let (step, epoch, loss) = (stats.step, stats.epoch, stats.loss);
        wish = wish.max(sink.emit(&Event::Eval(stats)));
        if !loss.is_finite() {
            return Ok(BROKEN);
        }
        if state.best.as_ref().is_none_or(|(best, _)| loss < best.loss) {
            state.best = Some((BestPoint { step, epoch, loss }, state.adapter.clone()));
            if let Some(saved) = self.folders.save_best(state)? {
                wish = wish.max(sink.emit(&Event::CheckpointSaved(saved)));
            }
        }
        let saved = self.folders.save_last(state, Some(loss))?;
        Ok(wish.max(sink.emit(&Event::CheckpointSaved(saved))))
    }
}

fn eval_stats(set: loss::SetLoss, step: u64, plan: Plan, split: Split) -> EvalStats {
    EvalStats {
        step,
        epoch: Some(plan.epoch_at(step)),
        split,
        loss: set.mean(),
        tokens: set.tokens,
        token_accuracy: Some(set.token_accuracy()),
        examples: set.examples,
        ..EvalStats::default()
    }
}

#[cfg(test)]
mod tests;
