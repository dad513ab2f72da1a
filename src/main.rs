//! The program: hands the command line to [`tune::cli`] and its answer to the shell.

use std::process::ExitCode;

/// Fresh tensors are a tenth of a small training step with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps freed memory for the next step instead of giving it back to the system and asking again:
/// a training step frees and allocates the same buffers over and over, and fresh pages cost a tenth of it.
fn keep_freed_memory() {
    /// `mi_option_purge_delay` of mimalloc.h, which the bindings leave out; -1 is never.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    #[expect(unsafe_code, reason = "the allocator's options are set through its C interface")]
    // SAFETY: the option exists in the mimalloc that these bindings build, and no other thread runs yet.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, -1);
    }
}

fn main() -> ExitCode {
    keep_freed_memory();
    ExitCode::from(tune::cli::run(std::env::args_os()))
}
