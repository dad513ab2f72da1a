//! The paired test over simulated rows: how often it cries wolf under many looks, and how much more
//! it sees than a test that does not know that the rows are the same.

use crate::simulate::normal;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tune::diagnosis::paired::{difference, over_all_looks};
use tune::event::ExampleLoss;

/// The level that the guarantee is stated for.
const ALPHA: f64 = 0.05;
/// How unlike the rows are, and how much a row wavers from one checkpoint to the next, in nats.
const DIFFICULTY: f64 = 0.6;
const WAVER: f64 = 0.45;

/// Shares of runs in which the paired and the unpaired test ever fire, for `rows` rows and a loss that
/// rises by `drift` nats an evaluation.
pub fn fired(rows: usize, evals: usize, drift: f64, runs: u64) -> (f64, f64) {
    let mut count = (0, 0);
    for seed in 0..runs {
        let mut rng = ChaCha8Rng::seed_from_u64(900_000 + seed);
        let base: Vec<(f64, u32)> = (0..rows)
            .map(|_| (2.0 + DIFFICULTY * normal(&mut rng), 20 + (normal(&mut rng).abs() * 40.0) as u32))
            .collect();
        let (mut best, mut found) = (None::<(f64, Vec<ExampleLoss>)>, (false, false));
        for look in 0..evals {
            let level = drift * look as f64;
            let losses: Vec<ExampleLoss> = base
                .iter()
                .map(|(hard, tokens)| {
                    let nats = f64::from(*tokens) * (hard + level + WAVER * normal(&mut rng));
                    ExampleLoss { nats, tokens: *tokens }
                })
                .collect();
            let mean = mean(&losses);
            if let Some((_, before)) = &best {
                let paired = difference(before, &losses).expect("the same rows");
                found.0 |= over_all_looks(paired.p, look + 1) < ALPHA;
                found.1 |= over_all_looks(unpaired(before, &losses), look + 1) < ALPHA;
            }
            if best.as_ref().is_none_or(|(lowest, _)| mean < *lowest) {
                best = Some((mean, losses));
            }
        }
        count.0 += u64::from(found.0);
        count.1 += u64::from(found.1);
    }
    (count.0 as f64 / runs as f64, count.1 as f64 / runs as f64)
}

fn mean(losses: &[ExampleLoss]) -> f64 {
    let tokens: f64 = losses.iter().map(|loss| f64::from(loss.tokens)).sum();
    losses.iter().map(|loss| loss.nats).sum::<f64>() / tokens
}

/// One-sided p of two independent samples: the error of each mean is that of a ratio, as in the
/// paired test, and their squares add.
fn unpaired(before: &[ExampleLoss], after: &[ExampleLoss]) -> f64 {
    let error = |losses: &[ExampleLoss]| {
        let zero: Vec<ExampleLoss> = losses.iter().map(|loss| ExampleLoss { nats: 0.0, ..*loss }).collect();
        difference(&zero, losses).expect("the same rows").error
    };
    let z = (mean(after) - mean(before)) / error(before).hypot(error(after));
    // The upper tail of a normal, to three digits (Abramowitz & Stegun 1964, 26.2.17).
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let sum = t
        * (0.319_381_53
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = sum * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z > 0.0 { tail } else { 1.0 - tail }
}
