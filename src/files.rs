//! Files and folders that appear under their name only when they are whole.
//!
//! Everything this program saves and hands over goes through here; what is in it is for others to say.

use anyhow::{Context, Result};
use std::io::Write;
use std::path::Path;

/// How the names of files begin that are written aside, to be renamed when they are whole.
pub const ASIDE: &str = ".tmp";

/// How the names of folders begin that are filled aside, to be renamed when they are whole.
const FOLDER_ASIDE: &str = ".tune-";

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

/// Makes the folder `path` in one step: filled aside by `fill`, which syncs what it writes, and renamed.
///
/// # Errors
/// When the disk refuses, `fill` does, or something other than an empty folder is there. Nothing is left
/// aside then, and no folder of that name is half made.
pub fn folder_with<E>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E>
where
    E: From<std::io::Error>,
{
    let parent = folder_of(path);
    std::fs::create_dir_all(parent)?;
    let aside = tempfile::Builder::new().prefix(FOLDER_ASIDE).tempdir_in(parent)?;
    fill(aside.path())?;
    std::fs::rename(aside.path(), path)?;
    // It has moved: there is nothing left to remove.
    let _ = aside.keep();
    sync_folder(parent).inspect_err(|_| {
        // The first error is the one to tell of.
        let _ = std::fs::remove_dir_all(path);
    })?;
    Ok(())
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
    #[test]
    fn a_folder_is_made_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let fill = |folder: &Path| std::fs::write(folder.join("x"), "one");
        let path = dir.path().join("a/b/whole");
        folder_with(&path, fill).unwrap();
        assert_eq!(std::fs::read_to_string(path.join("x")).unwrap(), "one");
        // What is there stays, and is no half of another.
        let again = |folder: &Path| std::fs::write(folder.join("y"), "two");
        assert!(folder_with(&path, again).is_err());
        let gives_up = |folder: &Path| again(folder).and(Err(std::io::Error::other("no more")));
        assert!(folder_with(&dir.path().join("a/b/half"), gives_up).is_err());
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!((left.len(), path.join("y").exists()), (1, false), "{left:?}");
        // An empty folder is nothing.
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        folder_with(&empty, fill).unwrap();
        assert!(empty.join("x").is_file());
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_as_readable_as_any() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (made, usual) = (dir.path().join("made"), dir.path().join("usual"));
        folder_with(&made, |_| std::io::Result::Ok(())).unwrap();
        std::fs::create_dir(&usual).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&made), mode(&usual));
    }
}
