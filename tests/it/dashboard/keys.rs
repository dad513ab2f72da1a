//! What every key does, key by key.

use super::{ended, running};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tune::dashboard::model::{Extent, Panel, Phase, Popup, Scale, Ui, XAxis};
use tune::dashboard::update::{Message, message, update};
use tune::dashboard::{Command, Drawing, Exit};

fn press(ui: &mut Ui, code: KeyCode) -> Option<Command> {
    press_with(ui, code, KeyModifiers::NONE)
}

fn press_with(ui: &mut Ui, code: KeyCode, modifiers: KeyModifiers) -> Option<Command> {
    message(KeyEvent::new(code, modifiers), ui).and_then(|message| update(ui, message))
}

fn ctrl_c(ui: &mut Ui) -> Option<Command> {
    press_with(ui, KeyCode::Char('c'), KeyModifiers::CONTROL)
}

#[test]
fn keys_change_the_view() {
    let mut ui = running();
    for (key, expected) in [
        (KeyCode::Char('l'), Ui { y: Scale::Log, ..running() }),
        (KeyCode::Char('x'), Ui { x: XAxis::Epoch, ..running() }),
        (KeyCode::Char('e'), Ui { panel: Panel::Events, ..running() }),
        (KeyCode::Char('?'), Ui { popup: Some(Popup::Help), ..running() }),
        (KeyCode::Char('h'), Ui { popup: Some(Popup::Help), ..running() }),
    ] {
        assert_eq!(press(&mut ui, key), None);
        assert_eq!(ui, expected, "{key:?}");
        // The same key takes it back.
        press(&mut ui, key);
        assert_eq!(ui, running(), "{key:?} twice");
    }
    press(&mut ui, KeyCode::Char('z'));
    press(&mut ui, KeyCode::Esc);
    assert_eq!(ui, running());
}

#[test]
fn tab_walks_through_the_panels_that_there_are() {
    let walk = |mut ui: Ui, key: KeyCode| {
        let panels = (0..3).map(|_| {
            press(&mut ui, key);
            ui.panel
        });
        panels.collect::<Vec<_>>()
    };
    assert_eq!(walk(running(), KeyCode::Tab), [Panel::Events, Panel::Verdict, Panel::Events]);
    let several = Ui { runs: 2, ..running() };
    assert_eq!(walk(several.clone(), KeyCode::Tab), [Panel::Events, Panel::Runs, Panel::Verdict]);
    assert_eq!(walk(several, KeyCode::BackTab), [Panel::Runs, Panel::Events, Panel::Verdict]);
}

#[test]
fn another_run_is_put_on_the_screen() {
    let mut ui = Ui { runs: 3, verdict_scroll: 2, ..Ui::default() };
    let shown = |ui: &mut Ui, key: char| {
        press(ui, KeyCode::Char(key));
        ui.shown
    };
    assert_eq!(['n', 'n', 'n', 'N', 'N'].map(|key| shown(&mut ui, key)), [1, 2, 0, 2, 1]);
    assert_eq!((ui.selected, ui.verdict_scroll), (1, 0));
    // From the list.
    press(&mut ui, KeyCode::Char('r'));
    press(&mut ui, KeyCode::Down);
    press(&mut ui, KeyCode::Down);
    assert_eq!((ui.panel, ui.selected, ui.shown), (Panel::Runs, 2, 1));
    press(&mut ui, KeyCode::Char(' '));
    assert_eq!(ui.hidden, [2]);
    press(&mut ui, KeyCode::Char(' '));
    assert_eq!(ui.hidden, [0; 0]);
    press(&mut ui, KeyCode::Enter);
    assert_eq!((ui.shown, ui.exit), (2, None));
    // A lone run has no list.
    let mut lone = Ui { runs: 1, ..Ui::default() };
    for key in ['n', 'r', ' '] {
        press(&mut lone, KeyCode::Char(key));
    }
    assert_eq!(lone, Ui { runs: 1, ..Ui::default() });
}

#[test]
fn scrolling_stays_within_what_there_is() {
    let extent = Extent { verdict: 3, events: 20, page: 6 };
    let mut ui = Ui { panel: Panel::Events, extent, ..running() };
    let mut seen = Vec::new();
    for key in
        [KeyCode::Up, KeyCode::PageUp, KeyCode::Home, KeyCode::Up, KeyCode::Down, KeyCode::End, KeyCode::Down]
    {
        press(&mut ui, key);
        seen.push(ui.event_scroll);
    }
    assert_eq!(seen, [1, 7, 20, 20, 19, 0, 0]);
    ui.panel = Panel::Verdict;
    press(&mut ui, KeyCode::PageDown);
    assert_eq!((ui.verdict_scroll, ui.event_scroll), (3, 0));
}

#[test]
fn quitting_a_run_asks_first_and_waits_for_it_to_be_saved() {
    let mut ui = running();
    assert_eq!(press(&mut ui, KeyCode::Char('q')), None);
    assert_eq!(ui.popup, Some(Popup::Confirm { leave: true }));
    assert_eq!(press(&mut ui, KeyCode::Char('n')), None);
    assert_eq!(ui, running());
    press(&mut ui, KeyCode::Char('q'));
    assert_eq!(press(&mut ui, KeyCode::Char('y')), Some(Command::Stop));
    assert_eq!((ui.phase, ui.exit), (Phase::Stopping, None));
    update(&mut ui, Message::Ended);
    assert_eq!(ui.exit, Some(Exit::Ended));
}

#[test]
fn stopping_a_run_stays_on_its_last_screen() {
    let mut ui = running();
    assert_eq!(press(&mut ui, KeyCode::Char('s')), None);
    assert_eq!(press(&mut ui, KeyCode::Char('y')), Some(Command::Stop));
    assert_eq!(press(&mut ui, KeyCode::Char('s')), None);
    update(&mut ui, Message::Ended);
    assert_eq!((ui.phase, ui.popup, ui.exit), (Phase::Ended, None, None));
    press(&mut ui, KeyCode::Enter);
    assert_eq!(ui.exit, Some(Exit::Ended));
}

#[test]
fn ctrl_c_interrupts_and_a_second_one_does_not_wait() {
    for popup in [None, Some(Popup::Help), Some(Popup::Confirm { leave: false })] {
        let mut ui = Ui { popup, ..running() };
        assert_eq!(ctrl_c(&mut ui), Some(Command::Interrupt));
        assert_eq!((ui.phase, ui.popup, ui.exit), (Phase::Interrupting, None, None));
        assert_eq!(ctrl_c(&mut ui), None);
        assert_eq!(ui.exit, Some(Exit::Abandoned));
    }
    let mut ui = ended();
    assert_eq!((ctrl_c(&mut ui), ui.exit), (None, Some(Exit::Ended)));
}

#[test]
fn a_run_that_ends_by_itself_closes_the_question() {
    let mut ui = running();
    press(&mut ui, KeyCode::Char('q'));
    update(&mut ui, Message::Ended);
    assert_eq!((ui.popup, ui.exit), (None, None));
    assert_eq!(press(&mut ui, KeyCode::Char('y')), None);
}

#[test]
fn watching_leaves_the_run_alone() {
    let mut ui = Ui::default();
    assert_eq!(press(&mut ui, KeyCode::Char('s')), None);
    assert_eq!(ui, Ui::default());
    assert_eq!((press(&mut ui, KeyCode::Char('q')), ui.exit), (None, Some(Exit::Left)));
    let mut ui = Ui::default();
    assert_eq!((ctrl_c(&mut ui), ui.exit), (None, Some(Exit::Left)));
    // A log may end without saying that its run has ended.
    let mut ui = Ui::default();
    update(&mut ui, Message::Lost);
    assert_eq!((ui.phase, ui.exit), (Phase::Ended, None));
    // A trainer may not.
    let mut ui = running();
    update(&mut ui, Message::Lost);
    assert_eq!(ui.exit, Some(Exit::Lost));
}

#[test]
fn the_drawing_follows_the_locale() {
    let from = |pairs: &[(&str, &str)]| {
        Drawing::from_locale(|name| pairs.iter().find(|p| p.0 == name).map(|p| p.1.to_owned()))
    };
    if !cfg!(windows) {
        assert_eq!(from(&[("LANG", "de_DE.UTF-8")]), Drawing::Braille);
        assert_eq!(from(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), Drawing::Ascii);
        assert_eq!(from(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]), Drawing::Braille);
        assert_eq!(from(&[]), Drawing::Ascii);
    }
}
