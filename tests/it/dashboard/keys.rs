//! What every key does, key by key.

use super::stories::overfitting;
use super::{draw, ended, running};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tune::dashboard::message::{Message, message};
use tune::dashboard::model::{Average, Extent, Panel, Phase, Popup, Scale, Ui, Unit, XAxis, is_light};
use tune::dashboard::update::update;
use tune::dashboard::view::Theme;
use tune::dashboard::{Command, Copied, Drawing, Exit, Request, Trainer};
use tune::diagnosis::Limits;
use tune::event::record::Record;
use tune::event::{EvalStats, Event, RunInfo, StepKind};
use tune::monitor::{Monitor, Snapshot};

pub fn press(ui: &mut Ui, code: KeyCode) -> Option<Command> {
    press_with(ui, code, KeyModifiers::NONE)
}

pub fn press_with(ui: &mut Ui, code: KeyCode, modifiers: KeyModifiers) -> Option<Command> {
    match message(KeyEvent::new(code, modifiers), ui).and_then(|message| update(ui, message)) {
        Some(Request::Trainer(command)) => Some(command),
        Some(Request::Copy(_)) => panic!("no file was asked for"),
        None => None,
    }
}

fn ctrl_c(ui: &mut Ui) -> Option<Command> {
    press_with(ui, KeyCode::Char('c'), KeyModifiers::CONTROL)
}

#[test]
fn keys_change_the_view() {
    let mut ui = running();
    for (key, expected) in [
        (KeyCode::Char('l'), Ui { y: Scale::Log, ..running() }),
        (KeyCode::Char('p'), Ui { unit: Unit::Perplexity, ..running() }),
        (KeyCode::Char('t'), Ui { light: true, ..running() }),
        (KeyCode::Char('m'), Ui { tall: true, ..running() }),
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
fn every_key_of_the_help_means_something_and_no_other_does() {
    let ui = Ui { detaches: true, runs: 3, cursor: Some(1.0), ..running() };
    let help = super::draw_scene(None, &Ui { popup: Some(Popup::Help), ..ui.clone() }, (100, 60));
    let told: Vec<String> = help
        .lines()
        .filter_map(|line| line.split_once("│ "))
        .flat_map(|(_, line)| {
            let keys: String = line.chars().take(7).collect();
            keys.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert!(told.len() > 25, "{help}");
    for name in &told {
        let (code, modifiers) = match name.as_str() {
            "Ctrl-C" => (KeyCode::Char('c'), KeyModifiers::CONTROL),
            "Ctrl-L" => (KeyCode::Char('l'), KeyModifiers::CONTROL),
            "←" => (KeyCode::Left, KeyModifiers::NONE),
            "→" => (KeyCode::Right, KeyModifiers::NONE),
            "↑" => (KeyCode::Up, KeyModifiers::NONE),
            "↓" => (KeyCode::Down, KeyModifiers::NONE),
            "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
            key => (KeyCode::Char(key.chars().next().unwrap()), KeyModifiers::NONE),
        };
        assert!(message(KeyEvent::new(code, modifiers), &ui).is_some(), "{name} means nothing");
    }
    // Other names of the same, and what the help says in words.
    let known = "hjke=_,.123456";
    for key in ' '..='~' {
        let means = message(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE), &ui).is_some();
        let is_told = known.contains(key) || told.contains(&key.to_string());
        assert!(!means || is_told, "{key} is not in the help");
    }
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
    assert_eq!(walk(running(), KeyCode::Tab), [Panel::Events, Panel::System, Panel::Verdict]);
    let several = Ui { runs: 2, ..running() };
    assert_eq!(walk(several.clone(), KeyCode::Tab), [Panel::Events, Panel::System, Panel::Runs]);
    assert_eq!(walk(several.clone(), KeyCode::BackTab), [Panel::Runs, Panel::System, Panel::Events]);
    let extent = Extent { has_samples: true, has_output: true, ..Extent::default() };
    let all = Ui { extent, ..several };
    assert_eq!(walk(all.clone(), KeyCode::Tab), [Panel::Events, Panel::Samples, Panel::System]);
    // By number, those that there are.
    for (key, panel) in ('1'..='6').zip(Panel::ALL) {
        let mut ui = Ui { panel: Panel::Verdict, ..all.clone() };
        press(&mut ui, KeyCode::Char(key));
        assert_eq!(ui.panel, panel);
    }
    let mut lone = running();
    press(&mut lone, KeyCode::Char('3'));
    assert_eq!(lone, running());
}

#[test]
fn the_trainer_is_asked_to_save_to_evaluate_and_to_wait() {
    let mut ui = running();
    let mut ask = |key: char| press(&mut ui, KeyCode::Char(key));
    let asked = ['w', 'v', 'P', 'P'].map(&mut ask);
    let expected = [Command::Save, Command::Evaluate, Command::Pause(true), Command::Pause(false)];
    assert_eq!(asked, expected.map(Some));
    // A run of someone else is not asked, nor one that has ended.
    for mut ui in [Ui::default(), ended()] {
        assert_eq!(['w', 'v', 'P', 's'].map(|key| press(&mut ui, KeyCode::Char(key))), [None; 4]);
        assert_eq!(ui.popup, None);
    }
}

#[test]
fn a_trainer_elsewhere_is_asked_and_its_log_tells_the_rest() {
    let watching = || Ui { trainer: Trainer::Listening, ..Ui::default() };
    let mut ui = watching();
    assert_eq!(press(&mut ui, KeyCode::Char('w')), Some(Command::Save));
    assert_eq!(ui.notice.as_deref(), Some("asked to save after this step"));
    assert_eq!(press(&mut ui, KeyCode::Char('P')), Some(Command::Pause(true)));
    assert_eq!(ui.notice.as_deref(), Some("asked to wait; P goes on"));
    press(&mut ui, KeyCode::Char('v'));
    assert_eq!(ui.notice.as_deref(), Some("asked to evaluate when it goes on (P)"));
    press(&mut ui, KeyCode::Char('s'));
    assert_eq!(press(&mut ui, KeyCode::Char('y')), Some(Command::Stop));
    assert_eq!((ui.phase, ui.exit), (Phase::Running, None));
    // To leave is to leave it alone.
    assert_eq!((press(&mut ui, KeyCode::Char('q')), ui.exit), (None, Some(Exit::Left)));
    // Someone else's program can be stopped, and no more.
    let mut ui = Ui { trainer: Trainer::Stoppable, detaches: true, ..running() };
    assert_eq!(['w', 'v', 'P', 'd'].map(|key| press(&mut ui, KeyCode::Char(key))), [None; 4]);
    press(&mut ui, KeyCode::Char('s'));
    assert_eq!(press(&mut ui, KeyCode::Char('e')), None);
    assert_eq!(press(&mut ui, KeyCode::Char('y')), Some(Command::Stop));
}

#[test]
fn a_run_is_left_in_the_background() {
    for first in [None, Some('q')] {
        let mut ui = Ui { detaches: true, ..running() };
        if let Some(key) = first {
            press(&mut ui, KeyCode::Char(key));
        }
        assert_eq!(press(&mut ui, KeyCode::Char('d')), Some(Command::Interrupt));
        assert_eq!((ui.phase, ui.popup, ui.exit), (Phase::Interrupting, None, None));
        update(&mut ui, Message::Ended);
        assert_eq!(ui.exit, Some(Exit::Detached));
    }
    // Ctrl-C takes it back: then the run ends.
    let mut ui = Ui { detaches: true, ..running() };
    press(&mut ui, KeyCode::Char('d'));
    assert_eq!((ctrl_c(&mut ui), ui.exit), (None, None));
    update(&mut ui, Message::Ended);
    assert_eq!(ui.exit, Some(Exit::Ended));
    // Where it cannot be, or is not ours, the key means nothing.
    let mut ui = running();
    assert_eq!((press(&mut ui, KeyCode::Char('d')), ui), (None, running()));
}

#[test]
fn stopping_may_wait_for_the_next_evaluation() {
    let mut ui = Ui { paused: true, ..running() };
    press(&mut ui, KeyCode::Char('s'));
    assert_eq!(press(&mut ui, KeyCode::Char('e')), Some(Command::StopAfterEval));
    assert_eq!((ui.phase, ui.paused, ui.popup), (Phase::Finishing, false, None));
    // Changing one's mind: at once.
    press(&mut ui, KeyCode::Char('s'));
    assert_eq!(press(&mut ui, KeyCode::Char('y')), Some(Command::Stop));
    assert_eq!(ui.phase, Phase::Stopping);
}

#[test]
fn the_screen_is_drawn_anew_on_request() {
    for typing in [false, true] {
        let mut ui = Ui { typing, ..running() };
        assert_eq!(press_with(&mut ui, KeyCode::Char('l'), KeyModifiers::CONTROL), None);
        assert_eq!(ui, Ui { typing, redraw: true, ..running() });
    }
}

#[test]
fn letters_of_a_search_are_not_keys() {
    let mut ui = running();
    for key in "/quit".chars() {
        press(&mut ui, KeyCode::Char(key));
    }
    press(&mut ui, KeyCode::Backspace);
    assert_eq!((ui.search.as_str(), ui.typing, ui.panel, ui.popup), ("qui", true, Panel::Events, None));
    press(&mut ui, KeyCode::Enter);
    assert!(!ui.typing && ui.finds("QUITE") && !ui.finds("quote"));
    press(&mut ui, KeyCode::Esc);
    assert_eq!((ui.search.as_str(), ui.exit), ("", None));
    press(&mut ui, KeyCode::Char('/'));
    press(&mut ui, KeyCode::Char('x'));
    press(&mut ui, KeyCode::Esc);
    assert_eq!((ui.search.as_str(), ui.typing), ("", false));
}

#[test]
fn the_screen_and_its_data_go_to_a_file() {
    for (key, what) in [('d', Copied::Csv), ('s', Copied::Svg), ('t', Copied::Text)] {
        let mut ui = running();
        press(&mut ui, KeyCode::Char('c'));
        assert_eq!(ui.popup, Some(Popup::Copy));
        let asked = message(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE), &ui);
        assert_eq!(asked.and_then(|message| update(&mut ui, message)), Some(Request::Copy(what)));
        assert_eq!(ui.popup, None);
    }
    let mut ui = Ui { notice: Some("wrote it".into()), ..running() };
    press(&mut ui, KeyCode::Char('l'));
    assert_eq!(ui.notice, None);
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
    assert_eq!(ui.marked, [2]);
    press(&mut ui, KeyCode::Char(' '));
    assert_eq!(ui.marked, [0; 0]);
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
    let extent = Extent { verdict: 3, events: 20, page: 6, ..Extent::default() };
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
        Drawing::from_environment(|name| pairs.iter().find(|p| p.0 == name).map(|p| p.1.to_owned()))
    };
    if !cfg!(windows) {
        assert_eq!(from(&[("LANG", "de_DE.UTF-8")]), Drawing::Braille);
        assert_eq!(from(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), Drawing::Ascii);
        assert_eq!(from(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]), Drawing::Braille);
        assert_eq!(from(&[]), Drawing::Ascii);
        assert_eq!(from(&[("LANG", "C.UTF-8"), ("TERM", "linux")]), Drawing::HalfBlock);
    }
}

#[test]
fn the_background_follows_the_environment() {
    let light = |value: Option<&str>| is_light(|name| value.filter(|_| name == "COLORFGBG").map(Into::into));
    let found = [None, Some("15;0"), Some("0;15"), Some("0;default;7"), Some("?")].map(light);
    assert_eq!(found, [false, false, true, true, false]);
}

#[test]
fn the_axis_counts_in_turn_what_is_known_of_the_run() {
    let turn = |snapshot: &Snapshot| {
        let mut ui = running();
        [(); 3].map(|()| {
            let (screen, extent) = draw(snapshot, &ui, Theme::new(true, Drawing::Braille), (80, 24));
            ui.extent = extent;
            assert_eq!(screen.contains("   x "), extent.next_x.is_some(), "{screen}");
            press(&mut ui, KeyCode::Char('x'));
            ui.x
        })
    };
    assert_eq!(turn(&overfitting().snapshot()), [XAxis::Epoch, XAxis::Time, XAxis::Step]);
    let log = |t: f64, step_kind| {
        let mut monitor = Monitor::new(Limits::DEFAULT);
        let info = RunInfo { step_kind, ..RunInfo::default() };
        monitor.apply(&Record { t: 0.0, event: Event::RunStarted(Box::new(info)) });
        for step in 1..=3 {
            let epoch = (step_kind == StepKind::Epoch).then_some(step as f64);
            let stats = EvalStats { step, epoch, loss: 2.0, ..EvalStats::default() };
            monitor.apply(&Record { t, event: Event::Eval(stats) });
        }
        monitor
    };
    // Where epochs are all the steps there are, no other key press is wasted on them.
    assert_eq!(turn(&log(5.0, StepKind::Epoch).snapshot()), [XAxis::Time, XAxis::Epoch, XAxis::Time]);
    assert_eq!(turn(&log(0.0, StepKind::Explicit).snapshot()), [XAxis::Step; 3]);
}

#[test]
fn keys_that_walk_through_several() {
    let mut ui = running();
    let mut press = |key: char| {
        press(&mut ui, KeyCode::Char(key));
        (ui.average, ui.drawing)
    };
    let averages = ['a', 'a', 'a'].map(|key| press(key).0);
    assert_eq!(averages, [Average::Moving, Average::None, Average::Interval]);
    let drawings = ['b', 'b', 'b'].map(|key| press(key).1);
    assert_eq!(drawings, [Drawing::HalfBlock, Drawing::Ascii, Drawing::Braille]);
}
