//! Opening: lock, blocks, WAL; what is damaged goes aside once everything good is safe.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Mutex, RwLock};
use stdx::Dir;

use super::Db;
use crate::block::{open_all, quarantine};
use crate::error::TsdbError;
use crate::head::Head;
use crate::index::BlockCache;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::report::{OpenReport, Quarantined};
use crate::wal::{Replay, ReplayEvent, WAL_DIR, WalWriter, replay, segment_path};

/// The lock file, as Prometheus names it.
const LOCK_FILE: &str = "lock";

pub(super) fn open(dir: Arc<dyn Dir>, options: Options) -> Result<(Db, OpenReport), TsdbError> {
    check_options(&options)?;
    let lock = dir.lock(Path::new(LOCK_FILE)).map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => TsdbError::Locked { source },
        _ => TsdbError::io("lock", Path::new(LOCK_FILE))(source),
    })?;
    if !dir.exists(Path::new(WAL_DIR)) {
        dir.create_dir_all(Path::new(WAL_DIR)).map_err(TsdbError::io("create", Path::new(WAL_DIR)))?;
    }
    dir.sync_dir(Path::new("")).map_err(TsdbError::io("sync", Path::new(".")))?;
    let cache_bytes = usize::try_from(options.index_cache_bytes).unwrap_or(usize::MAX);
    let cache = Arc::new(BlockCache::new(cache_bytes, &options.registry));
    let (blocks, set_aside) = open_all(&dir, &cache)?;
    let mut head = Head::new(options.block_ms, options.ahead_max_ms);
    let mut report = OpenReport { n_blocks: blocks.len(), quarantined: set_aside, ..OpenReport::default() };
    let mut bad_chunks = Vec::new();
    let found = replay(&*dir, &mut |event| take(&mut head, event, &mut report, &mut bad_chunks))?;
    report.n_segments = found.segments.len();
    report.n_series = head.n_series();
    report.torn_bytes = found.torn_bytes;
    sync_last(&*dir, &found)?;
    let wal = WalWriter::begin(
        Arc::clone(&dir),
        options.segment_bytes,
        found.next_number,
        found.previous_bytes,
        found.segments.clone(),
    )?;
    let db = Db {
        metrics: Metrics::register(&options.registry),
        next_series: AtomicU64::new(head.next_series()),
        dir,
        options,
        maintenance: Mutex::new(()),
        wal: Mutex::new(wal),
        head: RwLock::new(head),
        blocks: RwLock::new(blocks.into_iter().map(Arc::new).collect()),
        cache,
        checkpoint_due: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        lock: Mutex::new(Some(lock)),
    };
    if !found.damaged.is_empty() {
        set_damaged_aside(&db, &found, &mut report)?;
    }
    report.quarantined.extend(bad_chunks);
    db.metrics.quarantined.add(report.quarantined.len() as u64);
    super::maintain::update_gauges(&db);
    Ok((db, report))
}

fn check_options(options: &Options) -> Result<(), TsdbError> {
    if options.block_ms <= 0 {
        return Err(TsdbError::Setting { setting: "block_ms", must: "positive" });
    }
    if options.retention_ms < 0 {
        return Err(TsdbError::Setting { setting: "retention_ms", must: "zero or positive" });
    }
    if !(0.0..=100.0).contains(&options.retention_percent) {
        return Err(TsdbError::Setting { setting: "retention_percent", must: "from 0 to 100" });
    }
    if options.retention_rules.iter().any(|rule| rule.retention_ms < 0) {
        return Err(TsdbError::Setting { setting: "retention_rules", must: "zero or positive" });
    }
    if options.ahead_max_ms < 0 {
        return Err(TsdbError::Setting { setting: "ahead_max_ms", must: "zero or positive" });
    }
    Ok(())
}

fn take(head: &mut Head, event: ReplayEvent<'_>, report: &mut OpenReport, bad: &mut Vec<Quarantined>) {
    match event {
        ReplayEvent::Series { series, chunks } => match head.restore(&series, &chunks) {
            Ok(n_samples) => report.n_samples += n_samples,
            Err(err) => bad.push(Quarantined {
                path: format!("{WAL_DIR}: checkpointed chunk of {}", series.labels),
                moved_to: "nowhere: the chunk is left out".to_owned(),
                reason: err.to_string(),
            }),
        },
        ReplayEvent::Commit { series, samples } => {
            series.iter().for_each(|new| head.insert(new));
            let n_orphans = head.apply(samples);
            report.n_orphans += n_orphans;
            report.n_samples += samples.len() as u64 - n_orphans;
        }
        ReplayEvent::NextSeries(below) => head.reserve_numbers(below),
    }
}

/// A process that was killed may not have synced what it acknowledged.
fn sync_last(dir: &dyn Dir, found: &Replay) -> Result<(), TsdbError> {
    let Some(number) = found.segments.keys().last() else { return Ok(()) };
    let path = segment_path(*number);
    let mut file = dir.open(&path).map_err(TsdbError::io("open", &path))?;
    file.sync().map_err(TsdbError::io("sync", &path))
}

/// Writes what could be read to a checkpoint; only then moves what is damaged.
fn set_damaged_aside(db: &Db, found: &Replay, report: &mut OpenReport) -> Result<(), TsdbError> {
    db.try_checkpoint(|| {
        for (path, reason) in &found.damaged {
            let moved_to = quarantine(&*db.dir, path).map_err(TsdbError::io("move", path))?;
            report.quarantined.push(Quarantined {
                path: path.display().to_string(),
                moved_to: moved_to.display().to_string(),
                reason: reason.clone(),
            });
        }
        Ok(())
    })?;
    Ok(())
}
