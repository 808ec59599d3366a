//! What a query costs while it runs, and the memory that all queries share.
//!
//! In from the evaluator, series by series; out to its limits and to whoever lists running queries. Counts are atomics, so that
//! several threads may work on one query. Memory is counted as Prometheus counts it: sixteen bytes for each sample held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::EvalError;

/// Bytes that a sample takes: its time and its value.
pub(crate) const SAMPLE_BYTES: u64 = 16;

/// Memory is taken from the pool in pieces of this size, so that queries seldom meet there. Chosen.
const PIECE_BYTES: u64 = 1 << 20;

/// Memory for all queries of a process together (`--query.total-memory-bytes`).
#[derive(Debug)]
pub(crate) struct Pool {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl Pool {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, used_bytes: AtomicU64::new(0) }
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit_bytes);
        self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Counts {
    n_series: AtomicU64,
    n_samples: AtomicU64,
    n_held: AtomicU64,
    n_held_peak: AtomicU64,
    cost: AtomicU64,
    /// Taken from the pool.
    taken_bytes: AtomicU64,
    pool: Arc<Pool>,
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.pool.give_back(*self.taken_bytes.get_mut());
    }
}

/// See [`Meter::mark`].
pub(crate) struct Mark {
    pub(crate) n_series: u64,
    n_samples: u64,
    n_held: u64,
}

/// The memory of all queries together is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolIsEmpty {
    pub(crate) limit_bytes: u64,
}

impl From<PoolIsEmpty> for EvalError {
    fn from(PoolIsEmpty { limit_bytes }: PoolIsEmpty) -> Self {
        Self::MemoryUsedUp { limit_bytes }
    }
}

/// Counts what one query reads and holds. Clones count together; when the last goes, its memory goes back to the pool.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    counts: Arc<Counts>,
}

impl Meter {
    pub(crate) fn of(pool: &Arc<Pool>) -> Self {
        let mut counts = Counts::default();
        counts.pool = Arc::clone(pool);
        Self { counts: Arc::new(counts) }
    }

    /// Series read so far; one that is read for two selectors counts twice.
    #[must_use]
    pub fn n_series(&self) -> u64 {
        self.counts.n_series.load(Ordering::Relaxed)
    }

    /// Samples read so far.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        self.counts.n_samples.load(Ordering::Relaxed)
    }

    /// Samples held in memory now, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.counts.n_held.load(Ordering::Relaxed).saturating_mul(SAMPLE_BYTES)
    }

    /// Most samples held at once so far.
    #[must_use]
    pub fn n_samples_peak(&self) -> u64 {
        self.counts.n_held_peak.load(Ordering::Relaxed)
    }

    /// What the query is expected to cost as far as it is known: samples and steps, and some hundred for each series; one of them is
    /// about a nanosecond.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.counts.cost.load(Ordering::Relaxed)
    }

    /// Adds to the expected cost; returns what it is now.
    pub(crate) fn expect(&self, cost: u64) -> u64 {
        self.counts.cost.fetch_add(cost, Ordering::Relaxed).saturating_add(cost)
    }

    /// What it counts now, to go back to.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            n_series: self.n_series(),
            n_samples: self.n_samples(),
            n_held: self.counts.n_held.load(Ordering::Relaxed),
        }
    }

    /// Forgets what was counted since `mark`, when that was in vain. Only while nobody else counts.
    pub(crate) fn rewind(&self, mark: &Mark) {
        self.counts.n_series.store(mark.n_series, Ordering::Relaxed);
        self.counts.n_samples.store(mark.n_samples, Ordering::Relaxed);
        self.counts.n_held.store(mark.n_held, Ordering::Relaxed);
    }

    /// Counts a series with `n_samples` that was read; returns how many series that makes.
    pub(crate) fn read(&self, n_samples: u64) -> u64 {
        self.counts.n_samples.fetch_add(n_samples, Ordering::Relaxed);
        self.counts.n_series.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts `n` series with a sample each that were read; returns how many series that makes.
    pub(crate) fn read_newest(&self, n: u64) -> u64 {
        self.counts.n_samples.fetch_add(n, Ordering::Relaxed);
        self.counts.n_series.fetch_add(n, Ordering::Relaxed) + n
    }

    /// Counts `n` more samples in memory, for longer or (`is_passing`) for a moment.
    pub(crate) fn hold(&self, n: u64, is_passing: bool) -> Result<(), PoolIsEmpty> {
        let counts = &*self.counts;
        let before = if is_passing {
            counts.n_held.load(Ordering::Relaxed)
        } else {
            counts.n_held.fetch_add(n, Ordering::Relaxed)
        };
        let held = before.saturating_add(n);
        counts.n_held_peak.fetch_max(held, Ordering::Relaxed);
        let wanted = held.saturating_mul(SAMPLE_BYTES);
        let taken = counts.taken_bytes.load(Ordering::Relaxed);
        if wanted <= taken {
            return Ok(());
        }
        let more = (wanted - taken).div_ceil(PIECE_BYTES).saturating_mul(PIECE_BYTES);
        if !counts.pool.take(more) {
            return Err(PoolIsEmpty { limit_bytes: counts.pool.limit_bytes });
        }
        counts.taken_bytes.fetch_add(more, Ordering::Relaxed);
        Ok(())
    }

    /// Counts `n` samples less in memory. What the pool gave stays with the query until it ends.
    pub(crate) fn release(&self, n: u64) {
        let less = |held: u64| Some(held.saturating_sub(n));
        let _ = self.counts.n_held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_share_the_pool_and_give_back_at_their_end() {
        let pool = Arc::new(Pool::new(3 * PIECE_BYTES));
        let piece = PIECE_BYTES / SAMPLE_BYTES;
        let (first, second) = (Meter::of(&pool), Meter::of(&pool));
        assert_eq!(first.hold(2 * piece, false), Ok(()));
        assert_eq!(second.hold(piece, true), Ok(()));
        assert_eq!((second.held_bytes(), second.n_samples_peak()), (0, piece));
        assert_eq!(second.hold(piece + 1, false), Err(PoolIsEmpty { limit_bytes: 3 * PIECE_BYTES }));
        first.release(piece);
        assert_eq!((first.held_bytes(), first.n_samples_peak()), (PIECE_BYTES, 2 * piece));
        drop((first, second));
        assert_eq!(pool.used_bytes(), 0);
    }
}
