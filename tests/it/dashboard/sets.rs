//! Several validation sets on one chart.

use super::{draw, ended, screen};
use tune::dashboard::Drawing;
use tune::dashboard::view::Theme;
use tune::diagnosis::Limits;
use tune::event::record::Record;
use tune::event::{EvalStats, Event};
use tune::monitor::Monitor;

/// Ten evaluations of a set that falls and of one that climbs, far above it, under a long name.
fn two_sets() -> Monitor {
    let mut monitor = Monitor::new(Limits::DEFAULT);
    for step in 1..=10 {
        let falls = (None, 2.0 - 0.05 * step as f64);
        let climbs = (Some("general-chat".to_owned()), 3.0 + 0.05 * step as f64);
        for (set, loss) in [falls, climbs] {
            let stats = EvalStats { step: 10 * step, set, loss, ..EvalStats::default() };
            monitor.apply(&Record { t: step as f64, event: Event::Eval(stats) });
        }
    }
    monitor
}

#[test]
fn every_set_has_its_curve_its_name_and_its_newest_loss() {
    let monitor = two_sets();
    let text = screen(&monitor.snapshot(), &ended(), (120, 30));
    let row =
        |name: &str| text.lines().position(|line| line.ends_with(name)).unwrap_or_else(|| panic!("{text}"));
    assert!(text.contains("eval 1.500") && text.contains("general-chat 3.500"), "{text}");
    // The one that is above the other ends above it.
    assert!(row(" gene…") < row(" eval"), "{text}");
    let (plain, _) = draw(&monitor.snapshot(), &ended(), Theme::new(false, Drawing::Ascii), (120, 30));
    assert!(plain.lines().filter(|line| line.contains('~')).count() > 2, "{plain}");
}
