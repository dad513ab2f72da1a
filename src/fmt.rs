//! Figures as people read them: durations, counts, losses.

use std::fmt::Display;

/// `42s`, `1m 20s`, `2h 05m`, `3d 04h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".into();
    }
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d {:02}h", s / 86_400, s / 3600 % 24),
    }
}

/// `950`, `8.1k`, `312k`, `3.4M`, `70B`: three digits at most.
pub fn count(n: u64) -> String {
    let scaled =
        [(1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")].into_iter().find(|(unit, _)| n >= *unit);
    match scaled {
        None => n.to_string(),
        Some((unit, letter)) if n < 10 * unit => format!("{:.1}{letter}", n as f64 / unit as f64),
        Some((unit, letter)) => format!("{}{letter}", n / unit),
    }
}

/// So many of what is called `one`: `1 row`, `3 rows`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(n: N, one: &str) -> String {
    if n == N::from(1) { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// A short time: `0.8 ms`, `420 ms`, `3.2 s`, and from a minute on as [`duration`] has it.
pub fn brief(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() || s >= 60.0 => duration(s),
        s if s >= 1.0 => format!("{s:.1} s"),
        s if s >= 0.01 => format!("{:.0} ms", s * 1e3),
        s => format!("{:.1} ms", s.max(0.0) * 1e3),
    }
}

/// `512 B`, `31 MiB`, `1.5 GiB`: three digits at most.
pub fn bytes(n: u64) -> String {
    let unit =
        [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")].into_iter().find(|(size, _)| n >= *size);
    match unit {
        None => format!("{n} B"),
        Some((size, name)) if n < 10 * size => format!("{:.1} {name}", n as f64 / size as f64),
        Some((size, name)) => format!("{} {name}", n / size),
    }
}

/// Text as XML and HTML have it, between tags and in attributes.
pub fn xml(text: &str) -> String {
    let legal = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(legal).fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

/// A moment since the start of a run: `0:48`, `12:05`, `3:05:09`.
pub fn clock(seconds: f64) -> String {
    let s = if seconds.is_finite() { seconds.max(0.0) as u64 } else { 0 };
    match s {
        0..3600 => format!("{}:{:02}", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
    }
}

/// A loss, or a difference of some, in fixed decimals; where they would show no digit of it, in three digits.
pub fn fixed(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let shows = plain.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    match value.abs() {
        size if shows || size == 0.0 || !size.is_finite() => plain,
        size if size >= 1e-4 => format!("{value:.0$}", (2.0 - size.log10().floor()) as usize),
        _ => format!("{value:.2e}"),
    }
}

/// A loss: three decimals, more where it is tiny, fewer where it is huge.
pub fn loss(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "nan".into()
    } else if size >= 1e5 {
        format!("{value:.1e}")
    } else if size >= 1e3 {
        format!("{value:.0}")
    } else if size >= 1e2 {
        format!("{value:.1}")
    } else if size >= 1e-2 || size == 0.0 {
        format!("{value:.3}")
    } else if size >= 1e-4 {
        format!("{value:.5}")
    } else {
        format!("{value:.1e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        let durations =
            [(0.4, "0s"), (80.0, "1m 20s"), (7500.0, "2h 05m"), (273_600.0, "3d 04h"), (f64::NAN, "?")];
        for (seconds, expected) in durations {
            assert_eq!(duration(seconds), expected);
        }
        assert_eq!([0, 1, 2].map(|n: u64| counted(n, "row")), ["0 rows", "1 row", "2 rows"]);
        for (n, expected) in [(950, "950"), (8149, "8.1k"), (312_900, "312k"), (3_400_000, "3.4M")] {
            assert_eq!(count(n), expected);
        }
    }

    #[test]
    fn short_times_sizes_and_markup() {
        assert_eq!([0.0004, 0.42, 3.21, 80.0].map(brief), ["0.4 ms", "420 ms", "3.2 s", "1m 20s"]);
        assert_eq!([512, 33_000_000, 1 << 30].map(bytes), ["512 B", "31 MiB", "1.0 GiB"]);
        assert_eq!(xml("a<b> & \"c\" 'd'\u{7}"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
    }

    #[test]
    fn moments_and_losses() {
        assert_eq!([48.9, 725.0, 11_109.0].map(clock), ["0:48", "12:05", "3:05:09"]);
        let shown = [2.3449, 0.0006, 0.000_312_34, 0.000_012_345, -2e-7, 0.0, f64::NAN].map(|x| fixed(x, 3));
        assert_eq!(shown, ["2.345", "0.001", "0.000312", "1.23e-5", "-2.00e-7", "0.000", "NaN"]);
        assert_eq!([0.000_312_34, 0.000_012_345].map(|x| fixed(x, 4)), ["0.0003", "1.23e-5"]);
        assert_eq!(fixed(0.01, 1), "0.0100");
        let shown = [2.3449, 0.0421, 0.00421, 0.000_021, 123.46, 12_345.6, 3.2e7, f64::NAN].map(loss);
        assert_eq!(shown, ["2.345", "0.042", "0.00421", "2.1e-5", "123.5", "12346", "3.2e7", "nan"]);
    }
}
