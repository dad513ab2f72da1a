//! `tune`.

pub mod cli;
pub mod config;
pub mod curve;
pub mod dashboard;
pub mod data;
pub mod device;
pub mod diagnosis;
pub mod event;
pub mod fmt;
pub mod kernel;
pub mod model;
pub mod monitor;
pub mod report;
pub mod store;
pub mod train;
