//! Figures as people read them: durations and counts.

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
        for (n, expected) in [(950, "950"), (8149, "8.1k"), (312_900, "312k"), (3_400_000, "3.4M")] {
            assert_eq!(count(n), expected);
        }
    }
}
