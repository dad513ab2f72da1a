//! Figures as people read them: durations, bytes, counts, shares, plurals.
//!
//! Pure text, shared by the dashboard, the reports and the plain lines, so that a figure looks the same
//! wherever it is shown. No colour and no alignment here.

/// A duration in its two greatest units: `850 ms`, `12.3 s`, `3m 05s`, `1h 02m`, `2d 03h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".into();
    }
    // Rounded before the unit is chosen, so that nothing is shown as 60 s or 1000 ms.
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let s = seconds.round() as u64;
    match s {
        0..3_600 => format!("{}m {:02}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {:02}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {:02}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// Memory in binary units: `512 B`, `1.5 KiB`, `23.4 MiB`, `141 GiB`.
pub fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

/// A count in full, in groups of three: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count in little room, three digits: `950`, `12.3k`, `4.56M`, `7.00B`.
pub fn compact(n: u64) -> String {
    scaled(n as f64, 1000.0, &["", "k", "M", "B", "T"])
}

/// `value` in the greatest unit that leaves it at 1 or more, whole in the smallest unit, else with
/// three digits.
fn scaled(mut value: f64, base: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // What would round up to the base belongs to the next unit.
    while value >= base - 0.5 && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let decimals = match value {
        _ if unit == 0 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{}", units[unit])
}

/// A share as a percentage: `0.034` is `3.4 %`, and whole from 10 % on.
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    let decimals = usize::from(value.abs() < 9.95);
    format!("{value:.decimals$} %")
}

/// A loss: four digits, as `1.234`, `0.0412`, `12.34`; `nan` and `inf` by name.
pub fn loss(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "nan".into(),
        f64::INFINITY => if value > 0.0 { "inf" } else { "-inf" }.into(),
        v if v < 0.99995 => format!("{value:.4}"),
        v if v < 9.9995 => format!("{value:.3}"),
        v if v < 99.995 => format!("{value:.2}"),
        v if v < 99_999.5 => format!("{value:.1}"),
        _ => format!("{value:.1e}"),
    }
}

/// A count with its noun: `1 row`, `2 rows`, `1,204 rows`.
pub fn plural(n: u64, one: &str) -> String {
    let end = if n == 1 { "" } else { "s" };
    format!("{} {one}{end}", count(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts what each input is shown as.
    fn check<T: Copy + std::fmt::Debug>(show: fn(T) -> String, expected: &[(T, &str)]) {
        for (value, text) in expected {
            assert_eq!(show(*value), *text, "{value:?}");
        }
    }

    #[test]
    fn durations() {
        check(
            duration,
            &[
                (0.0, "0 ms"),
                (0.8504, "850 ms"),
                (0.9996, "1.0 s"),
                (12.34, "12.3 s"),
                (59.94, "59.9 s"),
                (59.96, "1m 00s"),
                (185.0, "3m 05s"),
                (3599.6, "1h 00m"),
                (3_725.0, "1h 02m"),
                (86_399.9, "1d 00h"),
                (183_600.0, "2d 03h"),
                (f64::NAN, "?"),
                (-1.0, "?"),
            ],
        );
    }

    #[test]
    fn memory() {
        check(
            bytes,
            &[
                (0, "0 B"),
                (1023, "1023 B"),
                (1024, "1.00 KiB"),
                (1536, "1.50 KiB"),
                (24_536_678, "23.4 MiB"),
                (1_048_575, "1.00 MiB"),
                (141 << 30, "141 GiB"),
                (u64::MAX, "16777216 TiB"),
            ],
        );
    }

    #[test]
    fn counts() {
        check(count, &[(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")]);
        check(
            compact,
            &[
                (950, "950"),
                (999, "999"),
                (1_000, "1.00k"),
                (12_345, "12.3k"),
                (999_999, "1.00M"),
                (7_000_000_000, "7.00B"),
            ],
        );
        check(|n| plural(n, "row"), &[(0, "0 rows"), (1, "1 row"), (1_204, "1,204 rows")]);
    }

    #[test]
    fn shares() {
        check(
            percent,
            &[(0.034, "3.4 %"), (0.0996, "10 %"), (0.1, "10 %"), (1.0, "100 %"), (-0.05, "-5.0 %")],
        );
    }

    #[test]
    fn losses() {
        check(
            loss,
            &[
                (0.041_23, "0.0412"),
                (0.99996, "1.000"),
                (1.2344, "1.234"),
                (12.345, "12.35"),
                (123.45, "123.5"),
                (1e9, "1.0e9"),
                (f64::NAN, "nan"),
                (f64::INFINITY, "inf"),
                (f64::NEG_INFINITY, "-inf"),
            ],
        );
    }
}
