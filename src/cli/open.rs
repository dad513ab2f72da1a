//! What a configuration names, opened: the tokenizer, the device, the model; and whether that is still the one
//! of a run.

use super::{Output, named, say};
use crate::config::Config;
use crate::data::encode::{Encoder, TokenizerFiles};
use crate::device::{self, Chosen};
use crate::event::Event;
use crate::event::record::Record;
use crate::model::{BUILTIN, CausalLm, base, no_folder};
use crate::store::RunDir;
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

/// Says that the base at `path` is the one that a run was trained on, by its checksum and the run's log: an
/// adapter is a difference to that one, and added to another it is noise. A log that does not tell says
/// nothing against it.
pub(super) fn same_base(dir: &RunDir, path: &str, checksum: u32) -> Result<()> {
    let begun = |record: Record| match record.event {
        Event::RunStarted(info) => info.model,
        _ => None,
    };
    let trained_on = dir.records().ok().and_then(|records| records.into_iter().find_map(begun));
    let other = trained_on.is_some_and(|model| model.checksum != 0 && model.checksum != checksum);
    ensure!(
        !other,
        "model.path = {path:?}: these are not the weights that {} was trained on\n  \
         hint: put the old files back, or train anew with tune run",
        dir.root().display()
    );
    Ok(())
}

/// Warns where the base is no longer the one that a run was trained on.
pub(super) fn warn_of_base(dir: &RunDir, config: &Config, model: &CausalLm) {
    if let Err(other) = same_base(dir, &config.model.path, model.checksum) {
        say(&format!("warning: {other}"));
    }
}
