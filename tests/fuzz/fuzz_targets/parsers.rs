//! What all targets share: the parsers by path, and what must hold of any bytes.
#![allow(dead_code, reason = "no target needs all of it")]

#[path = "../../../src/event/mod.rs"]
pub mod event;
#[path = "../../../src/ingest/mod.rs"]
pub mod ingest;

use ingest::{Opener, Options, Parsed, Reader};
use std::path::Path;

/// Reads `data` as a file of this name, whole and in pieces: no panic, and the same records.
pub fn check(name: &str, data: &[u8]) {
    check_files(&[(name, data)], &Options::default());
}

/// Reads a file in the way of those listed that the first byte says, `a` the first: its name, what
/// `--format` says and the columns of `--map`.
pub fn check_one_of(ways: &[(&str, Option<&str>, bool)], data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let (name, format, mapped) = ways[usize::from(which.wrapping_sub(b'a')) % ways.len()];
    let column = |name: &str| mapped.then(|| name.to_owned());
    let map = ingest::Map { eval: column("v"), train: column("t"), step: column("n") };
    check_files(&[(name, data)], &Options { format: format.map(str::to_owned), map });
}

/// Reads the files of one run, one after the other, as [`check`] does.
pub fn check_files(files: &[(&str, &[u8])], options: &Options) {
    let (whole, pieces) = (Opener::default(), Opener::default());
    for (name, data) in files {
        let whole = read(whole.open(Path::new(name), options), data.chunks(data.len().max(1)));
        // The pieces are as long as the bytes say, so that the fuzzer finds the borders that matter.
        let mut rest = *data;
        let cut = data.iter().map_while(|&byte| {
            let (piece, left) = rest.split_at(rest.len().min(1 + usize::from(byte)));
            rest = left;
            (!piece.is_empty()).then_some(piece)
        });
        let pieces = read(pieces.open(Path::new(name), options), cut.collect::<Vec<_>>().into_iter());
        // NaN is not equal to itself; its words are.
        assert_eq!(format!("{:?}", whole.records), format!("{:?}", pieces.records));
        assert_eq!(whole.skipped.total(), pieces.skipped.total());
    }
}

fn read<'a>(mut reader: Box<dyn Reader>, pieces: impl Iterator<Item = &'a [u8]>) -> Parsed {
    let mut out = Parsed::default();
    for piece in pieces {
        reader.push(piece, &mut out);
    }
    reader.finish(&mut out);
    let _ = reader.trainer();
    out
}

/// Cuts `data` into messages: before each a byte that says how long it is.
pub fn split(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, rest) = data.split_first()?;
        let (message, rest) = rest.split_at(rest.len().min(usize::from(length)));
        data = rest;
        Some(message)
    })
}
