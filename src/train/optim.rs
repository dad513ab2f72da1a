//! AdamW (Loshchilov and Hutter 2019) over the matrices of an adapter, and gradient clipping.
//!
//! Weight decay is decoupled and applies to matrices, which is all that an adapter has; a vector
//! (a bias, a norm) would go without, as the standard parameter groups have it.

use crate::kernel::{Adam, Kernels};
use crate::model::lora::{Adapter, Gradients};
use anyhow::Result;
use candle_core::Tensor;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The optimiser's memory: two running moments for each matrix, in the order of [`Adapter::tensors`].
#[derive(Clone, Debug)]
pub struct AdamW {
    pub first: Vec<Tensor>,
    pub second: Vec<Tensor>,
    pub weight_decay: f64,
}

impl AdamW {
    pub fn new(adapter: &Adapter, weight_decay: f64) -> Result<Self> {
        let zeros =
            || adapter.tensors().into_iter().map(|(_, t)| Ok(t.zeros_like()?)).collect::<Result<Vec<_>>>();
        Ok(Self { first: zeros()?, second: zeros()?, weight_decay })
    }

    /// Takes optimiser step number `step`, from 1, with gradients multiplied by `grad_scale`.
    pub fn step(
        &mut self,
        kernels: Kernels,
        adapter: &mut Adapter,
        gradients: &Gradients,
        grad_scale: f64,
        step: u64,
        learning_rate: f64,
    ) -> Result<()> {
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, gradient), (first, second)) in
            adapter.tensors_mut().into_iter().zip(gradients.tensors()).zip(moments)
        {
            let weight_decay = if parameter.rank() >= 2 { self.weight_decay } else { 0.0 };
            let adam = Adam {
                beta1: BETA1,
                beta2: BETA2,
                epsilon: EPSILON,
                learning_rate,
                weight_decay,
                grad_scale,
                step,
            };
            [*parameter, *first, *second] = kernels.adam(parameter, gradient, first, second, adam)?;
        }
        Ok(())
    }
}

/// The norm of all gradients taken as one vector.
pub fn global_norm(kernels: Kernels, gradients: &Gradients) -> Result<f64> {
    let mut sum = 0.0;
    for gradient in gradients.tensors() {
        sum += kernels.square_sum(gradient)?;
    }
    Ok(sum.sqrt())
}

/// What gradients of this norm are multiplied by so that it is at most `limit`; 0 is no limit.
pub fn clip(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit { limit / norm } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Lora, LoraGrad};
    use crate::model::lora::AdapterConfig;
    use candle_core::Device;

    fn matrix(values: &[f32]) -> Tensor {
        Tensor::from_slice(values, (1, values.len()), &Device::Cpu).unwrap()
    }

    fn adapter() -> Adapter {
        let mut block = [const { None }; 7];
        block[0] = Some(Lora { a: matrix(&[1.0, -2.0]), b: matrix(&[0.5]), scale: 1.0 });
        let config = AdapterConfig { r: 1, alpha: 1.0, ..AdapterConfig::default() };
        Adapter { config, layers: vec![block] }
    }

    fn gradients(a: &[f32], b: f32) -> Gradients {
        let mut block = [const { None }; 7];
        block[0] = Some(LoraGrad { a: matrix(a), b: matrix(&[b]) });
        Gradients { layers: vec![block] }
    }

    #[test]
    fn steps_follow_the_published_update() {
        // The update rule of the paper, in double precision on single numbers.
        let expected = |mut x: f64, grads: &[f64], (rate, decay): (f64, f64)| {
            let (mut m, mut v) = (0.0, 0.0);
            for (t, g) in grads.iter().enumerate() {
                let t = (t + 1) as i32;
                m = BETA1 * m + (1.0 - BETA1) * g;
                v = BETA2 * v + (1.0 - BETA2) * g * g;
                let (m_hat, v_hat) = (m / (1.0 - BETA1.powi(t)), v / (1.0 - BETA2.powi(t)));
                x = x * (1.0 - rate * decay) - rate * m_hat / (v_hat.sqrt() + EPSILON);
            }
            x
        };
        for kernels in [Kernels::Cpu, Kernels::Portable] {
            let mut adapter = adapter();
            let mut optimiser = AdamW::new(&adapter, 0.1).unwrap();
            for (step, (a, b)) in [([0.6, -0.2], 0.4), ([0.2, 0.8], -1.2)].into_iter().enumerate() {
                let gradients = gradients(&a, b);
                optimiser.step(kernels, &mut adapter, &gradients, 0.5, step as u64 + 1, 0.01).unwrap();
            }
            let values: Vec<f32> = adapter
                .tensors()
                .into_iter()
                .flat_map(|(_, t)| t.flatten_all().unwrap().to_vec1::<f32>().unwrap())
                .collect();
            let wanted = [
                expected(1.0, &[0.3, 0.1], (0.01, 0.1)),
                expected(-2.0, &[-0.1, 0.4], (0.01, 0.1)),
                expected(0.5, &[0.2, -0.6], (0.01, 0.1)),
            ];
            for (value, wanted) in values.iter().zip(wanted) {
                assert!((f64::from(*value) - wanted).abs() < 1e-6, "{kernels:?}: {value}, wanted {wanted}");
            }
        }
    }

    #[test]
    fn clipping_scales_to_the_limit_and_never_up() {
        for kernels in [Kernels::Cpu, Kernels::Portable] {
            let norm = global_norm(kernels, &gradients(&[3.0, 0.0], 4.0)).unwrap();
            assert!((norm - 5.0).abs() < 1e-6);
        }
        let norm = 5.0;
        assert!((clip(norm, 1.0) - 0.2).abs() < 1e-6);
        assert_eq!(clip(0.5, 1.0), 1.0);
        assert_eq!(clip(50.0, 0.0), 1.0);
    }
}
