//! Adapters on disk, one file a format.

pub mod peft;
