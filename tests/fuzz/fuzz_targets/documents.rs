//! One JSON document over many lines.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let ways = [
        ("trainer_state.json", None, false),
        ("evals_result.json", None, false),
        ("history.json", None, false),
        ("history.json", None, true),
    ];
    parsers::check_one_of(&ways, data);
});
