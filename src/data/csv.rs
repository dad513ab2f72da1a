//! Tables of rows as spreadsheets write them: CSV by RFC 4180, separated by comma, semicolon or tab.
//!
//! The first line names the columns, which are the keys of a row. What a row means is told in `read`.
//!
//! Our own reader, for one error: a quote that is never closed swallows all rows after it, and the `csv` crate
//! reads that without a word.

use super::error::RowFault;
use serde_json::{Map, Value};
use std::path::Path;

/// Whether the name of a file says that it is a table.
pub(super) fn is_table(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["csv", "tsv"].iter().any(|table| extension.eq_ignore_ascii_case(table))
}

/// A row as an object, or what is wrong with it, with the line at which it begins, counted from 1.
pub(super) type Line = (usize, Result<Map<String, Value>, RowFault>);

/// The rows under the first line.
pub(super) fn rows(bytes: &[u8]) -> Vec<Line> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = 1 + memchr::memchr_iter(b'\n', &bytes[..error.valid_up_to()]).count();
            return vec![(line, Err(RowFault::NotUtf8))];
        }
    };
    let mut records = Records { text, line: 1, separator: separator(text) };
    let Some((_, Ok(columns))) = records.next() else { return Vec::new() };
    let row = |(line, fields): (usize, Result<Vec<String>, RowFault>)| {
        let fields = fields.and_then(|fields| {
            if fields.len() != columns.len() {
                return Err(RowFault::Fields { columns: columns.len(), found: fields.len() });
            }
            Ok(columns.iter().cloned().zip(fields.into_iter().map(Value::String)).collect())
        });
        (line, fields)
    };
    records.map(row).collect()
}

/// The one that occurs most often in the first line.
fn separator(text: &str) -> char {
    let first = text.lines().next().unwrap_or_default();
    // Of equals the last wins: a comma, where there is a single column.
    [';', '\t', ','].into_iter().max_by_key(|c| first.matches(*c).count()).unwrap_or(',')
}

struct Records<'a> {
    /// What is not read yet.
    text: &'a str,
    line: usize,
    separator: char,
}

impl Records<'_> {
    /// The fields of the next record.
    fn fields(&mut self) -> Result<Vec<String>, RowFault> {
        let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = self.text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            self.line += usize::from(c == '\n');
            match c {
                '"' if quoted && chars.next_if(|(_, next)| *next == '"').is_some() => field.push('"'),
                '"' if quoted => quoted = false,
                '"' if field.is_empty() => quoted = true,
                c if c == self.separator && !quoted => fields.push(std::mem::take(&mut field)),
                '\r' if !quoted && chars.peek().is_some_and(|(_, next)| *next == '\n') => {}
                '\n' if !quoted => {
                    self.text = &self.text[at + 1..];
                    fields.push(field);
                    return Ok(fields);
                }
                c => field.push(c),
            }
        }
        self.text = "";
        fields.push(field);
        if quoted { Err(RowFault::OpenQuote) } else { Ok(fields) }
    }
}

impl Iterator for Records<'_> {
    type Item = (usize, Result<Vec<String>, RowFault>);

    /// Blank lines are passed over.
    fn next(&mut self) -> Option<Self::Item> {
        while !self.text.is_empty() {
            let line = self.line;
            let fields = self.fields();
            if fields.as_ref().is_ok_and(|fields| fields.iter().all(|field| field.trim().is_empty())) {
                continue;
            }
            return Some((line, fields));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let one = |(line, row): Line| match row {
            Ok(row) => format!("{line} {}", Value::Object(row)),
            Err(fault) => format!("{line} {fault}"),
        };
        rows(text.as_bytes()).into_iter().map(one).collect()
    }

    #[test]
    fn fields_are_read_as_spreadsheets_write_them() {
        let text = "prompt,completion\r\n\"Say \"\"hi\"\", twice\",\"a\nb\"\r\n\r\nplain,5' 3\"\n";
        assert_eq!(
            read(text),
            [
                r#"2 {"completion":"a\nb","prompt":"Say \"hi\", twice"}"#,
                r#"5 {"completion":"5' 3\"","prompt":"plain"}"#
            ]
        );
        for text in ["a;b\n1,5;2", "a\tb\n1,5\t2"] {
            assert_eq!(read(text), [r#"2 {"a":"1,5","b":"2"}"#]);
        }
        assert_eq!(read("text\none, two"), ["2 has 2 fields, and the first line names 1"]);
    }

    #[test]
    fn what_is_broken_is_named_with_its_line() {
        assert_eq!(
            read("a,b\n1\n2,3\n"),
            ["2 has 1 field, and the first line names 2", r#"3 {"a":"2","b":"3"}"#]
        );
        assert_eq!(
            read("a,b\n1,2\n3,\"4\n5,6\n"),
            [r#"2 {"a":"1","b":"2"}"#, "3 a quote is opened and never closed"]
        );
        assert_eq!(rows(b"a,b\n1,\xff\n"), [(2, Err(RowFault::NotUtf8))]);
        assert!(read("").is_empty() && read("a,b\n").is_empty());
    }
}
