//! Which device computes.
//!
//! Picks the device that `--device` names, and falls back to the CPU with a sentence that says why.

use anyhow::{Result, anyhow, bail};
use candle_core::Device;

/// A device and what to tell the user about the choice.
pub struct Chosen {
    pub device: Device,
    /// Why it is not the one that `auto` would have liked best; empty when there is nothing to say.
    pub remark: Option<String>,
}

/// Picks a device by its name on the command line: `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
///
/// # Errors
/// When the name is none of these, or a device that was asked for by name cannot be used.
pub fn choose(name: &str) -> Result<Chosen> {
    let plain = |device| Chosen { device, remark: None };
    match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", "0") => Ok(plain(Device::Cpu)),
        ("auto", "0") => Ok(auto()),
        ("cuda", index) => match index.parse() {
            Ok(index) => cuda(index).map(plain),
            Err(_) => {
                bail!(
                    "--device {name}: {index:?} is not the number of a device\n  hint: give cuda, cuda:0, cuda:1"
                )
            }
        },
        ("metal", "0") => metal().map(plain),
        _ => bail!("--device {name}: unknown device\n  hint: give auto, cpu, cuda, cuda:N or metal"),
    }
}

/// The best device that this build supports and this machine has.
fn auto() -> Chosen {
    let (name, wanted) = if cfg!(feature = "cuda") {
        ("CUDA device 0", Device::new_cuda(0))
    } else if cfg!(feature = "metal") {
        ("Metal", Device::new_metal(0))
    } else {
        return Chosen { device: Device::Cpu, remark: None };
    };
    match wanted {
        Ok(device) => Chosen { device, remark: None },
        Err(error) => Chosen {
            device: Device::Cpu,
            remark: Some(format!("computing on the CPU: {name} cannot be used: {error}")),
        },
    }
}

fn cuda(index: usize) -> Result<Device> {
    if !cfg!(feature = "cuda") {
        bail!("this build has no CUDA support\n  hint: cargo build --release --features cuda");
    }
    let hint = "nvidia-smi lists the devices; --device cpu does without";
    Device::new_cuda(index)
        .map_err(|error| anyhow!("CUDA device {index} cannot be used: {error}\n  hint: {hint}"))
}

fn metal() -> Result<Device> {
    if !cfg!(feature = "metal") {
        bail!("this build has no Metal support\n  hint: on a Mac, cargo build --release --features metal");
    }
    let hint = "--device cpu does without";
    Device::new_metal(0).map_err(|error| anyhow!("Metal cannot be used: {error}\n  hint: {hint}"))
}

/// Whether a computation failed because the device has no memory left for it.
///
/// Drivers say so in words of their own, which arrive here as text.
pub fn is_out_of_memory(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}").to_lowercase();
    ["out of memory", "out_of_memory", "insufficient memory"].iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(choose("cpu").unwrap().device.is_cpu());
        assert!(choose("auto").is_ok());
        let error = choose("gpu").err().unwrap().to_string();
        assert!(error.starts_with("--device gpu: unknown device"), "{error}");
        assert!(choose("cuda:x").is_err());
    }

    #[test]
    fn the_words_of_drivers_are_known() {
        for text in
            ["DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")", "Insufficient Memory (00000008)"]
        {
            assert!(is_out_of_memory(&anyhow::anyhow!("a kernel failed").context(text)), "{text}");
        }
        assert!(!is_out_of_memory(&anyhow::anyhow!("shape mismatch")));
    }
}
