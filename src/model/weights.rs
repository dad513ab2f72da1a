//! Tensors of a model folder, checked before anything is allocated on their word.
//!
//! Files are memory-mapped; the safetensors crate checks that the offsets of a header lie inside
//! its file and agree with shapes and dtypes. Each tensor is then asked for by name and shape, and
//! at the end no tensor may be left that nobody asked for.

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// The tensors of one model, by name.
pub struct Weights {
    files: Vec<Source>,
    entries: BTreeMap<String, Entry>,
    /// The type that matrices are said to have.
    declared: Option<DType>,
}

struct Source {
    /// For error messages.
    name: String,
    bytes: Bytes,
}

enum Bytes {
    Embedded(&'static [u8]),
    Mapped(Mmap),
}

struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Bytes in the file.
    range: Range<usize>,
}

/// Bytes of a tensor, at its beginning and in its middle, that its checksum is of.
const SAMPLE: usize = 1024;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

const CUT_SHORT: &str = "\n  hint: the file is cut short or is no safetensors file; fetch it again";
const SAME_MODEL: &str = "\n  hint: take config.json and *.safetensors from the same model";

impl Weights {
    /// The tensors of a file that is part of this program.
    pub fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self> {
        Self::index(vec![Source { name: name.into(), bytes: Bytes::Embedded(bytes) }])
    }

    /// The tensors of a folder: one file, or the shards that its index names.
    pub fn open(folder: &Path) -> Result<Self> {
        let single = folder.join(SINGLE);
        let names = if single.exists() { BTreeSet::from([SINGLE.to_owned()]) } else { shards(folder)? };
        let sources = names.iter().map(|name| map(&folder.join(name))).collect::<Result<_>>()?;
        Self::index(sources)
    }

    /// The tensors of one file.
    pub fn file(path: &Path) -> Result<Self> {
        Self::index(vec![map(path)?])
    }

    fn index(files: Vec<Source>) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for (file, source) in files.iter().enumerate() {
            let bytes = source.bytes();
            let (header, metadata) = SafeTensors::read_metadata(bytes)
                .map_err(|error| anyhow!("{}: {error}{CUT_SHORT}", source.name))?;
            // Tensor data begins behind the length of the header (8 bytes) and the header.
            let data = 8 + header;
            for (name, info) in metadata.tensors() {
                let range = data + info.data_offsets.0..data + info.data_offsets.1;
                ensure!(
                    range.end <= bytes.len(),
                    "{}: tensor {name} lies outside the file{CUT_SHORT}",
                    source.name
                );
                let entry = Entry { file, dtype: info.dtype, shape: info.shape.clone(), range };
                if entries.insert(name.clone(), entry).is_some() {
                    bail!("{}: tensor {name} is in another shard too{SAME_MODEL}", source.name);
                }
            }
        }
        Ok(Self { files, entries, declared: None })
    }

    /// From here on a matrix of another type than `dtype` is a mistake. Norms and biases are often kept in f32.
    pub fn declare(&mut self, dtype: Option<DType>) {
        self.declared = dtype;
    }

    /// Whether a tensor is there that nobody has taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The shape of a tensor that nobody has taken yet.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.entries.get(name).map(|entry| entry.shape.clone())
    }

    /// Type, shape and bytes of a tensor that nobody has taken yet.
    pub fn raw(&self, name: &str) -> Option<(Dtype, &[usize], &[u8])> {
        let entry = self.entries.get(name)?;
        Some((entry.dtype, entry.shape.as_slice(), &self.files[entry.file].bytes()[entry.range.clone()]))
    }

    /// The tensors that nobody has taken yet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Checksum (CRC-32) of the names, the shapes and some bytes of every tensor: cheap, and another one for another
    /// training of the same model, which moves all of its matrices.
    pub fn checksum(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for (name, entry) in &self.entries {
            crc.update(name.as_bytes());
            entry.shape.iter().for_each(|length| crc.update(&(*length as u64).to_le_bytes()));
            let bytes = &self.files[entry.file].bytes()[entry.range.clone()];
            for from in [0, bytes.len() / 2] {
                crc.update(&bytes[from..bytes.len().min(from + SAMPLE)]);
            }
        }
        crc.finalize()
    }

    /// Whether all floating-point tensors are stored as bf16.
    pub fn are_bf16(&self) -> bool {
        self.entries.values().all(|entry| entry.dtype == Dtype::BF16)
    }

    /// Takes the tensor `name`, which must have this shape, as `dtype` on `device`.
    ///
    /// # Errors
    /// When it is absent, of another shape, or of a dtype that no model weight has.
    pub fn take(&mut self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        let Some(entry) = self.entries.remove(name) else {
            bail!("{}: tensor {name} is missing{SAME_MODEL}", self.files[0].name);
        };
        let source = &self.files[entry.file];
        ensure!(
            entry.shape == shape,
            "{}: tensor {name} has shape {:?}, but config.json says {shape:?}{SAME_MODEL}",
            source.name,
            entry.shape
        );
        if let Some(declared) = self.declared.filter(|_| shape.len() > 1) {
            ensure!(
                entry.dtype.to_string().eq_ignore_ascii_case(declared.as_str()),
                "{}: tensor {name} is {}, but config.json says {}{SAME_MODEL}, or correct torch_dtype there",
                source.name,
                entry.dtype.to_string().to_lowercase(),
                declared.as_str()
            );
        }
        let bytes = &source.bytes()[entry.range.clone()];
        let halves = || bytes.as_chunks().0.par_iter();
        let tensor = match (entry.dtype, dtype) {
            (Dtype::BF16, DType::BF16) => {
                let data: Vec<bf16> = halves().map(|b| bf16::from_le_bytes(*b)).collect();
                Tensor::from_vec(data, shape, device)?
            }
            (Dtype::F32, DType::BF16) => {
                let singles = bytes.as_chunks().0.par_iter();
                let data: Vec<bf16> = singles.map(|b| bf16::from_f32(f32::from_le_bytes(*b))).collect();
                Tensor::from_vec(data, shape, device)?
            }
            (Dtype::BF16 | Dtype::F16 | Dtype::F32, _) => {
                let data: Vec<f32> = match entry.dtype {
                    Dtype::BF16 => halves().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
                    Dtype::F16 => halves().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
                    _ => bytes.as_chunks().0.par_iter().map(|b| f32::from_le_bytes(*b)).collect(),
                };
                Tensor::from_vec(data, shape, device)?.to_dtype(dtype)?
            }
            (other, _) => {
                bail!("{}: tensor {name} is {other:?}\n  hint: f32, f16 and bf16 are supported", source.name)
            }
        };
        source.release(entry.range);
        Ok(tensor)
    }

    /// Says that all tensors that belong to the model have been taken.
    ///
    /// # Errors
    /// When one is left over: the model computes something that this program would leave out.
    pub fn finish(self) -> Result<()> {
        // Older exports carry the rotary frequencies, which follow from the config.
        let left: Vec<&String> =
            self.entries.keys().filter(|name| !name.ends_with("rotary_emb.inv_freq")).collect();
        if let Some(first) = left.first() {
            let file = &self.files[self.entries[*first].file].name;
            bail!(
                "{file}: {} tensors do not belong to this architecture, the first is {first}{SAME_MODEL}",
                left.len()
            );
        }
        Ok(())
    }
}

impl Source {
    /// Gives back the memory behind bytes that have been read: mapped pages count as the program's own.
    fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &self.bytes {
            #[expect(
                unsafe_code,
                reason = "advice of this kind would lose what was written to a private map"
            )]
            // SAFETY: the map is read only; pages that are asked for again come from the file again.
            let advice =
                unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
            // Without it the program is as right, and a little larger.
            drop(advice);
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Embedded(bytes) => bytes,
            Bytes::Mapped(map) => map,
        }
    }
}

/// The shards that a folder's index names.
fn shards(folder: &Path) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let path = folder.join(INDEX);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        anyhow!(
            "{}: neither {SINGLE} nor {INDEX} can be read: {error}\n  hint: {}",
            folder.display(),
            super::FOLDER
        )
    })?;
    let index: Index =
        serde_json::from_str(&text).map_err(|error| anyhow!("{}: {error}{CUT_SHORT}", path.display()))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    ensure!(!names.is_empty(), "{}: the index names no file{CUT_SHORT}", path.display());
    for name in &names {
        // A name from an index is not to be trusted with the rest of the disk.
        let plain = Path::new(name).file_name().is_some_and(|plain| plain == name.as_str());
        ensure!(
            plain,
            "{}: {name:?} is not the name of a file in this folder\n  hint: shards lie beside their index",
            path.display()
        );
        ensure!(
            folder.join(name).is_file(),
            "{}: the shard is missing, {INDEX} names it\n  hint: fetch it again",
            folder.join(name).display()
        );
    }
    Ok(names)
}

fn map(path: &Path) -> Result<Source> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| name.clone())?;
    ensure!(file.metadata()?.len() > 0, "{name}: the file is empty{CUT_SHORT}");
    #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
    // SAFETY: the map is read only. Someone who truncates a model while it is being loaded ends the
    // program with a bus error; that is the price every reader of mapped weights pays.
    let map = unsafe { Mmap::map(&file) }.with_context(|| format!("{name}: cannot be mapped"))?;
    Ok(Source { name, bytes: Bytes::Mapped(map) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn write(path: &Path, tensors: &[(&str, &[usize])]) {
        let data: Vec<u8> = (0..64).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let views: Vec<(&str, TensorView)> = tensors
            .iter()
            .map(|(name, shape)| {
                let bytes = 4 * shape.iter().product::<usize>();
                (*name, TensorView::new(Dtype::F32, shape.to_vec(), &data[..bytes]).unwrap())
            })
            .collect();
        std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    }

    fn error(folder: &Path) -> String {
        format!("{:#}", Weights::open(folder).err().unwrap()).replace(&folder.display().to_string(), "DIR")
    }

    #[test]
    fn tensors_are_checked_against_what_was_asked() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join(SINGLE), &[("a", &[2, 3]), ("b", &[4])]);
        let open = || Weights::open(dir.path()).unwrap();
        let take = |name, shape: &[usize]| open().take(name, shape, DType::F32, &Device::Cpu);
        assert_eq!(take("a", &[2, 3]).unwrap().to_vec2::<f32>().unwrap(), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
        assert!(take("c", &[1]).unwrap_err().to_string().contains("tensor c is missing\n  hint: "));
        assert!(
            take("b", &[5])
                .unwrap_err()
                .to_string()
                .contains("tensor b has shape [4], but config.json says [5]\n  hint: ")
        );
        let left = open().finish().unwrap_err().to_string();
        assert!(
            left.contains("2 tensors do not belong to this architecture, the first is a\n  hint: "),
            "{left}"
        );
    }

    #[test]
    fn weights_that_were_trained_on_have_another_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SINGLE);
        write(&path, &[("a", &[2, 3]), ("b", &[4])]);
        let checksum = || Weights::open(dir.path()).unwrap().checksum();
        let (whole, before) = (std::fs::read(&path).unwrap(), checksum());
        assert_eq!(checksum(), before);
        let mut moved = whole;
        *moved.last_mut().unwrap() ^= 1;
        std::fs::write(&path, moved).unwrap();
        assert_ne!(checksum(), before);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SINGLE);
        write(&path, &[("a", &[2, 3])]);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Weights::open(dir.path()).is_err(), "accepted {length} of {} bytes", whole.len());
        }
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for header in [
            r#"{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}"#,
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
        ] {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend([0; 8]);
            std::fs::write(dir.path().join(SINGLE), bytes).unwrap();
            assert!(Weights::open(dir.path()).is_err(), "accepted {header}");
        }
    }

    #[test]
    fn shards_are_found_and_their_names_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        assert!(error(dir.path()).starts_with("DIR: neither model.safetensors nor"));
        write(&dir.path().join("one.safetensors"), &[("a", &[2])]);
        write(&dir.path().join("two.safetensors"), &[("b", &[3])]);
        let index = |b: &str| {
            let text = format!(r#"{{"weight_map": {{"a": "one.safetensors", "b": "{b}"}}}}"#);
            std::fs::write(dir.path().join(INDEX), text).unwrap();
        };
        index("two.safetensors");
        let weights = Weights::open(dir.path()).unwrap();
        assert!(weights.has("a") && weights.has("b"));
        index("three.safetensors");
        assert!(
            error(dir.path()).starts_with(
                "DIR/three.safetensors: the shard is missing, model.safetensors.index.json names it\n  hint: "
            ),
            "{}",
            error(dir.path())
        );
        index("../two.safetensors");
        assert!(error(dir.path()).contains("is not the name of a file in this folder"));
    }
}
