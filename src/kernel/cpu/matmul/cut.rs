//! How a product is cut into tasks for the threads.
//!
//! A task packs its columns itself: what another thread has packed comes late, and to wait for it costs more than
//! packing it twice. What a task then does is for [`super`] to say.

/// How a product is cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// Rows that fit the second cache go past one strip of columns after another; three tasks a thread.
    InStrips,
    /// As many strips of columns as fit the second cache are packed before the rows go past them; the threads are done
    /// as soon as can be.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    InBlocks,
}

/// Rows of the left operand that a task of [`Cut::InStrips`] takes at most, and strips of columns.
const HEIGHT: usize = 896;
const STRIPS: usize = 8;

impl Cut {
    /// The strips of rows and of columns that a task takes, of so many; a strip of rows has
    /// `tile_rows`.
    pub(super) fn tasks(self, tile_rows: usize, high: usize, wide: usize) -> (usize, usize) {
        let threads = rayon::current_num_threads();
        match self {
            Cut::InStrips => {
                // Tasks of many columns use the rows in the cache more often; but every thread wants one.
                let wanted = 3 * threads;
                let rows = (HEIGHT / tile_rows).min(high);
                let down = high.div_ceil(rows);
                let strips = (wide * down / wanted).clamp(1, STRIPS);
                let across = wide.div_ceil(strips);
                let rows =
                    if across * down < wanted { high.div_ceil(wanted.div_ceil(across)).max(4) } else { rows };
                (rows, strips)
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Cut::InBlocks => {
                // Every thread has one task, or two.
                let across = |down: usize| [1, 2].map(|tasks| (tasks * threads / down).clamp(1, wide));
                let cuts = (1..=(2 * threads).min(high))
                    .flat_map(|down| across(down).map(|across| (high.div_ceil(down), wide.div_ceil(across))));
                let cost = |(rows, columns): (usize, usize)| {
                    let tasks = high.div_ceil(rows) * wide.div_ceil(columns);
                    // About the nanoseconds of 32 steps on Emerald Rapids: a tile, packing its columns, and fetching or
                    // packing its rows.
                    let task = 200 * rows * columns + 400 * columns + 250 * rows;
                    tasks.div_ceil(threads) * task
                };
                cuts.min_by_key(|cut| cost(*cut)).unwrap_or((high, wide))
            }
        }
    }
}
