//! `TensorBoard` event files: bytes as they are, and as the messages of records whose checksums are right.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

const NAME: &str = "run/events.out.tfevents.1";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    parsers::check(NAME, data);
    let masked = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let mut framed = Vec::new();
    for message in parsers::split(data) {
        let length = (message.len() as u64).to_le_bytes();
        framed.extend([&length[..], &masked(&length), message, &masked(message)].concat());
    }
    parsers::check(NAME, &framed);
});
