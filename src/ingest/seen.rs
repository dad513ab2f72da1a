//! The figures that a file names, for a user who has to say which of them is the loss. What is a loss by its
//! name is the business of [`super::names`]; a file that this is asked of has none.

use super::lines::Lines;
use super::names::{self, What};
use super::rows::Cell;
use super::{Skipped, dict, figures};
use memchr::memchr;

/// Names that are told; a line of more of them is hardly read.
const MOST: usize = 8;
/// Names that are remembered until it is known how often they come.
const MOST_KEPT: usize = 64;
/// A longer name is prose.
const LONGEST: usize = 40;

/// The names of figures in the first bytes of a file, letter by letter, but for those of places and speeds.
pub fn figures(head: &[u8]) -> Vec<String> {
    // As the readers see it: without colours, a line for each time that a bar was drawn.
    let (mut lines, mut plain) = (Lines::default(), Vec::new());
    let mut keep = |_: u64, line: &[u8]| {
        plain.extend_from_slice(line);
        plain.push(b'\n');
    };
    lines.push(head, &mut Skipped::default(), &mut keep);
    lines.finish(&mut keep);
    of_lines(&plain)
}

fn of_lines(head: &[u8]) -> Vec<String> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let mut found = Found::default();
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if let Some(columns) = columns(first, second) {
        for name in columns {
            found.take(name);
        }
        return found.names(1);
    }
    for line in [first, second].into_iter().chain(lines) {
        let number = |name: &[u8], cell| {
            if matches!(cell, Cell::Number(_)) {
                found.take(name);
            }
        };
        if !dict::pairs(line, number) {
            figures::figures(line, |name| found.take(name));
        }
    }
    // What stands in one line only is no figure of a curve.
    found.names(2)
}

/// The cells of the header, where the line after it is a row of numbers.
fn columns<'a>(header: &'a [u8], row: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let separator = b",\t;".iter().find(|&&separator| memchr(separator, header).is_some()).copied();
    let names = cells(header, separator);
    let row = cells(row, separator);
    let numeric = row.iter().filter(|cell| matches!(Cell::of(cell), Cell::Number(_))).count();
    let words = names.iter().all(|name| matches!(Cell::of(name), Cell::Words(_)));
    // Where blanks alone set them apart, words before a lone number may be prose.
    let least = if separator.is_some() { 1 } else { 2 };
    (words && names.len() == row.len() && numeric >= least).then_some(names)
}

/// The cells of a line; without a separator blanks, however many, set them apart.
fn cells(line: &[u8], separator: Option<u8>) -> Vec<&[u8]> {
    match separator {
        Some(separator) => line.split(|byte| *byte == separator).map(<[u8]>::trim_ascii).collect(),
        None => line.split(u8::is_ascii_whitespace).filter(|cell| !cell.is_empty()).collect(),
    }
}

/// Names with how often each was seen, in the order of their first.
#[derive(Default)]
struct Found(Vec<(String, usize)>);

impl Found {
    fn take(&mut self, name: &[u8]) {
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| name.len() <= LONGEST) else { return };
        let name = name.trim_matches(['"', ' ']);
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| known == name) {
            *count += 1;
        } else if self.0.len() < MOST_KEPT && is_figure(name) {
            self.0.push((name.into(), 1));
        }
    }

    fn names(self, times: usize) -> Vec<String> {
        let often = self.0.into_iter().filter(|(_, count)| *count >= times);
        often.map(|(name, _)| name).take(MOST).collect()
    }
}

/// Whether a name may be that of a loss, and can be given on the command line as it stands.
fn is_figure(name: &str) -> bool {
    let plain = |letter: char| letter.is_alphanumeric() || "_-./: @#%+()[]".contains(letter);
    let what = names::read(name.as_bytes()).what;
    matches!(what, What::Metric | What::Aside) && !name.is_empty() && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_figures_are_told_and_those_of_places_are_not() {
        for (text, expected) in [
            ("epoch 1: train=1.9, val=1.8\nepoch 2: train=1.7, val=1.7\n", "train val"),
            ("Epoch 1/8\nTrain: 1.9\nVal: 1.8\nEpoch 2/8\nTrain: 1.8\nVal: 1.7\n", "Train Val"),
            ("it,a,b\n1,1.5,1.4\n", "a b"),
            (
                "\x1b[32m[1/9]\x1b[0m train 1.9 val 1.8 lr 1\n[2/9] train 1.7 \x1b[1mval\x1b[0m 1.7\n",
                "train val",
            ),
            ("epoch train val  acc time\n  1 2.11 1.89 0.51 00:12\n", "train val acc time"),
            ("listening on\n8080 ready\n", ""),
            ("{\"step\": 1, \"a\": 1.5}\n{\"step\": 2, \"a\": 1.4}\n", "a"),
            ("{\"$(a)\": 1.5}\n{\"$(a)\": 1.4}\n", ""),
            ("listening on port 8080\nready\n", ""),
            ("", ""),
        ] {
            assert_eq!(figures(text.as_bytes()).join(" "), expected, "{text}");
        }
    }
}
