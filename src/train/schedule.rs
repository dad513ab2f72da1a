//! The learning rate of each step. Pure.

use crate::config::Schedule;

/// Learning rate of step `step` (from 1) of `total`: a linear climb over `warmup` steps, then the schedule.
///
/// Linear and cosine reach 0 behind the last step, as transformers' schedules do.
pub fn learning_rate(schedule: Schedule, peak: f64, warmup: u64, step: u64, total: u64) -> f64 {
    let done = step - 1;
    if done < warmup {
        return peak * (done + 1) as f64 / (warmup + 1) as f64;
    }
    let progress = (done - warmup) as f64 / (total.saturating_sub(warmup)).max(1) as f64;
    peak * match schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => 1.0 - progress,
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule) -> Vec<f64> {
        (1..=10).map(|step| learning_rate(schedule, 1.0, 2, step, 10)).collect()
    }

    #[test]
    fn rates_climb_and_then_follow_the_schedule() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let constant = rates(Schedule::Constant);
        assert!(near(constant[0], 1.0 / 3.0) && near(constant[1], 2.0 / 3.0));
        assert!(constant[2..].iter().all(|&rate| near(rate, 1.0)));
        let linear = rates(Schedule::Linear);
        assert!(near(linear[2], 1.0) && near(linear[6], 0.5) && near(linear[9], 0.125));
        let cosine = rates(Schedule::Cosine);
        assert!(near(cosine[2], 1.0) && near(cosine[6], 0.5) && cosine[9] > 0.0 && cosine[9] < 0.05);
    }
}
