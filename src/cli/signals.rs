//! How the system tells a program that it is to end: Ctrl-C, SIGTERM, SIGHUP. What is done about it is
//! for the commands to say.

use anyhow::Result;

/// Calls `act` whenever the program is asked to end, on a thread of its own.
///
/// # Errors
/// When the system does not let it listen.
#[cfg(unix)]
pub(super) fn on_request(mut act: impl FnMut() + Send + 'static) -> Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(requests())?;
    std::thread::spawn(move || signals.forever().for_each(|_| act()));
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn on_request(act: impl FnMut() + Send + 'static) -> Result<()> {
    Ok(ctrlc::set_handler(act)?)
}

/// The signals that ask a program to end, without a SIGHUP that `nohup` had it ignore: to listen to
/// that would be to heed it.
#[cfg(unix)]
pub(super) fn requests() -> Vec<i32> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    // Only Linux tells it in a file. Elsewhere a hangup interrupts, and the run can be resumed.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if ignores_hangups(&status) { vec![SIGINT, SIGTERM] } else { vec![SIGINT, SIGTERM, SIGHUP] }
}

/// Whether SIGHUP is in the mask of ignored signals of a `/proc/PID/status`: its lowest bit.
#[cfg(unix)]
fn ignores_hangups(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = |mask: &str| format!("Name:\ttune\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
        assert!(ignores_hangups(&status("0000000000001001")));
        assert!(!ignores_hangups(&status("0000000000001002")));
        assert!(!ignores_hangups(&status("")) && !ignores_hangups(""));
    }
}
