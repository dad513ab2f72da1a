//! The screen of one run or of many: a loop that takes in updates, draws what they make, and listens
//! to keys.
//!
//! `Update -> Runs (a Monitor each) -> Scene -> view`, once a frame and only when something has changed; of a
//! run without news only the clocks are drawn. Frame
//! pacing is the only use of a clock here; [`mod@message`], [`mod@update`] and [`view`] are pure, [`term`] gives the
//! terminal back. What a key asks of the trainer is handed to the caller as a [`Command`].

pub mod export;
#[cfg(test)]
pub mod fault;
pub mod message;
pub mod model;
pub mod runs;
pub mod system;
pub mod term;
pub mod update;
pub mod view;
mod viewport;

pub use crate::event::sink::Command;
pub use model::{Capabilities, Drawing};
pub use runs::{Run, Runs, Trainer, Update};
pub use system::{Gpu, System};

use anyhow::Context;
use message::{Message, message, pointed};
use model::{Phase, Ui};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, KeyEventKind};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use term::{Keyboard, Screen};
use update::update;
use view::{Scene, Theme};

/// The shortest time between two frames, and the longest that a record waits while there is news.
const FRAME: Duration = Duration::from_millis(33);
/// How long it may wait, without news for as long as [`QUIET`]. A key never waits.
const LONG_WAIT: Duration = Duration::from_millis(100);
const QUIET: Duration = Duration::from_secs(2);
/// Updates taken in between two looks at the clock, and the time after which there is a look at the
/// keyboard and the screen: a replay cannot shut the user out, and its first frame comes at once.
const BATCH: usize = 256;
const INTAKE: Duration = Duration::from_millis(25);

/// How often the machine is asked for its figures.
const MEASURE: Duration = Duration::from_secs(2);

/// How often it is asked whether the terminal is still there.
const CHECK: Duration = Duration::from_millis(500);

/// How the dashboard behaves.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What the terminal can show.
    pub capabilities: Capabilities,
    /// Whether to stay on the final screen until a key is pressed.
    pub linger: bool,
    /// Whether the first run is trained by this process, so that leaving would end it.
    pub owns_run: bool,
    /// Whether that run can go on in the background.
    pub detaches: bool,
    /// Where the files go that the user asks for.
    pub folder: &'a Path,
    /// What is said until the first key, or the first record of any run.
    pub notice: Option<&'a str>,
    /// Measures the machine; must not take long.
    pub system: Option<&'a dyn Fn() -> System>,
}

/// What the user asks of the dashboard's caller or of the dashboard itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To the trainer.
    Trainer(Command),
    /// To write a file.
    Copy(Copied),
}

/// What can be written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The chart's data.
    Csv,
    /// The screen as a picture.
    Svg,
    /// The screen as text.
    Text,
}

/// How the dashboard was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The run had ended.
    Ended,
    /// The user left a run that goes on without the dashboard.
    Left,
    /// The run has saved and ended, to go on in the background.
    Detached,
    /// A second Ctrl-C: the user does not wait for the trainer to save.
    Abandoned,
    /// The trainer is gone without having ended its run: it failed.
    Lost,
}

/// How the dashboard was left, and all it has seen of the runs.
pub struct Outcome {
    /// Why it is over.
    pub exit: Exit,
    /// The runs, as far as they were seen.
    pub runs: Runs,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            capabilities: Capabilities::default(),
            linger: true,
            owns_run: true,
            detaches: false,
            folder: Path::new("."),
            notice: None,
            system: None,
        }
    }
}

/// Shows `runs`, and those that `updates` bring, until the user or the run ends it. Returns with the
/// terminal as it was before.
///
/// `control` takes what the user asks of a trainer, with the id of its run. Only of a run that this
/// process owns is the trainer asked to end when the dashboard is left.
///
/// # Errors
/// When stdout is not a terminal, or can no longer be written to; the runs themselves are not affected.
pub fn run(
    updates: &Receiver<Update>,
    mut runs: Runs,
    control: &dyn Fn(usize, Command) -> anyhow::Result<()>,
    options: Options<'_>,
) -> anyhow::Result<Outcome> {
    let Options { capabilities: Capabilities { drawing, color, light }, owns_run, .. } = options;
    let mut ui = Ui {
        owns_run,
        detaches: options.detaches,
        notice: options.notice.map(str::to_owned),
        leave_at_end: !options.linger,
        drawing,
        light,
        ..Ui::default()
    };
    let mut screen = Screen::take().context("cannot open the dashboard")?;
    let keyboard = Keyboard::listen().context("cannot open the dashboard")?;
    let mut dirty = true;
    // Only the clocks have to be drawn, over the frame that was kept.
    let mut ticks = false;
    let mut kept = Buffer::default();
    let mut drawn = None::<Instant>;
    let mut news = Instant::now();
    let mut system = None;
    let (mut measured, mut checked) = (None::<Instant>, Instant::now());
    let mut copy = None;
    loop {
        if let Some(measure) = options.system.filter(|_| measured.is_none_or(|at| at.elapsed() >= MEASURE)) {
            dirty |= system.replace(measure()).is_none_or(|before| Some(before) != system);
            measured = Some(Instant::now());
        }
        if checked.elapsed() >= CHECK {
            term::check()?;
            checked = Instant::now();
            dirty |= screen.was_taken_away();
        }
        let intake = take_in(updates, &mut runs, &mut ui);
        if intake != Intake::Nothing {
            news = Instant::now();
            dirty = true;
            let begun = |run: &Run| !run.monitor.snapshot().log.is_empty();
            if options.notice.is_some()
                && ui.notice.as_deref() == options.notice
                && runs.list().iter().any(begun)
            {
                ui.notice = None;
            }
        }
        // Only a live run has a clock that runs on.
        runs.tick(Instant::now());
        let idle_s = runs.get(ui.shown).map_or(0, |run| run.idle_s);
        ticks |= idle_s != ui.idle_s;
        ui.idle_s = idle_s;
        if let Some(exit) = ui.exit {
            return Ok(Outcome { exit, runs });
        }
        if std::mem::take(&mut ui.redraw) {
            screen.clear().context("cannot draw the dashboard")?;
        }
        if (dirty || ticks) && drawn.is_none_or(|at| at.elapsed() >= FRAME) {
            let theme = Theme::new(color, ui.drawing).on(ui.light);
            let scene = Scene::of(&runs, ui.shown).map(|scene| Scene { system: system.as_ref(), ..scene });
            let frame = screen
                .draw(|frame| match &scene {
                    Some(scene) if !dirty && ui.popup.is_none() && kept.area == frame.area() => {
                        view::tick(&mut kept, frame.area(), scene, &ui, theme);
                        frame.buffer_mut().clone_from(&kept);
                        ui.extent
                    }
                    _ => {
                        #[cfg(test)]
                        fault::strike();
                        let extent = view::render(frame, frame.area(), scene.as_ref(), &ui, theme);
                        kept.clone_from(frame.buffer_mut());
                        extent
                    }
                })
                .context("cannot draw the dashboard")?;
            let Some(extent) = frame else { return Ok(Outcome { exit: Exit::Lost, runs }) };
            ui.extent = extent;
            if let (Some(what), Some(scene)) = (copy.take(), scene) {
                ui.notice = Some(written(what, &scene, &kept, &ui, options.folder));
                // The message is for the next frame, which is not to wait for news.
                drawn = None;
                continue;
            }
            drawn = Some(Instant::now());
            (dirty, ticks) = (false, false);
        }
        let wait = match intake {
            Intake::More => Duration::ZERO,
            _ if news.elapsed() < QUIET => FRAME,
            _ => LONG_WAIT,
        };
        let target = runs.get(if owns_run { 0 } else { ui.shown }).map(Run::id);
        let ask = |command| target.map_or(Ok(()), |id| control(id, command));
        dirty |= listen(&keyboard, wait, &mut ui, &ask, &mut copy).context("cannot read the keyboard")?;
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
    let few = ui.runs <= view::MOST_CURVES;
    ui.runs = runs.list().len();
    if few != (ui.runs <= view::MOST_CURVES) {
        // Of few runs the marked ones are hidden, of many they alone are drawn.
        ui.marked.clear();
    }
    // A log may hold the end of one session and the next one after it; a run that is resumed here begins
    // with the end of the session before.
    let mut all = runs.list().iter();
    let over = if ui.owns_run {
        all.next().is_some_and(|run| run.gone || run.has_news() && run.is_over())
    } else {
        ui.runs > 0 && all.all(Run::is_over)
    };
    // Asked from outside of this screen to end and to be resumed: nobody here is to hold it up.
    let cut = over && ui.owns_run && runs.get(0).is_some_and(Run::was_interrupted);
    match (over, ui.phase == Phase::Ended) {
        (true, false) => {
            ui.leave_at_end |= cut;
            update(ui, Message::Ended)
        }
        (false, true) if intake != Intake::Nothing => update(ui, Message::Resumed),
        _ => None,
    };
    if lost {
        runs.close();
    }
    let asked = runs.get(if ui.owns_run { 0 } else { ui.shown }).map_or(Trainer::Deaf, |run| run.trainer);
    if asked != ui.trainer {
        (ui.trainer, ui.paused) = (asked, asked == Trainer::Paused);
        if asked == Trainer::Deaf {
            // Whatever it was asked for, it has ended, and the log says how.
            ui.notice = None;
        }
    }
    if lost && ui.phase != Phase::Ended {
        update(ui, Message::Lost);
    }
    intake
}

/// Writes what was asked for to a file that does not exist yet; says where, or why not.
fn written(what: Copied, scene: &Scene<'_>, buffer: &Buffer, ui: &Ui, folder: &Path) -> String {
    let (end, text) = match what {
        Copied::Csv => ("csv", export::csv(scene.snapshot.curves)),
        Copied::Svg => ("svg", export::svg(buffer, ui.light)),
        Copied::Text => ("txt", export::text(buffer)),
    };
    let named = |number: u32| match number {
        1 => folder.join(format!("tune-screen.{end}")),
        number => folder.join(format!("tune-screen-{number}.{end}")),
    };
    let write = |path: &Path| {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    let taken = |result: &std::io::Result<()>| {
        result.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists)
    };
    let tries = (1..1000).map(named).map(|path| (write(&path), path));
    match tries.into_iter().find(|(result, _)| !taken(result)) {
        Some((Ok(()), path)) => format!("wrote {}", path.display()),
        Some((Err(error), path)) => format!("{} cannot be written: {error}", path.display()),
        None => format!("{} is full of screens", folder.display()),
    }
}

/// Waits for a key or a resize and takes in all there are; whether there was any.
fn listen(
    keyboard: &Keyboard,
    wait: Duration,
    ui: &mut Ui,
    control: &dyn Fn(Command) -> anyhow::Result<()>,
    copy: &mut Option<Copied>,
) -> std::io::Result<bool> {
    let mut heard = false;
    let mut wait = wait;
    while let Some(event) = keyboard.next(wait)? {
        heard = true;
        wait = Duration::ZERO;
        let message = match event {
            event::Event::Key(key) if key.kind != KeyEventKind::Release => message(key, ui),
            event::Event::Mouse(mouse) => pointed(mouse, ui),
            _ => None,
        };
        match message.and_then(|message| update(ui, message)) {
            Some(Request::Trainer(command)) => {
                if let Err(error) = control(command) {
                    ui.notice = Some(format!("{error:#}"));
                }
            }
            Some(Request::Copy(what)) => *copy = Some(what),
            None => {}
        }
    }
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::Limits;
    use crate::event::record::Record;
    use crate::event::{Event, Resumed, RunEnded, StopReason};
    use crate::monitor::Monitor;

    #[test]
    fn a_run_that_is_resumed_does_not_end_with_the_session_before() {
        let record = |event| Record { t: 1.0, event };
        let ended = RunEnded {
            reason: StopReason::Interrupted,
            step: 5,
            epoch: None,
            best: None,
            restored_best: false,
        };
        let mut before = Monitor::new(Limits::DEFAULT);
        before.apply(&record(Event::RunEnded(ended.clone())));
        let mut runs = Runs::new(Limits::DEFAULT).with(7, "run", before);
        let mut ui = Ui { owns_run: true, ..Ui::default() };
        let (sender, updates) = std::sync::mpsc::channel();
        take_in(&updates, &mut runs, &mut ui);
        assert_eq!((ui.phase, ui.exit), (Phase::Running, None));
        let mut heard = |event| {
            sender.send(Update::Record { id: 7, record: record(event) }).unwrap();
            take_in(&updates, &mut runs, &mut ui);
            (ui.phase, ui.exit)
        };
        assert_eq!(heard(Event::RunResumed(Resumed { step: 5 })), (Phase::Running, None));
        assert_eq!(heard(Event::RunEnded(ended.clone())), (Phase::Ended, Some(Exit::Ended)));
    }

    #[test]
    fn a_trainer_that_says_nothing_ends_the_screen_when_it_is_gone() {
        let mut runs = Runs::new(Limits::DEFAULT);
        let mut ui = Ui { owns_run: true, ..Ui::default() };
        let (sender, updates) = std::sync::mpsc::channel();
        sender.send(Update::Run { id: 0, name: "true".into() }).unwrap();
        take_in(&updates, &mut runs, &mut ui);
        assert_eq!(ui.phase, Phase::Running);
        // The sender lives on, as in `tune exec`.
        sender.send(Update::Gone { id: 0 }).unwrap();
        take_in(&updates, &mut runs, &mut ui);
        assert_eq!(ui.phase, Phase::Ended);
    }
}
