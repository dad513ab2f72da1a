//! Numbers that stand between a name and its figure: `train loss after epoch 3: 1.9`, `val loss (step 100): 2.5`.
//!
//! What such a number says is the place. Taken for the loss it would grow with every line, like that of a
//! run that comes apart.

use super::names::{self, What};
use super::scan::{self, trim};

/// The widest brackets, and the longest way from a name to its figure.
const NEAR: usize = 40;

/// What a whole number is that may stand between a name and its figure.
pub(super) enum Between<'a> {
    /// The figure itself, of the name before it.
    Nothing,
    /// A place, by this name.
    Place(&'a [u8]),
    /// The one of several of that name: `loss[1]: 2.5`.
    Index,
}

/// A name whose figure comes later in the line, and where.
pub(super) type Label<'a> = Option<(&'a [u8], usize)>;

/// What a whole number of this name is that stands behind `head`; a figure that comes later is kept in `label`.
pub(super) fn between<'a>(name: &'a [u8], head: &[u8], line: &[u8], label: &mut Label<'a>) -> Between<'a> {
    let digits = line[head.len()..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b',').count();
    let at = head.len() + digits;
    let (before, last) = last_word(name);
    let is_place = place(last).is_some();
    if is_place || is_joint(last) {
        // `loss at step 100: 2.5`, `loss after epoch 3 = 2.5`, `loss step 100: 2.5`; `loss step: 100` is a figure.
        let joined = if is_place { before_joint(before) } else { Some(before) };
        let assigned = matches!(head.trim_ascii_end().last(), Some(b':' | b'='));
        let of = trim(joined.unwrap_or(before));
        // The place of the best so far is not that of the line.
        let is_loss = names::any_of_loss(of) && names::read(of).what != What::Aside;
        if is_place {
            if !is_loss || assigned && joined.is_none() {
                return Between::Nothing;
            }
            *label = value_behind(line, at).map(|value| (of, value)).or(*label);
            return Between::Place(last);
        }
        // `loss after 100 steps: 2.5`, `loss at 100: 2.5`; what came `after 3 epochs` may be an end of patience.
        let unit = line[at..].trim_ascii_start();
        let unit = &unit[..unit.iter().take_while(|byte| byte.is_ascii_alphabetic()).count()];
        let named = place(unit).filter(|_| is_loss);
        let end =
            if named.is_some() { line.len() - line[at..].trim_ascii_start().len() + unit.len() } else { at };
        let value = value_behind(line, end).filter(|_| is_loss);
        *label = value.map(|value| (of, value)).or(*label);
        return match named.or(value.map(|_| b"step".as_slice())) {
            Some(place) => Between::Place(place),
            None => Between::Nothing,
        };
    }
    let behind = line[at..].trim_ascii_start().first();
    if label.is_none()
        && matches!(behind, Some(b':' | b'=' | b']' | b')' | b'-'))
        && !matches!(head.trim_ascii_end().last(), Some(b':' | b'='))
        && names::any_of_loss(name)
        && let Some(value) = value_behind(line, at)
    {
        *label = Some((name, value));
        return Between::Index;
    }
    Between::Nothing
}

/// The last word of a name, and what stands before it.
pub(super) fn last_word(name: &[u8]) -> (&[u8], &[u8]) {
    let start =
        name.iter().rposition(|byte| matches!(byte, b' ' | b'\t' | b'@')).map_or(0, |blank| blank + 1);
    name.split_at(start)
}

/// The name of the place that a word stands for, as [`names`] knows it.
pub(super) fn place(word: &[u8]) -> Option<&'static [u8]> {
    const PLACES: [(&str, &[u8]); 9] = [
        ("epoch", b"epoch"),
        ("ep", b"epoch"),
        ("step", b"step"),
        ("iteration", b"iteration"),
        ("iter", b"iteration"),
        ("update", b"step"),
        ("batch", b"batch"),
        ("batche", b"batch"),
        ("round", b"step"),
    ];
    if word.is_empty() || word.len() > 10 {
        return None;
    }
    let one = word.strip_suffix(b"s").unwrap_or(word);
    PLACES.iter().find(|(known, _)| one.eq_ignore_ascii_case(known.as_bytes())).map(|(_, name)| *name)
}

/// Whether a word joins a figure to its place.
pub(super) fn is_joint(word: &[u8]) -> bool {
    [b"at".as_slice(), b"after"].iter().any(|joint| word.eq_ignore_ascii_case(joint))
}

/// Whether a word may stand between a figure and its place: `at`, `on`, `of`.
pub(super) fn leads_to_place(word: &[u8]) -> bool {
    let leads = |known: &&[u8]| word.eq_ignore_ascii_case(known);
    is_joint(word) || [b"on".as_slice(), b"in", b"for", b"of", b"during"].iter().any(leads)
}

/// What stands before the words that lead to a place, if they do: the loss of `loss at the end of epoch`.
fn before_joint(words: &[u8]) -> Option<&[u8]> {
    const MOST_WORDS: usize = 4;
    let (mut rest, mut found) = (words, None);
    for _ in 0..MOST_WORDS {
        let (before, word) = last_word(rest.trim_ascii_end());
        if leads_to_place(word) && names::any_of_loss(before) {
            found = Some(before);
        }
        rest = before;
    }
    found
}

/// Where a figure stands that what ends at `at` is a part of the name of: behind a colon and the like, with no more
/// than an end of brackets, a total or a remark in brackets between.
fn value_behind(line: &[u8], mut at: usize) -> Option<usize> {
    let end = line.len().min(at + NEAR);
    let after = loop {
        let rest = line.get(at..end)?;
        let assigns = [b"->".as_slice(), b"=>", b"=", b":", b"is ", b"was "];
        if let Some(word) = assigns.into_iter().find(|word| rest.starts_with(word)) {
            break at + word.len();
        }
        at += match rest.first()? {
            b' ' | b'\t' | b']' | b')' | b'%' => 1,
            b'/' => 1 + rest[1..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b',').count(),
            b'(' | b'[' => rest.iter().position(|byte| matches!(byte, b')' | b']'))? + 1,
            _ => return None,
        };
    };
    let value = line.len() - line[after..].trim_ascii_start().len();
    let (_, length) = scan::number(&line[value..])?;
    // `12:30` is a clock.
    let clock = line[at] == b':' && value == after && !line[value..value + length].contains(&b'.')
        || matches!(line[value + length..], [b':', next, ..] if next.is_ascii_digit());
    (!clock).then_some(value)
}

/// The end of the brackets that open at `at`, where they only tell more of the figure behind them, and where that is.
pub(super) fn explained(line: &[u8], at: usize) -> Option<(usize, usize)> {
    let near = &line[at..line.len().min(at + NEAR)];
    let close = at + near.iter().position(|byte| matches!(byte, b')' | b']'))?;
    let inner = &line[at + 1..close];
    if inner.iter().any(|byte| matches!(byte, b'=' | b':' | b'>')) {
        return None;
    }
    let value = value_behind(line, close + 1).or_else(|| {
        // `train loss (avg) 2.5`
        let rest = line[close + 1..].trim_ascii_start();
        let bare = !inner.iter().any(u8::is_ascii_digit) && scan::number(rest).is_some();
        bare.then_some(line.len() - rest.len())
    })?;
    Some((close, value))
}
