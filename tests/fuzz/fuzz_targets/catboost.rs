//! The two files of CatBoost, which belong together: what follows the first byte 0 is the second.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |&byte| byte == 0);
    let [test, learn] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let folder = |name: &str| format!("catboost_info/{name}");
    let files = [(folder("test_error.tsv"), test), (folder("learn_error.tsv"), learn)];
    let files = files.each_ref().map(|(name, bytes)| (name.as_str(), *bytes));
    parsers::check_files(&files, &ingest::Options::default());
});
