//! The dashboard in a real terminal, driven by `tests/terminal.sh` where tmux is there.

use std::io::Write;
use std::process::Command;

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
    let output = Command::new(script).arg(env!("CARGO_BIN_EXE_tune")).output().expect("bash starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
}
