//! The rise of the eval loss above its best: how far, how sure, since when.
//!
//! The median of the last three evaluations is compared with the best one, so that neither one bad
//! evaluation nor one lucky recent one decides. Whether a rise is overfitting or divergence is told
//! by the train loss.

use super::{Case, Evidence, Finding, Limits, Severity, finding, paired};
use crate::curve::{Curves, smooth, trend};

/// Variance of the median of three normal values, as a share of that of one (David & Nagaraja
/// 2003, "Order Statistics", table 4.2); the asymptotic `pi / 2 / 3` overstates it.
const MEDIAN3_VARIANCE: f64 = 0.4487;

/// The eval loss against its best, as a fact: no threshold has been applied.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Index of the best evaluation.
    pub best: usize,
    /// Index of the evaluation that is the median of the last three.
    pub recent: usize,
    /// Index of the newest finite evaluation.
    pub last: usize,
    /// Finite evaluations so far.
    pub finite: usize,
    /// How far the recent loss is above the best, as a share of the best.
    pub rise: f64,
    /// How uncertain that is, where it can be measured.
    pub noise: Option<Noise>,
}

/// The uncertainty of a rise.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// One standard error, as a share of the best.
    pub error: f64,
    /// How many independent values it was estimated from: the degrees of freedom.
    pub worth: f64,
}

/// Where the eval loss stands; `None` before the first finite evaluation, or where the best is not
/// positive, so that nothing can be a share of it.
pub fn standing(curves: &Curves, limits: &Limits) -> Option<Standing> {
    let best = curves.best().filter(|best| curves.eval[*best].loss > 0.0)?;
    // The window never reaches back behind the best: what came before it is no rise.
    let since_best = (best..curves.eval.len()).rev().filter(|index| curves.eval[*index].loss.is_finite());
    let mut window: Vec<usize> = since_best.take(3).collect();
    let last = *window.first()?;
    window.sort_by(|a, b| curves.eval[*a].loss.total_cmp(&curves.eval[*b].loss));
    // Of two the lower: a single evaluation above the best convicts nobody.
    let recent = window[(window.len() - 1) / 2];
    let rise = curves.eval[recent].loss / curves.eval[best].loss - 1.0;
    // With nothing risen yet, the newest evaluation tells how sharp the comparison would be.
    let compared = if recent == best { last } else { recent };
    let noise = paired_noise(curves, best, compared, limits).or_else(|| curve_noise(curves, best, limits));
    let finite = curves.eval.iter().filter(|point| point.loss.is_finite()).count();
    Some(Standing { best, recent, last, finite, rise, noise })
}

/// The noise of a rise from the same examples in both evaluations.
fn paired_noise(curves: &Curves, best: usize, recent: usize, limits: &Limits) -> Option<Noise> {
    let (before, after) = (&curves.eval[best], &curves.eval[recent]);
    if before.examples.len() < limits.min_paired || recent == best {
        return None;
    }
    let error = paired::standard_error(&before.examples, &after.examples)? / before.loss;
    Some(Noise { error, worth: before.examples.len() as f64 - 1.0 })
}

/// The same from the jitter of the curve. Few evaluations make a wild estimate of it, so it is
/// weighed against an assumption, as a prior on the variance would be.
fn curve_noise(curves: &Curves, best: usize, limits: &Limits) -> Option<Noise> {
    let losses: Vec<f64> = curves.eval.iter().map(|point| point.loss).collect();
    let measured = smooth::noise(&losses)? / curves.eval[best].loss;
    let (own, assumed) = (smooth::noise_worth(losses.len()), limits.assumed_worth);
    let variance = (own * measured.powi(2) + assumed * limits.assumed_noise.powi(2)) / (own + assumed);
    Some(of_curve(variance.sqrt(), own + assumed))
}

/// Noise of the median of three minus one, where each evaluation has the noise `sigma`.
fn of_curve(sigma: f64, worth: f64) -> Noise {
    Noise { error: sigma * (1.0 + MEDIAN3_VARIANCE).sqrt(), worth }
}

/// How far noise alone brings the rise among `evals` evaluations, in all but the share `chance` of
/// runs.
///
/// The best is picked among all evaluations and every recent one is compared with it, so the chance
/// of one large difference among all pairs counts: the normal quantile of `chance` shared out over
/// the pairs (Bonferroni), and no less than `at_least`; widened to that of Student's t for a
/// standard error that is itself an estimate (Abramowitz & Stegun 1964, 26.7.5, first term).
fn reach(noise: Noise, evals: usize, chance: f64, at_least: f64) -> f64 {
    let pairs = (evals * evals.saturating_sub(1) / 2).max(1);
    let z = normal_quantile_above(chance / pairs as f64).max(at_least);
    noise.error * z * (1.0 + (z * z + 1.0) / (4.0 * noise.worth))
}

/// The value that a standard normal exceeds with probability `p` below one half, within 4.5e-4
/// (Abramowitz & Stegun 1964, 26.2.23).
fn normal_quantile_above(p: f64) -> f64 {
    let t = (-2.0 * p.clamp(f64::MIN_POSITIVE, 0.5).ln()).sqrt();
    let over = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let under = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - over / under
}

/// Whether the eval loss has risen, and whether the train loss has risen with it.
pub fn rule(case: &Case) -> Option<Finding> {
    let (standing, limits, eval) = (case.standing?, case.limits, &case.curves.eval);
    if standing.finite < limits.min_evals {
        return None;
    }
    let noise = standing.noise.unwrap_or(of_curve(limits.assumed_noise, limits.assumed_worth));
    let to_watch = reach(noise, standing.finite, limits.false_watch, 0.0);
    let to_warn = reach(noise, standing.finite, limits.false_warn, limits.min_guard);
    let levels = [
        (Severity::Severe, limits.severe_rise.max(to_warn)),
        (Severity::Warn, limits.warn_rise.max(to_warn)),
        (Severity::Watch, limits.watch_rise.max(to_watch)),
    ];
    let (severity, threshold) = levels.into_iter().find(|(_, threshold)| standing.rise > *threshold)?;
    let (best, last) = (&eval[standing.best], &eval[standing.last]);
    let recovered =
        best.loss * (1.0 + limits.recovered_rise.max(standing.noise.map_or(0.0, |noise| noise.error)));
    if last.loss <= recovered {
        return None;
    }
    let onset = &eval[onset(case.curves, standing.best, limits)];
    let since = |point: &&crate::curve::EvalPoint| point.step >= onset.step && point.loss.is_finite();
    let risen: Vec<(f64, f64)> =
        eval.iter().filter(since).filter_map(|p| Some((p.epoch?, p.loss / best.loss))).collect();
    let rise = finding::Rise {
        best_step: best.step,
        best_epoch: best.epoch,
        best_loss: best.loss,
        last_step: last.step,
        recent_loss: eval[standing.recent].loss,
        rise: standing.rise,
        noise: standing.noise.map(|noise| noise.error),
        threshold,
        onset_step: onset.step,
        onset_epoch: onset.epoch,
        train_at_best: train_at(case.curves, standing.best),
        train_now: eval[..=standing.last].iter().rev().find_map(|p| p.train_loss.filter(|l| l.is_finite())),
        rise_per_epoch: trend::slope(&risen),
        never_improved: standing.best == 0,
    };
    match rise.train_rise() {
        Some(train) if train > limits.train_rise => {
            let both = train > limits.explosion && standing.rise > limits.explosion;
            let severity = if both { Severity::Severe } else { severity.min(Severity::Warn) };
            Some(Finding { severity, evidence: Evidence::Explosion(rise) })
        }
        _ => Some(Finding { severity, evidence: Evidence::Rise(rise) }),
    }
}

/// Index of the turn: the last evaluation before the rise, by the V-fit from the noise of the curve.
pub fn onset(curves: &Curves, best: usize, limits: &Limits) -> usize {
    let finite: Vec<usize> =
        (0..curves.eval.len()).filter(|index| curves.eval[*index].loss.is_finite()).collect();
    let losses: Vec<f64> = finite.iter().map(|index| curves.eval[*index].loss).collect();
    let Some(fit) = trend::v_fit(&losses) else { return best };
    // A lowest evaluation is lucky: the floor that the loss rises from is that of its neighbours too.
    let around = &losses[fit.lowest.saturating_sub(1)..losses.len().min(fit.lowest + 2)];
    let floor = smooth::median(around.iter().copied()).unwrap_or_default();
    let noise = smooth::noise(&losses).unwrap_or(0.0);
    finite[fit.onset(floor + limits.onset_noise * noise)]
}

/// Steps at the very start whose mean loss stands for the train loss before any training.
const START_STEPS: usize = 5;

/// The train loss around the best evaluation; at a baseline before the first step, that of the
/// first few steps, when the learning rate has hardly begun to climb.
fn train_at(curves: &Curves, best: usize) -> Option<f64> {
    let point = &curves.eval[best];
    let start = || {
        let first = curves.train.iter().take(START_STEPS).filter(|p| p.loss.is_finite());
        let (sum, count) = first.fold((0.0, 0), |(sum, count), p| (sum + p.loss, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    };
    point.train_loss.filter(|loss| loss.is_finite()).or_else(|| if best == 0 { start() } else { None })
}
