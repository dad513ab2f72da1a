//! The event log of a run: appended line by line, read back whole.
//!
//! Every record is one write of one line, so that a process killed at any moment leaves at most one
//! torn line at the end. What must survive a power cut too is synced to the disk.

use crate::event::Event;
use crate::event::record::{FORMAT, Record};
use anyhow::{Context, Result, bail};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a log is tried that another process holds: one that only asks, by [`is_being_written`],
/// is gone at once.
const TRIES: u32 = 5;
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A run log that is being written. One process at a time holds it.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// Opens a log to append to; a torn line at its end is cut off.
    ///
    /// # Errors
    /// When it cannot be written to, or another process is writing to it.
    pub fn open(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let mut file = OpenOptions::new().read(true).append(true).open(path).with_context(name)?;
        let mut tries = 0;
        // A file system without locks must not keep anyone from training.
        while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            tries += 1;
            if tries == TRIES {
                bail!(
                    "{}: another tune is writing to this run\n  \
                     hint: wait for it, or stop it: s in tune watch, or Ctrl-C where it runs",
                    name()
                );
            }
            std::thread::sleep(TRY_AGAIN);
        }
        let whole = whole_lines(&mut file).with_context(name)?;
        // Its time is that of its last record: what is whole is not touched.
        if file.metadata().with_context(name)?.len() != whole {
            file.set_len(whole).with_context(name)?;
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Empties the log: the run begins again.
    pub fn clear(&mut self) -> Result<()> {
        self.file.set_len(0).with_context(|| format!("{} cannot be written", self.path.display()))
    }

    /// Appends one record.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let line = record.to_line() + "\n";
        let must_survive = !matches!(record.event, Event::Step(_) | Event::Note(_));
        let mut write = || -> std::io::Result<()> {
            self.file.write_all(line.as_bytes())?;
            if must_survive { self.file.sync_data() } else { Ok(()) }
        };
        write().with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

/// Whether a process is writing to a log now. No, where the file system has no locks.
pub fn is_being_written(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Bytes up to the last line break, that one included.
fn whole_lines(file: &mut File) -> std::io::Result<u64> {
    const BLOCK: u64 = 4096;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Reads a log. A torn last line is passed over.
///
/// # Errors
/// When the file cannot be read, or a line before the last is no record; the line is named.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let mut records = Vec::new();
    let mut lines = text.split_inclusive('\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        match Record::from_line(line.trim_end()) {
            Ok(record) => {
                if let Event::RunStarted(run) = &record.event
                    && run.format > FORMAT
                {
                    bail!(
                        "{}: written by a later version of tune (format {})\n  hint: update tune",
                        path.display(),
                        run.format
                    );
                }
                records.push(record);
            }
            Err(_) if lines.peek().is_none() && !line.ends_with('\n') => {}
            Err(error) => {
                bail!(
                    "{}:{}: not a record: {error}\n  hint: the file was changed by hand or is damaged; take this line out",
                    path.display(),
                    index + 1
                );
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Note, NoteLevel};

    fn note(t: f64) -> Record {
        Record { t, event: Event::Note(Note { level: NoteLevel::Info, text: format!("at {t}") }) }
    }

    #[test]
    fn what_is_appended_is_read_back_wherever_the_end_was_torn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        std::fs::write(&path, "").unwrap();
        let mut writer = Writer::open(&path).unwrap();
        writer.append(&note(1.0)).unwrap();
        writer.append(&note(2.0)).unwrap();
        drop(writer);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read(&path).unwrap()[0], note(1.0));
            Writer::open(&path).unwrap().append(&note(3.0)).unwrap();
            assert_eq!(read(&path).unwrap(), [note(1.0), note(3.0)], "cut at byte {cut}");
        }
    }

    #[test]
    fn one_process_writes_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        std::fs::write(&path, "").unwrap();
        assert!(!is_being_written(&path));
        let _writer = Writer::open(&path).unwrap();
        assert!(is_being_written(&path));
        let error = Writer::open(&path).unwrap_err().to_string();
        assert!(error.contains("another tune is writing to this run\n  hint: "), "{error}");
    }

    #[test]
    fn a_spoilt_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        std::fs::write(&path, format!("{}\nspoilt\n{}\n", note(1.0).to_line(), note(2.0).to_line())).unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.contains("run.jsonl:2: not a record"), "{error}");
    }
}
