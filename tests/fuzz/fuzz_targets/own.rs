//! The run log of this program.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| parsers::check("run.jsonl", data));
