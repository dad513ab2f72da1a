//! The integration tests, one binary: a module a subject.

mod bench;
mod cli;
mod curves;
mod dashboard;
mod data;
mod dataset;
#[cfg(unix)]
mod detach;
mod dialects;
mod endings;
mod eval;
#[cfg(unix)]
mod exec;
mod families;
mod generate;
mod init;
mod logs;
#[cfg(unix)]
mod notify;
mod reading;
mod report;
#[cfg(unix)]
mod terminal;
mod tidy;
mod ties;
mod verdicts;
mod watch;
