//! Metrics of `MLflow`: those of one run, a file each, with a byte 0 between them.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

/// In the order in which they are read; last what became of the run.
const FILES: [&str; 6] = [
    "metrics/learning_rate",
    "metrics/epoch",
    "metrics/eval_loss",
    "metrics/loss",
    "metrics/eval/mails_loss",
    "meta.yaml",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let path = |name: &&str| format!("0/0123456789abcdef0123456789abcdef/{name}");
    let paths: Vec<String> = FILES.iter().map(path).collect();
    let files = paths.iter().map(String::as_str).zip(data.split(|&byte| byte == 0));
    parsers::check_files(&files.collect::<Vec<_>>(), &ingest::Options::default());
});
