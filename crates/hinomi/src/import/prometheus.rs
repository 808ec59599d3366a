//! A Prometheus data directory: blocks one by one, then the log in windows.
//!
//! Blocks may overlap with what is stored: compaction joins them, and the sample that was stored first stays.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use model::TimeRange;
use promdata::{BlockReader, PromDataError, is_block_name, read_wal, read_wal_beside};
use stdx::Dir;
use storage::{QueryError, Series, SeriesSet, StorageError, VecSeriesSet};

use super::{Ended, Import, OnItem, Tracker};

/// The log is read in parts, since it is held in memory.
const WINDOW_MS: i64 = 2 * 60 * 60 * 1000;
/// A part is shorter where it would hold more samples. Chosen: 24 bytes each and some for sorting, under 300 MB.
const WINDOW_SAMPLES: u64 = 5_000_000;
/// Series between two looks at whether to go on. Chosen: some milliseconds of work.
const LOOK_SERIES: u64 = 256;

/// A block being read, as a set of series; says how far it is.
struct Walk<'a> {
    block: BlockReader,
    tracker: &'a Tracker,
    /// Bytes of the blocks before, and of this one.
    bytes_before: u64,
    bytes: u64,
    n_series: u64,
    n_samples: u64,
    /// Why it ended early.
    failed: Option<PromDataError>,
}

impl Walk<'_> {
    fn look(&self) -> Result<(), QueryError> {
        if self.tracker.is_stopped() {
            return Err(QueryError::Storage(StorageError::Closed));
        }
        let read = (self.bytes as f64 * self.block.progress()) as u64;
        self.tracker.update(|numbers| numbers.bytes_done = self.bytes_before + read);
        Ok(())
    }
}

impl SeriesSet for Walk<'_> {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        if self.n_series.is_multiple_of(LOOK_SERIES) {
            self.look()?;
        }
        let series = self.block.next_series().map_err(|err| {
            let reason = err.to_string();
            self.failed = Some(err);
            QueryError::Storage(StorageError::Corrupt { what: self.block.meta().ulid.clone(), reason })
        })?;
        if let Some(series) = &series {
            self.n_series += 1;
            self.n_samples += (series.values.len() + series.histograms.len()) as u64;
        }
        Ok(series)
    }
}

/// Bytes of all files of a folder and the folders in it.
fn folder_bytes(files: &dyn Dir, folder: &Path) -> u64 {
    let entries = files.list(folder).unwrap_or_default();
    let of = |entry: &stdx::dir::DirEntry| {
        if entry.is_dir { folder_bytes(files, &folder.join(&entry.name)) } else { entry.len_bytes }
    };
    entries.iter().map(of).sum()
}

/// Whether `path` is a data directory.
pub(super) fn check(files: &dyn Dir, path: &Path) -> Result<(), String> {
    let shown = path.display();
    let entries = files.list(path).map_err(|err| format!("cannot list {shown}: {err}"))?;
    if entries.iter().any(|entry| entry.is_dir && (is_block_name(&entry.name) || entry.name == "wal")) {
        return Ok(());
    }
    Err(format!(
        "{shown} is no data directory of Prometheus: there is neither a block nor a folder named wal"
    ))
}

/// Takes over a data directory.
pub(super) fn run(import: &Import<'_>, files: &Arc<dyn Dir>, on_item: &mut OnItem<'_>) -> Result<Ended> {
    let (from, tracker) = (import.path, import.tracker);
    let shown = from.display();
    let entries = files.list(from).with_context(|| format!("cannot list {shown}"))?;
    let blocks: Vec<&str> =
        entries.iter().filter(|e| e.is_dir && is_block_name(&e.name)).map(|e| e.name.as_str()).collect();
    let logs = ["wal", "wbl"].map(|name| from.join(name));
    let sizes: Vec<u64> = blocks.iter().map(|name| folder_bytes(&**files, &from.join(name))).collect();
    let wal_bytes: u64 = logs.iter().map(|folder| folder_bytes(&**files, folder)).sum();
    tracker.update(|numbers| {
        numbers.n_items = blocks.len() as u64;
        numbers.bytes = sizes.iter().sum::<u64>() + wal_bytes;
    });
    let mut bytes_done = 0;
    for (idx, (name, bytes)) in blocks.iter().zip(sizes).enumerate() {
        let place = format!("block {} of {}, {name}", idx + 1, blocks.len());
        tracker.update(|numbers| (*name).clone_into(&mut numbers.current));
        let before = bytes_done;
        bytes_done += bytes;
        if import.is_here(name) {
            tracker.update(|numbers| numbers.n_here += 1);
            tracker.item(name, bytes_done, on_item, &format!("{place}: here already"))?;
            continue;
        }
        let read = one_block(import, files, name, before, bytes);
        match read {
            Ok((n_series, n_samples)) => {
                tracker.update(|numbers| {
                    numbers.n_series += n_series;
                    numbers.n_samples += n_samples;
                });
                let line = format!("{place}: {n_series} series, {n_samples} samples");
                tracker.item(name, bytes_done, on_item, &line)?;
            }
            Err(_) if tracker.is_stopped() => return Ok(Ended::Stopped),
            Err(Failed::Block(err)) => {
                let reason = format!("{err:#}");
                eprintln!("{place}: {reason}");
                tracker.update(|numbers| {
                    numbers.failed.push(((*name).to_owned(), reason));
                    numbers.n_done += 1;
                });
            }
            Err(Failed::Store(err)) => return Err(err),
        }
    }
    if !logs.iter().any(|folder| files.exists(folder)) {
        return Ok(Ended::Whole);
    }
    beside(import, files, on_item)?;
    log(import, files, on_item)
}

/// Why a block was not imported.
enum Failed {
    /// It is damaged, or of a kind that is not read: the others may be good.
    Block(anyhow::Error),
    /// The store cannot write: neither can it the others.
    Store(anyhow::Error),
}

fn one_block(
    import: &Import<'_>,
    files: &Arc<dyn Dir>,
    name: &str,
    bytes_before: u64,
    bytes: u64,
) -> Result<(u64, u64), Failed> {
    let folder = import.path.join(name);
    let block = BlockReader::open(Arc::clone(files), &folder).map_err(|err| Failed::Block(err.into()))?;
    let tracker = import.tracker;
    let mut walk = Walk { block, tracker, bytes_before, bytes, n_series: 0, n_samples: 0, failed: None };
    let imported = import.db.import(name, &mut walk);
    if let Some(err) = walk.failed {
        return Err(Failed::Block(err.into()));
    }
    imported.map_err(|err| Failed::Store(err.into()))?;
    Ok((walk.n_series, walk.n_samples))
}

/// Exemplars and metadata, which stand in the log only.
fn beside(import: &Import<'_>, files: &Arc<dyn Dir>, on_item: &mut OnItem<'_>) -> Result<()> {
    let found = read_wal_beside(&**files, import.path)?;
    let n_families = found.metadata.len();
    let n_exemplars = import.db.import_beside(&found.exemplars, &found.metadata)?;
    if n_exemplars > 0 || n_families > 0 {
        on_item("", &format!("log: {n_exemplars} exemplars, metadata of {n_families} metric families"))?;
    }
    Ok(())
}

fn log(import: &Import<'_>, files: &Arc<dyn Dir>, on_item: &mut OnItem<'_>) -> Result<Ended> {
    let (tracker, from) = (import.tracker, import.path);
    tracker.update(|numbers| "log".clone_into(&mut numbers.current));
    // An empty range reads nothing but the totals.
    let (_, found) = read_wal(&**files, from, TimeRange::new(0, -1))?;
    for damage in &found.damage {
        eprintln!("log: {damage}");
        tracker.update(|numbers| numbers.failed.push(("a part of the log".to_owned(), damage.clone())));
    }
    let Some((first_ms, last_ms)) = found.span else {
        on_item("", "log: empty")?;
        return Ok(Ended::Whole);
    };
    let window_ms = window_ms(first_ms, last_ms, found.n_samples_all);
    let mut start_ms = first_ms.div_euclid(window_ms) * window_ms;
    let n_windows = ((last_ms - start_ms) / window_ms + 1).unsigned_abs();
    tracker.update(|numbers| numbers.n_items += n_windows);
    let (bytes_done, bytes) = (tracker.numbers().bytes_done, tracker.numbers().bytes);
    for window in 1..=n_windows {
        if tracker.is_stopped() {
            return Ok(Ended::Stopped);
        }
        let range = TimeRange::new(start_ms, start_ms + window_ms - 1);
        let (series, report) = read_wal(&**files, from, range)?;
        let n_samples = report.n_samples;
        let source = format!("wal-{start_ms}-{}-{n_samples}", report.n_segments);
        let line = format!("log: part {window} of {n_windows}, {} series, {n_samples} samples", series.len());
        let read = bytes_done + (bytes.saturating_sub(bytes_done)) * window / n_windows;
        if import.is_here(&source) {
            tracker.update(|numbers| numbers.n_here += 1);
            tracker.item(&source, read, on_item, &format!("{line}: here already"))?;
        } else {
            let n_series = series.len() as u64;
            import.db.import(&source, &mut VecSeriesSet::new(series))?;
            tracker.update(|numbers| {
                numbers.n_series += n_series;
                numbers.n_samples += n_samples;
            });
            tracker.item(&source, read, on_item, &line)?;
        }
        start_ms += window_ms;
    }
    Ok(Ended::Whole)
}

/// Two hours, or a half of that again and again, until a part holds no more samples than memory should.
fn window_ms(first_ms: i64, last_ms: i64, n_samples: u64) -> i64 {
    let span_ms = (last_ms - first_ms).max(1) as f64;
    let mut window_ms = WINDOW_MS;
    while n_samples as f64 * (window_ms as f64 / span_ms).min(1.0) > WINDOW_SAMPLES as f64
        && window_ms > 60_000
    {
        window_ms /= 2;
    }
    window_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_log_are_short_where_samples_are_many() {
        let three_hours = 3 * 60 * 60 * 1000;
        for (n_samples, expected_ms) in [(1_000, WINDOW_MS), (30_000_000, WINDOW_MS / 4), (1 << 60, 56_250)] {
            assert_eq!(window_ms(0, three_hours, n_samples), expected_ms, "{n_samples}");
        }
    }
}
