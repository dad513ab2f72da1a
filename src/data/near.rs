//! Rows that say nearly the same: found by sketches, without comparing every row with every other.
//!
//! A row is the set of its runs of three words; how much two sets share is estimated by `MinHash`
//! (Broder 1997) and candidates are found by bands of it (Leskovec, Rajaraman and Ullman, "Mining of
//! Massive Datasets", section 3.4). What a large share of all rows has in common, such as a system
//! message or a fixed question, makes no two rows alike and is left out: a row that is hardly anything else
//! is not compared, since one text with a word changed a hundred times cannot be told from a template with
//! a hundred short questions. Own hashing throughout: the same rows are alike on every machine and with
//! every version of a library.

use super::forest::Forest;
use super::read::{Body, Role};
use rayon::prelude::*;
use std::collections::HashMap;

/// Rows with at least this share of their runs in common, by estimate, are nearly the same: common
/// practice in removing duplicates from training text (Lee et al. 2022, arXiv 2107.06499).
pub const ALIKE: f64 = 0.8;

/// Words in a run.
const RUN: usize = 3;
/// Fewest runs of a row that is compared: shorter ones are alike by chance. Equal ones are found as such.
const FEWEST: usize = 8;
/// A run in more than this share of the rows, and in more than this many of them, is taken for a part of a
/// template.
const COMMON_SHARE: f64 = 0.1;
const COMMON_ROWS: f64 = 20.0;
/// Counters of the runs. Runs that share one by chance only seem more common.
const COUNTERS: usize = 1 << 22;

/// Hashes of a sketch: the standard error of a share of 0.8 is 0.035.
const HASHES: usize = 128;
/// Hashes that must agree for two rows to be compared: 32 bands of 4 find a share of 0.8 always, but for
/// one in ten million.
const BAND: usize = 4;
/// Rows of one band that are remembered. More would be alike among themselves, or joined by those that are.
const KEPT: usize = 32;

/// The least hash of a row's runs, by each of the hash functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch(Box<[u32; HASHES]>);

impl Sketch {
    fn of(runs: &[u64]) -> Self {
        let mut least = Box::new([u32::MAX; HASHES]);
        for (i, least) in least.iter_mut().enumerate() {
            // Multiplication by an odd number, upper half (Dietzfelbinger et al. 1997).
            let factor = mix(i as u64) | 1;
            let hashes = runs.iter().map(|run| (run.wrapping_mul(factor) >> 32) as u32);
            *least = hashes.min().unwrap_or(u32::MAX);
        }
        Self(least)
    }

    /// Estimated share of the runs of two rows, of all that either has, that both have.
    pub fn likeness(&self, other: &Self) -> f64 {
        let same = self.0.iter().zip(other.0.iter()).filter(|(a, b)| a == b).count();
        same as f64 / HASHES as f64
    }

    /// The band's number and its hashes, for each band.
    fn bands(&self) -> impl Iterator<Item = (usize, [u32; BAND])> + '_ {
        self.0.as_chunks::<BAND>().0.iter().copied().enumerate()
    }
}

/// A sketch of each row; none of a row that is too short to compare. All rows that will be compared with
/// each other have to be given together, since what is common to all is told by all.
pub fn sketches(rows: &[&Body]) -> Vec<Option<Sketch>> {
    let runs: Vec<Vec<u64>> = rows.par_iter().map(|row| runs(row)).collect();
    let mut counters = vec![0_u32; if rows.is_empty() { 0 } else { COUNTERS }];
    for run in runs.iter().flatten() {
        let counter = &mut counters[counter_of(*run)];
        *counter = counter.saturating_add(1);
    }
    let common = (COMMON_SHARE * rows.len() as f64).max(COMMON_ROWS);
    let sketch = |runs: &Vec<u64>| {
        let is_own = |run: &u64| f64::from(counters[counter_of(*run)]) <= common;
        let own: Vec<u64> = runs.iter().copied().filter(is_own).collect();
        (own.len() >= FEWEST).then(|| Sketch::of(&own))
    };
    runs.par_iter().map(sketch).collect()
}

fn counter_of(run: u64) -> usize {
    run as usize % COUNTERS
}

/// The different runs of words of a row, hashed, in order. Instructions to the assistant are left out.
fn runs(row: &Body) -> Vec<u64> {
    let texts = match row {
        Body::Chat(messages) => {
            let said = messages.iter().filter(|m| !matches!(m.role, Role::System | Role::Developer));
            said.map(|message| message.content.as_str()).collect()
        }
        other => other.texts(),
    };
    let words: Vec<u64> = texts.into_iter().flat_map(str::split_whitespace).map(word).collect();
    let run = |words: &[u64]| words.iter().fold(0, |run, word| mix(run ^ *word));
    let mut runs: Vec<u64> = words.windows(RUN).map(run).collect();
    runs.sort_unstable();
    runs.dedup();
    runs
}

/// A word without its case and the punctuation around it.
fn word(text: &str) -> u64 {
    let bare = text.trim_matches(|c: char| c.is_ascii_punctuation());
    // A word of signs alone, such as an operator, is one too.
    word_of(&(if bare.is_empty() { text } else { bare }).to_lowercase())
}

/// FNV-1a, 64 bits, mixed.
fn word_of(text: &str) -> u64 {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(text.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
}

/// The output function of `SplitMix64` (Steele, Lea and Flood 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Rows to look among for one that is nearly the same.
#[derive(Debug, Default)]
pub struct Index<'a> {
    rows: Vec<(&'a Sketch, usize)>,
    bands: HashMap<(usize, [u32; BAND]), Vec<usize>>,
}

impl<'a> Index<'a> {
    /// Remembers a row by a number of the caller's.
    pub fn insert(&mut self, sketch: &'a Sketch, row: usize) {
        for band in sketch.bands() {
            let kept = self.bands.entry(band).or_default();
            if kept.len() < KEPT {
                kept.push(self.rows.len());
            }
        }
        self.rows.push((sketch, row));
    }

    /// The first row that is nearly the same, and how alike they are.
    pub fn find(&self, sketch: &Sketch) -> Option<(usize, f64)> {
        self.alike(sketch).next()
    }

    /// All rows that are nearly the same, in their order, and how alike they are.
    fn alike(&self, sketch: &Sketch) -> impl Iterator<Item = (usize, f64)> {
        let mut candidates: Vec<usize> =
            sketch.bands().filter_map(|band| self.bands.get(&band)).flatten().copied().collect();
        // A row meets another in many bands, and is compared with it once.
        candidates.sort_unstable();
        candidates.dedup();
        let rows = candidates.into_iter().map(|row| self.rows[row]);
        rows.map(move |(found, row)| (row, found.likeness(sketch))).filter(|(_, share)| *share >= ALIKE)
    }
}

/// Pairs of rows that are nearly the same, the earlier of each first: as many as it takes for all such rows
/// to hang together.
///
/// One for each row would not do: of three rows the last may be like both others, and they not like each
/// other.
pub fn pairs(sketches: &[Option<Sketch>]) -> Vec<(usize, usize)> {
    let mut index = Index::default();
    let (mut sets, mut pairs) = (Forest::new(sketches.len()), Vec::new());
    for (row, sketch) in sketches.iter().enumerate() {
        if let Some(sketch) = sketch {
            let twins = index.alike(sketch).map(|(twin, _)| twin);
            pairs.extend(twins.filter(|&twin| sets.join(twin, row)).map(|twin| (twin, row)));
            index.insert(sketch, row);
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read::Message;

    fn text(words: &[String]) -> Body {
        Body::Text(words.join(" "))
    }

    /// Forty words of which no run of three is in another row.
    fn row(i: usize) -> Vec<String> {
        (0..40).map(|w| format!("word{}", i * 1000 + w * 7)).collect()
    }

    /// For each row the first one before it that is nearly the same.
    fn twins_of(rows: &[Body]) -> Vec<Option<usize>> {
        let mut twins = vec![None; rows.len()];
        for (twin, row) in pairs_of(rows) {
            twins[row].get_or_insert(twin);
        }
        twins
    }

    fn pairs_of(rows: &[Body]) -> Vec<(usize, usize)> {
        pairs(&sketches(&rows.iter().collect::<Vec<_>>()))
    }

    #[test]
    fn a_row_that_is_nearly_another_is_found_and_a_like_one_is_not() {
        let mut rows: Vec<Body> = (0..50).map(|i| text(&row(i))).collect();
        // One word of forty changed: 35 runs of 41 shared.
        let mut near = row(7);
        near[20] = "other".into();
        // Every fifth word changed: 14 of 62.
        let mut far = row(8);
        (0..40).step_by(5).for_each(|w| far[w] = format!("other{w}"));
        // Case, punctuation and line breaks are nothing.
        let dressed = Body::Text(row(9).join(",\n").to_uppercase() + "!");
        rows.extend([text(&near), text(&far), dressed]);
        let twins = twins_of(&rows);
        assert!(twins[..50].iter().all(Option::is_none));
        assert_eq!(twins[50..], [Some(7), None, Some(9)]);
    }

    #[test]
    fn a_row_between_two_is_a_pair_with_both() {
        // Two words changed each: 72 runs of 84 shared. Both of the outer rows: 66 of 90.
        let middle = [row(1), row(2)].concat();
        let changed = |places: [usize; 2]| {
            let mut words = middle.clone();
            for place in places {
                words[place] = format!("other{place}");
            }
            text(&words)
        };
        let rows = [changed([5, 15]), changed([35, 65]), text(&middle)];
        let sketches = sketches(&rows.iter().collect::<Vec<_>>());
        let alike = |a: usize, b: usize| {
            sketches[a].as_ref().unwrap().likeness(sketches[b].as_ref().unwrap()) >= ALIKE
        };
        assert!(!alike(0, 1) && alike(0, 2) && alike(1, 2));
        assert_eq!(pairs(&sketches), [(0, 2), (1, 2)]);
    }

    #[test]
    fn the_estimate_is_near_the_share() {
        let rows: Vec<Body> = (0..30).map(|i| text(&row(i))).collect();
        for keep in [10, 20, 30, 38] {
            let mut changed = row(3);
            (keep..40).for_each(|w| changed[w] = format!("other{w}"));
            let changed = text(&changed);
            let mut all: Vec<&Body> = rows.iter().collect();
            all.push(&changed);
            let sketches = sketches(&all);
            let (a, b) = (sketches[3].as_ref().unwrap(), sketches[30].as_ref().unwrap());
            let shared = (keep - 2) as f64;
            let share = shared / (2.0 * 38.0 - shared);
            assert!((a.likeness(b) - share).abs() < 4.0 * (share * (1.0 - share) / 128.0).sqrt(), "{keep}");
        }
    }

    #[test]
    fn what_all_rows_share_makes_none_alike() {
        let frame: Vec<String> = (0..200).map(|w| format!("frame{w}")).collect();
        let framed = |i: usize| text(&[frame.clone(), row(i)].concat());
        let rows: Vec<Body> = (0..60).map(framed).chain([framed(5)]).collect();
        let twins = twins_of(&rows);
        assert!(twins[..60].iter().all(Option::is_none));
        assert_eq!(twins[60], Some(5));
        let chat = |i: usize| {
            let message = |role, words: &[String]| Message { role, content: words.join(" ") };
            Body::Chat(vec![message(Role::System, &frame), message(Role::User, &row(i))])
        };
        assert_eq!(twins_of(&[chat(1), chat(2), chat(1)]), [None, None, Some(0)]);
    }

    #[test]
    fn rows_that_are_alike_are_found_until_they_are_so_many_that_they_may_be_a_template() {
        // One text with one word changed, now here, now there.
        let copy = |i: usize| {
            let mut words = [row(500), row(501)].concat();
            words[i % 80] = format!("other{i}");
            text(&words)
        };
        let others = || (0..70).map(|i| text(&row(i)));
        for copies in [9, 11, 19] {
            let rows: Vec<Body> = (0..copies).map(copy).chain(others()).collect();
            let pairs = pairs_of(&rows);
            let meets = |row: usize| pairs.iter().any(|&(a, b)| a == row || b == row);
            assert!((0..copies).all(meets), "{copies}");
            assert!(pairs.iter().all(|&(_, row)| row < copies), "{copies}: {pairs:?}");
        }
        // Of several templates, each with short questions, no rows are alike.
        let framed = |i: usize| text(&[row(500 + i % 4), row(501 + i % 4), row(i)[..3].to_vec()].concat());
        assert!(pairs_of(&(0..400).map(framed).collect::<Vec<_>>()).is_empty());
    }

    #[test]
    fn short_rows_are_not_compared() {
        let short = |n: usize| Body::Text(format!("what is {n} and {n} taken together please"));
        assert_eq!(twins_of(&[short(1), short(1), short(2)]), [None, None, None]);
    }

    #[test]
    fn a_thousand_copies_take_no_thousand_squares() {
        let copy = |i: usize| {
            let mut words = row(1);
            words[39] = format!("end{i}");
            text(&words)
        };
        let others = (2..20_000).map(|i| text(&row(i)[..12]));
        let rows: Vec<Body> = (0..1000).map(copy).chain(others).collect();
        let twins = twins_of(&rows);
        assert!(twins[1..1000].iter().all(Option::is_some));
        assert!(twins[1000..].iter().all(Option::is_none));
    }
}
