//! What each trainer prints, read as `--format` says: the first byte is which, `a` the first of `TRAINERS`.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let ways = ingest::TRAINERS.iter().map(|name| ("stdout.log", Some(*name), false));
    parsers::check_one_of(&ways.collect::<Vec<_>>(), data);
});
