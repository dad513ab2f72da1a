//! The figures of anyone's line: every number with the words that name it, and the sides named between them.
//! Numbers that stand between a name and its figure are told apart in [`super::between`].

use super::between::{Between, Label, between, explained, is_joint, last_word, place};
use super::names::{self, Side, What};
use super::pairs;
use super::scan::{self, trim};

/// A longer line is prose or data.
pub(super) const LONGEST: usize = 2000;
/// A part of a line.
pub(super) enum Piece<'a> {
    /// A number that words stand before, and those words.
    Figure(&'a [u8], f64),
    /// What may be the mean so far of the figure that comes next, `Loss 2.46 (2.50)`, and whether it is called so.
    Mean(f64, bool),
    /// The side of what follows: `[valid]`, `val: {`, `Train |`.
    Side(Side),
}

/// What a number may stand behind.
const OPENS: &[u8] = b" \t,:=[('\"<>#@-";

/// The side that some words name, if they do nothing else.
pub(super) fn heading(words: &[u8]) -> Option<Side> {
    names::side(trim(words))
}

/// The side in brackets right behind a figure, which is that of the figure: `loss 1.3 (val), loss 1.2 (train)`.
fn bracketed(rest: &[u8]) -> Option<Side> {
    let inner = rest.trim_ascii_start().strip_prefix(b"(")?;
    heading(&inner[..inner.iter().position(|byte| *byte == b')')?])
}

/// The number in brackets right behind a figure, which may be its mean so far: `2.46 (2.50)`; and whether that is said:
/// `2.46 (avg 2.50)`.
fn mean(rest: &[u8]) -> Option<(f64, bool)> {
    let inner = rest.trim_ascii_start().strip_prefix(b"(")?;
    let words = inner.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (word, rest) = inner.split_at(words);
    let known = [b"avg".as_slice(), b"ave", b"average", b"mean", b""];
    if !known.iter().any(|known| word.eq_ignore_ascii_case(known)) {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b":").or(rest.strip_prefix(b"=")).unwrap_or(rest).trim_ascii_start();
    let (value, length) = scan::number(rest)?;
    rest[length..].trim_ascii_start().starts_with(b")").then_some((value, !word.is_empty()))
}

/// By how much a number is to be multiplied that has a letter behind it: steps may be told in thousands, `1.5k`. In
/// other figures the letter is a unit.
fn in_thousands(name: &[u8], rest: &[u8]) -> Option<f64> {
    let times = match rest {
        [b'k' | b'K', after @ ..] if !after.first().is_some_and(u8::is_ascii_alphanumeric) => 1e3,
        [b'm' | b'M', after @ ..] if !after.first().is_some_and(u8::is_ascii_alphanumeric) => 1e6,
        _ => return None,
    };
    matches!(names::read(name).what, What::Step(_)).then_some(times)
}

/// Calls `each` with every figure of the line, and with the sides that are named between them.
pub(super) fn pieces<'a>(line: &'a [u8], mut each: impl FnMut(Piece<'a>)) {
    let mut from = 0;
    let mut at = 0;
    let mut label: Label = None;
    while at < line.len() {
        let byte = line[at];
        // Nearly all are letters within words.
        if byte.is_ascii_alphabetic() && !matches!(byte, b'n' | b'N' | b'i' | b'I') {
            at += 1;
            continue;
        }
        let opens = || at == 0 || OPENS.contains(&line[at - 1]);
        let assigned = || {
            let before = line[..at].trim_ascii_end();
            before.ends_with(b"loss") || matches!(before.last(), Some(b':' | b'='))
        };
        let numeric = || {
            byte.is_ascii_digit()
                || matches!(byte, b'-' | b'+' | b'.')
                    && line.get(at + 1).is_some_and(|next| next.is_ascii_digit() || *next == b'.')
                || matches!(byte, b'n' | b'N' | b'i' | b'I' | b'-') && assigned()
        };
        let awaited = label.take_if(|(_, value)| at >= *value).map(|(name, _)| name);
        if awaited.is_some() || opens() && numeric() {
            let name = awaited.unwrap_or_else(|| trim(&line[from..at]));
            let named = name.iter().any(u8::is_ascii_alphabetic);
            // Dates and the like need not be read.
            let number = if named { scan::number(&line[at..]) } else { Some((0.0, 1)) };
            if let Some((value, length)) = number {
                let (value, length) =
                    if named { with_commas(name, &line[at..], value, length) } else { (value, length) };
                let whole = line[at..at + length].iter().all(|byte| byte.is_ascii_digit() || *byte == b',');
                at += length;
                let times = if named { in_thousands(name, &line[at..]) } else { None };
                let value = times.map_or(value, |times| (value * times).round());
                at += usize::from(times.is_some());
                let between = if named && whole && awaited.is_none() {
                    between(name, &line[..at - length], line, &mut label)
                } else {
                    Between::Nothing
                };
                // Times like `12:30:01` are no figures; a unit or a `/10` after it is passed over.
                let clock = line.get(at) == Some(&b':') && line.get(at + 1).is_some_and(u8::is_ascii_digit);
                match between {
                    Between::Place(name) => each(Piece::Figure(name, value)),
                    Between::Nothing if named && !clock => {
                        if let Some(side) = bracketed(&line[at..]) {
                            each(Piece::Side(side));
                        } else if let Some((mean, named)) = mean(&line[at..]) {
                            each(Piece::Mean(mean, named));
                        }
                        if let Some(pair) = pairs::behind(name, &line[at..]) {
                            let [first, second] = pair.names;
                            each(Piece::Figure(first, value));
                            each(Piece::Figure(second, pair.second));
                            at += pair.length;
                        } else {
                            each(Piece::Figure(name, value));
                        }
                    }
                    Between::Nothing | Between::Index => {}
                }
                at += line[at..]
                    .iter()
                    .take_while(|byte| !matches!(byte, b' ' | b'\t' | b',' | b'|' | b';' | b']' | b')'))
                    .count();
                at = label.map_or(at, |(_, value)| at.min(value));
                from = at;
                continue;
            }
        }
        if matches!(byte, b'(' | b'[')
            && label.is_none()
            && let Some((close, value)) = explained(line, at)
            && names::any_of_loss(trim(&line[from..at]))
        {
            // `train loss (avg): 2.5` names it further, `val loss (step 100): 2.5` says its place.
            let place = line[at..close].iter().any(u8::is_ascii_digit);
            label = Some((trim(&line[from..if place { at } else { close }]), value));
            at = if place { at + 1 } else { close };
            from = at;
            continue;
        }
        let followed = line.get(at + 1).is_some_and(u8::is_ascii_digit);
        let separates = matches!(byte, b'|' | b',' | b';' | b'\t' | b']' | b')' | b'}' | b'{')
            || matches!(byte, b'[' | b'(') && !followed;
        if separates {
            if let Some(side) = heading(&line[from..at]) {
                each(Piece::Side(side));
            }
            from = at + 1;
        }
        at += 1;
    }
}

/// Calls `each` with the name of every figure of the line, be it a loss or not.
pub(super) fn figures(line: &[u8], mut each: impl FnMut(&[u8])) {
    if line.len() <= LONGEST {
        pieces(line, |piece| {
            if let Piece::Figure(name, _) = piece {
                each(name);
            }
        });
    }
}

/// A number that may have commas in it, and how long it is with them.
fn with_commas(name: &[u8], text: &[u8], value: f64, length: usize) -> (f64, usize) {
    if !matches!(text[length..], [b',', next, ..] if next.is_ascii_digit()) {
        return (value, length);
    }
    let (before, last) = last_word(name);
    // `loss at step 1,300: 2.5`
    let is_place = !before.is_empty() && (place(last).is_some() || is_joint(last));
    let what = if is_place { What::Step(1) } else { names::read(name).what };
    decimal_comma(what, text, length).unwrap_or_else(|| {
        let parts = matches!(what, What::Loss(_) | What::Perplexity);
        let (value, more) = thousands(value, &text[length..], parts);
        (value, length + more)
    })
}

/// A figure as half of the world writes it, `2,5`, and how long that is: of those that do not come in thousands.
fn decimal_comma(what: What, text: &[u8], whole: usize) -> Option<(f64, usize)> {
    let small = match what {
        What::Loss(rank) => rank < 2,
        What::LearningRate | What::GradNorm | What::Perplexity | What::Epoch => true,
        _ => false,
    };
    if !small || text[..whole].contains(&b'.') {
        return None;
    }
    let (value, length) = scan::decimal_comma(text, whole)?;
    // A list of numbers is none, nor are thousands with a part of one.
    let list = matches!(text[length..], [b',' | b'.', next, ..] if next.is_ascii_digit());
    (length > whole + 1 && !list).then_some((value, length))
}

/// A number with what follows it taken for its thousands, as in `1,200`; and how long that is. Where there may be
/// a part of one behind them it is read too.
fn thousands(value: f64, mut rest: &[u8], parts: bool) -> (f64, usize) {
    let (mut whole, before) = (value, rest.len());
    let mut fraction = 0.0;
    while whole.fract() == 0.0
        && (1.0..1e12).contains(&whole)
        && (before > rest.len() || whole < 1000.0)
        && let [b',', digits @ ..] = rest
        && let Some((next, 3)) = scan::whole(digits)
    {
        let part = if digits.get(3) == Some(&b'.') { scan::number(&digits[3..]) } else { None };
        if part.is_some() && !parts {
            break;
        }
        whole = whole * 1000.0 + next as f64;
        let (value, length) = part.unwrap_or_default();
        (rest, fraction) = (&digits[3 + length..], value);
        if length > 0 {
            break;
        }
    }
    (whole + fraction, before - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of a line, as `name value`.
    fn of(line: &str) -> String {
        let mut found = Vec::new();
        pieces(line.as_bytes(), |piece| {
            if let Piece::Figure(name, value) = piece {
                found.push(format!("{} {value}", String::from_utf8_lossy(name)));
            }
        });
        found.join(", ")
    }

    #[test]
    fn a_number_between_a_loss_and_its_figure_is_the_place() {
        for (line, expected) in [
            ("train loss after epoch 3: 1.9", "epoch 3, train loss 1.9"),
            ("val loss at step 300: 1.9", "step 300, val loss 1.9"),
            ("val loss at global step 1,300/2,000 = nan", "step 1300, val loss NaN"),
            ("Validation loss at the end of epoch 3 is 1.9", "epoch 3, Validation loss 1.9"),
            ("INFO:root:train loss at step 10 = 1.23", "step 10, INFO:root:train loss 1.23"),
            ("train loss after 100 steps: 2.7", "step 100, train loss 2.7"),
            ("Cost 2, loss after iteration 100: 2,7", "Cost 2, iteration 100, loss 2.7"),
            (
                "train loss step 100: 2.7, val loss step 100: 2.8",
                "step 100, train loss 2.7, step 100, val loss 2.8",
            ),
            ("loss at step 100", "step 100"),
            ("val loss (step 100): 2.8", "step 100, val loss 2.8"),
            ("loss[100]: 2.8", "loss 2.8"),
            ("loss at 100: 2.8", "step 100, loss 2.8"),
            ("epoch 12 loss 2.5 after 3 epochs", "epoch 12, loss 2.5, after 3"),
            // These are of the name before them.
            ("train_loss_step: 2, loss=3 epoch=4", "train_loss_step 2, loss 3, epoch 4"),
            ("loss 3 step: 100", "loss 3, step 100"),
            ("loss 12:30", ""),
            (
                "Epoch 10/50: train loss 1.9, best val loss at epoch 3: 2.5",
                "Epoch 10, train loss 1.9, best val loss at epoch 3",
            ),
            ("train loss step: 100: 2.8", "train loss step 100"),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }

    #[test]
    fn words_in_brackets_are_of_the_name_before_them() {
        for (line, expected) in [
            ("train loss (avg): 2.7 val loss (avg): 2.9", "train loss (avg 2.7, val loss (avg 2.9"),
            ("loss (lower is better) 2.7", "loss (lower is better 2.7"),
            ("Loss 6.9 (6.95)", "Loss 6.9"),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }

    #[test]
    fn thousands_have_commas_and_a_loss_of_them_a_part_behind() {
        for (line, expected) in [
            ("step 1,000 loss 11,059.25", "step 1000, loss 11059.25"),
            ("loss 1,059,200", "loss 1059200"),
            ("loss 2,91", "loss 2.91"),
            ("loss 1,945", "loss 1.945"),
            ("epoch 1,100.5", "epoch 1"),
            ("step 1.5k/10k loss 2.5", "step 1500, loss 2.5"),
            ("iter 2M: loss 2.5", "iter 2000000, loss 2.5"),
            ("step 3kg, memory 2.5k, loss 3k", "step 3, memory 2.5, loss 3"),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }
}
