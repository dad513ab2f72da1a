//! What a trainer is called, told by its command: its script, where another program runs that.

use std::ffi::OsString;
use std::path::Path;

/// Programs that run the first file among their arguments.
const INTERPRETERS: &[&str] = &["python", "bash", "sh", "zsh"];
/// Programs that run a script too, behind words and options of their own.
const LAUNCHERS: &[&str] = &["uv", "accelerate", "torchrun", "deepspeed", "poetry"];
/// Options of interpreters that a value follows.
const WITH_VALUE: &[&str] = &["-W", "-X", "-o", "-O"];
/// How the name of a script ends.
const SCRIPTS: &[&str] = &["py", "sh"];

/// The script that the command runs, or the module; else the program.
pub(super) fn name(command: &[OsString]) -> String {
    let last = |path: &OsString| {
        Path::new(path).file_name().map_or_else(String::new, |name| name.display().to_string())
    };
    let program = command.first().map(last).unwrap_or_default();
    script(&program, command.get(1..).unwrap_or_default()).map_or(program, last)
}

fn script<'a>(program: &str, arguments: &'a [OsString]) -> Option<&'a OsString> {
    // Versions follow the name: python3.12.
    let plain = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let interprets = INTERPRETERS.contains(&plain);
    if !interprets && !LAUNCHERS.contains(&plain) {
        return None;
    }
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let is_script =
            || Path::new(argument).extension().is_some_and(|end| SCRIPTS.iter().any(|it| end == *it));
        match argument.to_str() {
            // `-c`, and with other letters before it, as in `bash -lc`.
            Some(option) if !option.starts_with("--") && option.starts_with('-') && option.ends_with('c') => {
                return None;
            }
            Some(option) if interprets && WITH_VALUE.contains(&option) => drop(arguments.next()),
            Some("-m") => return arguments.next(),
            Some(option) if option.starts_with('-') => {}
            _ if interprets || is_script() => return Some(argument),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trainer_is_called_by_its_script() {
        for (line, expected) in [
            ("python3 -u src/train.py --epochs 3", "train.py"),
            ("python3.12 -m pack.train x.py", "pack.train"),
            ("uv run --with torch train.py", "train.py"),
            ("accelerate launch --num_processes 2 train.py a.py", "train.py"),
            ("torchrun --nproc-per-node=2 train.py", "train.py"),
            ("bash ./go --fast", "go"),
            ("sh -c train.py", "sh"),
            ("bash -lc train.py", "bash"),
            ("python -W ignore -X faulthandler train.py", "train.py"),
            ("bin/mlx_lm.lora --config a.py", "mlx_lm.lora"),
            ("python", "python"),
        ] {
            let command: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(name(&command), expected, "{line}");
        }
    }
}
