//! `tune init`: a commented configuration to start from.

use super::print;
use crate::config;

pub(super) fn init() {
    print(&config::template());
}
