//! A run told to a reader, from its snapshot alone: lines of text, a picture, a page, a document.
//!
//! Everything here returns text; who asks writes it somewhere. No files, no clock, no terminal codes.

pub mod html;
pub mod json;
pub mod md;
pub mod svg;
pub mod text;
