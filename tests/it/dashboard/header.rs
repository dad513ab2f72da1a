//! The head of the screen: its clocks.

use super::stories::several;
use super::{draw_scene, running};
use tune::dashboard::model::Ui;
use tune::dashboard::view::Scene;

#[test]
fn in_a_pause_no_clock_goes_on() {
    let runs = several();
    let scene = Scene::of(&runs, 0).unwrap();
    let head = |idle_s, paused| {
        let screen = draw_scene(Some(&scene), &Ui { idle_s, paused, ..running() }, (120, 40));
        screen.lines().nth(1).unwrap_or_default().to_owned()
    };
    assert!(head(75, true).contains("PAUSED") && head(75, true) == head(0, true), "{}", head(75, true));
    assert!(head(75, false).contains("no news for") && head(75, false) != head(0, false));
}
