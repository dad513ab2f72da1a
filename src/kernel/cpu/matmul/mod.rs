//! Sums of matrix products, on packed operands, with every thread.
//!
//! A result is `base + sum_i left_i right_i`, computed in one pass: what a frozen matrix and its
//! low-rank update say about the same activations, or what several modules say about the gradient
//! of their common input. Left operands are activations, packed once and used by all products that
//! share them, or by each task for itself, or read where they are (see [`left`]); right operands are packed
//! where they are needed, a strip of 16 or 32 columns or a few at a time, so that a matrix kept in bf16 is
//! widened piece by piece and never as a whole.
//!
//! The blocking follows Goto and van de Geijn (2008), for processors with a large second cache: what is
//! packed of the right operand stays there while the rows go past it.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod cut;
mod isa;
mod left;
mod pack;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod split;
mod tile;

pub(super) use isa::Isa;
pub(super) use left::Left;
pub(super) use pack::{Elements, Source, narrow};

use pack::Form;
use rayon::prelude::*;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use tile::{Segment, Target, Tile};

/// Steps that are summed before a tile goes back to memory, at most. 32 columns of them fit the second cache,
/// from which they come as fast as they are used; that the first one would hold a quarter of the steps is worth less
/// than that tiles come back a quarter as often.
const DEPTH: usize = 1024;
/// A last term of at most this many steps goes with the block before it.
const SHORT: usize = 64;
/// With no more strips of rows than this, packing a strip of columns costs more than it saves.
const FEW: usize = 2;

/// Whether the work is shared by all threads or done by the one that asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    All,
    One,
}

/// Elements of a cache line. A tile register is filled several times as fast from whole lines.
const LINE: usize = 16;

/// How many elements come before the first whole cache line.
fn before_line<T>(data: &[T]) -> usize {
    data.as_ptr().align_offset(LINE * size_of::<u32>())
}

/// One term of a sum of products: `left`, `(m, k)`, times `right`, `(k, n)`, whose lanes are its columns.
#[derive(Clone, Copy)]
pub(super) struct Term<'a> {
    pub left: &'a Left<'a>,
    pub right: Source<'a>,
}

/// What room holds before it is written, in debug builds: halves of a signalling NaN, which no arithmetic gives.
const UNWRITTEN: u16 = 0x7FA5;

/// A vector that `fill` has written, every element of it: who calls this answers for that, by asserting the
/// shapes on which it rests.
///
/// # Panics
/// In debug builds, which the tests are, when an element was left out.
pub(super) fn filled<T: Copy>(len: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut data = Vec::with_capacity(len);
    let room = &mut data.spare_capacity_mut()[..len];
    if cfg!(debug_assertions) {
        halves(room).fill(MaybeUninit::new(UNWRITTEN));
    }
    fill(room);
    if cfg!(debug_assertions) {
        assert_written(room);
    }
    #[expect(unsafe_code, reason = "clearing what is overwritten would cost a twentieth of a step")]
    // SAFETY: the kernels beside this module are its only callers. Each walks the whole of the room in chunks, in
    // step with operands whose lengths it has asserted, or by `multiply`, which has tiles for all of it; debug
    // builds look.
    unsafe {
        data.set_len(len);
    }
    data
}

/// Fails where an element still is what the room held at first, all of which has been [`UNWRITTEN`].
fn assert_written<T: Copy>(room: &mut [MaybeUninit<T>]) {
    let len = room.len();
    let each = size_of::<T>() / size_of::<u16>();
    #[expect(unsafe_code, reason = "looks at what was written")]
    // SAFETY: every half was written before the room was filled, which only overwrites.
    let unwritten = |half: &MaybeUninit<u16>| unsafe { half.assume_init() } == UNWRITTEN;
    let left_out = halves(room).chunks_exact(each).position(|element| element.iter().all(unwritten));
    assert_eq!(left_out, None, "an element of {len} was never written");
}

/// Room as its 16-bit halves.
fn halves<T: Copy>(room: &mut [MaybeUninit<T>]) -> &mut [MaybeUninit<u16>] {
    const { assert!(align_of::<T>() >= align_of::<u16>() && size_of::<T>().is_multiple_of(size_of::<u16>())) };
    let len = size_of_val(room) / size_of::<u16>();
    #[expect(unsafe_code, reason = "looks at elements of several types in one way")]
    // SAFETY: the same bytes, which may be uninitialised, for as long; aligned and sized as asserted above.
    unsafe {
        std::slice::from_raw_parts_mut(room.as_mut_ptr().cast(), len)
    }
}

/// Where a product goes: rows of a matrix, `stride` elements apart.
pub(super) struct Out<'a> {
    c: *mut f32,
    len: usize,
    stride: usize,
    base: Base<'a>,
    life: PhantomData<&'a mut [f32]>,
}

#[derive(Clone, Copy)]
enum Base<'a> {
    Nothing,
    Itself,
    Other(&'a [f32], usize),
}

impl<'a> Out<'a> {
    /// Memory that is overwritten.
    pub(super) fn fresh(data: &'a mut [MaybeUninit<f32>], stride: usize) -> Self {
        Self { c: data.as_mut_ptr().cast(), len: data.len(), stride, base: Base::Nothing, life: PhantomData }
    }

    /// Numbers that are added to.
    pub(super) fn sum(data: &'a mut [f32], stride: usize) -> Self {
        Self { c: data.as_mut_ptr(), len: data.len(), stride, base: Base::Itself, life: PhantomData }
    }

    /// Memory that is overwritten by the sum of the product and another matrix.
    pub(super) fn over(self, base: Option<&'a [f32]>) -> Self {
        let stride = self.stride;
        Self { base: base.map_or(self.base, |base| Base::Other(base, stride)), ..self }
    }
}

/// A pointer that threads share; each writes to tiles of its own.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
#[expect(unsafe_code, reason = "tiles are disjoint, which slices of rows cannot express")]
// SAFETY: the tasks of a product write to different elements, and no one reads them meanwhile.
unsafe impl Send for Shared {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// A run of units of one term.
#[derive(Clone, Copy)]
struct Run {
    term: usize,
    from: usize,
    to: usize,
}

impl Run {
    fn units(self) -> Range<usize> {
        self.from..self.to
    }
}

/// The order in which the units of all terms are summed: blocks whose tiles stay in registers. Terms that follow each
/// other and have the same left operand are summed together, so that it is packed once for them.
fn blocks(terms: &[Term]) -> Vec<Vec<Run>> {
    let mut blocks: Vec<Vec<Run>> = Vec::new();
    let (mut open, mut first) = (0, 0);
    for shared in terms.chunk_by(|a, b| std::ptr::eq(a.left, b.left)) {
        let left = shared[0].left;
        let all = left.units();
        let parts = left.source.steps.div_ceil(left.isa.depth).max(1);
        let each = left.isa.padded(all.div_ceil(parts), left.form);
        for part in 0..parts {
            let (from, to) = ((part * each).min(all), ((part + 1) * each).min(all));
            let runs = (first..first + shared.len()).map(|term| Run { term, from, to });
            let units = (to - from) * shared.len();
            match blocks.last_mut() {
                Some(last) if units <= SHORT && open + units <= left.isa.depth + SHORT => {
                    last.extend(runs);
                    open += units;
                }
                _ => {
                    blocks.push(runs.collect());
                    open = units;
                }
            }
        }
        first += shared.len();
    }
    blocks
}

thread_local! {
    /// What a thread has packed: strips of the right operand, and one of the left. Kept from call to call.
    static STRIPS: RefCell<Vec<MaybeUninit<u32>>> = const { RefCell::new(Vec::new()) };
}

/// Computes the sum of `terms` into `out`, which has `m` rows and `n` columns.
///
/// Each element is summed in the same order, whatever the number of threads.
pub(super) fn multiply(
    isa: &'static Isa,
    Out { c, len, stride, base, .. }: Out,
    (m, n): (usize, usize),
    terms: &[Term],
    threads: Threads,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(!terms.is_empty(), "a sum of no products");
    assert!(n <= stride && (m - 1) * stride + n <= len, "room for a product");
    if let Base::Other(base, stride) = base {
        assert!((m - 1) * stride + n <= base.len(), "what a product is added to");
    }
    for Term { left, right } in terms {
        assert!(left.source.lanes == m && right.lanes == n, "shapes of a product");
        assert!(left.source.steps == right.steps, "steps of a product");
        assert!(std::ptr::eq(left.isa, isa), "an operand packed for another instruction set");
    }
    let vectors = if n <= isa.lanes { 1 } else { 2 };
    let width = vectors * isa.lanes;
    let in_place = terms[0].left.in_place;
    assert!(terms.iter().all(|term| term.left.in_place == in_place), "operands in place beside others");
    let tile = isa.unpacked.filter(|_| in_place).unwrap_or(isa.tiles)[vectors - 1];
    let job = Job { isa, tile, width, m, n, c: Shared(c), stride, base, terms, blocks: &blocks(terms) };
    let (high, wide) = (m.div_ceil(isa.rows), n.div_ceil(width));
    let (rows, columns) =
        if threads == Threads::One { (high, wide) } else { isa.cut.tasks(isa.rows, high, wide) };
    if !job.packs_rows_itself(columns) {
        for term in terms {
            term.left.pack(threads);
        }
    }
    if threads == Threads::One {
        return job.compute(0..high, 0..wide);
    }
    let down = high.div_ceil(rows);
    (0..down * wide.div_ceil(columns)).into_par_iter().with_max_len(1).for_each(|task| {
        let (i, j) = (task % down, task / down);
        job.compute(i * rows..((i + 1) * rows).min(high), j * columns..((j + 1) * columns).min(wide));
    });
}

/// Strips of columns that a strip of rows meets at least, where a task packs it for itself (unless these are all that
/// there are, so that no other task packs the same)...
const COLUMNS_OF_A_PACKING: usize = 4;
/// ... and how often a task packs the same at most.
const PACKINGS: usize = 2;

/// Elements of strips of columns that are packed together at least where rows are read in place: those that have to be
/// copied are copied for all of them.
const IN_PLACE: usize = 64 << 10;

/// One product, for the threads that share it.
struct Job<'a> {
    isa: &'static Isa,
    tile: Tile,
    /// Columns of a strip.
    width: usize,
    m: usize,
    n: usize,
    c: Shared,
    stride: usize,
    base: Base<'a>,
    terms: &'a [Term<'a>],
    blocks: &'a [Vec<Run>],
}

impl Job<'_> {
    /// Whether a task of so many strips of columns packs its rows itself, strip by strip.
    fn packs_rows_itself(&self, columns: usize) -> bool {
        let packings = |runs: &Vec<Run>| columns.div_ceil(self.group(runs));
        self.isa.rows_as_needed
            && (columns >= COLUMNS_OF_A_PACKING || columns * self.width >= self.n)
            && self.blocks.iter().all(|runs| packings(runs) <= PACKINGS)
    }

    /// Strips of columns that are packed before the rows go past them.
    fn group(&self, runs: &[Run]) -> usize {
        let copied = runs.iter().any(|run| self.terms[run.term].left.in_place);
        let room = if copied { self.isa.group.max(IN_PLACE) } else { self.isa.group };
        (room / self.strip(runs).max(1)).max(1)
    }

    /// Elements of a strip of columns.
    fn strip(&self, runs: &[Run]) -> usize {
        runs.iter().map(|run| self.room(run)).sum()
    }

    /// Computes the tiles of some strips of rows and of columns.
    fn compute(&self, rows: Range<usize>, columns: Range<usize>) {
        // Two products can be under way on one thread when a task waits inside another: each has its own strips.
        let mut strips = STRIPS.take();
        let around = self.isa.around.unwrap_or([|| (), || ()]);
        #[expect(unsafe_code, reason = "changes the state of the processor")]
        // SAFETY: `available` has found what these belong to.
        unsafe {
            around[0]();
        }
        for (index, runs) in self.blocks.iter().enumerate() {
            let of_rows: usize = runs.iter().map(|run| self.terms[run.term].left.room(&run.units())).sum();
            let group = self.group(runs);
            for first in columns.clone().step_by(group) {
                let columns = first..(first + group).min(columns.end);
                let room = columns.len() * self.strip(runs);
                if strips.len() < room + of_rows + LINE {
                    strips.resize(room + of_rows + LINE, MaybeUninit::uninit());
                }
                let start = before_line(&strips);
                let (of_columns, of_rows) = strips[start..].split_at_mut(room);
                let segments = self.pack(runs, rows.len(), columns.clone(), of_columns);
                self.tiles(index == 0, runs, rows.clone(), columns, segments, of_rows);
            }
        }
        #[expect(unsafe_code, reason = "changes the state of the processor")]
        // SAFETY: as above.
        unsafe {
            around[1]();
        }
        STRIPS.set(strips);
    }

    /// The elements that a run takes in a strip of columns.
    fn room(&self, run: &Run) -> usize {
        self.isa.room(run.to - run.from, self.terms[run.term].left.form) * self.width
    }

    /// Packs strips of columns of the right operands for so many strips of rows, one after the other: the segments
    /// of each, without their left operands.
    fn pack(
        &self,
        runs: &[Run],
        rows: usize,
        columns: Range<usize>,
        mut free: &mut [MaybeUninit<u32>],
    ) -> Vec<Segment> {
        let mut segments = Vec::with_capacity(columns.len() * runs.len());
        for at in columns.map(|column| column * self.width) {
            for run in runs {
                let Term { left, right } = &self.terms[run.term];
                let (steps, form) = (run.to - run.from, left.form);
                let empty = Segment {
                    a: std::ptr::null(),
                    a_stride: 0,
                    b: std::ptr::null(),
                    b_stride: self.width,
                    steps,
                    form,
                };
                let few = rows <= FEW && form == Form::Single && self.isa.panel == 1;
                if few && let Some((b, b_stride)) = right.in_place(at..at + self.width, run.from) {
                    segments.push(Segment { b: b.as_ptr().cast(), b_stride, ..empty });
                    continue;
                }
                let (out, rest) = free.split_at_mut(self.room(run));
                free = rest;
                self.isa.pack_columns(out, self.width, *right, at, left.steps(run.units()), form);
                segments.push(Segment { b: out.as_ptr().cast(), ..empty });
            }
        }
        segments
    }

    /// Adds one block of the sum to the tiles of some strips of rows and of columns.
    fn tiles(
        &self,
        first: bool,
        runs: &[Run],
        rows: Range<usize>,
        columns: Range<usize>,
        mut segments: Vec<Segment>,
        of_rows: &mut [MaybeUninit<u32>],
    ) {
        let mut strips = Vec::with_capacity(runs.len());
        for index in rows {
            strips.clear();
            let mut free = &mut *of_rows;
            for (at, run) in runs.iter().enumerate() {
                let left = self.terms[run.term].left;
                let before = at.checked_sub(1).map(|before| (runs[before], strips[before]));
                let strip = match before {
                    Some((other, strip))
                        if other.from == run.from && std::ptr::eq(self.terms[other.term].left, left) =>
                    {
                        strip
                    }
                    _ => {
                        let (out, rest) = free.split_at_mut(left.room(&run.units()));
                        free = rest;
                        left.strip(index, run.units(), out)
                    }
                };
                strips.push(strip);
            }
            for (column, segments) in columns.clone().zip(segments.chunks_exact_mut(runs.len())) {
                for (segment, strip) in segments.iter_mut().zip(&strips) {
                    (segment.a, segment.a_stride) = (strip.at, strip.stride);
                }
                let (row, at) = (index * self.isa.rows, column * self.width);
                let (base, base_stride) = match self.base {
                    _ if !first => (Some(self.c.0.cast_const()), self.stride),
                    Base::Nothing => (None, 0),
                    Base::Itself => (Some(self.c.0.cast_const()), self.stride),
                    Base::Other(base, stride) => (Some(base.as_ptr()), stride),
                };
                #[expect(unsafe_code, reason = "a tile works on pointers")]
                // SAFETY: `multiply` has checked that rows and columns lie inside the result and the base; the
                // segments were packed before, for this tile and as many steps, or are where the source has them;
                // `available` has found the instructions.
                unsafe {
                    let target = Target {
                        c: self.c.0.add(row * self.stride + at),
                        stride: self.stride,
                        rows: self.isa.rows.min(self.m - row),
                        cols: self.width.min(self.n - at),
                        base: base.map_or(std::ptr::null(), |base| base.add(row * base_stride + at)),
                        base_stride,
                    };
                    (self.tile)(segments, target);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
