//! Writing on: the model continues prompts, token by token.
//!
//! Keys and values of what came before are kept, so that each token costs one row of work. Several
//! prompts are continued side by side, one row each; their pasts end at the same place and begin
//! where they may, with nothing before. Which tokens end a text is for the caller to say.

use super::lora::Adapter;
use super::{Batch, CausalLm};
use crate::kernel::{Dropout, Heads, Layout, on_a_worker};
use anyhow::{Result, ensure};
use candle_core::{D, DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Most tokens written after a prompt.
    pub max_tokens: usize,
    /// What the logits are divided by; 0 takes the likeliest token each time.
    pub temperature: f64,
    /// Drawn from the likeliest tokens that together have this share (Holtzman et al. 2020); 1 is all.
    pub top_p: f64,
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token each time.
    pub fn greedy(max_tokens: usize) -> Self {
        Self { max_tokens, temperature: 0.0, top_p: 1.0, seed: 0 }
    }
}

/// Who is told of each token, and says when a text is over.
pub trait Listener {
    /// Whether the text of a prompt ends before `token`.
    fn ends(&self, token: u32) -> bool;

    /// Row `row` goes on with `token`; false ends all rows.
    fn hear(&mut self, row: usize, token: u32) -> bool {
        let _ = (row, token);
        true
    }
}

/// What was written after one prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continuation {
    /// Without the token that ended it.
    pub tokens: Vec<u32>,
    /// Whether it ended by itself.
    pub ended: bool,
}

/// Continues each of `prompts`.
///
/// # Errors
/// When a prompt is empty, or longer than the model was loaded for; when the device fails.
pub fn generate(
    model: &CausalLm,
    adapter: &Adapter,
    prompts: &[&[u32]],
    sampling: Sampling,
    listener: &mut dyn Listener,
) -> Result<Vec<Continuation>> {
    let mut written = vec![Continuation::default(); prompts.len()];
    if prompts.is_empty() || sampling.max_tokens == 0 {
        return Ok(written);
    }
    let longest = model.max_length();
    for prompt in prompts {
        ensure!(!prompt.is_empty(), "there is no token to go on from");
        ensure!(
            prompt.len() < longest,
            "the prompt is {} tokens long, and {longest} are the most with which this model was loaded\n  \
             hint: shorten it, or raise data.max_length",
            prompt.len()
        );
    }
    let mut random = ChaCha8Rng::seed_from_u64(sampling.seed);
    let (mut past, mut logits) = on_a_worker(&model.device, || Past::of(model, adapter, prompts))?;
    let mut open = vec![true; prompts.len()];
    loop {
        let mut next = Vec::with_capacity(prompts.len());
        for (row, logits) in logits.to_vec2::<f32>()?.iter().enumerate() {
            let token = choose(logits, sampling, &mut random);
            next.push(token);
            if !open[row] {
                continue;
            }
            if listener.ends(token) {
                (open[row], written[row].ended) = (false, true);
                continue;
            }
            written[row].tokens.push(token);
            let length = past.lengths[row] + 1;
            open[row] = written[row].tokens.len() < sampling.max_tokens && length < longest;
            if !listener.hear(row, token) {
                return Ok(written);
            }
        }
        if !open.contains(&true) {
            return Ok(written);
        }
        logits = on_a_worker(&model.device, || past.go_on(model, adapter, &next, &open))?;
    }
}

/// Keys and values of everything so far.
struct Past {
    /// Of each layer, `(rows, key_value, length, dim)`; a shorter row is padded in front.
    layers: Vec<(Tensor, Tensor)>,
    /// Tokens of each row so far.
    lengths: Vec<usize>,
}

impl Past {
    /// Reads the prompts; also the logits after the last token of each, `(rows, vocab)`.
    fn of(model: &CausalLm, adapter: &Adapter, prompts: &[&[u32]]) -> Result<(Self, Tensor)> {
        let mut layout = Layout { starts: vec![0], positions: Vec::new() };
        for prompt in prompts {
            layout.positions.extend(0..prompt.len() as u32);
            layout.starts.push(layout.positions.len());
        }
        let batch = Batch { ids: prompts.concat(), layout, targets: Vec::new() };
        let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or_default();
        let mut x = model.embed(&batch)?;
        let mut layers = Vec::with_capacity(model.layers.len());
        for (layer, loras) in model.layers.iter().zip(&adapter.layers) {
            let pass = model.pass(&batch, loras, Dropout::OFF);
            let mut kept = None;
            let attend = |q: &Tensor, k: &Tensor, v: &Tensor| {
                let heads = layer.heads;
                let starts = &batch.layout.starts;
                kept = Some((aligned(k, starts, longest, heads)?, aligned(v, starts, longest, heads)?));
                model.kernels.attention(q, k, v, &batch.layout, heads)
            };
            x = layer.forward_with(pass, &x, attend)?.0;
            layers.extend(kept);
        }
        let last: Vec<u32> = batch.layout.starts[1..].iter().map(|&end| end as u32 - 1).collect();
        let last = Tensor::from_vec(last, prompts.len(), &model.device)?;
        let logits = model.head_logits(&x.index_select(&last, 0)?)?;
        Ok((Self { layers, lengths: prompts.iter().map(|prompt| prompt.len()).collect() }, logits))
    }

    /// Takes in one more token a row; gives the logits after it. Rows that are not `open` are computed
    /// with the others and mean nothing, at the position that they reached.
    fn go_on(&mut self, model: &CausalLm, adapter: &Adapter, next: &[u32], open: &[bool]) -> Result<Tensor> {
        let positions =
            self.lengths.iter().map(|&length| length.min(model.max_length() - 1) as u32).collect();
        let layout = Layout { starts: (0..=next.len()).collect(), positions };
        let batch = Batch { ids: next.to_vec(), layout, targets: Vec::new() };
        for (length, open) in self.lengths.iter_mut().zip(open) {
            *length += usize::from(*open);
        }
        let mut x = model.embed(&batch)?;
        for ((layer, loras), (keys, values)) in model.layers.iter().zip(&adapter.layers).zip(&mut self.layers)
        {
            let pass = model.pass(&batch, loras, Dropout::OFF);
            let heads = layer.heads;
            let visible = visible(&self.lengths, keys.dims()[2] + 1, heads, &model.device)?;
            let attend = |q: &Tensor, k: &Tensor, v: &Tensor| {
                let shape = (next.len(), heads.key_value, 1, heads.dim);
                *keys = Tensor::cat(&[&*keys, &k.reshape(shape)?], 2)?;
                *values = Tensor::cat(&[&*values, &v.reshape(shape)?], 2)?;
                attend_past(q, keys, values, &visible, heads)
            };
            x = layer.forward_with(pass, &x, attend)?.0;
        }
        model.head_logits(&x)
    }
}

/// What is added to the scores of rows of these lengths, the newest token included: nothing where there
/// is a token to attend to, minus infinity elsewhere. `(rows, 1, 1, total)`.
fn visible(lengths: &[usize], total: usize, heads: Heads, device: &Device) -> Result<Tensor> {
    let mut mask = Vec::with_capacity(lengths.len() * total);
    for &length in lengths {
        let first = total.saturating_sub(length) + heads.first_key(length.saturating_sub(1));
        mask.extend((0..total).map(|at| if at < first { f32::NEG_INFINITY } else { 0.0 }));
    }
    Ok(Tensor::from_vec(mask, (lengths.len(), 1, 1, total), device)?)
}

/// The rows of `x`, `(n, key_value * dim)`, one under the other with their ends aligned:
/// `(rows, key_value, longest, dim)`, zeros in front.
fn aligned(x: &Tensor, starts: &[usize], longest: usize, heads: Heads) -> candle_core::Result<Tensor> {
    let row = |span: &[usize]| {
        let length = span[1] - span[0];
        let row = x.narrow(0, span[0], length)?.reshape((length, heads.key_value, heads.dim))?;
        row.transpose(0, 1)?.contiguous()?.pad_with_zeros(1, longest - length, 0)
    };
    let rows: Vec<Tensor> = starts.windows(2).map(row).collect::<candle_core::Result<_>>()?;
    Tensor::stack(&rows, 0)
}

/// Attention of one new token a row, `q` of `(rows, query * dim)`, over what came before and itself.
/// Gives what [`crate::kernel::Kernels::attention`] gives.
fn attend_past(
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    visible: &Tensor,
    heads: Heads,
) -> candle_core::Result<(Tensor, Tensor)> {
    let rows = q.dims()[0];
    let group = heads.query / heads.key_value;
    let q = q.reshape((rows, heads.key_value, group, heads.dim))?;
    let scale = 1.0 / (heads.dim as f64).sqrt();
    let scores = q.matmul(&keys.transpose(2, 3)?)?.affine(scale, 0.0)?.broadcast_add(visible)?;
    let lse = scores.log_sum_exp(D::Minus1)?;
    let probabilities = scores.broadcast_sub(&lse.unsqueeze(3)?)?.exp()?;
    let out = probabilities.matmul(values)?.reshape((rows, heads.query * heads.dim))?;
    Ok((out.to_dtype(DType::F32)?, lse.reshape((rows, heads.query))?))
}

/// The next token after `logits`; of equal ones the first.
fn choose(logits: &[f32], sampling: Sampling, random: &mut ChaCha8Rng) -> u32 {
    let likeliest = |best: usize, at: usize| if logits[at] > logits[best] { at } else { best };
    let best = (0..logits.len()).reduce(likeliest).unwrap_or_default();
    // Drawn even where it is not needed, so that a row's luck does not hang on its neighbours.
    let luck: f64 = random.random();
    if sampling.temperature <= 0.0 || !logits[best].is_finite() {
        return best as u32;
    }
    let weight = |at: &usize| (f64::from(logits[*at] - logits[best]) / sampling.temperature).exp();
    let mut order: Vec<(usize, f64)> = (0..logits.len()).map(|at| (at, weight(&at))).collect();
    let total: f64 = order.iter().map(|(_, weight)| weight).sum();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut share = 0.0;
    let upto = order.iter().position(|(_, weight)| {
        share += weight / total;
        share >= sampling.top_p
    });
    order.truncate(upto.map_or(order.len(), |last| last + 1));
    let mut left = luck * order.iter().map(|(_, weight)| weight).sum::<f64>();
    for (token, weight) in &order {
        left -= weight;
        if left <= 0.0 {
            return *token as u32;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Dtype};
    use crate::model::BUILTIN;
    use crate::model::lora::AdapterConfig;

    /// Ends at one token, and leaves after a number of them.
    struct Ear {
        end: Option<u32>,
        patience: usize,
        heard: Vec<(usize, u32)>,
    }

    impl Ear {
        fn new(end: Option<u32>) -> Self {
            Self { end, patience: usize::MAX, heard: Vec::new() }
        }
    }

    impl Listener for Ear {
        fn ends(&self, token: u32) -> bool {
            self.end == Some(token)
        }

        fn hear(&mut self, row: usize, token: u32) -> bool {
            self.heard.push((row, token));
            self.heard.len() < self.patience
        }
    }

    fn model(length: usize) -> (CausalLm, Adapter) {
        let model = CausalLm::load(BUILTIN, Dtype::F32, length, &Device::Cpu).unwrap();
        let config = AdapterConfig::new(&config::Lora { r: 4, ..config::Lora::default() }).unwrap();
        let mut adapter = Adapter::new(config, &model.spec, 1, &Device::Cpu).unwrap();
        // An adapter that says something.
        for tensor in adapter.tensors_mut() {
            *tensor = tensor.affine(1.0, 0.01).unwrap();
        }
        (model, adapter)
    }

    const PROMPTS: [&[u32]; 3] = [&[40, 77, 310, 95, 12], &[500], &[61, 62, 63, 64, 65, 66, 67, 68]];

    /// The likeliest token after `ids`, from the whole row at once.
    fn from_scratch(model: &CausalLm, adapter: &Adapter, ids: &[u32]) -> u32 {
        let layout = Layout { starts: vec![0, ids.len()], positions: (0..ids.len() as u32).collect() };
        let last = ids.len() as u32 - 1;
        let targets = (0..model.spec.vocab as u32).map(|token| (last, token)).collect();
        let loss = model.evaluate(&Batch { ids: ids.to_vec(), layout, targets }, adapter).unwrap();
        loss.hits.iter().position(|&hit| hit).unwrap() as u32
    }

    #[test]
    fn with_and_without_a_past_the_same_tokens_follow() {
        let (model, adapter) = model(64);
        let together =
            generate(&model, &adapter, &PROMPTS, Sampling::greedy(6), &mut Ear::new(None)).unwrap();
        for (prompt, continuation) in PROMPTS.iter().zip(&together) {
            assert_eq!(continuation.tokens.len(), 6);
            assert!(!continuation.ended);
            let alone =
                generate(&model, &adapter, &[prompt], Sampling::greedy(6), &mut Ear::new(None)).unwrap();
            assert_eq!(&alone[0], continuation, "rows do not see each other");
        }
        let mut ids = PROMPTS[0].to_vec();
        for &token in &together[0].tokens[..3] {
            assert_eq!(from_scratch(&model, &adapter, &ids), token);
            ids.push(token);
        }
    }

    #[test]
    fn a_text_ends_where_it_is_said_to_and_others_go_on() {
        let (model, adapter) = model(64);
        let free = generate(&model, &adapter, &PROMPTS, Sampling::greedy(5), &mut Ear::new(None)).unwrap();
        let end = free[1].tokens[2];
        let mut ear = Ear::new(Some(end));
        let ended = generate(&model, &adapter, &PROMPTS, Sampling::greedy(5), &mut ear).unwrap();
        for (free, ended) in free.iter().zip(&ended) {
            let upto = free.tokens.iter().position(|&token| token == end);
            assert_eq!(
                (ended.tokens.as_slice(), ended.ended),
                (&free.tokens[..upto.unwrap_or(5)], upto.is_some())
            );
        }
        let heard =
            |row| ear.heard.iter().filter(|heard| heard.0 == row).map(|heard| heard.1).collect::<Vec<_>>();
        assert_eq!(
            (0..3).map(heard).collect::<Vec<_>>(),
            ended.iter().map(|c| c.tokens.clone()).collect::<Vec<_>>()
        );
        let mut leaves = Ear { patience: 4, ..Ear::new(None) };
        generate(&model, &adapter, &PROMPTS, Sampling::greedy(5), &mut leaves).unwrap();
        assert_eq!(leaves.heard.len(), 4);
    }

    #[test]
    fn a_row_ends_with_the_positions_that_are_there() {
        let (model, adapter) = model(8);
        let error = generate(&model, &adapter, &[PROMPTS[2]], Sampling::greedy(5), &mut Ear::new(None));
        assert!(error.unwrap_err().to_string().contains("the prompt is 8 tokens long, and 8 are the most"));
        let written =
            generate(&model, &adapter, &PROMPTS[..2], Sampling::greedy(20), &mut Ear::new(None)).unwrap();
        assert_eq!(written.iter().map(|c| c.tokens.len()).collect::<Vec<_>>(), [3, 7]);
        assert!(generate(&model, &adapter, &[&[]], Sampling::greedy(1), &mut Ear::new(None)).is_err());
    }

    #[test]
    fn tokens_are_drawn_by_their_shares() {
        let logits: Vec<f32> = [0.5_f32, 0.3, 0.15, 0.05].map(f32::ln).into();
        let draw = |temperature, top_p| {
            let sampling = Sampling { max_tokens: 1, temperature, top_p, seed: 0 };
            let mut random = ChaCha8Rng::seed_from_u64(3);
            let mut counts = [0_u32; 4];
            for _ in 0..4000 {
                counts[choose(&logits, sampling, &mut random) as usize] += 1;
            }
            counts.map(|count| f64::from(count) / 4000.0)
        };
        let near = |a: [f64; 4], b: [f64; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.03);
        assert_eq!(draw(0.0, 1.0), [1.0, 0.0, 0.0, 0.0]);
        assert!(near(draw(1.0, 1.0), [0.5, 0.3, 0.15, 0.05]));
        // Half and 0.3 reach 0.75 together; they share the draws.
        assert!(near(draw(1.0, 0.75), [0.625, 0.375, 0.0, 0.0]));
        let squares = [0.25, 0.09, 0.0225, 0.0025].map(|square| square / 0.365);
        assert!(near(draw(0.5, 1.0), squares));
        assert_eq!(choose(&[f32::NAN, f32::NAN], Sampling::greedy(1), &mut ChaCha8Rng::seed_from_u64(0)), 0);
    }
}
