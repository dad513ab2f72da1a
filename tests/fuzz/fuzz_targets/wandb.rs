//! Offline W&B files: bytes as they are, and as the data of chunks whose checksums are right.
#![no_main]

mod parsers;
pub use parsers::{event, ingest};

const NAME: &str = "run-1.wandb";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    parsers::check(NAME, data);
    let mut file = b":W&B\xe1\xbe\x00".to_vec();
    for chunk in parsers::split(data) {
        // The first byte is the type; now and then it is none.
        let (kind, chunk) = chunk.split_first().map_or((1, chunk), |(kind, rest)| (1 + kind % 5, rest));
        let room = 32_768 - file.len() % 32_768;
        if room < 7 + chunk.len() {
            file.resize(file.len() + room, 0);
        }
        let checked = [&[kind], chunk].concat();
        file.extend(crc32fast::hash(&checked).to_le_bytes());
        file.extend((chunk.len() as u16).to_le_bytes());
        file.extend(checked);
    }
    parsers::check(NAME, &file);
});
