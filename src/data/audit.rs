//! What a dataset holds: rows, tokens, cuts, duplicates, and leaks between the sides.
//!
//! Counted, not judged: what is too much is for the reader to say.

use super::encode::Encoded;
use super::near::{Index, Sketch};
use std::collections::HashMap;

/// A row's place in the files it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Index into [`Dataset::files`](super::Dataset::files).
    pub file: usize,
    /// Line, counted from 1.
    pub line: usize,
}

/// What a dataset holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    pub train: Side,
    pub valid: Side,
    pub test: Side,
    /// Held-out rows whose text, or nearly that, is also trained on, and test rows whose text is also in
    /// the validation rows. Equal texts only where these are files of their own: a drawn split has none.
    pub leaks: Vec<Leak>,
    /// Rows with too little text of their own to be compared: of these only equal ones are found.
    pub uncompared: usize,
    /// Rows with a blank completion, or a blank turn of the assistant: they teach to say nothing.
    pub blank_answers: Vec<Source>,
    /// Rows with the text of a special token in a message, which becomes that token.
    pub special_in_message: Vec<Source>,
}

/// One side of the split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    pub rows: usize,
    pub tokens: u64,
    /// Tokens that carry loss.
    pub loss_tokens: u64,
    /// Rows longer than `data.max_length`, which were cut.
    pub cut_rows: usize,
    /// Tokens cut from them.
    pub cut_tokens: u64,
    /// Rows with the same text as an earlier row of this side.
    pub duplicates: usize,
    /// Other rows with nearly the same text as an earlier row of this side.
    pub near_duplicates: usize,
    /// Tokens a row, after cutting.
    pub lengths: Lengths,
}

/// How long rows are; all zero where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    pub min: usize,
    pub median: usize,
    pub p95: usize,
    pub max: usize,
}

/// A row that is on two sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leak {
    /// The row that was held out.
    pub row: Source,
    /// The first row with the same text on a side that decides before it, or with nearly the same.
    pub twin: Source,
    /// Whether the twin is trained on. Where it is not, it is a validation row, by which the best adapter
    /// is chosen and the end of the run: a test row that repeats it is no judge of either.
    pub is_trained_on: bool,
    /// Share of the text that both have; 1 where it is the same.
    pub likeness: f64,
}

/// A row of a side, as the audit sees it.
pub(super) struct Audited {
    pub source: Source,
    /// Of [`split::fingerprint`](super::split::fingerprint).
    pub fingerprint: u128,
    pub sketch: Option<Sketch>,
    pub blank_answer: bool,
    pub encoded: Encoded,
}

/// Counts what the three sides hold.
pub(super) fn audit(train: &[Audited], valid: &[Audited], test: &[Audited]) -> Audit {
    // Where a row was seen, and whether it is trained on.
    let mut first_seen: HashMap<u128, (Source, bool)> = HashMap::new();
    let (mut alike, mut places) = (Index::default(), Vec::new());
    let mut leaks = Vec::new();
    for (side, trains) in [(train, true), (valid, false), (test, false)] {
        let twin = |row: &Audited| {
            let same = first_seen.get(&row.fingerprint).map(|&twin| (twin, 1.0));
            let near = || alike.find(row.sketch.as_ref()?).map(|(twin, likeness)| (places[twin], likeness));
            let ((twin, is_trained_on), likeness) = same.or_else(near)?;
            Some(Leak { row: row.source, twin, is_trained_on, likeness })
        };
        leaks.extend(side.iter().filter_map(twin));
        for row in side {
            let place = (row.source, trains);
            first_seen.entry(row.fingerprint).or_insert(place);
            if let Some(sketch) = &row.sketch {
                alike.insert(sketch, places.len());
                places.push(place);
            }
        }
    }
    let special = |row: &&Audited| row.encoded.special_in_message;
    let all = || train.iter().chain(valid).chain(test);
    Audit {
        train: Side::of(train),
        valid: Side::of(valid),
        test: Side::of(test),
        leaks,
        uncompared: all().filter(|row| row.sketch.is_none()).count(),
        blank_answers: all().filter(|row| row.blank_answer).map(|row| row.source).collect(),
        special_in_message: all().filter(special).map(|row| row.source).collect(),
    }
}

impl Side {
    fn of(rows: &[Audited]) -> Self {
        let mut side = Self { rows: rows.len(), ..Self::default() };
        let mut seen = std::collections::HashSet::new();
        let mut alike = Index::default();
        for (i, row) in rows.iter().enumerate() {
            side.tokens += row.encoded.example.ids.len() as u64;
            side.loss_tokens += row.encoded.example.loss_tokens() as u64;
            side.cut_rows += usize::from(row.encoded.cut > 0);
            side.cut_tokens += row.encoded.cut as u64;
            let same = !seen.insert(row.fingerprint);
            side.duplicates += usize::from(same);
            if let Some(sketch) = row.sketch.as_ref().filter(|_| !same) {
                side.near_duplicates += usize::from(alike.find(sketch).is_some());
                alike.insert(sketch, i);
            }
        }
        side.lengths = Lengths::of(rows.iter().map(|row| row.encoded.example.ids.len()).collect());
        side
    }
}

impl Lengths {
    /// Quantiles by nearest rank: each is the length of some row.
    fn of(mut lengths: Vec<usize>) -> Self {
        lengths.sort_unstable();
        let Some(last) = lengths.len().checked_sub(1) else { return Self::default() };
        let at = |percent: usize| lengths[(lengths.len() * percent).div_ceil(100).saturating_sub(1)];
        Self { min: lengths[0], median: at(50), p95: at(95), max: lengths[last] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read::Body;
    use crate::data::{Example, near};

    fn encoded(length: usize, cut: usize, special_in_message: bool) -> Encoded {
        let loss_mask = (0..length).map(|i| i > 0).collect();
        Encoded { example: Example { ids: vec![5; length], loss_mask }, cut, special_in_message }
    }

    fn at(file: usize, line: usize) -> Source {
        Source { file, line }
    }

    #[test]
    fn sides_are_counted_and_leaks_named() {
        let short = || encoded(3, 0, false);
        let words = |text: &str| Body::Text(text.into());
        let (one, like) = (
            "a b c d e f g h i j k l m n o p q r s t u v w x y z",
            "a b c d e f g h i j k l m n o p q r s t u v w x y",
        );
        let rows =
            [words(one), words(like), words("one two three four five six seven eight nine ten eleven")];
        let drawn = near::sketches(&rows.iter().collect::<Vec<_>>());
        let row = |source, fingerprint, encoded| Audited {
            source,
            fingerprint,
            encoded,
            sketch: if fingerprint < 10 { drawn[fingerprint as usize].clone() } else { None },
            blank_answer: fingerprint == 11,
        };
        let train =
            [row(at(0, 1), 10, short()), row(at(0, 2), 10, short()), row(at(0, 3), 11, encoded(8, 2, true))];
        let valid = [row(at(1, 1), 12, short()), row(at(1, 2), 10, short()), row(at(1, 3), 12, short())];
        let test = [row(at(2, 5), 12, short())];
        let audit = audit(&train, &valid, &test);
        assert_eq!(
            audit.train,
            Side {
                rows: 3,
                tokens: 14,
                loss_tokens: 11,
                cut_rows: 1,
                cut_tokens: 2,
                duplicates: 1,
                near_duplicates: 0,
                lengths: Lengths { min: 3, median: 3, p95: 8, max: 8 },
            }
        );
        assert_eq!((audit.valid.rows, audit.valid.duplicates, audit.test.rows), (3, 1, 1));
        assert_eq!(
            audit.leaks,
            [
                Leak { row: at(1, 2), twin: at(0, 1), is_trained_on: true, likeness: 1.0 },
                Leak { row: at(2, 5), twin: at(1, 1), is_trained_on: false, likeness: 1.0 }
            ]
        );
        assert_eq!((audit.blank_answers, audit.uncompared), (vec![at(0, 3)], 7));
        assert_eq!(audit.special_in_message, [at(0, 3)]);
        // Rows 0 and 1 are nearly the same; row 2 is another.
        let train = [row(at(0, 1), 0, short()), row(at(0, 2), 2, short()), row(at(0, 3), 1, short())];
        let audit = super::audit(&train, &[row(at(1, 1), 1, short()), row(at(1, 2), 2, short())], &[]);
        assert_eq!((audit.train.near_duplicates, audit.train.duplicates), (1, 0));
        assert_eq!((audit.leaks.len(), audit.uncompared), (2, 0));
        let near = super::audit(&train[..2], &[row(at(1, 1), 1, short())], &[]).leaks[0];
        assert_eq!((near.row, near.twin), (at(1, 1), at(0, 1)));
        assert!(near.is_trained_on && (near::ALIKE..1.0).contains(&near.likeness));
        let near = super::audit(&[], &train[..1], &[row(at(2, 1), 1, short())]).leaks[0];
        assert!(!near.is_trained_on && (near::ALIKE..1.0).contains(&near.likeness));
    }

    #[test]
    fn quantiles_are_lengths_of_rows() {
        let lengths = Lengths::of((1..=100).rev().collect());
        assert_eq!(lengths, Lengths { min: 1, median: 50, p95: 95, max: 100 });
        assert_eq!(Lengths::of(vec![7]), Lengths { min: 7, median: 7, p95: 7, max: 7 });
        assert_eq!(Lengths::of(Vec::new()), Lengths::default());
    }
}
