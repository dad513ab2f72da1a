//! Products of every instruction set of this processor against sums in double precision.

use super::pack::narrow;
use super::*;
use crate::Dropout;
use half::bf16;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random(seed: u64, n: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// The product of a `(m, k)` and a `(k, n)` matrix, given as functions of row and column.
fn exact(
    (m, n, k): (usize, usize, usize),
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) -> Vec<f64> {
    let sum = |i, j| (0..k).map(|s| f64::from(a(i, s)) * f64::from(b(s, j))).sum();
    (0..m * n).map(|at| sum(at / n, at % n)).collect()
}

fn assert_close(what: &str, ours: &[f32], exact: &[f64]) {
    assert_eq!(ours.len(), exact.len());
    let largest = exact.iter().fold(0f64, |a, b| a.max(b.abs()));
    for (i, (a, b)) in ours.iter().zip(exact).enumerate() {
        let off = (f64::from(*a) - b).abs() / largest;
        assert!(off < 1e-5, "{what}, element {i}: {a} and {b}");
    }
}

/// Shapes with every kind of edge: less than a tile, exactly one, a single step, several blocks with a rest, rows
/// so few that the right operand is read where it is.
const SHAPES: [(usize, usize, usize); 8] = [
    (1, 1, 1),
    (14, 32, 16),
    (15, 33, 17),
    (3, 8, 600),
    (70, 16, 257),
    (29, 100, 513),
    (200, 70, 40),
    (12, 70, 2 * DEPTH + 52),
];

#[test]
fn products_of_every_orientation() {
    for isa in Isa::available() {
        for (m, n, k) in SHAPES {
            let (a, b) = (random(1, m * k), random(2, k * n));
            let wanted = exact((m, n, k), |i, s| a[i * k + s], |s, j| b[s * n + j]);
            let turn = |data: &[f32], rows: usize, cols: usize| -> Vec<f32> {
                (0..rows * cols).map(|at| data[at % rows * cols + at / rows]).collect()
            };
            let (a_turned, b_turned) = (turn(&a, m, k), turn(&b, k, n));
            for left in
                [Source::rows(Elements::F32(&a), m, k, k), Source::columns(Elements::F32(&a_turned), k, m, m)]
            {
                for right in [
                    Source::columns(Elements::F32(&b), k, n, n),
                    Source::rows(Elements::F32(&b_turned), n, k, k),
                ] {
                    for threads in [Threads::All, Threads::One] {
                        let left = Left::new(isa, left);
                        let c = filled(m * n, |c| {
                            multiply(isa, Out::fresh(c, n), (m, n), &[Term { left: &left, right }], threads);
                        });
                        assert_close(&format!("{} {m}x{n}x{k}", isa.name), &c, &wanted);
                    }
                }
            }
        }
    }
}

#[test]
fn bf16_is_widened_or_multiplied_as_it_is() {
    for isa in Isa::available() {
        for (m, n, k) in SHAPES {
            let narrowed = |seed, n| narrow(&random(seed, n));
            let (a, b, b_turned) = (narrowed(1, m * k), narrowed(2, k * n), narrowed(3, k * n));
            let wide: Vec<f32> = a.iter().map(|x| x.to_f32()).collect();
            let left = if isa.pairs { Elements::Bf16(&a) } else { Elements::F32(&wide) };
            let left = Left::new(isa, Source::rows(left, m, k, k));
            let product = |right: Source| {
                filled(m * n, |c| {
                    multiply(isa, Out::fresh(c, n), (m, n), &[Term { left: &left, right }], Threads::All);
                })
            };
            let what = format!("{} bf16 {m}x{n}x{k}", isa.name);
            let straight = exact((m, n, k), |i, s| wide[i * k + s], |s, j| b[s * n + j].to_f32());
            assert_close(&what, &product(Source::columns(Elements::Bf16(&b), k, n, n)), &straight);
            let turned = exact((m, n, k), |i, s| wide[i * k + s], |s, j| b_turned[j * k + s].to_f32());
            assert_close(&what, &product(Source::rows(Elements::Bf16(&b_turned), n, k, k)), &turned);
        }
    }
}

#[test]
fn terms_are_added_to_each_other_and_to_what_was_there() {
    let (m, n, k, r) = (40, 50, 300, 5);
    let (x, w, down, b) = (random(1, m * k), random(2, n * k), random(3, m * r), random(4, n * r));
    let residual = random(5, m * n);
    let mut wanted = exact((m, n, k), |i, s| x[i * k + s], |s, j| w[j * k + s]);
    for (at, low) in exact((m, n, r), |i, s| down[i * r + s], |s, j| b[j * r + s]).iter().enumerate() {
        wanted[at] += 0.5 * low + f64::from(residual[at]);
    }
    for isa in Isa::available() {
        let left = Left::new(isa, Source::rows(Elements::F32(&x), m, k, k));
        let low = Left::new(isa, Source::rows(Elements::F32(&down), m, r, r));
        let terms = [
            Term { left: &left, right: Source::rows(Elements::F32(&w), n, k, k) },
            Term { left: &low, right: Source::rows(Elements::F32(&b), n, r, r).scaled(0.5) },
        ];
        let over = filled(m * n, |c| {
            multiply(isa, Out::fresh(c, n).over(Some(&residual)), (m, n), &terms, Threads::All);
        });
        assert_close(isa.name, &over, &wanted);
        let mut sum = residual.clone();
        multiply(isa, Out::sum(&mut sum, n), (m, n), &terms, Threads::All);
        assert_eq!(sum, over, "{}", isa.name);
    }
}

#[test]
fn dropout_goes_by_the_place_in_the_matrix() {
    let (m, n, k) = (37, 45, 70);
    let dropout = Dropout::new(0.3, 9);
    let (x, w) = (random(1, m * k), random(2, k * n));
    let kept = |i: usize, s: usize| x[i * k + s] * dropout.factor((i * k + s) as u32);
    for isa in Isa::available() {
        let left = Left::new(isa, Source::rows(Elements::F32(&x), m, k, k).dropped(dropout));
        let right = Source::columns(Elements::F32(&w), k, n, n);
        let product = |left: &Left, right, shape| {
            filled(shape, |c| {
                let rows = left.source.lanes;
                let cols = shape / rows;
                multiply(isa, Out::fresh(c, cols), (rows, cols), &[Term { left, right }], Threads::All);
            })
        };
        let wanted = exact((m, n, k), kept, |s, j| w[s * n + j]);
        assert_close(isa.name, &product(&left, right, m * n), &wanted);
        // The same matrix on the right, its rows being the steps.
        let other = Left::new(isa, Source::columns(Elements::F32(&x), m, 3, k));
        let right = Source::columns(Elements::F32(&x), m, k, k).dropped(dropout);
        let wanted = exact((3, k, m), |i, s| x[s * k + i], kept);
        assert_close(isa.name, &product(&other, right, 3 * k), &wanted);
    }
}

/// The product of two terms on one thread, which takes all columns.
fn on_one_thread(isa: &'static Isa, (m, n): (usize, usize), terms: &[Term]) -> Vec<f32> {
    filled(m * n, |c| multiply(isa, Out::fresh(c, n), (m, n), terms, Threads::One))
}

#[test]
fn strips_that_are_packed_as_needed_are_those_of_the_packed_copy() {
    // Strips of rows and of columns that are not full, panels that are not either, one block and several.
    let (m, n, r) = (70, 163, 5);
    for k in [40, 513, 1065] {
        let (x, turned, w) = (random(1, m * k), random(2, m * k), random(3, n * k));
        let (down, b) = (random(4, m * r), random(5, n * r));
        for isa in Isa::available() {
            for (rows, what) in [
                (Source::rows(Elements::F32(&x), m, k, k), &x as &[f32]),
                (Source::columns(Elements::F32(&turned), k, m, m), &turned),
            ] {
                let left = Left::new(isa, rows);
                let low = Left::new(isa, Source::rows(Elements::F32(&down), m, r, r));
                let terms = [
                    Term { left: &left, right: Source::rows(Elements::F32(&w), n, k, k) },
                    Term { left: &low, right: Source::rows(Elements::F32(&b), n, r, r) },
                ];
                let needed = on_one_thread(isa, (m, n), &terms);
                assert_eq!(left.is_packed(), !isa.rows_as_needed, "{}", isa.name);
                left.pack(Threads::One);
                low.pack(Threads::One);
                assert_eq!(needed, on_one_thread(isa, (m, n), &terms), "{} {k}", isa.name);
                let at = |i: usize, s: usize| what[i * rows.lane_stride + s * rows.step_stride];
                let mut wanted = exact((m, n, k), at, |s, j| w[j * k + s]);
                let low = exact((m, n, r), |i, s| down[i * r + s], |s, j| b[j * r + s]);
                wanted.iter_mut().zip(low).for_each(|(wanted, low)| *wanted += low);
                assert_close(&format!("{} {k}", isa.name), &needed, &wanted);
            }
        }
    }
}

#[test]
fn rows_that_are_read_in_place_give_what_packed_ones_give() {
    for isa in Isa::available() {
        for (m, n, k) in SHAPES {
            // Rows that are longer than what is read of them.
            let (a, b) = (random(1, m * (k + 3)), random(2, k * n));
            let rows = Source::rows(Elements::F32(&a), m, k, k + 3);
            let right = Source::columns(Elements::F32(&b), k, n, n);
            for source in [rows, rows.scaled(0.5), rows.dropped(Dropout::new(0.3, 5))] {
                let (packed, in_place) = (Left::new(isa, source), Left::in_place(isa, source));
                let of = |left| on_one_thread(isa, (m, n), &[Term { left, right }]);
                let what = format!("{} {m}x{n}x{k}", isa.name);
                assert_eq!(of(&packed), of(&in_place), "{what}");
                assert!(isa.unpacked.is_none() || !in_place.is_packed(), "{what}");
                if isa.unpacked.is_some() && source.plain().is_some() && m >= isa.rows {
                    // The first strip is nowhere else.
                    let strip = in_place.strip(0, 0..k, &mut []);
                    assert_eq!((strip.at.cast(), strip.stride), (a.as_ptr(), k + 3), "{what}");
                }
                let all = filled(m * n, |c| {
                    multiply(isa, Out::fresh(c, n), (m, n), &[Term { left: &in_place, right }], Threads::All);
                });
                let at = |i: usize, s: usize| {
                    let index = i * (k + 3) + s;
                    a[index] * source.scale * source.dropout.factor(index as u32)
                };
                assert_close(&what, &all, &exact((m, n, k), at, |s, j| b[s * n + j]));
            }
        }
    }
}

#[test]
fn activations_are_rounded_to_bf16_as_alone() {
    let shapes = SHAPES.into_iter().chain([(70, 163, 77)]);
    for (isa, (m, n, k)) in Isa::available()
        .into_iter()
        .filter(|isa| isa.pairs)
        .flat_map(|isa| shapes.clone().map(move |s| (isa, s)))
    {
        let (x, w) = (random(1, m * k), narrow(&random(2, n * k)));
        let narrowed = narrow(&x);
        let right = Source::rows(Elements::Bf16(&w), n, k, k);
        let [ours, alone] = [
            Left::rounded(isa, Source::rows(Elements::F32(&x), m, k, k)),
            Left::new(isa, Source::rows(Elements::Bf16(&narrowed), m, k, k)),
        ]
        .map(|left| on_one_thread(isa, (m, n), &[Term { left: &left, right }]));
        assert_eq!(ours, alone, "{} {m}x{n}x{k}", isa.name);
        if isa.panel == 1 {
            continue;
        }
        // Panels are rounded as they are packed, whichever way the operand lies and whatever is done to it.
        let dropout = Dropout::new(0.3, 5);
        for source in [Source::columns(Elements::F32(&x), k, m, m), Source::rows(Elements::F32(&x), m, k, k)]
        {
            let source = source.scaled(0.7).dropped(dropout);
            let at = |i: usize| x[i] * 0.7 * dropout.factor(i as u32);
            let masked = narrow(&(0..m * k).map(at).collect::<Vec<_>>());
            let alone =
                Source { elements: Elements::Bf16(&masked), scale: 1.0, dropout: Dropout::OFF, ..source };
            let [ours, alone] = [Left::rounded(isa, source), Left::new(isa, alone)]
                .map(|left| on_one_thread(isa, (m, n), &[Term { left: &left, right }]));
            assert_eq!(ours, alone, "{} {m}x{n}x{k}", isa.name);
        }
    }
}

#[test]
fn rounding_to_bf16_is_to_nearest_even() {
    let cases = [0.0, -0.0, 1.0, 1.003_906_2, 1.011_718_8, f32::INFINITY, f32::MAX, -3.3e-39, f32::NAN];
    for (ours, exact) in narrow(&cases).iter().zip(cases.map(bf16::from_f32)) {
        assert!(ours.to_bits() == exact.to_bits() || ours.is_nan() && exact.is_nan(), "{ours} and {exact}");
    }
}

/// Numbers of sizes from 2^-8 to 2^8, so that small parts of some meet large parts of others.
fn of_many_sizes(seed: u64, n: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| random.random_range(-1.0_f32..1.0) * 2_f32.powi(random.random_range(-8..=8))).collect()
}

#[test]
fn numbers_that_are_split_are_multiplied_as_well_as_whole_ones() {
    let (m, n, k) = (64, 70, 3000);
    let (a, b) = (of_many_sizes(1, m * k), of_many_sizes(2, k * n));
    let wanted = exact((m, n, k), |i, s| a[i * k + s], |s, j| b[s * n + j]);
    let residual: Vec<f32> = random(3, m * n).iter().map(|x| x * 1e6).collect();
    let error = |isa: &'static Isa, base: Option<&[f32]>| {
        let left = Left::new(isa, Source::rows(Elements::F32(&a), m, k, k));
        let right = Source::columns(Elements::F32(&b), k, n, n);
        let c = filled(m * n, |c| {
            multiply(isa, Out::fresh(c, n).over(base), (m, n), &[Term { left: &left, right }], Threads::All);
        });
        let off = |at: usize| f64::from(c[at]) - wanted[at] - base.map_or(0.0, |base| f64::from(base[at]));
        (0..m * n).map(|at| off(at).powi(2)).sum::<f64>().sqrt()
    };
    let available = Isa::available();
    for base in [None, Some(residual.as_slice())] {
        let whole = available.iter().find(|isa| !isa.split).map(|isa| error(isa, base)).unwrap();
        // On top of something large each block is rounded once, and here are twice as many blocks.
        let most = if base.is_some() { 1.6 * whole } else { whole };
        for isa in available.iter().filter(|isa| isa.split) {
            assert!(error(isa, base) <= most, "{}: {} and {whole}", isa.name, error(isa, base));
        }
    }
}

#[test]
fn what_is_not_finite_does_not_come_out_finite() {
    let (m, n, k) = (80, 40, 100);
    // NaN of every kind: to round some up makes zeros of them.
    let nan = [0x7FFF_FFFF, 0xFFFF_FFFF, 0x7F80_0001].map(f32::from_bits);
    for broken in nan.into_iter().chain([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]) {
        for isa in Isa::available() {
            for of_left in [true, false] {
                let (mut a, mut b) = (random(1, m * k), random(2, k * n));
                if of_left {
                    a[17 * k + 33] = broken;
                } else {
                    b[33 * n + 17] = broken;
                }
                let left = Left::new(isa, Source::rows(Elements::F32(&a), m, k, k));
                let right = Source::columns(Elements::F32(&b), k, n, n);
                let c = on_one_thread(isa, (m, n), &[Term { left: &left, right }]);
                for (at, c) in c.iter().enumerate() {
                    let hit = if of_left { at / n == 17 } else { at % n == 17 };
                    assert_eq!(c.is_finite(), !hit, "{}: {broken:?} at {at}", isa.name);
                }
            }
        }
    }
}
