//! The screen of a run: a loop that takes in records, draws what they make, and listens to keys.
//!
//! `run -> Monitor -> Snapshot -> view`, once a frame and only when something has changed. Frame
//! pacing is the only use of a clock here; [`update`] and [`view`] are pure, [`term`] gives the
//! terminal back. What a key asks of the trainer is handed to the caller as a [`Command`].

pub mod model;
pub mod term;
pub mod update;
pub mod view;

pub use model::Drawing;

use crate::event::record::Record;
use crate::monitor::Monitor;
use anyhow::Context;
use model::{Phase, Ui};
use ratatui::crossterm::event::{self, KeyEventKind};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use term::Screen;
use update::{Message, message, update};
use view::Theme;

/// The shortest time between two frames, and the longest that a key or a record waits.
const FRAME: Duration = Duration::from_millis(100);
/// Records taken in between two looks at the keyboard, so that a replay cannot shut the user out.
const BATCH: usize = 20_000;

/// How the dashboard behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub drawing: Drawing,
    /// Whether colours may be used at all.
    pub color: bool,
    /// Whether to stay on the final screen until a key is pressed.
    pub linger: bool,
    /// Whether the run is trained by this process, so that leaving would end it.
    pub owns_run: bool,
}

/// What the user asks of the trainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Finish this step, save, and end the run as complete.
    Stop,
    /// Finish this step, save, and end the run so that it can be resumed.
    Interrupt,
}

/// How the dashboard was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The run had ended.
    Ended,
    /// The user left a run that goes on without the dashboard.
    Left,
    /// A second Ctrl-C: the user does not wait for the trainer to save.
    Abandoned,
    /// The trainer is gone without having ended its run: it failed.
    Lost,
}

/// How the dashboard was left, and all it has seen of the run.
pub struct Outcome {
    pub exit: Exit,
    pub monitor: Monitor,
}

impl Default for Options {
    fn default() -> Self {
        Self { drawing: Drawing::default(), color: true, linger: true, owns_run: true }
    }
}

/// Shows the run that `monitor` knows so far and whose records come in, until the user or the run ends it. Returns with the terminal
/// as it was before.
///
/// # Errors
/// When stdout is not a terminal, or can no longer be written to; the run itself is not affected.
pub fn run(
    records: &Receiver<Record>,
    mut monitor: Monitor,
    control: &dyn Fn(Command),
    options: Options,
) -> anyhow::Result<Outcome> {
    let theme = Theme::new(options.color, options.drawing);
    let mut ui = Ui { owns_run: options.owns_run, leave_at_end: !options.linger, ..Ui::default() };
    let mut screen = Screen::take().context("cannot open the dashboard")?;
    let mut dirty = true;
    let mut drawn = None::<Instant>;
    let mut news = Instant::now();
    loop {
        let taken = take_in(records, &mut monitor, &mut ui);
        if taken > 0 {
            news = Instant::now();
            dirty = true;
        }
        // Only a live run has a clock that runs on.
        let idle_s = if ui.phase == Phase::Ended || ui.frozen { 0 } else { news.elapsed().as_secs() };
        dirty |= idle_s != ui.idle_s;
        ui.idle_s = idle_s;
        if let Some(exit) = ui.exit {
            return Ok(Outcome { exit, monitor });
        }
        if dirty && drawn.is_none_or(|at| at.elapsed() >= FRAME) {
            let snapshot = monitor.snapshot();
            let extent = screen
                .draw(|frame| view::render(frame, frame.area(), &snapshot, &ui, theme))
                .context("cannot draw the dashboard")?;
            match extent {
                Some(extent) => ui.extent = extent,
                None => return Ok(Outcome { exit: Exit::Lost, monitor }),
            }
            drawn = Some(Instant::now());
            dirty = false;
        }
        let wait = if taken == BATCH { Duration::ZERO } else { FRAME };
        dirty |= listen(wait, &mut ui, control).context("cannot read the keyboard")?;
    }
}

/// Takes in what records there are; how many they were.
fn take_in(records: &Receiver<Record>, monitor: &mut Monitor, ui: &mut Ui) -> usize {
    let (mut taken, mut lost) = (0, false);
    while taken < BATCH && !ui.frozen {
        match records.try_recv() {
            Ok(record) => monitor.apply(&record),
            Err(TryRecvError::Empty) => break,
            Err(TryRecvError::Disconnected) => {
                lost = true;
                break;
            }
        }
        taken += 1;
    }
    if taken > 0 {
        // A log may hold the end of one session and the next one after it.
        match (monitor.snapshot().ended.is_some(), ui.phase == Phase::Ended) {
            (true, false) => update(ui, Message::Ended),
            (false, true) => update(ui, Message::Resumed),
            _ => None,
        };
    }
    if lost && ui.phase != Phase::Ended {
        update(ui, Message::Lost);
    }
    taken
}

/// Waits for a key or a resize and takes in all there are; whether there was any.
fn listen(wait: Duration, ui: &mut Ui, control: &dyn Fn(Command)) -> std::io::Result<bool> {
    let mut heard = false;
    let mut wait = wait;
    while event::poll(wait)? {
        heard = true;
        wait = Duration::ZERO;
        if let event::Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && let Some(message) = message(key, ui)
            && let Some(command) = update(ui, message)
        {
            control(command);
        }
    }
    Ok(heard)
}
