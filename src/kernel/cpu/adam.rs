//! The optimiser's update and the size of gradients: work that passes once over each matrix.

use super::matmul::filled;
use super::simd::{dot, vectorized};
use super::view;
use crate::Adam;
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Elements that one task takes.
const BLOCK: usize = 16 * 1024;

pub(crate) fn adam(p: &Tensor, g: &Tensor, m: &Tensor, v: &Tensor, adam: Adam) -> Result<[Tensor; 3]> {
    let shape = p.shape().clone();
    let (p, g, m, v) = (view(p)?, view(g)?, view(m)?, view(v)?);
    let n = p.len();
    assert!([g.len(), m.len(), v.len()] == [n; 3], "a gradient and two moments for each parameter");
    let (mut new_m, mut new_v) = (Vec::new(), Vec::new());
    let new_p = filled(n, |new_p| {
        new_m = filled(n, |new_m| {
            new_v = filled(n, |new_v| {
                let new = new_p.par_chunks_mut(BLOCK).zip(new_m.par_chunks_mut(BLOCK));
                let new = new.zip(new_v.par_chunks_mut(BLOCK));
                let old = p.par_chunks(BLOCK).zip(g.par_chunks(BLOCK));
                let old = old.zip(m.par_chunks(BLOCK)).zip(v.par_chunks(BLOCK));
                new.zip(old).for_each(|(((new_p, new_m), new_v), (((p, g), m), v))| {
                    adam_block([new_p, new_m, new_v], [p, g, m, v], adam);
                });
            });
        });
    });
    let tensor = |data| Tensor::from_vec(data, shape.clone(), &Device::Cpu);
    Ok([tensor(new_p)?, tensor(new_m)?, tensor(new_v)?])
}

vectorized! {
    fn adam_block(new: [&mut [MaybeUninit<f32>]; 3], old: [&[f32]; 4], adam: Adam) {
        let [new_p, new_m, new_v] = new;
        let [p, g, m, v] = old;
        let [beta1, beta2, epsilon] = [adam.beta1, adam.beta2, adam.epsilon].map(|x| x as f32);
        let [rest1, rest2] = [1.0 - adam.beta1, 1.0 - adam.beta2].map(|x| x as f32);
        let grad_scale = adam.grad_scale as f32;
        let kept = (1.0 - adam.learning_rate * adam.weight_decay) as f32;
        let [correct1, correct2] = adam.corrections();
        let (rate, unbias) = ((adam.learning_rate / correct1) as f32, (1.0 / correct2) as f32);
        let new = new_p.iter_mut().zip(new_m).zip(new_v);
        for (((new_p, new_m), new_v), (((p, g), m), v)) in new.zip(p.iter().zip(g).zip(m).zip(v)) {
            let g = g * grad_scale;
            let m = m * beta1 + g * rest1;
            let v = v * beta2 + g * g * rest2;
            new_m.write(m);
            new_v.write(v);
            new_p.write(p * kept - m * rate / ((v * unbias).sqrt() + epsilon));
        }
    }
}

pub(crate) fn square_sum(x: &Tensor) -> Result<f64> {
    let x = view(x)?;
    // The parts are added in their order, whoever has computed them.
    let parts: Vec<f32> = x.par_chunks(BLOCK).map(square_sum_block).collect();
    Ok(parts.into_iter().map(f64::from).sum())
}

vectorized! {
    fn square_sum_block(x: &[f32]) -> f32 {
        dot(x, x)
    }
}
