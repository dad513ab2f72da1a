//! Products with a frozen matrix and its low-rank update.

use super::simd::vectorized;
use super::{Into, Mat, Threads, product, tensor, view};
use crate::kernel::{Dropout, Lora, LoraGrad, Weight};
use candle_core::{CpuStorage, Result, Storage, Tensor};
use half::bf16;
use rayon::prelude::*;
use std::borrow::Cow;
use std::cell::RefCell;

/// Elements that one task converts or masks.
const BLOCK: usize = 64 * 1024;

thread_local! {
    /// Where bf16 matrices are widened to, kept from call to call.
    static WIDE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with the elements of a frozen matrix in f32.
pub(super) fn with_matrix<R>(w: &Weight, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    if !w.is_bf16() {
        return Ok(f(&view(&w.matrix)?));
    }
    let (storage, layout) = w.matrix.storage_and_layout();
    let (Storage::Cpu(CpuStorage::BF16(data)), Some((start, end))) = (&*storage, layout.contiguous_offsets())
    else {
        candle_core::bail!("a native kernel was given a weight on {:?}", w.matrix.device());
    };
    let narrow = &data[start..end];
    WIDE.with_borrow_mut(|wide| {
        wide.resize(narrow.len().max(wide.len()), 0.0);
        let wide = &mut wide[..narrow.len()];
        wide.par_chunks_mut(BLOCK)
            .zip(narrow.par_chunks(BLOCK))
            .for_each(|(wide, narrow)| widen(wide, narrow));
        Ok(f(wide))
    })
}

vectorized! {
    fn widen(wide: &mut [f32], narrow: &[bf16]) {
        for (wide, narrow) in wide.iter_mut().zip(narrow) {
            *wide = f32::from_bits(u32::from(narrow.to_bits()) << 16);
        }
    }
}

vectorized! {
    /// `out = x * mask`, for the elements from `first` on.
    fn drop_into(out: &mut [f32], x: &[f32], first: u32, dropout: Dropout) {
        for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
            *out = x * dropout.factor(first.wrapping_add(i as u32));
        }
    }
}

vectorized! {
    /// `out += x * mask`, for the elements from `first` on.
    fn add_dropped(out: &mut [f32], x: &[f32], first: u32, dropout: Dropout) {
        for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
            *out += x * dropout.factor(first.wrapping_add(i as u32));
        }
    }
}

/// `dropout(x)`, borrowed when nothing is dropped.
fn dropped(x: &[f32], dropout: Dropout) -> Cow<'_, [f32]> {
    if dropout.is_off() {
        return Cow::Borrowed(x);
    }
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(BLOCK)
        .zip(x.par_chunks(BLOCK))
        .enumerate()
        .for_each(|(i, (out, x))| drop_into(out, x, (i * BLOCK) as u32, dropout));
    Cow::Owned(out)
}

pub(in crate::kernel) fn linear(
    x: &Tensor,
    w: &Weight,
    lora: Option<(&Lora, Dropout)>,
) -> Result<(Tensor, Option<Tensor>)> {
    let (n, k, out) = (x.dim(0)?, w.in_dim(), w.out_dim());
    let x = view(x)?;
    let mut y = vec![0.0; n * out];
    with_matrix(w, |w| {
        product(&mut y, out, Into::Overwrite, Mat::new(&x, n, k), Mat::new(w, out, k).t(), 1.0, Threads::All);
    })?;
    let Some((lora, dropout)) = lora else { return Ok((tensor(y, n, out)?, None)) };
    let r = lora.a.dim(0)?;
    let (a, b) = (view(&lora.a)?, view(&lora.b)?);
    let mut down = vec![0.0; n * r];
    let x = dropped(&x, dropout);
    product(&mut down, r, Into::Overwrite, Mat::new(&x, n, k), Mat::new(&a, r, k).t(), 1.0, Threads::All);
    product(
        &mut y,
        out,
        Into::Add,
        Mat::new(&down, n, r),
        Mat::new(&b, out, r).t(),
        lora.scale,
        Threads::All,
    );
    Ok((tensor(y, n, out)?, Some(tensor(down, n, r)?)))
}

pub(in crate::kernel) fn linear_backward(
    dy: &Tensor,
    x: &Tensor,
    down: Option<&Tensor>,
    w: &Weight,
    lora: Option<(&Lora, Dropout)>,
    need_dx: bool,
) -> Result<(Option<Tensor>, Option<LoraGrad>)> {
    let (n, k, out) = (x.dim(0)?, w.in_dim(), w.out_dim());
    let (dy, x) = (view(dy)?, view(x)?);
    let mut dx = None;
    if need_dx {
        let mut frozen = vec![0.0; n * k];
        with_matrix(w, |w| {
            product(
                &mut frozen,
                k,
                Into::Overwrite,
                Mat::new(&dy, n, out),
                Mat::new(w, out, k),
                1.0,
                Threads::All,
            );
        })?;
        dx = Some(frozen);
    }
    let mut grad = None;
    if let (Some((lora, dropout)), Some(down)) = (lora, down) {
        let r = lora.a.dim(0)?;
        let (a, b, down) = (view(&lora.a)?, view(&lora.b)?, view(down)?);
        let mut d_down = vec![0.0; n * r];
        product(
            &mut d_down,
            r,
            Into::Overwrite,
            Mat::new(&dy, n, out),
            Mat::new(&b, out, r),
            lora.scale,
            Threads::All,
        );
        let mut da = vec![0.0; r * k];
        let kept = dropped(&x, dropout);
        product(
            &mut da,
            k,
            Into::Overwrite,
            Mat::new(&d_down, n, r).t(),
            Mat::new(&kept, n, k),
            1.0,
            Threads::All,
        );
        let mut db = vec![0.0; out * r];
        product(
            &mut db,
            r,
            Into::Overwrite,
            Mat::new(&dy, n, out).t(),
            Mat::new(&down, n, r),
            lora.scale,
            Threads::All,
        );
        if let Some(dx) = &mut dx {
            back_through_down(dx, &d_down, &a, (n, k, r), dropout);
        }
        grad = Some(LoraGrad { a: tensor(da, r, k)?, b: tensor(db, out, r)? });
    }
    let dx = match dx {
        Some(dx) => Some(tensor(dx, n, k)?),
        None => None,
    };
    Ok((dx, grad))
}

/// `dx += mask * (d_down A)`.
fn back_through_down(
    dx: &mut [f32],
    d_down: &[f32],
    a: &[f32],
    (n, k, r): (usize, usize, usize),
    dropout: Dropout,
) {
    let (d_down, a) = (Mat::new(d_down, n, r), Mat::new(a, r, k));
    if dropout.is_off() {
        return product(dx, k, Into::Add, d_down, a, 1.0, Threads::All);
    }
    let mut through = vec![0.0; n * k];
    product(&mut through, k, Into::Overwrite, d_down, a, 1.0, Threads::All);
    dx.par_chunks_mut(BLOCK)
        .zip(through.par_chunks(BLOCK))
        .enumerate()
        .for_each(|(i, (dx, through))| add_dropped(dx, through, (i * BLOCK) as u32, dropout));
}
