//! Files that appear under their name only when they are whole, and tensors as the bytes of one.
//!
//! Everything this program saves and hands over goes through here; what is in it is for others to say.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Tensors as the bytes of a safetensors file, in f32.
pub fn serialize<'a>(
    tensors: impl Iterator<Item = (String, &'a Tensor)>,
    metadata: BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        data.push((name, tensor.dims().to_vec(), bytes(tensor)?));
    }
    let views = data
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize(views, Some(metadata.into_iter().collect()))?)
}

/// The elements of a tensor as little-endian f32, row by row.
pub fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let values: Vec<f32> = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// Puts `bytes` under `path` in one step: written aside, synced, renamed.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    replace_with(path, |file| file.write_all(bytes))
}

/// Puts what `write` writes under `path` in one step: written aside, synced, renamed.
///
/// # Errors
/// When the disk refuses, or `write` does. Nothing is left behind then.
pub fn replace_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let put = || -> std::io::Result<()> {
        let mut aside = aside(folder)?;
        let mut buffered = std::io::BufWriter::new(aside.as_file_mut());
        write(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        aside.as_file().sync_all()?;
        aside.persist(path)?;
        // The new name is on the disk only when the folder is.
        if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
    };
    put().with_context(|| format!("{} cannot be written", path.display()))
}

/// A file to fill before it gets its name, readable by whom the user's umask lets read.
fn aside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
