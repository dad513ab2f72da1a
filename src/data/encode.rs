//! Rows to tokens, and which of them carry loss.
//!
//! A row is tokenised once, as a whole; a token belongs to the part of the text in which it starts, not
//! counting its leading spaces: after "Answer: " the token " yes" is one to learn.
//! - *Chat*: written by the model's chat template (`ChatML` where it has none), which also writes the
//!   special tokens. The assistant's turns carry loss, with the tokens that end them. Text of a special
//!   token inside a message becomes that token, as in every other trainer; such rows are counted, so
//!   that nobody is surprised.
//! - *Instruction*: a chat of one question (instruction, blank line, input) where the model has a chat
//!   template, else Alpaca's prompt followed by the output.
//! - *Prompt and completion*: joined as they are, end-of-sequence appended; the completion carries loss.
//! - *Text*: end-of-sequence appended; all of it carries loss.
//!
//! The last two are framed as the tokenizer's own post-processor says (a begin-of-sequence token only
//! if it adds one). The first token has nothing before it, so it never carries loss.

use super::Example;
use super::error::RowFault;
use super::guard;
use super::read::{Body, Message, Role};
use super::template::ChatTemplate;
use rayon::prelude::*;
use serde_json::Value;
use std::path::Path;
use tokenizers::{PostProcessor, PostProcessorWrapper, Tokenizer};

/// The files that say how a model reads text, as found in its folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenizerFiles<'a> {
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// `tokenizer_config.json`: special tokens, chat template.
    pub tokenizer_config: Option<&'a str>,
    /// `config.json`, asked for the end-of-sequence token only.
    pub config: Option<&'a str>,
    /// `chat_template.jinja`, which goes before the one in `tokenizer_config.json`.
    pub chat_template: Option<&'a str>,
}

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {message}\n  hint: {hint}")]
pub struct TokenizerError {
    /// The file that is wrong; its name alone where it was not read from a folder.
    pub file: String,
    pub message: String,
    pub hint: &'static str,
}

/// How rows become examples.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions {
    /// Longer rows are cut.
    pub max_length: usize,
    /// Loss on completions only.
    pub mask_prompt: bool,
}

/// A row as tokens, and what had to be done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub example: Example,
    /// Tokens cut from its end.
    pub cut: usize,
    /// A message of it contains the text of a special token.
    pub special_in_message: bool,
}

/// How a model reads text.
#[derive(Debug)]
pub struct Encoder {
    /// Without its post-processor, which would trim the offsets that the masks depend on.
    tokenizer: Tokenizer,
    post_processor: Option<PostProcessorWrapper>,
    chat: ChatTemplate,
    /// Whether `chat` came with the model.
    own_chat: bool,
    eos: Option<u32>,
    /// The special tokens, with their texts.
    specials: Vec<(u32, String)>,
}

impl Encoder {
    pub fn new(files: TokenizerFiles) -> Result<Self, TokenizerError> {
        let mut tokenizer = guard::load(files.tokenizer).map_err(|e| {
            unusable("tokenizer.json", &e, "a file written by the tokenizers library is expected")
        })?;
        // What a file may ask for by default would cut or pad rows unseen.
        let _ = tokenizer.with_padding(None).with_truncation(None);
        let post_processor = tokenizer.get_post_processor().cloned();
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);

        let settings = json("tokenizer_config.json", files.tokenizer_config)?;
        let token = |name: &str| match &settings[name] {
            Value::Object(token) => token.get("content").and_then(Value::as_str),
            other => other.as_str(),
        };
        let (bos, eos) = (token("bos_token"), token("eos_token"));
        let own = files.chat_template.or_else(|| own_template(&settings["chat_template"]));
        let (bos_text, eos_text) = (bos.unwrap_or_default(), eos.unwrap_or_default());
        let chat = match own {
            Some(source) => ChatTemplate::new(source, bos_text, eos_text),
            None => ChatTemplate::chatml(bos_text, eos_text),
        };
        let chat = chat.map_err(|e| {
            unusable(
                "chat template",
                &e,
                "it is the chat_template of tokenizer_config.json, or chat_template.jinja",
            )
        })?;
        let eos = match eos {
            Some(text) => Some(tokenizer.token_to_id(text).ok_or_else(|| {
                let message = format!("eos_token {text:?} is not in the vocabulary");
                unusable("tokenizer_config.json", &message, "it belongs to another tokenizer.json")
            })?),
            None => first_id(&json("config.json", files.config)?["eos_token_id"]),
        };
        let added = tokenizer.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special);
        let specials = special.map(|(&id, token)| (id, token.content.clone())).collect();
        Ok(Self { tokenizer, post_processor, chat, own_chat: own.is_some(), eos, specials })
    }

    /// Reads the files of a model folder; only `tokenizer.json` has to be there.
    pub fn open(folder: &Path) -> Result<Self, TokenizerError> {
        let failed = |name: &str, e: &std::io::Error| {
            let hint = "a model folder holds config.json, *.safetensors and tokenizer.json";
            unusable(&folder.join(name).display().to_string(), &format!("cannot be read: {e}"), hint)
        };
        let text = |name: &str| match std::fs::read_to_string(folder.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(name, &e)),
        };
        let name = "tokenizer.json";
        let tokenizer = std::fs::read(folder.join(name)).map_err(|e| failed(name, &e))?;
        let (settings, config) = (text("tokenizer_config.json")?, text("config.json")?);
        let chat_template = text("chat_template.jinja")?;
        let files = TokenizerFiles {
            tokenizer: &tokenizer,
            tokenizer_config: settings.as_deref(),
            config: config.as_deref(),
            chat_template: chat_template.as_deref(),
        };
        Self::new(files).map_err(|e| TokenizerError { file: folder.join(&e.file).display().to_string(), ..e })
    }

    /// The tokenizer, without post-processor.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The token that ends a text, where the model names one.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// One more than the highest token id: what a model's embedding must at least hold.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// Whether a text that a model writes is over before `token`: it ends the sequence, or begins what is
    /// no text, such as the next turn of a chat.
    pub fn ends(&self, token: u32) -> bool {
        self.eos == Some(token) || self.specials.iter().any(|(special, _)| *special == token)
    }

    /// Tokens as text, special ones left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, RowFault> {
        self.tokenizer.decode(ids, true).map_err(|error| RowFault::Tokenizer(error.to_string()))
    }

    /// The question that a prompt puts, as text: what stands around a single one in a chat left out.
    pub fn unframed(&self, prompt: &[u32]) -> String {
        const QUESTION: &str = "?";
        let text = self.decode(prompt).unwrap_or_default();
        let frame = self.ask(QUESTION, &Body::Chat(Vec::new())).and_then(|ids| self.decode(&ids));
        let inner = frame.ok().and_then(|frame| {
            let (before, after) = frame.split_once(QUESTION)?;
            Some(text.strip_prefix(before)?.strip_suffix(after)?.to_owned())
        });
        inner.unwrap_or(text)
    }

    /// What a model is asked `question` with, in the form of a row that it learnt: the frame up to where
    /// the answer would begin. Of a chat, the instructions before the first question are kept.
    pub fn ask(&self, question: &str, like: &Body) -> Result<Vec<u32>, RowFault> {
        let user = || Message { role: Role::User, content: question.into() };
        let messages = match like {
            Body::Chat(messages) => {
                let instructs = |message: &&Message| matches!(message.role, Role::System | Role::Developer);
                messages.iter().take_while(instructs).cloned().chain([user()]).collect()
            }
            Body::Instruction { .. } if self.asks_in_chat(like) => vec![user()],
            Body::Instruction { .. } => return self.begin(&alpaca(question, "")),
            Body::Completion { .. } | Body::Text(_) => return self.begin(question),
        };
        let text = self.chat.render(&messages, true)?;
        Ok(self.tokens(&text, false)?.into_iter().map(|(id, _)| id).collect())
    }

    /// Whether a question in the form of that row is a turn of a chat, which instructions may come before.
    pub fn asks_in_chat(&self, like: &Body) -> bool {
        match like {
            Body::Chat(_) => true,
            Body::Instruction { .. } => self.own_chat,
            Body::Completion { .. } | Body::Text(_) => false,
        }
    }

    /// The tokens of `text` in the frame of the post-processor, as far as they come before its end.
    fn begin(&self, text: &str) -> Result<Vec<u32>, RowFault> {
        let mut tokens = self.tokens(text, true)?;
        // What the frame puts behind a text would end it.
        while tokens.last().is_some_and(|(_, start)| start.is_none()) && !text.is_empty() {
            tokens.pop();
        }
        Ok(tokens.into_iter().map(|(id, _)| id).collect())
    }

    /// All rows, in their order.
    pub fn encode_all(&self, rows: &[&Body], options: EncodeOptions) -> Vec<Result<Encoded, RowFault>> {
        rows.par_iter().map(|row| self.encode(row, options)).collect()
    }

    /// One row.
    pub fn encode(&self, row: &Body, options: EncodeOptions) -> Result<Encoded, RowFault> {
        let mut special_in_message = false;
        let (ids, mut loss_mask) = match row {
            Body::Chat(messages) => {
                special_in_message = self.has_special(messages);
                self.chat(messages, options.mask_prompt)?
            }
            Body::Instruction { instruction, input, output } if self.own_chat => {
                let gap = if input.is_empty() { "" } else { "\n\n" };
                let question = format!("{instruction}{gap}{input}");
                let messages = [
                    Message { role: Role::User, content: question },
                    Message { role: Role::Assistant, content: output.clone() },
                ];
                special_in_message = self.has_special(&messages);
                self.chat(&messages, options.mask_prompt)?
            }
            Body::Instruction { instruction, input, output } => {
                self.framed(&alpaca(instruction, input), output)?
            }
            Body::Completion { prompt, completion } => self.framed(prompt, completion)?,
            Body::Text(text) => self.framed("", text)?,
        };
        if !options.mask_prompt {
            loss_mask.fill(true);
        }
        if let Some(first) = loss_mask.first_mut() {
            *first = false;
        }
        let length = ids.len();
        let mut example = Example { ids, loss_mask };
        let first = example.loss_mask.iter().position(|&on| on).ok_or(RowFault::NothingToLearn)?;
        if first >= options.max_length {
            return Err(RowFault::CutAway { max_length: options.max_length, first: first + 1 });
        }
        example.ids.truncate(options.max_length);
        example.loss_mask.truncate(options.max_length);
        let cut = length - example.ids.len();
        Ok(Encoded { example, cut, special_in_message })
    }

    fn chat(&self, messages: &[Message], mask_prompt: bool) -> Result<(Vec<u32>, Vec<bool>), RowFault> {
        // Where everything carries loss nobody needs to know whose turn it is.
        let (text, turns) = if mask_prompt {
            self.chat.render_turns(messages)?
        } else {
            (self.chat.render(messages, false)?, Vec::new())
        };
        let learnt = |start: usize| turns.iter().any(|turn| turn.contains(&start));
        let tokens = self.tokens(&text, false)?;
        Ok(tokens.into_iter().map(|(id, start)| (id, start.is_some_and(learnt))).unzip())
    }

    /// `given` and `learnt` in the frame of the post-processor, end-of-sequence appended.
    fn framed(&self, given: &str, learnt: &str) -> Result<(Vec<u32>, Vec<bool>), RowFault> {
        let tokens = self.tokens(&format!("{given}{learnt}"), true)?;
        let mut seen = given.is_empty();
        let (mut ids, mut mask): (Vec<u32>, Vec<bool>) = tokens
            .into_iter()
            .map(|(id, start)| {
                // Tokens of the frame have no place in the text: those at the end are learnt, those at
                // the start are not.
                seen |= start.is_some_and(|start| start >= given.len());
                (id, seen)
            })
            .unzip();
        // A row without text stays empty, so that it is refused and does not teach to say nothing.
        let empty = given.is_empty() && learnt.is_empty();
        if let Some(eos) = self.eos.filter(|eos| !empty && ids.last() != Some(eos)) {
            ids.push(eos);
            mask.push(true);
        }
        Ok((ids, mask))
    }

    /// The tokens of `text`, each with the byte at which it starts, leading spaces aside; with `frame`,
    /// also those that the post-processor adds, which start nowhere.
    fn tokens(&self, text: &str, frame: bool) -> Result<Vec<(u32, Option<usize>)>, RowFault> {
        let plain = guard::encode(&self.tokenizer, text).map_err(RowFault::Tokenizer)?;
        let start = |&(start, end): &(usize, usize)| {
            let token = text.get(start..end).unwrap_or_default();
            let spaces = token.len() - token.trim_start().len();
            Some(if spaces < token.len() { start + spaces } else { start })
        };
        let mut starts: Vec<_> = plain.get_offsets().iter().map(start).collect();
        let framed = match &self.post_processor {
            Some(post_processor) if frame => {
                let framed = post_processor
                    .process(plain, None, true)
                    .map_err(|e| RowFault::Tokenizer(e.to_string()))?;
                let mut own = starts.into_iter();
                let place = |&added: &u32| if added == 1 { None } else { own.next().flatten() };
                starts = framed.get_special_tokens_mask().iter().map(place).collect();
                framed
            }
            _ => plain,
        };
        Ok(framed.get_ids().iter().copied().zip(starts).collect())
    }

    fn has_special(&self, messages: &[Message]) -> bool {
        let holds = |message: &Message| self.specials.iter().any(|(_, text)| message.content.contains(text));
        messages.iter().any(holds)
    }
}

/// Alpaca's prompt, the usual frame of instructions for models without a chat template.
fn alpaca(instruction: &str, input: &str) -> String {
    if input.is_empty() {
        return format!(
            "Below is an instruction that describes a task. Write a response that appropriately completes \
             the request.\n\n### Instruction:\n{instruction}\n\n### Response:\n"
        );
    }
    format!(
        "Below is an instruction that describes a task, paired with an input that provides further context. \
         Write a response that appropriately completes the request.\n\n\
         ### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
    )
}

/// The template itself, or the one named "default" of several.
fn own_template(value: &Value) -> Option<&str> {
    match value {
        Value::Array(all) => {
            let named = all.iter().find(|one| one["name"] == "default").or(all.first())?;
            named["template"].as_str()
        }
        other => other.as_str(),
    }
}

/// A token id, or the first of a list of them.
fn first_id(value: &Value) -> Option<u32> {
    let id = value.as_array().and_then(|all| all.first()).unwrap_or(value);
    id.as_u64().and_then(|id| u32::try_from(id).ok())
}

fn json(file: &str, text: Option<&str>) -> Result<Value, TokenizerError> {
    let Some(text) = text else { return Ok(Value::Null) };
    serde_json::from_str(text)
        .map_err(|e| unusable(file, &format!("not valid JSON: {e}"), "the file is damaged: fetch it again"))
}

fn unusable(file: &str, message: &impl ToString, hint: &'static str) -> TokenizerError {
    TokenizerError { file: file.into(), message: message.to_string(), hint }
}

#[cfg(test)]
mod tests;
