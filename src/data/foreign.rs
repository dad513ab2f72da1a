//! Files that hold no rows: what they are, told by their first bytes, and how rows come of them.

use super::read::is_header;

/// What a file is, and the command or the way that makes rows of it.
type Kind = (&'static str, &'static str);

/// How files begin that people have and that are not text.
const MAGIC: &[(&[u8], Kind)] = &[
    (
        b"PAR1",
        (
            "a Parquet file",
            "python -c 'import pandas; pandas.read_parquet(\"FILE\").to_json(\"rows.jsonl\", orient=\"records\", lines=True)'",
        ),
    ),
    (
        b"ARROW1",
        (
            "an Arrow file",
            "python -c 'import datasets; datasets.Dataset.from_file(\"FILE\").to_json(\"rows.jsonl\")'",
        ),
    ),
    (b"\x1f\x8b", ("compressed by gzip", "unpack it: gunzip -k FILE")),
    (b"\x28\xb5\x2f\xfd", ("compressed by zstd", "unpack it: unzstd FILE")),
    (b"PK\x03\x04", ("a zip archive or a spreadsheet", "unpack it, or save the sheet as CSV")),
];

/// How UTF-16 begins, in either order of its bytes.
const WIDE: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
const OF_WIDE: [&str; 2] = [
    "save it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > rows.jsonl",
    "save it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > rows.csv",
];

/// What the file is, if it is no file of rows. A `table` may begin with any text.
pub(super) fn kind(bytes: &[u8], table: bool) -> Option<Kind> {
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(*kind);
    }
    if WIDE.iter().any(|mark| bytes.starts_with(mark)) {
        return Some(("UTF-16 text", OF_WIDE[usize::from(table)]));
    }
    if !table && bytes.split(|byte| *byte == b'\n').next().is_some_and(is_header) {
        return Some(("CSV by its first line", "give it a name that says so: mv FILE rows.csv"));
    }
    let mut lines =
        bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let prose = |line: &[u8]| line[0].is_ascii_alphabetic() || line[0] >= 0x80;
    // Words on every line, and no line that begins as JSON does.
    let plain = !table && lines.clone().next().is_some() && lines.all(prose);
    plain.then_some((
        "plain text",
        "make a row of each line: jq -Rc 'select(. != \"\") | {text: .}' FILE > rows.jsonl",
    ))
}

#[cfg(test)]
mod tests {
    use crate::data::read::parse;
    use std::path::Path;

    #[test]
    fn a_file_of_another_kind_is_named_with_the_way_out() {
        let told = |file: &str, bytes: &[u8]| parse(Path::new(file), bytes).unwrap_err().to_string();
        for (bytes, expected) in [
            (&b"PAR1\x15\x04\n{\x00"[..], "d: a Parquet file, not rows\n  hint: python -c 'import pandas; "),
            (b"\x1f\x8b\x08\n", "d: compressed by gzip, not rows\n  hint: unpack it: gunzip -k FILE"),
            (b"\xff\xfe{\0\"\0", "d: UTF-16 text, not rows\n  hint: save it as UTF-8: iconv "),
            (b"Dear Sir,\n\nno.\n", "d: plain text, not rows\n  hint: make a row of each line: jq "),
        ] {
            let error = told("d", bytes);
            assert!(error.starts_with(expected), "{error}");
        }
        let named =
            "d.jsonl: CSV by its first line, not rows\n  hint: give it a name that says so: mv FILE rows.csv";
        assert_eq!(told("d.jsonl", b"prompt,completion\nHow,So\n"), named);
        assert!(told("d.csv", b"\xff\xfep\0").ends_with(" FILE > rows.csv"));
        assert!(told("d.csv", b"text\n\xff\n").ends_with(" FILE > rows.csv"));
        assert!(told("d.csv", b"PK\x03\x04").contains("a spreadsheet"), "a table by its name alone");
        assert!(
            told("d", b"Dear\n{\"text\": \"a\"}\n").starts_with("d:1: not valid JSON"),
            "rows with a fault"
        );
    }
}
