//! The trainer as a child process: under a pseudo-terminal where there is a terminal, else over pipes.
//!
//! Everything that comes of it, and the signals that `tune` itself is sent, arrive as [`Happening`]s
//! on one channel. What any of it means is not known here.

use anyhow::Result;
use std::ffi::OsString;
use std::io::Read;
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Which of the child's streams it is; one under a pseudo-terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Out,
    Err,
}

/// What came of the child, or to `tune` itself.
pub(super) enum Happening {
    Output(Channel, Vec<u8>),
    /// A stream of the child was closed.
    Closed,
    Exited(ExitStatus),
    /// A signal that was sent to `tune`, to be handed on.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no signals to be sent"))]
    Signal(i32),
}

/// How to ask a trainer to end, in rising order of insistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// SIGINT, as Ctrl-C sends it: most trainers save.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

impl Ask {
    /// What is sent to a trainer that did not heed the request before.
    pub(super) fn insists(self) -> Option<&'static str> {
        match self {
            Self::Interrupt => None,
            Self::Terminate => Some("SIGTERM"),
            Self::Kill => Some("SIGKILL"),
        }
    }
}

/// A child that runs.
pub(super) struct Child {
    pub(super) happenings: Receiver<Happening>,
    /// How many [`Happening::Closed`] there will be.
    pub(super) streams: usize,
    pub(super) id: u32,
    #[cfg(unix)]
    terminal: Option<std::sync::Arc<pty_process::blocking::Pty>>,
}

impl Child {
    /// Starts `command`, the program first. `terminal`: under a pseudo-terminal of its own, where the
    /// system has them; `keys`: what is typed at `tune` is passed on to it.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(super) fn start(command: &[OsString], terminal: bool, keys: bool) -> Result<Self> {
        let [program, arguments @ ..] = command else { anyhow::bail!("no command") };
        let what = |error: anyhow::Error| {
            anyhow::anyhow!(
                "{}: cannot be started: {error:#}\n  hint: what comes after -- is run as it stands, without a shell",
                program.display()
            )
        };
        #[cfg(unix)]
        if terminal {
            return unix::start(program, arguments, keys).map_err(what);
        }
        let _ = (terminal, keys);
        let mut command = Command::new(program);
        // Python holds back what it prints to a pipe: what comes in blocks is seen too late.
        if std::env::var_os("PYTHONUNBUFFERED").is_none() {
            command.env("PYTHONUNBUFFERED", "1");
        }
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        unix::apart(&mut command);
        let mut process = command.spawn().map_err(|error| what(error.into()))?;
        let (sender, happenings) = channel();
        let id = process.id();
        if let Some(out) = process.stdout.take() {
            read(out, Channel::Out, sender.clone());
        }
        if let Some(err) = process.stderr.take() {
            read(err, Channel::Err, sender.clone());
        }
        listen(&sender)?;
        wait(process, sender);
        Ok(Self {
            happenings,
            streams: 2,
            id,
            #[cfg(unix)]
            terminal: None,
        })
    }

    /// Asks the child, and every process that it started in its group, to end. That it has ended
    /// already is no error.
    pub(super) fn ask(&self, ask: Ask) {
        #[cfg(unix)]
        unix::signal(self.id, ask);
        #[cfg(not(unix))]
        {
            // Without signals there is one way only, and it is not a polite one.
            let _ = ask;
            let id = self.id.to_string();
            let _ = Command::new("taskkill").args(["/T", "/F", "/PID", &id]).output();
        }
    }

    /// Hands on a signal that `tune` was sent.
    pub(super) fn hand_on(&self, signal: i32) {
        #[cfg(unix)]
        unix::hand_on(self.id, self.terminal.as_deref(), signal);
        #[cfg(not(unix))]
        let _ = signal;
    }
}

/// The exit code that stands for how a child ended: its own, or 128 and the number of the signal, as
/// shells have it.
pub(super) fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return 128u8.wrapping_add(signal as u8);
    }
    status.code().map_or(super::super::code::FAILED, |code| code as u8)
}

/// How a child ended, in words, where it did not end well.
pub(super) fn failure(status: ExitStatus) -> Option<String> {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Some(format!("was killed by signal {signal}"));
    }
    let code = status.code().filter(|code| *code != 0)?;
    Some(format!("ended with exit code {code}"))
}

/// Reads a stream to its end, on a thread of its own.
fn read(mut stream: impl Read + Send + 'static, of: Channel, sender: Sender<Happening>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match stream.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // A pseudo-terminal whose other side is gone gives an error in place of an end.
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    if sender.send(Happening::Output(of, buffer[..count].to_vec())).is_err() {
                        break;
                    }
                }
            }
        }
        let _ = sender.send(Happening::Closed);
    });
}

/// Waits for the end of the child, on a thread of its own.
fn wait(mut process: Process, sender: Sender<Happening>) {
    thread::spawn(move || {
        if let Ok(status) = process.wait() {
            let _ = sender.send(Happening::Exited(status));
        }
    });
}

#[cfg(not(unix))]
fn listen(_sender: &Sender<Happening>) -> Result<()> {
    // The console sends Ctrl-C to the child too, which ends by it; tune stays to tell how.
    crate::cli::signals::on_request(|| {})
}

#[cfg(unix)]
use unix::listen;

#[cfg(unix)]
mod unix {
    //! Pseudo-terminals and signals.

    use super::{Ask, Channel, Child, Happening, read, wait};
    use crate::cli::signals::requests;
    use anyhow::{Context, Result};
    use pty_process::Size;
    use pty_process::blocking::{Command, Pts, Pty, open};
    use rustix::process::{Pid, Signal, kill_process_group};
    use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcgetwinsize, tcsetattr};
    use signal_hook::consts::{SIGQUIT, SIGWINCH};
    use signal_hook::iterator::Signals;
    use std::ffi::{OsStr, OsString};
    use std::io::{IsTerminal, Read, Write};
    use std::os::unix::process::CommandExt;
    use std::process::Stdio;
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    /// Rows and columns of a pseudo-terminal where our own terminal does not tell.
    const SIZE: (u16, u16) = (40, 120);

    /// Starts a child under a pseudo-terminal, in a session of its own.
    pub(super) fn start(program: &OsStr, arguments: &[OsString], keys: bool) -> Result<Child> {
        let (pty, pts) = open().context("no pseudo-terminal")?;
        quiet(&pts).context("no pseudo-terminal")?;
        pty.resize(size()).context("no pseudo-terminal")?;
        let mut command = Command::new(program).args(arguments);
        let typed = std::io::stdin().is_terminal();
        if !typed {
            command = command.stdin(Stdio::inherit());
        }
        let process = command.spawn(pts)?;
        let (sender, happenings) = channel();
        let id = process.id();
        let pty = Arc::new(pty);
        read(Master(Arc::clone(&pty)), Channel::Out, sender.clone());
        if keys && typed {
            pass_keys(Arc::clone(&pty));
        }
        listen(&sender)?;
        wait(process, sender);
        Ok(Child { happenings, streams: 1, id, terminal: Some(pty) })
    }

    /// A group of its own for a child over pipes, so that a signal reaches it once: by us.
    pub(super) fn apart(command: &mut std::process::Command) {
        command.process_group(0);
        // A group in the background must not read the terminal.
        if std::io::stdin().is_terminal() {
            command.stdin(Stdio::null());
        }
    }

    pub(super) fn signal(id: u32, ask: Ask) {
        send(
            id,
            match ask {
                Ask::Interrupt => Signal::INT,
                Ask::Terminate => Signal::TERM,
                Ask::Kill => Signal::KILL,
            },
        );
    }

    pub(super) fn hand_on(id: u32, terminal: Option<&Pty>, signal: i32) {
        match (signal, terminal) {
            (SIGWINCH, Some(pty)) => drop(pty.resize(size())),
            (SIGWINCH, None) => {}
            (signal, _) => drop(Signal::from_named_raw(signal).map(|signal| send(id, signal))),
        }
    }

    /// The child leads its group, which has its number.
    fn send(id: u32, signal: Signal) {
        if let Some(group) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Collects the signals that `tune` is sent, on a thread of its own.
    pub(super) fn listen(sender: &Sender<Happening>) -> Result<()> {
        let mut signals = Signals::new([SIGQUIT, SIGWINCH].into_iter().chain(requests()))?;
        let sender = sender.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                if sender.send(Happening::Signal(signal)).is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Our own terminal echoes what is typed and ends its lines: once is enough.
    fn quiet(pts: &Pts) -> rustix::io::Result<()> {
        let mut modes = tcgetattr(pts)?;
        modes.local_modes.remove(LocalModes::ECHO);
        modes.output_modes.remove(OutputModes::OPOST);
        tcsetattr(pts, OptionalActions::Now, &modes)
    }

    fn size() -> Size {
        let (rows, columns) = tcgetwinsize(std::io::stdout()).map_or(SIZE, |size| (size.ws_row, size.ws_col));
        Size::new(rows, columns)
    }

    /// Passes on what is typed, until the child or the terminal is gone.
    fn pass_keys(pty: Arc<Pty>) {
        const END_OF_FILE: u8 = 4;
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(count) = std::io::stdin().read(&mut buffer) {
                let typed = if count == 0 { &[END_OF_FILE][..] } else { &buffer[..count] };
                if (&*pty).write_all(typed).is_err() || count == 0 {
                    return;
                }
            }
        });
    }

    /// The side of a pseudo-terminal that we read.
    struct Master(Arc<Pty>);

    impl Read for Master {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            (&*self.0).read(buffer)
        }
    }
}
