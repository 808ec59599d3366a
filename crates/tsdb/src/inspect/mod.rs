//! Looks into a data directory without opening a store: what is there, what it is made of, whether it is whole; and mends it.
//!
//! In from `hinomi tsdb list|analyze|verify|repair`. Everything but [`repair`] reads only and takes no lock, so that it works
//! beside a server: what that one removes meanwhile is passed over, and what it is writing counts as unfinished.

mod analyze;
mod list;
mod log;
mod page_check;
mod repair;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stdx::metrics::Registry;
use stdx::{Dir, SubDir};

pub use analyze::{Analysis, AnalyzeOptions, PageForm, Part, Spread, TierAnalysis, analyze};
pub use list::{BlockSummary, Listing, LogSummary, TierSummary, list};
pub use repair::{Repair, repair};
pub use verify::{Finding, Severity, Verification, verify};

use crate::block::{TMP_SUFFIX, is_block_name};
use crate::db::LOCK_FILE;
use crate::error::TsdbError;
use crate::index::BlockCache;
use crate::rollup::ROLLUPS_DIR;

/// Parts of indexes held in memory. Chosen: these commands read from front to back.
const CACHE_BYTES: usize = 16 << 20;

fn cache() -> Arc<BlockCache> {
    Arc::new(BlockCache::new(CACHE_BYTES, &Registry::new()))
}

/// Whether another process has the directory.
fn is_in_use(dir: &dyn Dir) -> bool {
    let lock = Path::new(LOCK_FILE);
    // Asking makes the file, so one that is not there is left alone.
    dir.exists(lock) && dir.lock(lock).is_err_and(|err| err.kind() == std::io::ErrorKind::WouldBlock)
}

/// The folders of blocks, and what an interrupted write left.
fn folders(dir: &dyn Dir) -> Result<(Vec<String>, Vec<String>), TsdbError> {
    let entries = dir.list(Path::new("")).map_err(TsdbError::io("list", Path::new(".")))?;
    let (mut blocks, mut leftovers) = (Vec::new(), Vec::new());
    for entry in entries.into_iter().filter(|entry| entry.is_dir) {
        if entry.name.ends_with(TMP_SUFFIX) {
            leftovers.push(entry.name);
        } else if is_block_name(&entry.name) {
            blocks.push(entry.name);
        }
    }
    Ok((blocks, leftovers))
}

/// A tier of roll-ups.
struct TierDir {
    /// `rollups/5m`.
    path: String,
    interval_ms: i64,
    dir: Arc<dyn Dir>,
}

/// The tiers that are there, finest first.
fn tiers(dir: &Arc<dyn Dir>) -> Result<Vec<TierDir>, TsdbError> {
    let root = Path::new(ROLLUPS_DIR);
    if !dir.exists(root) {
        return Ok(Vec::new());
    }
    let entries = dir.list(root).map_err(TsdbError::io("list", root))?;
    let tier = |name: &str| {
        let interval = name.parse::<model::Duration>().ok()?;
        let path = format!("{ROLLUPS_DIR}/{name}");
        let folder = Arc::new(SubDir::new(Arc::clone(dir), &path));
        Some(TierDir { path, interval_ms: interval.as_ms(), dir: folder })
    };
    let mut tiers: Vec<TierDir> =
        entries.iter().filter(|entry| entry.is_dir).filter_map(|entry| tier(&entry.name)).collect();
    tiers.sort_by_key(|tier| tier.interval_ms);
    Ok(tiers)
}

/// Bytes of all files below `path`.
fn bytes_below(dir: &dyn Dir, path: &Path) -> u64 {
    let (mut folders, mut n_bytes) = (vec![path.to_path_buf()], 0);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = dir.list(&folder) else {
            n_bytes += dir.open(&folder).and_then(|file| file.len()).unwrap_or(0);
            continue;
        };
        for entry in entries {
            n_bytes += entry.len_bytes;
            if entry.is_dir {
                folders.push(folder.join(entry.name));
            }
        }
    }
    n_bytes
}

fn text(path: PathBuf) -> String {
    path.display().to_string()
}
