//! The integration tests, one binary: a module a subject.

mod curves;
mod dashboard;
mod dataset;
