//! Many who want their batches on the disk, and one sync for all of them.
//!
//! In from [`super::Db::sync`]; out: when to call it, and who is served by whose. Pure but for waiting. A caller is served by a sync that
//! began after its call: one that was under way may have missed its batch.

use parking_lot::{Condvar, Mutex};

/// Numbers of syncs, the first is 1.
#[derive(Debug, Default)]
struct State {
    begun: u64,
    /// The newest that succeeded.
    done: u64,
    running: bool,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    state: Mutex<State>,
    ended: Condvar,
}

/// Also when a sync panics, those who wait must go on.
struct Running<'a> {
    syncs: &'a Syncs,
    number: u64,
    succeeded: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.syncs.state.lock();
        state.running = false;
        if self.succeeded {
            state.done = self.number;
        }
        self.syncs.ended.notify_all();
    }
}

impl Syncs {
    /// Runs `sync`, or waits for somebody else who does. After a failure each of those who wait tries again, so that an error is
    /// its own.
    pub(crate) fn share<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut state = self.state.lock();
        let wanted = state.begun + 1;
        while state.running && state.done < wanted {
            self.ended.wait(&mut state);
        }
        if state.done >= wanted {
            return Ok(());
        }
        state.begun += 1;
        state.running = true;
        let number = state.begun;
        drop(state);
        let mut running = Running { syncs: self, number, succeeded: false };
        let synced = sync();
        running.succeeded = synced.is_ok();
        synced
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn those_who_come_during_one_sync_share_the_next() {
        const N: usize = 8;
        let (syncs, n_syncs, n_waiting) = (Syncs::default(), AtomicU64::new(0), AtomicU64::new(0));
        let (begun, go_on) = (Barrier::new(2), Barrier::new(2));
        let count = || {
            n_syncs.fetch_add(1, Ordering::SeqCst);
            Ok::<(), ()>(())
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                syncs.share(|| {
                    begun.wait();
                    go_on.wait();
                    count()
                })
            });
            begun.wait();
            let syncs = &syncs;
            for _ in 0..N {
                scope.spawn(|| {
                    n_waiting.fetch_add(1, Ordering::SeqCst);
                    syncs.share(count)
                });
            }
            while n_waiting.load(Ordering::SeqCst) < N as u64 {
                std::thread::yield_now();
            }
            go_on.wait();
        });
        // The first, one for those who waited, and one for each that came too late to wait.
        let n_syncs = n_syncs.load(Ordering::SeqCst);
        assert!((2..=N as u64 + 1).contains(&n_syncs), "{n_syncs}");
        assert_eq!(syncs.state.lock().begun, n_syncs);
    }

    #[test]
    fn a_failure_is_not_shared() {
        let syncs = Syncs::default();
        assert_eq!(syncs.share(|| Err("disk")), Err("disk"));
        assert_eq!(syncs.share(|| Ok::<(), &str>(())), Ok(()));
        assert_eq!(
            syncs.share(|| Err("disk")),
            Err("disk"),
            "an earlier success is of no use to a later call"
        );
    }
}
