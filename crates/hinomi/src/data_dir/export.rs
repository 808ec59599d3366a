//! `hinomi tsdb export`: blocks for Prometheus, one a day.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use model::TimeRange;
use promdata::BlockWriter;
use stdx::{Dir, DiskDir};
use storage::SelectHints;
use ulid::Ulid;

use super::{Selected, Selection};
use crate::say;

/// Length of a block. Chosen: few blocks, and Prometheus merges no further than a tenth of its retention.
const BLOCK_MS: i64 = 24 * 60 * 60 * 1000;

/// Writes `selection` to the folder `to`.
pub(super) fn prometheus(to: &Path, selection: &Selection) -> Result<()> {
    let selected = selection.open()?;
    let out: Arc<dyn Dir> = Arc::new(DiskDir::anywhere());
    // promtool wants the folder of the log to be there, and be it empty.
    out.create_dir_all(&to.join("wal")).with_context(|| format!("cannot make {}", to.display()))?;
    let Some(span) = selected.span() else {
        anyhow::bail!("{} holds no samples of that time", selection.data_dir.display())
    };
    let (from_ms, to_ms) = (span.start_ms, span.end_ms);
    let (mut n_blocks, mut n_samples) = (0u64, 0u64);
    let mut start_ms = from_ms.div_euclid(BLOCK_MS) * BLOCK_MS;
    while start_ms <= to_ms {
        let window = TimeRange::new(start_ms.max(from_ms), (start_ms + BLOCK_MS - 1).min(to_ms));
        if let Some((ulid, n)) = one_block(&selected, &out, to, window)? {
            n_blocks += 1;
            n_samples += n;
            say(&format!("{ulid}: {n} samples"));
        }
        start_ms += BLOCK_MS;
    }
    say(&format!("{n_blocks} blocks with {n_samples} samples written to {}", to.display()));
    Ok(())
}

fn one_block(
    selected: &Selected<'_>,
    out: &Arc<dyn Dir>,
    to: &Path,
    window: TimeRange,
) -> Result<Option<(String, u64)>> {
    // The index begins with all symbols, so labels are read once before samples are.
    let mut symbols = BTreeSet::new();
    let mut labels = selected.select(window, &SelectHints { labels_only: true, ..SelectHints::default() })?;
    while let Some(series) = labels.next()? {
        symbols.extend(series.labels.iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]));
    }
    if symbols.is_empty() {
        return Ok(None);
    }
    let ulid = new_ulid(window.start_ms)?;
    let mut writer = BlockWriter::begin(Arc::clone(out), to, &ulid, symbols)?;
    let mut set = selected.select(window, &SelectHints::default())?;
    while let Some(series) = set.next()? {
        writer.add(&series)?;
    }
    Ok(writer.finish()?.map(|meta| (ulid, meta.stats.num_samples)))
}

/// A name for a block that begins at `start_ms`.
pub(super) fn new_ulid(start_ms: i64) -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("no random numbers from the system")?;
    Ok(Ulid::from_parts(start_ms.max(0).unsigned_abs(), u128::from_le_bytes(random)).to_string())
}
