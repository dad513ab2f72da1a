//! Tensors as the bytes of a file. What they are called in it is for the formats to say; putting them on
//! the disk is the business of [`crate::files`].

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;

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
