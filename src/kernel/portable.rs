//! Every kernel in candle tensor ops: runs on CPU, CUDA and Metal.
//!
//! Written to be read and to be right on any device, not to be fast on one. The signatures and
//! shapes are those of [`super::Kernels`].

use super::{Adam, Dropout, Heads, Layout, LoraGrad, Projected, Projection, Rope, Upstream, Weight};
use candle_core::{D, DType, Result, Tensor};

/// The frozen matrix in f32.
fn matrix(w: &Weight) -> Result<Tensor> {
    w.matrix.to_dtype(DType::F32)
}

/// What each element of an `(n, k)` matrix is multiplied by; `None` when nothing is dropped.
///
/// The mask is computed on the host and copied over.
fn mask(dropout: Dropout, like: &Tensor) -> Result<Option<Tensor>> {
    if dropout.is_off() {
        return Ok(None);
    }
    let factors: Vec<f32> = (0..like.elem_count() as u32).map(|i| dropout.factor(i)).collect();
    Tensor::from_vec(factors, like.dims(), like.device()).map(Some)
}

fn apply(x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    mask.map_or_else(|| Ok(x.clone()), |mask| x.mul(mask))
}

pub(super) fn linear(x: &Tensor, group: &[Projection], residual: Option<&Tensor>) -> Result<Vec<Projected>> {
    let project = |Projection { weight, lora }: &Projection| {
        let mut y = x.matmul(&matrix(weight)?.t()?)?;
        let mut down = None;
        if let Some((lora, dropout)) = lora {
            let low = apply(x, mask(*dropout, x)?.as_ref())?.matmul(&lora.a.t()?)?;
            y = (y + low.matmul(&lora.b.t()?)?.affine(f64::from(lora.scale), 0.0)?)?;
            down = Some(low);
        }
        if let Some(residual) = residual {
            y = (y + residual)?;
        }
        Ok(Projected { y, down })
    };
    group.iter().map(project).collect()
}

pub(super) fn linear_backward(
    x: &Tensor,
    group: &[(Projection, Upstream)],
    need_dx: bool,
) -> Result<(Option<Tensor>, Vec<Option<LoraGrad>>)> {
    let mut dx: Option<Tensor> = None;
    let mut grads = Vec::new();
    let mut send_back = |part: Tensor| -> Result<()> {
        dx = Some(match dx.take() {
            Some(dx) => (dx + part)?,
            None => part,
        });
        Ok(())
    };
    for (Projection { weight, lora }, Upstream { dy, down }) in group {
        if need_dx {
            send_back(dy.matmul(&matrix(weight)?)?)?;
        }
        let Some((lora, dropout)) = lora else {
            grads.push(None);
            continue;
        };
        let Some(down) = down else {
            candle_core::bail!("other kernels went forward: they kept nothing of an update")
        };
        let mask = mask(*dropout, x)?;
        let d_down = dy.matmul(&lora.b)?.affine(f64::from(lora.scale), 0.0)?;
        grads.push(Some(LoraGrad {
            a: d_down.t()?.matmul(&apply(x, mask.as_ref())?)?,
            b: dy.t()?.matmul(down)?.affine(f64::from(lora.scale), 0.0)?,
        }));
        if need_dx {
            send_back(apply(&d_down.matmul(&lora.a)?, mask.as_ref())?)?;
        }
    }
    Ok((dx, grads))
}

/// `1 / sqrt(mean(x^2) + eps)`, `(n, 1)`.
fn reciprocal_rms(x: &Tensor, eps: f32) -> Result<Tensor> {
    x.sqr()?.mean_keepdim(D::Minus1)?.affine(1.0, f64::from(eps))?.sqrt()?.recip()
}

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    x.broadcast_mul(&reciprocal_rms(x, eps)?)?.broadcast_mul(weight)
}

pub(super) fn rms_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    eps: f32,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let r = reciprocal_rms(x, eps)?;
    let g = dy.broadcast_mul(weight)?;
    let shared = ((&g * x)?.mean_keepdim(D::Minus1)? * (r.sqr()? * &r)?)?;
    let dx = (g.broadcast_mul(&r)? - x.broadcast_mul(&shared)?)?;
    residual.map_or(Ok(dx.clone()), |residual| dx + residual)
}

pub(super) fn rope(
    x: &Tensor,
    rope: &Rope,
    layout: &Layout,
    head_dim: usize,
    inverse: bool,
) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let positions = Tensor::new(layout.positions.as_slice(), x.device())?;
    let half = head_dim / 2;
    let cos = rope.cos.index_select(&positions, 0)?.reshape((n, 1, half))?;
    let sin = rope.sin.index_select(&positions, 0)?.reshape((n, 1, half))?;
    let sin = if inverse { sin.neg()? } else { sin };
    let x = x.reshape((n, width / head_dim, head_dim))?;
    let (first, second) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let turned_first = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
    let turned_second = (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?;
    Tensor::cat(&[turned_first, turned_second], 2)?.reshape((n, width))
}

/// One row of a packed batch as `(heads, length, dim)`.
fn split_heads(x: &Tensor, start: usize, length: usize, dim: usize) -> Result<Tensor> {
    let heads = x.dim(1)? / dim;
    x.narrow(0, start, length)?.reshape((length, heads, dim))?.transpose(0, 1)?.contiguous()
}

/// The reverse of [`split_heads`]: `(length, heads * dim)`.
fn join_heads(x: &Tensor) -> Result<Tensor> {
    let (heads, length, dim) = x.dims3()?;
    x.transpose(0, 1)?.reshape((length, heads * dim))
}

/// Each key-value head once for each query head that it serves: `(query, length, dim)`.
fn repeat_heads(x: &Tensor, heads: Heads) -> Result<Tensor> {
    let (kv, length, dim) = x.dims3()?;
    let group = heads.query / kv;
    x.unsqueeze(1)?.expand((kv, group, length, dim))?.reshape((heads.query, length, dim))
}

/// The sum over the query heads that a key-value head serves: `(key_value, length, dim)`.
fn sum_groups(x: &Tensor, heads: Heads) -> Result<Tensor> {
    let (query, length, dim) = x.dims3()?;
    x.reshape((heads.key_value, query / heads.key_value, length, dim))?.sum(1)
}

/// Scaled scores, `(heads, length, length)`, at minus infinity where a query does not see a key.
fn scores(q: &Tensor, k: &Tensor, heads: Heads) -> Result<Tensor> {
    let (_, length, dim) = q.dims3()?;
    let hidden: Vec<f32> = (0..length * length)
        .map(|i| (i / length, i % length))
        .map(|(query, key)| key <= query && key >= heads.first_key(query))
        .map(|seen| if seen { 0.0 } else { f32::NEG_INFINITY })
        .collect();
    let hidden = Tensor::from_vec(hidden, (1, length, length), q.device())?;
    q.matmul(&k.t()?)?.affine(1.0 / (dim as f64).sqrt(), 0.0)?.broadcast_add(&hidden)
}

pub(super) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    layout: &Layout,
    heads: Heads,
) -> Result<(Tensor, Tensor)> {
    let (mut outs, mut lses) = (Vec::new(), Vec::new());
    for span in layout.starts.windows(2) {
        let (start, length) = (span[0], span[1] - span[0]);
        let q = split_heads(q, start, length, heads.dim)?;
        let k = repeat_heads(&split_heads(k, start, length, heads.dim)?, heads)?;
        let v = repeat_heads(&split_heads(v, start, length, heads.dim)?, heads)?;
        let scores = scores(&q, &k, heads)?;
        let lse = scores.log_sum_exp(D::Minus1)?;
        let probabilities = scores.broadcast_sub(&lse.unsqueeze(2)?)?.exp()?;
        outs.push(join_heads(&probabilities.matmul(&v)?)?);
        lses.push(lse.t()?.contiguous()?);
    }
    Ok((Tensor::cat(&outs, 0)?, Tensor::cat(&lses, 0)?))
}

#[expect(clippy::too_many_arguments, reason = "the backward pass needs all that went in and came out")]
pub(super) fn attention_backward(
    grad: &Tensor,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    out: &Tensor,
    lse: &Tensor,
    layout: &Layout,
    heads: Heads,
) -> Result<(Tensor, Tensor, Tensor)> {
    let scale = 1.0 / (heads.dim as f64).sqrt();
    let (mut dqs, mut dks, mut dvs) = (Vec::new(), Vec::new(), Vec::new());
    for span in layout.starts.windows(2) {
        let (start, length) = (span[0], span[1] - span[0]);
        let q = split_heads(q, start, length, heads.dim)?;
        let k = repeat_heads(&split_heads(k, start, length, heads.dim)?, heads)?;
        let v = repeat_heads(&split_heads(v, start, length, heads.dim)?, heads)?;
        let grad = split_heads(grad, start, length, heads.dim)?;
        let out = split_heads(out, start, length, heads.dim)?;
        let lse = lse.narrow(0, start, length)?.t()?.contiguous()?;
        let p = scores(&q, &k, heads)?.broadcast_sub(&lse.unsqueeze(2)?)?.exp()?;
        let dv = p.t()?.contiguous()?.matmul(&grad)?;
        let dp = grad.matmul(&v.t()?)?;
        let inner = (&grad * &out)?.sum_keepdim(D::Minus1)?;
        let ds = (p * dp.broadcast_sub(&inner)?)?.affine(scale, 0.0)?;
        dqs.push(join_heads(&ds.matmul(&k)?)?);
        dks.push(join_heads(&sum_groups(&ds.t()?.contiguous()?.matmul(&q)?, heads)?)?);
        dvs.push(join_heads(&sum_groups(&dv, heads)?)?);
    }
    Ok((Tensor::cat(&dqs, 0)?, Tensor::cat(&dks, 0)?, Tensor::cat(&dvs, 0)?))
}

pub(super) fn add_bias(y: &Tensor, bias: &Tensor) -> Result<Tensor> {
    y.broadcast_add(bias)
}

pub(super) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a + b
}

/// `1 / (1 + exp(-x))`.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    x.neg()?.exp()?.affine(1.0, 1.0)?.recip()
}

pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    (gate * sigmoid(gate)?)? * up
}

pub(super) fn swiglu_backward(dy: &Tensor, gate: &Tensor, up: &Tensor) -> Result<(Tensor, Tensor)> {
    let sigmoid = sigmoid(gate)?;
    let silu = (gate * &sigmoid)?;
    // d silu(x) / dx = s(x) (1 - silu(x)) + silu(x)
    let slope = ((&sigmoid * silu.affine(-1.0, 1.0)?)? + &silu)?;
    Ok((((dy * up)? * slope)?, (dy * silu)?))
}

pub(super) fn adam(p: &Tensor, g: &Tensor, m: &Tensor, v: &Tensor, adam: Adam) -> Result<[Tensor; 3]> {
    let Adam { beta1, beta2, epsilon, learning_rate, weight_decay, grad_scale, .. } = adam;
    let [correct1, correct2] = adam.corrections();
    let g = g.affine(grad_scale, 0.0)?;
    let m = (m.affine(beta1, 0.0)? + g.affine(1.0 - beta1, 0.0)?)?;
    let v = (v.affine(beta2, 0.0)? + g.sqr()?.affine(1.0 - beta2, 0.0)?)?;
    let spread = v.affine(1.0 / correct2, 0.0)?.sqrt()?.affine(1.0, epsilon)?;
    let update = (m.affine(learning_rate / correct1, 0.0)? / spread)?;
    Ok([(p.affine(1.0 - learning_rate * weight_decay, 0.0)? - update)?, m, v])
}

pub(super) fn square_sum(x: &Tensor) -> Result<f64> {
    x.sqr()?.to_dtype(DType::F64)?.sum_all()?.to_scalar()
}

/// Loss, hits and gradient of one chunk of targets.
pub(super) type Chunk = (Vec<f32>, Vec<bool>, Option<Tensor>);

pub(super) fn head_chunk(x: &Tensor, w: &Weight, targets: &[u32], grad_scale: Option<f32>) -> Result<Chunk> {
    let matrix = matrix(w)?;
    let logits = x.contiguous()?.matmul(&matrix.t()?)?;
    let index = Tensor::new(targets, x.device())?.unsqueeze(1)?;
    let lse = logits.log_sum_exp(D::Minus1)?.unsqueeze(1)?;
    let nats = (&lse - logits.gather(&index, 1)?)?.flatten_all()?.to_vec1()?;
    let first = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let hits = first.iter().zip(targets).map(|(a, b)| a == b).collect();
    let grad = match grad_scale {
        None => None,
        Some(scale) => {
            let p = logits.broadcast_sub(&lse)?.exp()?;
            let minus_one = Tensor::full(-1f32, index.shape(), x.device())?;
            let dlogits = p.scatter_add(&index, &minus_one, 1)?;
            Some(dlogits.affine(f64::from(scale), 0.0)?.matmul(&matrix)?)
        }
    };
    Ok((nats, hits, grad))
}
