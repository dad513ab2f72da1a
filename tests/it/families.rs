//! Every model family against transformers and PEFT, on the fixtures that `make.py` wrote.
//!
//! Both implementations of the kernels are held to the same figures.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read is a failed test")]

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tune::config::Dtype;
use tune::kernel::{Dropout, Kernels, Layout};
use tune::model::adapter::peft;
use tune::model::lora::Adapter;
use tune::model::{Batch, CausalLm, Training};
use tune::train::optim::AdamW;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models");

/// The fixtures that there are: one for each family at least, see the test there.
fn fixtures() -> Vec<String> {
    let folders =
        std::fs::read_dir(FIXTURES).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir());
    folders.map(|folder| folder.file_name().into_string().unwrap()).collect()
}

/// What `make.py` wrote down beside the tensors.
#[derive(Deserialize)]
struct Expected {
    rows: Vec<Row>,
    loss: f64,
    learning_rate: f64,
    weight_decay: f64,
    /// Rows of a step.
    batch: usize,
    curve: Vec<f64>,
}

#[derive(Deserialize)]
struct Row {
    ids: Vec<u32>,
    loss_from: usize,
}

struct Fixture {
    name: String,
    folder: PathBuf,
    expected: Expected,
    model: CausalLm,
    adapter: Adapter,
}

impl Fixture {
    fn new(name: &str, kernels: Kernels) -> Self {
        let folder = Path::new(FIXTURES).join(name);
        let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        let mut model = CausalLm::load(folder.to_str().unwrap(), Dtype::F32, 64, &Device::Cpu).unwrap();
        model.kernels = kernels;
        let adapter = peft::read(&folder.join("adapter"), &model.spec, &Device::Cpu).unwrap();
        Self { name: name.into(), folder, expected: serde_json::from_str(&expected).unwrap(), model, adapter }
    }

    /// One of the expected tensors, flat.
    fn tensor(&self, name: &str) -> Vec<f32> {
        let bytes = std::fs::read(self.folder.join("expected.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("{}: no tensor {name}", self.name));
        view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    fn batch(&self, rows: impl Iterator<Item = usize>) -> Batch {
        let mut batch =
            Batch { ids: vec![], layout: Layout { starts: vec![0], positions: vec![] }, targets: vec![] };
        for Row { ids, loss_from } in rows.map(|row| &self.expected.rows[row]) {
            let start = batch.ids.len();
            batch.ids.extend(ids);
            batch.layout.positions.extend(0..ids.len() as u32);
            batch.layout.starts.push(batch.ids.len());
            let target = |i: usize| ((start + i - 1) as u32, ids[i]);
            batch.targets.extend((*loss_from..ids.len()).map(target));
        }
        batch
    }

    fn whole(&self) -> Batch {
        self.batch(0..self.expected.rows.len())
    }
}

/// Runs a check on every family with both kernels.
fn everywhere(check: impl Fn(&Fixture)) {
    for kernels in [Kernels::Portable, Kernels::Cpu] {
        for name in fixtures() {
            check(&Fixture::new(&name, kernels));
        }
    }
}

/// Largest difference over largest magnitude.
fn off(ours: &Tensor, expected: &[f32]) -> f32 {
    let ours: Vec<f32> = ours.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(ours.len(), expected.len());
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, |top: f32, x| top.max(x.abs()));
    largest(&mut ours.iter().zip(expected).map(|(a, b)| a - b)) / largest(&mut expected.iter().copied())
}

fn sum(nats: &[f32]) -> f64 {
    nats.iter().map(|&n| f64::from(n)).sum()
}

#[test]
fn logits_are_those_of_transformers() {
    everywhere(|fixture| {
        let batch = fixture.whole();
        for (name, adapter) in
            [("base_logits", &Adapter::none(&fixture.model.spec)), ("logits", &fixture.adapter)]
        {
            let logits = fixture.model.logits(&batch, adapter).unwrap();
            let off = off(&logits, &fixture.tensor(name));
            assert!(off < 1e-5, "{} with {:?}: {name} off by {off:e}", fixture.name, fixture.model.kernels);
        }
    });
}

#[test]
fn loss_and_gradients_are_those_of_peft() {
    everywhere(|fixture| {
        let batch = fixture.whole();
        let share = 1.0 / batch.targets.len() as f32;
        let (loss, gradients) = fixture
            .model
            .forward_backward(Training { grad_scale: share, ..Training::default() }, &batch, &fixture.adapter)
            .unwrap();
        let mean = sum(&loss.nats) * f64::from(share);
        let expected = fixture.expected.loss;
        assert!((mean - expected).abs() < 1e-5 * expected, "{}: loss {mean}, {expected}", fixture.name);
        let names = fixture.adapter.tensors().into_iter().map(|(name, _)| name);
        for (name, gradient) in names.zip(gradients.tensors()) {
            let expected = fixture.tensor(&format!("grad.base_model.model.{name}"));
            let off = off(gradient, &expected);
            assert!(off < 1e-4, "{}: gradient of {name} off by {off:e}", fixture.name);
        }
    });
}

#[test]
fn twenty_steps_are_those_of_transformers_and_peft() {
    everywhere(|fixture| {
        let Expected { rows, learning_rate, weight_decay, batch, curve, .. } = &fixture.expected;
        let mut adapter = fixture.adapter.clone();
        let mut optimiser = AdamW::new(&adapter, *weight_decay).unwrap();
        for (step, expected) in curve.iter().enumerate() {
            let part = fixture.batch((0..*batch).map(|i| (batch * step + i) % rows.len()));
            let share = 1.0 / part.targets.len() as f32;
            let (loss, gradients) = fixture
                .model
                .forward_backward(Training { grad_scale: share, ..Training::default() }, &part, &adapter)
                .unwrap();
            let mean = sum(&loss.nats) * f64::from(share);
            let off = (mean - expected).abs() / expected;
            assert!(off < 1e-3, "{}: step {step}: {mean}, {expected}", fixture.name);
            optimiser
                .step(fixture.model.kernels, &mut adapter, &gradients, 1.0, step as u64 + 1, *learning_rate)
                .unwrap();
        }
    });
}

#[test]
fn with_dropout_gradients_agree_with_finite_differences() {
    everywhere(|fixture| {
        let batch = fixture.whole();
        let dropout = Dropout::new(0.2, 31);
        let pass = |adapter: &Adapter| {
            fixture
                .model
                .forward_backward(Training { dropout, ..Training::default() }, &batch, adapter)
                .unwrap()
        };
        let (loss, gradients) = pass(&fixture.adapter);
        let plain = fixture.model.evaluate(&batch, &fixture.adapter).unwrap();
        assert_ne!(loss.nats, plain.nats, "{}: nothing was dropped", fixture.name);
        for (index, gradient) in gradients.tensors().into_iter().enumerate() {
            // Along the gradient itself the derivative is its squared length.
            let squared: f32 = gradient.sqr().unwrap().sum_all().unwrap().to_scalar().unwrap();
            let step = 2e-3 / f64::from(squared).sqrt();
            let moved = |sign: f64| {
                let mut moved = fixture.adapter.clone();
                let tensor: &mut Tensor = moved.tensors_mut().swap_remove(index);
                *tensor = (&*tensor + gradient.affine(sign * step, 0.0).unwrap()).unwrap();
                sum(&pass(&moved).0.nats)
            };
            let numeric = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            let off = (numeric / f64::from(squared) - 1.0).abs();
            let name = &fixture.adapter.tensors()[index].0;
            assert!(off < 1e-2, "{}: {name}: {numeric} against {squared}", fixture.name);
        }
    });
}
