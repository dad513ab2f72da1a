//! Where the eval loss stands: facts about its best, its newest values and what lies between.
//!
//! No threshold of severity is applied here; the rules do that. All losses are taken as shares of the
//! lowest, so that a nat and a bit are judged alike.

use super::{Limits, paired, ties};
use crate::curve::{self, Curves, EvalPoint, smooth, trend};

/// Variance of the median of three normal values, as a share of that of one (David & Nagaraja
/// 2003, "Order Statistics", table 4.2); the asymptotic `pi / 2 / 3` overstates it.
const MEDIAN3_VARIANCE: f64 = 0.4487;

/// The eval loss against its best, as a fact.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Index of the best evaluation.
    pub best: usize,
    /// Index of the evaluation that is the median of the last three.
    pub recent: usize,
    /// Index of the newest finite evaluation.
    pub last: usize,
    /// Evaluations so far that measured something; see [`curve::measured`].
    pub finite: usize,
    /// Finite evaluations since the best.
    pub since: usize,
    /// How far the recent loss is above the best, as a share of the best.
    pub rise: f64,
    /// One standard error of that, as a share of the best; `None` where it cannot be measured.
    pub noise: Option<f64>,
    /// Whether that is for the most part an assumption, since the curve has shown hardly any of its own.
    pub noise_assumed: bool,
    /// Chance of so high a recent loss without a true rise, all looks of the run counted; where the
    /// same rows were evaluated one by one.
    pub p: Option<f64>,
    /// How far the newest loss is above the best, and the lowest since the best, both as shares of it.
    pub newest: f64,
    pub away: f64,
    /// How far the newest loss is above all others but the best, as a share of the lowest of these; so that one
    /// lucky best is no leap.
    pub leap: f64,
    /// Whether each evaluation since the best is above the one before.
    pub climbing: bool,
    /// The rise of the curve as a whole.
    pub climb: Climb,
}

/// How the curve as a whole has risen since its turn.
#[derive(Clone, Debug)]
pub struct Climb {
    /// Index of the turn: the last evaluation before the rise.
    pub onset: usize,
    /// How far the curve has risen, one bad or lucky evaluation set aside.
    pub rise: f64,
    /// How many standard deviations of the noise the rise explains: the root of the squared error
    /// that a fall-then-rise saves over a fall alone, over the noise about it.
    pub strength: f64,
    /// Standard deviation of one evaluation about the fit.
    pub noise: f64,
    /// Whether the assumed part of it is larger than what the curve has shown.
    pub assumed: bool,
    /// The same from one evaluation to the next, about the fall's end and the rise; see [`wander`].
    pub wander: f64,
    /// How far the lowest of the last third of all evaluations is above the lowest before, as a share of
    /// it: whatever the noise is like, the curve has not been back for so long. It counts in part where a
    /// third is fewer than `Limits::held_evals`.
    pub held: f64,
}

impl Climb {
    /// The strength where the noise is no less than so many times the wander.
    pub fn strength_over(&self, wanders: f64) -> f64 {
        self.strength * (self.noise / (wanders * self.wander)).min(1.0)
    }
}

impl Standing {
    /// Index of the earliest evaluation within one standard error of the best, where that is another.
    ///
    /// `None` too where the error is wider than a rise worth a look: that is not knowing, and no tie.
    pub fn as_good(&self, curves: &Curves, limits: &Limits) -> Option<usize> {
        if !curves.eval[self.best].examples.is_empty() {
            return ties::tied(curves, limits).first().copied();
        }
        let most =
            curves.eval[self.best].loss * (1.0 + self.noise.filter(|noise| *noise <= limits.watch_rise)?);
        curves.eval[..self.best].iter().position(|point| point.loss <= most)
    }
}

/// Where the eval loss stands; `None` before the first evaluation that measured something, or where the best is not
/// positive, so that nothing can be a share of it.
pub fn standing(eval: &[EvalPoint], limits: &Limits) -> Option<Standing> {
    let best = curve::lowest(eval).filter(|best| eval[*best].loss > 0.0)?;
    // The window never reaches back behind the best: what came before it is no rise.
    let finite: Vec<usize> = curve::measured(eval).collect();
    let from_best: Vec<usize> = finite.iter().copied().filter(|index| *index >= best).rev().collect();
    let mut window: Vec<usize> = from_best.iter().copied().take(3).collect();
    let last = *window.first()?;
    window.sort_by(|a, b| eval[*a].loss.total_cmp(&eval[*b].loss));
    // Of two the lower: a single evaluation above the best convicts nobody.
    let recent = window[(window.len() - 1) / 2];
    let rise = eval[recent].loss / eval[best].loss - 1.0;
    let since = &from_best[..from_best.len() - 1];
    let lowest_since = since.iter().map(|index| eval[*index].loss).min_by(f64::total_cmp);
    let others = finite.iter().filter(|index| **index != best && **index != last);
    let next_lowest = others.map(|index| eval[*index].loss).fold(f64::INFINITY, f64::min);
    let climb = climb(eval, best, &finite, limits)?;
    // With nothing risen yet, the newest evaluation tells how sharp the comparison would be.
    let compared = if recent == best { last } else { recent };
    let (before, after) = (&eval[best], &eval[compared]);
    let paired = (compared != best && before.examples.len() >= limits.min_paired)
        .then(|| paired::difference(&before.examples, &after.examples))
        .flatten();
    let of_curve =
        (finite.len() >= smooth::NOISE_MIN_POINTS).then_some(climb.noise * (1.0 + MEDIAN3_VARIANCE).sqrt());
    Some(Standing {
        best,
        recent,
        last,
        finite: finite.len(),
        since: since.len(),
        rise,
        noise: paired.map(|paired| paired.error / before.loss).or(of_curve),
        noise_assumed: paired.is_none() && of_curve.is_some() && climb.assumed,
        newest: eval[last].loss / eval[best].loss - 1.0,
        away: lowest_since.map_or(0.0, |lowest| lowest / eval[best].loss - 1.0),
        leap: eval[last].loss / next_lowest - 1.0,
        climbing: from_best.windows(2).all(|pair| eval[pair[0]].loss > eval[pair[1]].loss),
        p: paired.filter(|_| recent != best).map(|paired| paired::over_all_looks(paired.p, finite.len())),
        climb,
    })
}

/// The fall-then-rise of the finite evaluations.
fn climb(eval: &[EvalPoint], best: usize, finite: &[usize], limits: &Limits) -> Option<Climb> {
    let scale = eval[best].loss;
    let losses: Vec<f64> = finite.iter().map(|index| eval[*index].loss / scale).collect();
    let tamed = tamed(&losses, limits);
    let fit = trend::v_fit(&tamed)?;
    let low = fit.fitted[fit.lowest];
    let end = *fit.fitted.last()?;
    let (noise, assumed) = noise_about(&tamed, &fit, low, limits);
    let strength = (fit.falling_error - fit.error).max(0.0).sqrt() / low / noise;
    // Two careful figures: between medians of three, or between the fitted ends, less what the most
    // extreme of many noisy ends gains.
    let medians = || losses.windows(3).map(median3);
    // A first evaluation so far below all others is no luck.
    let first = if first_is_far_below(&losses, limits) { losses[0] } else { f64::INFINITY };
    let lowest = medians().fold(first, f64::min);
    let of_medians = medians().next_back().map_or(0.0, |recent| recent / lowest - 1.0);
    let of_fit = end / low - 1.0 - limits.end_noise * noise;
    let rise = of_medians.max(of_fit);
    let third = losses.len() / 3;
    let floor = losses[losses.len() - third..].iter().copied().fold(f64::INFINITY, f64::min);
    // Few evaluations stay away by chance more easily.
    let counts = if third < LEAST_HELD { 0.0 } else { (third as f64 / limits.held_evals).sqrt().min(1.0) };
    let held = counts * (floor / lowest - 1.0).max(0.0);
    let wander = wander(&tamed, &fit, low, limits);
    Some(Climb { onset: finite[onset(&tamed, &fit, noise)], rise, strength, noise, assumed, wander, held })
}

/// Evaluations of a third of the run that can hold a level at all.
const LEAST_HELD: usize = 2;

/// Whether every later evaluation is far above the first.
fn first_is_far_below(losses: &[f64], limits: &Limits) -> bool {
    losses[1..].iter().all(|loss| *loss > (1.0 + limits.explosion) * losses[0])
}

fn median3(three: &[f64]) -> f64 {
    let (a, b, c) = (three[0], three[1], three[2]);
    a.max(b).min(a.min(b).max(c))
}

/// The losses with what is far out of line with both neighbours brought back to within a little of the
/// median of the three (Hampel 1974, JASA 69:383), so that a heavy tail cannot pass for a best or a
/// rise. A first loss may be high and a last one low: these are how runs start and recover.
fn tamed(losses: &[f64], limits: &Limits) -> Vec<f64> {
    if losses.len() < 3 {
        return losses.to_vec();
    }
    let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let noise = smooth::noise(losses).unwrap_or(limits.unknown_noise * lowest);
    let room = limits.tame_noise * noise;
    let last = losses.len() - 1;
    let free_below = first_is_far_below(losses, limits);
    let tame = |i: usize| {
        let middle = median3(&losses[i.clamp(1, last - 1) - 1..=i.clamp(1, last - 1) + 1]);
        let above = if i == 0 { f64::INFINITY } else { middle + room };
        let below = if i == last || (i == 0 && free_below) { f64::NEG_INFINITY } else { middle - room };
        losses[i].clamp(below, above)
    };
    (0..losses.len()).map(tame).collect()
}

/// Standard deviation of an evaluation about the fit, as a share of the lowest. Few residuals make a
/// wild estimate of it, so it is weighed against an assumption, as a prior on the variance would be;
/// residuals that hang together make a sum that is wider than their number says. With it, whether the
/// assumption weighs more than they do.
fn noise_about(values: &[f64], fit: &trend::VFit, low: f64, limits: &Limits) -> (f64, bool) {
    let fitted = &fit.fitted;
    let levels = 1 + fitted.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let freedom = (values.len() - levels) as f64;
    let residuals: Vec<f64> = values.iter().zip(fitted).map(|(value, fit)| value - fit).collect();
    let error: f64 = residuals.iter().map(|residual| residual * residual).sum();
    let assumed = limits.assumed_worth * (limits.assumed_noise * low).powi(2);
    let variance = (error + assumed) / (freedom + limits.assumed_worth);
    let hanging: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    // An isotonic fit takes the first part of every excursion for its own and leaves residuals that
    // alternate: `own_correlation` is about what it takes.
    let correlation = if error > 0.0 { hanging / error } else { -limits.own_correlation };
    let rho = (correlation + limits.own_correlation).clamp(0.0, MOST_HANGING);
    // Variance of a mean of first-order autoregressive noise, against independent (Box & Jenkins 1976).
    ((variance * (1.0 + rho) / (1.0 - rho)).sqrt() / low, assumed > error)
}

/// Standard deviation of an evaluation as a share of the lowest, from the differences of neighbours
/// about their mean on either side of the lowest (the mean square successive difference, von Neumann
/// 1941), weighed against an assumption.
///
/// An isotonic fit follows every excursion of noise that hangs together, and leaves little of it;
/// what changes from one evaluation to the next it cannot hide. A rise that gathers or loses speed
/// adds a little to it, a steady one nothing; and since a rise may come all at once, its largest step
/// is left out.
fn wander(tamed: &[f64], fit: &trend::VFit, low: f64, limits: &Limits) -> f64 {
    let steps = |values: &[f64]| values.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<f64>>();
    let about = |steps: &[f64]| {
        let count = steps.len() as f64;
        let mean = steps.iter().sum::<f64>() / count.max(1.0);
        (steps.iter().map(|step| (step - mean).powi(2)).sum::<f64>(), (count - 1.0).max(0.0))
    };
    let mut rise = steps(&tamed[fit.lowest..]);
    if let Some(largest) = (0..rise.len()).max_by(|a, b| rise[*a].total_cmp(&rise[*b])) {
        rise.swap_remove(largest);
    }
    let (fall, rise) = (about(&steps(&tamed[about_turn(fit)..=fit.lowest])), about(&rise));
    let assumed = limits.wander_worth * (limits.assumed_wander * low).powi(2);
    ((0.5 * (fall.0 + rise.0) + assumed) / (fall.1 + rise.1 + limits.wander_worth)).sqrt() / low
}

/// Index from which on the fall is no higher than a third of the rise: the fall before it says
/// nothing about the turn.
fn about_turn(fit: &trend::VFit) -> usize {
    let (low, end) = (fit.fitted[fit.lowest], fit.fitted[fit.fitted.len() - 1]);
    let before = fit.fitted[..fit.lowest].iter().rev();
    fit.lowest - before.take_while(|value| **value < low + 0.3 * (end - low)).count()
}

/// A correlation above this is a trend that the fit has missed rather than noise.
const MOST_HANGING: f64 = 0.7;

/// Evaluations before the lowest that the turn may be at or may be told by.
const ONSET_BEFORE: usize = 16;
/// The most evaluations of the rise that are looked at.
const ONSET_AFTER: usize = 48;

/// Index of the turn: of two straight lines that meet at an evaluation, fitted by least squares to the
/// neighbourhood of the lowest and the rise from there, where they meet.
///
/// A rise that gathers speed meets late: the turn is no later than where a twentieth of the rise, and
/// more than noise, is done.
fn onset(values: &[f64], fit: &trend::VFit, noise: f64) -> usize {
    let (low, end) = (fit.fitted[fit.lowest], fit.fitted[fit.fitted.len() - 1]);
    let from = about_turn(fit).max(fit.lowest.saturating_sub(ONSET_BEFORE));
    // Until most of the rise is done: what comes after may be a plateau.
    let risen =
        fit.fitted[fit.lowest..].iter().take_while(|value| **value < low + 0.85 * (end - low)).count();
    let to = (fit.lowest + risen.clamp(2, ONSET_AFTER) + 1).min(values.len());
    let window = &values[from..to];
    let meets = |turn: usize| broken_stick(window, turn).filter(|(bends, _)| *bends).map(|(_, error)| error);
    let turns = (0..window.len().saturating_sub(1)).filter_map(|turn| Some((turn, meets(turn)?)));
    let best = turns.min_by(|a, b| a.1.total_cmp(&b.1));
    let plain = low + (0.05 * (end - low)).max(2.5 * noise * low);
    let before = fit.fitted[fit.lowest..].iter().take_while(|value| **value <= plain).count();
    best.map_or(fit.lowest, |(turn, _)| from + turn).min(fit.lowest + before.max(1) - 1)
}

/// Two straight lines that meet at `turn`, fitted by least squares: whether it turns
/// up there, and the squared error.
fn broken_stick(values: &[f64], turn: usize) -> Option<(bool, f64)> {
    // Columns: one, how far before the turn, how far after it; the first two alone where nothing is before.
    let row = |i: usize| {
        let at = i as f64 - turn as f64;
        [1.0, at.min(0.0), at.max(0.0)]
    };
    let (mut normal, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
    for (i, value) in values.iter().enumerate() {
        let x = row(i);
        for a in 0..3 {
            right[a] += x[a] * value;
            for b in 0..3 {
                normal[a][b] += x[a] * x[b];
            }
        }
    }
    // A column without a value has no coefficient.
    if turn == 0 {
        normal[1][1] = 1.0;
    }
    let solution = solve(normal, right)?;
    let residual = |(i, value): (usize, &f64)| {
        let fitted: f64 = row(i).iter().zip(&solution).map(|(x, c)| x * c).sum();
        (value - fitted).powi(2)
    };
    // A slow start of the rise is rise already.
    let turns = solution[2] > 0.0 && solution[1] < 0.2 * solution[2];
    Some((turns, values.iter().enumerate().map(residual).sum()))
}

/// Solves three equations by Cramer's rule; `None` where they do not determine the unknowns.
fn solve(m: [[f64; 3]; 3], right: [f64; 3]) -> Option<[f64; 3]> {
    let determinant = |m: &[[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = determinant(&m);
    if whole.abs() < 1e-9 {
        return None;
    }
    let mut solution = [0.0; 3];
    for column in 0..3 {
        let mut replaced = m;
        for line in 0..3 {
            replaced[line][column] = right[line];
        }
        solution[column] = determinant(&replaced) / whole;
    }
    Some(solution)
}
