//! `tune export`: one of a run's adapters in the form that another program reads.
//!
//! A folder or a file of that name is there only when it is whole, see [`crate::files`].

use super::{Failure, Outcome, Output, code, open, open_run, print, replay, say};
use crate::config;
use crate::device;
use crate::files;
use crate::model::adapter::{gguf, merged, mlx, peft};
use crate::model::lora::Adapter;
use crate::model::spec::Spec;
use crate::model::{BUILTIN, checksum_of};
use crate::store::RunDir;
use anyhow::{Context, Result, anyhow, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct ExportArgs {
    /// The folder of a run
    run: PathBuf,
    /// What to write
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Format,
    /// Which of the run's adapters: the one with the lowest eval loss, the earliest within one standard
    /// error of it, or the newest
    #[arg(long, value_enum, default_value_t = Which::Best)]
    checkpoint: Which,
    /// Where to: a folder that does not exist yet, a file for gguf [default: in the run's folder]
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// An adapter folder for Hugging Face PEFT
    Peft,
    /// An adapter folder for mlx-lm
    Mlx,
    /// An adapter file for llama.cpp
    Gguf,
    /// Base and adapter added up: a model folder in Hugging Face form
    Merged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    Best,
    Earliest,
    Last,
}

impl Which {
    /// The adapter's folder.
    fn folder(self, dir: &RunDir) -> Result<PathBuf> {
        let (folder, missing) = match self {
            Self::Best => (
                dir.best(),
                "no adapter was saved yet\n  hint: the first is saved at the run's first evaluation",
            ),
            Self::Last => (
                dir.last(),
                "no adapter was saved yet\n  hint: the first is saved at the run's first evaluation",
            ),
            Self::Earliest => (
                dir.earliest(),
                "no evaluation before the best is within one standard error of it\n  hint: --checkpoint best is the earliest there is",
            ),
        };
        ensure!(folder.is_dir(), "{}: {missing}", dir.root().display());
        Ok(folder)
    }
}

impl Format {
    /// What it is called in a run's folder.
    fn name(self) -> &'static str {
        match self {
            Self::Peft => "export-peft",
            Self::Mlx => "export-mlx",
            Self::Gguf => "export.gguf",
            Self::Merged => "export-merged",
        }
    }

    /// How it is used, for people.
    fn usage(self, run: &Path, path: &Path, base: &str) -> String {
        let (run, path) = (run.display(), path.display());
        match self {
            Self::Mlx if base == BUILTIN => format!(
                "mlx_lm knows no model called builtin; give it the base with the adapter merged in:\n  \
                 tune export {run} --to merged && mlx_lm.generate --model {run}/export-merged"
            ),
            Self::Peft => format!("PeftModel.from_pretrained(base, \"{path}\")"),
            Self::Mlx => format!("mlx_lm.generate --model {base} --adapter-path {path}"),
            Self::Gguf => format!("llama-cli -m BASE.gguf --lora {path}"),
            Self::Merged => format!("AutoModelForCausalLM.from_pretrained(\"{path}\")"),
        }
    }
}

pub(super) fn export(args: &ExportArgs) -> Outcome {
    let dir = open_run(&args.run)?;
    let config = config::load::load(&dir.config(), &[]).map_err(Failure::usage)?;
    let base = &config.model.path;
    let spec = Spec::of(base).map_err(Failure::usage)?;
    if args.to == Format::Merged {
        checksum_of(base).and_then(|now| open::same_base(&dir, base, now)).map_err(Failure::usage)?;
    }
    let folder = args.checkpoint.folder(&dir).map_err(Failure::usage)?;
    if args.checkpoint == Which::Best && !args.output.quiet && has_learnt_nothing(&dir) {
        say(
            "warning: the best evaluation is the one before the first step: this adapter has learnt nothing\n  hint: --checkpoint last is the newest adapter",
        );
    }
    let host = device::choose("cpu").map_err(Failure::usage)?;
    let adapter = peft::read(&folder, &spec, &host.device).map_err(Failure::usage)?;
    let path = args.out.clone().unwrap_or_else(|| dir.root().join(args.to.name()));
    if path.symlink_metadata().is_ok() {
        return Err(Failure::usage(anyhow!(
            "{}: is there already\n  hint: remove it, or name another place with --out",
            path.display()
        )));
    }
    write(args.to, &path, &adapter, &spec, base, &dir.name()).map_err(Failure::failed)?;
    if args.output.json {
        let format = args.to.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned());
        print(&format!("{:#}\n", json!({"format": format, "path": path.display().to_string()})));
    } else {
        print(&format!("{}\n", path.display()));
        if !args.output.quiet {
            say(&format!("hint: {}", args.to.usage(&args.run, &path, base)));
        }
    }
    Ok(code::FINE)
}

/// Whether no evaluation of the run is better than that of the base model. Of a log that cannot be read nobody knows.
fn has_learnt_nothing(dir: &RunDir) -> bool {
    replay(dir).is_ok_and(|monitor| {
        let snapshot = monitor.snapshot();
        let best = snapshot.diagnosis.best.and_then(|index| snapshot.curves.eval.get(index));
        best.is_some_and(|best| best.step == 0)
    })
}

fn write(format: Format, path: &Path, adapter: &Adapter, spec: &Spec, base: &str, name: &str) -> Result<()> {
    let in_folder = |fill: &dyn Fn(&Path) -> Result<()>| {
        files::folder_with(path, fill).with_context(|| format!("{} cannot be written", path.display()))
    };
    match format {
        Format::Peft => in_folder(&|folder| peft::write(folder, adapter, base)),
        Format::Mlx => in_folder(&|folder| mlx::write(folder, adapter, spec, base)),
        Format::Merged => in_folder(&|folder| merged::write(folder, adapter, spec, base)),
        Format::Gguf => {
            let parent = files::folder_of(path);
            std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
            gguf::write(path, adapter, spec, name)
        }
    }
}
