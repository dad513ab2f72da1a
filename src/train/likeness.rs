//! How like a written text is to the one that was to be written. Pure arithmetic on tokens and text.
//!
//! Each figure is a share from 0 to 1. What they are counted for is said at
//! [`Generated`](crate::event::Generated).

use std::collections::{BTreeMap, BTreeSet};

/// Tokens of a sequence that counts as recited.
const RECITED: usize = 8;
/// Tokens of a sequence that counts as said again.
const REPEATED: usize = 4;
/// The longest character sequences of chrF, and how much more recall counts than precision (Popovic
/// 2015; 2 is the value of "chrF2", which became the usual one).
const CHRF_ORDER: usize = 6;
const CHRF_BETA: f64 = 2.0;

/// Share of the 8-token sequences of `reference` that occur in `written`; of the whole reference, where
/// that is shorter. 0 for an empty reference.
pub fn overlap(reference: &[u32], written: &[u32]) -> f64 {
    let length = RECITED.min(reference.len());
    if length == 0 {
        return 0.0;
    }
    let there: BTreeSet<&[u32]> = written.windows(length).collect();
    let sequences = reference.windows(length);
    let all = sequences.len();
    sequences.filter(|sequence| there.contains(sequence)).count() as f64 / all as f64
}

/// Share of the 4-token sequences of `written` that occur in it before.
pub fn repetition(written: &[u32]) -> f64 {
    let sequences = written.windows(REPEATED);
    let all = sequences.len();
    if all == 0 {
        return 0.0;
    }
    let mut seen = BTreeSet::new();
    sequences.filter(|sequence| !seen.insert(*sequence)).count() as f64 / all as f64
}

/// chrF of `written` against `reference`: the F-score of their character sequences of 1 to 6, spaces
/// left out, precision and recall averaged over the lengths that either text has.
pub fn chrf(reference: &str, written: &str) -> f64 {
    let characters = |text: &str| -> Vec<char> { text.chars().filter(|c| !c.is_whitespace()).collect() };
    let (reference, written) = (characters(reference), characters(written));
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0);
    for order in 1..=CHRF_ORDER {
        let (wanted, got) = (counts(&reference, order), counts(&written, order));
        let (all_wanted, all_got) = (wanted.values().sum::<u32>(), got.values().sum::<u32>());
        if all_wanted == 0 && all_got == 0 {
            break;
        }
        let both: u32 = wanted.iter().map(|(run, n)| got.get(run).map_or(0, |m| *n.min(m))).sum();
        precision += f64::from(both) / f64::from(all_got.max(1));
        recall += f64::from(both) / f64::from(all_wanted.max(1));
        orders += 1;
    }
    let (precision, recall) = (precision / f64::from(orders.max(1)), recall / f64::from(orders.max(1)));
    let weight = CHRF_BETA * CHRF_BETA;
    let below = weight * precision + recall;
    if below > 0.0 { (1.0 + weight) * precision * recall / below } else { 0.0 }
}

/// How often each sequence of `order` characters occurs.
fn counts(text: &[char], order: usize) -> BTreeMap<&[char], u32> {
    let mut counts = BTreeMap::new();
    for run in text.windows(order) {
        *counts.entry(run).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} and {b}");
    }

    #[test]
    fn recitation_is_counted_in_runs_of_eight() {
        let reference: Vec<u32> = (0..12).collect();
        near(overlap(&reference, &reference), 1.0);
        // Five runs of eight in twelve tokens; the first ten have three of them.
        near(overlap(&reference, &reference[..10]), 3.0 / 5.0);
        // Wherever they stand, and whatever is around.
        near(overlap(&reference, &[&[99, 98], &reference[4..], &[97]].concat()), 1.0 / 5.0);
        near(overlap(&reference, &(0..7).collect::<Vec<_>>()), 0.0);
        near(overlap(&[1, 2, 3], &[7, 1, 2, 3]), 1.0);
        near(overlap(&[1, 2, 3], &[1, 2]), 0.0);
        near(overlap(&[], &[1]), 0.0);
    }

    #[test]
    fn saying_it_again_is_counted_from_the_second_time_on() {
        near(repetition(&[1, 2, 3, 4, 5, 6]), 0.0);
        near(repetition(&[5; 8]), 4.0 / 5.0);
        near(repetition(&[1, 2, 3, 4, 1, 2, 3, 4]), 1.0 / 5.0);
        near(repetition(&[1, 1, 1]), 0.0);
    }

    #[test]
    fn chrf_weighs_recall_more() {
        near(chrf("The kettle leaks.", "The kettle  leaks."), 1.0);
        near(chrf("abc", "xyz"), 0.0);
        near(chrf("abc", ""), 0.0);
        near(chrf("", ""), 0.0);
        // Of "abcd" against "ab": precision 1, 1, 0, 0 and recall 2/4, 1/3, 0, 0 over the four lengths.
        let (precision, recall) = (2.0 / 4.0, (0.5 + 1.0 / 3.0) / 4.0);
        near(chrf("abcd", "ab"), 5.0 * precision * recall / (4.0 * precision + recall));
        assert!(chrf("abcd", "ab") < chrf("ab", "abcd"));
    }
}
