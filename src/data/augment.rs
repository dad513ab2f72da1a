//! Variations of training rows: the same answer to a prompt that was typed a little differently.
//!
//! Prompts alone are varied, never what is learnt, and never a held-out row: only the trainer asks for
//! variations. A variation is a function of seed, epoch and row, so a resumed run meets the same ones.
//! Words with digits or signs in them (order numbers, addresses, special tokens) and names that the answer
//! repeats stay as they are: without them the answer would be an invention. Noise on embeddings is no
//! variation of text; it is in `model::noise`.

use super::batch::shuffle;
use super::encode::{EncodeOptions, Encoder};
use super::read::{Body, Message, Role};
use super::{DataError, Dataset, Example};
use crate::config::{Augment, Config};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::borrow::Cow;
use std::collections::HashSet;

/// Keeps the streams of variations apart from those that order the rows.
const SALT: u64 = 0x6175_676D_656E_7400;
/// Shorter words are not misspelt: two letters swapped in "to" make another word.
const SHORTEST_TYPO: usize = 4;

/// Whether text is varied at all.
fn varies(augment: &Augment) -> bool {
    let Augment { word_dropout, typos, drop_punctuation, lowercase, shuffle_sentences, .. } = augment;
    [word_dropout, typos, drop_punctuation, lowercase, shuffle_sentences].iter().any(|share| **share > 0.0)
}

/// Varies the training rows of a run.
#[derive(Clone, Copy, Debug)]
pub struct Augmenter<'a> {
    augment: &'a Augment,
    encoder: &'a Encoder,
    options: EncodeOptions,
    /// The texts of `plain`, in its order.
    bodies: &'a [Body],
    plain: &'a [Example],
    seed: u64,
}

impl<'a> Augmenter<'a> {
    /// `None` where no variation of text is asked for.
    ///
    /// # Errors
    /// When the rows have no prompts.
    pub fn new(
        config: &'a Config,
        encoder: &'a Encoder,
        dataset: &'a Dataset,
    ) -> Result<Option<Self>, DataError> {
        if !varies(&config.augment) {
            return Ok(None);
        }
        if dataset.bodies.iter().any(|body| matches!(body, Body::Text(_))) {
            return Err(DataError::NoPrompts { file: config.data.train.clone() });
        }
        let options =
            EncodeOptions { max_length: config.data.max_length, mask_prompt: config.data.mask_prompt };
        let (bodies, plain) = (dataset.bodies.as_slice(), dataset.splits.train.as_slice());
        Ok(Some(Self { augment: &config.augment, encoder, options, bodies, plain, seed: config.train.seed }))
    }

    /// Row number `row` as it is trained on in epoch number `epoch`.
    ///
    /// The tokens that carry loss are always those of the row itself: a variation that would lose or change
    /// any of them, by cutting for example, is not used.
    pub fn example(&self, epoch: u64, row: usize) -> Cow<'a, Example> {
        let plain = &self.plain[row];
        let body = self.body(epoch, row);
        match self.encoder.encode(&body, self.options) {
            Ok(varied) if learnt(&varied.example).eq(learnt(plain)) => Cow::Owned(varied.example),
            _ => Cow::Borrowed(plain),
        }
    }

    /// The text of a variation.
    pub fn body(&self, epoch: u64, row: usize) -> Body {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ SALT);
        // Epochs and rows beyond 2^32 would repeat variations, and nothing worse.
        rng.set_stream((epoch << 32) | row as u64);
        vary(&self.bodies[row], self.augment, &mut rng)
    }
}

/// The tokens that carry loss.
fn learnt(example: &Example) -> impl Iterator<Item = u32> {
    example.ids.iter().zip(&example.loss_mask).filter(|(_, on)| **on).map(|(id, _)| *id)
}

fn vary(body: &Body, augment: &Augment, rng: &mut ChaCha8Rng) -> Body {
    match body {
        Body::Chat(messages) => {
            let answers = messages.iter().filter(|message| message.role == Role::Assistant);
            let names = names(answers.map(|message| message.content.as_str()));
            let mut vary = |message: &Message| match message.role {
                Role::User => Message { content: text(&message.content, &names, augment, rng), ..*message },
                _ => message.clone(),
            };
            Body::Chat(messages.iter().map(&mut vary).collect())
        }
        Body::Completion { prompt, completion } => {
            let prompt = text(prompt, &names([completion.as_str()]), augment, rng);
            Body::Completion { prompt, completion: completion.clone() }
        }
        Body::Instruction { instruction, input, output } => {
            let names = names([output.as_str()]);
            let instruction = text(instruction, &names, augment, rng);
            Body::Instruction {
                instruction,
                input: text(input, &names, augment, rng),
                output: output.clone(),
            }
        }
        Body::Text(text) => Body::Text(text.clone()),
    }
}

/// The words of the answers that begin with a capital.
fn names<'a>(answers: impl IntoIterator<Item = &'a str>) -> HashSet<&'a str> {
    let words = answers.into_iter().flat_map(str::split_whitespace).map(core);
    words.filter(|word| word.starts_with(char::is_uppercase)).collect()
}

/// A word without the punctuation around it.
fn core(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// Whether a word has to stay as it is.
fn fixed(word: &str, names: &HashSet<&str>) -> bool {
    let plain = |c: char| c.is_alphabetic() || "'\u{2019}-.,;:!?\"()\u{201c}\u{201d}".contains(c);
    !word.chars().all(plain) || names.contains(core(word))
}

fn text(text: &str, names: &HashSet<&str>, augment: &Augment, rng: &mut ChaCha8Rng) -> String {
    let mut text = Cow::Borrowed(text);
    if happens(augment.shuffle_sentences, rng) {
        text = text.split('\n').map(|line| shuffled(line, rng)).collect::<Vec<_>>().join("\n").into();
    }
    let lowercase = happens(augment.lowercase, rng);
    let mut out = String::with_capacity(text.len());
    let mut dropped = false;
    let end = text.trim_end().len();
    for piece in pieces(&text[..end]) {
        let word = piece.trim_start();
        let space = &piece[..piece.len() - word.len()];
        if fixed(word, names) {
            out.push_str(piece);
            continue;
        }
        if happens(augment.word_dropout, rng) {
            dropped = true;
            continue;
        }
        // The first word left is not set off from one that is gone.
        if !(dropped && out.is_empty()) {
            out.push_str(space);
        }
        let mut word = word.to_owned();
        if happens(augment.typos, rng) {
            word = typo(&word, rng);
        }
        if happens(augment.drop_punctuation, rng) {
            word = core(&word).into();
        }
        out.push_str(&if lowercase { word.to_lowercase() } else { word });
    }
    // A prompt of nothing would ask nothing.
    if out.trim().is_empty() {
        return text.into_owned();
    }
    out.push_str(&text[end..]);
    out
}

/// Words, each with the white space before it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let word = rest.len() - rest.trim_start().len();
        let end = rest[word..].find(char::is_whitespace).map_or(rest.len(), |at| word + at);
        let piece;
        (piece, rest) = rest.split_at(end);
        (!piece.is_empty()).then_some(piece)
    })
}

/// The sentences of a line in another order.
fn shuffled(line: &str, rng: &mut ChaCha8Rng) -> String {
    let mut sentences: Vec<String> = vec![String::new()];
    for piece in pieces(line) {
        if let Some(last) = sentences.last_mut() {
            last.push_str(piece);
        }
        if piece.ends_with(['.', '!', '?']) {
            sentences.push(String::new());
        }
    }
    let mut sentences: Vec<&str> = sentences.iter().map(|s| s.trim()).filter(|s| !s.is_empty()).collect();
    if sentences.len() < 2 {
        return line.into();
    }
    shuffle(&mut sentences, rng);
    sentences.join(" ")
}

/// A word with two neighbouring letters swapped, one left out or one typed twice; never the first.
fn typo(word: &str, rng: &mut ChaCha8Rng) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let typed = letters.iter().take_while(|c| c.is_alphabetic()).count();
    if typed < SHORTEST_TYPO {
        return word.into();
    }
    let at = 1 + below(typed as u64 - 2, rng) as usize;
    match below(3, rng) {
        0 => letters.swap(at, at + 1),
        1 => drop(letters.remove(at)),
        _ => letters.insert(at, letters[at]),
    }
    letters.into_iter().collect()
}

/// A whole number below `n`, as [`shuffle`] draws one.
fn below(n: u64, rng: &mut ChaCha8Rng) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

/// Whether something of this probability happens. Nothing is drawn for what cannot.
fn happens(share: f64, rng: &mut ChaCha8Rng) -> bool {
    share > 0.0 && (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 <= share
}

#[cfg(test)]
mod tests;
