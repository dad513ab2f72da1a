//! What a line says of the best so far and not of now: `[best val_loss 1.2 (ep 8)]`, `Saving best model (epoch 8)`.
//!
//! Its figures are old ones. Taken for new they would move a line to another place, or be its train loss.

use super::general::has_any;
use std::borrow::Cow;

/// Words of what is not of now.
const OLD: [&[u8]; 4] = [b"best", b"min", b"minimum", b"lowest"];
/// ... and of lines that are about a checkpoint.
const KEPT: [&[u8]; 6] = [b"saved", b"saving", b"improve", b"improved", b"improvement", b"since"];

/// The line with blanks in the place of asides; `None` where all of it is one.
pub(super) fn without_asides(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    // A part of each of these words: most lines have none.
    if !has_any(line, &[*b"bes", *b"min", *b"low", *b"sav", *b"mpr", *b"nce"]) {
        return Some(Cow::Borrowed(line));
    }
    let first = line.iter().position(u8::is_ascii_digit).unwrap_or(line.len());
    let (head, has) = (&line[..first], |text: &[u8], list: &[&[u8]]| {
        words(text).any(|word| list.iter().any(|known| word.eq_ignore_ascii_case(known)))
    });
    // With a train loss it is the line of an epoch, which happens to be the best.
    if (has(head, &OLD[..1]) || has(head, &KEPT)) && !has(line, &[b"train"]) {
        return None;
    }
    let mut kept = Cow::Borrowed(line);
    let mut at = 0;
    while let Some(open) =
        line[at..].iter().position(|byte| matches!(byte, b'(' | b'[')).map(|open| at + open)
    {
        let Some(close) = closing(line, open) else { break };
        at = close + 1;
        // `best_val_loss=1.2 (epoch 8)`: the name of the figure before it.
        let name = line[..open].trim_ascii_end();
        let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let name = &name[..name.len() - digits];
        let ends = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b',' | b'|' | b';' | b')' | b']');
        let from = name.iter().rposition(ends).map_or(0, |end| end + 1);
        if names_old(&line[open + 1..close]) || digits > 0 && names_old(&name[from..]) {
            kept.to_mut()[open..=close].fill(b' ');
        } else {
            at = open + 1;
        }
    }
    Some(kept)
}

/// Whether some words are of what is not of now, be they parts of a name.
fn names_old(text: &[u8]) -> bool {
    text.split(|byte| !byte.is_ascii_alphabetic())
        .any(|part| OLD.iter().any(|known| part.eq_ignore_ascii_case(known)))
}

/// Whole words: `best_loss` is a name of its own.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
}

/// Where the bracket ends that opens at `open`.
fn closing(line: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0;
    let ends = |byte: &u8| {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            _ => {}
        }
        depth == 0
    };
    line[open..].iter().position(ends).map(|length| open + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_the_best_is_no_figure_of_now() {
        for (line, expected) in [
            (
                "Epoch 9: train_loss=2.1, val_loss=1.9 [best val_loss 1.8 (ep 1)]",
                "Epoch 9: train_loss=2.1, val_loss=1.9",
            ),
            (
                "step 9 val loss: 1.2 (best: 1.1 @ epoch 8) lr 1",
                "step 9 val loss: 1.2                       lr 1",
            ),
            ("step 9 loss 1.2 best_val_loss=1.1 (epoch 8)", "step 9 loss 1.2 best_val_loss=1.1"),
            ("step 9 loss 1.2 (min), min val_loss=1.1 (epoch=8)", "step 9 loss 1.2      , min val_loss=1.1"),
            ("Epoch 9 loss 1.2 (0.3 s) [train]", "Epoch 9 loss 1.2 (0.3 s) [train]"),
            (
                "New best! epoch 9 train loss 2.1 val loss 1.9",
                "New best! epoch 9 train loss 2.1 val loss 1.9",
            ),
            ("best_loss=1.1 step=9 loss=1.2", "best_loss=1.1 step=9 loss=1.2"),
        ] {
            let kept = without_asides(line.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(&kept).trim_end(), expected);
        }
        for line in [
            "best model: epoch 1 loss 1.895",
            "Saved checkpoint step_800.pt (best: step 800, loss 1.200)",
            "Saving best model (epoch 8, loss 1.2)",
            "new best model at step 800 with loss 1.200",
            "not improved since step 800 (loss 1.200)",
        ] {
            assert!(without_asides(line.as_bytes()).is_none(), "{line}");
        }
    }
}
