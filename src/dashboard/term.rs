//! The terminal while the dashboard has it: raw mode and the alternate screen, given back exactly
//! once, however the dashboard ends: by return, by error, or by a panic on any thread.

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use std::io::{self, IsTerminal, Stdout, stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal is in our hands and has still to be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal in raw mode, on its alternate screen, until this is dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
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
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
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
        let mut out = None;
        execute!(stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| out = Some(render(frame)))?;
        execute!(stdout(), EndSynchronizedUpdate)?;
        Ok(out)
    }
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
