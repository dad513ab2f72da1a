//! The rise of the eval loss above its best: whether it is one, how grave, and of which sickness.
//!
//! The facts are those of `standing`; here they meet the limits. Whether a rise is overfitting or
//! divergence is told by the train loss.

use super::standing::Standing;
use super::{Case, Evidence, Finding, Limits, Severity, finding, paired, rate};
use crate::curve::{Curves, EvalPoint, smooth, trend};

/// Whether the eval loss has risen, and whether the train loss has risen with it.
pub fn rule(case: &Case) -> Option<Finding> {
    risen(case, &case.curves.eval, case.standing.as_ref()?)
}

/// The same of any set of evaluations.
pub(super) fn risen(case: &Case, eval: &[EvalPoint], standing: &Standing) -> Option<Finding> {
    let limits = case.limits;
    if standing.finite < limits.min_evals {
        return None;
    }
    let train = train_since(case.curves, eval, standing);
    let (best, last) = (&eval[standing.best], &eval[standing.last]);
    let both = train.is_some_and(|train| train.has_risen(best.loss, limits));
    // Where both have risen by much, no question of noise is left.
    let plain = both && standing.rise.min(standing.climb.rise) > limits.explosion;
    let left = left_behind(case.curves, eval, standing, limits);
    let much =
        train.is_some_and(|train| train.now.min(train.recent) > (1.0 + limits.explosion) * train.before);
    let throw = rate::thrown(case, eval, standing.best);
    let mut held = false;
    let severity = match severity(standing, train, limits) {
        _ if throw.is_some() && standing.rise > limits.explosion => Severity::Severe,
        _ if plain && much => Severity::Severe,
        _ if plain => Severity::Warn,
        severity => {
            let severity = severity.max(left)?;
            held = severity > Severity::Watch && decay_is_ahead(case, learnt(train, limits) == 1.0);
            let most = match () {
                () if held => Severity::Watch,
                () if both => Severity::Warn,
                () => Severity::Severe,
            };
            severity.min(most)
        }
    };
    // What is far above the best has not recovered, however wild the run.
    let noise = standing.noise.unwrap_or(0.0).min(limits.explosion);
    let recovered = best.loss * (1.0 + limits.recovered_rise.max(noise));
    if last.loss <= recovered {
        return None;
    }
    let onset = &eval[standing.climb.onset];
    let since = |point: &&EvalPoint| point.step >= onset.step && point.loss.is_finite();
    let risen: Vec<(f64, f64)> =
        eval.iter().filter(since).filter_map(|p| Some((p.epoch?, p.loss / best.loss))).collect();
    let rise = finding::Rise {
        best_step: best.step,
        best_epoch: best.epoch,
        best_loss: best.loss,
        last_step: last.step,
        last_loss: last.loss,
        recent_loss: eval[standing.recent].loss,
        rise: standing.rise,
        noise: standing.noise,
        noise_assumed: standing.noise_assumed,
        p: standing.p,
        strength: standing.climb.strength,
        onset_step: onset.step,
        onset_epoch: onset.epoch,
        train_at_best: train.map(|train| train.before),
        train_now: train.map(|train| train.now),
        rise_per_epoch: trend::slope(&risen),
        never_improved: standing.best == 0,
        held,
    };
    // A train loss that was thrown up and has come down since has another cause than too many epochs.
    let evidence = match throw {
        Some(throw) => Evidence::Thrown(rate::Thrown { throw, rise }),
        None if both => Evidence::Explosion(rise),
        None => Evidence::Rise(rise),
    };
    Some(Finding { severity, evidence })
}

/// Whether the run has left its best behind by a rise whose reality the train rows vouch for: `warn` while
/// they do, `watch` where they did and the eval loss has not been back since.
///
/// Held-out rows choose the best, so their own test must pay for all the evaluations that might have been
/// chosen. The train probe had no part in the choice: where its rows too are worse than at the best, by a
/// paired test with all looks counted, the best was no luck and the rise is not the noise of a checkpoint.
fn left_behind(
    curves: &Curves,
    eval: &[EvalPoint],
    standing: &Standing,
    limits: &Limits,
) -> Option<Severity> {
    let best = &eval[standing.best];
    let probe = |step: u64| {
        let at = curves.probe.binary_search_by_key(&step, |probe| probe.step).ok()?;
        Some(&curves.probe[at]).filter(|probe| probe.examples.len() >= limits.min_paired)
    };
    let before = probe(best.step)?;
    let vouched = |at: &usize| {
        let after = probe(eval[*at].step).filter(|now| now.loss > (1.0 + limits.train_rise) * before.loss)?;
        let p = paired::difference(&before.examples, &after.examples)?.p;
        // All evaluations that are finite were looks; those that were not are few.
        Some(paired::over_all_looks(p, at + 1) < limits.false_paired)
    };
    let since: Vec<usize> =
        (standing.best + 1..=standing.last).filter(|at| eval[*at].loss.is_finite()).collect();
    let above = |rise: f64| move |at: &usize| eval[*at].loss > (1.0 + rise) * best.loss;
    // Since it was last back; two of three in a row must be far above, and the train rows sure of one.
    let back = since.iter().rposition(|at| !above(limits.recovered_rise)(at)).map_or(0, |at| at + 1);
    let convicts = |three: &[usize]| {
        let far = three.iter().filter(|at| above(limits.severe_rise)(at)).count() >= 2;
        far && three.iter().any(|at| above(limits.severe_rise)(at) && vouched(at) == Some(true))
    };
    let mut threes = since[back..].windows(3).rev();
    if threes.next().is_some_and(convicts) {
        return Some(Severity::Warn);
    }
    threes.any(convicts).then_some(Severity::Watch)
}

/// How plain the other half of overfitting is to see, 0 to 1: the train loss that has fallen since the best.
fn learnt(train: Option<TrainSince>, limits: &Limits) -> f64 {
    let (from, to) = limits.corroborating_fall;
    train.map_or(0.0, |train| ((train.fall() - from) / (to - from)).clamp(0.0, 1.0))
}

/// How surely the train loss has stayed where it was, 0 to 1; where there is none, nothing is sure.
fn idle(train: Option<TrainSince>, limits: &Limits) -> f64 {
    let (from, to) = limits.idle_fall;
    train.map_or(0.0, |train| ((to - train.fall()) / (to - from)).clamp(0.0, 1.0))
}

/// How grave the rise is. Two witnesses can convict: the shape of the curve, and where each row was
/// evaluated, the rows.
fn severity(standing: &Standing, train: Option<TrainSince>, limits: &Limits) -> Option<Severity> {
    let climb = &standing.climb;
    // A best or an end that was luck is in one of the two figures and not in the other.
    let rise = climb.rise.min(standing.rise);
    let learnt = learnt(train, limits);
    // Noise that few evaluations have not shown yet looks like a rise; a train loss that stays where it
    // was is no sign of learning by heart. A rise far beyond what such noise comes to needs none.
    let (from, to) = limits.idle_rise;
    let small = ((to - rise) / (to - from)).clamp(0.0, 1.0);
    let idle = small * idle(train, limits);
    let vouched = 1.0 + limits.learnt_counts * learnt;
    let to_watch = climb.strength_over(limits.wanders_watch) * vouched / (1.0 + limits.idle_counts * idle);
    let to_warn = climb.strength_over(limits.wanders_warn) * vouched;
    // Few evaluations wander far by chance, and have not shown their noise.
    let few = (limits.few_evals / standing.finite as f64).powi(3).min(1.0) * limits.few_rise;
    let least = limits.watch_rise + (1.0 - limits.few_learnt * learnt) * few;
    let sure =
        |strength: f64| standing.p.is_some_and(|p| p < limits.false_paired) && climb.strength > strength;
    let seen = standing.finite <= limits.plain_evals;
    let away = seen && away(standing, learnt, limits);
    let climbs = standing.climbing && standing.since >= 2 && standing.newest > limits.leap_rise;
    let leaps = seen && (standing.leap > limits.leap_rise || climbs);
    let [many_watch, many_warn] =
        [limits.many_watch, limits.many_warn].map(|most| many(standing, most, limits));
    let watch = (rise > least && to_watch > many_watch * limits.strength_watch)
        || away
        || leaps
        || climb.held > limits.held_watch
        || (standing.rise > limits.paired_rise && sure(limits.strength_paired));
    if !watch {
        return None;
    }
    let weight = to_warn * rise.max(0.0).powf(1.5);
    // A train loss that went on falling is no chance: with it, few evaluations are enough.
    let heavy = rise > limits.warn_rise + (1.0 - learnt) * few
        && (weight > many_warn * limits.weight_warn || to_warn > many_warn * limits.strength_warn);
    let held = learnt == 1.0 && climb.held > limits.held_warn;
    let rows = standing.rise > limits.warn_rise && sure(limits.strength_paired_warn);
    // One evaluation more than makes a median that the best itself has no part in.
    let warn = away || standing.since >= limits.since_warn && (heavy || held || rows);
    Some(match warn {
        true if standing.rise > limits.severe_rise => Severity::Severe,
        true => Severity::Warn,
        false => Severity::Watch,
    })
}

/// The share of a strength that is enough with so many evaluations, which have shown their noise: 1 with few, and
/// `most` with many.
fn many(standing: &Standing, most: f64, limits: &Limits) -> f64 {
    let (from, to) = limits.many_evals;
    let far = ((standing.finite as f64 / from).ln() / (to / from).ln()).clamp(0.0, 1.0);
    1.0 - (1.0 - most) * far
}

/// Whether few evaluations show a rise that is plain to see, and that no noise makes: all that followed the best are
/// far above it, or rise from one to the next to where that is far. Many evaluations have other witnesses.
fn away(standing: &Standing, learnt: f64, limits: &Limits) -> bool {
    let Standing { since, newest, away, climbing, .. } = *standing;
    let vouched = learnt > 0.5;
    // What comes down again is no such rise.
    let stays = newest > away || climbing;
    (stays && away > limits.away_rise && since >= limits.since_away - usize::from(vouched))
        || (vouched && climbing && newest > limits.steep_rise && since >= limits.since_away)
}

/// The train loss at the best evaluation and now.
#[derive(Clone, Copy, Debug)]
struct TrainSince {
    before: f64,
    now: f64,
    /// The lowest, and the newest, each a median of three intervals.
    lowest: f64,
    recent: f64,
}

impl TrainSince {
    /// How far it has fallen, as a share; negative where it rose.
    fn fall(self) -> f64 {
        if self.before > 0.0 { 1.0 - self.recent.min(self.now) / self.before } else { 0.0 }
    }

    /// Whether it has risen since the best evaluation, or risen from its lowest to where it was then.
    fn has_risen(self, eval: f64, limits: &Limits) -> bool {
        let again = self.recent > (1.0 - limits.train_rise) * self.before
            && self.recent - self.lowest > limits.train_rise * eval;
        again || self.now.min(self.recent) > (1.0 + limits.train_rise) * self.before
    }
}

fn train_since(curves: &Curves, eval: &[EvalPoint], standing: &Standing) -> Option<TrainSince> {
    let points = &eval[standing.best..=standing.last];
    // A sample of the train rows that was evaluated as the held-out ones were is the better witness: no
    // dropout, and not a mean over steps past.
    let probed = |point: &EvalPoint| {
        let at = curves.probe.binary_search_by_key(&point.step, |probe| probe.step).ok()?;
        Some(curves.probe[at].loss).filter(|loss| loss.is_finite())
    };
    let probes: Option<Vec<f64>> = points.iter().map(probed).collect();
    let logged = |point: &EvalPoint| point.train_loss.filter(|loss| loss.is_finite());
    let (before, since) = match probes {
        Some(probes) => (*probes.first()?, probes),
        None => (train_at(curves, eval, standing.best)?, points.iter().filter_map(logged).collect()),
    };
    let now = *since.last()?;
    let medians = || since.windows(3).filter_map(|three| smooth::median(three.iter().copied()));
    let recent = medians().next_back().unwrap_or(now);
    Some(TrainSince { before, now, lowest: medians().fold(recent, f64::min), recent })
}

/// The train loss around the best evaluation. At a baseline before the first step none was logged:
/// there the untouched model has on the train rows about the loss that it has on the others, and the
/// first step, which saw it nearly untouched, no more.
pub(super) fn train_at(curves: &Curves, eval: &[EvalPoint], best: usize) -> Option<f64> {
    let point = &eval[best];
    let start = || {
        let first = curves.train.iter().map(|step| step.loss).find(|loss| loss.is_finite())?;
        Some(first.min(point.loss))
    };
    point.train_loss.filter(|loss| loss.is_finite()).or_else(|| if best == 0 { start() } else { None })
}

/// Schedules that hold the learning rate for a while and then cut it: the eval loss often falls to a
/// new best right after the cut.
const CUTTING: &[&str] = &["step", "multistep", "warmup_stable_decay", "wsd", "cosine_with_restarts"];

/// Schedules that lower the learning rate all along: most of that is ahead while the rate is above this
/// share of its highest.
const LOWERING: &[&str] = &["cosine", "linear", "cosine_with_min_lr", "polynomial"];
const STILL_HIGH: f64 = 0.8;

/// Whether the schedule is known to cut a learning rate that has not been cut yet, or to lower one that
/// is still high.
///
/// A rate that is lowered brings back what its noise cost, and not what was learnt `by_heart`.
fn decay_is_ahead(case: &Case, by_heart: bool) -> bool {
    let named =
        |list: &[&str]| case.run.settings.schedule.as_deref().is_some_and(|name| list.contains(&name));
    let (cuts, lowers) = (named(CUTTING), named(LOWERING) && !by_heart);
    let rates = || case.curves.train.iter().filter_map(crate::curve::TrainPoint::learning_rate);
    let highest = rates().fold(0.0, f64::max);
    let on_plateau =
        rates().next_back().is_some_and(|now| now > if lowers { STILL_HIGH } else { 0.99 } * highest);
    let last = case.curves.train.last().map_or(0, |point| point.step);
    (cuts || lowers) && on_plateau && case.run.total_steps.is_some_and(|total| last < total)
}
