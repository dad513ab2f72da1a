//! What keys and the mouse mean at this moment: key -> [`Message`]. Pure: no terminal, no clock, no channel.

use super::model::{Panel, Phase, Popup, Ui};
use super::viewport::{PAN, ZOOM};
use super::{Copied, Trainer};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

/// Something that the user or the run did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Message {
    /// To leave; asks first where something would be lost.
    Quit,
    /// To stop; asks first.
    Stop,
    /// To the question: yes.
    Yes,
    /// To the question: no.
    No,
    /// To stop, but only after the next evaluation.
    Later,
    /// To save after this step.
    Save,
    /// To evaluate after this step.
    Evaluate,
    /// To wait after this step, or to go on.
    TogglePause,
    /// To leave, and the run to go on in the background.
    Detach,
    /// To choose what to write to a file.
    Copy,
    /// What to write.
    Copied(Copied),
    /// To begin to type what to search for.
    Search,
    /// A letter of it.
    Type(char),
    /// The last letter off.
    Erase,
    /// The end of it, and whether what was typed counts.
    Typed(bool),
    /// The panel in the chart's place, or back below it.
    ToggleTall,
    /// Ctrl-C: to save and leave; again: to leave now.
    Interrupt,
    /// To draw every cell anew.
    Redraw,
    /// All keys, or away with them.
    Help,
    /// Logarithmic losses, or linear ones.
    ToggleScale,
    /// Steps, epochs, time in turn.
    NextX,
    /// Perplexity, or nats.
    ToggleUnit,
    /// The next line through the training steps.
    NextAverage,
    /// Braille, half-blocks, letters in turn.
    NextDrawing,
    /// Colours for a light background, or for a dark one.
    ToggleLight,
    /// Show this share of what is shown now, around the crosshair or the newest point.
    Zoom(f64),
    /// The same around an x.
    ZoomAt(f64, f64),
    /// Move on by this share of what is shown; negative: back.
    Pan(f64),
    /// Show all.
    Whole,
    /// Stand still, or follow what comes again.
    ToggleFollow,
    /// Move the crosshair by so many columns; negative: back.
    Cursor(isize),
    /// Put the crosshair at an x.
    CursorAt(f64),
    /// No crosshair.
    CursorOff,
    /// To the panel on the right.
    NextPanel,
    /// To the panel on the left.
    PreviousPanel,
    /// To this panel, or back to the verdict.
    Panel(Panel),
    /// Put the next run on the screen, so many further on; negative: back.
    NextRun(isize),
    /// Put the run on the screen that the list points at.
    Choose,
    /// Show or hide the curve of the run that the list points at.
    ToggleCurve,
    /// Lines to go down; negative: up.
    Scroll(isize),
    /// Pages to go down; negative: up.
    Page(isize),
    /// To the first line.
    Top,
    /// To the last line.
    Bottom,
    /// The run came to its end.
    Ended,
    /// The run goes on after an end.
    Resumed,
    /// No more records will come, without an end: the trainer failed, or the log of a run that is
    /// watched is read to its last line.
    Lost,
}

/// What a key means at this moment; `None` where it means nothing.
pub fn message(key: KeyEvent, ui: &Ui) -> Option<Message> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Message::Interrupt),
            KeyCode::Char('l') => Some(Message::Redraw),
            _ => None,
        };
    }
    if ui.typing {
        return match key.code {
            KeyCode::Char(c) => Some(Message::Type(c)),
            KeyCode::Backspace => Some(Message::Erase),
            KeyCode::Enter => Some(Message::Typed(true)),
            KeyCode::Esc => Some(Message::Typed(false)),
            _ => None,
        };
    }
    match ui.popup {
        Some(Popup::Copy) => match key.code {
            KeyCode::Char('d') => Some(Message::Copied(Copied::Csv)),
            KeyCode::Char('s') => Some(Message::Copied(Copied::Svg)),
            KeyCode::Char('t') => Some(Message::Copied(Copied::Text)),
            KeyCode::Char('n' | 'q' | 'c') | KeyCode::Esc => Some(Message::No),
            _ => None,
        },
        Some(Popup::Confirm { .. }) => match key.code {
            KeyCode::Char('y' | 'Y') => Some(Message::Yes),
            KeyCode::Char('e' | 'E') if may_order(ui) => Some(Message::Later),
            KeyCode::Char('d' | 'D') if may_detach(ui) => Some(Message::Detach),
            KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => Some(Message::No),
            _ => None,
        },
        Some(Popup::Help) => match key.code {
            KeyCode::Char('?' | 'h' | 'q') | KeyCode::Esc | KeyCode::Enter => Some(Message::Help),
            _ => None,
        },
        None => on_screen(key, ui),
    }
}

fn on_screen(key: KeyEvent, ui: &Ui) -> Option<Message> {
    let columns = if key.modifiers.contains(KeyModifiers::SHIFT) { 10 } else { 1 };
    Some(match key.code {
        KeyCode::Left => Message::Cursor(-columns),
        KeyCode::Right => Message::Cursor(columns),
        KeyCode::Esc if ui.cursor.is_some() => Message::CursorOff,
        KeyCode::Char('+' | '=') => Message::Zoom(ZOOM),
        KeyCode::Char('-' | '_') => Message::Zoom(1.0 / ZOOM),
        KeyCode::Char('<' | ',') => Message::Pan(-PAN),
        KeyCode::Char('>' | '.') => Message::Pan(PAN),
        KeyCode::Char('0') => Message::Whole,
        KeyCode::Char('f') => Message::ToggleFollow,
        KeyCode::Char('p') => Message::ToggleUnit,
        KeyCode::Char('a') => Message::NextAverage,
        KeyCode::Char('b') => Message::NextDrawing,
        KeyCode::Char('t') => Message::ToggleLight,
        KeyCode::Char('q') => Message::Quit,
        KeyCode::Enter if ui.panel == Panel::Runs => Message::Choose,
        KeyCode::Enter if ui.phase == Phase::Ended => Message::Quit,
        KeyCode::Esc if ui.phase == Phase::Ended && ui.search.is_empty() => Message::Quit,
        KeyCode::Char('s') if may_ask(ui) => Message::Stop,
        KeyCode::Char('w') if may_order(ui) => Message::Save,
        KeyCode::Char('v') if may_order(ui) => Message::Evaluate,
        KeyCode::Char('P') if may_order(ui) => Message::TogglePause,
        KeyCode::Char('d') if may_detach(ui) => Message::Detach,
        KeyCode::Char('c') => Message::Copy,
        KeyCode::Char('/') => Message::Search,
        KeyCode::Esc if !ui.search.is_empty() => Message::Typed(false),
        KeyCode::Char('m') => Message::ToggleTall,
        KeyCode::Char(digit @ '1'..='6') => {
            let panel = Panel::ALL[digit as usize - '1' as usize];
            return ui.has(panel).then_some(Message::Panel(panel));
        }
        KeyCode::Char('?' | 'h') => Message::Help,
        KeyCode::Char('l') => Message::ToggleScale,
        KeyCode::Char('x') => Message::NextX,
        KeyCode::Tab => Message::NextPanel,
        KeyCode::BackTab => Message::PreviousPanel,
        KeyCode::Char('e') => Message::Panel(Panel::Events),
        KeyCode::Char('r') if ui.runs > 1 => Message::Panel(Panel::Runs),
        KeyCode::Char('n') if ui.runs > 1 => Message::NextRun(1),
        KeyCode::Char('N') if ui.runs > 1 => Message::NextRun(-1),
        KeyCode::Char(' ') if ui.panel == Panel::Runs => Message::ToggleCurve,
        KeyCode::Up | KeyCode::Char('k') => Message::Scroll(-1),
        KeyCode::Down | KeyCode::Char('j') => Message::Scroll(1),
        KeyCode::PageUp => Message::Page(-1),
        KeyCode::PageDown => Message::Page(1),
        KeyCode::Home => Message::Top,
        KeyCode::End => Message::Bottom,
        _ => return None,
    })
}

/// What the mouse means; nothing needs it.
pub fn pointed(mouse: MouseEvent, ui: &Ui) -> Option<Message> {
    let plot = ui.extent.plot;
    let x = plot.x_at(mouse.column).filter(|_| plot.contains(mouse.column, mouse.row));
    if ui.popup.is_some() {
        return None;
    }
    match (mouse.kind, x) {
        (MouseEventKind::ScrollUp, Some(x)) => Some(Message::ZoomAt(x, ZOOM)),
        (MouseEventKind::ScrollDown, Some(x)) => Some(Message::ZoomAt(x, 1.0 / ZOOM)),
        (MouseEventKind::ScrollLeft, Some(_)) => Some(Message::Pan(-PAN / 4.0)),
        (MouseEventKind::ScrollRight, Some(_)) => Some(Message::Pan(PAN / 4.0)),
        (MouseEventKind::ScrollUp, None) => Some(Message::Scroll(-1)),
        (MouseEventKind::ScrollDown, None) => Some(Message::Scroll(1)),
        (MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left), Some(x)) => {
            Some(Message::CursorAt(x))
        }
        (MouseEventKind::Down(MouseButton::Right), Some(_)) => Some(Message::CursorOff),
        _ => None,
    }
}

/// Whether the trainer can still be asked to end.
pub fn may_ask(ui: &Ui) -> bool {
    !matches!(ui.trainer, Trainer::Deaf | Trainer::Asked)
        && matches!(ui.phase, Phase::Running | Phase::Finishing)
}

/// Whether it can be asked for more than that.
pub fn may_order(ui: &Ui) -> bool {
    ui.trainer != Trainer::Stoppable && may_ask(ui)
}

/// Whether the run could go on in the background.
pub fn may_detach(ui: &Ui) -> bool {
    ui.owns_run && ui.detaches && may_order(ui)
}
