//! What is in a data directory: blocks, log, what was set aside.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use stdx::Dir;

use super::{bytes_below, cache, folders, is_in_use, log};
use crate::block::{Block, QUARANTINE_DIR};
use crate::error::TsdbError;
use crate::index::BlockCache;
use crate::rollup::State;

/// One block. Times in milliseconds, both inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockSummary {
    /// Its name, which is that of its folder.
    pub ulid: String,
    /// First sample.
    pub min_time_ms: i64,
    /// Last sample.
    pub max_time_ms: i64,
    /// Samples.
    pub n_samples: u64,
    /// Series.
    pub n_series: u64,
    /// Pages: what chunks are to Prometheus.
    pub n_pages: u64,
    /// Bytes of the file of pages.
    pub pages_bytes: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Bytes of all files.
    pub size_bytes: u64,
    /// How often it was merged.
    pub level: u32,
    /// All of its samples came late.
    pub late: bool,
    /// Blocks that went into it, and names of what was imported.
    pub n_sources: usize,
    /// Series of which something is deleted.
    pub n_series_with_deletions: u64,
}

/// The log, which holds what is not in blocks yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogSummary {
    /// Files.
    pub n_files: usize,
    /// Their bytes.
    pub size_bytes: u64,
    /// Series.
    pub n_series: u64,
    /// Samples; some may be in blocks already.
    pub n_samples: u64,
    /// First sample, in milliseconds; `None` when there is none.
    pub min_time_ms: Option<i64>,
    /// Last sample.
    pub max_time_ms: Option<i64>,
    /// Files that are damaged.
    pub n_damaged: usize,
}

/// A tier of roll-ups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TierSummary {
    /// Its folder.
    pub folder: String,
    /// Time that a row stands for.
    pub interval_ms: i64,
    /// By first row; samples are rows and histograms.
    pub blocks: Vec<BlockSummary>,
}

/// All of a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// A process is using the directory.
    pub in_use: bool,
    /// By first sample.
    pub blocks: Vec<BlockSummary>,
    /// Roll-ups, finest first.
    pub tiers: Vec<TierSummary>,
    /// Samples before this are answered from roll-ups, in milliseconds; `None` when there are none.
    pub rolled_up_before_ms: Option<i64>,
    /// Blocks that cannot be opened, or not in all their parts, and why.
    pub unreadable: Vec<(String, String)>,
    /// `None` when there is none.
    pub log: Option<LogSummary>,
    /// What was damaged and set aside: name, bytes.
    pub quarantined: Vec<(String, u64)>,
    /// Temporary folders, which a start clears away.
    pub leftovers: Vec<String>,
}

/// Reads what is in `dir`. Takes no lock and changes nothing.
///
/// # Errors
/// When the disk refuses. Damage is a part of the answer.
pub fn list(dir: &Arc<dyn Dir>) -> Result<Listing, TsdbError> {
    let cache = cache();
    let mut unreadable = Vec::new();
    let (blocks, mut leftovers) = blocks(dir, "", &cache, &mut unreadable)?;
    let mut tiers = Vec::new();
    for tier in super::tiers(dir)? {
        let (blocks, left) = self::blocks(&tier.dir, &format!("{}/", tier.path), &cache, &mut unreadable)?;
        leftovers.extend(left);
        tiers.push(TierSummary { folder: tier.path, interval_ms: tier.interval_ms, blocks });
    }
    let rolled_up_before_ms = match State::read(&**dir)? {
        Some(Ok(state)) => Some(state.floor_ms),
        Some(Err(reason)) => {
            unreadable.push((super::text(State::path()), reason));
            None
        }
        None => None,
    };
    let log = log::read(dir)?.map(|log| LogSummary {
        n_files: log.n_files,
        size_bytes: log.n_bytes,
        n_series: log.n_series,
        n_samples: log.n_samples,
        min_time_ms: log.span.map(|span| span.start_ms),
        max_time_ms: log.span.map(|span| span.end_ms),
        n_damaged: log.damaged.len(),
    });
    let quarantine = Path::new(QUARANTINE_DIR);
    let set_aside = if dir.exists(quarantine) {
        dir.list(quarantine).map_err(TsdbError::io("list", quarantine))?
    } else {
        Vec::new()
    };
    let quarantined = set_aside.into_iter().map(|entry| {
        let n_bytes =
            if entry.is_dir { bytes_below(&**dir, &quarantine.join(&entry.name)) } else { entry.len_bytes };
        (entry.name, n_bytes)
    });
    Ok(Listing {
        in_use: is_in_use(&**dir),
        blocks,
        tiers,
        rolled_up_before_ms: rolled_up_before_ms.filter(|floor_ms| *floor_ms != i64::MIN),
        unreadable,
        log,
        quarantined: quarantined.collect(),
        leftovers,
    })
}

/// The blocks of a folder by first sample, and the temporary folders; `prefix` leads to it.
fn blocks(
    dir: &Arc<dyn Dir>,
    prefix: &str,
    cache: &Arc<BlockCache>,
    unreadable: &mut Vec<(String, String)>,
) -> Result<(Vec<BlockSummary>, Vec<String>), TsdbError> {
    let (names, leftovers) = folders(&**dir)?;
    let mut blocks = Vec::new();
    for name in names {
        match Block::open(dir, &name, cache) {
            Ok(block) => {
                let damage = block.take_damage().into_iter();
                unreadable.extend(damage.filter_map(|told| {
                    told.split_once(": ").map(|(path, why)| (format!("{prefix}{path}"), why.to_owned()))
                }));
                blocks.push(summary(&block));
            }
            // Compaction or retention removed it meanwhile.
            Err(_) if !dir.exists(Path::new(&name)) => {}
            Err(TsdbError::Corrupt { path, reason }) => unreadable.push((format!("{prefix}{path}"), reason)),
            Err(other) => return Err(other),
        }
    }
    blocks.sort_by(|a, b| (a.min_time_ms, &a.ulid).cmp(&(b.min_time_ms, &b.ulid)));
    Ok((blocks, leftovers.into_iter().map(|name| format!("{prefix}{name}")).collect()))
}

fn summary(block: &Block) -> BlockSummary {
    let (toc, compaction) = (block.index().toc(), &block.meta().compaction);
    BlockSummary {
        ulid: block.name().to_owned(),
        min_time_ms: toc.first_ms,
        max_time_ms: toc.last_ms,
        n_samples: toc.n_samples,
        n_series: u64::from(toc.n_series),
        n_pages: toc.n_pages,
        pages_bytes: toc.pages_bytes,
        index_bytes: block.index().n_bytes(),
        size_bytes: block.size_bytes(),
        level: compaction.level,
        late: compaction.late,
        n_sources: compaction.sources.len(),
        n_series_with_deletions: block.deleted().tombstones.iter().count() as u64,
    }
}
