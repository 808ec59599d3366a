//! Threads that scrape: each target stays on one of them.
//!
//! In from [`crate::driver`]: tasks; nothing out. A thread finds what a target's last scrape left in its own processor's cache and its
//! own allocator's pages, and wakes up no other: measured against tasks that any thread may run, docs/perf/0004-the-storage-engine.md.
//! Invariant: after the last of it is dropped, or [`Lanes::stop`], the threads end, and with them what they still run.

use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// One thread for so many processors: the others are for queries. Chosen.
const PROCESSORS_PER_LANE: usize = 2;
/// Most threads. Chosen: one stores some five million samples a second.
const LANES_MAX: usize = 8;
/// Most threads beside each for what blocks, which are large pages and look-ups of names. Chosen.
const BLOCKING_MAX: usize = 16;

/// The threads.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Vec<Handle>,
    stopping: CancellationToken,
}

impl Lanes {
    /// As many as this machine gets; `otherwise` runs everything where none can be had.
    pub(crate) fn start(otherwise: &Handle) -> Self {
        let n_processors = thread::available_parallelism().map_or(1, usize::from);
        let n_lanes = (n_processors / PROCESSORS_PER_LANE).clamp(1, LANES_MAX);
        let stopping = CancellationToken::new();
        let mut lanes = Vec::with_capacity(n_lanes);
        for nth in 0..n_lanes {
            match start(nth, stopping.clone()) {
                Ok(lane) => lanes.push(lane),
                Err(err) => tracing::warn!(error = %err, "cannot start a thread for scrapes"),
            }
        }
        if lanes.is_empty() {
            lanes.push(otherwise.clone());
        }
        Self { lanes, stopping }
    }

    /// The thread of the target with this hash.
    pub(crate) fn of(&self, hash: u64) -> &Handle {
        // The low bits say when it is due: each thread has targets of all moments.
        let nth = (hash >> 32) as usize % self.lanes.len();
        &self.lanes[nth]
    }

    /// Ends the threads.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(nth: usize, stopping: CancellationToken) -> std::io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_MAX).build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(format!("scrape-{nth}")).spawn(move || {
        runtime.block_on(stopping.cancelled());
        runtime.shutdown_background();
    })?;
    Ok(handle)
}
