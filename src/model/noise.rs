//! Noise on the embeddings of the rows that are trained on: `NEFTune` (Jain et al. 2023, arXiv 2310.05914).
//!
//! Uniform between plus and minus `alpha / sqrt(L d)` for a row of `L` tokens of width `d`, drawn anew in
//! each step from a seed, so that a step that is taken again draws the same. Rows that are evaluated get none.

use crate::kernel::Layout;
use anyhow::Result;
use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What is added to the embeddings of one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    alpha: f64,
    seed: u64,
    stream: u64,
}

/// Keeps its draws apart from those that order the rows.
const SALT: u64 = 0x6E65_6674_756E_6500;

impl Noise {
    /// Nothing is added.
    pub const OFF: Self = Self { alpha: 0.0, seed: 0, stream: 0 };

    /// Noise of the given size; different seeds and streams draw unrelated noise.
    pub fn new(alpha: f64, seed: u64, stream: u64) -> Self {
        Self { alpha, seed, stream }
    }

    /// `x`, `(n, d)`, with its noise.
    pub fn add(self, x: Tensor, layout: &Layout) -> Result<Tensor> {
        if self.alpha <= 0.0 {
            return Ok(x);
        }
        let (n, width) = x.dims2()?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ SALT);
        rng.set_stream(self.stream);
        let mut noise = Vec::with_capacity(n * width);
        for row in layout.starts.windows(2) {
            let values = (row[1] - row[0]) * width;
            let most = (self.alpha / (values as f64).sqrt()) as f32;
            // The top 24 bits, as many as an f32 holds, from -1 up to 1.
            let uniform = |bits: u32| (bits >> 8) as f32 / (1 << 23) as f32 - 1.0;
            noise.extend((0..values).map(|_| most * uniform(rng.next_u32())));
        }
        Ok((&x + Tensor::from_vec(noise, (n, width), x.device())?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// The noise of rows of 4 and 16 tokens, 256 wide.
    fn noise(alpha: f64, seed: u64, stream: u64) -> Vec<Vec<f32>> {
        let x = Tensor::ones((20, 256), candle_core::DType::F32, &Device::Cpu).unwrap();
        let layout = Layout { starts: vec![0, 4, 20], positions: (0..4).chain(0..16).collect() };
        let noisy = Noise::new(alpha, seed, stream).add(x.clone(), &layout).unwrap();
        (noisy - x).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn it_is_uniform_and_as_large_as_the_paper_has_it() {
        let noise = noise(5.0, 1, 1);
        for (rows, length) in [(0..4, 4.0_f32), (4..20, 16.0)] {
            let values: Vec<f32> = noise[rows].concat();
            let most = 5.0 / (length * 256.0).sqrt();
            let largest = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            assert!(largest <= most && largest > 0.98 * most, "{largest} of {most}");
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let square = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
            assert!(mean.abs() < 0.1 * most, "{mean}");
            // The variance of a uniform distribution is a third of the square of its half-width.
            assert!((3.0 * square / (most * most) - 1.0).abs() < 0.1, "{square}");
        }
    }

    #[test]
    fn a_stream_draws_the_same_again_and_another_one_not() {
        assert_eq!(noise(5.0, 1, 2), noise(5.0, 1, 2));
        assert_ne!(noise(5.0, 1, 2), noise(5.0, 1, 3));
        assert_ne!(noise(5.0, 1, 2), noise(5.0, 2, 2));
        assert!(noise(0.0, 1, 2).concat().iter().all(|value| *value == 0.0));
    }
}
