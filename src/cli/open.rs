//! What a configuration names, opened: the tokenizer, the device, the model.

use super::{Output, named, say};
use crate::config::Config;
use crate::data::encode::{Encoder, TokenizerFiles};
use crate::device::{self, Chosen};
use crate::model::{BUILTIN, CausalLm, base, no_folder};
use anyhow::{Result, bail, ensure};
use std::path::Path;

/// How the model reads text.
pub(super) fn encoder(config: &Config) -> Result<Encoder> {
    if config.model.path == BUILTIN {
        return Ok(Encoder::new(TokenizerFiles {
            tokenizer: base::TOKENIZER.as_bytes(),
            tokenizer_config: Some(base::TOKENIZER_CONFIG),
            config: Some(base::CONFIG),
            chat_template: None,
        })?);
    }
    Ok(Encoder::open(folder(&config.model.path)?)?)
}

/// The model's folder.
pub(super) fn folder(path: &str) -> Result<&Path> {
    let folder = Path::new(path);
    if let Some(parent) = folder.parent().filter(|_| folder.is_file()) {
        bail!(
            "model.path = {path:?}: a file, not a folder\n  hint: name its folder: {:?}",
            named(parent).display().to_string()
        );
    }
    ensure!(path == BUILTIN || folder.is_dir(), "{}", no_folder(path));
    Ok(folder)
}

/// The device that an argument asks for.
pub(super) fn device(name: &str, output: &Output) -> Result<Chosen> {
    let mut chosen = device::choose(name)?;
    if let Some(remark) = chosen.remark.take().filter(|_| !output.quiet) {
        say(&remark);
    }
    Ok(chosen)
}

/// The model, which must know the tokens of its tokenizer.
pub(super) fn model(config: &Config, encoder: &Encoder, chosen: &Chosen) -> Result<CausalLm> {
    let model =
        CausalLm::load(&config.model.path, config.model.dtype, config.data.max_length, &chosen.device)?;
    ensure!(
        encoder.vocab_size() <= model.spec.vocab,
        "{}/tokenizer.json: has ids up to {}, but the model's embedding has {} rows\n  \
         hint: take config.json, *.safetensors and tokenizer.json from the same model",
        config.model.path,
        encoder.vocab_size() - 1,
        model.spec.vocab
    );
    Ok(model)
}
