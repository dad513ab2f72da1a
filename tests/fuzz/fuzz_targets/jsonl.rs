//! JSON Lines, by their names, by `--format` and by `--map`.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let ways = [
        ("trainer_log.jsonl", None, false),
        ("metrics.jsonl", Some("jsonl"), false),
        ("metrics.jsonl", None, true),
    ];
    parsers::check_one_of(&ways, data);
});
