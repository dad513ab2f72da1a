//! Simulated runs: loss curves of known truth, with the noise that real evaluations have.
//!
//! Seeded: the same arguments give the same numbers. Nothing here knows a rule.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::{PI, TAU};

/// How the loss of a run that never overfits falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Exponential,
    PowerLaw,
    /// Flat from the first few evaluations on.
    Plateau,
    /// A step down at each of a few epochs.
    Staircase,
    Cosine,
    /// Two drops, where a step schedule cuts the learning rate.
    StepSchedule,
    /// As `Plateau`, with a train loss that falls to a fifth meanwhile.
    WideGap,
}

pub const SHAPES: [Shape; 7] = [
    Shape::Exponential,
    Shape::PowerLaw,
    Shape::Plateau,
    Shape::Staircase,
    Shape::Cosine,
    Shape::StepSchedule,
    Shape::WideGap,
];

impl Shape {
    /// The loss without noise at the share `x` in 0..=1 of a run of `evals` evaluations.
    fn loss(self, x: f64, evals: usize) -> f64 {
        match self {
            Self::Exponential => 1.0 + (-5.0 * x).exp(),
            Self::PowerLaw => 2.0 * (1.0 + 15.0 * x).powf(-0.25),
            Self::Plateau | Self::WideGap => 1.5 + (-1.5 * x * evals as f64).exp(),
            Self::Staircase => 1.0 + 0.6_f64.powf((4.0 * x).floor()),
            Self::Cosine => 1.5 + 0.5 * (PI * x).cos(),
            Self::StepSchedule => match x {
                ..0.5 => 1.6,
                0.5..0.75 => 1.2,
                _ => 1.1,
            },
        }
    }
}

/// What the noise of an evaluation is like. Each has the standard deviation that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    Iid,
    /// First-order autoregression with this coefficient.
    Auto(f64),
    /// Student's t with three degrees of freedom.
    Heavy,
}

pub const NOISES: [Noise; 3] = [Noise::Iid, Noise::Auto(0.6), Noise::Heavy];

/// `evals` values of noise of standard deviation one.
fn noise(kind: Noise, evals: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    match kind {
        Noise::Iid => (0..evals).map(|_| normal(rng)).collect(),
        Noise::Auto(rho) => {
            let mut value = normal(rng);
            let fresh = (1.0 - rho * rho).sqrt();
            let next = |_| {
                let this = value;
                value = rho * value + fresh * normal(rng);
                this
            };
            (0..evals).map(next).collect()
        }
        // Normal over the root of chi-squared / 3, scaled by the root of its variance, 3.
        Noise::Heavy => {
            let chi = |rng: &mut ChaCha8Rng| (0..3).map(|_| normal(rng).powi(2)).sum::<f64>() / 3.0;
            (0..evals).map(|_| normal(rng) / chi(rng).sqrt() / 3.0_f64.sqrt()).collect()
        }
    }
}

/// Standard normal, by Box and Muller.
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (rng.random_range(f64::MIN_POSITIVE..1.0), rng.random());
    (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
}

/// The two losses of one evaluation: the mean train loss before it, and its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    pub train: f64,
    pub eval: f64,
}

/// A kind of run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    pub shape: Shape,
    pub noise: Noise,
    /// Standard deviation of an evaluation, as a share of its loss.
    pub sigma: f64,
    pub evals: usize,
}

/// A run that never overfits; its train loss falls below the eval loss.
pub fn healthy(cell: &Cell, seed: u64) -> Vec<Pair> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let last = (cell.evals - 1).max(1) as f64;
    let truth = (0..cell.evals).map(|i| {
        let x = i as f64 / last;
        let eval = cell.shape.loss(x, cell.evals);
        let train = if cell.shape == Shape::WideGap { 0.2 + 0.8 * (-3.0 * x).exp() } else { 0.95 - 0.3 * x };
        Pair { train: eval * train, eval }
    });
    let truth: Vec<Pair> = truth.collect();
    with_noise(&truth, cell.noise, cell.sigma, &mut rng)
}

/// A run that overfits: after evaluation `turn` the loss rises by the share `rise` over 8
/// evaluations, and is flat for `after` more. The train loss falls all the time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overfit {
    pub turn: usize,
    pub rise: f64,
    pub after: usize,
    pub sigma: f64,
}

/// Evaluations that the rise takes.
pub const RISE_EVALS: usize = 8;

pub fn overfit(kind: &Overfit, seed: u64) -> Vec<Pair> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let truth = (0..=kind.turn + RISE_EVALS + kind.after).map(|i| {
        let (i, turn) = (i as f64, kind.turn as f64);
        let fall = 0.6 * (-4.0 * i / turn.max(1.0)).exp();
        let risen = kind.rise * ((i - turn) / RISE_EVALS as f64).clamp(0.0, 1.0);
        Pair { train: 2.0 * (0.3 + 0.7 * (-1.5 * i / (turn + 8.0)).exp()), eval: 2.0 * (1.0 + fall + risen) }
    });
    let truth: Vec<Pair> = truth.collect();
    with_noise(&truth, Noise::Iid, kind.sigma, &mut rng)
}

/// A long run of another field: a step schedule cuts the learning rate, noise and train loss fall with
/// it, and the eval loss turns soon after (`rise` above its lowest by the end), or, with a `rise` of 0,
/// stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheduled {
    pub evals: usize,
    /// Where the first cut is, as a share of the run.
    pub cut: f64,
    pub rise: f64,
    /// Noise before the first cut; a third of it is left after.
    pub sigma: f64,
}

pub fn scheduled(kind: &Scheduled, seed: u64) -> Vec<Pair> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let jitter = noise(Noise::Auto(0.3), kind.evals, &mut rng);
    let jitter_train = noise(Noise::Iid, kind.evals, &mut rng);
    let pair = |i: usize| {
        let x = i as f64 / (kind.evals - 1) as f64;
        let early = 1.5 + 0.6 * (-12.0 * x).exp();
        let since = ((x - kind.cut) / (1.0 - kind.cut)).max(0.0);
        let cut = x >= kind.cut;
        let level = if cut { 0.85 * early * (1.0 + kind.rise * since.powf(0.7)) } else { early };
        let train = if cut { 0.8 * early * (1.0 - 0.6 * since.sqrt()) } else { 1.05 * early };
        let sigma = if cut { kind.sigma / 3.0 } else { kind.sigma };
        Pair { train: train * (1.0 + 0.3 * sigma * jitter_train[i]), eval: level * (1.0 + sigma * jitter[i]) }
    };
    (0..kind.evals).map(pair).collect()
}

/// What a long labelled history of another field looks like: whether it overfits, and its losses.
///
/// Of the overfits the eval loss bottoms in the first two thirds and climbs by 5 to 300 % in one of three
/// manners. Of the others it is noisy without a rise, falls slowly far above the train loss, falls with
/// it still at the end, has levelled out with it, is so noisy that little can be told, hardly moves (as
/// the train loss does), or rises for a while and then falls below all that was before (double descent).
pub fn history(seed: u64) -> (bool, Vec<Pair>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let evals = rng.random_range(100..=300);
    let mut between = |lo: f64, hi: f64| lo + (hi - lo) * rng.random::<f64>();
    let overfits = seed.is_multiple_of(2);
    let (start, floor, speed) = (between(0.2, 2.0), between(0.3, 0.95), between(4.0, 30.0));
    let (turn, rise, kind) =
        (between(0.03, 0.65), 0.05 * 60.0_f64.powf(between(0.0, 1.0)), between(0.0, 6.5));
    // So noisy that the rise can still be seen in the whole, and no more.
    let most = match kind {
        _ if overfits => (rise / 5.0).min(0.04),
        4.0..5.0 => 0.08,
        _ => 0.04,
    };
    let (sigma, rho) = (between(0.1 * most, most), between(0.0, 0.6));
    let jitter = noise(Noise::Auto(rho), evals, &mut rng);
    let jitter_train = noise(Noise::Iid, evals, &mut rng);
    let pair = |i: usize| {
        let x = i as f64 / (evals - 1) as f64;
        let learnt = 1.0 - (-speed * x).exp();
        let (train, eval) = if overfits {
            let since = ((x - turn) / (1.0 - turn)).max(0.0);
            let risen = match kind {
                ..2.0 => since,
                2.0..4.0 => since.sqrt(),
                _ => (-(-5.0 * since).exp_m1()) / (-(-5.0_f64).exp_m1()),
            };
            let fall = start * (-4.0 * x / turn).exp();
            (1.0 - floor * (1.0 - (-3.0 * x).exp()), 1.0 + fall + rise * risen)
        } else {
            match kind {
                ..1.0 | 4.0..5.0 => (1.0 - floor * learnt, 1.0 + start * (-speed * x).exp()),
                1.0..2.0 => (0.1 + 0.9 * (-3.0 * x).exp(), 1.0 + start * (1.0 + speed * x).powf(-0.4)),
                2.0..3.0 => (1.0 + start * (1.0 - 0.7 * x), 1.05 + start * (1.0 - 0.65 * x)),
                3.0..4.0 => (1.0 + start * (-speed * x).exp(), 1.05 + start * (-speed * x).exp()),
                5.0..6.0 => (1.0 - 0.04 * x, 1.0 - 0.02 * x),
                _ => {
                    let hump = 0.3 * floor * (-((x - 0.3) / 0.12).powi(2)).exp();
                    (0.1 + 0.9 * (-3.0 * x).exp(), 1.0 + 0.5 * start * (-3.0 * x).exp() + hump)
                }
            }
        };
        Pair {
            train: train * (1.0 + 0.5 * sigma * jitter_train[i]),
            eval: eval * (1.0 + sigma * jitter[i]).max(0.1),
        }
    };
    (overfits, (0..evals).map(pair).collect())
}

fn with_noise(truth: &[Pair], kind: Noise, sigma: f64, rng: &mut ChaCha8Rng) -> Vec<Pair> {
    let eval = noise(kind, truth.len(), rng);
    let train = noise(Noise::Iid, truth.len(), rng);
    let noisy = |((pair, eval), train): ((&Pair, f64), f64)| Pair {
        train: pair.train * (1.0 + sigma * train),
        // A loss is positive, however heavy the tail.
        eval: pair.eval * (1.0 + sigma * eval).max(0.1),
    };
    truth.iter().zip(eval).zip(train).map(noisy).collect()
}
