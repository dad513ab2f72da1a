//! The integration tests, one binary: a module a subject.

mod dashboard;
mod dataset;
