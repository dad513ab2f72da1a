//! The integration tests, one binary: a module a subject.

mod cli;
mod curves;
mod dashboard;
mod dataset;
mod report;
mod tidy;
