//! The screen of one run or of many: a loop that takes in updates, draws what they make, and listens
//! to keys.
//!
//! `Update -> Runs (a Monitor each) -> Scene -> view`, once a frame and only when something has changed. Frame
//! pacing is the only use of a clock here; [`update`] and [`view`] are pure, [`term`] gives the
//! terminal back. What a key asks of the trainer is handed to the caller as a [`Command`].

pub mod model;
pub mod runs;
pub mod term;
pub mod update;
pub mod view;

pub use model::{Drawing, Look};
pub use runs::{Run, Runs, Update};

use anyhow::Context;
use model::{Phase, Ui};
use ratatui::crossterm::event::{self, KeyEventKind};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use term::Screen;
use update::{Message, message, pointed, update};
use view::{Scene, Theme};

/// The shortest time between two frames, and the longest that a key or a record waits.
const FRAME: Duration = Duration::from_millis(100);
/// Updates taken in between two looks at the clock, and the time after which there is a look at the
/// keyboard and the screen: a replay cannot shut the user out, and its first frame comes at once.
const BATCH: usize = 256;
const INTAKE: Duration = Duration::from_millis(25);

/// How the dashboard behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub look: Look,
    /// Whether to stay on the final screen until a key is pressed.
    pub linger: bool,
    /// Whether the first run is trained by this process, so that leaving would end it.
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

/// How the dashboard was left, and all it has seen of the runs.
pub struct Outcome {
    pub exit: Exit,
    pub runs: Runs,
}

impl Default for Options {
    fn default() -> Self {
        Self { look: Look::default(), linger: true, owns_run: true }
    }
}

/// Shows `runs`, and those that `updates` bring, until the user or the run ends it. Returns with the
/// terminal as it was before.
///
/// `control` takes what the user asks of the trainer of the first run; it is asked of a run that
/// this process owns only.
///
/// # Errors
/// When stdout is not a terminal, or can no longer be written to; the runs themselves are not affected.
pub fn run(
    updates: &Receiver<Update>,
    mut runs: Runs,
    control: &dyn Fn(Command),
    options: Options,
) -> anyhow::Result<Outcome> {
    let Options { look: Look { drawing, color, light }, owns_run, .. } = options;
    let mut ui = Ui { owns_run, leave_at_end: !options.linger, drawing, light, ..Ui::default() };
    let mut screen = Screen::take().context("cannot open the dashboard")?;
    let mut dirty = true;
    let mut drawn = None::<Instant>;
    let mut news = Instant::now();
    loop {
        let intake = take_in(updates, &mut runs, &mut ui);
        if intake != Intake::Nothing {
            news = Instant::now();
            dirty = true;
        }
        // Only a live run has a clock that runs on.
        let over = runs.get(ui.shown).is_some_and(Run::is_over);
        let idle_s = if over { 0 } else { news.elapsed().as_secs() };
        dirty |= idle_s != ui.idle_s;
        ui.idle_s = idle_s;
        if let Some(exit) = ui.exit {
            return Ok(Outcome { exit, runs });
        }
        if dirty && drawn.is_none_or(|at| at.elapsed() >= FRAME) {
            let theme = Theme::new(color, ui.drawing).on(ui.light);
            let extent = screen
                .draw(|frame| {
                    view::render(frame, frame.area(), Scene::of(&runs, ui.shown).as_ref(), &ui, theme)
                })
                .context("cannot draw the dashboard")?;
            match extent {
                Some(extent) => ui.extent = extent,
                None => return Ok(Outcome { exit: Exit::Lost, runs }),
            }
            drawn = Some(Instant::now());
            dirty = false;
        }
        let wait = if intake == Intake::More { Duration::ZERO } else { FRAME };
        dirty |= listen(wait, &mut ui, control).context("cannot read the keyboard")?;
    }
}

/// What there was to take in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Intake {
    Nothing,
    Something,
    /// More is waiting.
    More,
}

/// Takes in what updates there are, as long as it does not take too long.
fn take_in(updates: &Receiver<Update>, runs: &mut Runs, ui: &mut Ui) -> Intake {
    let start = Instant::now();
    let mut intake = Intake::Nothing;
    let mut lost = false;
    loop {
        let mut taken = 0;
        for update in updates.try_iter().take(BATCH) {
            runs.apply(update);
            taken += 1;
        }
        if taken > 0 {
            intake = Intake::Something;
        }
        if taken < BATCH {
            // Nothing more now; perhaps nothing more ever.
            match updates.try_recv() {
                Ok(update) => runs.apply(update),
                Err(error) => {
                    lost = error == TryRecvError::Disconnected;
                    break;
                }
            }
        }
        if start.elapsed() >= INTAKE {
            intake = Intake::More;
            break;
        }
    }
    ui.runs = runs.list().len();
    // A log may hold the end of one session and the next one after it.
    let mut all = runs.list().iter();
    let over =
        if ui.owns_run { all.next().is_some_and(Run::is_over) } else { ui.runs > 0 && all.all(Run::is_over) };
    match (over, ui.phase == Phase::Ended) {
        (true, false) => update(ui, Message::Ended),
        (false, true) if intake != Intake::Nothing => update(ui, Message::Resumed),
        _ => None,
    };
    if lost {
        runs.close();
    }
    if lost && ui.phase != Phase::Ended {
        update(ui, Message::Lost);
    }
    intake
}

/// Waits for a key or a resize and takes in all there are; whether there was any.
fn listen(wait: Duration, ui: &mut Ui, control: &dyn Fn(Command)) -> std::io::Result<bool> {
    let mut heard = false;
    let mut wait = wait;
    while event::poll(wait)? {
        heard = true;
        wait = Duration::ZERO;
        let message = match event::read()? {
            event::Event::Key(key) if key.kind != KeyEventKind::Release => message(key, ui),
            event::Event::Mouse(mouse) => pointed(mouse, ui),
            _ => None,
        };
        if let Some(command) = message.and_then(|message| update(ui, message)) {
            control(command);
        }
    }
    Ok(heard)
}
