//! `tune`.

pub mod config;
pub mod curve;
pub mod dashboard;
pub mod data;
pub mod diagnosis;
pub mod event;
pub mod fmt;
pub mod monitor;
pub mod report;
