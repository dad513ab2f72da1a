//! Tokenizers from elsewhere: what the library that reads them would fall over becomes an error.
//!
//! It takes a table of replaced characters (`Precompiled`, of `SentencePiece`) at its word. What text becomes is for
//! `encode`.

use memchr::memmem;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokenizers::{Encoding, Tokenizer};

/// Reads a `tokenizer.json`.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn load(bytes: &[u8]) -> Result<Tokenizer, String> {
    // Large files take long to parse, and few have such a table.
    if memmem::find(bytes, b"Precompiled").is_some() {
        let file: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        tables(&file["normalizer"])?;
    }
    guarded(|| Tokenizer::from_bytes(bytes))
}

/// The tokens of a text, without those that a post-processor adds.
///
/// # Errors
/// When the tokenizer has none for it, or its tables lead nowhere.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Encoding, String> {
    guarded(|| tokenizer.encode(text, false))
}

fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    // Nothing that the closure has touched is used again where it panics but the tokenizer, which only reads.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("its tables contradict themselves".into()),
    }
}

/// Says that the tables of a normalizer, or of one in a sequence, are as long as they say.
fn tables(normalizer: &Value) -> Result<(), String> {
    if let Some(parts) = normalizer["normalizers"].as_array() {
        return parts.iter().try_for_each(tables);
    }
    if normalizer["type"] != "Precompiled" {
        return Ok(());
    }
    let table = normalizer["precompiled_charsmap"].as_str().unwrap_or_default();
    // Four letters are three bytes; the first four bytes are the length of what follows.
    let room = (table.len() / 4 * 3).saturating_sub(4);
    match first_u32(table.as_bytes()) {
        Some(length) if length >= 4 && length as usize <= room => Ok(()),
        _ => Err("the table of a Precompiled normalizer is empty or cut short".into()),
    }
}

/// The first four bytes that base64 letters stand for, as a number, little end first.
fn first_u32(letters: &[u8]) -> Option<u32> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = letters.get(..6)?.iter().try_fold(0_u64, |bits, letter| {
        let value = ALPHABET.iter().position(|known| known == letter)?;
        Some(bits << 6 | value as u64)
    })?;
    // Six letters are 36 bits, of which the first 32 are wanted.
    Some(((bits >> 4) as u32).swap_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tokenizer of the embedded model with this normalizer.
    fn with(normalizer: &str) -> Result<Tokenizer, String> {
        let plain = include_str!("../model/base/tokenizer.json");
        let mut file: Value = serde_json::from_str(plain).unwrap();
        file["normalizer"] = serde_json::from_str(normalizer).unwrap();
        load(file.to_string().as_bytes())
    }

    #[test]
    fn tables_that_lie_are_errors() {
        for table in ["null", "\"\"", "\"AAAAAA==\"", "\"////fwAA\""] {
            let one = format!(r#"{{"type": "Precompiled", "precompiled_charsmap": {table}}}"#);
            assert!(with(&one).unwrap_err().contains("empty or cut short"), "{table}");
            let several = format!(r#"{{"type": "Sequence", "normalizers": [{{"type": "NFC"}}, {one}]}}"#);
            assert!(with(&several).is_err(), "{table} in a sequence");
        }
        assert_eq!(first_u32(b"AQIDBA=="), Some(0x0403_0201));
    }

    #[test]
    fn a_table_that_leads_nowhere_is_an_error_of_the_text() {
        // One unit, whose offset is far beyond it: 4, then 0x7ffffc00.
        let tokenizer = with(r#"{"type": "Precompiled", "precompiled_charsmap": "BAAAAAD8/38="}"#).unwrap();
        assert_eq!(encode(&tokenizer, "a").unwrap_err(), "its tables contradict themselves");
    }
}
