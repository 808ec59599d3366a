//! `hinomi tsdb import prometheus`: blocks one by one, then the log in windows of two hours.
//!
//! Each block becomes one of ours, whose `sources` name it: a second run passes over what is there, so an import that was
//! cut off goes on where it ended. Blocks may overlap with what is stored: compaction joins them, and the sample that
//! was stored first stays.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use model::TimeRange;
use promdata::{BlockReader, PromDataError, is_block_name, read_wal};
use stdx::{Dir, DiskDir};
use storage::{QueryError, Series, SeriesSet, StorageError, VecSeriesSet};
use tsdb::Db;

use crate::say;

/// The log is read in parts, since it is held in memory.
const WINDOW_MS: i64 = 2 * 60 * 60 * 1000;
/// Series between two lines of progress.
const PROGRESS_SERIES: u64 = 100_000;

/// A block being read, as a set of series; says how far it is.
struct Walk {
    block: BlockReader,
    n_series: u64,
    n_samples: u64,
    /// Why it ended early.
    failed: Option<PromDataError>,
}

impl SeriesSet for Walk {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        let series = self.block.next_series().map_err(|err| {
            let reason = err.to_string();
            self.failed = Some(err);
            QueryError::Storage(StorageError::Corrupt { what: self.block.meta().ulid.clone(), reason })
        })?;
        if let Some(series) = &series {
            self.n_series += 1;
            self.n_samples += (series.values.len() + series.histograms.len()) as u64;
            if self.n_series.is_multiple_of(PROGRESS_SERIES) {
                eprintln!("  {:.0} %, {} series", self.block.progress() * 100.0, self.n_series);
            }
        }
        Ok(series)
    }
}

/// Takes over `from`.
pub(super) fn prometheus(from: &Path, data_dir: &Path) -> Result<()> {
    let shown = from.display();
    let source: Arc<dyn Dir> = Arc::new(DiskDir::anywhere());
    let entries = source.list(from).with_context(|| format!("cannot list {shown}"))?;
    let blocks: Vec<&str> =
        entries.iter().filter(|e| e.is_dir && is_block_name(&e.name)).map(|e| e.name.as_str()).collect();
    let wal = from.join("wal");
    anyhow::ensure!(
        !blocks.is_empty() || source.exists(&wal),
        "{shown} is no data directory of Prometheus: there is neither a block nor a folder named wal"
    );
    let db = super::open(data_dir)?;
    let (mut n_samples, mut failures) = (0, Vec::new());
    for (idx, name) in blocks.iter().enumerate() {
        let place = format!("block {} of {}, {name}", idx + 1, blocks.len());
        if db.has_source(name) {
            say(&format!("{place}: here already"));
            continue;
        }
        match one_block(&db, &source, &from.join(name), name) {
            Ok((n_series, n)) => {
                n_samples += n;
                say(&format!("{place}: {n_series} series, {n} samples"));
            }
            Err(err) => {
                eprintln!("{place}: {err:#}");
                failures.push(*name);
            }
        }
    }
    if source.exists(&wal) {
        n_samples += log(&db, &*source, &wal)?;
    }
    db.close()?;
    say(&format!("{n_samples} samples imported into {}", data_dir.display()));
    anyhow::ensure!(failures.is_empty(), "not imported: {}; everything else was", failures.join(", "));
    Ok(())
}

fn one_block(db: &Db, source: &Arc<dyn Dir>, folder: &Path, name: &str) -> Result<(u64, u64)> {
    let block = BlockReader::open(Arc::clone(source), folder)?;
    let mut walk = Walk { block, n_series: 0, n_samples: 0, failed: None };
    let imported = db.import(name, &mut walk);
    if let Some(err) = walk.failed {
        return Err(err.into());
    }
    imported?;
    Ok((walk.n_series, walk.n_samples))
}

/// Returns how many samples were in the log.
fn log(db: &Db, source: &dyn Dir, wal: &Path) -> Result<u64> {
    // An empty range reads nothing but the span.
    let (_, found) = read_wal(source, wal, TimeRange::new(0, -1))?;
    found.damage.iter().for_each(|damage| eprintln!("log: {damage}"));
    let Some((first_ms, last_ms)) = found.span else {
        say("log: empty");
        return Ok(0);
    };
    let mut n_samples = 0;
    let mut start_ms = first_ms.div_euclid(WINDOW_MS) * WINDOW_MS;
    while start_ms <= last_ms {
        let window = TimeRange::new(start_ms, start_ms + WINDOW_MS - 1);
        let (series, report) = read_wal(source, wal, window)?;
        n_samples += report.n_samples;
        say(&format!("log: {} series, {} samples of two hours", series.len(), report.n_samples));
        db.import(
            &format!("wal-{start_ms}-{}-{}", report.n_segments, report.n_samples),
            &mut VecSeriesSet::new(series),
        )?;
        start_ms += WINDOW_MS;
    }
    Ok(n_samples)
}
