//! Text of two bytes a unit, either byte first: bytes as they are, and as the text that they are.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

const NAME: &str = "stdout.log";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for mark in [b"\xff\xfe", b"\xfe\xff"] {
        parsers::check(NAME, &[&mark[..], data].concat());
    }
    let text = String::from_utf8_lossy(data);
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    parsers::check(NAME, &b"\xff\xfe".iter().copied().chain(units).collect::<Vec<_>>());
});
