//! The head of the screen: its clocks, and what it says of the run.

use super::keys::press;
use super::stories::several;
use super::{draw_scene, running};
use ratatui::crossterm::event::KeyCode;
use tune::dashboard::model::Ui;
use tune::dashboard::runs::Trainer;
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

#[test]
fn a_trainer_that_was_asked_to_end_is_shown_so_and_not_asked_again() {
    let runs = several();
    let mut ui = Ui { trainer: Trainer::Asked, ..Ui::default() };
    let screen = draw_scene(Scene::of(&runs, 0).as_ref(), &ui, (80, 24));
    assert!(screen.lines().nth(1).unwrap_or_default().contains("asked to stop"), "{screen}");
    assert_eq!((press(&mut ui, KeyCode::Char('s')), ui.popup), (None, None));
}
