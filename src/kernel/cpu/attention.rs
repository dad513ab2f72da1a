//! Causal attention inside the rows of a packed batch.
//!
//! One task is one row and one head; queries go through in blocks, so that the scores of a block
//! against all its keys stay in the cache and nothing of the size `length x length` exists. The
//! forward pass keeps the log-sum-exp of each query's scores, and the backward pass recomputes the
//! probabilities from it (Dao et al. 2022).

use super::simd::{dot, exp_shifted, max, vectorized};
use super::{Into, Mat, Threads, product, tensor, view};
use crate::kernel::{Heads, Layout};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// Queries that go through together.
const BLOCK: usize = 64;

/// Where one head of one row lies in a matrix of `width` columns.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    length: usize,
    width: usize,
}

impl Span {
    fn new(start: usize, length: usize, head: usize, heads: usize, dim: usize) -> Self {
        Self { first: (start * heads + head) * dim, length, width: heads * dim }
    }

    /// `rows` rows of the head from row `from` on, `(rows, dim)`.
    fn rows(self, data: &[f32], from: usize, rows: usize, dim: usize) -> Mat<'_> {
        debug_assert!(from + rows <= self.length);
        Mat::strided(&data[self.first + from * self.width..], rows, dim, self.width)
    }
}

/// One head of one row of the batch: what a task works on.
#[derive(Clone, Copy)]
struct Task {
    start: usize,
    length: usize,
    head: usize,
}

/// Queries that go through together, and the keys that any of them sees.
#[derive(Clone, Copy)]
struct Block {
    /// The first query and the first key, as tokens of the row.
    from: usize,
    first_key: usize,
    /// Behind the last query, and the last key.
    reach: usize,
}

impl Block {
    fn new(from: usize, length: usize, heads: Heads) -> Self {
        Self { from, first_key: heads.first_key(from), reach: length.min(from + BLOCK) }
    }

    fn queries(self) -> usize {
        self.reach - self.from
    }

    fn keys(self) -> usize {
        self.reach - self.first_key
    }

    /// The scores of query `i` of the block for the keys that it sees; the others become zero.
    fn show(self, scores: &mut [f32], i: usize, heads: Heads) -> &mut [f32] {
        let query = self.from + i;
        let (past, future) = scores.split_at_mut(query + 1 - self.first_key);
        let (gone, seen) = past.split_at_mut(heads.first_key(query) - self.first_key);
        gone.fill(0.0);
        future.fill(0.0);
        seen
    }
}

/// All tasks, the longest rows first so that no thread is left with a long one at the end.
fn tasks(layout: &Layout, heads: usize) -> Vec<Task> {
    let mut tasks: Vec<Task> = layout
        .starts
        .windows(2)
        .flat_map(|s| (0..heads).map(|head| Task { start: s[0], length: s[1] - s[0], head }))
        .collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.length));
    tasks
}

/// Scaled scores of a block of queries against the keys that any of them sees.
fn scores(out: &mut [f32], q: Mat, k: Mat, dim: usize) {
    product(out, k.rows, Into::Overwrite, q, k.t(), 1.0 / (dim as f32).sqrt(), Threads::One);
}

vectorized! {
    /// Turns the scores of one block into probabilities, those of unseen keys into zeros; gives the log-sum-exps.
    fn softmax_block(scores: &mut [f32], block: Block, heads: Heads, lse: &mut [f32]) {
        for (i, row) in scores.chunks_exact_mut(block.keys()).enumerate() {
            let seen = block.show(row, i, heads);
            let top = max(seen);
            let total = exp_shifted(seen, top);
            lse[i] = top + total.ln();
            let scale = 1.0 / total;
            for p in seen {
                *p *= scale;
            }
        }
    }
}

vectorized! {
    /// The probabilities again, from the scores and their log-sum-exps.
    fn probabilities_block(scores: &mut [f32], block: Block, heads: Heads, lse: &[f32]) {
        for (i, row) in scores.chunks_exact_mut(block.keys()).enumerate() {
            exp_shifted(block.show(row, i, heads), lse[i]);
        }
    }
}

vectorized! {
    /// `dp = p (dp - inner) scale`, row by row: the gradient of the scores before scaling.
    fn score_grad_row(dp: &mut [f32], p: &[f32], inner: f32, scale: f32) {
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - inner) * scale;
        }
    }
}

vectorized! {
    fn dot_row(a: &[f32], b: &[f32]) -> f32 {
        dot(a, b)
    }
}

/// What one task of the forward pass gives: `(length, dim)` and `length` log-sum-exps.
type Forward = (Task, Vec<f32>, Vec<f32>);

pub(in crate::kernel) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    layout: &Layout,
    heads: Heads,
) -> Result<(Tensor, Tensor)> {
    let n = q.dim(0)?;
    let (q, k, v) = (view(q)?, view(k)?, view(v)?);
    let (q, k, v) = (&*q, &*k, &*v);
    let (dim, group) = (heads.dim, heads.query / heads.key_value);
    let done: Vec<Forward> = tasks(layout, heads.query)
        .into_par_iter()
        .with_max_len(1)
        .map(|task| {
            let Task { start, length, head } = task;
            let queries = Span::new(start, length, head, heads.query, dim);
            let keys = Span::new(start, length, head / group, heads.key_value, dim);
            let (mut out, mut lse) = (vec![0.0; length * dim], vec![0.0; length]);
            let mut p = vec![0.0; BLOCK.min(length) * length];
            for from in (0..length).step_by(BLOCK) {
                let block = Block::new(from, length, heads);
                let (rows, seen, first) = (block.queries(), block.keys(), block.first_key);
                let p = &mut p[..rows * seen];
                scores(p, queries.rows(q, from, rows, dim), keys.rows(k, first, seen, dim), dim);
                softmax_block(p, block, heads, &mut lse[from..block.reach]);
                let (p, v) = (Mat::new(p, rows, seen), keys.rows(v, first, seen, dim));
                product(&mut out[from * dim..], dim, Into::Overwrite, p, v, 1.0, Threads::One);
            }
            (task, out, lse)
        })
        .collect();
    let mut out = vec![0.0; n * heads.query * dim];
    let mut lse = vec![0.0; n * heads.query];
    for (task, head_out, head_lse) in done {
        let span = Span::new(task.start, task.length, task.head, heads.query, dim);
        scatter(&mut out, span, &head_out, dim, Into::Overwrite);
        for (i, value) in head_lse.into_iter().enumerate() {
            lse[(task.start + i) * heads.query + task.head] = value;
        }
    }
    Ok((tensor(out, n, heads.query * dim)?, tensor(lse, n, heads.query)?))
}

/// Puts a head's own `(length, dim)` where it belongs among all heads.
fn scatter(all: &mut [f32], span: Span, head: &[f32], dim: usize, into: Into) {
    for (i, row) in head.chunks_exact(dim).enumerate() {
        let at = span.first + i * span.width;
        let target = &mut all[at..at + dim];
        match into {
            Into::Overwrite => target.copy_from_slice(row),
            Into::Add => target.iter_mut().zip(row).for_each(|(a, b)| *a += b),
        }
    }
}

/// What one task of the backward pass gives: gradients of its queries, and its share of those of the keys and values.
type Backward = (Task, [Vec<f32>; 3]);

#[expect(clippy::too_many_arguments, reason = "the backward pass needs all that went in and came out")]
pub(in crate::kernel) fn attention_backward(
    grad: &Tensor,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    layout: &Layout,
    heads: Heads,
) -> Result<(Tensor, Tensor, Tensor)> {
    let n = q.dim(0)?;
    let (grad, q, k, v, out, lse) = (view(grad)?, view(q)?, view(k)?, view(v)?, view(out)?, view(lse)?);
    let (grad, q, k, v, out, lse) = (&*grad, &*q, &*k, &*v, &*out, &*lse);
    let (dim, group) = (heads.dim, heads.query / heads.key_value);
    let scale = 1.0 / (dim as f32).sqrt();
    let mut done: Vec<Backward> = tasks(layout, heads.query)
        .into_par_iter()
        .with_max_len(1)
        .map(|task| {
            let Task { start, length, head } = task;
            let queries = Span::new(start, length, head, heads.query, dim);
            let keys = Span::new(start, length, head / group, heads.key_value, dim);
            let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; length * dim]);
            let size = BLOCK.min(length) * length;
            let (mut p, mut dp) = (vec![0.0; size], vec![0.0; size]);
            for from in (0..length).step_by(BLOCK) {
                let block = Block::new(from, length, heads);
                let (rows, seen, first) = (block.queries(), block.keys(), block.first_key);
                let (p, dp) = (&mut p[..rows * seen], &mut dp[..rows * seen]);
                let (q, k) = (queries.rows(q, from, rows, dim), keys.rows(k, first, seen, dim));
                let (v, grad) = (keys.rows(v, first, seen, dim), queries.rows(grad, from, rows, dim));
                let out = queries.rows(out, from, rows, dim);
                scores(p, q, k, dim);
                let row_lse: Vec<f32> =
                    (from..block.reach).map(|i| lse[(start + i) * heads.query + head]).collect();
                probabilities_block(p, block, heads, &row_lse);
                let d_values = &mut dv[first * dim..];
                product(d_values, dim, Into::Add, Mat::new(p, rows, seen).t(), grad, 1.0, Threads::One);
                product(dp, seen, Into::Overwrite, grad, v.t(), 1.0, Threads::One);
                for i in 0..rows {
                    let at = i * grad.row_stride;
                    let inner = dot_row(&grad.data[at..at + dim], &out.data[at..at + dim]);
                    let row = i * seen..(i + 1) * seen;
                    score_grad_row(&mut dp[row.clone()], &p[row], inner, scale);
                }
                let ds = Mat::new(dp, rows, seen);
                product(&mut dq[from * dim..], dim, Into::Overwrite, ds, k, 1.0, Threads::One);
                product(&mut dk[first * dim..], dim, Into::Add, ds.t(), q, 1.0, Threads::One);
            }
            (task, [dq, dk, dv])
        })
        .collect();
    // The heads of a group add to the same keys: always in the same order.
    done.sort_by_key(|(task, _)| (task.start, task.head));
    let mut d_queries = vec![0.0; n * heads.query * dim];
    let mut d_keys = vec![0.0; n * heads.key_value * dim];
    let mut d_values = vec![0.0; n * heads.key_value * dim];
    for (Task { start, length, head }, [dq, dk, dv]) in done {
        let keys = Span::new(start, length, head / group, heads.key_value, dim);
        scatter(&mut d_queries, Span::new(start, length, head, heads.query, dim), &dq, dim, Into::Overwrite);
        scatter(&mut d_keys, keys, &dk, dim, Into::Add);
        scatter(&mut d_values, keys, &dv, dim, Into::Add);
    }
    let kv = heads.key_value * dim;
    Ok((tensor(d_queries, n, heads.query * dim)?, tensor(d_keys, n, kv)?, tensor(d_values, n, kv)?))
}
