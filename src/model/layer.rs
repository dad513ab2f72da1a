//! One decoder layer, forward and backward.
//!
//! The backward pass is written out once, against the forward pass beside it; gradients go to the
//! adapter and to the layer's input, never to frozen weights. Norm outputs and the activation of
//! the MLP are computed again rather than kept.

use super::lora::{Module, PerModule};
use super::spec::Spec;
use crate::kernel::{
    Dropout, Heads, Kernels, Layout, Lora, LoraGrad, Projected, Projection, Rope, Upstream, Weight,
};
use candle_core::{Result, Tensor};

/// The frozen weights of one layer.
#[derive(Debug)]
pub struct Layer {
    pub input_norm: Tensor,
    pub post_attention_norm: Tensor,
    pub weights: PerModule<Weight>,
    /// What the linear layers add, `(out)`, where they have a bias.
    pub biases: PerModule<Option<Tensor>>,
    /// Norms of each head of the queries and of the keys, `(dim)`, where there are any.
    pub head_norms: Option<[Tensor; 2]>,
    /// Shape of its attention.
    pub heads: Heads,
}

/// What a pass through a layer needs besides its weights and its input.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    pub kernels: Kernels,
    pub spec: &'a Spec,
    pub rope: &'a Rope,
    pub layout: &'a Layout,
    /// The layer's adapter.
    pub loras: &'a PerModule<Option<Lora>>,
    /// The layer's dropout; each module forks its own.
    pub dropout: Dropout,
    /// The tokens whose output is wanted, none for all. Behind attention every token is by itself, so nothing is
    /// computed there for the others.
    pub wanted: Option<&'a Tensor>,
}

/// What the backward pass of a layer needs of its forward pass: `(n, ...)`, behind attention `(wanted, ...)`.
pub struct Saved {
    input: Tensor,
    /// Queries and keys before the norms of their heads, where there are any.
    bare: Option<[Tensor; 2]>,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attended: Tensor,
    lse: Tensor,
    /// Between attention and MLP, residual added.
    middle: Tensor,
    gate: Tensor,
    up: Tensor,
    /// The rank-`r` intermediate of each adapted module.
    downs: PerModule<Option<Tensor>>,
}

impl<'a> Pass<'a> {
    /// The rows of what is wanted.
    fn select(self, x: &Tensor) -> Result<Tensor> {
        self.wanted.map_or_else(|| Ok(x.clone()), |wanted| x.index_select(wanted, 0))
    }

    /// The gradient of all rows of `x` from that of the wanted ones.
    fn spread(self, gradient: Tensor, x: &Tensor) -> Result<Tensor> {
        match self.wanted {
            Some(wanted) => x.zeros_like()?.index_add(wanted, &gradient, 0),
            None => Ok(gradient),
        }
    }

    fn adapter(self, module: Module) -> Option<(&'a Lora, Dropout)> {
        let index = module as usize;
        self.loras[index].as_ref().map(|lora| (lora, self.dropout.fork(index as u32)))
    }
}

impl Layer {
    fn projection<'a>(&'a self, pass: Pass<'a>, module: Module) -> Projection<'a> {
        Projection { weight: &self.weights[module as usize], lora: pass.adapter(module) }
    }

    /// From the residual stream `(n, h)` to that of what is wanted, each row of the layout by itself.
    pub fn forward(&self, pass: Pass, input: &Tensor) -> Result<(Tensor, Saved)> {
        self.forward_with(pass, input, |q, k, v| pass.kernels.attention(q, k, v, pass.layout, self.heads))
    }

    /// As [`Layer::forward`], with an attention of the caller's own: from the rotated queries and keys and
    /// the values to what [`Kernels::attention`] gives.
    pub fn forward_with(
        &self,
        pass: Pass,
        input: &Tensor,
        attend: impl FnOnce(&Tensor, &Tensor, &Tensor) -> Result<(Tensor, Tensor)>,
    ) -> Result<(Tensor, Saved)> {
        let Pass { kernels, spec, rope, layout, .. } = pass;
        let dim = self.heads.dim;
        let mut downs = [const { None }; Module::ALL.len()];
        let mut project = |x: &Tensor, modules: &[Module], residual| -> Result<Vec<Tensor>> {
            let group: Vec<Projection> =
                modules.iter().map(|&module| self.projection(pass, module)).collect();
            let projected = kernels.linear(x, &group, residual)?;
            let keep = |(&module, Projected { y, down }): (&Module, Projected)| {
                downs[module as usize] = down;
                match &self.biases[module as usize] {
                    Some(bias) => kernels.add_bias(&y, bias),
                    None => Ok(y),
                }
            };
            modules.iter().zip(projected).map(keep).collect()
        };

        let x = kernels.rms_norm(input, &self.input_norm, spec.norm_eps)?;
        let [query, key, value] = all(project(&x, &[Module::Query, Module::Key, Module::Value], None)?)?;
        let (query, key, bare) = match &self.head_norms {
            None => (query, key, None),
            Some([of_query, of_key]) => (
                kernels.head_norm(&query, of_query, spec.norm_eps)?,
                kernels.head_norm(&key, of_key, spec.norm_eps)?,
                Some([query, key]),
            ),
        };
        let query = kernels.rope(&query, rope, layout, dim, false)?;
        let key = kernels.rope(&key, rope, layout, dim, false)?;
        let (attended, lse) = attend(&query, &key, &value)?;
        let around = pass.select(input)?;
        let [middle] = all(project(&pass.select(&attended)?, &[Module::Output], Some(&around))?)?;

        let x = kernels.rms_norm(&middle, &self.post_attention_norm, spec.norm_eps)?;
        let [gate, up] = all(project(&x, &[Module::Gate, Module::Up], None)?)?;
        let [output] = all(project(&kernels.swiglu(&gate, &up)?, &[Module::Down], Some(&middle))?)?;
        let input = input.clone();
        Ok((output, Saved { input, bare, query, key, value, attended, lse, middle, gate, up, downs }))
    }

    /// From the gradient of the output to that of the input (unless `need_input` is false) and of the adapter.
    pub fn backward(
        &self,
        pass: Pass,
        saved: &Saved,
        d_output: &Tensor,
        need_input: bool,
    ) -> Result<(Option<Tensor>, PerModule<Option<LoraGrad>>)> {
        let Pass { kernels, spec, rope, layout, .. } = pass;
        let dim = self.heads.dim;
        let mut grads = [const { None }; Module::ALL.len()];
        let mut back = |x: &Tensor, upstream: &[(Module, &Tensor)], need: bool| -> Result<Option<Tensor>> {
            let group: Vec<(Projection, Upstream)> = upstream
                .iter()
                .map(|&(module, dy)| {
                    let down = saved.downs[module as usize].as_ref();
                    (self.projection(pass, module), Upstream { dy, down })
                })
                .collect();
            let (dx, of_group) = kernels.linear_backward(x, &group, need)?;
            for ((module, _), grad) in upstream.iter().zip(of_group) {
                grads[*module as usize] = grad;
            }
            Ok(dx)
        };

        // The MLP: output = middle + down(swiglu(gate(x), up(x))), x = norm(middle).
        let activation = kernels.swiglu(&saved.gate, &saved.up)?;
        let d_activation = needed(back(&activation, &[(Module::Down, d_output)], true)?)?;
        drop(activation);
        let (d_gate, d_up) = kernels.swiglu_backward(&d_activation, &saved.gate, &saved.up)?;
        drop(d_activation);
        let x = kernels.rms_norm(&saved.middle, &self.post_attention_norm, spec.norm_eps)?;
        let dx = needed(back(&x, &[(Module::Gate, &d_gate), (Module::Up, &d_up)], true)?)?;
        let d_middle = kernels.rms_norm_backward(
            &dx,
            &saved.middle,
            &self.post_attention_norm,
            spec.norm_eps,
            Some(d_output),
        )?;

        // Attention: middle = input + out(attention(q(x), k(x), v(x))), x = norm(input).
        let attended = pass.select(&saved.attended)?;
        let d_attended = needed(back(&attended, &[(Module::Output, &d_middle)], true)?)?;
        let d_attended = pass.spread(d_attended, &saved.attended)?;
        let (d_query, d_key, d_value) = kernels.attention_backward(
            &d_attended,
            &saved.query,
            &saved.key,
            &saved.value,
            &saved.attended,
            &saved.lse,
            layout,
            self.heads,
        )?;
        let mut d_query = kernels.rope(&d_query, rope, layout, dim, true)?;
        let mut d_key = kernels.rope(&d_key, rope, layout, dim, true)?;
        if let (Some([of_query, of_key]), Some([query, key])) = (&self.head_norms, &saved.bare) {
            d_query = kernels.head_norm_backward(&d_query, query, of_query, spec.norm_eps)?;
            d_key = kernels.head_norm_backward(&d_key, key, of_key, spec.norm_eps)?;
        }
        let x = kernels.rms_norm(&saved.input, &self.input_norm, spec.norm_eps)?;
        let upstream = [(Module::Query, &d_query), (Module::Key, &d_key), (Module::Value, &d_value)];
        let d_input = match back(&x, &upstream, need_input)? {
            Some(dx) if need_input => {
                let around = pass.spread(d_middle, &saved.input)?;
                let norm = &self.input_norm;
                Some(kernels.rms_norm_backward(&dx, &saved.input, norm, spec.norm_eps, Some(&around))?)
            }
            _ => None,
        };
        Ok((d_input, grads))
    }
}

/// A gradient that was asked for.
fn needed(gradient: Option<Tensor>) -> Result<Tensor> {
    gradient.ok_or_else(|| candle_core::Error::Msg("a kernel left out a gradient that was asked for".into()))
}

/// What a kernel gave for each of the matrices that it was given.
fn all<const N: usize>(outputs: Vec<Tensor>) -> Result<[Tensor; N]> {
    outputs.try_into().map_err(|_| candle_core::Error::Msg("a kernel left out an output".into()))
}
