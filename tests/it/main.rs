//! The integration tests, one binary: a module a subject.

mod bench;
mod cli;
mod curves;
mod dashboard;
mod data;
mod dataset;
mod eval;
mod families;
mod generate;
mod init;
#[cfg(unix)]
mod exec;
mod reading;
mod report;
mod tidy;
mod watch;
