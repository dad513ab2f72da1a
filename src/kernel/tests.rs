//! The native kernels against the portable ones, and the portable ones against finite differences.

use super::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Lengths that are no multiple of any block or register: three rows, one of a single token.
fn layout() -> Layout {
    let starts = vec![0, 70, 71, 88];
    let positions = starts.windows(2).flat_map(|s| 0..(s[1] - s[0]) as u32).collect();
    Layout { starts, positions }
}

const HEADS: Heads = Heads { query: 4, key_value: 2, dim: 6, window: None };
/// Smaller than a block of queries, and larger than one.
const WINDOWS: [Option<usize>; 3] = [None, Some(5), Some(67)];

struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn matrix(&mut self, rows: usize, cols: usize) -> Tensor {
        let data: Vec<f32> = (0..rows * cols).map(|_| self.0.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(data, (rows, cols), &Device::Cpu).unwrap()
    }

    fn vector(&mut self, n: usize) -> Tensor {
        self.matrix(1, n).flatten_all().unwrap()
    }
}

/// Largest difference over largest magnitude.
fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let largest =
        |t: Tensor| t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    largest((a - b).unwrap()) / largest(b.clone())
}

fn assert_close(name: &str, a: &Tensor, b: &Tensor) {
    let off = difference(a, b);
    assert!(off < 2e-6, "{name}: native and portable differ by {off:e}");
}

#[test]
fn native_linear_equals_portable() {
    let mut random = Random::new(1);
    let (x, dy) = (random.matrix(88, 50), random.matrix(88, 33));
    let lora = Lora { a: random.matrix(5, 50), b: random.matrix(33, 5), scale: 1.7 };
    let exact = random.matrix(33, 50);
    for dtype in [DType::F32, DType::BF16] {
        let w = Weight { matrix: exact.to_dtype(dtype).unwrap() };
        // Some processors round activations to the type of the matrix: these are not changed by it.
        let rounded = |t: &Tensor| t.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
        let (x, dy) = (rounded(&x), rounded(&dy));
        for dropout in [Dropout::OFF, Dropout::new(0.3, 11)] {
            // A group of three: with an adapter, without, and with one again.
            let lora = Some((&lora, dropout));
            let group = [lora, None, lora].map(|lora| Projection { weight: &w, lora });
            for residual in [None, Some(&dy)] {
                let ours = Kernels::Cpu.linear(&x, &group, residual).unwrap();
                let reference = Kernels::Portable.linear(&x, &group, residual).unwrap();
                for (ours, reference) in ours.iter().zip(&reference) {
                    assert_close("y", &ours.y, &reference.y);
                    assert_eq!(ours.down.is_some(), reference.down.is_some());
                    if let (Some(ours), Some(reference)) = (&ours.down, &reference.down) {
                        assert_close("down", ours, reference);
                    }
                }
            }
            let down = Kernels::Portable.linear(&x, &group, None).unwrap();
            let upstream: Vec<_> = group
                .iter()
                .zip(&down)
                .map(|(&projection, Projected { down, .. })| {
                    (projection, Upstream { dy: &dy, down: down.as_ref() })
                })
                .collect();
            for need_dx in [true, false] {
                let (dx, grads) = Kernels::Cpu.linear_backward(&x, &upstream, need_dx).unwrap();
                let (dx_ref, grads_ref) = Kernels::Portable.linear_backward(&x, &upstream, need_dx).unwrap();
                assert_eq!((dx.is_some(), dx_ref.is_some()), (need_dx, need_dx));
                if let (Some(dx), Some(dx_ref)) = (dx, dx_ref) {
                    assert_close("dx", &dx, &dx_ref);
                }
                assert_eq!((grads.len(), grads[1].is_some()), (3, false));
                for (grad, reference) in grads.iter().flatten().zip(grads_ref.iter().flatten()) {
                    assert_close("da", &grad.a, &reference.a);
                    assert_close("db", &grad.b, &reference.b);
                }
            }
        }
    }
}

/// The outputs of a group on top of `dy`, and what comes back when `dy` is the gradient of each of them.
fn there_and_back(
    kernels: Kernels,
    x: &Tensor,
    dy: &Tensor,
    group: &[Projection],
    need_dx: bool,
) -> (Vec<Projected>, Option<Tensor>, Vec<Option<LoraGrad>>) {
    let projected = kernels.linear(x, group, Some(dy)).unwrap();
    let upstream: Vec<_> = group
        .iter()
        .zip(&projected)
        .map(|(&projection, Projected { down, .. })| (projection, Upstream { dy, down: down.as_ref() }))
        .collect();
    let (dx, grads) = kernels.linear_backward(x, &upstream, need_dx).unwrap();
    (projected, dx, grads)
}

/// Some processors round to bf16 what goes through the update of a matrix in bf16, and tell its factors in twice as
/// many bits: where there is nothing to round in what they meet, little is lost.
#[test]
fn an_update_beside_bf16_loses_what_is_rounded_and_little_of_its_factors() {
    let (n, k, out) = (88, 50, 33);
    let (lost, rounded) = (1e-4, 5e-3);
    let assert_close = |name: &str, most: f32, a: &Tensor, b: &Tensor| {
        let off = difference(a, b);
        assert!(off < most, "{name}: {off:e} is not below {most:e}");
    };
    // -1, 0 and 1: so are sums of their products, and twice these, whole numbers that bf16 has.
    let signs = |random: &mut Random, rows, cols| (random.matrix(rows, cols) * 1.5).unwrap().round().unwrap();
    for r in [24, 40, 64] {
        let mut random = Random::new(12);
        let (x, dy) = (signs(&mut random, n, k), signs(&mut random, n, out));
        let weight = Weight { matrix: random.matrix(out, k).to_dtype(DType::BF16).unwrap() };
        let ragged = (random.matrix(r, k), random.matrix(out, r));
        let whole = (signs(&mut random, r, k), signs(&mut random, out, r));
        // What comes to the rank is whole on the way forward, or on the way back.
        for (a, b, y_off, dx_off) in
            [(&whole.0, &ragged.1, lost, rounded), (&ragged.0, &whole.1, rounded, lost)]
        {
            let lora = Lora { a: a.clone(), b: b.clone(), scale: 2.0 };
            for dropout in [Dropout::OFF, Dropout::new(0.5, 11)] {
                let group = [Some((&lora, dropout)), None, Some((&lora, dropout))];
                let group = group.map(|lora| Projection { weight: &weight, lora });
                for need_dx in [true, false] {
                    let (ours, dx, grads) = there_and_back(Kernels::Cpu, &x, &dy, &group, need_dx);
                    let (reference, dx_ref, grads_ref) =
                        there_and_back(Kernels::Portable, &x, &dy, &group, need_dx);
                    for (ours, reference) in ours.iter().zip(&reference) {
                        assert_close("y", y_off, &ours.y, &reference.y);
                        assert_eq!(ours.down.is_some(), reference.down.is_some());
                        for (ours, reference) in ours.down.iter().zip(&reference.down) {
                            assert_close("down", lost, ours, reference);
                        }
                    }
                    assert_eq!((dx.is_some(), dx_ref.is_some()), (need_dx, need_dx));
                    for (dx, dx_ref) in dx.iter().zip(&dx_ref) {
                        assert_close("dx", if dropout.is_off() { dx_off } else { lost }, dx, dx_ref);
                    }
                    assert_eq!(grads.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
                    for (grad, reference) in grads.iter().flatten().zip(grads_ref.iter().flatten()) {
                        assert_close("da", lost, &grad.a, &reference.a);
                        assert_close("db", lost, &grad.b, &reference.b);
                    }
                }
            }
        }
    }
}

#[test]
fn an_update_of_a_rank_that_is_not_low_is_merged() {
    let mut random = Random::new(10);
    let (x, dy) = (random.matrix(300, 40), random.matrix(300, 30));
    let lora = Lora { a: random.matrix(20, 40), b: random.matrix(30, 20), scale: 1.7 };
    let exact = Weight { matrix: random.matrix(30, 40) };
    // Not what dropout acts on, nor in bf16, which would swallow it; and not for a few tokens, as in generation.
    let coarse = Weight { matrix: exact.matrix.to_dtype(DType::BF16).unwrap() };
    let down = |x: &Tensor, weight, dropout| {
        let projection = Projection { weight, lora: Some((&lora, dropout)) };
        Kernels::Cpu.linear(x, &[projection], None).unwrap().remove(0).down
    };
    assert!(down(&x, &exact, Dropout::new(0.1, 1)).is_some() && down(&x, &coarse, Dropout::OFF).is_some());
    assert!(down(&x.narrow(0, 0, 20).unwrap(), &exact, Dropout::OFF).is_some());

    let lora = Some((&lora, Dropout::OFF));
    let group = [lora, None, lora].map(|lora| Projection { weight: &exact, lora });
    for need_dx in [true, false] {
        let (ours, dx, grads) = there_and_back(Kernels::Cpu, &x, &dy, &group, need_dx);
        let (reference, dx_ref, grads_ref) = there_and_back(Kernels::Portable, &x, &dy, &group, need_dx);
        for (ours, reference) in ours.iter().zip(&reference) {
            assert!(ours.down.is_none());
            assert_close("y", &ours.y, &reference.y);
        }
        assert_eq!(dx.is_some(), need_dx);
        if let (Some(dx), Some(dx_ref)) = (dx, dx_ref) {
            assert_close("dx", &dx, &dx_ref);
        }
        assert_eq!(grads.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
        for (grad, reference) in grads.iter().flatten().zip(grads_ref.iter().flatten()) {
            assert_close("da", &grad.a, &reference.a);
            assert_close("db", &grad.b, &reference.b);
        }
    }
}

#[test]
fn native_pointwise_equals_portable() {
    let mut random = Random::new(2);
    let (x, dy, residual) = (random.matrix(88, 500), random.matrix(88, 500), random.matrix(88, 500));
    let weight = random.vector(500);
    let norm = |k: Kernels| k.rms_norm(&x, &weight, 1e-5).unwrap();
    assert_close("norm", &norm(Kernels::Cpu), &norm(Kernels::Portable));
    for residual in [None, Some(&residual)] {
        let back = |k: Kernels| k.rms_norm_backward(&dy, &x, &weight, 1e-5, residual).unwrap();
        assert_close("norm backward", &back(Kernels::Cpu), &back(Kernels::Portable));
    }
    let glu = |k: Kernels| k.swiglu(&x, &dy).unwrap();
    assert_close("swiglu", &glu(Kernels::Cpu), &glu(Kernels::Portable));
    let back = |k: Kernels| k.swiglu_backward(&residual, &x, &dy).unwrap();
    assert_close("swiglu d_gate", &back(Kernels::Cpu).0, &back(Kernels::Portable).0);
    assert_close("swiglu d_up", &back(Kernels::Cpu).1, &back(Kernels::Portable).1);

    let bias = |k: Kernels| k.add_bias(&x, &weight).unwrap();
    assert_close("bias", &bias(Kernels::Cpu), &bias(Kernels::Portable));
    let weight = random.vector(20);
    let norm = |k: Kernels| k.head_norm(&x, &weight, 1e-5).unwrap();
    assert_close("head norm", &norm(Kernels::Cpu), &norm(Kernels::Portable));
    let back = |k: Kernels| k.head_norm_backward(&dy, &x, &weight, 1e-5).unwrap();
    assert_close("head norm backward", &back(Kernels::Cpu), &back(Kernels::Portable));

    let rope = Rope { cos: random.matrix(128, 5), sin: random.matrix(128, 5) };
    for inverse in [false, true] {
        let turn = |k: Kernels| k.rope(&x, &rope, &layout(), 10, inverse).unwrap();
        assert_close("rope", &turn(Kernels::Cpu), &turn(Kernels::Portable));
    }
}

#[test]
fn native_attention_equals_portable() {
    let mut random = Random::new(3);
    let (n, wide, narrow) = (88, HEADS.query * HEADS.dim, HEADS.key_value * HEADS.dim);
    let (q, k, v) = (random.matrix(n, wide), random.matrix(n, narrow), random.matrix(n, narrow));
    let grad = random.matrix(n, wide);
    let layout = layout();
    for window in WINDOWS {
        let heads = Heads { window, ..HEADS };
        let (out, lse) = Kernels::Cpu.attention(&q, &k, &v, &layout, heads).unwrap();
        let (out_ref, lse_ref) = Kernels::Portable.attention(&q, &k, &v, &layout, heads).unwrap();
        assert_close("out", &out, &out_ref);
        assert_close("lse", &lse, &lse_ref);
        let back = |kernels: Kernels| {
            kernels.attention_backward(&grad, &q, &k, &v, &out, &lse, &layout, heads).unwrap()
        };
        let (ours, reference) = (back(Kernels::Cpu), back(Kernels::Portable));
        assert_close("dq", &ours.0, &reference.0);
        assert_close("dk", &ours.1, &reference.1);
        assert_close("dv", &ours.2, &reference.2);
    }
}

#[test]
fn a_window_hides_what_is_too_far_back() {
    let mut random = Random::new(9);
    let (n, wide, narrow) = (88, HEADS.query * HEADS.dim, HEADS.key_value * HEADS.dim);
    let (q, k) = (random.matrix(n, wide), random.matrix(n, narrow));
    // The value of the first token of the first row is seen by as many queries as the window is long.
    let mut values = vec![0f32; n * narrow];
    values[..narrow].fill(1.0);
    let v = Tensor::from_vec(values, (n, narrow), &Device::Cpu).unwrap();
    for kernels in [Kernels::Cpu, Kernels::Portable] {
        let heads = Heads { window: Some(5), ..HEADS };
        let (out, _) = kernels.attention(&q, &k, &v, &layout(), heads).unwrap();
        let seen = |row: &Vec<f32>| row.iter().all(|&x| x > 0.0);
        let rows = out.to_vec2::<f32>().unwrap();
        assert_eq!(rows.iter().take_while(|row| seen(row)).count(), 5, "{kernels:?}");
        assert!(rows[5..].iter().flatten().all(|&x| x == 0.0), "{kernels:?}");
    }
}

#[test]
fn rows_of_a_packed_batch_do_not_see_each_other() {
    let mut random = Random::new(4);
    let (n, wide, narrow) = (88, HEADS.query * HEADS.dim, HEADS.key_value * HEADS.dim);
    let (q, k, v) = (random.matrix(n, wide), random.matrix(n, narrow), random.matrix(n, narrow));
    let (together, _) = Kernels::Cpu.attention(&q, &k, &v, &layout(), HEADS).unwrap();
    let (start, length) = (71, 17);
    let alone = Layout { starts: vec![0, length], positions: (0..length as u32).collect() };
    let cut = |t: &Tensor| t.narrow(0, start, length).unwrap().contiguous().unwrap();
    let (by_itself, _) = Kernels::Cpu.attention(&cut(&q), &cut(&k), &cut(&v), &alone, HEADS).unwrap();
    assert_close("row", &by_itself, &cut(&together));
}

#[test]
fn native_head_equals_portable() {
    let mut random = Random::new(5);
    let (x, w) = (random.matrix(600, 24), Weight { matrix: random.matrix(77, 24) });
    let targets: Vec<u32> = (0..600).map(|i| i * 31 % 77).collect();
    let head = |k: Kernels, scale| k.head_loss(&x, &w, &targets, scale).unwrap();
    let (ours, reference) = (head(Kernels::Cpu, Some(0.25)), head(Kernels::Portable, Some(0.25)));
    assert_close("grad", &ours.grad.unwrap(), &reference.grad.unwrap());
    assert_eq!(ours.hits, reference.hits);
    assert!(ours.hits.iter().any(|&hit| hit), "the case must have hits to compare");
    for (a, b) in ours.nats.iter().zip(&reference.nats) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
    assert!(head(Kernels::Cpu, None).grad.is_none());
}

#[test]
fn a_head_with_a_nan_has_a_nan_loss() {
    let w = Weight { matrix: Tensor::full(f32::NAN, (40, 8), &Device::Cpu).unwrap() };
    let x = Tensor::ones((1, 8), DType::F32, &Device::Cpu).unwrap();
    let loss = Kernels::Cpu.head_loss(&x, &w, &[3], None).unwrap();
    assert!(loss.nats[0].is_nan() && !loss.hits[0]);
}

/// Checks an analytic gradient of `sum(weights * f(x))` at a few elements of `x`.
fn check_gradient(name: &str, x: &Tensor, analytic: &Tensor, objective: &dyn Fn(&Tensor) -> f64) {
    let (rows, cols) = x.dims2().unwrap();
    let base: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
    let gradient: Vec<f32> = analytic.flatten_all().unwrap().to_vec1().unwrap();
    let step = 1e-2f32;
    for index in (0..base.len()).step_by(base.len() / 23 + 1) {
        let at = |delta: f32| {
            let mut moved = base.clone();
            moved[index] += delta;
            objective(&Tensor::from_vec(moved, (rows, cols), &Device::Cpu).unwrap())
        };
        let numeric = (at(step) - at(-step)) / f64::from(2.0 * step);
        let off = (numeric - f64::from(gradient[index])).abs();
        assert!(
            off < 2e-3 * numeric.abs().max(1.0),
            "{name}[{index}]: {numeric} against {}",
            gradient[index]
        );
    }
}

/// `sum(a * b)` in double precision.
fn weighted(a: &Tensor, b: &Tensor) -> f64 {
    (a * b).unwrap().to_dtype(DType::F64).unwrap().sum_all().unwrap().to_scalar().unwrap()
}

#[test]
fn gradients_agree_with_finite_differences() {
    let mut random = Random::new(6);
    let kernels = Kernels::Portable;
    let layout = Layout { starts: vec![0, 5, 9], positions: vec![0, 1, 2, 3, 4, 0, 1, 2, 3] };
    let (n, wide, narrow) = (9, HEADS.query * HEADS.dim, HEADS.key_value * HEADS.dim);

    let (x, dy, weight) = (random.matrix(n, wide), random.matrix(n, wide), random.vector(wide));
    let dx = kernels.rms_norm_backward(&dy, &x, &weight, 1e-5, None).unwrap();
    check_gradient("rms_norm", &x, &dx, &|x| weighted(&kernels.rms_norm(x, &weight, 1e-5).unwrap(), &dy));

    let weight = random.vector(HEADS.dim);
    let dx = kernels.head_norm_backward(&dy, &x, &weight, 1e-5).unwrap();
    check_gradient("head_norm", &x, &dx, &|x| weighted(&kernels.head_norm(x, &weight, 1e-5).unwrap(), &dy));

    let up = random.matrix(n, wide);
    let (d_gate, d_up) = kernels.swiglu_backward(&dy, &x, &up).unwrap();
    check_gradient("swiglu gate", &x, &d_gate, &|x| weighted(&kernels.swiglu(x, &up).unwrap(), &dy));
    check_gradient("swiglu up", &up, &d_up, &|up| weighted(&kernels.swiglu(&x, up).unwrap(), &dy));

    let (k, v) = (random.matrix(n, narrow), random.matrix(n, narrow));
    for window in [None, Some(3)] {
        let heads = Heads { window, ..HEADS };
        let (out, lse) = kernels.attention(&x, &k, &v, &layout, heads).unwrap();
        let (dq, dk, dv) = kernels.attention_backward(&dy, &x, &k, &v, &out, &lse, &layout, heads).unwrap();
        let run = |q: &Tensor, k: &Tensor, v: &Tensor| {
            weighted(&kernels.attention(q, k, v, &layout, heads).unwrap().0, &dy)
        };
        check_gradient("attention q", &x, &dq, &|q| run(q, &k, &v));
        check_gradient("attention k", &k, &dk, &|k| run(&x, k, &v));
        check_gradient("attention v", &v, &dv, &|v| run(&x, &k, v));
    }

    let w = Weight { matrix: random.matrix(wide, wide) };
    let lora = Lora { a: random.matrix(3, wide), b: random.matrix(wide, 3), scale: 0.5 };
    let dropout = Dropout::new(0.3, 5);
    let forward = |x: &Tensor, lora: &Lora| {
        let group = [Projection { weight: &w, lora: Some((lora, dropout)) }];
        kernels.linear(x, &group, None).unwrap().remove(0)
    };
    let kept = forward(&x, &lora).down;
    let projection = Projection { weight: &w, lora: Some((&lora, dropout)) };
    let upstream = Upstream { dy: &dy, down: kept.as_ref() };
    let (dx, mut grads) = kernels.linear_backward(&x, &[(projection, upstream)], true).unwrap();
    let grad = grads.remove(0).unwrap();
    let with = |a: &Tensor, b: &Tensor| Lora { a: a.clone(), b: b.clone(), scale: lora.scale };
    check_gradient("linear x", &x, &dx.unwrap(), &|x| weighted(&forward(x, &lora).y, &dy));
    check_gradient("linear a", &lora.a, &grad.a, &|a| weighted(&forward(&x, &with(a, &lora.b)).y, &dy));
    check_gradient("linear b", &lora.b, &grad.b, &|b| weighted(&forward(&x, &with(&lora.a, b)).y, &dy));

    let head = Weight { matrix: random.matrix(11, wide) };
    let targets = [0, 3, 10, 3, 7, 1, 2, 9, 5];
    let loss = kernels.head_loss(&x, &head, &targets, Some(0.5)).unwrap();
    check_gradient("head", &x, &loss.grad.unwrap(), &|x| {
        let nats = kernels.head_loss(x, &head, &targets, None).unwrap().nats;
        0.5 * nats.iter().map(|&n| f64::from(n)).sum::<f64>()
    });
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let mut random = Random::new(8);
    // Rows enough to be cut into several shares.
    let (x, dy) = (random.matrix(700, 96), random.matrix(700, 160));
    let exact = random.matrix(160, 96);
    let lora = Lora { a: random.matrix(8, 96), b: random.matrix(160, 8), scale: 2.0 };
    let [q, k, v] = [4, 2, 2].map(|heads| random.matrix(700, heads * 16));
    let heads = Heads { query: 4, key_value: 2, dim: 16, window: None };
    let layout = Layout { starts: vec![0, 90, 300, 700], positions: Vec::new() };
    let targets: Vec<u32> = (0..700).map(|i| i * 7 % 160).collect();
    let compute = |threads: usize, w: &Weight| -> Vec<Vec<f32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let tensors = pool.install(|| {
            let cpu = Kernels::Cpu;
            let projection = Projection { weight: w, lora: Some((&lora, Dropout::new(0.2, 3))) };
            let Projected { y, down } = cpu.linear(&x, &[projection], None).unwrap().remove(0);
            let upstream = Upstream { dy: &dy, down: down.as_ref() };
            let (dx, mut grads) = cpu.linear_backward(&x, &[(projection, upstream)], true).unwrap();
            let grad = grads.remove(0).unwrap();
            let (out, lse) = cpu.attention(&q, &k, &v, &layout, heads).unwrap();
            let (dq, dk, dv) = cpu.attention_backward(&q, &q, &k, &v, &out, &lse, &layout, heads).unwrap();
            let head = cpu.head_loss(&x, w, &targets, Some(0.1)).unwrap();
            let nats = Tensor::from_vec(head.nats, 700, &Device::Cpu).unwrap();
            [y, dx.unwrap(), grad.a, grad.b, out, lse, dq, dk, dv, nats, head.grad.unwrap()]
        });
        tensors.iter().map(|tensor| tensor.flatten_all().unwrap().to_vec1().unwrap()).collect()
    };
    for dtype in [DType::F32, DType::BF16] {
        let w = Weight { matrix: exact.to_dtype(dtype).unwrap() };
        let one = compute(1, &w);
        for threads in [2, 3, 7] {
            assert_eq!(compute(threads, &w), one, "{threads} threads, {dtype:?}");
        }
    }
}

#[test]
fn a_layout_that_leaves_tokens_out_is_refused() {
    let x = Random::new(9).matrix(5, 6);
    let heads = Heads { query: 1, key_value: 1, dim: 6, window: None };
    for starts in [vec![], vec![0, 3], vec![1, 5], vec![0, 4, 3, 5]] {
        let layout = Layout { starts, positions: (0..5).collect() };
        let attend = || Kernels::Cpu.attention(&x, &x, &x, &layout, heads);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(attend)).is_err(), "{layout:?}");
    }
    let (dx, grads) = Kernels::Cpu.linear_backward(&x, &[], true).unwrap();
    assert!(dx.is_none() && grads.is_empty());
}
