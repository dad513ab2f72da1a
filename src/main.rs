//! The program: hands the command line to [`tune::cli`] and its answer to the shell.

use std::process::ExitCode;

/// Fresh tensors are a tenth of a small training step with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(tune::cli::run(std::env::args_os()))
}
