//! `TensorBoard` event files, read as they grow: records framed with checksums, each an `Event` of scalars.
//!
//! Both kinds of scalar are read: `simple_value`, which `PyTorch` and its friends write, and tensors of
//! one element, which `TensorFlow` 2 and Keras write. Everything else in a file is passed over.
//!
//! A record whose bytes do not fit their checksum is skipped with its reason, and reading goes on at
//! the next place whose length fits its own checksum: what comes after is never lost. A record that
//! is still being written is waited for. Memory does not grow with the file.
//!
//! Framing: length u64, masked crc32c of it, the bytes, masked crc32c of them, all little-endian
//! (`tensorflow/core/lib/io/record_writer.h`); messages: `event.proto`, `summary.proto`, `tensor.proto`.

use super::proto::{Damaged, Fields, Value};
use super::scalars::{Figure, Scalars};
use super::{Parsed, Reader, pieces};

/// A length and its checksum.
const HEADER: usize = 12;
/// The checksum after the bytes.
const FOOTER: usize = 4;
/// The longest record that is read; one with pictures in it is longer, and is passed over.
const READ: u64 = 4 << 20;
/// A length above this is damage, whatever its checksum says.
const LONGEST: u64 = 1 << 31;
const LENGTH: &str = "a length that does not fit its checksum";
const BYTES: &str = "bytes that do not fit their checksum";

/// Reads one event file.
#[derive(Debug)]
pub struct TfEvents {
    /// What has come in and is not read yet: the beginning of a record.
    kept: Vec<u8>,
    state: State,
    /// Records begun so far.
    count: u64,
    scalars: Scalars,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At the beginning of a record.
    Aligned,
    /// After damage: looking for the beginning of a record.
    Lost { why: &'static str },
    /// Within a record that is too long to be of use.
    Passing { left: u64, crc: u32 },
}

impl TfEvents {
    /// For a file in the folder of this name, which may say whose figures it holds (see [`super::roles`]).
    pub fn new(folder: &str) -> Self {
        let scalars = Scalars::in_folder("tensorboard", folder);
        Self { kept: Vec::new(), state: State::Aligned, count: 0, scalars }
    }

    /// Whether a file that begins so is an event file.
    pub fn sniff(head: &[u8]) -> bool {
        header(head).is_some_and(|length| (1..=LONGEST).contains(&length))
    }

    /// Reads what is whole in `bytes`; how much of it is done with.
    fn read(&mut self, bytes: &[u8], out: &mut Parsed) -> usize {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let taken = match self.state {
                State::Aligned => self.record(rest, out),
                State::Lost { why } => self.search(rest, why, out),
                State::Passing { left, crc } => self.pass(rest, left, crc),
            };
            match taken {
                Some(taken) => at += taken,
                None => return at,
            }
        }
    }

    /// Reads the record that begins here; `None` where it is not whole yet.
    fn record(&mut self, bytes: &[u8], out: &mut Parsed) -> Option<usize> {
        if bytes.len() < HEADER {
            return None;
        }
        let Some(length) = header(bytes).filter(|length| *length <= LONGEST) else {
            self.state = State::Lost { why: LENGTH };
            return Some(1);
        };
        if length > READ {
            self.state = State::Passing { left: length, crc: 0 };
            return Some(HEADER);
        }
        let end = HEADER + length as usize;
        let (data, footer) = (bytes.get(HEADER..end)?, bytes.get(end..end + FOOTER)?);
        if masked(crc32c::crc32c(data)).to_le_bytes() != footer {
            // The length may be that of a record torn off, with others after it: they begin within.
            self.state = State::Lost { why: BYTES };
            return Some(HEADER);
        }
        if event(data, &mut self.scalars, out).is_err() {
            out.skipped.add(self.count + 1, "not an event");
        }
        self.count += 1;
        Some(end + FOOTER)
    }

    /// Looks for the beginning of a record.
    fn search(&mut self, bytes: &[u8], why: &'static str, out: &mut Parsed) -> Option<usize> {
        let found =
            bytes.windows(HEADER).position(|window| header(window).is_some_and(|length| length <= LONGEST));
        let Some(found) = found else {
            let passed = bytes.len().saturating_sub(HEADER - 1);
            return (passed > 0).then_some(passed);
        };
        self.lose(why, out);
        Some(found)
    }

    /// Counts a stretch of damage as one record.
    fn lose(&mut self, why: &'static str, out: &mut Parsed) {
        self.count += 1;
        out.skipped.add(self.count, why);
        self.state = State::Aligned;
    }

    /// Goes over a record that is too long, taking its checksum on the way.
    fn pass(&mut self, bytes: &[u8], left: u64, crc: u32) -> Option<usize> {
        if left > 0 {
            let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let crc = crc32c::crc32c_append(crc, &bytes[..here]);
            self.state = State::Passing { left: left - here as u64, crc };
            return (here > 0).then_some(here);
        }
        let footer = bytes.get(..FOOTER)?;
        let whole = masked(crc).to_le_bytes() == footer;
        self.count += u64::from(whole);
        self.state = if whole { State::Aligned } else { State::Lost { why: BYTES } };
        // What is no footer may be the beginning of a record.
        Some(if whole { FOOTER } else { 0 })
    }
}

impl Reader for TfEvents {
    fn push(&mut self, chunk: &[u8], out: &mut Parsed) {
        let mut kept = std::mem::take(&mut self.kept);
        pieces::push(&mut kept, chunk, |bytes| self.read(bytes, out));
        self.kept = kept;
    }

    fn settle(&mut self, out: &mut Parsed) {
        self.scalars.settle(&mut out.records);
    }

    fn finish(&mut self, out: &mut Parsed) {
        self.settle(out);
        match self.state {
            State::Lost { why } => self.lose(why, out),
            State::Aligned if self.kept.is_empty() => {}
            State::Aligned | State::Passing { .. } => self.lose("cut short", out),
        }
        self.kept.clear();
    }

    fn trainer(&self) -> &'static str {
        self.scalars.trainer()
    }
}

/// The length that a record begins with, if it fits its checksum.
fn header(bytes: &[u8]) -> Option<u64> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let crc = rest.first_chunk::<4>()?;
    (masked(crc32c::crc32c(length)).to_le_bytes() == *crc).then(|| u64::from_le_bytes(*length))
}

/// A checksum as these files have it, so that one of bytes with checksums in them is no worse.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Reads one `Event { double wall_time = 1; int64 step = 2; Summary summary = 5 }`.
fn event(message: &[u8], scalars: &mut Scalars, out: &mut Parsed) -> Result<(), Damaged> {
    let (mut time, mut step, mut summary) = (0.0, 0, None);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Fixed64(bits)) => time = f64::from_bits(bits),
            // A negative step is one that was not set.
            (2, Value::Varint(value)) => step = u64::try_from(value.cast_signed()).unwrap_or(0),
            // The step may stand after the figures.
            (5, Value::Bytes(bytes)) => summary = Some(bytes),
            _ => {}
        }
    }
    for field in Fields::of(summary.unwrap_or_default()) {
        let (1, Value::Bytes(value)) = field? else { continue };
        if let Some((name, value)) = scalar(value)? {
            scalars.put(name, Figure { step, time, value }, &mut out.records);
        }
    }
    Ok(())
}

/// Reads one `Summary.Value { string tag = 1; float simple_value = 2; TensorProto tensor = 8 }`.
fn scalar(message: &[u8]) -> Result<Option<(&[u8], f64)>, Damaged> {
    let (mut name, mut value) = (None, None);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(tag)) => name = Some(tag),
            (2, Value::Fixed32(bits)) => value = Some(f64::from(f32::from_bits(bits))),
            (8, Value::Bytes(message)) => value = tensor(message)?,
            _ => {}
        }
    }
    Ok(name.zip(value))
}

/// The element of a `TensorProto` that has just one.
///
/// `dtype = 1; tensor_content = 4; float_val = 5; double_val = 6; int_val = 7; int64_val = 10`.
fn tensor(message: &[u8]) -> Result<Option<f64>, Damaged> {
    let (mut kind, mut content, mut value) = (0, None, None);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Varint(dtype)) => kind = dtype,
            (4, Value::Bytes(bytes)) => content = Some(bytes),
            // Packed, or one by one.
            (5, Value::Bytes(bytes)) => value = number(FLOAT, bytes),
            (5, Value::Fixed32(bits)) => value = Some(f64::from(f32::from_bits(bits))),
            (6, Value::Bytes(bytes)) => value = number(DOUBLE, bytes),
            (6, Value::Fixed64(bits)) => value = Some(f64::from_bits(bits)),
            (7 | 10, Value::Varint(integer)) => value = Some(integer.cast_signed() as f64),
            _ => {}
        }
    }
    Ok(value.or_else(|| number(kind, content?)))
}

/// `TensorProto.dtype` of the kinds that a figure may have.
const FLOAT: u64 = 1;
const DOUBLE: u64 = 2;
const INT32: u64 = 3;
const INT64: u64 = 9;
const BFLOAT16: u64 = 14;
const HALF: u64 = 19;

/// The one number in `bytes`; `None` where there are more.
fn number(kind: u64, bytes: &[u8]) -> Option<f64> {
    match kind {
        FLOAT => Some(f64::from(f32::from_le_bytes(bytes.try_into().ok()?))),
        DOUBLE => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
        INT32 => Some(f64::from(i32::from_le_bytes(bytes.try_into().ok()?))),
        INT64 => Some(i64::from_le_bytes(bytes.try_into().ok()?) as f64),
        BFLOAT16 => Some(half::bf16::from_le_bytes(bytes.try_into().ok()?).to_f64()),
        HALF => Some(half::f16::from_le_bytes(bytes.try_into().ok()?).to_f64()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
