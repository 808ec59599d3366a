//! Opening: lock, blocks, log; what is damaged goes aside once everything good is safe.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use stdx::Dir;
use storage::ChangeLog;

use super::budget::Budget;
use super::log::LogPair;
use super::syncs::Syncs;
use super::tiers::Tiers;
use super::{Db, maintain, seal, sweep};
use crate::block::{Block, open_all, quarantine};
use crate::error::TsdbError;
use crate::families::Families;
use crate::head::{Head, Restore};
use crate::index::BlockCache;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::report::{OpenProgress, OpenReport, OpenStep, Quarantined};
use crate::wal::{Log, Replay, WAL_DIR, WalFile, WalWriter, classify, encode_floor, replay};

/// The lock file, as Prometheus names it.
pub(crate) const LOCK_FILE: &str = "lock";
/// There while a server runs, and left behind by one that did not end in order.
pub(super) const RUNNING_FILE: &str = "running";

pub(super) fn open(dir: Arc<dyn Dir>, options: Options, now_ms: i64) -> Result<(Db, OpenReport), TsdbError> {
    check_options(&options)?;
    let lock = dir.lock(Path::new(LOCK_FILE)).map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => TsdbError::Locked { source },
        _ => TsdbError::io("lock", Path::new(LOCK_FILE))(source),
    })?;
    if !dir.exists(Path::new(WAL_DIR)) {
        dir.create_dir_all(Path::new(WAL_DIR)).map_err(TsdbError::io("create", Path::new(WAL_DIR)))?;
    }
    let is_clean = begin_running(&*dir);
    dir.sync_dir(Path::new("")).map_err(TsdbError::io("sync", Path::new(".")))?;
    let cache_bytes = usize::try_from(options.index_cache_bytes).unwrap_or(usize::MAX);
    let cache = Arc::new(BlockCache::new(cache_bytes, &options.registry));
    options.progress.begin(OpenStep::Blocks);
    let (blocks, mut set_aside) = open_all(&dir, &cache)?;
    begin_indexes(&blocks, options.index_cache_bytes);
    let tiers = Tiers::open(&dir, &options, &cache, &mut set_aside)?;
    let mut report = OpenReport { n_blocks: blocks.len(), quarantined: set_aside, ..OpenReport::default() };
    set_version_1_aside(&*dir, &mut report)?;
    let mut head = Head::new(&options);
    head.rolled_up_ms.store(tiers.floor_ms(), Ordering::Release);
    let found = read_logs(&*dir, &mut head, &mut report, &options.progress)?;
    options.progress.begin(OpenStep::Sync);
    sync_newest(&*dir, &found)?;
    let log = begin_logs(&dir, &options, &found)?;
    let db = Db {
        metrics: Metrics::register(&options.registry),
        budget: Budget::new(&options),
        families: Mutex::new(Families::read(&*dir)),
        dir,
        limits: RwLock::new(options.limits()),
        options,
        maintenance: Mutex::new(()),
        log: Mutex::new(log),
        head,
        blocks: RwLock::new(blocks.into_iter().map(Arc::new).collect()),
        tiers,
        cache,
        changes: ChangeLog::default(),
        follower: OnceLock::new(),
        closed: AtomicBool::new(false),
        n_imports: AtomicU64::new(0),
        syncs: Syncs::default(),
        lock: Mutex::new(Some(lock)),
    };
    sweep::sweep(&db, now_ms, true);
    maintain::recount(&db);
    report.n_series = db.head.n_series();
    if !found.series.damaged.is_empty() || !found.rows.damaged.is_empty() {
        db.options.progress.begin(OpenStep::Rescue);
        set_damaged_aside(&db, &found, &mut report)?;
    }
    db.options.progress.begin(OpenStep::Done);
    db.metrics.clean_start.set(if is_clean { 1.0 } else { 0.0 });
    db.metrics.quarantined.add(report.quarantined.len() as u64);
    maintain::update_gauges(&db);
    db.metrics.limits(&db.limits());
    Ok((db, report))
}

/// Whether whoever ran here before ended in order. A full disk is no reason not to start: the mark is for people.
fn begin_running(dir: &dyn Dir) -> bool {
    let running = Path::new(RUNNING_FILE);
    if dir.exists(running) {
        return false;
    }
    let _ = dir.create(running);
    true
}

/// Leaves of indexes that are read at the start. Chosen: those of ten thousand series and more, a tenth of what a small machine holds of them.
const WARM_LEAVES_BYTES: usize = 4 << 20;
/// Pages that the disk is asked for at the start. Chosen: a tenth of a second of a slow disk; a kernel reads as much ahead of itself where it
/// is left alone.
const WARM_PAGES_BYTES: u64 = 16 << 20;

fn newest_first<B: Deref<Target = Block>>(blocks: &mut [B]) {
    blocks.sort_by_key(|block| std::cmp::Reverse(block.range().end_ms));
}

/// See [`Db::warm_up`].
pub(super) fn warm_up(db: &Db) {
    let mut newest = db.blocks.read().clone();
    newest_first(&mut newest);
    let (mut leaves_left, mut pages_left) = (WARM_LEAVES_BYTES, WARM_PAGES_BYTES);
    let _ = newest.iter().all(|block| block.will_need_all(&mut pages_left));
    for block in newest {
        if leaves_left == 0 || db.is_closed() {
            return;
        }
        block.warm_up(&mut leaves_left);
    }
}

/// Has the disk begin with the indexes of the newest blocks while the log is replayed: the first queries after a boot then need not wait for
/// one part of each after the other. As much as will be held of them.
fn begin_indexes(blocks: &[Block], bytes_max: u64) {
    let mut newest: Vec<&Block> = blocks.iter().collect();
    newest_first(&mut newest);
    let mut n_bytes = 0u64;
    for block in newest {
        n_bytes = n_bytes.saturating_add(block.index().n_bytes());
        if n_bytes > bytes_max {
            return;
        }
        block.index().will_need();
    }
}

pub(super) fn check_options(options: &Options) -> Result<(), TsdbError> {
    let positive = [("block_ms", options.block_ms), ("seal_ms", options.seal_ms)];
    if let Some((setting, _)) = positive.into_iter().find(|(_, value)| *value <= 0) {
        return Err(TsdbError::Setting { setting, must: "positive" });
    }
    let not_negative = [
        ("retention_ms", options.retention_ms),
        ("ahead_max_ms", options.ahead_max_ms),
        ("out_of_order_window_ms", options.out_of_order_window_ms),
    ];
    if let Some((setting, _)) = not_negative.into_iter().find(|(_, value)| *value < 0) {
        return Err(TsdbError::Setting { setting, must: "zero or positive" });
    }
    if !(0.0..=100.0).contains(&options.retention_percent) {
        return Err(TsdbError::Setting { setting: "retention_percent", must: "from 0 to 100" });
    }
    if options.retention_rules.iter().any(|rule| rule.retention_ms < 0) {
        return Err(TsdbError::Setting { setting: "retention_rules", must: "zero or positive" });
    }
    check_roll_ups(options)
}

fn check_roll_ups(options: &Options) -> Result<(), TsdbError> {
    let refuse = |must| Err(TsdbError::Setting { setting: "storage.tsdb.rollup", must });
    let mut tiers = options.roll_ups.clone();
    tiers.sort_by_key(|tier| tier.interval_ms);
    let longer = |a: i64, b: i64| a == 0 || b > 0 && a > b;
    for tier in &tiers {
        if tier.interval_ms <= 0 || options.block_ms % tier.interval_ms != 0 {
            return refuse("an interval that divides two hours, the length of a block, as 5m and 1h do");
        }
        if options.retention_ms == 0 && options.retention_bytes == 0 && options.retention_percent <= 0.0 {
            return refuse("absent while samples are kept for ever: set storage.tsdb.retention.time");
        }
        if options.retention_ms > 0 && !longer(tier.retention_ms, options.retention_ms) {
            return refuse("kept for longer than samples are: raise it or lower storage.tsdb.retention.time");
        }
    }
    for pair in tiers.windows(2) {
        if pair[1].interval_ms == pair[0].interval_ms || pair[1].interval_ms % pair[0].interval_ms != 0 {
            return refuse(
                "given once for each interval, and a longer interval a multiple of the shorter one",
            );
        }
        if !longer(pair[1].retention_ms, pair[0].retention_ms) {
            return refuse("kept for longer where the interval is longer");
        }
    }
    Ok(())
}

/// Both logs as found.
pub(super) struct Found {
    pub(super) series: Replay,
    pub(super) rows: Replay,
    floor: Option<u64>,
}

impl Found {
    /// No logs.
    pub(super) fn nothing() -> Self {
        let none = || Replay { next_number: 1, ..Replay::default() };
        Self { series: none(), rows: none(), floor: None }
    }
}

/// Brings back what the logs have.
pub(super) fn read_logs(
    dir: &dyn Dir,
    head: &mut Head,
    report: &mut OpenReport,
    progress: &OpenProgress,
) -> Result<Found, TsdbError> {
    let wal_dir = Path::new(WAL_DIR);
    let entries = dir.list(wal_dir).map_err(TsdbError::io("list", wal_dir))?;
    progress.expect(entries.iter().map(|entry| entry.len_bytes).sum());
    progress.begin(OpenStep::Log);
    let mut restore = Restore::new(head);
    let series = replay(dir, Log::Series, None, &mut |payload| {
        progress.add(payload.len());
        restore.define(payload)
    })?;
    let floor = restore.floor;
    let rows = replay(dir, Log::Rows, floor, &mut |payload| {
        progress.add(payload.len());
        restore.commit(payload)
    })?;
    (report.n_samples, report.n_orphans) = restore.finish();
    report.n_segments = series.segments.len() + rows.segments.len();
    report.torn_bytes = series.torn_bytes + rows.torn_bytes;
    Ok(Found { series, rows, floor })
}

/// A process that was killed may not have synced what it acknowledged.
fn sync_newest(dir: &dyn Dir, found: &Found) -> Result<(), TsdbError> {
    for (log, found) in [(Log::Series, &found.series), (Log::Rows, &found.rows)] {
        let Some(number) = found.segments.keys().last() else { continue };
        let path = log.segment_path(*number);
        let mut file = dir.open(&path).map_err(TsdbError::io("open", &path))?;
        file.sync().map_err(TsdbError::io("sync", &path))?;
    }
    Ok(())
}

/// The writing ends of both, after what was found.
pub(super) fn begin_logs(dir: &Arc<dyn Dir>, options: &Options, found: &Found) -> Result<LogPair, TsdbError> {
    let begin = |log: Log, found: &Replay| {
        WalWriter::begin(
            Arc::clone(dir),
            log,
            options.segment_bytes,
            found.next_number,
            found.previous_bytes,
            found.segments.clone(),
        )
    };
    let (mut series, rows) = (begin(Log::Series, &found.series)?, begin(Log::Rows, &found.rows)?);
    if found.floor.is_none() && found.series.damaged.is_empty() {
        // From the first day on it is known which segment of rows has to be there.
        series.append(&[encode_floor(rows.oldest())], false)?;
    }
    Ok(LogPair { series, rows, epoch: 1 })
}

/// There are no released users of the log's first version: it is kept, and not read.
fn set_version_1_aside(dir: &dyn Dir, report: &mut OpenReport) -> Result<(), TsdbError> {
    let wal_dir = Path::new(WAL_DIR);
    let entries = dir.list(wal_dir).map_err(TsdbError::io("list", wal_dir))?;
    for entry in entries {
        if classify(&entry.name) == WalFile::Version1 {
            let path = wal_dir.join(&entry.name);
            set_aside(
                dir,
                &path,
                "written by a version of this program whose log is no longer read",
                report,
            )?;
        }
    }
    Ok(())
}

fn set_aside(dir: &dyn Dir, path: &Path, reason: &str, report: &mut OpenReport) -> Result<(), TsdbError> {
    let moved_to = quarantine(dir, path).map_err(TsdbError::io("move", path))?;
    report.quarantined.push(Quarantined {
        path: path.display().to_string(),
        moved_to: moved_to.display().to_string(),
        reason: reason.to_owned(),
    });
    Ok(())
}

/// Writes what could be read to blocks; only then moves what is damaged.
fn set_damaged_aside(db: &Db, found: &Found, report: &mut OpenReport) -> Result<(), TsdbError> {
    let damaged: Vec<(PathBuf, String)> =
        found.series.damaged.iter().chain(&found.rows.damaged).cloned().collect();
    seal::rescue_and(db, || {
        damaged.iter().try_for_each(|(path, reason)| set_aside(&*db.dir, path, reason, report))
    })
}
