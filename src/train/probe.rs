//! What is asked of the model beside the held-out rows, at each of their evaluations.
//!
//! The loss of a fixed sample of training rows, taken as the held-out rows' is. The loss of the steps
//! is no match for that: it is taken before the update, with dropout, and while the model changes. And
//! what the model writes by itself after a few prompts of either side. Which rows and which prompts is a
//! function of the seed and of how many rows there are, so that a resumed run goes on with its own.

use super::likeness;
use crate::config::{self, Config};
use crate::data::batch::shuffle;
use crate::data::{Encoder, Example, Splits};
use crate::event::{Generated, Sample, Split};
use crate::model::CausalLm;
use crate::model::generate::{Continuation, Listener, Sampling, generate};
use crate::model::lora::Adapter;
use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The stream of the seed's generator that draws the samples; the epochs count theirs from 0.
const STREAM: u64 = u64::MAX;
/// A prompt of fewer tokens asks for nothing: such a row is cut in two, and its first part is the prompt.
const SHORTEST_PROMPT: usize = 3;
/// Most tokens of a prompt that is cut from a row (Carlini et al. 2023, arXiv 2202.07646, take 50).
const CUT_PROMPT: usize = 50;

/// What is asked of the model.
pub struct Probe<'a> {
    /// A sample of the training rows, in their order.
    pub rows: Vec<Example>,
    /// Of the training rows first, then of the held-out ones.
    passages: Vec<Passage>,
    encoder: &'a Encoder,
    max_tokens: usize,
}

/// A prompt, and how it goes on in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Passage {
    split: Split,
    prompt: Vec<u32>,
    /// As many tokens of it as may be written.
    reference: Vec<u32>,
}

impl<'a> Probe<'a> {
    pub fn new(config: &Config, splits: &Splits, encoder: &'a Encoder) -> Self {
        let config::Probe { rows, prompts, max_tokens } = config.probe;
        let seed = config.train.seed;
        let mut drawn = draw(splits.train.len(), rows, seed);
        drawn.sort_unstable();
        let mut passages = Vec::new();
        for (split, rows) in [(Split::TrainProbe, &splits.train), (Split::Valid, &splits.valid)] {
            let order = draw(rows.len(), rows.len(), seed);
            let of_row = |row: usize| passage(split, &rows[row], encoder, max_tokens);
            passages.extend(order.into_iter().filter_map(of_row).take(prompts));
        }
        let rows = drawn.into_iter().map(|row| splits.train[row].clone()).collect();
        Self { rows, passages, encoder, max_tokens }
    }

    /// Lets the model go on after the prompts; one event a side that has any.
    ///
    /// # Errors
    /// When the device fails.
    pub fn generate(
        &self,
        model: &CausalLm,
        adapter: &Adapter,
        step: u64,
        epoch: f64,
    ) -> Result<Vec<Generated>> {
        let fits = |passage: &&Passage| passage.prompt.len() < model.max_length();
        let passages: Vec<&Passage> = self.passages.iter().filter(fits).collect();
        let prompts: Vec<&[u32]> = passages.iter().map(|passage| passage.prompt.as_slice()).collect();
        let mut ends = Ends(self.encoder);
        let written = generate(model, adapter, &prompts, Sampling::greedy(self.max_tokens), &mut ends)?;
        let pairs: Vec<(&Passage, Continuation)> = passages.into_iter().zip(written).collect();
        let sides = [Split::TrainProbe, Split::Valid];
        let of_side = |split: Split| {
            let side: Vec<_> = pairs.iter().filter(|(passage, _)| passage.split == split).collect();
            (!side.is_empty()).then(|| self.count(split, &side, step, epoch))
        };
        Ok(sides.into_iter().filter_map(of_side).collect())
    }

    fn count(&self, split: Split, side: &[&(&Passage, Continuation)], step: u64, epoch: f64) -> Generated {
        let mean = |share: &dyn Fn(&Passage, &[u32]) -> f64| {
            side.iter().map(|(passage, written)| share(passage, &written.tokens)).sum::<f64>()
                / side.len() as f64
        };
        let text = |tokens: &[u32]| self.encoder.decode(tokens).unwrap_or_default();
        let sample = |(passage, written): &&(&Passage, Continuation)| Sample {
            prompt: self.encoder.unframed(&passage.prompt),
            reference: text(&passage.reference),
            output: text(&written.tokens),
        };
        Generated {
            step,
            epoch: Some(epoch),
            split,
            prompts: side.len() as u32,
            exact: mean(&|passage, tokens| f64::from(u8::from(passage.reference == tokens))),
            overlap: mean(&|passage, tokens| likeness::overlap(&passage.reference, tokens)),
            repetition: mean(&|_, tokens| likeness::repetition(tokens)),
            chrf: Some(mean(&|passage, tokens| likeness::chrf(&text(&passage.reference), &text(tokens)))),
            samples: side.iter().map(sample).collect(),
        }
    }
}

/// The first answer of a row and what comes before it; of a row that is learnt from its start, its first
/// part and the rest. `None` where there is nothing to recite.
fn passage(split: Split, row: &Example, encoder: &Encoder, max_tokens: usize) -> Option<Passage> {
    let first = row.loss_mask.iter().position(|&on| on)?;
    let learnt = row.loss_mask[first..].iter().take_while(|&&on| on).count();
    let (start, end) = if first < SHORTEST_PROMPT {
        ((row.ids.len() / 2).min(CUT_PROMPT), row.ids.len())
    } else {
        (first, first + learnt)
    };
    let answer = &row.ids[start..end];
    let text = answer.iter().take_while(|&&token| !encoder.ends(token)).take(max_tokens);
    let reference: Vec<u32> = text.copied().collect();
    let some = start > 0 && !reference.is_empty();
    some.then(|| Passage { split, prompt: row.ids[..start].to_vec(), reference })
}

/// `count` of `rows` rows, or all of them where there are fewer, in a drawn order.
fn draw(rows: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    let mut all: Vec<usize> = (0..rows).collect();
    shuffle(&mut all, &mut rng);
    all.truncate(count);
    all
}

/// Knows where a text ends.
struct Ends<'a>(&'a Encoder);

impl Listener for Ends<'_> {
    fn ends(&self, token: u32) -> bool {
        self.0.ends(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::encode::TokenizerFiles;
    use crate::model::base;

    #[test]
    fn a_sample_is_fixed_by_the_seed_and_has_no_row_twice() {
        let drawn = draw(100, 10, 3);
        assert_eq!(drawn, draw(100, 10, 3));
        assert_ne!(drawn, draw(100, 10, 4));
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 10);
        assert!(sorted.iter().all(|&row| row < 100));
        assert_eq!(draw(3, 10, 0).len(), 3);
        assert!(draw(3, 0, 0).is_empty());
    }

    #[test]
    fn a_passage_is_an_answer_or_the_rest_of_a_row() {
        let encoder = Encoder::new(TokenizerFiles {
            tokenizer: base::TOKENIZER.as_bytes(),
            tokenizer_config: Some(base::TOKENIZER_CONFIG),
            ..TokenizerFiles::default()
        })
        .unwrap();
        let of = |ids: &[u32], first: usize, last: usize, most: usize| {
            let loss_mask = (0..ids.len()).map(|i| (first..=last).contains(&i)).collect();
            let passage = passage(Split::Valid, &Example { ids: ids.to_vec(), loss_mask }, &encoder, most);
            passage.map(|passage| (passage.prompt, passage.reference))
        };
        // Token 0 is the base's end of text.
        let ids = [50, 51, 52, 53, 54, 55, 0, 56];
        assert_eq!(of(&ids, 3, 6, 9), Some((vec![50, 51, 52], vec![53, 54, 55])));
        assert_eq!(of(&ids, 3, 4, 9), Some((vec![50, 51, 52], vec![53, 54])));
        assert_eq!(of(&ids, 3, 6, 2), Some((vec![50, 51, 52], vec![53, 54])));
        assert_eq!(of(&ids, 1, 7, 9), Some((vec![50, 51, 52, 53], vec![54, 55])));
        assert_eq!(of(&ids, 6, 7, 9), None, "an empty answer");
        assert_eq!(of(&[50], 1, 0, 9), None);
    }
}
