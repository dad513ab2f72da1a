//! Offline Weights & Biases files (`run-*.wandb`), read as they grow: a `LevelDB` log of protobuf records,
//! of which the rows of history, the run's name and its end are read.
//!
//! The step of a row is the trainer's own (`train/global_step` and the like) where it logs one; `_step`
//! counts calls of `wandb.log` and is the last resort. A chunk whose bytes do not fit their checksum is
//! skipped with its reason, and reading goes on at the next one that does: what comes after is not
//! lost. A record that is still being written is waited for. Memory does not grow with the file.
//!
//! Framing: seven bytes of header, then blocks of 32 KiB of chunks, each crc32 (of type and data, IEEE,
//! unmasked), length u16, type u8 (full, first, middle, last); records: `wandb_internal.proto`.

use super::proto::{Damaged, Fields, Value};
use super::roles::Role;
use super::scalars::{Figure, Scalars};
use super::{Parsed, Reader, pieces, scan};
use crate::event::record::Record;
use crate::event::{Event, RunEnded, StopReason};

/// `:W&B`, a magic number and a version.
const MAGIC: &[u8] = b":W&B\xe1\xbe\x00";
const BLOCK: u64 = 32 << 10;
/// Checksum, length and type.
const HEADER: usize = 7;
/// The longest record that is put together; one with more in it is no row of figures.
const LONGEST: usize = 16 << 20;

/// How sure a step is that counts rows only, as [`Role::Step`] has it.
const COUNTED: u8 = 2;

const DAMAGE: &str = "bytes that do not fit their checksum";
const CUT: &str = "cut short";

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Reads one `.wandb` file.
#[derive(Debug, Default)]
pub struct Wandb {
    kept: Vec<u8>,
    /// Bytes of the file that are done with.
    offset: u64,
    /// The record that is being put together, from the chunks so far.
    record: Option<Vec<u8>>,
    /// Why, while the next whole chunk is looked for.
    lost: Option<&'static str>,
    /// Chunks so far.
    count: u64,
    history: History,
}

impl Wandb {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a file that begins so is one.
    pub fn sniff(head: &[u8]) -> bool {
        head.starts_with(&MAGIC[..4])
    }

    /// Reads what is whole in `bytes`; how much of it is done with.
    fn read(&mut self, bytes: &[u8], out: &mut Parsed) -> usize {
        let mut at = 0;
        while let Some(taken) = self.chunk(&bytes[at..], out) {
            at += taken;
            self.offset += taken as u64;
        }
        at
    }

    /// Reads the chunk at `offset`; `None` where it is not whole yet.
    fn chunk(&mut self, bytes: &[u8], out: &mut Parsed) -> Option<usize> {
        let here = self.offset;
        if here == 0 {
            let magic = bytes.get(..MAGIC.len())?;
            if magic != MAGIC {
                out.skipped.add(0, "not the header of a W&B file of version 0");
            }
            return Some(MAGIC.len());
        }
        let room = (BLOCK - here % BLOCK) as usize;
        if room < HEADER {
            // What is left of a block that no header fits into.
            return (bytes.len() >= room).then_some(room);
        }
        let header = bytes.get(..HEADER)?;
        let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let kind = header[6];
        if header == [0; HEADER] || !(FULL..=LAST).contains(&kind) || HEADER + length > room {
            return Some(self.damaged());
        }
        // The checksum is of the type as well.
        let checked = bytes.get(HEADER - 1..HEADER + length)?;
        if crc32fast::hash(checked).to_le_bytes() != header[..4] {
            return Some(self.damaged());
        }
        self.found(out);
        self.count += 1;
        self.assemble(kind, &checked[1..], out);
        Some(HEADER + length)
    }

    /// No chunk begins here: perhaps one byte on.
    ///
    /// The record that was being put together has lost a part.
    fn damaged(&mut self) -> usize {
        self.lost.get_or_insert(DAMAGE);
        self.record = None;
        1
    }

    /// Counts a stretch of damage that is over as one chunk.
    fn found(&mut self, out: &mut Parsed) {
        if let Some(why) = self.lost.take() {
            self.count += 1;
            out.skipped.add(self.count, why);
        }
    }

    fn assemble(&mut self, kind: u8, data: &[u8], out: &mut Parsed) {
        let mut unfinished = self.record.take();
        match kind {
            FIRST => self.record = Some(data.to_vec()),
            MIDDLE | LAST => {
                let Some(mut record) = unfinished.take() else {
                    return out.skipped.add(self.count, "the rest of a record whose beginning is missing");
                };
                if record.len() + data.len() > LONGEST {
                    return out.skipped.add(self.count, "a record of more than 16 MiB");
                }
                record.extend_from_slice(data);
                if kind == MIDDLE {
                    self.record = Some(record);
                } else {
                    self.take(&record, out);
                }
            }
            _ => self.take(data, out),
        }
        if unfinished.is_some() {
            out.skipped.add(self.count, "a record without its end");
        }
    }

    fn take(&mut self, record: &[u8], out: &mut Parsed) {
        if self.history.record(record, &mut out.records).is_err() {
            out.skipped.add(self.count, "not a record");
        }
    }
}

impl Reader for Wandb {
    fn push(&mut self, chunk: &[u8], out: &mut Parsed) {
        let mut kept = std::mem::take(&mut self.kept);
        pieces::push(&mut kept, chunk, |bytes| self.read(bytes, out));
        self.kept = kept;
    }

    fn settle(&mut self, out: &mut Parsed) {
        self.history.scalars.settle(&mut out.records);
    }

    fn finish(&mut self, out: &mut Parsed) {
        // What looked like the beginning of a chunk may have been damage, with whole ones behind it.
        let kept = std::mem::take(&mut self.kept);
        let mut at = 0;
        while at < kept.len() {
            let taken = self.chunk(&kept[at..], out);
            if taken.is_none() {
                self.lost.get_or_insert(CUT);
            }
            at += taken.unwrap_or(1);
            self.offset += taken.unwrap_or(1) as u64;
        }
        if self.record.take().is_some() {
            self.lost.get_or_insert(CUT);
        }
        self.found(out);
        self.settle(out);
    }

    fn trainer(&self) -> &'static str {
        self.history.scalars.trainer()
    }
}

/// The rows of a run.
#[derive(Debug)]
struct History {
    scalars: Scalars,
    /// How sure the step of the surest row so far was, and that step.
    step: Option<(u8, u64)>,
    /// The figures of the row that is being read: their names, and what they are.
    figures: Vec<(usize, f64)>,
}

impl Default for History {
    fn default() -> Self {
        Self { scalars: Scalars::new("wandb", None), step: None, figures: Vec::new() }
    }
}

impl History {
    /// Reads one `Record { HistoryRecord history = 2; RunExitRecord exit = 18 }`.
    fn record(&mut self, message: &[u8], out: &mut Vec<Record>) -> Result<(), Damaged> {
        for field in Fields::of(message) {
            match field? {
                (2, Value::Bytes(row)) => self.row(row, out)?,
                (18, Value::Bytes(exit)) => self.exit(exit, out)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads one `HistoryRecord { HistoryItem item = 1; HistoryStep step = 2 { int64 num = 1 } }`.
    fn row(&mut self, message: &[u8], out: &mut Vec<Record>) -> Result<(), Damaged> {
        // `wandb` writes its own `_step` and `_timestamp` behind the figures that they are of.
        let mut step: Option<(u8, u64)> = None;
        let mut time = 0.0;
        self.figures.clear();
        for field in Fields::of(message) {
            match field? {
                (1, Value::Bytes(item)) => {
                    let mut joined = Vec::new();
                    let Some((key, value)) = item_of(item, &mut joined)? else { continue };
                    let name = self.scalars.name(key);
                    match self.scalars.role(name) {
                        Role::Step(rank) => {
                            let number = json(value).filter(|number| *number >= 0.0 && *number < 1e15);
                            let candidate = number.map(|number| (*rank, number as u64));
                            step = [step, candidate].into_iter().flatten().min_by_key(|(rank, _)| *rank);
                        }
                        Role::Time => time = json(value).unwrap_or(0.0),
                        Role::Ignored => {}
                        _ => self.figures.extend(json(value).map(|value| (name, value))),
                    }
                }
                (2, Value::Bytes(message)) => {
                    for field in Fields::of(message) {
                        if let (1, Value::Varint(number)) = field? {
                            let number = u64::try_from(number.cast_signed()).ok();
                            step = step.or(number.map(|number| (COUNTED, number)));
                        }
                    }
                }
                _ => {}
            }
        }
        if self.figures.is_empty() {
            return Ok(());
        }
        let step = self.place(step);
        for &(name, value) in &self.figures {
            self.scalars.put_named(name, Figure { step, time, value }, out);
        }
        Ok(())
    }

    /// The step of a row, of what it says itself: never of a scale less sure than that of rows before.
    fn place(&mut self, said: Option<(u8, u64)>) -> u64 {
        match (said, self.step) {
            (Some((rank, step)), None) => self.step = Some((rank, step)),
            (Some((rank, step)), Some((sure, _))) if rank <= sure => self.step = Some((rank, step)),
            _ => {}
        }
        self.step.map_or(0, |(_, step)| step)
    }

    /// Reads one `RunExitRecord { int32 exit_code = 1 }`.
    fn exit(&mut self, message: &[u8], out: &mut Vec<Record>) -> Result<(), Damaged> {
        let mut code = 0;
        for field in Fields::of(message) {
            if let (1, Value::Varint(value)) = field? {
                code = value.cast_signed();
            }
        }
        self.scalars.settle(out);
        let t = out.last().map_or(0.0, |record| record.t);
        let step = self.step.map_or(0, |(_, step)| step);
        if code != 0 {
            let text = format!("the trainer ended with exit code {code}");
            out.push(Record { t, event: Event::warning(text) });
        }
        let reason = if code == 0 { StopReason::Finished } else { StopReason::Interrupted };
        let ended = RunEnded { reason, step, epoch: None, best: None, restored_best: false };
        out.push(Record { t, event: Event::RunEnded(ended) });
        Ok(())
    }
}

/// A name and its figure, in JSON.
type Item<'a> = (&'a [u8], &'a [u8]);

/// Reads one `HistoryItem { string key = 1; repeated string nested_key = 2; string value_json = 16 }`.
///
/// The parts of a nested key are put together in `joined`.
fn item_of<'a>(message: &'a [u8], joined: &'a mut Vec<u8>) -> Result<Option<Item<'a>>, Damaged> {
    let (mut key, mut value, mut parts) = (None, None, 0);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(bytes)) => key = Some(bytes),
            (2, Value::Bytes(part)) => {
                parts += 1;
                if parts == 1 {
                    // Nearly always there is one.
                    key = Some(part);
                } else {
                    if parts == 2 {
                        joined.extend_from_slice(key.unwrap_or_default());
                    }
                    joined.push(b'/');
                    joined.extend_from_slice(part);
                }
            }
            (16, Value::Bytes(bytes)) => value = Some(bytes),
            _ => {}
        }
    }
    let key = if parts > 1 { Some(joined.as_slice()) } else { key };
    Ok(key.zip(value))
}

/// A figure as W&B writes it: a JSON number, or the names that Python has for what JSON has not.
fn json(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    if let Some((value, length)) = scan::number(text)
        && length == text.len()
    {
        return Some(value);
    }
    let bare = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    scan::number(bare).filter(|(_, length)| *length == bare.len()).map(|(value, _)| value)
}

#[cfg(test)]
mod tests;
