//! Opening to look: what is stored as of now, without the lock and without changing anything, be it beside a server that goes on.
//!
//! The log is read before the blocks, so that what moves from the one to the other meanwhile is found in both, which readers take for
//! once. Where a file goes away while it is looked for, or the log is shortened, all is looked for again.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use stdx::{Dir, MemDir};
use storage::ChangeLog;

use super::budget::Budget;
use super::open::{Found, begin_logs, read_logs};
use super::syncs::Syncs;
use super::tiers::Tiers;
use super::{Db, maintain};
use crate::block::{Block, block_names, without_replaced};
use crate::error::TsdbError;
use crate::families::Families;
use crate::head::Head;
use crate::index::BlockCache;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::readonly::ReadOnly;
use crate::report::OpenReport;
use crate::wal::{Log, WAL_DIR, WalFile, classify};

/// Attempts while a server moves files. Chosen: it seals every half hour, and merges after that.
const TRIES: usize = 5;

pub(super) fn open(dir: &Arc<dyn Dir>, options: &Options) -> Result<(Db, OpenReport), TsdbError> {
    let dir: Arc<dyn Dir> = Arc::new(ReadOnly(Arc::clone(dir)));
    for _ in 1..TRIES {
        match try_open(&dir, options) {
            Ok((db, report, true)) => return Ok((db, report)),
            // Something moved: what was read belongs to different moments.
            Ok((_, _, false)) => {}
            Err(TsdbError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(err) => return Err(err),
        }
    }
    try_open(&dir, options).map(|(db, report, _)| (db, report))
}

/// The last of what is returned: whether nothing was moved meanwhile.
fn try_open(dir: &Arc<dyn Dir>, options: &Options) -> Result<(Db, OpenReport, bool), TsdbError> {
    let mut report = OpenReport::default();
    let mut head = Head::new(options);
    let oldest = oldest_rows(&**dir)?;
    let mut is_whole = true;
    // Nothing is ever written to it: what a store without a log of its own has in its place.
    let nowhere: Arc<dyn Dir> = Arc::new(MemDir::new());
    let wal_dir = Path::new(WAL_DIR);
    nowhere.create_dir_all(wal_dir).map_err(TsdbError::io("create", wal_dir))?;
    if dir.exists(wal_dir) {
        let found = read_logs(&**dir, &mut head, &mut report, &options.progress)?;
        for (path, reason) in found.series.damaged.into_iter().chain(found.rows.damaged) {
            report.left_out.push((path.display().to_string(), reason));
            is_whole = false;
        }
    }
    // Series that began while the logs were read, and an unfinished write, are of a later moment.
    (report.n_orphans, report.torn_bytes) = (0, 0);
    let cache_bytes = usize::try_from(options.index_cache_bytes).unwrap_or(usize::MAX);
    let cache = Arc::new(BlockCache::new(cache_bytes, &options.registry));
    let blocks = open_blocks(dir, &cache, &mut report)?;
    is_whole &= oldest == oldest_rows(&**dir)?;
    (report.n_blocks, report.n_series) = (blocks.len(), head.n_series());
    let db = Db {
        metrics: Metrics::register(&options.registry),
        budget: Budget::new(options),
        families: Mutex::new(Families::read(&**dir)),
        dir: Arc::clone(dir),
        options: options.clone(),
        limits: RwLock::new(options.limits()),
        maintenance: Mutex::new(()),
        log: Mutex::new(begin_logs(&nowhere, options, &Found::nothing())?),
        head,
        blocks: RwLock::new(blocks.into_iter().map(Arc::new).collect()),
        tiers: Tiers::none(),
        cache,
        changes: ChangeLog::default(),
        follower: OnceLock::new(),
        // So that whatever would write is refused.
        closed: AtomicBool::new(true),
        n_imports: AtomicU64::new(0),
        syncs: Syncs::default(),
        lock: Mutex::new(None),
    };
    maintain::recount(&db);
    Ok((db, report, is_whole))
}

/// The oldest segment of rows: another one means that samples went from the log to blocks.
fn oldest_rows(dir: &dyn Dir) -> Result<Option<u64>, TsdbError> {
    let wal_dir = Path::new(WAL_DIR);
    if !dir.exists(wal_dir) {
        return Ok(None);
    }
    let entries = dir.list(wal_dir).map_err(TsdbError::io("list", wal_dir))?;
    let number = |name: &str| match classify(name) {
        WalFile::Segment(Log::Rows, number) => Some(number),
        _ => None,
    };
    Ok(entries.iter().filter_map(|entry| number(&entry.name)).min())
}

/// All blocks, as of one moment; what is damaged is told and left out.
fn open_blocks(
    dir: &Arc<dyn Dir>,
    cache: &Arc<BlockCache>,
    report: &mut OpenReport,
) -> Result<Vec<Block>, TsdbError> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut damaged: BTreeSet<String> = BTreeSet::new();
    loop {
        let names = block_names(&**dir)?;
        blocks.retain(|block| names.iter().any(|name| name == block.name()));
        let is_known = |blocks: &[Block], damaged: &BTreeSet<String>, name: &String| {
            damaged.contains(name) || blocks.iter().any(|block| block.name() == name)
        };
        let mut is_settled = true;
        for name in &names {
            if is_known(&blocks, &damaged, name) {
                continue;
            }
            is_settled = false;
            match Block::open(dir, name, cache) {
                Ok(block) => blocks.push(block),
                // A merge or the retention removed it meanwhile; the next list says by what.
                Err(_) if !dir.exists(Path::new(name)) => {}
                Err(TsdbError::Corrupt { path, reason }) => {
                    damaged.insert(name.clone());
                    report.left_out.push((path, reason));
                }
                Err(err) => return Err(err),
            }
        }
        // Nothing new since the last list: what is open was there at one moment.
        if is_settled {
            return Ok(without_replaced(blocks).0);
        }
    }
}
