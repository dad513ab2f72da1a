//! The instruction sets that tiles are made of, and which of them this processor has.
//!
//! Adding one is a tile (see [`super::tile`]) and an [`Isa`] here.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx;
use super::tile::{self, Tile};
use std::sync::OnceLock;

/// An instruction set: the tiles made of it.
#[derive(Debug)]
pub(in crate::cpu) struct Isa {
    pub name: &'static str,
    /// Whether frozen bf16 matrices are multiplied as they are, with activations rounded to bf16.
    pub pairs: bool,
    pub(super) rows: usize,
    pub(super) lanes: usize,
    /// Units of pairs that an instruction takes. Where it is more than one, left operands of pairs lie in
    /// panels of as many units, row by row, and every run of units is padded to whole panels.
    pub(super) panel: usize,
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
    rows: tile::PLAIN_ROWS,
    lanes: tile::PLAIN_LANES,
    panel: 1,
    around: None,
    tiles: [tile::plain::<1, true>, tile::plain::<2, true>],
    unpacked: Some([tile::plain::<1, false>, tile::plain::<2, false>]),
};

#[cfg(target_arch = "x86_64")]
const AVX2: Isa = Isa {
    name: "avx2",
    pairs: false,
    rows: tile::AVX2_ROWS,
    lanes: tile::AVX2_LANES,
    panel: 1,
    around: None,
    tiles: [tile::avx2::<1, true>, tile::avx2::<2, true>],
    unpacked: Some([tile::avx2::<1, false>, tile::avx2::<2, false>]),
};

#[cfg(target_arch = "x86_64")]
const AVX512: Isa = Isa {
    name: "avx512",
    pairs: false,
    rows: tile::AVX512_ROWS,
    lanes: tile::AVX512_LANES,
    panel: 1,
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
    rows: amx::ROWS,
    lanes: amx::LANES,
    panel: amx::PANEL,
    around: Some([amx::begin, amx::end]),
    tiles: [amx::tile::<1>, amx::tile::<2>],
    unpacked: None,
};

impl Isa {
    /// Whether packing may use vectors of 16 elements.
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
            if wide && amx::is_available() {
                found.insert(0, &AMX);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(&AVX2);
            }
        }
        found.push(&PLAIN);
        found
    }

    /// The best of this processor for products with matrices of f32 alone, or with some of bf16.
    pub(in crate::cpu) fn best(bf16: bool) -> &'static Self {
        static BEST: OnceLock<[&Isa; 2]> = OnceLock::new();
        let best = BEST.get_or_init(|| {
            let available = Self::available();
            // Tiles that take panels are made for pairs, and slower at the rest.
            let single = available.iter().find(|isa| isa.panel == 1);
            [single.copied().unwrap_or(&PLAIN), available[0]]
        });
        best[usize::from(bf16)]
    }

    /// The room that a run of units takes.
    pub(super) fn padded(&self, units: usize, pairs: bool) -> usize {
        if pairs { units.next_multiple_of(self.panel) } else { units }
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
