//! Numbers and words in lines, found by hand: no pattern engine in the path of every line.

use memchr::{memchr, memmem};

/// The number that `text` begins with, and its length. Also `nan`, `inf`, `Infinity` in any case.
pub fn number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let body = &text[sign..];
    if !body.first()?.is_ascii_digit() && body[0] != b'.' {
        let word = body.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let value = match body.get(..word)? {
            word if word.eq_ignore_ascii_case(b"nan") => f64::NAN,
            word if word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity") => {
                if text[0] == b'-' { f64::NEG_INFINITY } else { f64::INFINITY }
            }
            _ => return None,
        };
        return Some((value, sign + word));
    }
    let digits = |from: usize| body[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = digits(0);
    if body.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if end + fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    }
    if matches!(body.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(body.get(end + 1), Some(b'-' | b'+')));
        let exponent = body.get(end + 1 + signed..).map_or(0, |_| digits(end + 1 + signed));
        if exponent > 0 {
            end += 1 + signed + exponent;
        }
    }
    let value = std::str::from_utf8(&text[..sign + end]).ok()?.parse().ok()?;
    Some((value, sign + end))
}

/// The whole number that `text` begins with, and its length.
pub fn whole(text: &[u8]) -> Option<(u64, usize)> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > 18 {
        return None;
    }
    let value = text[..digits].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some((value, digits))
}

/// What follows the first `needle`.
pub fn after<'a>(text: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    memmem::find(text, needle).map(|at| &text[at + needle.len()..])
}

/// The number that follows the first `needle`, spaces and quotes between them allowed.
pub fn number_after(text: &[u8], needle: &[u8]) -> Option<f64> {
    number(trim_quotes(after(text, needle)?)).map(|(value, _)| value)
}

/// The whole number that follows the first `needle`, spaces between them allowed.
pub fn whole_after(text: &[u8], needle: &[u8]) -> Option<u64> {
    whole(after(text, needle)?.trim_ascii_start()).map(|(value, _)| value)
}

/// Where a bar of tqdm stands: `  4%|▍   | 6/150 [00:01<00:20]` is `(6, 150)`. Bars with words
/// before them are of other things than training, but for `Train:` and `Training:`.
pub fn bar(line: &[u8]) -> Option<(u64, u64)> {
    let percent = memmem::find(line, b"%|")?;
    let head = line[..percent].trim_ascii();
    let digits = head.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let words = head[..head.len() - digits].trim_ascii();
    if digits == 0 || !matches!(words, b"" | b"Train:" | b"Training:") {
        return None;
    }
    let rest = &line[percent + 2..];
    let rest = rest[memchr(b'|', rest)? + 1..].trim_ascii_start();
    let (done, digits) = whole(rest)?;
    let (all, _) = whole(rest[digits..].strip_prefix(b"/")?)?;
    Some((done, all))
}

fn trim_quotes(text: &[u8]) -> &[u8] {
    let blank = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\'' | b'"')).count();
    &text[blank..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_logs_write_them() {
        for (text, value, length) in [
            ("1.5, ", 1.5, 3),
            ("-2e-05}", -2e-5, 6),
            ("3e", 3.0, 1),
            ("7.", 7.0, 2),
            (".5x", 0.5, 2),
            ("-inf", f64::NEG_INFINITY, 4),
            ("Infinity", f64::INFINITY, 8),
            ("6.37e+06'", 6.37e6, 8),
        ] {
            assert_eq!(number(text.as_bytes()), Some((value, length)), "{text}");
        }
        assert!(number(b"NaN,").is_some_and(|(value, length)| value.is_nan() && length == 3));
        for text in ["", "-", ".", "x", "nano", "infer", "-.e5"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
        assert_eq!(whole(b"12/96"), Some((12, 2)));
        assert_eq!(whole(b"99999999999999999999"), None);
    }
}
