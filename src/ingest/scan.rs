//! Numbers and words in lines, found by hand: no pattern engine in the path of every line.

#![expect(
    clippy::inline_always,
    reason = "what is searched for is known where these are called, and only there"
)]

use memchr::memchr;

/// The powers of ten that a double holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Where the first `needle` is. For the many short looks at every line: a general search would take
/// longer to prepare than to run. Inlined, so that the choice below is made by the compiler.
#[inline(always)]
pub fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    // A byte of the needle that is rare in logs.
    let common = |byte: u8| match byte {
        b' ' | b'.' | b'0'..=b'9' => 4,
        b'a' | b'e' | b'i' | b'n' | b'o' | b'r' | b's' | b't' | b'l' => 3,
        b'c' | b'd' | b'g' | b'h' | b'm' | b'p' | b'u' | b':' | b'-' => 2,
        b'a'..=b'z' | b'=' => 1,
        _ => 0,
    };
    let (mut rare, mut least) = (0, u8::MAX);
    for (at, &byte) in needle.iter().enumerate() {
        if common(byte) < least {
            (rare, least) = (at, common(byte));
        }
    }
    let mut from = rare;
    loop {
        let at = from + memchr(*needle.get(rare)?, text.get(from..)?)?;
        if text[at - rare..].starts_with(needle) {
            return Some(at - rare);
        }
        from = at + 1;
    }
}

/// Whether `needle` occurs.
#[inline(always)]
pub fn has(text: &[u8], needle: &[u8]) -> bool {
    find(text, needle).is_some()
}

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
    // The digits as one whole number, which is all of them up to 15; those behind the point are counted.
    let (mut figures, mut whole, mut end) = (0_usize, 0_u64, 0);
    let mut digits = |at: &mut usize| {
        let from = *at;
        for byte in &body[from..] {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            whole = whole.wrapping_mul(10).wrapping_add(u64::from(digit));
            *at += 1;
        }
        figures += *at - from;
        *at - from
    };
    digits(&mut end);
    let mut fraction = 0;
    if body.get(end) == Some(&b'.') {
        end += 1;
        fraction = digits(&mut end);
    }
    if figures == 0 {
        return None;
    }
    let mut power = 0_i32;
    if matches!(body.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(body.get(end + 1), Some(b'-' | b'+')));
        let digits =
            body[(end + 1 + signed).min(body.len())..].iter().take_while(|byte| byte.is_ascii_digit());
        let (count, value) = digits.fold((0, 0_i32), |(count, value), digit| {
            (count + 1, value.saturating_mul(10).saturating_add(i32::from(digit - b'0')))
        });
        if count > 0 {
            power = if body[end + 1] == b'-' { -value } else { value };
            end += 1 + signed + count;
        }
    }
    // Nearly all are short, and exact by one division (Clinger, 1990); the others go the long way.
    let power = power.saturating_sub(i32::try_from(fraction).unwrap_or(i32::MAX));
    let ten = TENS.get(power.unsigned_abs() as usize).filter(|_| figures <= 15);
    let value = match ten {
        Some(ten) => {
            // Signed, since for those processors have an instruction.
            let whole = whole.cast_signed() as f64;
            let value = if power < 0 { whole / ten } else { whole * ten };
            if text[0] == b'-' { -value } else { value }
        }
        None => std::str::from_utf8(&text[..sign + end]).ok()?.parse().ok()?,
    };
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

/// The whole number that `text` begins with, whose thousands may be set apart by commas (`1,200`), and its length.
pub fn grouped(text: &[u8]) -> Option<(u64, usize)> {
    let (mut value, mut length) = whole(text)?;
    while length <= 15
        && let Some([b',', digits @ ..]) = text.get(length..)
        && let Some((next, 3)) = whole(digits)
    {
        value = value * 1000 + next;
        length += 4;
    }
    Some((value, length))
}

/// What follows the first `needle`.
#[inline(always)]
pub fn after<'a>(text: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    find(text, needle).map(|at| &text[at + needle.len()..])
}

/// The number that `text` begins with, as half of the world writes it, `2,5`, and its length; the comma is known to
/// be at `comma`.
pub fn decimal_comma(text: &[u8], comma: usize) -> Option<(f64, usize)> {
    let mut copy = [0; 32];
    let copy = copy.get_mut(..text.len().min(32))?;
    copy.copy_from_slice(&text[..copy.len()]);
    *copy.get_mut(comma)? = b'.';
    number(copy)
}

/// The number that follows the first `needle`, spaces and quotes between them allowed.
#[inline(always)]
pub fn number_after(text: &[u8], needle: &[u8]) -> Option<f64> {
    number(trim_quotes(after(text, needle)?)).map(|(value, _)| value)
}

/// The whole number that follows the first `needle`, spaces between them allowed.
#[inline(always)]
pub fn whole_after(text: &[u8], needle: &[u8]) -> Option<u64> {
    whole(after(text, needle)?.trim_ascii_start()).map(|(value, _)| value)
}

/// Where a bar of tqdm stands: `  4%|▍   | 6/150 [00:01<00:20]` is `(6, 150)`. Bars with words
/// before them are of other things than training, but for `Train:` and `Training:`.
pub fn bar(line: &[u8]) -> Option<(u64, u64)> {
    let percent = find(line, b"%|")?;
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

/// The words of a name without what separates it from its number.
pub fn trim(mut name: &[u8]) -> &[u8] {
    let edge = |byte: &u8| {
        matches!(
            byte,
            b' ' | b'\t' | b':' | b'=' | b'[' | b'(' | b'"' | b'\'' | b'-' | b'#' | b'@' | b'<' | b'>' | b'*'
        )
    };
    while let [first, rest @ ..] = name
        && edge(first)
    {
        name = rest;
    }
    while let [rest @ .., last] = name
        && edge(last)
    {
        name = rest;
    }
    // `Epoch 3 - loss` leaves a dash; a colon inside belongs to the words before.
    match memchr(b'\n', name) {
        Some(end) => &name[..end],
        None => name,
    }
}

fn trim_quotes(text: &[u8]) -> &[u8] {
    let blank = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\'' | b'"')).count();
    &text[blank..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_is_found_wherever_it_is() {
        for (text, needle, at) in [
            ("a loss", "loss", Some(2)),
            ("los los loss", "loss", Some(8)),
            ("  4%|", "%|", Some(3)),
            ("%%|", "%|", Some(1)),
            ("{'", "{'", Some(0)),
            ("los", "loss", None),
            ("ss", "loss", None),
            ("", "x", None),
        ] {
            assert_eq!(find(text.as_bytes(), needle.as_bytes()), at, "{needle} in {text}");
        }
    }

    #[test]
    fn short_numbers_are_what_the_long_way_makes_of_them() {
        for text in [
            "0.1",
            "2.675",
            "-0.3",
            "123456789.1234567",
            "9007199254740993",
            "0.0000001",
            "1234567890123456",
            "-0",
            "1e5",
            "1.85e-05",
            "6.37E+06",
            "2e-22",
            "4.9e-324",
            "123456789012345e22",
            "1e99999999999",
            "3.14159265358979323846",
        ] {
            let (value, length) = number(text.as_bytes()).unwrap();
            assert_eq!(
                (value.to_bits(), length),
                (text.parse::<f64>().unwrap().to_bits(), text.len()),
                "{text}"
            );
        }
    }

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
