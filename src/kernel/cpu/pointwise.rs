//! Norm, rotary embedding and gated activation: work that passes once over each row.

use super::matmul::filled;
use super::simd::{dot, exp, vectorized};
use super::{tensor, view};
use crate::{Layout, Rope};
use candle_core::{Result, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Rows that one task takes at least: a row is too little work to hand over alone.
const MIN_ROWS: usize = 32;
/// Elements that one task of an elementwise kernel takes.
const BLOCK: usize = 64 * 1024;

pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    let (n, h) = x.dims2()?;
    let (x, weight) = (view(x)?, view(weight)?);
    let (x, weight) = (&*x, &*weight);
    assert_eq!(weight.len(), h, "weights of a norm");
    let y = filled(n * h, |y| {
        y.par_chunks_mut(h)
            .zip(x.par_chunks(h))
            .with_min_len(MIN_ROWS)
            .for_each(|(y, x)| norm_row(y, x, weight, eps));
    });
    tensor(y, n, h)
}

vectorized! {
    fn norm_row(y: &mut [MaybeUninit<f32>], x: &[f32], weight: &[f32], eps: f32) {
        let r = 1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt();
        for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
            y.write(x * r * w);
        }
    }
}

pub(crate) fn rms_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    eps: f32,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let (n, h) = x.dims2()?;
    let (dy, x, weight) = (view(dy)?, view(x)?, view(weight)?);
    let (dy, x, weight) = (&*dy, &*x, &*weight);
    let residual = residual.map(view).transpose()?;
    let residual = residual.as_deref();
    assert!(dy.len() == n * h && weight.len() == h, "shapes of a norm");
    let dx = filled(n * h, |dx| {
        dx.par_chunks_mut(h)
            .zip(dy.par_chunks(h))
            .zip(x.par_chunks(h))
            .with_min_len(MIN_ROWS)
            .enumerate()
            .for_each(|(i, ((dx, dy), x))| {
                let residual = residual.map(|residual| &residual[i * h..(i + 1) * h]);
                norm_backward_row(dx, residual, dy, x, weight, eps);
            });
    });
    tensor(dx, n, h)
}

vectorized! {
    /// `dx = residual + r w dy - x r^3 mean(w dy x)`, where `r` is the reciprocal of the root mean square.
    fn norm_backward_row(
        dx: &mut [MaybeUninit<f32>],
        residual: Option<&[f32]>,
        dy: &[f32],
        x: &[f32],
        weight: &[f32],
        eps: f32,
    ) {
        let h = x.len() as f32;
        let r = 1.0 / (dot(x, x) / h + eps).sqrt();
        let mut inner = 0.0;
        for ((dy, w), x) in dy.chunks(256).zip(weight.chunks(256)).zip(x.chunks(256)) {
            let mut scaled = [0.0; 256];
            for ((s, dy), w) in scaled.iter_mut().zip(dy).zip(w) {
                *s = dy * w;
            }
            inner += dot(&scaled[..x.len()], x);
        }
        let shared = inner * r * r * r / h;
        let own = dy.iter().zip(weight).zip(x).map(|((dy, w), x)| dy * w * r - x * shared);
        match residual {
            Some(residual) => {
                for ((dx, own), residual) in dx.iter_mut().zip(own).zip(residual) {
                    dx.write(residual + own);
                }
            }
            None => {
                for (dx, own) in dx.iter_mut().zip(own) {
                    dx.write(own);
                }
            }
        }
    }
}

pub(crate) fn rope(
    x: &Tensor,
    rope: &Rope,
    layout: &Layout,
    head_dim: usize,
    inverse: bool,
) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let (cos, sin) = (view(&rope.cos)?, view(&rope.sin)?);
    let (cos, sin) = (&*cos, &*sin);
    let half = head_dim / 2;
    assert!(layout.positions.len() == n && width.is_multiple_of(2 * half), "shapes of a rotary embedding");
    let (x, sign) = (view(x)?, if inverse { -1.0 } else { 1.0 });
    let y = filled(n * width, |y| {
        y.par_chunks_mut(width)
            .zip(x.par_chunks(width))
            .zip(layout.positions.par_iter())
            .with_min_len(MIN_ROWS)
            .for_each(|((y, x), &position)| {
                let at = position as usize * half;
                turn_row(y, x, &cos[at..at + half], &sin[at..at + half], sign);
            });
    });
    tensor(y, n, width)
}

vectorized! {
    fn turn_row(y: &mut [MaybeUninit<f32>], x: &[f32], cos: &[f32], sin: &[f32], sign: f32) {
        let half = cos.len();
        for (y, x) in y.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)) {
            let ((first, second), (a, b)) = (y.split_at_mut(half), x.split_at(half));
            for (((((first, second), a), b), c), s) in first.iter_mut().zip(second).zip(a).zip(b).zip(cos).zip(sin) {
                let s = s * sign;
                first.write(a * c - b * s);
                second.write(b * c + a * s);
            }
        }
    }
}

pub(crate) fn add_bias(y: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (n, width) = y.dims2()?;
    let bias = view(bias)?;
    let bias = &*bias;
    let y = view(y)?;
    assert_eq!(bias.len(), width, "a bias for each column");
    let sum = filled(n * width, |sum| {
        sum.par_chunks_mut(width)
            .zip(y.par_chunks(width))
            .with_min_len(MIN_ROWS)
            .for_each(|(sum, y)| add_block(sum, y, bias));
    });
    tensor(sum, n, width)
}

pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (n, width) = a.dims2()?;
    let (a, b) = (view(a)?, view(b)?);
    assert_eq!(a.len(), b.len(), "terms of a sum");
    let y = filled(n * width, |y| {
        y.par_chunks_mut(BLOCK)
            .zip(a.par_chunks(BLOCK))
            .zip(b.par_chunks(BLOCK))
            .for_each(|((y, a), b)| add_block(y, a, b));
    });
    tensor(y, n, width)
}

vectorized! {
    fn add_block(y: &mut [MaybeUninit<f32>], a: &[f32], b: &[f32]) {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            y.write(a + b);
        }
    }
}

pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let (n, width) = gate.dims2()?;
    let (gate, up) = (view(gate)?, view(up)?);
    assert_eq!(gate.len(), up.len(), "halves of a gated activation");
    let y = filled(n * width, |y| {
        y.par_chunks_mut(BLOCK)
            .zip(gate.par_chunks(BLOCK))
            .zip(up.par_chunks(BLOCK))
            .for_each(|((y, gate), up)| swiglu_block(y, gate, up));
    });
    tensor(y, n, width)
}

vectorized! {
    fn swiglu_block(y: &mut [MaybeUninit<f32>], gate: &[f32], up: &[f32]) {
        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
            y.write(g / (1.0 + exp(-g)) * u);
        }
    }
}

pub(crate) fn swiglu_backward(dy: &Tensor, gate: &Tensor, up: &Tensor) -> Result<(Tensor, Tensor)> {
    let (n, width) = gate.dims2()?;
    let (dy, gate, up) = (view(dy)?, view(gate)?, view(up)?);
    assert!(dy.len() == gate.len() && gate.len() == up.len(), "halves of a gated activation");
    let mut d_up = Vec::new();
    let d_gate = filled(n * width, |d_gate| {
        d_up = filled(n * width, |d_up| {
            d_gate
                .par_chunks_mut(BLOCK)
                .zip(d_up.par_chunks_mut(BLOCK))
                .zip(dy.par_chunks(BLOCK))
                .zip(gate.par_chunks(BLOCK))
                .zip(up.par_chunks(BLOCK))
                .for_each(|((((d_gate, d_up), dy), gate), up)| {
                    swiglu_backward_block(d_gate, d_up, dy, gate, up);
                });
        });
    });
    Ok((tensor(d_gate, n, width)?, tensor(d_up, n, width)?))
}

vectorized! {
    fn swiglu_backward_block(d_gate: &mut [MaybeUninit<f32>], d_up: &mut [MaybeUninit<f32>], dy: &[f32], gate: &[f32], up: &[f32]) {
        for ((((d_gate, d_up), dy), g), u) in d_gate.iter_mut().zip(d_up).zip(dy).zip(gate).zip(up) {
            let sigmoid = 1.0 / (1.0 + exp(-g));
            let silu = g * sigmoid;
            // d silu(g) / dg = s(g) (1 - silu(g)) + silu(g)
            d_gate.write(dy * u * (sigmoid * (1.0 - silu) + silu));
            d_up.write(dy * silu);
        }
    }
}
