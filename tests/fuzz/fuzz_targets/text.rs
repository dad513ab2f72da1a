//! What trainers print, whichever of them it is, and what else the first bytes of a stream may tell it to be.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| parsers::check("stdout.log", data));
