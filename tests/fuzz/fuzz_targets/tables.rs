//! CSV files, by their names, by `--format` and by `--map`.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let ways = [
        ("metrics.csv", None, false),
        ("val_loss.csv", None, false),
        ("metrics.csv", Some("csv"), false),
        ("metrics.csv", None, true),
    ];
    parsers::check_one_of(&ways, data);
});
