//! The same model in differentiable candle ops: what the hand-written backward pass is tested against.
//!
//! Slow, hungry, and as close to the textbook as it can be. One row at a time, no packing, and only
//! candle's own gradient tape. Ops whose gradients candle drops silently are avoided.

use super::CausalLm;
use super::lora::{Adapter, Module};
use candle_core::backprop::GradStore;
use candle_core::{D, DType, Result, Tensor, Var};
use candle_nn::ops::softmax;

/// The adapter's matrices as variables, in the order of [`Adapter::tensors`].
pub fn variables(adapter: &Adapter) -> Vec<Var> {
    adapter.tensors().into_iter().map(|(_, tensor)| Var::from_tensor(tensor).unwrap()).collect()
}

/// Sum of the cross entropies of one row, and its gradients.
pub fn loss(
    model: &CausalLm,
    adapter: &Adapter,
    variables: &[Var],
    ids: &[u32],
    targets: &[(u32, u32)],
) -> (Tensor, GradStore) {
    let loss = forward(model, adapter, variables, ids, targets).unwrap();
    let grads = loss.backward().unwrap();
    (loss, grads)
}

fn forward(
    model: &CausalLm,
    adapter: &Adapter,
    variables: &[Var],
    ids: &[u32],
    targets: &[(u32, u32)],
) -> Result<Tensor> {
    let (length, eps) = (ids.len(), model.spec.norm_eps);
    let mut variables = variables.iter();
    let embedding = model.embedding.matrix.to_dtype(DType::F32)?;
    let mut x = embedding.index_select(&Tensor::new(ids, &model.device)?, 0)?;
    for (layer, loras) in model.layers.iter().zip(&adapter.layers) {
        // The variables come in the order of the modules, which is that of `Adapter::tensors`.
        let updates: Vec<Option<(&Var, &Var)>> = loras
            .iter()
            .map(|lora| lora.as_ref().map(|_| (variables.next().unwrap(), variables.next().unwrap())))
            .collect();
        let linear = |x: &Tensor, module: Module| -> Result<Tensor> {
            let index = module as usize;
            let y = x.matmul(&layer.weights[index].matrix.to_dtype(DType::F32)?.t()?)?;
            match (&loras[index], updates[index]) {
                (Some(lora), Some((a, b))) => {
                    y + x.matmul(&a.t()?)?.matmul(&b.t()?)?.affine(f64::from(lora.scale), 0.0)?
                }
                _ => Ok(y),
            }
        };
        let normed = norm(&x, &layer.input_norm, eps)?;
        let attended = attention(
            model,
            &linear(&normed, Module::Query)?,
            &linear(&normed, Module::Key)?,
            &linear(&normed, Module::Value)?,
            length,
        )?;
        x = (x + linear(&attended, Module::Output)?)?;
        let normed = norm(&x, &layer.post_attention_norm, eps)?;
        let gate = linear(&normed, Module::Gate)?.silu()?;
        x = (x + linear(&(gate * linear(&normed, Module::Up)?)?, Module::Down)?)?;
    }
    let head = model.head.as_ref().unwrap_or(&model.embedding).matrix.to_dtype(DType::F32)?;
    let logits = norm(&x, &model.norm, eps)?.matmul(&head.t()?)?;
    let (rows, tokens): (Vec<u32>, Vec<u32>) = targets.iter().copied().unzip();
    let logits = logits.index_select(&Tensor::new(rows, &model.device)?, 0)?;
    candle_nn::loss::cross_entropy(&logits, &Tensor::new(tokens, &model.device)?)? * targets.len() as f64
}

fn norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean_square + eps)?.sqrt()?)?.broadcast_mul(weight)
}

fn attention(model: &CausalLm, q: &Tensor, k: &Tensor, v: &Tensor, length: usize) -> Result<Tensor> {
    let heads = model.spec.heads;
    let split =
        |x: &Tensor, count: usize| x.reshape((length, count, heads.dim))?.transpose(0, 1)?.contiguous();
    let repeat = |x: Tensor| -> Result<Tensor> {
        let group = heads.query / heads.key_value;
        let parts: Vec<Tensor> =
            (0..heads.query).map(|head| x.narrow(0, head / group, 1)).collect::<Result<_>>()?;
        Tensor::cat(&parts, 0)
    };
    let q = rotate(model, &split(q, heads.query)?)?;
    let k = repeat(rotate(model, &split(k, heads.key_value)?)?)?;
    let v = repeat(split(v, heads.key_value)?)?;
    let future: Vec<f32> =
        (0..length * length).map(|i| if i % length > i / length { f32::NEG_INFINITY } else { 0.0 }).collect();
    let future = Tensor::from_vec(future, (1, length, length), &model.device)?;
    let scores = (q.matmul(&k.t()?)? / (heads.dim as f64).sqrt())?.broadcast_add(&future)?;
    softmax(&scores, D::Minus1)?.matmul(&v)?.transpose(0, 1)?.reshape((length, heads.query * heads.dim))
}

/// Rotary embedding of `(heads, length, dim)`.
fn rotate(model: &CausalLm, x: &Tensor) -> Result<Tensor> {
    let (_, length, dim) = x.dims3()?;
    let table = |t: &Tensor| t.narrow(0, 0, length)?.unsqueeze(0);
    let (cos, sin) = (table(&model.rope.cos)?, table(&model.rope.sin)?);
    let (a, b) = (x.narrow(2, 0, dim / 2)?, x.narrow(2, dim / 2, dim / 2)?);
    Tensor::cat(
        &[
            (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?,
            (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?,
        ],
        2,
    )
}
