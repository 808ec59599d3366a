//! What blocks are made of: which labels make the series, which series make the bytes, how pages are coded.
//!
//! Reads labels of all series, heads of columns and pages; blocks one after another. Memory grows with distinct label pairs and,
//! eight bytes each, with distinct series.

mod tally;

use std::sync::Arc;

use model::Matcher;
use serde::Serialize;
use stdx::Dir;

use super::{cache, folders};
use crate::block::Block;
use crate::error::TsdbError;
use crate::index::BlockCache;
use crate::report::NamedCount;

use tally::Tally;

/// What to look at.
#[derive(Debug)]
pub struct AnalyzeOptions<'a> {
    /// Only series for which all of them hold.
    pub matchers: &'a [Matcher],
    /// Only the block of this name.
    pub block: Option<&'a str>,
    /// Length of lists.
    pub limit: usize,
}

/// Bytes of one part of blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Which.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Pages that are coded alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageForm {
    /// How.
    pub name: String,
    /// How many.
    pub pages: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How a number is spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Lowest.
    pub min: u64,
    /// Half are not above it.
    pub median: u64,
    /// Nine of ten are not above it.
    pub p90: u64,
    /// Highest.
    pub max: u64,
    /// Mean.
    pub mean: f64,
}

/// See the module. Lists are sorted by falling value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// Blocks read, oldest first.
    pub blocks: Vec<String>,
    /// First sample of the blocks, in milliseconds; 0 with none.
    pub min_time_ms: i64,
    /// Last sample.
    pub max_time_ms: i64,
    /// Distinct series.
    pub n_series: u64,
    /// Most series in one block.
    pub n_series_in_one_block: u64,
    /// Samples, deleted ones included.
    pub n_samples: u64,
    /// Distinct label names.
    pub n_label_names: u64,
    /// Distinct label pairs.
    pub n_label_pairs: u64,
    /// Label pairs, counted once for each series that has them.
    pub n_label_pair_uses: u64,
    /// Series that are not there all of their block's time, weighted by how much of it they miss, by label pair.
    pub churn_by_label_pair: Vec<NamedCount>,
    /// Likewise by label name.
    pub churn_by_label_name: Vec<NamedCount>,
    /// Series by label pair.
    pub series_by_label_pair: Vec<NamedCount>,
    /// Distinct values by label name.
    pub values_by_label_name: Vec<NamedCount>,
    /// Bytes of distinct values by label name.
    pub value_bytes_by_label_name: Vec<NamedCount>,
    /// Series by metric name.
    pub series_by_metric_name: Vec<NamedCount>,
    /// Bytes of pages by metric name.
    pub bytes_by_metric_name: Vec<NamedCount>,
    /// Where the bytes are; the parts of the index and timestamps only when no series are left out.
    pub bytes: Vec<Part>,
    /// How pages are coded.
    pub forms: Vec<PageForm>,
    /// Rows of pages of values.
    pub samples_per_page: Spread,
    /// Bytes on disk for each sample, of all files; of the pages alone when series are left out.
    pub bytes_per_sample: f64,
    /// Roll-ups, finest first; not counted above. None when one block is asked for.
    pub tiers: Vec<TierAnalysis>,
}

/// What a tier of roll-ups is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TierAnalysis {
    /// Its folder.
    pub folder: String,
    /// Time that a row stands for.
    pub interval_ms: i64,
    /// How many blocks.
    pub n_blocks: usize,
    /// First row, in milliseconds; 0 with none.
    pub min_time_ms: i64,
    /// Last row.
    pub max_time_ms: i64,
    /// Distinct series.
    pub n_series: u64,
    /// Rows and histograms.
    pub n_rows: u64,
    /// Where the bytes are.
    pub bytes: Vec<Part>,
    /// Bytes on disk for each row.
    pub bytes_per_row: f64,
}

/// Reads the blocks of `dir`. Takes no lock and changes nothing.
///
/// # Errors
/// When there is no such block, one of them is damaged (see [`super::verify`]), or the disk refuses.
pub fn analyze(dir: &Arc<dyn Dir>, options: &AnalyzeOptions<'_>) -> Result<Analysis, TsdbError> {
    let cache = cache();
    let (mut names, _) = folders(&**dir)?;
    names.retain(|name| options.block.is_none_or(|only| only == name));
    if let (Some(name), true) = (options.block, names.is_empty()) {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(TsdbError::io("find block", name.as_ref())(missing));
    }
    let mut analysis = tally(dir, &names, options, &cache)?;
    if options.block.is_none() {
        for tier in super::tiers(dir)? {
            let (names, _) = folders(&*tier.dir)?;
            let of_tier = tally(&tier.dir, &names, options, &cache)?;
            analysis.tiers.push(TierAnalysis {
                folder: tier.path,
                interval_ms: tier.interval_ms,
                n_blocks: of_tier.blocks.len(),
                min_time_ms: of_tier.min_time_ms,
                max_time_ms: of_tier.max_time_ms,
                n_series: of_tier.n_series,
                n_rows: of_tier.n_samples,
                bytes: of_tier.bytes,
                bytes_per_row: of_tier.bytes_per_sample,
            });
        }
    }
    Ok(analysis)
}

fn tally(
    dir: &Arc<dyn Dir>,
    names: &[String],
    options: &AnalyzeOptions<'_>,
    cache: &Arc<BlockCache>,
) -> Result<Analysis, TsdbError> {
    let mut tally = Tally::new(options.matchers);
    for name in names {
        let block = match Block::open(dir, name, cache) {
            Ok(block) => block,
            // Compaction or retention of a server removed it meanwhile.
            Err(_) if !dir.exists(name.as_ref()) => continue,
            Err(err) => return Err(err),
        };
        tally.add(&block)?;
    }
    Ok(tally.finish(options.limit))
}
