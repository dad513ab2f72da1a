//! What trainers print, whichever of them it is.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| parsers::check("stdout.log", data));
