//! A file and `--set` overrides to a [`Config`](super::Config).
