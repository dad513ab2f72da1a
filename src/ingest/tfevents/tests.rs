//! Event files made here: both kinds of scalars, every cut, every kind of damage.

use super::*;
use crate::event::Event;
use crate::ingest::proto::write::{bytes, double, float, number};
use std::collections::BTreeMap;

/// A record of the file, framed.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let sum = |bytes: &[u8]| masked(crc32c::crc32c(bytes)).to_le_bytes();
    [&length[..], &sum(&length), data, &sum(data)].concat()
}

fn value(step: u64, value: &[u8]) -> Vec<u8> {
    framed(&[double(1, 1000.0 + step as f64), number(2, step), bytes(5, &bytes(1, value))].concat())
}

fn simple(step: u64, tag: &str, loss: f32) -> Vec<u8> {
    value(step, &[bytes(1, tag.as_bytes()), float(2, loss)].concat())
}

fn tensor(step: u64, tag: &str, tensor: &[u8]) -> Vec<u8> {
    value(step, &[bytes(1, tag.as_bytes()), bytes(8, tensor)].concat())
}

/// Ten steps and an evaluation after each second, as a Hugging Face trainer logs them.
fn file() -> Vec<u8> {
    let mut file = framed(&[double(1, 1000.0), bytes(3, b"brain.Event:2")].concat());
    for step in 1..=10 {
        file.extend(simple(step, "train/loss", 3.0 / step as f32));
        file.extend(simple(step, "train/learning_rate", 0.5));
        file.extend(simple(step, "train/epoch", step as f32 / 2.0));
        if step % 2 == 0 {
            file.extend(simple(step, "eval/loss", 4.0 / step as f32));
            file.extend(simple(step, "eval/accuracy", 0.25));
            file.extend(simple(step, "eval/runtime", 1.0));
        }
    }
    file
}

fn read(file: &[u8], chunk: usize) -> Parsed {
    let (mut reader, mut out) = (TfEvents::new(""), Parsed::default());
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

fn losses(parsed: &Parsed) -> Vec<(u64, f64)> {
    let loss = |record: &crate::event::record::Record| match &record.event {
        Event::Step(stats) => Some((stats.step, stats.loss)),
        Event::Eval(stats) => Some((stats.step + 100, stats.loss)),
        _ => None,
    };
    parsed.records.iter().filter_map(loss).collect()
}

#[test]
fn scalars_of_a_step_become_one_record_however_the_file_comes_in() {
    let file = file();
    assert!(TfEvents::sniff(&file) && !TfEvents::sniff(b"Iter 1: Val loss 2.045"));
    let whole = read(&file, file.len());
    assert_eq!(whole.skipped.total(), 0);
    assert_eq!(whole.records.len(), 15);
    let Event::Step(first) = &whole.records[0].event else { panic!("not a step") };
    assert_eq!((first.step, first.loss, first.learning_rate, first.epoch), (1, 3.0, Some(0.5), Some(0.5)));
    assert_eq!(whole.records[0].t, 0.0);
    let Event::Eval(eval) = &whole.records[2].event else { panic!("not an evaluation") };
    assert_eq!((eval.step, eval.loss, eval.epoch, eval.metrics.len()), (2, 2.0, Some(1.0), 1));
    assert_eq!(whole.records[2].t, 1.0);
    for chunk in [1, 2, 3, 7, 13, 64, 100] {
        assert_eq!(read(&file, chunk), whole, "in pieces of {chunk}");
    }
}

#[test]
fn a_cut_takes_nothing_but_what_is_behind_it() {
    let file = file();
    let whole = losses(&read(&file, file.len()));
    for cut in 0..file.len() {
        let parsed = read(&file[..cut], 50);
        let found = losses(&parsed);
        assert_eq!(found, whole[..found.len()], "cut at {cut}");
        assert!(parsed.skipped.total() <= 1);
    }
}

#[test]
fn a_half_written_record_is_waited_for_and_what_is_known_is_shown() {
    let file = file();
    let (mut reader, mut out) = (TfEvents::new(""), Parsed::default());
    for (i, byte) in file.iter().enumerate() {
        reader.push(std::slice::from_ref(byte), &mut out);
        if i % 5 == 0 {
            reader.settle(&mut out);
        }
    }
    reader.finish(&mut out);
    assert_eq!(out.skipped.total(), 0);
    // What was said too early is said again, whole.
    let newest = |records: &[crate::event::record::Record]| -> BTreeMap<(bool, u64), String> {
        let said = records.iter().filter_map(|record| match &record.event {
            Event::Step(stats) => Some(((false, stats.step), format!("{record:?}"))),
            Event::Eval(stats) => Some(((true, stats.step), format!("{record:?}"))),
            _ => None,
        });
        said.collect()
    };
    assert_eq!(newest(&out.records), newest(&read(&file, file.len()).records));
}

#[test]
fn damage_costs_what_it_hits() {
    let file = file();
    let whole = losses(&read(&file, file.len()));
    for at in 0..file.len() {
        let mut spoilt = file.clone();
        spoilt[at] ^= 0x10;
        let parsed = read(&spoilt, 64);
        assert_eq!(parsed.skipped.total(), 1, "a bit of byte {at}");
        let found = losses(&parsed);
        assert!(found.len() + 1 >= whole.len(), "a bit of byte {at}: {found:?}");
        assert!(found.iter().all(|point| whole.contains(point)), "a bit of byte {at}");
    }
    // A writer killed in the middle of a record, and another that wrote on behind it.
    let torn = [&file[..200], &file[..]].concat();
    assert_eq!(read(&torn, 77).skipped.total(), 1);
    assert!(losses(&read(&torn, 77)).ends_with(&whole));
    // What says that it is long is not believed, and what is long is not kept.
    let long = framed(&vec![0; READ as usize + 1]);
    let between = [&file[..], &long, &file[..]].concat();
    assert_eq!(losses(&read(&between, 1 << 16)).len(), 2 * whole.len());
    let huge = u64::MAX.to_le_bytes();
    let lie = [&huge[..], &masked(crc32c::crc32c(&huge)).to_le_bytes(), &file].concat();
    assert_eq!(losses(&read(&lie, 1 << 16)), whole);
}

#[test]
fn tensors_of_one_element_are_scalars() {
    let content = |kind: u64, data: &[u8]| [number(1, kind), bytes(4, data)].concat();
    for (tensor_proto, expected) in [
        (content(FLOAT, &1.5_f32.to_le_bytes()), Some(1.5)),
        (content(DOUBLE, &2.5_f64.to_le_bytes()), Some(2.5)),
        (content(INT64, &3_i64.to_le_bytes()), Some(3.0)),
        (content(HALF, &half::f16::from_f32(0.5).to_le_bytes()), Some(0.5)),
        (content(BFLOAT16, &half::bf16::from_f32(0.5).to_le_bytes()), Some(0.5)),
        ([number(1, FLOAT), float(5, 4.5)].concat(), Some(4.5)),
        ([number(1, FLOAT), bytes(5, &5.5_f32.to_le_bytes())].concat(), Some(5.5)),
        ([number(1, DOUBLE), double(6, 6.5)].concat(), Some(6.5)),
        (content(FLOAT, &[0; 8]), None),
        (content(7, b"text"), None),
    ] {
        let file = tensor(3, "epoch_loss", &tensor_proto);
        let (mut reader, mut out) = (TfEvents::new("validation"), Parsed::default());
        reader.push(&file, &mut out);
        reader.finish(&mut out);
        let expected: Vec<_> = expected.map(|loss| (103, loss)).into_iter().collect();
        assert_eq!(losses(&out), expected);
        assert_eq!(reader.trainer(), if expected.is_empty() { "tensorboard" } else { "keras" });
    }
}
