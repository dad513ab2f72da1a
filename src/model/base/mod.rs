//! The base model that is part of this program, so that a first run needs no network.
//!
//! What it was trained on, how, and how little it knows is in `CARD.md` beside this file, with the
//! command that makes it again.

/// Its description in Hugging Face form.
pub const CONFIG: &str = include_str!("config.json");
/// Its weights, bf16.
pub const WEIGHTS: &[u8] = include_bytes!("model.safetensors");
/// Its tokenizer.
pub const TOKENIZER: &str = include_str!("tokenizer.json");
/// Special tokens and the chat template.
pub const TOKENIZER_CONFIG: &str = include_str!("tokenizer_config.json");
