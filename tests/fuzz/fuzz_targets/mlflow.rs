//! Metrics of `MLflow`.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| parsers::check("0/0123456789abcdef0123456789abcdef/metrics/eval_loss", data));
