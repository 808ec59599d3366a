//! The log as a start would read it, without what a start changes.

use std::path::Path;
use std::sync::Arc;

use model::TimeRange;
use stdx::Dir;

use crate::error::TsdbError;
use crate::head::{Head, Restore};
use crate::options::Options;
use crate::readonly::ReadOnly;
use crate::wal::{Log, Replay, WAL_DIR, replay};

/// Attempts while a server moves files. Chosen: it does so every half hour.
const TRIES: usize = 3;

/// What both logs hold.
pub(super) struct LogState {
    pub(super) n_files: usize,
    pub(super) n_bytes: u64,
    pub(super) n_series: u64,
    pub(super) n_samples: u64,
    pub(super) n_orphans: u64,
    pub(super) torn_bytes: u64,
    pub(super) span: Option<TimeRange>,
    /// File and what is wrong with it.
    pub(super) damaged: Vec<(String, String)>,
    /// What a start would remove.
    pub(super) leftovers: Vec<String>,
}

/// Reads it; `None` when there is no log.
pub(super) fn read(dir: &Arc<dyn Dir>) -> Result<Option<LogState>, TsdbError> {
    let mut n_tries = 1;
    loop {
        if !dir.exists(Path::new(WAL_DIR)) {
            return Ok(None);
        }
        match try_read(dir) {
            Err(TsdbError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && n_tries < TRIES =>
            {
                n_tries += 1;
            }
            other => return other.map(Some),
        }
    }
}

fn try_read(dir: &Arc<dyn Dir>) -> Result<LogState, TsdbError> {
    let read_only = ReadOnly(Arc::clone(dir));
    let wal_dir = Path::new(WAL_DIR);
    let entries = dir.list(wal_dir).map_err(TsdbError::io("list", wal_dir))?;
    let mut head = Head::new(&Options::default());
    let mut restore = Restore::new(&mut head);
    let series: Replay = replay(&read_only, Log::Series, None, &mut |payload| restore.define(payload))?;
    let floor = restore.floor;
    let rows = replay(&read_only, Log::Rows, floor, &mut |payload| restore.commit(payload))?;
    let (n_samples, n_orphans) = restore.finish();
    let (min_ms, max_ms) = head.span();
    let damaged = series.damaged.iter().chain(&rows.damaged);
    let is_leftover = |name: &str| name.ends_with(crate::block::TMP_SUFFIX);
    Ok(LogState {
        n_files: entries.iter().filter(|entry| !entry.is_dir).count(),
        n_bytes: entries.iter().map(|entry| entry.len_bytes).sum(),
        n_series: head.n_series() as u64,
        n_samples,
        n_orphans,
        torn_bytes: series.torn_bytes + rows.torn_bytes,
        span: (min_ms <= max_ms).then(|| TimeRange::new(min_ms, max_ms)),
        damaged: damaged.map(|(path, reason)| (path.display().to_string(), reason.clone())).collect(),
        leftovers: entries
            .iter()
            .filter(|entry| is_leftover(&entry.name))
            .map(|entry| super::text(wal_dir.join(&entry.name)))
            .collect(),
    })
}
