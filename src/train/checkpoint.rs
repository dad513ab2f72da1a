//! What is kept on disk while a run goes on, and how it is taken up again.
//!
//! `best/` and `last/` are PEFT folders for people; `state/` is one file that holds everything a
//! resumed run needs, written in one step, and the only thing read back. It carries the best
//! adapter too, so that `best/` can be put right after an interruption at any moment. What follows from
//! the rest is left out of it: a best adapter that is the current one, and moments before the first step.

use super::optim::AdamW;
use crate::event::{BestPoint, CheckpointRole, CheckpointSaved};
use crate::files;
use crate::model::adapter::files::serialize;
use crate::model::adapter::peft;
use crate::model::lora::Adapter;
use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The folders of a run that the trainer writes to.
#[derive(Clone, Debug)]
pub struct Folders {
    pub best: PathBuf,
    pub last: PathBuf,
    pub state: PathBuf,
    /// What the adapters say their base is.
    pub base: String,
}

const STATE_FILE: &str = "state.safetensors";
const POSITION: &str = "position";

/// A run between two steps.
#[derive(Clone, Debug)]
pub struct State {
    /// Optimiser steps taken.
    pub step: u64,
    pub adapter: Adapter,
    pub optimiser: AdamW,
    /// The adapter with the lowest validation loss so far, and where that was.
    pub best: Option<(BestPoint, Adapter)>,
}

#[derive(Serialize, Deserialize)]
struct Position {
    step: u64,
    best: Option<BestPoint>,
}

impl Folders {
    /// Writes the best adapter of a state to `best/`.
    pub fn save_best(&self, state: &State) -> Result<Option<CheckpointSaved>> {
        let Some((point, adapter)) = &state.best else { return Ok(None) };
        peft::write(&self.best, adapter, &self.base)?;
        Ok(Some(CheckpointSaved { role: CheckpointRole::Best, step: point.step, loss: Some(point.loss) }))
    }

    /// Writes the adapter of a state to `last/` and everything else to `state/`.
    pub fn save_last(&self, state: &State, loss: Option<f64>) -> Result<CheckpointSaved> {
        peft::write(&self.last, &state.adapter, &self.base)?;
        std::fs::create_dir_all(&self.state).with_context(|| self.state.display().to_string())?;
        files::replace(&self.state.join(STATE_FILE), &state.to_bytes()?)?;
        Ok(CheckpointSaved { role: CheckpointRole::Last, step: state.step, loss })
    }

    /// Reads the saved state back into a fresh one; `None` when nothing was saved yet.
    pub fn load(&self, fresh: State) -> Result<Option<State>> {
        let path = self.state.join(STATE_FILE);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
            Ok(bytes) => fresh.read(&bytes).with_context(|| path.display().to_string()).map(Some),
        }
    }
}

impl State {
    /// A run that has not taken a step.
    pub fn new(adapter: Adapter, weight_decay: f64) -> Result<Self> {
        let optimiser = AdamW::new(&adapter, weight_decay)?;
        Ok(Self { step: 0, adapter, optimiser, best: None })
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let names: Vec<String> = self.adapter.tensors().into_iter().map(|(name, _)| name).collect();
        let adapter = self.adapter.tensors();
        let best = self.best.as_ref().filter(|(point, _)| !is_current(point, self.step));
        let best = best.map(|(_, adapter)| adapter.tensors()).unwrap_or_default();
        let moments = |all: &[Tensor]| if has_moments(self.step) { all.to_vec() } else { Vec::new() };
        let named = |part: &'static str, tensors: Vec<Tensor>| -> Vec<(String, Tensor)> {
            names.iter().zip(tensors).map(|(name, tensor)| (format!("{part}.{name}"), tensor)).collect()
        };
        let cloned =
            |tensors: Vec<(String, &Tensor)>| tensors.into_iter().map(|(_, tensor)| tensor.clone()).collect();
        let parts = [
            named("adapter", cloned(adapter)),
            named("best", cloned(best)),
            named("first_moment", moments(&self.optimiser.first)),
            named("second_moment", moments(&self.optimiser.second)),
        ]
        .concat();
        let position = Position { step: self.step, best: self.best.as_ref().map(|(point, _)| *point) };
        let metadata = BTreeMap::from([(POSITION.to_owned(), serde_json::to_string(&position)?)]);
        serialize(parts.iter().map(|(name, tensor)| (name.clone(), tensor)), metadata)
    }

    fn read(mut self, bytes: &[u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let position =
            metadata.metadata().as_ref().and_then(|m| m.get(POSITION)).context("the position is missing")?;
        let position: Position = serde_json::from_str(position)?;
        let names: Vec<String> = self.adapter.tensors().into_iter().map(|(name, _)| name).collect();
        fill(&file, "adapter", &names, self.adapter.tensors_mut())?;
        self.step = position.step;
        if has_moments(self.step) {
            fill(&file, "first_moment", &names, self.optimiser.first.iter_mut().collect())?;
            fill(&file, "second_moment", &names, self.optimiser.second.iter_mut().collect())?;
        }
        self.best = match position.best {
            None => None,
            Some(point) if is_current(&point, self.step) => Some((point, self.adapter.clone())),
            Some(point) => {
                let mut best = self.adapter.clone();
                fill(&file, "best", &names, best.tensors_mut())?;
                Some((point, best))
            }
        };
        Ok(self)
    }
}

/// Whether the best adapter is the one that trains on: a step has one adapter, and the trainer changes it by taking
/// the next step only.
fn is_current(best: &BestPoint, step: u64) -> bool {
    best.step == step
}

/// Whether the optimiser remembers anything yet: before the first step all moments are zero.
fn has_moments(step: u64) -> bool {
    step > 0
}

const OTHER_STATE: &str =
    "\n  hint: it is of a run with other settings; put back its config.toml, or begin a new run";

/// Replaces tensors by those of a file, which must have their shapes.
fn fill(file: &SafeTensors, part: &str, names: &[String], tensors: Vec<&mut Tensor>) -> Result<()> {
    for (name, tensor) in names.iter().zip(tensors) {
        let name = format!("{part}.{name}");
        let Ok(view) = file.tensor(&name) else { bail!("tensor {name} is missing{OTHER_STATE}") };
        ensure!(
            view.shape() == tensor.dims() && view.dtype() == safetensors::Dtype::F32,
            "tensor {name} is {:?} {:?}, expected f32 {:?}{OTHER_STATE}",
            view.dtype(),
            view.shape(),
            tensor.dims()
        );
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        *tensor = Tensor::from_vec(values, tensor.dims(), &Device::Cpu)?.to_device(tensor.device())?;
    }
    Ok(())
}
