//! Where a trainer may write its logs, told by its command: the folders in its arguments and in the
//! configuration files among them, then the working folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Words of an option or a key that names a folder to write to.
const WORDS: &[&str] = &["dir", "folder", "path", "output", "save", "log"];
/// The longest configuration file that is looked into.
const LONGEST: u64 = 256 * 1024;

/// The folders that the command names, those of the working folder relative to it, then that itself.
pub(super) fn places(command: &[OsString]) -> Vec<PathBuf> {
    let mut named: Vec<(String, String)> = Vec::new();
    let arguments: Vec<String> =
        command.iter().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut option = "";
    for argument in &arguments {
        if let Some((key, value)) = argument.split_once('=') {
            named.push((key.into(), value.into()));
        } else if !argument.starts_with('-') {
            named.push((option.into(), argument.clone()));
            named.extend(keys_of(Path::new(argument)));
        }
        option = if argument.starts_with('-') { argument } else { "" };
    }
    let mut places: Vec<PathBuf> = Vec::new();
    for (key, value) in named {
        let path = Path::new(&value);
        let may_become = !path.exists() && WORDS.iter().any(|word| key.to_ascii_lowercase().contains(word));
        let place = relative(path);
        if !value.is_empty() && (path.is_dir() || may_become) && !places.contains(&place) {
            places.push(place);
        }
    }
    places.retain(|place| !place.as_os_str().is_empty());
    places.push(PathBuf::from("."));
    places
}

/// The keys of a configuration file and their values, where they are plain.
fn keys_of(file: &Path) -> Vec<(String, String)> {
    let known =
        file.extension().is_some_and(|end| ["yaml", "yml", "json", "toml"].iter().any(|it| end == *it));
    if !known || !file.metadata().is_ok_and(|data| data.is_file() && data.len() <= LONGEST) {
        return Vec::new();
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let plain = |word: &str| {
        let word = word.split(" #").next().unwrap_or_default();
        word.trim_matches(|c: char| c.is_whitespace() || "\"',{}".contains(c)).to_owned()
    };
    text.lines()
        .filter_map(|line| line.split_once([':', '=']))
        .map(|(key, value)| (plain(key), plain(value)))
        .collect()
}

/// The path as it is from the working folder where it lies below it, else in full.
fn relative(path: &Path) -> PathBuf {
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let (Ok(path), Ok(here)) = (whole(path), whole(Path::new("."))) else { return path.to_owned() };
    path.strip_prefix(&here).map(Path::to_owned).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_tells_where_its_trainer_writes() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("lora.yaml");
        std::fs::write(
            &config,
            "model: some/model\noutput_dir: \"/elsewhere/from-config\" # here\nseed: 1\n",
        )
        .unwrap();
        let found = |line: &str| -> Vec<String> {
            let command: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            places(&command).iter().map(|place| place.display().to_string()).collect()
        };
        assert_eq!(found("train"), ["."]);
        assert_eq!(found("train --output_dir out/a --lr 1e-4 --model org/name"), ["out/a", "."]);
        assert_eq!(
            found("train --adapter-path=/elsewhere/ad --logging_dir ./tb"),
            ["/elsewhere/ad", "tb", "."]
        );
        assert_eq!(found("train trainer.default_root_dir=/elsewhere/x ."), ["/elsewhere/x", "."]);
        // A folder that is there may be written to, whatever it is named for; a file is none.
        let there = dir.path().canonicalize().unwrap().display().to_string();
        assert_eq!(
            found(&format!("train {there} --log {}", config.display())),
            [&there, "/elsewhere/from-config", "."]
        );
    }
}
