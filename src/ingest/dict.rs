//! One flat `{...}` on a line, as Python prints it or as JSON has it, into named figures.
//!
//! NaN and Infinity, which JSON does not know, numbers in quotes, `None` and `tensor(1.5)` are all
//! read; what is nested is passed over.

use super::rows::Cell;
use super::scan;
use memchr::memchr2;

/// Calls `each` with every name and figure of the dictionary that `text` begins with; false where it
/// is none, or where it is cut short.
pub fn pairs<'a>(text: &'a [u8], mut each: impl FnMut(&'a [u8], Cell<'a>)) -> bool {
    let Some(mut rest) = text.strip_prefix(b"{") else { return false };
    loop {
        rest = rest.trim_ascii_start();
        match rest.first() {
            Some(b'}') => return true,
            Some(b',') => {
                rest = &rest[1..];
                continue;
            }
            _ => {}
        }
        let Some((name, after)) = quoted(rest) else { return false };
        let Some(after) = after.trim_ascii_start().strip_prefix(b":") else { return false };
        rest = after.trim_ascii_start();
        match rest.first() {
            Some(b'"' | b'\'') => {
                let Some((value, after)) = quoted(rest) else { return false };
                each(name, Cell::of(value));
                rest = after;
            }
            Some(b'{' | b'[') => match nested(rest) {
                Some(length) => rest = &rest[length..],
                None => return false,
            },
            Some(_) => {
                // Nearly all are numbers, and end where the number does.
                if let Some((value, length)) = scan::number(rest)
                    && matches!(rest.get(length), Some(b',' | b'}'))
                {
                    each(name, Cell::Number(value));
                    rest = &rest[length..];
                    continue;
                }
                let length = bare(rest);
                if length == rest.len() {
                    return false;
                }
                let value = rest[..length].trim_ascii_end();
                match Cell::of(value) {
                    Cell::Words(_) => each(name, call(value).unwrap_or(Cell::Words(value))),
                    number @ Cell::Number(_) => each(name, number),
                }
                rest = &rest[length..];
            }
            None => return false,
        }
    }
}

/// The length of a value without quotes, up to the comma or brace that ends it.
fn bare(text: &[u8]) -> usize {
    let mut depth = 0_u32;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' | b'}' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// The figure in `tensor(1.5, device='cuda:0')` or `np.float64(1.5)`.
fn call(value: &[u8]) -> Option<Cell<'_>> {
    let (number, _) = scan::number(scan::after(value, b"(")?)?;
    Some(Cell::Number(number))
}

/// A string in either quotes, and what follows it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let quote = *text.first().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let mut at = 1;
    loop {
        at += memchr2(quote, b'\\', text.get(at..)?)?;
        if text[at] == quote {
            return Some((&text[1..at], &text[at + 1..]));
        }
        at += 2;
    }
}

/// The length of a value in brackets, strings in it respected.
fn nested(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_u32, 0);
    while at < text.len() {
        match text[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'"' | b'\'' => {
                let (inner, _) = quoted(&text[at..])?;
                at += inner.len() + 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn read(text: &str) -> (bool, String) {
        let mut out = String::new();
        let whole = pairs(text.as_bytes(), |name, cell| {
            let name = String::from_utf8_lossy(name);
            let _ = match cell {
                Cell::Number(value) => write!(out, "{name}={value} "),
                Cell::Words(words) => write!(out, "{name}:{} ", String::from_utf8_lossy(words)),
            };
        });
        (whole, out.trim_end().into())
    }

    #[test]
    fn both_dialects() {
        for (text, expected) in [
            (r"{'loss': '3.918', 'epoch': 0.5} [00:01]", "loss=3.918 epoch=0.5"),
            (r"{'loss': nan, 'grad_norm': tensor(1.5, device='cuda:0')}", "loss=NaN grad_norm=1.5"),
            (
                r#"{"step": 5, "eval_loss": NaN, "x": null, "t": "0:00:32"}"#,
                "step=5 eval_loss=NaN x:null t:0:00:32",
            ),
            (r#"{"a": {"b": "}", "c": [1]}, "d": -Infinity }"#, "d=-inf"),
            (r#"{"a\"b": 1}"#, r#"a\"b=1"#),
            ("{}", ""),
        ] {
            assert_eq!(read(text), (true, expected.into()), "{text}");
        }
        for text in
            ["", "{", "{'a", "{'a': ", "{'a': 1", "{'a': 1,", "{'a': {'b': 1}", "{a: 1}", "{1}", "['a']"]
        {
            assert!(!read(text).0, "{text}");
        }
    }
}
