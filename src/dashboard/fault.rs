//! A fault on request, in tests only: makes drawing panic, to see what becomes of the terminal and of the
//! run. No program that is built for use has it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Frames that are still drawn.
static FRAMES: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Lets so many more frames be drawn; the next one panics, and only that.
pub fn after(frames: usize) {
    FRAMES.store(frames, Ordering::SeqCst);
}

/// Tells that a frame is drawn.
///
/// # Panics
/// If it is time to.
pub fn strike() {
    assert!(FRAMES.fetch_sub(1, Ordering::SeqCst) != 0, "this panic in drawing is wanted");
}
