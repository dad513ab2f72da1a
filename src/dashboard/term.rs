//! The terminal while the dashboard has it: raw mode and the alternate screen, given back exactly
//! once, however the dashboard ends: by return, by error, or by a panic on any thread.

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, DisableMouseCapture, EnableMouseCapture, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use std::io::{self, IsTerminal, Stdout, stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

/// Whether the terminal is in our hands and has still to be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal in raw mode, on its alternate screen, until this is dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// Set when the process was stopped and goes on: the shell has had the terminal meanwhile.
    continued: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When stdout is not a terminal, or refuses.
    pub fn take() -> io::Result<Self> {
        if !stdout().is_terminal() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "stdout is not a terminal"));
        }
        HOOK.call_once(restore_on_panic);
        TAKEN.store(true, Ordering::SeqCst);
        let taken = enable_raw_mode()
            .and_then(|()| execute!(stdout(), EnterAlternateScreen, EnableMouseCapture))
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match taken {
            Ok(terminal) => Ok(Self { terminal, continued: continued() }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Whether the next frame must be drawn, whatever has changed.
    pub fn was_taken_away(&self) -> bool {
        self.continued.load(Ordering::SeqCst)
    }

    /// Wipes what is on the terminal: the next frame draws every cell.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Draws one frame, shown all at once. `None` where the terminal was given back meanwhile, by a
    /// panic of another thread.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn draw<T>(&mut self, render: impl FnOnce(&mut ratatui::Frame<'_>) -> T) -> io::Result<Option<T>> {
        if !TAKEN.load(Ordering::SeqCst) {
            return Ok(None);
        }
        if self.continued.swap(false, Ordering::SeqCst) {
            // Raw mode counts as entered, whatever the shell has made of it.
            disable_raw_mode()?;
            enable_raw_mode()?;
            execute!(stdout(), EnterAlternateScreen, EnableMouseCapture)?;
            self.clear()?;
        }
        let mut out = None;
        execute!(stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| out = Some(render(frame)))?;
        execute!(stdout(), EndSynchronizedUpdate)?;
        Ok(out)
    }
}

/// A flag that is set when the process goes on after it was stopped.
fn continued() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    // Where it cannot be set, a resize draws anew as well.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGCONT, Arc::clone(&flag));
    flag
}

/// What is typed, pointed and resized, read on a thread of its own until this is dropped.
///
/// A terminal that goes away, with its window or its connection, leaves the reader in a loop that
/// never ends; so whoever draws must not be the one who reads.
pub struct Keyboard {
    events: Receiver<io::Result<Event>>,
    left: Arc<AtomicBool>,
}

/// How long the reader waits before it looks whether it is still wanted.
const LOOK_UP: Duration = Duration::from_millis(50);

impl Keyboard {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn listen() -> io::Result<Self> {
        let (sender, events) = channel();
        let left = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&left);
        // The name is what benches/dashboard_live.py knows it by.
        thread::Builder::new().name("keyboard".into()).spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let event = match event::poll(LOOK_UP) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let failed = event.is_err();
                if sender.send(event).is_err() || failed {
                    return;
                }
            }
        })?;
        Ok(Self { events, left })
    }

    /// What comes next, where it comes within this time.
    ///
    /// # Errors
    /// When the terminal cannot be read from, or is gone.
    pub fn next(&self, wait: Duration) -> io::Result<Option<Event>> {
        match self.events.recv_timeout(wait) {
            Ok(event) => event.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.left.store(true, Ordering::SeqCst);
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the terminal is gone")
}

/// Whether the terminal is still there.
///
/// # Errors
/// When it is not.
pub fn check() -> io::Result<()> {
    #[cfg(unix)]
    rustix::termios::tcgetwinsize(stdout()).map_err(|_| gone())?;
    Ok(())
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back if it is taken: leaves raw mode and the alternate screen, shows the
/// cursor. May be called from anywhere, any number of times.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Nothing can be done about a failure here, and no place is left to report it.
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), EndSynchronizedUpdate, DisableMouseCapture, LeaveAlternateScreen, Show);
    }
}

fn restore_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        restore();
        report(info);
    }));
}
