//! JSON Lines of any trainer: LLaMA-Factory's `trainer_log.jsonl`, ms-swift's `logging.jsonl`, and
//! whoever writes a row of names and figures a line.

use super::points::At;
use super::rows::Rows;
use super::{Format, Map, Points, dict, names};
use crate::event::StopReason;

pub(super) struct Jsonl {
    rows: Rows,
    trainer: &'static str,
}

impl Jsonl {
    pub(super) fn new(map: &Map) -> Self {
        Self { rows: Rows::new(map), trainer: "jsonl" }
    }

    /// One object of a trainer that is known, from its brace on.
    pub(super) fn object_of(&mut self, text: &[u8], trainer: &'static str, points: &mut Points) -> bool {
        self.trainer = trainer;
        self.object(text, points)
    }

    /// Whether the newest object is about the whole run.
    pub(super) fn is_summary(&self) -> bool {
        self.rows.is_summary()
    }

    /// One object, from its brace on.
    fn object(&mut self, text: &[u8], points: &mut Points) -> bool {
        self.rows.begin();
        let (rows, trainer) = (&mut self.rows, &mut self.trainer);
        let whole = dict::pairs(text, |name, cell| {
            match name {
                b"current_steps" => *trainer = "llama-factory",
                b"global_step/max_steps" => *trainer = "ms-swift",
                _ if *trainer == "hf-trainer" && names::of_trl(name) => *trainer = "trl",
                _ => {}
            }
            rows.cell(name, cell);
        });
        if !whole && points.started() {
            points.skip("an object that is cut short");
        }
        if !whole || !self.rows.is_point() {
            return false;
        }
        points.written_by(self.trainer);
        self.rows.give(At::default(), points)
    }
}

impl Format for Jsonl {
    fn trainer(&self) -> &'static str {
        self.trainer
    }

    fn line(&mut self, line: &[u8], points: &mut Points) -> bool {
        let line = line.trim_ascii_start();
        let row = line.starts_with(b"{");
        let point = row && self.object(line, points);
        if row && !point && self.is_summary() {
            points.end(StopReason::Finished);
        }
        point
    }
}
