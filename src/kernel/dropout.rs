//! Dropout whose mask is a hash of a counter: nothing is stored, and the backward pass asks again.
//!
//! The hash is made of wrapping `u32` multiplication, addition and division by powers of two, so
//! that tensor ops can compute the same mask on a device that has nothing else.

#![expect(clippy::inline_always, reason = "the loops around it are only vectorised when it is part of them")]

/// Which elements of one matrix are dropped in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Hash values below this are dropped.
    threshold: u32,
    /// What the kept elements are multiplied by: `1 / (1 - p)`.
    pub scale: f32,
    key: u32,
}

impl Dropout {
    /// Nothing is dropped.
    pub const OFF: Self = Self { threshold: 0, scale: 1.0, key: 0 };

    /// Drops each element with probability `p`. The masks of different keys are windows of one cycle of 2^32: two of a
    /// million elements overlap, shifted against each other, in one pair of two thousand.
    pub fn new(p: f64, key: u32) -> Self {
        if p <= 0.0 {
            return Self::OFF;
        }
        let threshold = (p * f64::from(u32::MAX)) as u32;
        Self { threshold, scale: (1.0 / (1.0 - p)) as f32, key }
    }

    pub fn is_off(self) -> bool {
        self.threshold == 0
    }

    /// The same probability with a key that depends on `index`: one for each matrix of a step.
    #[must_use]
    pub fn fork(self, index: u32) -> Self {
        if self.is_off() { self } else { Self { key: hash(index, self.key), ..self } }
    }

    /// What element `index` is multiplied by: 0 or [`Dropout::scale`].
    #[inline(always)]
    pub fn factor(self, index: u32) -> f32 {
        if hash(index, self.key) >= self.threshold { self.scale } else { 0.0 }
    }
}

/// Mixes a counter and a key into 32 even bits.
///
/// Three rounds of RC6's quadratic permutation `z (2z + 1)` (Rivest et al. 1998), which is not
/// linear in any sense, and of swapping the halves, which carries the well-mixed high bits down.
#[inline(always)]
fn hash(index: u32, key: u32) -> u32 {
    let mut z = index.wrapping_mul(0x9E37_79B1).wrapping_add(key);
    for constant in [0x85EB_CA6B, 0xC2B2_AE35, 0x27D4_EB2F_u32] {
        z = z.wrapping_mul(z.wrapping_mul(2).wrapping_add(1));
        z = (z / (1 << 16)).wrapping_add(z.wrapping_mul(1 << 16)).wrapping_add(constant);
    }
    z.wrapping_mul(z.wrapping_mul(2).wrapping_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_share_it_was_told_and_keeps_the_mean() {
        for p in [0.05, 0.1, 0.5] {
            let dropout = Dropout::new(p, 7).fork(3);
            let n = 200_000_u32;
            let dropped = (0..n).filter(|&i| dropout.factor(i) == 0.0).count() as f64 / f64::from(n);
            // Five standard errors of a fair coin of this bias.
            let bound = 5.0 * (p * (1.0 - p) / f64::from(n)).sqrt();
            assert!((dropped - p).abs() < bound, "{dropped} for {p}");
        }
    }

    #[test]
    fn neighbours_and_keys_are_unrelated() {
        let n = 100_000_u32;
        let agree = |f: &dyn Fn(u32) -> (bool, bool)| {
            (0..n)
                .filter(|&i| {
                    let (a, b) = f(i);
                    a == b
                })
                .count() as f64
                / f64::from(n)
        };
        let one = Dropout::new(0.5, 1).fork(0);
        let other = Dropout::new(0.5, 1).fork(1);
        let next_step = Dropout::new(0.5, 2).fork(0);
        let kept = |d: Dropout, i| d.factor(i) != 0.0;
        for (name, share) in [
            ("neighbouring elements", agree(&|i| (kept(one, i), kept(one, i + 1)))),
            ("rows of 512", agree(&|i| (kept(one, i), kept(one, i + 512)))),
            ("matrices", agree(&|i| (kept(one, i), kept(other, i)))),
            ("steps", agree(&|i| (kept(one, i), kept(next_step, i)))),
        ] {
            assert!((share - 0.5).abs() < 0.01, "{name}: {share}");
        }
    }

    #[test]
    fn off_is_off() {
        assert!(Dropout::new(0.0, 9).fork(4).is_off());
        assert_eq!(Dropout::OFF.factor(12), 1.0);
    }
}
