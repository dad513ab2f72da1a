//! Causal attention inside the rows of a packed batch.
//!
//! One task is one row and one head; queries go through in blocks, so that the scores of a block
//! against all its keys stay in the cache and nothing of the size `length x length` exists. The
//! forward pass keeps the log-sum-exp of each query's scores, and the backward pass recomputes the
//! probabilities from it (Dao et al. 2022).

use super::matmul::{Elements, Isa, Left, Out, Source, Term, Threads, filled, multiply};
use super::simd::{dot, exp_shifted, max, vectorized};
use super::{tensor, view};
use crate::{Heads, Layout};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// Queries that go through together: whole tiles of AVX-512.
const BLOCK: usize = 56;

/// One head of one row of the batch, in a matrix of `width` columns.
#[derive(Clone, Copy)]
struct Part<'a> {
    data: &'a [f32],
    first: usize,
    width: usize,
    dim: usize,
}

impl<'a> Part<'a> {
    fn new(data: &'a [f32], start: usize, head: usize, heads: usize, dim: usize) -> Self {
        Self { data, first: (start * heads + head) * dim, width: heads * dim, dim }
    }

    /// Token `i` of the row.
    fn token(self, i: usize) -> &'a [f32] {
        &self.data[self.first + i * self.width..][..self.dim]
    }

    /// The tokens `from..to`, each a lane of an operand.
    fn lanes(self, from: usize, to: usize) -> Source<'a> {
        let data = &self.data[self.first + from * self.width..];
        Source::rows(Elements::F32(data), to - from, self.dim, self.width)
    }

    /// The tokens `from..to`, each a step of an operand.
    fn steps(self, from: usize, to: usize) -> Source<'a> {
        let data = &self.data[self.first + from * self.width..];
        Source::columns(Elements::F32(data), to - from, self.dim, self.width)
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

/// One product on the thread that asks for it.
fn product(out: Out, shape: (usize, usize), left: Source, right: Source) {
    let isa = Isa::without_panels();
    let left = &Left::in_place(isa, left);
    multiply(isa, out, shape, &[Term { left, right }], Threads::One);
}

/// Scaled scores of a block of queries against the keys that any of them sees.
fn scores(block: Block, q: Part, k: Part) -> Vec<f32> {
    let (queries, keys) = (block.queries(), block.keys());
    let scale = 1.0 / (q.dim as f32).sqrt();
    filled(queries * keys, |out| {
        let keys_seen = k.lanes(block.first_key, block.reach).scaled(scale);
        product(Out::fresh(out, keys), (queries, keys), q.lanes(block.from, block.reach), keys_seen);
    })
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

pub(crate) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    layout: &Layout,
    heads: Heads,
) -> Result<(Tensor, Tensor)> {
    let n = q.dim(0)?;
    covers(layout, n);
    let (q, k, v) = (view(q)?, view(k)?, view(v)?);
    let (q, k, v) = (&*q, &*k, &*v);
    let (dim, group) = (heads.dim, heads.query / heads.key_value);
    let done = each_head(layout, heads, |Task { start, length, head }| {
        let q = Part::new(q, start, head, heads.query, dim);
        let [k, v] = [k, v].map(|data| Part::new(data, start, head / group, heads.key_value, dim));
        let (mut out, mut lse) = (vec![0.0; length * dim], vec![0.0; length]);
        for from in (0..length).step_by(BLOCK) {
            let block = Block::new(from, length, heads);
            let mut p = scores(block, q, k);
            softmax_block(&mut p, block, heads, &mut lse[from..block.reach]);
            let (queries, keys) = (block.queries(), block.keys());
            let p = Source::rows(Elements::F32(&p), queries, keys, keys);
            let out = Out::sum(&mut out[from * dim..], dim);
            product(out, (queries, dim), p, v.steps(block.first_key, block.reach));
        }
        [out, lse]
    });
    let out = together(&done, 0, heads.query, dim, n);
    let lse = together(&done, 1, heads.query, 1, n);
    Ok((tensor(out, n, heads.query * dim)?, tensor(lse, n, heads.query)?))
}

#[expect(clippy::too_many_arguments, reason = "the backward pass needs all that went in and came out")]
pub(crate) fn attention_backward(
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
    covers(layout, n);
    let (grad, q, k, v, out, lse) = (view(grad)?, view(q)?, view(k)?, view(v)?, view(out)?, view(lse)?);
    let (grad, q, k, v, out, lse) = (&*grad, &*q, &*k, &*v, &*out, &*lse);
    let (dim, group) = (heads.dim, heads.query / heads.key_value);
    let scale = 1.0 / (dim as f32).sqrt();
    let done = each_head(layout, heads, |Task { start, length, head }| {
        let [q, grad, out] = [q, grad, out].map(|data| Part::new(data, start, head, heads.query, dim));
        let [k, v] = [k, v].map(|data| Part::new(data, start, head / group, heads.key_value, dim));
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; length * dim]);
        for from in (0..length).step_by(BLOCK) {
            let block = Block::new(from, length, heads);
            let (queries, keys) = (block.queries(), block.keys());
            let mut p = scores(block, q, k);
            let row_lse: Vec<f32> =
                (from..block.reach).map(|i| lse[(start + i) * heads.query + head]).collect();
            probabilities_block(&mut p, block, heads, &row_lse);
            let grads = grad.steps(from, block.reach);
            let seen = block.first_key * dim..block.reach * dim;
            let turned = Source::columns(Elements::F32(&p), queries, keys, keys);
            product(Out::sum(&mut dv[seen.clone()], dim), (keys, dim), turned, grads);
            let mut ds = filled(queries * keys, |ds| {
                let values = v.lanes(block.first_key, block.reach);
                product(Out::fresh(ds, keys), (queries, keys), grad.lanes(from, block.reach), values);
            });
            for (i, (ds, p)) in ds.chunks_exact_mut(keys).zip(p.chunks_exact(keys)).enumerate() {
                let inner = dot_row(grad.token(from + i), out.token(from + i));
                score_grad_row(ds, p, inner, scale);
            }
            let rows = Source::rows(Elements::F32(&ds), queries, keys, keys);
            let keys_seen = k.steps(block.first_key, block.reach);
            product(Out::sum(&mut dq[from * dim..], dim), (queries, dim), rows, keys_seen);
            let turned = Source::columns(Elements::F32(&ds), queries, keys, keys);
            product(Out::sum(&mut dk[seen], dim), (keys, dim), turned, q.steps(from, block.reach));
        }
        [dq, dk, dv]
    });
    let dq = together(&done, 0, heads.query, dim, n);
    let dk = together(&done, 1, heads.key_value, dim, n);
    let dv = together(&done, 2, heads.key_value, dim, n);
    let kv = heads.key_value * dim;
    Ok((tensor(dq, n, heads.query * dim)?, tensor(dk, n, kv)?, tensor(dv, n, kv)?))
}

/// Fails when the rows of a layout are not all of the `n` tokens, one row after another.
fn covers(layout: &Layout, n: usize) {
    let starts = &layout.starts;
    let whole = starts.first() == Some(&0) && starts.last() == Some(&n) && starts.is_sorted();
    assert!(whole, "rows {starts:?} of {n} tokens");
}

/// What the tasks of a pass gave, in the order of rows and heads.
struct Done<const N: usize> {
    tasks: Vec<(Task, [Vec<f32>; N])>,
    query_heads: usize,
}

/// Does the work of every head of every row.
fn each_head<const N: usize>(
    layout: &Layout,
    heads: Heads,
    work: impl Fn(Task) -> [Vec<f32>; N] + Sync,
) -> Done<N> {
    let mut tasks: Vec<_> =
        tasks(layout, heads.query).into_par_iter().with_max_len(1).map(|task| (task, work(task))).collect();
    tasks.sort_by_key(|(task, _)| (task.start, task.head));
    Done { tasks, query_heads: heads.query }
}

/// Result `index` of all tasks as one `(n, heads * dim)` matrix.
///
/// Where several query heads share a head of the matrix, their results are added, always in the same order.
fn together<const N: usize>(done: &Done<N>, index: usize, heads: usize, dim: usize, n: usize) -> Vec<f32> {
    let group = done.query_heads / heads;
    filled(n * heads * dim, |all| {
        let mut rest = all;
        let mut rows = Vec::new();
        for of_row in done.tasks.chunks_exact(done.query_heads) {
            let (row, behind) = rest.split_at_mut(of_row[0].0.length * heads * dim);
            rows.push((row, of_row));
            rest = behind;
        }
        assert!(rest.is_empty(), "a row of the layout is missing");
        rows.into_par_iter().for_each(|(row, of_row)| {
            for (i, token) in row.chunks_exact_mut(heads * dim).enumerate() {
                for (target, sharing) in token.chunks_exact_mut(dim).zip(of_row.chunks_exact(group)) {
                    let (first, others) = (&sharing[0], &sharing[1..]);
                    let part = |task: &(Task, [Vec<f32>; N]), j| task.1[index][i * dim + j];
                    for (j, target) in target.iter_mut().enumerate() {
                        target.write(others.iter().fold(part(first, j), |sum, other| sum + part(other, j)));
                    }
                }
            }
        });
    })
}
