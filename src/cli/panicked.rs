//! What becomes of the terminal and of the run when drawing panics: the whole program under a
//! pseudo-terminal, with a fault that only a test build has.

use crate::dashboard::fault;
use crate::store::RunDir;
use pty_process::Size;
use pty_process::blocking::{Command, open};
use rustix::termios::{LocalModes, tcgetattr};
use std::fmt::Write as _;
use std::io::{Read, Write as _, stdin, stdout};

/// Says where the program of the first test is to run.
const PLACE: &str = "TUNE_DRAWING_FAILS_IN";

/// The program whose drawing fails: does nothing unless the test below starts it.
#[test]
fn a_run_whose_drawing_fails() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    std::env::set_current_dir(place).unwrap();
    fault::after(3);
    let code = super::run(["tune", "run", "job.toml", "--out", "one"].map(Into::into));
    // As a shell needs it: lines at a time, and what is typed is seen.
    let modes = tcgetattr(stdin()).unwrap().local_modes;
    assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "{modes:?}");
    write!(stdout(), "exit={code}").unwrap();
}

#[test]
fn a_panic_in_drawing_gives_the_terminal_back_and_the_run_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let rows = (0..40).fold(String::new(), |mut rows, i| {
        let _ = writeln!(rows, r#"{{"prompt": "What is {i} plus {i}?", "completion": "It is {}."}}"#, i + i);
        rows
    });
    std::fs::write(place.path().join("rows.jsonl"), rows).unwrap();
    let job = "[data]\ntrain = \"rows.jsonl\"\nvalid = 8\n[train]\nsteps = 40\nbatch_size = 2\n\
               [eval]\nevery_steps = 4\n[early_stopping]\nenabled = false\n";
    std::fs::write(place.path().join("job.toml"), job).unwrap();

    let (mut pty, pts) = open().unwrap();
    pty.resize(Size::new(40, 120)).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cli::panicked::a_run_whose_drawing_fails", "--nocapture"])
        .env(PLACE, place.path())
        .env("TERM", "xterm-256color")
        .spawn(pts)
        .unwrap();
    let mut seen = Vec::new();
    let mut bytes = [0; 4096];
    // A terminal that nobody holds any more ends with an error on some systems.
    while let Ok(count @ 1..) = pty.read(&mut bytes) {
        seen.extend_from_slice(&bytes[..count]);
    }
    let seen = String::from_utf8_lossy(&seen);
    assert!(child.wait().unwrap().success(), "{seen}");

    let mut rest = &*seen;
    for words in [
        "\x1b[?1049h",
        // Given back before the reason is told, which would be gone with the screen else.
        "\x1b[?1049l",
        "this panic in drawing is wanted",
        "the run goes on, as lines of text",
        "eval ",
        "run folder: one",
        "exit=0",
    ] {
        let Some((_, after)) = rest.split_once(words) else { panic!("no {words:?} in its turn:\n{seen}") };
        rest = after;
    }
    let log = std::fs::read_to_string(RunDir::open(&place.path().join("one")).unwrap().log()).unwrap();
    assert!(log.lines().last().is_some_and(|line| line.contains(r#""reason":"finished""#)), "{log}");
}
