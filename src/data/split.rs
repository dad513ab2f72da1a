//! Which rows are held out: a function of the rows and of `data.seed`, and of nothing else.
//!
//! Rows with the same `group`, with the same text but for case and spacing, or with nearly the same text
//! belong together and come to lie on one side: a held-out row that is also trained on would show no overfitting. The sets of
//! rows that belong together are shuffled by `ChaCha8` seeded with `data.seed`, and held out in that
//! order as long as they fit into what was asked for.

use super::batch::shuffle;
use super::error::SplitFault;
use super::forest::Forest;
use super::read::{Body, Row};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How much is held out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    Fraction(f64),
    Rows(u64),
}

/// For each row, whether it is held out. `alike` has pairs of rows that are nearly the same.
///
/// Where rows that are nearly the same leave no split as it was asked for, they are not kept together:
/// the audit finds them on both sides then.
pub fn hold_out(
    rows: &[Row],
    alike: &[(usize, usize)],
    share: Share,
    seed: u64,
) -> Result<Vec<bool>, SplitFault> {
    let apart = || draw(rows, &[], share, seed);
    let together = draw(rows, alike, share, seed).or_else(|_| apart())?;
    // Sets so large that hardly a row is left to hold out leave no such split either.
    let held_out = |split: &[bool]| split.iter().filter(|held_out| **held_out).count();
    if 2 * held_out(&together) >= target(share, rows.len()) { Ok(together) } else { apart() }
}

/// How many rows are to be held out.
fn target(share: Share, rows: usize) -> usize {
    match share {
        Share::Fraction(share) => (share * rows as f64).round() as usize,
        Share::Rows(number) => usize::try_from(number).unwrap_or(usize::MAX),
    }
}

fn draw(rows: &[Row], alike: &[(usize, usize)], share: Share, seed: u64) -> Result<Vec<bool>, SplitFault> {
    let asked = match share {
        Share::Fraction(share) => share.to_string(),
        Share::Rows(number) => number.to_string(),
    };
    let target = target(share, rows.len());
    if rows.len() == 1 {
        return Err(SplitFault::OneRow);
    }
    if target == 0 {
        return Err(SplitFault::Empty { asked, rows: rows.len() });
    }
    if target >= rows.len() {
        return Err(SplitFault::NothingLeft { asked, rows: rows.len() });
    }
    let mut sets = belonging_together(rows, alike);
    if sets.len() == 1 {
        return Err(SplitFault::OneGroup { rows: rows.len() });
    }
    shuffle(&mut sets, &mut ChaCha8Rng::seed_from_u64(seed));
    let mut held_out = vec![false; rows.len()];
    let mut left = target;
    for set in &sets {
        if set.len() <= left {
            left -= set.len();
            for &row in set {
                held_out[row] = true;
            }
        }
    }
    if left == target {
        let smallest = sets.iter().map(Vec::len).min().unwrap_or_default();
        return Err(SplitFault::GroupTooLarge { asked, target, smallest });
    }
    Ok(held_out)
}

/// The rows in sets, each with all that shares a text, nearly so, or a group with it, directly or through others;
/// in the order of the first row of each set.
fn belonging_together(rows: &[Row], alike: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut forest = Forest::new(rows.len());
    let mut first_of_text = HashMap::new();
    let mut first_of_group = HashMap::new();
    for (i, row) in rows.iter().enumerate() {
        forest.join(*first_of_text.entry(fingerprint(&row.body)).or_insert(i), i);
        if let Some(group) = &row.group {
            forest.join(*first_of_group.entry(group).or_insert(i), i);
        }
    }
    for &(twin, row) in alike {
        forest.join(twin, row);
    }
    let mut sets: Vec<Vec<usize>> = Vec::new();
    let mut set_of_root = HashMap::new();
    for i in 0..rows.len() {
        let set = *set_of_root.entry(forest.root(i)).or_insert_with(|| {
            sets.push(Vec::new());
            sets.len() - 1
        });
        sets[set].push(i);
    }
    sets
}

/// Equal for rows with the same text but for case and spacing, of whichever form.
pub fn fingerprint(body: &Body) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        let words = body.texts().into_iter().flat_map(str::split_whitespace);
        words.for_each(|word| word.to_lowercase().hash(&mut hasher));
        hasher.finish()
    };
    // Two hashes of 64 bits make a chance meeting of two different texts unthinkable.
    (u128::from(half(0)) << 64) | u128::from(half(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str, group: Option<&str>) -> Row {
        Row { line: 1, body: Body::Text(text.into()), group: group.map(Into::into) }
    }

    fn distinct(n: usize) -> Vec<Row> {
        (0..n).map(|i| row(&format!("row {i}"), None)).collect()
    }

    fn held(rows: &[Row], share: Share, seed: u64) -> Vec<usize> {
        let side = hold_out(rows, &[], share, seed).unwrap();
        (0..rows.len()).filter(|&i| side[i]).collect()
    }

    fn refused(rows: &[Row], share: Share, message: &str) {
        assert_eq!(hold_out(rows, &[], share, 0).unwrap_err().to_string(), message);
    }

    #[test]
    fn a_share_is_held_out_by_the_seed() {
        let rows = distinct(50);
        assert_eq!(held(&rows, Share::Fraction(0.1), 0).len(), 5);
        assert_eq!(held(&rows, Share::Rows(7), 0).len(), 7);
        assert_eq!(held(&rows, Share::Rows(7), 3), held(&rows, Share::Rows(7), 3));
        assert_ne!(held(&rows, Share::Rows(7), 3), held(&rows, Share::Rows(7), 4));
        // Published runs are repeated by it: this split must never change.
        assert_eq!(held(&rows, Share::Rows(5), 0), [1, 13, 17, 18, 28]);
    }

    #[test]
    fn rows_that_belong_together_stay_together() {
        // One set through the chain text, group, text; one through case and spacing.
        let mut rows = distinct(20);
        rows.extend([row("a", None), row("A ", Some("g")), row("b", Some("g")), row("b", None)]);
        rows.extend([row("Two  words\n", None), row("two words", None)]);
        let mut seen = std::collections::HashSet::new();
        for seed in 0..40 {
            let side = hold_out(&rows, &[], Share::Fraction(0.4), seed).unwrap();
            assert!(side[20..24].iter().all(|&on| on == side[20]), "seed {seed}");
            assert_eq!(side[24], side[25], "seed {seed}");
            seen.insert((side[20], side[24]));
        }
        assert_eq!(seen.len(), 4, "each set falls on either side for some seed");
    }

    #[test]
    fn rows_that_are_nearly_the_same_are_parted_where_hardly_any_could_be_held_out() {
        // All but one hang together.
        let (rows, alike) = (distinct(40), (1..39).map(|row| (row - 1, row)).collect::<Vec<_>>());
        let held_out = hold_out(&rows, &alike, Share::Fraction(0.25), 1).unwrap();
        assert_eq!(held_out.iter().filter(|held_out| **held_out).count(), 10);
    }

    #[test]
    fn rows_that_are_nearly_the_same_stay_together_where_they_can() {
        let rows = distinct(10);
        // Of these three the last is like both others.
        let alike = [(1, 9), (4, 9)];
        for seed in 0..20 {
            let side = hold_out(&rows, &alike, Share::Rows(4), seed).unwrap();
            assert!(side[1] == side[4] && side[4] == side[9], "seed {seed}");
        }
        let all_alike: Vec<_> = (1..10).map(|i| (i - 1, i)).collect();
        let side = hold_out(&rows, &all_alike, Share::Rows(3), 0).unwrap();
        assert_eq!(side, hold_out(&rows, &[], Share::Rows(3), 0).unwrap());
    }

    #[test]
    fn sides_are_never_empty() {
        refused(
            &distinct(4),
            Share::Fraction(0.1),
            "data.valid = 0.1 of 4 rows holds out none\n  \
             hint: raise data.valid, or name a file of held-out rows",
        );
        refused(
            &distinct(4),
            Share::Rows(4),
            "data.valid = 4 of 4 rows leaves none to learn from\n  hint: lower data.valid, or add rows",
        );
        let mut groups: Vec<_> = (0..9).map(|i| row(&i.to_string(), Some(["x", "y", "z"][i % 3]))).collect();
        refused(
            &groups,
            Share::Rows(2),
            "data.valid = 2 holds out 2 rows, but the smallest group of rows that belong together has 3\n  \
             hint: rows with the same text or the same \"group\" stay on one side; raise data.valid to at least 3",
        );
        for row in &mut groups {
            row.group = Some("x".into());
        }
        refused(
            &groups,
            Share::Rows(2),
            "all 9 rows belong together, so none can be held out\n  \
             hint: rows with the same text or the same \"group\" stay on one side; add others, or name a file as data.valid",
        );
    }
}
