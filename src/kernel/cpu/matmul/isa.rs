//! The instruction sets that tiles are made of, and which of them this processor has.
//!
//! Adding one is a tile (see [`super::tile`]) and an [`Isa`] here.

use super::DEPTH;
use super::cut::Cut;
use super::pack::{Elements, Form, Source, strip};
use super::tile::{self, Tile};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::{amx, split};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::OnceLock;

/// Rows of the result from which on it is worth it to split both operands, or to tell a factor as two: that costs as
/// much as some of them.
const FEW_ROWS: usize = 64;
/// Steps from which on it is, and the rank: a panel has 32 of them, be they there or not.
const LEAST_SPLIT: usize = 24;

/// An instruction set: the tiles made of it.
#[derive(Debug)]
pub(in crate::cpu) struct Isa {
    pub name: &'static str,
    /// Whether frozen bf16 matrices are multiplied as they are, with activations rounded to bf16.
    pub pairs: bool,
    /// Whether matrices of f32 are multiplied as three of bf16 each.
    pub(super) split: bool,
    pub(super) rows: usize,
    pub(super) lanes: usize,
    /// Units of pairs that an instruction takes. Where it is more than one, left operands of pairs lie in
    /// panels of as many units, row by row, and every run of units is padded to whole panels.
    pub(super) panel: usize,
    /// Steps that are summed before a tile goes back to memory.
    pub(super) depth: usize,
    /// Elements of strips of columns that are packed together, before the rows go past them: as many strips as have
    /// no more, but one at least.
    pub(super) group: usize,
    /// How products are cut into tasks.
    pub(super) cut: Cut,
    /// Whether a task may pack its rows itself, strip by strip.
    pub(super) rows_as_needed: bool,
    /// What a thread does before it computes tiles, and after.
    pub(super) around: Option<[unsafe fn(); 2]>,
    /// Tiles of one vector of columns, and of two.
    pub(super) tiles: [Tile; 2],
    /// The same for left operands of f32 that are not packed, if there are such tiles.
    pub(super) unpacked: Option<[Tile; 2]>,
}

const PLAIN: Isa = Isa {
    name: "plain",
    pairs: false,
    split: false,
    rows: tile::PLAIN_ROWS,
    lanes: tile::PLAIN_LANES,
    panel: 1,
    depth: DEPTH,
    group: 0,
    cut: Cut::InStrips,
    rows_as_needed: false,
    around: None,
    tiles: [tile::plain::<1, true>, tile::plain::<2, true>],
    unpacked: Some([tile::plain::<1, false>, tile::plain::<2, false>]),
};

#[cfg(target_arch = "x86_64")]
const AVX2: Isa = Isa {
    name: "avx2",
    pairs: false,
    split: false,
    rows: tile::AVX2_ROWS,
    lanes: tile::AVX2_LANES,
    panel: 1,
    depth: DEPTH,
    group: 0,
    cut: Cut::InStrips,
    rows_as_needed: false,
    around: None,
    tiles: [tile::avx2::<1, true>, tile::avx2::<2, true>],
    unpacked: Some([tile::avx2::<1, false>, tile::avx2::<2, false>]),
};

#[cfg(target_arch = "x86_64")]
const AVX512: Isa = Isa {
    name: "avx512",
    pairs: false,
    split: false,
    rows: tile::AVX512_ROWS,
    lanes: tile::AVX512_LANES,
    panel: 1,
    depth: DEPTH,
    group: 0,
    cut: Cut::InStrips,
    rows_as_needed: false,
    around: None,
    tiles: [tile::avx512::<1, true>, tile::avx512::<2, true>],
    unpacked: Some([tile::avx512::<1, false>, tile::avx512::<2, false>]),
};

#[cfg(target_arch = "x86_64")]
const AVX512_BF16: Isa = Isa {
    name: "avx512-bf16",
    pairs: true,
    tiles: [tile::avx512_bf16::<1, true>, tile::avx512_bf16::<2, true>],
    ..AVX512
};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const AMX: Isa = Isa {
    name: "amx",
    pairs: true,
    split: true,
    rows: amx::ROWS,
    lanes: amx::LANES,
    panel: amx::PANEL,
    depth: DEPTH / 2,
    group: 192 << 10,
    cut: Cut::InBlocks,
    rows_as_needed: true,
    around: Some([amx::begin, amx::end]),
    tiles: [amx::tile::<1>, amx::tile::<2>],
    unpacked: None,
};

impl Isa {
    /// Whether packing may use vectors of 16 elements.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn vectors_of_16(&self) -> bool {
        self.lanes == 16
    }

    /// What this processor can run, the best first.
    pub(in crate::cpu) fn available() -> Vec<&'static Self> {
        let mut found: Vec<&Self> = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl");
            if wide {
                found.push(&AVX512);
            }
            if wide && is_x86_feature_detected!("avx512bf16") {
                found.insert(usize::from(!pairs_are_fast()), &AVX512_BF16);
            }
            #[cfg(target_os = "linux")]
            if wide && is_x86_feature_detected!("avx512bf16") && amx::is_available() {
                found.insert(0, &AMX);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(&AVX2);
            }
        }
        found.push(&PLAIN);
        found
    }

    /// The best of this processor for products with matrices of f32 alone, or with some of bf16, on so many rows.
    pub(in crate::cpu) fn best(bf16: bool, rows: usize) -> &'static Self {
        let [single, best] = Self::found();
        if bf16 || best.split && rows >= FEW_ROWS { best } else { single }
    }

    /// Whether it pays to multiply by an update of rank `r`, beside a matrix in bf16, in bf16 too; on so many rows.
    pub(in crate::cpu) fn rounds_updates(&self, rows: usize, r: usize) -> bool {
        self.pairs && self.panel > 1 && rows >= FEW_ROWS && r >= LEAST_SPLIT
    }

    /// The best of this processor without panels, which has tiles for left operands that are not packed, and packs
    /// those of small products soonest.
    pub(in crate::cpu) fn without_panels() -> &'static Self {
        Self::found()[0]
    }

    /// The best that has no panels, and the best.
    fn found() -> [&'static Self; 2] {
        static BEST: OnceLock<[&Isa; 2]> = OnceLock::new();
        *BEST.get_or_init(|| {
            let available = Self::available();
            let single = available.iter().find(|isa| isa.panel == 1);
            [single.copied().unwrap_or(&PLAIN), available[0]]
        })
    }

    /// The units that a run of them is padded to.
    pub(super) fn padded(&self, units: usize, form: Form) -> usize {
        if form == Form::Single { units } else { units.next_multiple_of(self.panel) }
    }

    /// The elements that a run of units takes in each lane.
    pub(super) fn room(&self, units: usize, form: Form) -> usize {
        form.planes() * self.padded(units, form)
    }

    /// Packs [`Isa::rows`] lanes from `first` on at some steps as rows of a left operand.
    pub(super) fn pack_rows(
        &self,
        out: &mut [MaybeUninit<u32>],
        source: Source,
        first: usize,
        steps: Range<usize>,
        form: Form,
    ) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if form != Form::Single && self.panel > 1 {
            let panels =
                if form == Form::Split { split::panels::<{ split::PLANES }> } else { split::panels::<1> };
            #[expect(unsafe_code, reason = "calls code for instructions that were detected")]
            // SAFETY: only the instruction set of these tiles has panels.
            unsafe {
                panels(out, self.rows, source, first, steps, split::Side::Left);
            }
            return;
        }
        strip(self, out, self.rows, source, first, steps, form == Form::Pairs);
    }

    /// Packs `width` lanes from `first` on at some steps as columns of a right operand.
    pub(super) fn pack_columns(
        &self,
        out: &mut [MaybeUninit<u32>],
        width: usize,
        source: Source,
        first: usize,
        steps: Range<usize>,
        form: Form,
    ) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if form == Form::Split {
            #[expect(unsafe_code, reason = "calls code for instructions that were detected")]
            // SAFETY: only the instruction set of these tiles has this form.
            unsafe {
                split::panels::<{ split::PLANES }>(out, width, source, first, steps, split::Side::Right);
            }
            return;
        }
        let (out, padding) = out.split_at_mut(form.units(steps.len()) * width);
        padding.fill(MaybeUninit::new(0));
        strip(self, out, width, source, first, steps, form == Form::Pairs);
    }

    /// The form in which an operand is packed for this instruction set.
    pub(super) fn form(&self, source: &Source) -> Form {
        match source.elements {
            Elements::Bf16(_) if self.pairs => Form::Pairs,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Elements::F32(_) if self.split && source.steps >= LEAST_SPLIT => Form::Split,
            _ => Form::Single,
        }
    }
}

/// Whether the dot product of bf16 pairs does more work in a cycle than the multiplication of f32.
///
/// It does twice as much on AMD's processors. On Intel's it takes two cycles where two f32
/// instructions take one, half the work (measured on Emerald Rapids: 100 against 210 GFLOP/s a core),
/// since bf16 was left to AMX there; widening while packing is twice as fast, and exact.
#[cfg(target_arch = "x86_64")]
fn pairs_are_fast() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD"
}
