//! Text of two bytes a unit, as PowerShell's `>` and `Tee-Object` write it, turned into UTF-8 for the
//! reader proper. A mark at its beginning tells it, and which byte comes first.

use super::{Parsed, Reader};

/// Turns what it is given into UTF-8, and hands it on.
pub(super) struct Utf16 {
    big_endian: bool,
    /// A byte without its partner.
    odd: Option<u8>,
    /// The first half of a pair that stands for one character.
    high: Option<u16>,
    inner: Box<dyn Reader>,
}

impl Utf16 {
    /// Which byte comes first, if a stream that begins so is of this kind: true where it is the high one.
    pub(super) fn sniff(head: &[u8]) -> Option<bool> {
        match head {
            [0xff, 0xfe, ..] => Some(false),
            [0xfe, 0xff, ..] => Some(true),
            _ => None,
        }
    }

    /// For a stream from its mark on, whose text `inner` reads.
    pub(super) fn new(big_endian: bool, inner: Box<dyn Reader>) -> Self {
        Self { big_endian, odd: None, high: None, inner }
    }

    fn unit(&mut self, bytes: [u8; 2], text: &mut String) {
        let unit = if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        match (self.high.take(), unit) {
            // The mark.
            (_, 0xfeff) => {}
            (_, 0xd800..0xdc00) => self.high = Some(unit),
            (high, unit) => {
                let units = [high.unwrap_or(unit), unit];
                let units = if high.is_some() { &units[..] } else { &units[1..] };
                text.extend(
                    char::decode_utf16(units.iter().copied())
                        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)),
                );
            }
        }
    }
}

impl Reader for Utf16 {
    fn push(&mut self, chunk: &[u8], out: &mut Parsed) {
        let mut text = String::with_capacity(chunk.len());
        for &byte in chunk {
            match self.odd.take() {
                None => self.odd = Some(byte),
                Some(first) => self.unit([first, byte], &mut text),
            }
        }
        self.inner.push(text.as_bytes(), out);
    }

    fn settle(&mut self, out: &mut Parsed) {
        self.inner.settle(out);
    }

    fn finish(&mut self, out: &mut Parsed) {
        self.inner.finish(out);
    }

    fn trainer(&self) -> &'static str {
        self.inner.trainer()
    }
}

#[cfg(test)]
mod tests {
    use crate::ingest::{Options, Parsed, open};
    use std::path::Path;

    fn read(bytes: &[u8], size: usize) -> Parsed {
        let (mut reader, mut out) = (open(Path::new("out.log"), &Options::default()), Parsed::default());
        for chunk in bytes.chunks(size) {
            reader.push(chunk, &mut out);
        }
        reader.finish(&mut out);
        out
    }

    #[test]
    fn it_is_read_as_the_same_text_in_utf_8_is() {
        let text =
            "😀 begins\r\nIter 1: Val loss 2.5, Val took 3.1s\r\nIter 10: Train loss 3.0, It/sec 1\r\n";
        let plain = read(text.as_bytes(), 1000);
        assert_eq!(plain.records.len(), 3);
        let marked: Vec<u16> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).collect();
        let little: Vec<u8> = marked.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = marked.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for size in [1, 3, 1000] {
            assert_eq!(read(&little, size), plain);
            assert_eq!(read(&big, size), plain);
            assert_eq!(read(format!("\u{feff}{text}").as_bytes(), size), plain);
        }
    }
}
