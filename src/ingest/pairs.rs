//! Two figures behind a name that names both sides: `train/val loss: 1.2 / 1.3`, `train and val loss: 1.2, 1.3`.
//!
//! By itself such a name would be that of its first side, and what stands behind the first figure would be lost.

use super::names::{self, Side, What};
use super::scan;

/// The second figure of such a pair.
pub(super) struct Pair {
    /// Names of the first figure and of the second.
    pub names: [&'static [u8]; 2],
    pub second: f64,
    /// How long the text is that ends with it.
    pub length: usize,
}

/// What else stands in `rest`, the text behind the first figure of `name`, if the two are a pair.
pub(super) fn behind(name: &[u8], rest: &[u8]) -> Option<Pair> {
    // Most names have nothing in them that joins two sides.
    if !name.iter().any(|byte| matches!(byte, b'/' | b'|' | b'&' | b'+')) && !scan::has(name, b" and ") {
        return None;
    }
    let text = rest.trim_ascii_start();
    let joint = [b"and".as_slice(), b"/", b"|", b"&", b","].into_iter().find(|joint| text.starts_with(joint));
    let text = text[joint.map_or(0, <[u8]>::len)..].trim_ascii_start();
    let (second, length) = text.first().filter(|byte| !byte.is_ascii_whitespace()).and(scan::number(text))?;
    // `0.5 (100 rows)` and `0.5 10/100` are none, nor is the number that a name begins with.
    let ends =
        matches!(text.get(length), None | Some(b' ' | b'\t' | b',' | b';' | b'|' | b')' | b']' | b'.'));
    // What a comma sets apart may be `100 steps`.
    let joined = !matches!(joint, None | Some(b",")) || second.fract() != 0.0;
    if !ends || !joined {
        return None;
    }
    Some(Pair { names: both(name)?, second, length: rest.len() - text.len() + length })
}

/// The names of the two sides, in their order, where they stand next to each other: `train/val`, `train and val`.
fn both(name: &[u8]) -> Option<[&'static [u8]; 2]> {
    if !names::any_of_loss(name) || names::is_aside(name) {
        return None;
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'(' | b')' | b':');
    let words: Vec<&[u8]> = name.split(is_space).filter(|word| !word.is_empty()).collect();
    // In one word, or in three.
    let in_one = words.iter().find_map(|word| {
        let mut sides = word.split(|byte| matches!(byte, b'/' | b'|' | b'&' | b'+'));
        let pair = (names::side(sides.next()?)?, names::side(sides.next()?)?);
        sides.next().is_none().then_some(pair)
    });
    let in_three = words.windows(3).find_map(|three| {
        let &[first, joint, second] = three else { return None };
        let joins = matches!(joint.to_ascii_lowercase().as_slice(), b"and" | b"/" | b"|" | b"&" | b"+");
        Some((names::side(first).filter(|_| joins)?, names::side(second)?))
    });
    let (first, second) = in_one.or(in_three)?;
    let perplexity = matches!(names::read(name).what, What::Perplexity);
    let of = |side| match side {
        Side::Train if perplexity => b"train perplexity".as_slice(),
        Side::Train => b"train loss",
        Side::Valid if perplexity => b"valid perplexity",
        Side::Valid => b"valid loss",
        Side::Test if perplexity => b"test perplexity",
        Side::Test => b"test loss",
    };
    let is_pair = (first == Side::Train) != (second == Side::Train);
    is_pair.then(|| [of(first), of(second)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_both_sides_has_two_figures() {
        let (train, valid): (&[u8], &[u8]) = (b"train loss", b"valid loss");
        for (name, rest, expected) in [
            ("train/val loss", "/1.3 lr 0.1", Some(([train, valid], 1.3, 4))),
            ("loss train/val", " / 1.3", Some(([train, valid], 1.3, 6))),
            ("Train and Val loss", ", 1.3, 0.1", Some(([train, valid], 1.3, 5))),
            ("val/train loss", " and 1.3", Some(([valid, train], 1.3, 8))),
            ("train|dev ppl", " 13.5", Some(([b"train perplexity", b"valid perplexity"], 13.5, 5))),
            ("train loss", "/1.3", None),
            ("train/val loss", ", lr 0.1", None),
            ("train/val loss", " (1.3)", None),
            ("train/val loss", " 10/100", None),
            ("train/val acc", "/0.3", None),
            ("best train/val loss", "/1.3", None),
            ("eval_train_loss", ", 12 eval_loss", None),
            ("train.py val loss", ", 1.3", None),
            ("train/val loss", ", 100 steps", None),
            ("train/val/test loss", "/1.3/1.4", None),
            ("val/test loss", "/1.3", None),
        ] {
            let found = behind(name.as_bytes(), rest.as_bytes());
            let found = found.map(|pair| (pair.names, pair.second, pair.length));
            assert_eq!(found, expected, "{name}{rest}");
        }
    }
}
