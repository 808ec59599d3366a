//! The store: owns head, WAL and blocks, and says in which order things happen.
//!
//! Locks, in the order they are taken: maintenance, WAL (which is the commit lock), head, list of blocks.
//! Data moves towards disk so that it is always in at least one place that readers and a restart find:
//! WAL before head, block before the head lets go, checkpoint before segments go.

mod admin;
mod compact;
mod maintain;
mod open;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::{Matcher, TimeRange};
use parking_lot::{Mutex, RwLock};
use stdx::Dir;
use stdx::dir::DirLock;
use storage::{Appendable, Appender, QueryError, Queryable, SelectHints, SeriesSet};

use crate::block::Block;
use crate::error::TsdbError;
use crate::head::{DbAppender, Head};
use crate::index::BlockCache;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::query;
use crate::report::{MaintenanceReport, OpenReport, Stats};
use crate::wal::{WalWriter, segment_path};

/// A store of samples in one directory. Share it in an `Arc`.
#[derive(Debug)]
pub struct Db {
    dir: Arc<dyn Dir>,
    options: Options,
    metrics: Metrics,
    maintenance: Mutex<()>,
    wal: Mutex<WalWriter>,
    head: RwLock<Head>,
    /// In the order in which a sample of the first counts: by time, those of late samples last.
    blocks: RwLock<Vec<Arc<Block>>>,
    /// Parts of the blocks' indexes.
    cache: Arc<BlockCache>,
    next_series: AtomicU64,
    /// A checkpoint is wanted though nothing was cut: the last one failed.
    checkpoint_due: AtomicBool,
    closed: AtomicBool,
    lock: Mutex<Option<Box<dyn DirLock>>>,
}

impl Db {
    /// Opens the store in `dir`, creating it when it is not there.
    ///
    /// # Errors
    /// When the directory is in use, a setting makes no sense, or the disk refuses. Damage is no error: it is moved to
    /// `quarantine/` and reported, and the store opens with the rest.
    pub fn open(dir: Arc<dyn Dir>, options: Options, _now_ms: i64) -> Result<(Self, OpenReport), TsdbError> {
        open::open(dir, options)
    }

    /// Makes all batches acknowledged before the call survive power loss. Does not hold up commits.
    ///
    /// # Errors
    /// When the disk refuses. After that, what the system still remembers is unknown, so the next call writes
    /// everything anew from memory; it fails until that succeeds.
    pub fn sync(&self) -> Result<(), TsdbError> {
        let (handle, number) = {
            let wal = self.wal.lock();
            (wal.sync_handle(), wal.number())
        };
        let Some(handle) = handle else {
            let _one_at_a_time = self.maintenance.lock();
            self.checkpoint()?;
            let handle = self.wal.lock().sync_handle();
            return handle.map_or_else(
                || Err(Self::sync_unknown(number)),
                |handle| self.sync_segment(&handle, number),
            );
        };
        self.sync_segment(&handle, number)
    }

    fn sync_segment(&self, handle: &crate::wal::SyncHandle, number: u64) -> Result<(), TsdbError> {
        handle.lock().sync().map_err(|source| {
            self.wal.lock().mark_suspect();
            self.metrics.syncs_failed.inc();
            TsdbError::io("sync", &segment_path(number))(source)
        })
    }

    fn sync_unknown(number: u64) -> TsdbError {
        TsdbError::io("sync", &segment_path(number))(std::io::Error::other("an earlier sync failed"))
    }

    /// Does whatever is due at `now_ms`: cuts blocks from the head, merges blocks, removes what retention says, shortens
    /// the WAL. May take seconds; readers and writers go on meanwhile. Each step is tried whatever became of the others.
    ///
    /// # Errors
    /// The first failure. Nothing is lost then, and the next call tries again.
    pub fn maintain(&self, now_ms: i64) -> Result<MaintenanceReport, TsdbError> {
        let _one_at_a_time = self.maintenance.lock();
        if self.closed.load(Ordering::Acquire) {
            return Err(TsdbError::Closed);
        }
        maintain::maintain(self, now_ms)
    }

    /// Syncs, refuses further commits, and lets go of the directory. Reading still works.
    ///
    /// # Errors
    /// As [`Db::sync`]; the store is closed all the same.
    pub fn close(&self) -> Result<(), TsdbError> {
        {
            // Taken, so that no commit is under way.
            let _wal = self.wal.lock();
            if self.closed.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
        }
        let synced = self.sync();
        let _one_at_a_time = self.maintenance.lock();
        *self.lock.lock() = None;
        synced
    }

    /// Sizes of the head; lists hold the `limit` largest entries.
    #[must_use]
    pub fn stats(&self, limit: usize) -> Stats {
        self.head.read().stats(limit)
    }

    /// First and last millisecond of all that is stored, in head and blocks; `None` when empty.
    #[must_use]
    pub fn time_span(&self) -> Option<TimeRange> {
        let (mut min_ms, mut max_ms) = self.head.read().span();
        for block in self.blocks.read().iter() {
            min_ms = min_ms.min(block.range().start_ms);
            max_ms = max_ms.max(block.range().end_ms);
        }
        (min_ms <= max_ms).then(|| TimeRange::new(min_ms, max_ms))
    }

    /// The `meta.json` of each block, oldest first.
    #[must_use]
    pub fn block_metas(&self) -> Vec<String> {
        let json = |block: &Arc<Block>| String::from_utf8_lossy(&block.meta().to_json()).into_owned();
        self.blocks.read().iter().map(json).collect()
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn wal(&self) -> &Mutex<WalWriter> {
        &self.wal
    }

    pub(crate) fn head(&self) -> &RwLock<Head> {
        &self.head
    }

    pub(crate) fn blocks(&self) -> &RwLock<Vec<Arc<Block>>> {
        &self.blocks
    }

    pub(crate) fn closed(&self) -> &AtomicBool {
        &self.closed
    }

    pub(crate) fn take_series_number(&self) -> u64 {
        self.next_series.fetch_add(1, Ordering::Relaxed)
    }
}

impl Appendable for Db {
    fn appender(&self, now_ms: i64) -> Box<dyn Appender + '_> {
        Box::new(DbAppender::new(self, now_ms))
    }
}

impl Queryable for Db {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        query::select(self, matchers, range, hints)
    }

    fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, QueryError> {
        query::names(self, matchers, range)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, QueryError> {
        query::values(self, name, matchers, range)
    }
}
