//! What keys mean and what they change: key -> [`Message`] -> [`Ui`], and now and then a
//! [`Request`]. Pure: no terminal, no clock, no channel.

use super::model::{Average, Drawing, Panel, Phase, Popup, Scale, Ui, Unit, Window, XAxis};
use super::viewport::{PAN, ZOOM, adjust};
use super::{Command, Copied, Exit, Request, Trainer};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

/// Something that the user or the run did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Message {
    Quit,
    Stop,
    Yes,
    No,
    /// To stop, but only after the next evaluation.
    Later,
    Save,
    Evaluate,
    TogglePause,
    /// To leave, and the run to go on in the background.
    Detach,
    /// To choose what to write to a file, and the choice.
    Copy,
    Copied(Copied),
    /// To begin to type what to search for; a letter; the last letter off; the end of it, and whether
    /// what was typed counts.
    Search,
    Type(char),
    Erase,
    Typed(bool),
    /// The panel in the chart's place, or back below it.
    ToggleTall,
    Interrupt,
    /// To draw every cell anew.
    Redraw,
    Help,
    ToggleScale,
    NextX,
    ToggleUnit,
    NextAverage,
    NextDrawing,
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
    CursorOff,
    NextPanel,
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
    /// To the first line or to the last.
    Top,
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

/// Whether the trainer can still be asked to end.
pub fn may_ask(ui: &Ui) -> bool {
    ui.trainer != Trainer::Deaf && matches!(ui.phase, Phase::Running | Phase::Finishing)
}

/// Whether it can be asked for more than that.
pub fn may_order(ui: &Ui) -> bool {
    ui.trainer != Trainer::Stoppable && may_ask(ui)
}

/// Whether the run could go on in the background.
pub fn may_detach(ui: &Ui) -> bool {
    ui.owns_run && ui.detaches && may_order(ui)
}

/// Takes in one message; the answer is what to ask of others.
pub fn update(ui: &mut Ui, message: Message) -> Option<Request> {
    // A message about a file has been read when the next key is pressed.
    if !matches!(message, Message::Ended | Message::Resumed | Message::Lost) {
        ui.notice = None;
    }
    match message {
        Message::Quit => return quit(ui),
        Message::Stop => ui.popup = Some(Popup::Confirm { leave: false }),
        Message::Yes => {
            if let Some(Popup::Confirm { leave }) = ui.popup.take() {
                stop(ui, leave, Phase::Stopping, "asked to stop and save");
                return Some(Request::Trainer(Command::Stop));
            }
        }
        Message::Later => {
            if let Some(Popup::Confirm { leave }) = ui.popup.take() {
                stop(ui, leave, Phase::Finishing, "asked to stop after the next evaluation");
                return Some(Request::Trainer(Command::StopAfterEval));
            }
        }
        Message::Save => return Some(told(ui, "asked to save after this step", Command::Save)),
        Message::Evaluate => return Some(told(ui, "asked to evaluate after this step", Command::Evaluate)),
        Message::TogglePause => {
            ui.paused = !ui.paused;
            let words = if ui.paused { "asked to wait; P goes on" } else { "asked to go on" };
            return Some(told(ui, words, Command::Pause(ui.paused)));
        }
        Message::Detach => {
            (ui.popup, ui.paused, ui.detaching, ui.leave_at_end) = (None, false, true, true);
            ui.phase = Phase::Interrupting;
            return Some(told(ui, "saving, to go on in the background", Command::Interrupt));
        }
        Message::Copy => ui.popup = Some(Popup::Copy),
        Message::Copied(what) => {
            ui.popup = None;
            return Some(Request::Copy(what));
        }
        Message::Search | Message::Type(_) | Message::Erase | Message::Typed(_) => search(ui, message),
        Message::ToggleTall => ui.tall = !ui.tall,
        Message::No => ui.popup = None,
        Message::Interrupt => return interrupt(ui),
        Message::Redraw => ui.redraw = true,
        Message::Help => ui.popup = if ui.popup.is_none() { Some(Popup::Help) } else { None },
        Message::ToggleScale => ui.y = if ui.y == Scale::Linear { Scale::Log } else { Scale::Linear },
        Message::ToggleUnit => {
            ui.unit = if ui.unit == Unit::Nats { Unit::Perplexity } else { Unit::Nats };
        }
        Message::ToggleLight => ui.light = !ui.light,
        Message::NextAverage => {
            ui.average = match ui.average {
                Average::Interval => Average::Moving,
                Average::Moving => Average::None,
                Average::None => Average::Interval,
            }
        }
        Message::NextDrawing => {
            ui.drawing = match ui.drawing {
                Drawing::Braille => Drawing::HalfBlock,
                Drawing::HalfBlock => Drawing::Ascii,
                Drawing::Ascii => Drawing::Braille,
            }
        }
        Message::NextX => {
            ui.x = match ui.x {
                XAxis::Step => XAxis::Epoch,
                XAxis::Epoch => XAxis::Time,
                XAxis::Time => XAxis::Step,
            };
            // Places on the other axis mean nothing on this one.
            (ui.window, ui.cursor) = (Window::Whole, None);
        }
        Message::Zoom(_)
        | Message::ZoomAt(..)
        | Message::Pan(_)
        | Message::Whole
        | Message::ToggleFollow
        | Message::Cursor(_)
        | Message::CursorAt(_)
        | Message::CursorOff => adjust(ui, message),
        Message::NextPanel => walk(ui, 1),
        Message::PreviousPanel => walk(ui, -1),
        Message::Panel(panel) => {
            ui.panel = if ui.panel == panel { Panel::Verdict } else { panel };
        }
        Message::NextRun(by) => {
            let next = ui.shown.cast_signed().saturating_add(by).rem_euclid(ui.runs.max(1).cast_signed());
            ui.selected = next.cast_unsigned();
            show(ui, ui.selected);
        }
        Message::Choose => show(ui, ui.selected),
        Message::ToggleCurve => match ui.marked.iter().position(|&index| index == ui.selected) {
            Some(at) => drop(ui.marked.remove(at)),
            None => ui.marked.push(ui.selected),
        },
        Message::Scroll(lines) => scroll(ui, lines),
        Message::Page(pages) => scroll(ui, pages.saturating_mul(ui.extent.page.max(1).cast_signed())),
        Message::Top => scroll(ui, isize::MIN),
        Message::Bottom => scroll(ui, isize::MAX),
        Message::Resumed => ui.phase = Phase::Running,
        Message::Lost if ui.owns_run => ui.exit = Some(Exit::Lost),
        Message::Ended | Message::Lost => end(ui),
    }
    None
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

/// To a neighbouring panel in which there is something to see.
fn walk(ui: &mut Ui, by: isize) {
    let panels: Vec<Panel> = Panel::ALL.into_iter().filter(|&panel| ui.has(panel)).collect();
    let at = panels.iter().position(|&panel| panel == ui.panel).unwrap_or(0).cast_signed();
    ui.panel = panels[(at + by).rem_euclid(panels.len().cast_signed()).cast_unsigned()];
}

/// Puts another run on the screen, from its top.
fn show(ui: &mut Ui, index: usize) {
    if index < ui.runs && index != ui.shown {
        ui.shown = index;
        (ui.verdict_scroll, ui.event_scroll, ui.output_scroll, ui.samples_scroll) = (0, 0, 0, 0);
    }
}

/// Types what the events and the output are searched for.
fn search(ui: &mut Ui, message: Message) {
    match message {
        Message::Search => {
            (ui.typing, ui.search) = (true, String::new());
            // What is searched must be seen.
            if !matches!(ui.panel, Panel::Events | Panel::Output) {
                ui.panel = if ui.has(Panel::Output) { Panel::Output } else { Panel::Events };
            }
        }
        Message::Type(c) if ui.search.chars().count() < 60 => ui.search.push(c),
        Message::Erase => drop(ui.search.pop()),
        Message::Typed(counts) => {
            ui.typing = false;
            if !counts {
                ui.search.clear();
            }
        }
        _ => {}
    }
    (ui.event_scroll, ui.output_scroll) = (0, 0);
}

fn quit(ui: &mut Ui) -> Option<Request> {
    match ui.phase {
        Phase::Ended => ui.exit = Some(Exit::Ended),
        Phase::Running | Phase::Finishing if ui.owns_run => ui.popup = Some(Popup::Confirm { leave: true }),
        Phase::Running | Phase::Finishing => ui.exit = Some(Exit::Left),
        // Already stopping: leave as soon as that is done.
        Phase::Stopping | Phase::Interrupting => ui.leave_at_end = true,
    }
    None
}

/// Asks the trainer for something, and says so.
fn told(ui: &mut Ui, words: &str, command: Command) -> Request {
    ui.notice = Some(words.into());
    Request::Trainer(command)
}

fn stop(ui: &mut Ui, leave: bool, phase: Phase, words: &str) {
    ui.paused = false;
    if ui.owns_run {
        ui.phase = phase;
        ui.leave_at_end |= leave;
    } else {
        // How far a trainer elsewhere has come with it its log will tell.
        ui.notice = Some(words.into());
    }
}

fn interrupt(ui: &mut Ui) -> Option<Request> {
    (ui.popup, ui.typing, ui.paused) = (None, false, false);
    if std::mem::replace(&mut ui.detaching, false) {
        // It saves already; it is not to go on after that.
        return None;
    }
    match ui.phase {
        Phase::Ended => ui.exit = Some(Exit::Ended),
        Phase::Running | Phase::Finishing | Phase::Stopping if ui.owns_run => {
            ui.phase = Phase::Interrupting;
            ui.leave_at_end = true;
            return Some(Request::Trainer(Command::Interrupt));
        }
        Phase::Running | Phase::Finishing | Phase::Stopping => ui.exit = Some(Exit::Left),
        Phase::Interrupting => ui.exit = Some(Exit::Abandoned),
    }
    None
}

fn end(ui: &mut Ui) {
    ui.phase = Phase::Ended;
    ui.paused = false;
    if matches!(ui.popup, Some(Popup::Confirm { .. })) {
        ui.popup = None;
    }
    if ui.leave_at_end {
        ui.exit = Some(if ui.detaching { Exit::Detached } else { Exit::Ended });
    }
}

/// Moves the focused panel, within what the newest frame said there is.
fn scroll(ui: &mut Ui, lines: isize) {
    let moved = |from: usize, limit: usize, by: isize| from.min(limit).saturating_add_signed(by).min(limit);
    match ui.panel {
        Panel::Verdict => ui.verdict_scroll = moved(ui.verdict_scroll, ui.extent.verdict, lines),
        // Counted from the end: down is less.
        Panel::Events => {
            ui.event_scroll = moved(ui.event_scroll, ui.extent.events, lines.saturating_neg());
        }
        Panel::Output => {
            ui.output_scroll = moved(ui.output_scroll, ui.extent.output, lines.saturating_neg());
        }
        Panel::Samples => ui.samples_scroll = moved(ui.samples_scroll, ui.extent.samples, lines),
        Panel::System => {}
        Panel::Runs => ui.selected = moved(ui.selected, ui.runs.saturating_sub(1), lines),
    }
}
