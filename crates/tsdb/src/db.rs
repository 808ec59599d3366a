//! The store: owns head, log and blocks, and says in which order things happen.
//!
//! Locks, in the order they are taken: maintenance, log (which is the commit lock), the head's, list of blocks.
//! Data moves towards disk so that it is always in at least one place that readers and a restart find:
//! log before head, block before the head lets go, and both before segments of the log go.

mod admin;
mod append;
mod budget;
mod compact;
mod import;
mod log;
mod look;
mod maintain;
mod open;
mod rollup;
mod seal;
mod sweep;
mod syncs;
pub(crate) mod tiers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use model::{Exemplar, Labels, Matcher, Metadata, TimeRange};
use parking_lot::{Mutex, RwLock};
use stdx::Dir;
use stdx::dir::DirLock;
use storage::{Appendable, Appender, ChangeLog, Followed, Follower, QueryError, SelectHints, StorageError};

use crate::block::Block;
use crate::error::TsdbError;
use crate::families::Families;
use crate::head::Head;
use crate::index::BlockCache;
use crate::metrics::Metrics;
use crate::options::{Limits, Options};
use crate::report::{MaintenanceReport, OpenReport, Stats};
use crate::wal::{Log, SyncHandle};

use append::DbAppender;
use budget::Budget;
use log::LogPair;
use syncs::Syncs;
use tiers::{FromTiers, Tiers};

pub(crate) use import::fill;
pub(crate) use open::LOCK_FILE;

/// A store of samples in one directory. Share it in an `Arc`.
#[derive(Debug)]
pub struct Db {
    dir: Arc<dyn Dir>,
    options: Options,
    /// Hold in the place of those in `options`.
    limits: RwLock<Limits>,
    metrics: Metrics,
    maintenance: Mutex<()>,
    log: Mutex<LogPair>,
    head: Head,
    /// In the order in which a sample of the first counts: by time, those of late samples last.
    blocks: RwLock<Vec<Arc<Block>>>,
    tiers: Tiers,
    /// Parts of the blocks' indexes.
    cache: Arc<BlockCache>,
    budget: Budget,
    families: Mutex<Families>,
    /// Told after each change that readers may see, before it is acknowledged.
    changes: ChangeLog,
    /// Told of each batch before it is written, as far as it is behind.
    follower: OnceLock<Arc<dyn Follower>>,
    closed: AtomicBool,
    /// Imports begun in this run.
    n_imports: AtomicU64,
    syncs: Syncs,
    lock: Mutex<Option<Box<dyn DirLock>>>,
}

impl Db {
    /// Opens the store in `dir`, creating it when it is not there.
    ///
    /// # Errors
    /// When the directory is in use, a setting makes no sense, or the disk refuses. Damage is no error: it is moved to
    /// `quarantine/` and reported, and the store opens with the rest.
    pub fn open(dir: Arc<dyn Dir>, options: Options, now_ms: i64) -> Result<(Self, OpenReport), TsdbError> {
        open::open(dir, options, now_ms)
    }

    /// Reads what the first questions after a start would wait for: the indexes of the newest blocks, as far as they are held anyway, and has
    /// the disk begin with their pages. May take some tenths of a second; nobody waits for it.
    pub fn warm_up(&self) {
        open::warm_up(self);
    }

    /// Opens what is stored in `dir` now, for reading: takes no lock and changes nothing, and a server may be using the directory. Samples
    /// as they came; roll-ups are not looked into. The store counts as closed.
    ///
    /// # Errors
    /// When the disk refuses. Damage is no error: what is damaged is left out and reported.
    pub fn open_to_look(dir: &Arc<dyn Dir>, options: &Options) -> Result<(Self, OpenReport), TsdbError> {
        look::open(dir, options)
    }

    /// Makes all batches acknowledged before the call survive power loss. Does not hold up commits. Calls that come while another one is under way
    /// wait for it and share the next one.
    ///
    /// # Errors
    /// When the disk refuses. After that, what the system still remembers is unknown, so the next call writes
    /// everything from memory to blocks; it fails until that succeeds.
    pub fn sync(&self) -> Result<(), TsdbError> {
        self.syncs.share(|| self.sync_now())
    }

    fn sync_now(&self) -> Result<(), TsdbError> {
        let handles = self.log.lock().sync_handles();
        if let Some(handles) = handles {
            return self.sync_files(&handles);
        }
        let _one_at_a_time = self.maintenance.lock();
        seal::rescue(self)?;
        let handles = self.log.lock().sync_handles();
        match handles {
            Some(handles) => self.sync_files(&handles),
            None => {
                let source = std::io::Error::other("an earlier sync failed");
                Err(TsdbError::io("sync", crate::wal::WAL_DIR.as_ref())(source))
            }
        }
    }

    fn sync_files(&self, handles: &log::SyncHandles) -> Result<(), TsdbError> {
        self.sync_file(Log::Series, &handles.series)?;
        self.sync_file(Log::Rows, &handles.rows)
    }

    fn sync_file(&self, which: Log, handle: &SyncHandle) -> Result<(), TsdbError> {
        handle.lock().sync().map_err(|source| {
            let mut log = self.log.lock();
            let writer = match which {
                Log::Series => &mut log.series,
                Log::Rows => &mut log.rows,
            };
            writer.mark_suspect();
            self.metrics.syncs_failed.inc();
            TsdbError::io("sync", &which.segment_path(writer.number()))(source)
        })
    }

    /// Whether the head spans enough time for a block, so that [`Db::maintain`] had better come now: a writer who brings two
    /// hours in a minute must not fill the memory. Cheap enough to be asked every second.
    #[must_use]
    pub fn is_block_full(&self, now_ms: i64) -> bool {
        maintain::is_block_full(self, now_ms)
    }

    /// Does whatever is due at `now_ms`: seals the head's pages to blocks, merges blocks, removes what retention says, shortens
    /// the log. May take seconds; readers and writers go on meanwhile. Each step is tried whatever became of the others.
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
            let _log = self.log.lock();
            if self.closed.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
        }
        let synced = self.sync();
        let _one_at_a_time = self.maintenance.lock();
        if synced.is_ok() {
            // Left there, it only says that the end was not in order.
            let _ = self.dir.remove_file(std::path::Path::new(open::RUNNING_FILE));
        }
        *self.lock.lock() = None;
        synced
    }

    /// Sizes of the head; lists hold the `limit` largest entries.
    #[must_use]
    pub fn stats(&self, limit: usize) -> Stats {
        let (counts, n_chunks) = {
            let table = self.head.table.read();
            let n_chunks = table.groups.values().map(|group| n_columns_with_samples(&group.lock())).sum();
            (table.series.statistics(limit), n_chunks)
        };
        let (min_time_ms, max_time_ms) = self.head.span();
        Stats {
            n_series: counts.n_series,
            n_label_pairs: counts.n_label_pairs,
            n_chunks,
            min_time_ms,
            max_time_ms,
            series_by_metric_name: counts.series_by_metric_name,
            values_by_label_name: counts.values_by_label_name,
            memory_by_label_name: counts.memory_by_label_name,
            series_by_label_pair: counts.series_by_label_pair,
        }
    }

    /// First and last millisecond of all that is stored, in head and blocks; `None` when empty.
    #[must_use]
    pub fn time_span(&self) -> Option<TimeRange> {
        let (mut min_ms, mut max_ms) = self.head.span();
        for block in self.blocks.read().iter() {
            min_ms = min_ms.min(block.range().start_ms);
            max_ms = max_ms.max(block.range().end_ms);
        }
        for (_, blocks) in self.tiers.blocks() {
            min_ms = blocks.iter().map(|block| tiers::begin_of(block)).fold(min_ms, i64::min);
            max_ms = blocks.iter().map(|block| block.range().end_ms).fold(max_ms, i64::max);
        }
        (min_ms <= max_ms).then(|| TimeRange::new(min_ms, max_ms))
    }

    /// The `meta.json` of each block, oldest first.
    #[must_use]
    pub fn block_metas(&self) -> Vec<String> {
        let json = |block: &Arc<Block>| String::from_utf8_lossy(&block.meta().to_json()).into_owned();
        self.blocks.read().iter().map(json).collect()
    }

    /// Exemplars within `range` of the series for which all of `matchers` hold, sorted by labels and time. Only the newest
    /// ones are kept ([`Options::exemplars_max`]).
    #[must_use]
    pub fn exemplars(&self, matchers: &[Matcher], range: TimeRange) -> Vec<(Labels, Vec<Exemplar>)> {
        let table = self.head.table.read();
        let matching = table.series.select(matchers);
        let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for (series, exemplar) in self.head.exemplars.lock().iter() {
            if matching.contains(*series)
                && range.contains(exemplar.t_ms)
                && let Some(labels) = table.series.labels(*series)
            {
                found.entry(labels).or_default().push(exemplar.clone());
            }
        }
        found.values_mut().for_each(|list| list.sort_by_key(|exemplar| exemplar.t_ms));
        found.into_iter().collect()
    }

    /// What writers other than scrapes said of metric families, by name.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, Metadata> {
        self.head.metadata.lock().all().clone()
    }

    /// Keeps on the disk what was said of metric families, for exports; what writers said is among it anyway.
    ///
    /// # Errors
    /// When the disk refuses; the next call tries again.
    pub fn keep_families<'a>(
        &self,
        said: impl IntoIterator<Item = (&'a str, &'a Metadata)>,
    ) -> Result<(), TsdbError> {
        let written = self.metadata();
        let mut families = self.families.lock();
        said.into_iter().for_each(|(name, said)| families.hear(name, said));
        written.iter().for_each(|(name, said)| families.hear(name, said));
        families.write(&*self.dir)
    }

    /// What was ever said of metric families and kept, by name.
    #[must_use]
    pub fn families(&self) -> BTreeMap<String, Metadata> {
        self.families.lock().all().clone()
    }

    /// Whether [`Db::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether memory is so short that remote writers should come back later (503 with `Retry-After`).
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.budget.is_overloaded(&self.head)
    }

    /// Whether memory is so short that new series are refused.
    #[must_use]
    pub fn refuses_new_series(&self) -> bool {
        self.budget.refuses_new_series(&self.head)
    }

    /// New series refused since memory was short, by metric name and job; both are empty for all beyond the first hundred.
    #[must_use]
    pub fn refused_for_memory(&self) -> BTreeMap<(String, String), u64> {
        self.budget.refused()
    }

    /// How much is kept now.
    #[must_use]
    pub fn limits(&self) -> Limits {
        *self.limits.read()
    }

    /// Whether [`Db::set_limits`] would take them.
    ///
    /// # Errors
    /// When a limit makes no sense, alone or beside the roll-ups.
    pub fn check_limits(&self, limits: Limits) -> Result<(), TsdbError> {
        open::check_options(&self.options.clone().with_limits(limits))
    }

    /// Keeps this much from now on; what is too old or too much goes with the next maintenance.
    ///
    /// # Errors
    /// As [`Db::check_limits`].
    pub fn set_limits(&self, limits: Limits) -> Result<(), TsdbError> {
        self.check_limits(limits)?;
        self.head.set_limits(&self.options, &limits);
        self.metrics.limits(&limits);
        *self.limits.write() = limits;
        Ok(())
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn log(&self) -> &Mutex<LogPair> {
        &self.log
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn blocks(&self) -> &RwLock<Vec<Arc<Block>>> {
        &self.blocks
    }

    pub(crate) fn change_log(&self) -> &ChangeLog {
        &self.changes
    }

    pub(crate) fn follower(&self) -> Option<&Arc<dyn Follower>> {
        self.follower.get()
    }

    /// What roll-ups have for a selection. To be called after the list of blocks was taken.
    pub(crate) fn rolled_up(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<FromTiers, QueryError> {
        if self.options.serves_roll_ups {
            return self.tiers.answer(matchers, range, hints);
        }
        Ok(FromTiers { floor_ms: i64::MIN, set: None, parts: Vec::new() })
    }

    /// Samples before this are not taken from raw blocks.
    pub(crate) fn rolled_up_floor_ms(&self) -> i64 {
        self.tiers.floor_ms()
    }

    /// Adds the blocks of roll-ups that may have series within `range`.
    pub(crate) fn rolled_up_blocks(&self, range: TimeRange, out: &mut Vec<Arc<Block>>) {
        if self.options.serves_roll_ups {
            self.tiers.blocks_in(range, out);
        }
    }

    pub(crate) fn closed(&self) -> &AtomicBool {
        &self.closed
    }

    /// Whether a new series fits the memory budget, after `n_planned` others of the same batch.
    pub(crate) fn check_memory(&self, labels: &Labels, n_planned: usize) -> Result<(), storage::AppendError> {
        self.budget.check_new_series(&self.head, labels, n_planned)
    }
}

fn n_columns_with_samples(group: &crate::head::Group) -> u64 {
    let of = |page: &crate::head::Page| {
        page.columns.iter().filter(|column| column.has_samples(page.n_rows())).count() as u64
    };
    of(&group.page) + group.closed.iter().map(|page| of(page)).sum::<u64>()
}

impl Appendable for Db {
    fn appender(&self, now_ms: i64) -> Box<dyn Appender + '_> {
        Box::new(DbAppender::new(self, now_ms))
    }

    fn is_overloaded(&self) -> bool {
        self.budget.is_overloaded(&self.head)
    }

    fn sync(&self) -> Result<(), StorageError> {
        Ok(Self::sync(self)?)
    }
}

impl Followed for Db {
    fn follow(&self, follower: Arc<dyn Follower>) {
        let _ = self.follower.set(follower);
    }

    fn between_commits(&self, act: &mut dyn FnMut()) {
        let _no_commit = self.log.lock();
        act();
    }
}
