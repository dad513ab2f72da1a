//! The integration tests, one binary: a module a subject.

mod bench;
mod cli;
mod curves;
mod dashboard;
mod data;
mod dataset;
mod families;
mod generate;
<<<<<<< HEAD
mod init;
#[cfg(unix)]
mod exec;
=======
#[cfg(unix)]
mod exec;
mod reading;
>>>>>>> d057f58 (tune report writes a page, Markdown and JSON, of foreign logs too; every run gets its page; tune runs lists them)
mod report;
mod tidy;
mod watch;
