//! `tune init`: a commented configuration to start from.

use super::{Outcome, code, print};
use crate::config;

pub(super) fn init() -> Outcome {
    print(&config::template());
    Ok(code::FINE)
}
