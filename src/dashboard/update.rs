//! What keys mean and what they change: key -> [`Message`] -> [`Ui`], and now and then a
//! [`Command`] to the trainer. Pure: no terminal, no clock, no channel.

use super::model::{Panel, Phase, Popup, Scale, Ui, XAxis};
use super::{Command, Exit};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Something that the user or the run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    Quit,
    Stop,
    Yes,
    No,
    Interrupt,
    Help,
    ToggleScale,
    ToggleX,
    ToggleFrozen,
    NextPanel,
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
        return (key.code == KeyCode::Char('c')).then_some(Message::Interrupt);
    }
    match ui.popup {
        Some(Popup::Confirm { .. }) => match key.code {
            KeyCode::Char('y' | 'Y') => Some(Message::Yes),
            KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => Some(Message::No),
            _ => None,
        },
        Some(Popup::Help) => match key.code {
            KeyCode::Char('?' | 'h' | 'q') | KeyCode::Esc | KeyCode::Enter => Some(Message::Help),
            _ => None,
        },
        None => on_screen(key.code, ui),
    }
}

fn on_screen(code: KeyCode, ui: &Ui) -> Option<Message> {
    Some(match code {
        KeyCode::Char('q') => Message::Quit,
        KeyCode::Enter | KeyCode::Esc if ui.phase == Phase::Ended => Message::Quit,
        KeyCode::Char('s') if ui.owns_run && ui.phase == Phase::Running => Message::Stop,
        KeyCode::Char('?' | 'h') => Message::Help,
        KeyCode::Char('l') => Message::ToggleScale,
        KeyCode::Char('x') => Message::ToggleX,
        KeyCode::Char('f') if ui.phase == Phase::Running => Message::ToggleFrozen,
        KeyCode::Char('e') | KeyCode::Tab => Message::NextPanel,
        KeyCode::Up | KeyCode::Char('k') => Message::Scroll(-1),
        KeyCode::Down | KeyCode::Char('j') => Message::Scroll(1),
        KeyCode::PageUp => Message::Page(-1),
        KeyCode::PageDown => Message::Page(1),
        KeyCode::Home => Message::Top,
        KeyCode::End => Message::Bottom,
        _ => return None,
    })
}

/// Takes in one message; the answer is what to ask of the trainer.
pub fn update(ui: &mut Ui, message: Message) -> Option<Command> {
    match message {
        Message::Quit => return quit(ui),
        Message::Stop => ui.popup = Some(Popup::Confirm { leave: false }),
        Message::Yes => {
            if let Some(Popup::Confirm { leave }) = ui.popup.take() {
                stop(ui, leave);
                return Some(Command::Stop);
            }
        }
        Message::No => ui.popup = None,
        Message::Interrupt => return interrupt(ui),
        Message::Help => ui.popup = if ui.popup.is_none() { Some(Popup::Help) } else { None },
        Message::ToggleScale => ui.y = if ui.y == Scale::Linear { Scale::Log } else { Scale::Linear },
        Message::ToggleX => ui.x = if ui.x == XAxis::Step { XAxis::Epoch } else { XAxis::Step },
        Message::ToggleFrozen => ui.frozen = !ui.frozen,
        Message::NextPanel => {
            ui.panel = if ui.panel == Panel::Verdict { Panel::Events } else { Panel::Verdict };
        }
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

fn quit(ui: &mut Ui) -> Option<Command> {
    match ui.phase {
        Phase::Ended => ui.exit = Some(Exit::Ended),
        Phase::Running if ui.owns_run => ui.popup = Some(Popup::Confirm { leave: true }),
        Phase::Running => ui.exit = Some(Exit::Left),
        // Already stopping: leave as soon as that is done.
        Phase::Stopping | Phase::Interrupting => ui.leave_at_end = true,
    }
    None
}

fn stop(ui: &mut Ui, leave: bool) {
    ui.phase = Phase::Stopping;
    ui.leave_at_end |= leave;
    ui.frozen = false;
}

fn interrupt(ui: &mut Ui) -> Option<Command> {
    ui.popup = None;
    ui.frozen = false;
    match ui.phase {
        Phase::Ended => ui.exit = Some(Exit::Ended),
        Phase::Running | Phase::Stopping if ui.owns_run => {
            ui.phase = Phase::Interrupting;
            ui.leave_at_end = true;
            return Some(Command::Interrupt);
        }
        Phase::Running | Phase::Stopping => ui.exit = Some(Exit::Left),
        Phase::Interrupting => ui.exit = Some(Exit::Abandoned),
    }
    None
}

fn end(ui: &mut Ui) {
    ui.phase = Phase::Ended;
    ui.frozen = false;
    if matches!(ui.popup, Some(Popup::Confirm { .. })) {
        ui.popup = None;
    }
    if ui.leave_at_end {
        ui.exit = Some(Exit::Ended);
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
    }
}
