//! Files made here: rows over block borders, every cut, every kind of damage.

use super::*;
use crate::ingest::proto::write::{bytes, number};

/// Puts records into chunks and blocks as `wandb` does.
fn file(records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    for record in records {
        let (mut rest, mut first) = (&record[..], true);
        loop {
            let room = BLOCK as usize - out.len() % BLOCK as usize;
            if room < HEADER {
                out.resize(out.len() + room, 0);
                continue;
            }
            let (part, left) = rest.split_at(rest.len().min(room - HEADER));
            let kind = match (first, left.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, true) => LAST,
                (false, false) => MIDDLE,
            };
            let checked = [&[kind], part].concat();
            out.extend(crc32fast::hash(&checked).to_le_bytes());
            out.extend((part.len() as u16).to_le_bytes());
            out.extend(checked);
            (rest, first) = (left, false);
            if rest.is_empty() {
                break;
            }
        }
    }
    out
}

/// A row of history; the names are nested keys, as newer versions write them.
fn row(figures: &[(&str, &str)]) -> Vec<u8> {
    let item = |(name, value): &(&str, &str)| {
        let mut item: Vec<u8> = name.split('>').flat_map(|part| bytes(2, part.as_bytes())).collect();
        item.extend(bytes(16, value.as_bytes()));
        bytes(1, &item)
    };
    bytes(2, &figures.iter().flat_map(item).collect::<Vec<_>>())
}

fn run() -> Vec<Vec<u8>> {
    let mut records = vec![bytes(17, &bytes(1, b"id"))];
    for step in 1..=60_u32 {
        let (at, loss) = ((5 * step).to_string(), format!("{}", 3.0 / f64::from(step)));
        let (count, time) = (step.to_string(), format!("{}", 1000 + step));
        // Something long, as tables and texts are, so that rows cross the borders of blocks.
        let text = format!("\"{}\"", "x".repeat(1500));
        let name = if step % 3 == 0 { "eval/loss" } else { "train>loss" };
        let figures = [
            (name, &loss[..]),
            ("note", &text),
            ("train/global_step", &at),
            ("_timestamp", &time),
            ("_step", &count),
        ];
        records.push(row(&figures));
        records.push(bytes(7, b""));
    }
    records.push(bytes(18, &number(1, 0)));
    records
}

fn read(file: &[u8], chunk: usize) -> Parsed {
    let (mut reader, mut out) = (Wandb::new(), Parsed::default());
    for chunk in file.chunks(chunk.max(1)) {
        reader.push(chunk, &mut out);
    }
    reader.finish(&mut out);
    // The first says who wrote it.
    if !out.records.is_empty() {
        assert!(matches!(out.records.remove(0).event, Event::RunStarted(_)));
    }
    out
}

#[test]
fn rows_are_read_by_the_trainers_step_however_the_file_comes_in() {
    let file = file(&run());
    assert!(file.len() > 2 * BLOCK as usize && Wandb::sniff(&file));
    let whole = read(&file, file.len());
    assert_eq!(whole.skipped.total(), 0);
    assert_eq!(whole.records.len(), 61);
    let Event::Step(first) = &whole.records[0].event else { panic!("not a step") };
    assert_eq!((first.step, first.loss), (5, 3.0));
    let Event::Eval(eval) = &whole.records[2].event else { panic!("not an evaluation") };
    assert_eq!((eval.step, eval.loss, whole.records[2].t), (15, 1.0, 2.0));
    let Event::RunEnded(ended) = &whole.records[60].event else { panic!("not the end") };
    assert_eq!((ended.reason, ended.step), (StopReason::Finished, 300));
    for chunk in [1, 5, 100, 4096, 32_768, 33_000] {
        assert_eq!(read(&file, chunk), whole, "in pieces of {chunk}");
    }
}

#[test]
fn a_cut_takes_nothing_but_what_is_behind_it() {
    let file = file(&run());
    let whole = read(&file, file.len()).records;
    for cut in (0..file.len()).step_by(97).chain(32_740..32_800) {
        let parsed = read(&file[..cut], 1000);
        assert_eq!(parsed.records, whole[..parsed.records.len()], "cut at {cut}");
        assert!(parsed.skipped.total() <= 1, "cut at {cut}");
    }
}

#[test]
fn damage_costs_what_it_hits() {
    let file = file(&run());
    let whole = read(&file, file.len()).records;
    for at in (MAGIC.len()..file.len()).step_by(61) {
        let mut spoilt = file.clone();
        spoilt[at] ^= 0x10;
        let parsed = read(&spoilt, 5000);
        let found = parsed.records.len();
        assert!((1..=2).contains(&parsed.skipped.total()), "a bit of byte {at}: {:?}", parsed.skipped);
        assert!(found + 1 >= whole.len(), "a bit of byte {at}: {found}");
        // The end names the newest step that is left.
        let is_known = |record: &Record| {
            matches!(record.event, Event::RunEnded(_)) || whole.iter().any(|old| old.event == record.event)
        };
        assert!(parsed.records.iter().all(is_known), "a bit of byte {at}");
    }
}

#[test]
fn a_row_without_the_trainers_step_takes_the_one_before() {
    let rows = [
        row(&[("val_loss", "2.5"), ("_step", "0")]),
        row(&[("loss", "\"NaN\""), ("trainer/global_step", "40"), ("_step", "1")]),
        row(&[("val_loss", "Infinity"), ("_step", "2")]),
        row(&[("val_loss", "{}"), ("text", "\"loss\"")]),
    ];
    let parsed = read(&file(&rows), 1000);
    let points: Vec<String> = parsed
        .records
        .iter()
        .map(|record| match &record.event {
            Event::Step(stats) => format!("{} {}", stats.step, stats.loss),
            Event::Eval(stats) => format!("{} {}", stats.step, stats.loss),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(points, ["0 2.5", "40 NaN", "40 inf"]);
}
