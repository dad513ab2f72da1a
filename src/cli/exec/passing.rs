//! The trainer's output on its way to our own. Remembers whether a line of it is still open, so that what we say
//! ourselves begins on a line of its own.

use super::child::Channel;
use std::io::Write;

/// What was passed on so far.
pub(super) struct Passing {
    /// Whether each stream ended within a line.
    open: [bool; 2],
    /// Whether we ended that line in the stream's place, so that its own newline is one too many.
    closed: [bool; 2],
    /// Whether our two streams go to the same place, where a line of one is seen before what the other says.
    mixed: bool,
}

impl Passing {
    pub(super) fn new() -> Self {
        Self { open: [false; 2], closed: [false; 2], mixed: same_place() }
    }

    /// To our own output, as it came. That nobody reads it is no reason to stop looking on.
    pub(super) fn pass(&mut self, channel: Channel, bytes: &[u8]) {
        let bytes = self.follow(channel, bytes);
        match channel {
            Channel::Out => drop(super::super::print_bytes(bytes)),
            Channel::Err => drop(std::io::stderr().lock().write_all(bytes)),
        }
    }

    /// Says a line of our own.
    pub(super) fn say(&mut self, text: &str) {
        self.end_line();
        super::say(&format!("tune: {text}"));
    }

    /// Ends a line of the trainer's that ours would be glued to.
    pub(super) fn end_line(&mut self) {
        if self.close() {
            let _ = std::io::stderr().lock().write_all(b"\n");
        }
    }

    /// Takes note of what a stream printed; what of it is to be passed on.
    fn follow<'a>(&mut self, channel: Channel, bytes: &'a [u8]) -> &'a [u8] {
        let Some(last) = bytes.last() else { return bytes };
        let stream = channel as usize;
        self.open[stream] = *last != b'\n';
        let closed = std::mem::take(&mut self.closed[stream]);
        let rest = bytes.strip_prefix(b"\r\n").or_else(|| bytes.strip_prefix(b"\n"));
        rest.filter(|_| closed).unwrap_or(bytes)
    }

    /// Whether a newline is due on stderr before a line of our own; there is one from now on. What stdout is
    /// redirected to alone is left as the trainer wrote it.
    fn close(&mut self) -> bool {
        let streams = [Channel::Out, Channel::Err];
        let seen = streams.into_iter().filter(|channel| self.mixed || *channel == Channel::Err);
        let mut due = false;
        for stream in seen.map(|channel| channel as usize) {
            if std::mem::take(&mut self.open[stream]) {
                (self.closed[stream], due) = (true, true);
            }
        }
        due
    }
}

/// Whether stdout and stderr are the same terminal, file or pipe.
#[cfg(unix)]
fn same_place() -> bool {
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::fs::MetadataExt;
    let identity = |stream: BorrowedFd| {
        let data = std::fs::File::from(stream.try_clone_to_owned().ok()?).metadata().ok()?;
        Some((data.dev(), data.ino()))
    };
    let out = identity(std::io::stdout().as_fd());
    out.is_some() && out == identity(std::io::stderr().as_fd())
}

#[cfg(not(unix))]
fn same_place() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_line_is_ended_once_and_its_own_newline_is_dropped() {
        let mut passing = Passing { open: [false; 2], closed: [false; 2], mixed: true };
        assert_eq!(passing.follow(Channel::Out, b"one\n"), b"one\n");
        assert!(!passing.close());
        assert_eq!(passing.follow(Channel::Out, b"val_loss: 2.24"), b"val_loss: 2.24");
        assert_eq!([passing.close(), passing.close()], [true, false]);
        assert_eq!(passing.follow(Channel::Out, b"\n\nnext\n"), b"\nnext\n");
        assert_eq!(passing.follow(Channel::Out, b"\n"), b"\n");
    }

    #[test]
    fn a_redirected_stdout_is_left_as_it_is() {
        let mut passing = Passing { open: [false; 2], closed: [false; 2], mixed: false };
        passing.follow(Channel::Out, b"open");
        assert!(!passing.close());
        passing.follow(Channel::Err, b"open");
        assert!(passing.close());
    }
}
