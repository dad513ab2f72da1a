//! The dashboard in a real terminal, driven by `tests/terminal.sh` where tmux is there.

use std::io::Write;
use std::process::Command;
use tune::dashboard::term::Screen;

#[test]
fn a_run_in_a_real_terminal() {
    if !Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success()) {
        // Seen with `--nocapture`, and in the CI, which has tmux.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: a run in a real terminal needs tmux, which is not installed"
        );
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/terminal.sh");
    let tests = std::env::current_exe().expect("the tests are a file");
    let output =
        Command::new(script).arg(env!("CARGO_BIN_EXE_tune")).arg(tests).output().expect("bash starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
}

/// The half of the test above that needs a program which panics: does nothing unless the script asks.
#[test]
fn panics_with_the_screen_taken() {
    if std::env::var_os("TUNE_PANICS").is_none() {
        return;
    }
    let mut screen = Screen::take().expect("a terminal");
    assert_eq!(screen.draw(|_| ()).expect("a frame"), Some(()));
    let panicked = std::thread::spawn(|| panic!("this panic is wanted")).join();
    assert!(panicked.is_err());
    // Nothing more is drawn over the reason.
    assert_eq!(screen.draw(|_| ()).expect("no frame"), None);
    let _ = writeln!(std::io::stdout(), "the terminal was given back");
}
