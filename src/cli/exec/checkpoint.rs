//! Which of a trainer's checkpoints belongs to a step, told by its name: trainers number them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Folders below each other that are looked into.
const DEPTH: usize = 5;
/// Entries that are looked at in all: a working folder may hold a data set.
const ENTRIES: usize = 20_000;
/// How far behind the clock a file's time may be: file systems count in ticks, the coarsest in 2 s.
const TICK: Duration = Duration::from_secs(2);

/// The checkpoint nearest to `step` below `root` that was written after `since`, and its own step.
pub(super) fn nearest(root: &Path, step: u64, since: SystemTime) -> Option<(PathBuf, u64)> {
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
            if let Some(of) = number(&name).filter(|_| fresh) {
                found.push((of.abs_diff(step), of, path));
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
/// `ckpt_400.pt`, `epoch=3-step=400.ckpt`.
fn number(name: &str) -> Option<u64> {
    let lower = name.to_ascii_lowercase();
    let at = ["checkpoint", "ckpt", "step", "iter", "adapter"].iter().find_map(|word| lower.find(word))?;
    // The number after the last word that names one, else the one at the beginning.
    let after = lower.rfind("step").unwrap_or(at);
    let digits = |text: &str| -> Option<u64> {
        let from = text.find(|c: char| c.is_ascii_digit())?;
        let text = &text[from..];
        text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())].parse().ok()
    };
    digits(&lower[after..]).or_else(|| digits(&lower[..at]))
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
            ("iter-000400-ckpt.pth", Some(400)),
            ("checkpoint", None),
            ("model-400.safetensors", None),
        ] {
            assert_eq!(number(name), step, "{name}");
        }
    }

    #[test]
    fn an_old_checkpoint_is_not_of_this_run() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("out/checkpoint-3")).unwrap();
        let epoch = SystemTime::UNIX_EPOCH;
        std::fs::create_dir_all(dir.path().join("out/checkpoint-6/old-checkpoint-4")).unwrap();
        let third = Some((dir.path().join("out/checkpoint-3"), 3));
        assert_eq!(nearest(dir.path(), 4, epoch), third, "nothing is looked for within a checkpoint");
        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(nearest(dir.path(), 3, later), None);
    }
}
