//! Files and folders that appear under their name only when they are whole.
//!
//! Everything this program saves and hands over goes through here; what is in it is for others to say.

use anyhow::{Context, Result};
use std::io::Write;
use std::path::Path;

/// How the names of files begin that are written aside, to be renamed when they are whole.
pub const ASIDE: &str = ".tmp";

/// Puts `bytes` under `path` in one step: written aside, synced, renamed.
///
/// # Errors
/// As for [`replace_with`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    replace_with(path, |file| file.write_all(bytes))
}

/// Puts what `write` writes under `path` in one step: written aside, synced, renamed.
///
/// # Errors
/// When the disk refuses, or `write` does. Nothing is left aside then, and what is under `path` is whole.
pub fn replace_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    // What is no file, a pipe or a terminal, can only be written to.
    let is_special = path.metadata().is_ok_and(|about| !about.is_file() && !about.is_dir());
    let put = || -> std::io::Result<()> {
        if is_special {
            return fill(&mut std::fs::File::create(path)?, write);
        }
        let folder = folder_of(path);
        let mut aside = aside(folder)?;
        fill(aside.as_file_mut(), write)?;
        aside.as_file().sync_all()?;
        aside.persist(path)?;
        sync_folder(folder)
    };
    put().with_context(|| format!("{} cannot be written", path.display()))
}

/// Waits until the names in a folder are on the disk: that of a new file is only then.
///
/// # Errors
/// When the disk refuses. Windows opens no folder as a file, and sees to the names itself.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) { std::fs::File::open(path)?.sync_all() } else { Ok(()) }
}

/// The folder that a path is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn fill(
    file: &mut std::fs::File,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut buffered = std::io::BufWriter::new(file);
    write(&mut buffered)?;
    buffered.flush()
}

/// A file to fill before it gets its name, readable by whom the user's umask lets read.
fn aside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(ASIDE);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.html");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        // A folder is in the way: it stays, and nothing is left beside it.
        let folder = dir.path().join("taken.html");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("x"), "").unwrap();
        let error = format!("{:#}", replace(&folder, b"three").unwrap_err());
        assert!(error.contains("taken.html cannot be written"), "{error}");
        // The writer gives up half way.
        let half = |file: &mut dyn Write| {
            file.write_all(b"ha")?;
            Err(std::io::Error::other("no more"))
        };
        assert!(replace_with(&path, half).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
