//! Which of a trainer's checkpoints belongs to a step or an epoch, told by its name: trainers number them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Folders below each other that are looked into.
const DEPTH: usize = 5;
/// Entries that are looked at in all: a working folder may hold a data set.
const ENTRIES: usize = 20_000;
/// How far behind the clock a file's time may be: file systems count in ticks, the coarsest in 2 s.
const TICK: Duration = Duration::from_secs(2);
/// How the names of files end that hold weights. Pictures and figures are named for their epoch as well.
const WEIGHTS: &[&str] = &[
    "pt",
    "pth",
    "ckpt",
    "safetensors",
    "bin",
    "tar",
    "pkl",
    "h5",
    "hdf5",
    "keras",
    "npz",
    "msgpack",
    "pdparams",
    "params",
    "weights",
    "model",
];

/// What a run counts, and so what the number in a checkpoint's name has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Step(u64),
    Epoch(u64),
}

impl Place {
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Step(_) => "step",
            Self::Epoch(_) => "epoch",
        }
    }

    fn number(self) -> u64 {
        let (Self::Step(number) | Self::Epoch(number)) = self;
        number
    }

    /// The number that a name gives of what is counted.
    fn of(self, name: &str) -> Option<u64> {
        match self {
            Self::Step(_) => step(name),
            Self::Epoch(_) => epoch(name).filter(|_| may_hold_weights(name)),
        }
    }
}

/// The checkpoint nearest to `place` below `root` that was written after `since`, and its own number.
pub(super) fn nearest(root: &Path, place: Place, since: SystemTime) -> Option<(PathBuf, u64)> {
    let since = since.checked_sub(TICK).unwrap_or(since);
    let mut folders = vec![(root.to_owned(), 0)];
    let (mut found, mut seen) = (Vec::new(), 0);
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen > ENTRIES {
                break;
            }
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let fresh = entry.metadata().and_then(|data| data.modified()).is_ok_and(|at| at >= since);
            if let Some(of) = place.of(&name).filter(|_| fresh) {
                found.push((of.abs_diff(place.number()), of, path));
            } else if depth < DEPTH
                && !name.starts_with('.')
                && entry.file_type().is_ok_and(|kind| kind.is_dir())
            {
                folders.push((path, depth + 1));
            }
        }
    }
    found.into_iter().min().map(|(_, of, path)| (path, of))
}

/// The step that a checkpoint's name gives: `checkpoint-400`, `step-400`, `0000400_adapters.safetensors`,
/// `ckpt_400.pt`, `epoch=3-step=400.ckpt`; none, where its one number is an epoch.
fn step(name: &str) -> Option<u64> {
    let lower = name.to_ascii_lowercase();
    let at = ["checkpoint", "ckpt", "step", "iter", "adapter"].iter().find_map(|word| lower.find(word))?;
    // The number after the last word that names one, else the one at the beginning.
    let named = lower.rfind("step").or_else(|| lower.rfind("iter"));
    if named.is_none() && epoch(name).is_some() {
        return None;
    }
    digits(&lower[named.unwrap_or(at)..]).or_else(|| digits(&lower[..at]))
}

/// The epoch that a checkpoint's name gives: `epoch_12.pt`, `model_epoch12.pt`, `checkpoint-epoch-12`.
fn epoch(name: &str) -> Option<u64> {
    let lower = name.to_ascii_lowercase();
    let (_, after) = lower.rsplit_once("epoch")?;
    let number = after.trim_start_matches(['-', '_', '=', ' ', '.']);
    number.starts_with(|c: char| c.is_ascii_digit()).then(|| digits(number))?
}

/// The first number of a text.
fn digits(text: &str) -> Option<u64> {
    let text = &text[text.find(|c: char| c.is_ascii_digit())?..];
    text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())].parse().ok()
}

/// Whether a name ends as those of weights do, or as a folder's.
fn may_hold_weights(name: &str) -> bool {
    let end = Path::new(name).extension().and_then(|end| end.to_str()).unwrap_or_default();
    // What stands behind the dot of a figure is no ending: `epoch=3-val_loss=0.53`.
    end.bytes().all(|byte| byte.is_ascii_digit()) || WEIGHTS.iter().any(|it| end.eq_ignore_ascii_case(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_checkpoints_give_their_step() {
        for (name, step) in [
            ("checkpoint-400", Some(400)),
            ("0000400_adapters.safetensors", Some(400)),
            ("ckpt_400.pt", Some(400)),
            ("epoch=3-step=400.ckpt", Some(400)),
            ("epoch_1_iter_400.pth", Some(400)),
            ("iter-000400-ckpt.pth", Some(400)),
            ("checkpoint", None),
            ("model-400.safetensors", None),
            ("checkpoint-epoch-12", None),
            ("epoch=3.ckpt", None),
        ] {
            assert_eq!(Place::Step(0).of(name), step, "{name}");
        }
    }

    #[test]
    fn names_of_checkpoints_give_their_epoch() {
        for (name, epoch) in [
            ("epoch_12.pt", Some(12)),
            ("model_epoch12.pt", Some(12)),
            ("epoch-12", Some(12)),
            ("checkpoint-epoch-12", Some(12)),
            ("Epoch=03-val_loss=0.53.ckpt", Some(3)),
            ("epoch=3-val_loss=0.53", Some(3)),
            ("epoch=3-step=400.ckpt", Some(3)),
            ("checkpoint-400", None),
            ("epochs", None),
            ("epoch-of-400", None),
            ("samples_epoch_12.png", None),
            ("epoch_12.json", None),
        ] {
            assert_eq!(Place::Epoch(0).of(name), epoch, "{name}");
        }
    }

    #[test]
    fn an_old_checkpoint_is_not_of_this_run() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("out/checkpoint-3")).unwrap();
        let epoch = SystemTime::UNIX_EPOCH;
        std::fs::create_dir_all(dir.path().join("out/checkpoint-6/old-checkpoint-4")).unwrap();
        let third = Some((dir.path().join("out/checkpoint-3"), 3));
        assert_eq!(
            nearest(dir.path(), Place::Step(4), epoch),
            third,
            "nothing is looked for within a checkpoint"
        );
        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(nearest(dir.path(), Place::Step(3), later), None);
    }
}
