//! Looking closer at the chart, by keys and with the mouse.

use super::keys::{press, press_with};
use super::running;
use ratatui::crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use tune::dashboard::message::pointed;
use tune::dashboard::model::{Extent, PlotExtent, Popup, Ui, Window, XAxis};
use tune::dashboard::update::update;

/// A chart of 101 columns that shows steps 0 to 1000 of a run that has come to step 800.
fn at_a_chart() -> Ui {
    let plot = PlotExtent {
        left: 10,
        top: 5,
        columns: 101,
        rows: 20,
        lo: 0.0,
        hi: 1000.0,
        newest: 800.0,
        whole: (0.0, 1000.0),
    };
    let next_x = Some(XAxis::Epoch);
    Ui { extent: Extent { plot, next_x, ..Extent::default() }, ..running() }
}

#[test]
fn zooming_follows_until_the_past_is_looked_at() {
    let mut ui = at_a_chart();
    press(&mut ui, KeyCode::Char('+'));
    // Around the newest point, and on with it.
    assert_eq!(ui.window, Window::Latest(800.0 * 0.7));
    (ui.extent.plot.lo, ui.extent.plot.hi) = (240.0, 800.0);
    press(&mut ui, KeyCode::Char('<'));
    assert_eq!(ui.window, Window::Fixed(0.0, 560.0), "looking back must stand still");
    (ui.extent.plot.lo, ui.extent.plot.hi) = (0.0, 560.0);
    press(&mut ui, KeyCode::Char('<'));
    assert_eq!(ui.window, Window::Fixed(0.0, 560.0), "there is nothing before the start");
    press(&mut ui, KeyCode::Char('>'));
    assert_eq!(ui.window, Window::Latest(560.0), "back at the newest point it follows again");
    press(&mut ui, KeyCode::Char('0'));
    assert_eq!(ui.window, Window::Whole);
    // Standing still on request, and not.
    let mut ui = at_a_chart();
    press(&mut ui, KeyCode::Char('f'));
    assert_eq!(ui.window, Window::Fixed(0.0, 1000.0));
    press(&mut ui, KeyCode::Char('f'));
    assert_eq!(ui.window, Window::Whole);
    press(&mut ui, KeyCode::Char('-'));
    assert_eq!(ui.window, Window::Whole, "there is no more than all");
    // Another axis knows nothing of this one's places.
    ui.window = Window::Fixed(3.0, 4.0);
    press(&mut ui, KeyCode::Char('x'));
    assert_eq!((ui.window, ui.cursor), (Window::Whole, None));
}

#[test]
fn the_crosshair_moves_by_columns_and_stays_in_the_chart() {
    let mut ui = at_a_chart();
    let mut at = |key, modifiers| {
        press_with(&mut ui, key, modifiers);
        ui.cursor
    };
    let none = KeyModifiers::NONE;
    assert_eq!(at(KeyCode::Left, none), Some(800.0), "it appears at the newest point");
    assert_eq!(at(KeyCode::Left, none), Some(790.0));
    assert_eq!(at(KeyCode::Right, KeyModifiers::SHIFT), Some(890.0));
    assert_eq!(at(KeyCode::Right, KeyModifiers::SHIFT), Some(990.0));
    assert_eq!(at(KeyCode::Right, KeyModifiers::SHIFT), Some(1000.0));
    assert_eq!(at(KeyCode::Esc, none), None);
    // Nothing is shown yet: nothing happens.
    let mut ui = running();
    for key in ['+', '-', '<', '>', 'f'] {
        press(&mut ui, KeyCode::Char(key));
    }
    press(&mut ui, KeyCode::Left);
    assert_eq!(ui, running());
}

#[test]
fn the_mouse_does_what_keys_do() {
    let mut ui = at_a_chart();
    let mut point = |kind, column, row| {
        let mouse = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
        if let Some(message) = pointed(mouse, &ui) {
            update(&mut ui, message);
        }
        (ui.window, ui.cursor)
    };
    let left = MouseButton::Left;
    assert_eq!(point(MouseEventKind::Down(left), 60, 10), (Window::Whole, Some(500.0)));
    assert_eq!(point(MouseEventKind::Drag(left), 10, 10), (Window::Whole, Some(0.0)));
    assert_eq!(point(MouseEventKind::Down(left), 60, 30), (Window::Whole, Some(0.0)), "below the chart");
    let (window, _) = point(MouseEventKind::ScrollUp, 40, 10);
    let Window::Fixed(lo, hi) = window else { panic!("{window:?}") };
    assert!((lo - 90.0).abs() < 1e-9 && (hi - 790.0).abs() < 1e-9, "{window:?}");
    assert_eq!(point(MouseEventKind::Down(MouseButton::Right), 60, 10).1, None);
    assert_eq!(point(MouseEventKind::Moved, 60, 10), (window, None), "to move it is not to ask");
    let (window, _) = point(MouseEventKind::ScrollDown, 40, 10);
    assert_eq!(window, Window::Whole);
    let (window, _) = point(MouseEventKind::ScrollLeft, 40, 10);
    assert_eq!(window, Window::Fixed(0.0, 1000.0), "there is nothing before the start");
    let (window, _) = point(MouseEventKind::ScrollRight, 40, 10);
    assert_eq!(window, Window::Latest(800.0));
    // Beside the chart the wheel scrolls; over a question it does nothing.
    let mut ui = Ui { extent: Extent { verdict: 3, ..at_a_chart().extent }, ..at_a_chart() };
    for (kind, expected) in [(MouseEventKind::ScrollDown, 1), (MouseEventKind::ScrollUp, 0)] {
        let mouse = MouseEvent { kind, column: 2, row: 30, modifiers: KeyModifiers::NONE };
        assert_eq!(pointed(mouse, &Ui { popup: Some(Popup::Copy), ..ui.clone() }), None);
        let message = pointed(mouse, &ui).unwrap();
        update(&mut ui, message);
        assert_eq!(ui.verdict_scroll, expected);
    }
}
