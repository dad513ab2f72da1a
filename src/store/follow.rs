//! Following a file that someone else writes: growth, truncation, rotation, absence.
//!
//! By polling alone: one look at the file's size and identity a turn, which works on network file
//! systems and in containers, where notifications do not come. While nothing is new most of the looks are
//! at the open file, which is cheaper than to find it by its name. Knows bytes and nothing of lines or
//! formats, and no clock: whoever calls decides how often.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The most that one turn reads, so that many files take turns.
const TURN: u64 = 1 << 20;
/// Looks at the open file between two by its name: a file that was moved away goes unnoticed for so many.
const TRUST: u32 = 9;
/// Bytes by which a file is known again: its first, and the last that were read.
const MARK: usize = 64;

/// A file that is followed, from its beginning.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    open: Option<Open>,
}

/// What a turn brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// As before.
    Nothing,
    /// More was written; there may be still more to read.
    Bytes,
    /// The file was truncated, written anew or replaced: what comes next is its beginning.
    Restarted,
    /// There is no file, or none any more.
    Missing,
}

#[derive(Debug)]
struct Open {
    file: File,
    identity: Option<(u64, u64)>,
    /// Bytes read so far.
    offset: u64,
    /// The first bytes of the file, and the last ones that were read.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// What the file was like when it was last looked into.
    seen: Option<Metadata>,
    /// Looks for which it is taken to be the one of that name still.
    trusted: u32,
}

impl Follower {
    /// Begins at the start of the file; it need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), open: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes read so far of the file as it is now.
    pub fn offset(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.offset)
    }

    /// Looks once; what is new is appended to `into`.
    ///
    /// # Errors
    /// When the file is there and cannot be read. The next turn tries again.
    pub fn poll(&mut self, into: &mut Vec<u8>) -> io::Result<News> {
        if self.open.as_mut().is_some_and(Open::is_at_rest) {
            return Ok(News::Nothing);
        }
        let found = match std::fs::metadata(&self.path) {
            Ok(found) => Some(found),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
            Err(error) => return Err(error),
        };
        let turn = match (&mut self.open, found) {
            (None, None) => Ok(News::Missing),
            (None, Some(_)) => {
                self.open = Some(Open::at_start(&self.path)?);
                return self.poll(into);
            }
            // Moved away, and the writer may still be at it.
            (Some(open), None) => match open.read(into) {
                Ok(0) => Ok(News::Missing),
                other => other.map(|_| News::Bytes),
            },
            (Some(open), Some(found)) => open.turn(&found, into),
        };
        match turn {
            Ok(News::Restarted) | Err(_) => self.open = None,
            _ => {}
        }
        turn
    }
}

impl Open {
    fn at_start(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // Of the file that was opened: another may have taken its place meanwhile.
        let identity = identity(&file.metadata()?);
        Ok(Self { file, identity, offset: 0, head: Vec::new(), tail: Vec::new(), seen: None, trusted: 0 })
    }

    /// Whether nothing was written to it, and it is too early to ask for it by its name.
    fn is_at_rest(&mut self) -> bool {
        let Some(trusted) = self.trusted.checked_sub(1) else { return false };
        self.trusted = trusted;
        // One that was replaced or removed may have no name any more. What is wrong is found by the other look.
        let rests = self.file.metadata().is_ok_and(|now| has_name(&now) && self.is_as_seen(&now));
        if !rests {
            self.trusted = 0;
        }
        rests
    }

    /// Whether all was read, and nothing has been written since.
    fn is_as_seen(&self, now: &Metadata) -> bool {
        let stamp = |file: &Metadata| (file.len(), file.modified().ok());
        now.len() == self.offset && self.seen.as_ref().map(stamp) == Some(stamp(now))
    }

    fn turn(&mut self, found: &Metadata, into: &mut Vec<u8>) -> io::Result<News> {
        if self.identity != identity(found) {
            // What was written to the old one before it went is not lost.
            let read = self.read(into)?;
            return Ok(if read > 0 { News::Bytes } else { News::Restarted });
        }
        if self.is_as_seen(found) {
            self.trusted = TRUST;
            return Ok(News::Nothing);
        }
        if found.len() < self.offset || !self.is_same()? {
            return Ok(News::Restarted);
        }
        into.reserve(found.len().saturating_sub(self.offset).min(TURN) as usize);
        let read = self.read(into)?;
        self.seen = Some(found.clone());
        Ok(if read > 0 { News::Bytes } else { News::Nothing })
    }

    /// Whether what has been read is still there.
    fn is_same(&mut self) -> io::Result<bool> {
        let tail = self.offset - self.tail.len() as u64;
        Ok(holds(&mut self.file, 0, &self.head)? && holds(&mut self.file, tail, &self.tail)?)
    }

    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<u64> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        let before = into.len();
        let read = (&mut self.file).take(TURN).read_to_end(into)? as u64;
        let new = &into[before..];
        self.offset += read;
        let room = MARK.saturating_sub(self.head.len());
        self.head.extend_from_slice(&new[..new.len().min(room)]);
        self.tail.extend_from_slice(&new[new.len().saturating_sub(MARK)..]);
        self.tail.drain(..self.tail.len().saturating_sub(MARK));
        Ok(read)
    }
}

/// Whether `bytes` are in the file at `at`.
fn holds(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<bool> {
    let mut found = Vec::with_capacity(bytes.len());
    file.seek(SeekFrom::Start(at))?;
    file.take(bytes.len() as u64).read_to_end(&mut found)?;
    Ok(found == bytes)
}

/// What tells a file from another of the same name; `None` where the system does not say.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems do not say")]
fn identity(found: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

/// Whether an open file still is in some folder; not where the system does not say.
#[cfg(unix)]
fn has_name(open: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(open) > 0
}

#[cfg(not(unix))]
fn has_name(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file that is written to, and what following it has brought.
    struct Place {
        dir: tempfile::TempDir,
        follower: Follower,
        text: String,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let follower = Follower::new(dir.path().join("log"));
            Self { dir, follower, text: String::new() }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("log")
        }

        fn append(&self, text: &str) {
            let file = File::options().create(true).append(true).open(self.path());
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }

        /// Polls until nothing more comes; a restart is a bar.
        fn drain(&mut self) -> &str {
            self.text.clear();
            loop {
                let mut bytes = Vec::new();
                let news = self.follower.poll(&mut bytes).unwrap();
                self.text.push_str(std::str::from_utf8(&bytes).unwrap());
                match news {
                    News::Bytes => {}
                    News::Restarted => self.text.push('|'),
                    News::Nothing => return &self.text,
                    News::Missing => {
                        self.text.push('?');
                        return &self.text;
                    }
                }
            }
        }
    }

    #[test]
    fn growth_comes_as_it_is_written_half_lines_too() {
        let mut place = Place::new();
        assert_eq!(place.drain(), "?");
        place.append("");
        assert_eq!(place.drain(), "");
        for part in ["one\n", "tw", "o\n", "three"] {
            place.append(part);
            assert_eq!(place.drain(), part);
            assert_eq!(place.drain(), "");
        }
        assert_eq!(place.follower.offset(), 13);
        let long = "x".repeat(3 * TURN as usize);
        place.append(&long);
        assert_eq!(place.drain(), long);
    }

    #[test]
    fn a_file_that_is_truncated_is_read_anew() {
        let mut place = Place::new();
        place.append("first run, step 1\n");
        place.drain();
        std::fs::write(place.path(), "").unwrap();
        assert_eq!(place.drain(), "|");
        place.append("second");
        assert_eq!(place.drain(), "second");
        std::fs::write(place.path(), "3").unwrap();
        assert_eq!(place.drain(), "|3");
    }

    #[test]
    fn a_file_that_is_written_anew_and_has_outgrown_itself_is_known_by_its_bytes() {
        let mut place = Place::new();
        place.append(r#"{"log_history": [1]}"#);
        place.drain();
        // Only the end differs, and then only the beginning.
        let longer = r#"{"log_history": [1, 2]}"#;
        std::fs::write(place.path(), longer).unwrap();
        assert_eq!(place.drain(), format!("|{longer}"));
        let begins = format!("{}{}", "a".repeat(200), "b".repeat(200));
        std::fs::write(place.path(), &begins).unwrap();
        assert_eq!(place.drain(), format!("|{begins}"));
        let other = begins.replacen('a', "c", 1) + "more";
        std::fs::write(place.path(), &other).unwrap();
        assert_eq!(place.drain(), format!("|{other}"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_rotated_is_read_to_its_end_first() {
        let mut place = Place::new();
        place.append("one\n");
        place.drain();
        place.append("two\n");
        let away = place.dir.path().join("log.1");
        std::fs::rename(place.path(), &away).unwrap();
        place.append("three\n");
        assert_eq!(place.drain(), "two\n|three\n");
        // Between the old and the new one there may be none, and the writer still at the old.
        std::fs::rename(place.path(), &away).unwrap();
        File::options().append(true).open(&away).unwrap().write_all(b"four\n").unwrap();
        assert_eq!(place.drain(), "four\n?");
        place.append("five\n");
        assert_eq!(place.drain(), "|five\n");
        // Replaced by one that was written aside, as documents are.
        let aside = place.dir.path().join("aside");
        std::fs::write(&aside, "five\nsix\n").unwrap();
        std::fs::rename(&aside, place.path()).unwrap();
        assert_eq!(place.drain(), "|five\nsix\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_quiet_file_that_is_moved_away_is_missed_soon() {
        let mut place = Place::new();
        place.append("one\n");
        place.drain();
        std::fs::rename(place.path(), place.dir.path().join("log.1")).unwrap();
        let looks = (0..100).take_while(|_| place.drain() != "?").count();
        assert!(looks <= TRUST as usize, "{looks}");
        place.append("two\n");
        assert_eq!(place.drain(), "|two\n");
        // Replaced or removed it is missed at once.
        place.drain();
        std::fs::remove_file(place.path()).unwrap();
        assert_eq!(place.drain(), "?");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_is_tried_again() {
        let mut place = Place::new();
        std::fs::create_dir(place.path()).unwrap();
        assert!(place.follower.poll(&mut Vec::new()).is_err());
        std::fs::remove_dir(place.path()).unwrap();
        place.append("now\n");
        assert_eq!(place.drain(), "now\n");
    }
}
