//! What a message changes: [`Message`] -> [`Ui`], and now and then a [`Request`]. Pure: no terminal, no
//! clock, no channel.

use super::message::Message;
use super::model::{Average, Drawing, Panel, Phase, Popup, Scale, Ui, Unit, Window};
use super::viewport::adjust;
use super::{Command, Exit, Request};

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
        Message::Save => return Some(asked(ui, "save", Command::Save)),
        Message::Evaluate => return Some(asked(ui, "evaluate", Command::Evaluate)),
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
            ui.x = ui.extent.next_x?;
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
/// Asks for what the trainer does between two steps.
fn asked(ui: &mut Ui, what: &str, command: Command) -> Request {
    let when = if ui.paused { "when it goes on (P)" } else { "after this step" };
    told(ui, &format!("asked to {what} {when}"), command)
}

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
