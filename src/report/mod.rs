//! The run told in bytes for a reader: text and pictures, from a snapshot alone. No files, no clock.
