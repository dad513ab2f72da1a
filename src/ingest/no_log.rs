//! Files that are no log, told by their beginnings: weights, pictures, archives, pages, and what was
//! made of a log: the reports of `tune` itself, whose losses would be read twice. Nothing of them is read.

use super::{Parsed, Reader, scan};

const REPORT: &str = "a report of tune, no log";
const FOUND: &str = "what tune check found, no log";
const CURVES: &str = "the curves of a run as tune copies them, no log";
/// What files are called here that were made of a log.
pub const MADE_OF_A_LOG: [&str; 3] = [REPORT, FOUND, CURVES];

/// What a file that begins so is, where it is certainly no log.
pub(super) fn sniff(head: &[u8]) -> Option<&'static str> {
    const KINDS: &[(&[u8], &str)] = &[
        (b"GGUF", "a GGUF model, no log"),
        (b"PK\x03\x04", "a zip archive (PyTorch weights are one), no log"),
        (b"\x1f\x8b", "a gzip archive: unpack it first"),
        (b"(\xb5/\xfd", "a zstd archive: unpack it first"),
        (b"\xfd7zXZ", "an xz archive: unpack it first"),
        (b"\x89PNG", "a picture, no log"),
        (b"\xff\xd8\xff", "a picture, no log"),
        (b"GIF8", "a picture, no log"),
        (b"%PDF", "a PDF, no log"),
        (b"\x7fELF", "a program, no log"),
        (b"PAR1", "a Parquet table, no log"),
        (b"ARROW1", "an Arrow table, no log"),
        (b"\x89HDF", "an HDF5 file, no log"),
        (b"\x93NUMPY", "a NumPy array, no log"),
        (b"SQLite format 3", "an SQLite database, no log"),
        (b"\x80\x02", "a Python pickle, no log"),
        (b"\x80\x04", "a Python pickle, no log"),
        (b"\x80\x05", "a Python pickle, no log"),
    ];
    // The length of a header of JSON, then that.
    let safetensors = head.get(5..10).is_some_and(|bytes| bytes == b"\0\0\0{\"");
    let known = KINDS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, kind)| *kind);
    known.or(safetensors.then_some("a safetensors file, no log"))
}

/// What a file of text is whose first lines are these, where it is certainly no log.
pub(super) fn sniff_text(lines: &[u8]) -> Option<&'static str> {
    const KINDS: &[(&[u8], &str)] = &[
        (b"series,step,epoch,seconds,loss,", CURVES),
        (b"{\"format\":1,\"sources\":[", FOUND),
        (b"| run | verdict | best eval loss |", FOUND),
        (b"<svg", "a picture, no log"),
        (b"<?xml", "XML, no log"),
    ];
    let begins = |words: &[u8]| lines.get(..words.len()).is_some_and(|head| head.eq_ignore_ascii_case(words));
    if let Some((_, kind)) = KINDS.iter().find(|(words, _)| begins(words)) {
        return Some(kind);
    }
    // Lines that `tune check` prints: for people, and for GitHub.
    let found = scan::has(lines, b", evaluations: ") && scan::has(lines, b", train figures: ")
        || lines.starts_with(b"::") && scan::has(lines, b",title=tune%3A");
    let page = begins(b"<!doctype html") || begins(b"<html");
    let inside = lines.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    let report =
        scan::has(lines, b"\n**Verdict: ") || inside.is_some_and(|rest| rest.starts_with(b"\"advice\": ["));
    match (found, page, report) {
        (true, ..) => Some(FOUND),
        (_, true, _) => Some("a web page, no log"),
        (.., true) => Some(REPORT),
        _ => None,
    }
}

/// Says once what the file is.
pub(super) struct NoLog {
    kind: Option<&'static str>,
}

impl NoLog {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind: Some(kind) }
    }
}

impl Reader for NoLog {
    fn push(&mut self, _: &[u8], out: &mut Parsed) {
        if let Some(kind) = self.kind.take() {
            out.skipped.add(1, kind);
        }
    }

    fn is_useless(&self) -> bool {
        true
    }

    fn finish(&mut self, _: &mut Parsed) {}

    fn trainer(&self) -> &'static str {
        "text"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_pictures_are_known_and_logs_are_not() {
        let tensors = b"\x10\x03\0\0\0\0\0\0{\"__metadata__\":{}}";
        assert_eq!(sniff(tensors), Some("a safetensors file, no log"));
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n"), Some("a picture, no log"));
        for text in [&b"{\"step\": 1}"[..], b"Iter 1: Val loss 2.5", b"", b"PK", b"\0\0\0\0"] {
            assert_eq!(sniff(text), None);
        }
    }

    #[test]
    fn what_was_made_of_a_log_is_known() {
        for (lines, kind) in [
            ("<!doctype html>\n", Some("a web page, no log")),
            ("# run.log\n\n**Verdict: overfitting (severe)**\n", Some("a report of tune, no log")),
            ("{\n  \"advice\": [\n", Some("a report of tune, no log")),
            ("{\n  \"best_metric\": 1.5,\n", None),
            ("# epoch train_loss\n1 2.5\n2 2.4\n", None),
            (
                "\u{2713} healthy  a.log  trl, evaluations: 3, train figures: 9\n",
                Some("what tune check found, no log"),
            ),
        ] {
            assert_eq!(sniff_text(lines.as_bytes()), kind, "{lines}");
        }
    }
}
