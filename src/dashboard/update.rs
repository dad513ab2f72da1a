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
        KeyCode::Enter if ui.panel == Panel::Runs => Message::Choose,
        KeyCode::Enter | KeyCode::Esc if ui.phase == Phase::Ended => Message::Quit,
        KeyCode::Char('s') if ui.owns_run && ui.phase == Phase::Running => Message::Stop,
        KeyCode::Char('?' | 'h') => Message::Help,
        KeyCode::Char('l') => Message::ToggleScale,
        KeyCode::Char('x') => Message::ToggleX,
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
        Message::ToggleCurve => match ui.hidden.iter().position(|&index| index == ui.selected) {
            Some(at) => drop(ui.hidden.remove(at)),
            None => ui.hidden.push(ui.selected),
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

/// To a neighbouring panel; the list of runs only where there are several.
fn walk(ui: &mut Ui, by: isize) {
    let panels: Vec<Panel> =
        Panel::ALL.into_iter().filter(|&panel| panel != Panel::Runs || ui.runs > 1).collect();
    let at = panels.iter().position(|&panel| panel == ui.panel).unwrap_or(0).cast_signed();
    ui.panel = panels[(at + by).rem_euclid(panels.len().cast_signed()).cast_unsigned()];
}

/// Puts another run on the screen, from its top.
fn show(ui: &mut Ui, index: usize) {
    if index < ui.runs && index != ui.shown {
        (ui.shown, ui.verdict_scroll, ui.event_scroll) = (index, 0, 0);
    }
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
}

fn interrupt(ui: &mut Ui) -> Option<Command> {
    ui.popup = None;
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
        Panel::Runs => ui.selected = moved(ui.selected, ui.runs.saturating_sub(1), lines),
    }
}
