//! A run told to a reader, from its snapshot alone: lines of text and a picture.
//!
//! Everything here returns text; who asks writes it somewhere. No files, no clock, no terminal codes.

pub mod svg;
pub mod text;
