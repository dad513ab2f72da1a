//! What a run's first record says of it: its model, its rows, and the settings that advice depends on; and
//! whether a run that goes on is still the one of that record.

use super::RunArgs;
use crate::cli::Failure;
use crate::cli::data::warnings;
use crate::config::Config;
use crate::data::audit::Side;
use crate::data::{self, Dataset};
use crate::event::record::FORMAT;
use crate::event::{
    AuditedSide, DataAudit, DataInfo, Environment, LossMeaning, ModelInfo, RunInfo, Settings, StepKind,
};
use crate::model::CausalLm;
use crate::model::lora::Adapter;
use crate::store::RunDir;
use crate::train::plan::Plan;
use anyhow::anyhow;
use std::path::Path;

pub(super) fn describe(
    args: &RunArgs,
    path: &Path,
    config: &Config,
    model: &CausalLm,
    dataset: &Dataset,
    adapter: &Adapter,
    dir: &RunDir,
) -> RunInfo {
    let plan = Plan::new(config, dataset.splits.train.len());
    let audit = &dataset.audit;
    RunInfo {
        format: FORMAT,
        name: dir.name(),
        trainer: "tune".into(),
        model: Some(ModelInfo {
            name: config.model.path.clone(),
            params: model.parameters(),
            trainable: adapter.parameters(),
            layers: model.spec.layers,
            vocab: model.spec.vocab,
            checksum: model.checksum,
            device: format!("{}, {}", model.kernels.describe(&model.device), model.dtype.as_str()),
        }),
        data: Some(DataInfo {
            train_rows: audit.train.rows as u64,
            valid_rows: audit.valid.rows as u64,
            test_rows: audit.test.rows as u64,
            train_tokens: audit.train.loss_tokens,
            valid_tokens: audit.valid.loss_tokens,
            train_checksum: data::checksum(&dataset.splits.train),
            valid_checksum: data::checksum(&dataset.splits.valid),
            test_checksum: data::checksum(&dataset.splits.test),
        }),
        total_steps: Some(plan.total_steps),
        steps_per_epoch: Some(plan.steps_per_epoch as f64),
        step_kind: StepKind::Explicit,
        eval_every: Some(plan.eval_every),
        train_loss: LossMeaning::NATS_PER_TOKEN,
        eval_loss: LossMeaning::NATS_PER_TOKEN,
        settings: Settings {
            config: Some(path.display().to_string()),
            overrides: args.overrides.clone(),
            epochs: Some(plan.epoch_at(plan.total_steps)),
            learning_rate: Some(config.train.learning_rate),
            schedule: Some(config.train.schedule.name().into()),
            weight_decay: Some(config.train.weight_decay),
            batch_size: Some(config.train.batch_size),
            lora_r: Some(config.lora.r),
            lora_alpha: Some(config.lora.alpha),
            lora_dropout: Some(config.lora.dropout),
            early_stopping: Some(config.early_stopping.enabled),
        },
        audit: Some(audited(dataset)),
        environment: Some(Environment {
            program: concat!("tune ", env!("CARGO_PKG_VERSION")).into(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            threads: std::thread::available_parallelism().map_or(0, |threads| threads.get() as u64),
        }),
    }
}

/// Says that a run goes on with the model and the rows it began with: held-out rows of another split
/// may have been trained on.
pub(super) fn same_inputs(now: &RunInfo, then: &RunInfo, root: &Path) -> Result<(), Failure> {
    // A log without a beginning: killed before the first record.
    if then.format == 0 {
        return Ok(());
    }
    let size = |info: &RunInfo| info.model.as_ref().map(|model| (model.params, model.vocab, model.trainable));
    let checksum = |info: &RunInfo| info.model.as_ref().map(|model| model.checksum).filter(|sum| *sum != 0);
    let weights = checksum(then).is_none_or(|then| checksum(now) == Some(then));
    let model = size(now) == size(then) && weights;
    // A log of a version that noted nothing of the test rows says as much of others.
    let then_rows = then.data.clone().map(|mut data| {
        if let (0, Some(now)) = (data.test_checksum, &now.data) {
            data.test_checksum = now.test_checksum;
        }
        data
    });
    for (what, same) in [("the rows have", now.data == then_rows), ("the model has", model)] {
        if !same {
            return Err(Failure::usage(anyhow!(
                "{}: {what} changed since this run began\n  hint: put the old files back, or start anew with tune run",
                root.display()
            )));
        }
    }
    Ok(())
}

/// What a look at the rows found.
fn audited(dataset: &Dataset) -> DataAudit {
    let audit = &dataset.audit;
    let sides = [("train", &audit.train), ("held out", &audit.valid), ("test", &audit.test)];
    let side = |(split, side): (&str, &Side)| AuditedSide {
        split: split.into(),
        rows: side.rows as u64,
        tokens: side.tokens,
        loss_tokens: side.loss_tokens,
        median: side.lengths.median as u64,
        longest: side.lengths.max as u64,
        cut: side.cut_rows as u64,
        duplicates: side.duplicates as u64,
        near_duplicates: side.near_duplicates as u64,
    };
    DataAudit {
        sides: sides.into_iter().filter(|(_, side)| side.rows > 0).map(side).collect(),
        warnings: warnings(dataset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_with_its_own_model_and_rows_only() {
        let of = |vocab, checksum, train_checksum| RunInfo {
            format: FORMAT,
            model: Some(ModelInfo { vocab, checksum, ..ModelInfo::default() }),
            data: Some(DataInfo { train_checksum, ..DataInfo::default() }),
            ..RunInfo::default()
        };
        let goes_on =
            |now, then| same_inputs(&now, &then, Path::new("runs/one")).map_err(|f| f.error.to_string());
        assert!(goes_on(of(10, 1, 7), of(10, 1, 7)).is_ok());
        // A log of a version that noted no checksum.
        assert!(goes_on(of(10, 1, 7), of(10, 0, 7)).is_ok());
        let refused =
            [of(10, 2, 7), of(11, 1, 7), of(10, 1, 8)].map(|now| goes_on(now, of(10, 1, 7)).unwrap_err());
        assert!(
            refused[..2].iter().all(|why| why.starts_with("runs/one: the model has changed since")),
            "{refused:?}"
        );
        assert!(refused[2].starts_with("runs/one: the rows have changed since"), "{refused:?}");
        let tested = |test_rows, test_checksum| RunInfo {
            data: Some(DataInfo { test_rows, test_checksum, ..DataInfo::default() }),
            ..of(10, 1, 7)
        };
        assert!(goes_on(tested(4, 9), tested(4, 9)).is_ok());
        assert!(goes_on(tested(4, 9), tested(4, 0)).is_ok());
        for now in [tested(4, 8), tested(0, 0)] {
            let refused = goes_on(now, tested(4, 9)).unwrap_err();
            assert!(refused.starts_with("runs/one: the rows have changed since"), "{refused}");
        }
        // Rows to test on that a run did not begin with are others, too.
        assert!(goes_on(tested(4, 9), tested(0, 0)).is_err());
    }
}
