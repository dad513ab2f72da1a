//! Adapters on disk, one file a format.

pub mod files;
pub mod peft;
