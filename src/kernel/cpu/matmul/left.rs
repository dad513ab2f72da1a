//! Left operands: activations, packed once for all products that share them, or strip by strip by whoever
//! multiplies them; or, where every element meets few others, read where they are.
//!
//! A packed copy is read from memory by every product; numbers that are split are half as large again in it. Where a
//! product has some columns, which pay for it, and not so many that they go past in many groups, it is less work to
//! pack each strip of rows anew, into the first caches, than to fetch the copy. Which of both is for
//! [`super::multiply`] to say, which sees the whole product.

use super::pack::{Elements, Form, Source, narrow};
use super::{Isa, LINE, Threads, before_line, filled};
use crate::cpu::simd::vectorized;
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::OnceLock;

/// A left operand, whose lanes are its rows.
pub(in crate::cpu) struct Left<'a> {
    pub(super) source: Source<'a>,
    pub(super) form: Form,
    pub(super) isa: &'static Isa,
    /// Whether strips are read where they are, or as a copy of their rows.
    pub(super) in_place: bool,
    packed: OnceLock<Packed>,
}

/// Where the units of a strip of rows are.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    pub(super) at: *const u32,
    /// Elements from one row to the next, where it is not packed.
    pub(super) stride: usize,
}

/// All strips of an operand.
struct Packed {
    data: Vec<u32>,
    /// Where the strips begin.
    start: usize,
}

impl<'a> Left<'a> {
    /// The lanes of `source` as rows, as exact as `isa` multiplies them.
    pub(in crate::cpu) fn new(isa: &'static Isa, source: Source<'a>) -> Self {
        Self { source, form: isa.form(&source), isa, in_place: false, packed: OnceLock::new() }
    }

    /// The same, read where it is: for a product with few columns, of which packing would be more work. Rows that do
    /// not exist, and what scale or dropout change, are copied strip by strip by each task for itself.
    pub(in crate::cpu) fn in_place(isa: &'static Isa, source: Source<'a>) -> Self {
        let rows = source.step_stride == 1 && matches!(source.elements, Elements::F32(_));
        Self { in_place: isa.unpacked.is_some() && rows, ..Self::new(isa, source) }
    }

    /// The same, rounded to bf16: for products with bf16, by instructions that take pairs.
    pub(in crate::cpu) fn rounded(isa: &'static Isa, source: Source<'a>) -> Self {
        let plain = source.step_stride == 1 && source.plain().is_some();
        assert!(isa.pairs && (plain || isa.panel > 1), "{} multiplies no such pairs", isa.name);
        Self { form: Form::Pairs, ..Self::new(isa, source) }
    }

    #[cfg(test)]
    pub(super) fn is_packed(&self) -> bool {
        self.packed.get().is_some()
    }

    /// Units of the sum.
    pub(super) fn units(&self) -> usize {
        self.form.units(self.source.steps)
    }

    /// The steps of some units.
    pub(super) fn steps(&self, units: Range<usize>) -> Range<usize> {
        let each = self.form.steps_of_unit();
        each * units.start..(each * units.end).min(self.source.steps)
    }

    /// Packs all strips, unless they are.
    pub(super) fn pack(&self, threads: Threads) {
        if self.in_place || self.packed.get().is_some() {
            return;
        }
        let packed = match self.source.elements {
            // Tiles without panels take pairs from memory alone.
            Elements::F32(data) if self.form == Form::Pairs && self.isa.panel == 1 => {
                let narrowed = narrow(data);
                self.copy(Source { elements: Elements::Bf16(&narrowed), ..self.source }, threads)
            }
            _ => self.copy(self.source, threads),
        };
        // Not under the lock of the cell: a thread that waits for others may come by here again. Whoever is late has
        // packed the same.
        let _ = self.packed.set(packed);
    }

    fn copy(&self, source: Source, threads: Threads) -> Packed {
        let each = self.isa.room(self.units(), self.form) * self.isa.rows;
        let strips = source.lanes.div_ceil(self.isa.rows);
        let mut start = 0;
        let data = filled(each * strips + LINE, |out| {
            start = before_line(out);
            let (before, out) = out.split_at_mut(start);
            let (out, after) = out.split_at_mut(each * strips);
            before.fill(MaybeUninit::new(0));
            after.fill(MaybeUninit::new(0));
            let pack = |(index, out): (usize, &mut [MaybeUninit<u32>])| {
                self.isa.pack_rows(out, source, index * self.isa.rows, 0..source.steps, self.form);
            };
            match threads {
                _ if each == 0 => {}
                Threads::All => out.par_chunks_mut(each).with_min_len(4).enumerate().for_each(pack),
                Threads::One => out.chunks_mut(each).enumerate().for_each(pack),
            }
        });
        Packed { data, start }
    }

    /// Elements of some units of a strip.
    pub(super) fn room(&self, units: &Range<usize>) -> usize {
        self.isa.room(units.len(), self.form) * self.isa.rows
    }

    /// Some units of the strip of rows `index * isa.rows..`: of the packed copy, or where they are, else packed or
    /// copied into `free`, which has [`Self::room`] for them.
    pub(super) fn strip(&self, index: usize, units: Range<usize>, free: &mut [MaybeUninit<u32>]) -> Strip {
        if let Some(Packed { data, start }) = self.packed.get() {
            let each = self.isa.room(self.units(), self.form) * self.isa.rows;
            let before = self.isa.room(units.start, self.form) * self.isa.rows;
            let packed = &data[start + index * each + before..][..self.room(&units)];
            return Strip { at: packed.as_ptr(), stride: 0 };
        }
        let first = index * self.isa.rows;
        if !self.in_place {
            self.isa.pack_rows(free, self.source, first, self.steps(units), self.form);
            return Strip { at: free.as_ptr().cast(), stride: 0 };
        }
        let Source { lanes, lane_stride, .. } = self.source;
        if let Some(data) = self.source.plain().filter(|_| first + self.isa.rows <= lanes) {
            let rows = &data[first * lane_stride..];
            assert!((self.isa.rows - 1) * lane_stride + units.end <= rows.len(), "a whole strip of rows");
            return Strip { at: rows[units.start..].as_ptr().cast(), stride: lane_stride };
        }
        for (lane, out) in (first..first + self.isa.rows).zip(free.chunks_exact_mut(units.len().max(1))) {
            if lane < lanes {
                row(out, self.source, lane * lane_stride + units.start);
            } else {
                out.fill(MaybeUninit::new(0));
            }
        }
        Strip { at: free.as_ptr().cast(), stride: units.len() }
    }
}

vectorized! {
    /// Elements that lie together, from number `first` on, scaled and after dropout.
    fn row(out: &mut [MaybeUninit<u32>], source: Source, first: usize) {
        let Elements::F32(data) = source.elements else { return };
        let data = &data[first..first + out.len()];
        for (i, (out, x)) in out.iter_mut().zip(data).enumerate() {
            let factor = source.dropout.factor(first.wrapping_add(i) as u32);
            out.write((x * source.scale * factor).to_bits());
        }
    }
}
