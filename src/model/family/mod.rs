//! The model families: what each does differently from a plain Llama, one file a family.
//!
//! A family is data and one function. It says by which names it is known, what its configuration
//! means where it is silent, and which of the pieces of [`super::layer`] it uses: biases, norms of
//! heads, windows. To add one that is made of these pieces: a file here, its line in [`FAMILIES`], its
//! fixture in `tests/fixtures/models/make.py`.
//!
//! A family that needs a new piece adds it where it computes: another activation is a kernel beside
//! `swiglu` (Gemma), norms behind attention and MLP or a scaled embedding are fields of
//! [`Spec`] that `layer.rs` and `mod.rs` read (Gemma), matrices that a checkpoint stores in one are cut
//! apart in [`super::weights`] (Phi), which is also where the tensors of a GGUF file would come from.

mod llama;
mod mistral;
mod qwen2;
mod qwen3;

use super::options::Options;
use super::spec::Spec;
use anyhow::{Result, bail};

/// One architecture.
pub struct Family {
    /// Its name in `architectures` of `config.json`.
    pub architecture: &'static str,
    /// Its `model_type` there, for configurations that name no architecture.
    pub model_type: &'static str,
    /// What llama.cpp makes of it.
    pub gguf: Gguf,
    /// Figures that transformers assumes where the configuration has no such key.
    defaults: &'static [(&'static str, f64)],
    /// Takes the keys that are its own and completes the description.
    read: fn(&mut Options, &mut Spec) -> Result<()>,
}

/// How a family appears in a GGUF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gguf {
    /// `general.architecture`.
    pub architecture: &'static str,
    /// Rows of the query and key matrices are stored in the order in which neighbouring rows turn
    /// together, not the halves of a head.
    pub interleaved: bool,
}

/// All that are supported.
const FAMILIES: &[&Family] = &[&llama::LLAMA, &mistral::MISTRAL, &qwen2::QWEN2, &qwen3::QWEN3];

impl Family {
    /// The family that a configuration belongs to; its defaults are filled in.
    ///
    /// # Errors
    /// When it is none of those that are supported.
    pub fn of(options: &mut Options) -> Result<&'static Self> {
        let named = options.texts("architectures")?.and_then(|names| names.into_iter().next());
        let model_type = options.text("model_type")?;
        let found = FAMILIES.iter().find(|family| match &named {
            Some(name) => family.architecture == name,
            None => model_type.as_deref() == Some(family.model_type),
        });
        let Some(family) = found else {
            let known: Vec<_> = FAMILIES.iter().map(|family| family.architecture).collect();
            bail!(
                "architecture {} is not supported\n  hint: supported are {}",
                named.or(model_type).as_deref().unwrap_or("(none named)"),
                known.join(", ")
            )
        };
        options.default_to(family.defaults);
        Ok(family)
    }

    /// Completes a description by what is particular to the family.
    pub fn complete(&self, options: &mut Options, spec: &mut Spec) -> Result<()> {
        (self.read)(options, spec)
    }
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.architecture)
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.architecture == other.architecture
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_a_fixture() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models");
        let configs =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("config.json"));
        let held: String = configs.filter_map(|config| std::fs::read_to_string(config).ok()).collect();
        for family in FAMILIES {
            assert!(held.contains(&format!("\"{}\"", family.architecture)), "no fixture of {family:?}");
        }
    }
}
