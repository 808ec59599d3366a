//! The write-ahead log: what Prometheus has not put into a block yet.
//!
//! Checkpoint first, then segments, record by record. A torn tail is normal; damage is counted and the next segment goes on.
//! Layout: Prometheus' `tsdb/docs/format/wal.md` and, for its later records, `memory.md` beside it.

mod record;
mod segment;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Labels, TimeRange};
use stdx::Dir;
use storage::{HistogramSample, Series};

use crate::error::PromDataError;
use record::{Record, Sample};

/// What was found in a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WalReport {
    /// Segments read, those of the checkpoint too.
    pub n_segments: u64,
    /// Samples within the range asked for.
    pub n_samples: u64,
    /// All samples of the log, whatever range was asked for.
    pub n_samples_all: u64,
    /// Samples whose series is not in the log.
    pub n_orphans: u64,
    /// Records of a kind that is not read, such as exemplars and metadata.
    pub n_other_records: u64,
    /// First and last time of all samples in the log, whatever range was asked for.
    pub span: Option<(i64, i64)>,
    /// What was wrong, with file and place; the rest of such a segment is not read.
    pub damage: Vec<String>,
}

#[derive(Debug, Default)]
struct Collected {
    /// Time, value, start timestamp.
    samples: Vec<(i64, f64, i64)>,
    histograms: Vec<HistogramSample>,
    deleted: Vec<TimeRange>,
}

/// Reads the log in `folder` (the one that holds `000000…`). Returns the series with samples within `range`, by labels.
/// Holds these samples in memory: ask for a part of the time where there may be many.
///
/// # Errors
/// When files cannot be read. Damage is no error: it is in the report.
pub fn read_wal(
    dir: &dyn Dir,
    folder: &Path,
    range: TimeRange,
) -> Result<(Vec<Series>, WalReport), PromDataError> {
    let mut report = WalReport::default();
    let mut names: HashMap<u64, Labels> = HashMap::new();
    let mut found: HashMap<u64, Collected> = HashMap::new();
    for path in segments(dir, folder)? {
        report.n_segments += 1;
        let bytes = dir.read(&path).map_err(PromDataError::io("read", &path))?;
        let read = segment::records(&bytes, &mut |payload| {
            let record = record::decode(payload)?;
            take(record, range, &mut names, &mut found, &mut report);
            Ok(())
        });
        if let Err((at, reason)) = read {
            report.damage.push(format!("{} at byte {at}: {reason}", path.display()));
        }
    }
    // The same labels may have had several numbers, after a series had been gone for long.
    let mut by_labels: HashMap<Labels, Collected> = HashMap::new();
    for (number, collected) in found {
        let Some(labels) = names.get(&number) else {
            report.n_orphans += (collected.samples.len() + collected.histograms.len()) as u64;
            continue;
        };
        let joined = by_labels.entry(labels.clone()).or_default();
        joined.samples.extend(collected.samples);
        joined.histograms.extend(collected.histograms);
        joined.deleted.extend(collected.deleted);
    }
    let mut series: Vec<Series> = by_labels.into_iter().map(|(labels, all)| finish(labels, all)).collect();
    series.retain(|one| !one.is_empty());
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok((series, report))
}

/// Files in the order in which they were written: the newest checkpoint's, then those after it.
fn segments(dir: &dyn Dir, folder: &Path) -> Result<Vec<PathBuf>, PromDataError> {
    let number =
        |name: &str| name.bytes().all(|b| b.is_ascii_digit()).then(|| name.parse::<u64>().ok()).flatten();
    let list = |path: &Path| dir.list(path).map_err(PromDataError::io("list", path));
    let entries = list(folder)?;
    let checkpoints = entries.iter().filter(|entry| entry.is_dir);
    let checkpoint = checkpoints
        .filter_map(|entry| {
            Some((number(entry.name.strip_prefix("checkpoint.")?)?, folder.join(&entry.name)))
        })
        .max();
    let files = |entries: &[stdx::dir::DirEntry], folder: &Path, after: Option<u64>| {
        let mut files: Vec<(u64, PathBuf)> = entries
            .iter()
            .filter(|entry| !entry.is_dir)
            .filter_map(|entry| Some((number(&entry.name)?, folder.join(&entry.name))))
            .filter(|(number, _)| after.is_none_or(|after| *number > after))
            .collect();
        files.sort();
        files.into_iter().map(|(_, path)| path).collect::<Vec<_>>()
    };
    let mut all = match &checkpoint {
        Some((_, path)) => files(&list(path)?, path, None),
        None => Vec::new(),
    };
    all.extend(files(&entries, folder, checkpoint.map(|(number, _)| number)));
    Ok(all)
}

fn take(
    record: Record,
    range: TimeRange,
    names: &mut HashMap<u64, Labels>,
    found: &mut HashMap<u64, Collected>,
    report: &mut WalReport,
) {
    let mut note = |t_ms: i64| {
        let (from, to) = report.span.unwrap_or((t_ms, t_ms));
        report.span = Some((from.min(t_ms), to.max(t_ms)));
        report.n_samples_all += 1;
        let wanted = range.contains(t_ms);
        report.n_samples += u64::from(wanted);
        wanted
    };
    match record {
        Record::Series(series) => names.extend(series),
        Record::Samples(samples) => {
            for Sample { series, t_ms, start_ms, value } in samples {
                if note(t_ms) {
                    found.entry(series).or_default().samples.push((t_ms, value, start_ms));
                }
            }
        }
        Record::Histograms(samples) => {
            for Sample { series, t_ms, start_ms, value: histogram } in samples {
                if !note(t_ms) {
                    continue;
                }
                let collected = found.entry(series).or_default();
                if model::is_stale(histogram.sum) {
                    collected.samples.push((t_ms, model::STALE_NAN, start_ms));
                } else {
                    let histogram = Arc::new(histogram);
                    collected.histograms.push(HistogramSample { t_ms, start_ms, histogram });
                }
            }
        }
        Record::Tombstones(stones) => {
            for (series, gone) in stones {
                // What is deleted is what came before.
                let collected = found.entry(series).or_default();
                collected.samples.retain(|(t_ms, ..)| !gone.contains(*t_ms));
                collected.histograms.retain(|sample| !gone.contains(sample.t_ms));
                collected.deleted.push(gone);
            }
        }
        Record::Other => report.n_other_records += 1,
    }
}

fn finish(labels: Labels, mut all: Collected) -> Series {
    // Stable: of samples at the same time the first that was written stays.
    all.samples.sort_by_key(|(t_ms, ..)| *t_ms);
    all.samples.dedup_by_key(|(t_ms, ..)| *t_ms);
    all.histograms.sort_by_key(|sample| sample.t_ms);
    all.histograms.dedup_by_key(|sample| sample.t_ms);
    if !all.samples.is_empty() {
        let is_float = |t_ms: i64| all.samples.binary_search_by_key(&t_ms, |(t_ms, ..)| *t_ms).is_ok();
        all.histograms.retain(|sample| !is_float(sample.t_ms));
    }
    let starts = if all.samples.iter().any(|(_, _, start_ms)| *start_ms != 0) {
        all.samples.iter().map(|(_, _, start_ms)| *start_ms).collect()
    } else {
        Vec::new()
    };
    let (timestamps, values) = all.samples.into_iter().map(|(t_ms, value, _)| (t_ms, value)).unzip();
    let mut series = Series::floats(labels, Arc::new(timestamps), values);
    series.starts = starts;
    series.histograms = all.histograms;
    series
}
