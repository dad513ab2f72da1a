//! Adapters on disk, one file a format.

pub mod files;
pub mod gguf;
pub mod merged;
pub mod mlx;
pub mod peft;

#[cfg(test)]
mod tests;
