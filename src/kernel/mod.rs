//! The small set of operations that a decoder layer is made of, forward and backward.
//!
//! A decoder layer has one fixed backward pass, so it is written by hand over these operations and
//! no gradient tape is kept: frozen weights never get gradients, and only what the backward pass
//! needs stays in memory. Each operation has a version in candle tensor ops ([`portable`]), which
//! runs on any device and is what the others are tested against, and a native one for the CPU
//! ([`cpu`]). A native CUDA version would be a third module beside them and one more [`Kernels`].
//!
//! Shapes: `n` tokens of a packed batch, `h` hidden, `r` rank. Activations, adapters and sums are
//! f32; a frozen [`Weight`] is f32 or bf16.

pub mod cpu;
pub mod dropout;
pub mod portable;

pub use dropout::Dropout;

use candle_core::{DType, Device, Result, Tensor};
use std::sync::atomic::{AtomicBool, Ordering};

/// Which implementation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// candle tensor ops: CPU, CUDA, Metal.
    Portable,
    /// Native code for the CPU, with run-time dispatch.
    Cpu,
}

/// A frozen matrix, `(out, in)`, f32 or bf16.
#[derive(Clone, Debug)]
pub struct Weight {
    pub matrix: Tensor,
}

impl Weight {
    /// Rows: the size of what comes out.
    pub fn out_dim(&self) -> usize {
        self.matrix.dims()[0]
    }

    /// Columns: the size of what goes in.
    pub fn in_dim(&self) -> usize {
        self.matrix.dims()[1]
    }

    pub fn is_bf16(&self) -> bool {
        self.matrix.dtype() == DType::BF16
    }
}

/// A low-rank update of one frozen matrix: `y += scale * dropout(x) A^T B^T`.
#[derive(Clone, Debug)]
pub struct Lora {
    /// `(r, in)`
    pub a: Tensor,
    /// `(out, r)`
    pub b: Tensor,
    /// `alpha / r`, or `alpha / sqrt(r)` when rank-stabilised.
    pub scale: f32,
}

impl Lora {
    pub fn rank(&self) -> usize {
        self.a.dims()[0]
    }
}

/// A frozen matrix with its low-rank update, if it has one.
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a> {
    pub weight: &'a Weight,
    pub lora: Option<(&'a Lora, Dropout)>,
}

/// What came out of a [`Projection`].
#[derive(Clone, Debug)]
pub struct Projected {
    /// `(n, out)`
    pub y: Tensor,
    /// `dropout(x) A^T`, `(n, r)`, which the backward pass needs; none without an update, nor where the update was
    /// merged into the matrix.
    pub down: Option<Tensor>,
}

/// What comes back to a [`Projection`].
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a> {
    /// Gradient with respect to `y`, `(n, out)`.
    pub dy: &'a Tensor,
    /// What the forward pass kept.
    pub down: Option<&'a Tensor>,
}

/// Gradients of the two matrices of a [`Lora`], of their shapes.
#[derive(Clone, Debug)]
pub struct LoraGrad {
    pub a: Tensor,
    pub b: Tensor,
}

/// How the tokens of a packed batch are laid out: rows one after another, without padding.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Offset of the first token of each row, and the number of tokens at the end: `rows + 1` figures.
    pub starts: Vec<usize>,
    /// Position of each token in its row, `n` figures.
    pub positions: Vec<u32>,
}

/// Shape of the attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub query: usize,
    /// Key and value heads; each serves `query / key_value` query heads.
    pub key_value: usize,
    /// Size of a head.
    pub dim: usize,
    /// How many tokens each one attends to at most, itself included; `None` is all that came before it.
    pub window: Option<usize>,
}

impl Heads {
    /// The first token of a row that token `query` of the row attends to.
    pub fn first_key(self, query: usize) -> usize {
        self.window.map_or(0, |window| (query + 1).saturating_sub(window))
    }
}

/// Cosines and sines of the rotary embedding, each `(positions, dim / 2)`.
#[derive(Clone, Debug)]
pub struct Rope {
    pub cos: Tensor,
    pub sin: Tensor,
}

/// What the head says about each target.
#[derive(Clone, Debug)]
pub struct HeadLoss {
    /// Cross entropy in nats of each target.
    pub nats: Vec<f32>,
    /// Whether the target was ranked first.
    pub hits: Vec<bool>,
    /// Gradient with respect to the rows that went in, `(targets, h)`, if asked for.
    pub grad: Option<Tensor>,
}

/// How AdamW takes a step (Loshchilov and Hutter 2019).
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub learning_rate: f64,
    /// Decoupled from the gradient.
    pub weight_decay: f64,
    /// What gradients are multiplied by first.
    pub grad_scale: f64,
    /// Number of the step, from 1.
    pub step: u64,
}

impl Adam {
    /// How far the two moments have come from their start at zero, as shares of where they are going.
    fn corrections(self) -> [f64; 2] {
        [self.beta1, self.beta2].map(|beta| 1.0 - beta.powf(self.step as f64))
    }
}

/// Does work that is made of many kernels on one of the threads that compute.
///
/// From any other thread, each kernel would hand its work over and wait to be woken, hundreds of times a step. Nor do
/// the others sleep meanwhile, if they are what computes: to be woken takes longer than many a kernel.
pub fn on_a_worker<T: Send>(device: &Device, work: impl FnOnce() -> T + Send) -> T {
    /// Says that the work is over, also where it panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let over = AtomicBool::new(false);
    rayon::scope(|scope| {
        if device.is_cpu() {
            let (over, here) = (&over, rayon::current_thread_index());
            scope.spawn_broadcast(move |_, other| {
                if Some(other.index()) != here {
                    stay_awake(over);
                }
            });
        }
        let _over = Over(&over);
        work()
    })
}

/// Does what work there is, until it is over or there has been none for long.
///
/// A worker that waits inside a task may take this up on top of it, and what it waits for may wait for that task: so
/// it must end by itself.
fn stay_awake(over: &AtomicBool) {
    let mut looks = 0;
    while !over.load(Ordering::Acquire) && looks < MOST_LOOKS {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            looks = 0;
        } else {
            looks += 1;
            std::hint::spin_loop();
        }
    }
}

/// How often a worker looks for work before it sleeps: for a millisecond or more, longer than most parts of a step
/// that one thread does alone.
const MOST_LOOKS: u32 = 20_000;

/// Rows of logits that exist at one time: the vocabulary is large, the logits of a batch larger.
pub const HEAD_CHUNK: usize = 512;

macro_rules! dispatch {
    ($self:ident, $name:ident ( $($arg:expr),* )) => {
        match $self {
            Kernels::Portable => portable::$name($($arg),*),
            Kernels::Cpu => cpu::$name($($arg),*),
        }
    };
}

impl Kernels {
    /// The fastest implementation for a device.
    ///
    /// `TUNE_KERNELS=portable` in the environment takes the portable one everywhere: for those who mistrust
    /// the native one, and for the tests, which so exercise what a GPU would compute.
    pub fn for_device(device: &Device) -> Self {
        let portable = std::env::var_os("TUNE_KERNELS").is_some_and(|name| name == "portable");
        if device.is_cpu() && !portable { Self::Cpu } else { Self::Portable }
    }

    /// Whether the device has instructions for bf16.
    pub fn prefer_bf16(self, device: &Device) -> bool {
        match self {
            Self::Cpu => cpu::has_bf16(),
            Self::Portable => !device.is_cpu(),
        }
    }

    /// Whether an update of rank `r` to an f32 `(out, in)` matrix is merged into it for a product with `n` tokens,
    /// without dropout; nothing is then kept of it for the backward pass.
    pub fn merges(self, n: usize, shape: (usize, usize), r: usize) -> bool {
        self == Self::Cpu && cpu::merging_pays(n, shape, r)
    }

    /// Where and how it computes, for people: `cpu (avx512)`.
    pub fn describe(self, device: &Device) -> String {
        match self {
            Self::Cpu => format!("cpu ({})", cpu::level_name()),
            Self::Portable => match device {
                Device::Cpu => "cpu (portable)".into(),
                Device::Cuda(_) => "cuda".into(),
                Device::Metal(_) => "metal".into(),
            },
        }
    }

    /// `y = x W^T + scale * dropout(x) A^T B^T` for each matrix of a group that shares its input.
    ///
    /// `x` is `(n, in)`, `residual` `(n, out)`; it is added to every `y`.
    pub fn linear(
        self,
        x: &Tensor,
        group: &[Projection],
        residual: Option<&Tensor>,
    ) -> Result<Vec<Projected>> {
        dispatch!(self, linear(x, group, residual))
    }

    /// `x W^T`, `(n, out)`.
    pub fn product(self, x: &Tensor, weight: &Weight) -> Result<Tensor> {
        let [Projected { y, .. }] =
            <[_; 1]>::try_from(self.linear(x, &[Projection { weight, lora: None }], None)?)
                .map_err(|_| candle_core::Error::Msg("a kernel left out an output".into()))?;
        Ok(y)
    }

    /// Backward of [`Kernels::linear`].
    ///
    /// `x` is what went in. Gives the gradient with respect to `x`, `(n, in)`, summed over the group, unless
    /// `need_dx` is false, and those of the adapters. What was added as residual passes its gradient on unchanged.
    pub fn linear_backward(
        self,
        x: &Tensor,
        group: &[(Projection, Upstream)],
        need_dx: bool,
    ) -> Result<(Option<Tensor>, Vec<Option<LoraGrad>>)> {
        dispatch!(self, linear_backward(x, group, need_dx))
    }

    /// `y = x / sqrt(mean(x^2) + eps) * weight`, row by row (Zhang and Sennrich 2019).
    ///
    /// `x` is `(n, h)`, `weight` `(h)`.
    pub fn rms_norm(self, x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
        dispatch!(self, rms_norm(x, weight, eps as f32))
    }

    /// Backward of [`Kernels::rms_norm`]: the gradient with respect to `x`, plus `residual` if there is one.
    pub fn rms_norm_backward(
        self,
        dy: &Tensor,
        x: &Tensor,
        weight: &Tensor,
        eps: f64,
        residual: Option<&Tensor>,
    ) -> Result<Tensor> {
        dispatch!(self, rms_norm_backward(dy, x, weight, eps as f32, residual))
    }

    /// Rotates the halves of each head by the token's position (Su et al. 2021, in the half-split form of Llama).
    ///
    /// `x` is `(n, heads * dim)`. `inverse` rotates back, which is also the backward pass.
    pub fn rope(
        self,
        x: &Tensor,
        rope: &Rope,
        layout: &Layout,
        head_dim: usize,
        inverse: bool,
    ) -> Result<Tensor> {
        dispatch!(self, rope(x, rope, layout, head_dim, inverse))
    }

    /// Causal attention inside each row, never across rows, over [`Heads::window`] tokens where that is given.
    ///
    /// `q` is `(n, query * dim)`, `k` and `v` are `(n, key_value * dim)`. Gives the mixed values, of the shape
    /// of `q`, and the log-sum-exp of each query's scores, `(n, query)`, from which the backward pass
    /// recomputes the probabilities (Dao et al. 2022).
    pub fn attention(
        self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        layout: &Layout,
        heads: Heads,
    ) -> Result<(Tensor, Tensor)> {
        dispatch!(self, attention(q, k, v, layout, heads))
    }

    /// Backward of [`Kernels::attention`]: gradients with respect to `q`, `k` and `v`.
    #[expect(clippy::too_many_arguments, reason = "the backward pass needs all that went in and came out")]
    pub fn attention_backward(
        self,
        grad: &Tensor,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        lse: &Tensor,
        layout: &Layout,
        heads: Heads,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        dispatch!(self, attention_backward(grad, q, k, v, out, lse, layout, heads))
    }

    /// `y + bias`, the same for every row.
    ///
    /// `y` is `(n, out)`, `bias` `(out)`. It is frozen, and the backward pass leaves the gradient as it is.
    pub fn add_bias(self, y: &Tensor, bias: &Tensor) -> Result<Tensor> {
        dispatch!(self, add_bias(y, bias))
    }

    /// [`Kernels::rms_norm`] of each head by itself.
    ///
    /// `x` is `(n, heads * dim)`, `weight` `(dim)`.
    pub fn head_norm(self, x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
        self.rms_norm(&split(x, weight)?, weight, eps)?.reshape(x.dims())
    }

    /// Backward of [`Kernels::head_norm`]: the gradient with respect to `x`.
    pub fn head_norm_backward(self, dy: &Tensor, x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
        self.rms_norm_backward(&split(dy, weight)?, &split(x, weight)?, weight, eps, None)?.reshape(x.dims())
    }

    /// `a + b`, of one shape.
    pub fn add(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        dispatch!(self, add(a, b))
    }

    /// `silu(gate) * up` (Shazeer 2020).
    pub fn swiglu(self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        dispatch!(self, swiglu(gate, up))
    }

    /// Backward of [`Kernels::swiglu`]: gradients with respect to `gate` and `up`.
    pub fn swiglu_backward(self, dy: &Tensor, gate: &Tensor, up: &Tensor) -> Result<(Tensor, Tensor)> {
        dispatch!(self, swiglu_backward(dy, gate, up))
    }

    /// A step of AdamW: the new parameters and their two new moments, from the old ones and the gradient `g`,
    /// all of one shape.
    pub fn adam(self, p: &Tensor, g: &Tensor, m: &Tensor, v: &Tensor, step: Adam) -> Result<[Tensor; 3]> {
        dispatch!(self, adam(p, g, m, v, step))
    }

    /// The sum of the squares of all elements.
    pub fn square_sum(self, x: &Tensor) -> Result<f64> {
        dispatch!(self, square_sum(x))
    }

    /// Cross entropy of `targets` under `x W^T`, in chunks so that the logits of all rows never exist together.
    ///
    /// `x` is `(targets, h)`, `w` `(vocab, h)`. With `grad_scale`, also the gradient of
    /// `grad_scale * sum of the cross entropies` with respect to `x`.
    pub fn head_loss(
        self,
        x: &Tensor,
        w: &Weight,
        targets: &[u32],
        grad_scale: Option<f32>,
    ) -> Result<HeadLoss> {
        let mut all = HeadLoss {
            nats: Vec::with_capacity(targets.len()),
            hits: Vec::with_capacity(targets.len()),
            grad: None,
        };
        let mut grads = Vec::new();
        for (i, chunk) in targets.chunks(HEAD_CHUNK).enumerate() {
            let rows = x.narrow(0, i * HEAD_CHUNK, chunk.len())?;
            let (nats, hits, grad) = dispatch!(self, head_chunk(&rows, w, chunk, grad_scale))?;
            all.nats.extend(nats);
            all.hits.extend(hits);
            grads.extend(grad);
        }
        if !grads.is_empty() {
            all.grad = Some(Tensor::cat(&grads, 0)?);
        }
        Ok(all)
    }
}

/// Each head as a row of its own, `(n * heads, dim)`: the same elements, nothing is copied.
fn split(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.reshape(((), weight.elem_count()))
}

#[cfg(test)]
mod tests;
