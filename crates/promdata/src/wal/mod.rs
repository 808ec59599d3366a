//! The write-ahead log: what Prometheus has not put into a block yet.
//!
//! Checkpoint first, then segments, record by record, then the log of samples out of order. A torn tail is normal; damage is counted and
//! the next segment goes on.
//! Layout: Prometheus' `tsdb/docs/format/wal.md` and, for its later records, `memory.md` beside it.

mod record;
mod segment;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::labels::METRIC_NAME;
use model::{Exemplar, Labels, Metadata, MetricType, TimeRange};
use stdx::Dir;
use storage::{HistogramSample, Series};

use crate::error::PromDataError;
use record::{Record, Sample};

/// The log, in a data directory.
const WAL: &str = "wal";
/// The log of samples out of order, whose series are in the other.
const WBL: &str = "wbl";
/// The newest exemplars of a log that are kept. From Prometheus, whose memory holds as many by default.
const EXEMPLARS_MAX: usize = 100_000;
/// Metric families of which metadata is kept. Chosen: as many as our store remembers.
const METADATA_MAX: usize = 100_000;

/// What a log holds besides samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Beside {
    /// The newest exemplars, in the order in which they were written, with their series.
    pub exemplars: Vec<(Labels, Exemplar)>,
    /// What was said last of each metric family.
    pub metadata: BTreeMap<String, Metadata>,
}

/// What was found in a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WalReport {
    /// Segments read, those of the checkpoint too.
    pub n_segments: u64,
    /// Samples within the range asked for, each counted once.
    pub n_samples: u64,
    /// All records of samples, whatever range was asked for.
    pub n_samples_all: u64,
    /// Samples whose series is not in the log.
    pub n_orphans: u64,
    /// Records that say nothing here: markers of Prometheus' own.
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

/// Hands every record of the log and of the one beside it to `take`.
fn each_record(
    dir: &dyn Dir,
    data_dir: &Path,
    report: &mut WalReport,
    take: &mut dyn FnMut(Record, &mut WalReport),
) -> Result<(), PromDataError> {
    for folder in [WAL, WBL].map(|name| data_dir.join(name)) {
        if !dir.exists(&folder) {
            continue;
        }
        for path in segments(dir, &folder)? {
            report.n_segments += 1;
            let bytes = dir.read(&path).map_err(PromDataError::io("read", &path))?;
            let read = segment::records(&bytes, &mut |payload| {
                take(record::decode(payload)?, report);
                Ok(())
            });
            if let Err((at, reason)) = read {
                report.damage.push(format!("{} at byte {at}: {reason}", path.display()));
            }
        }
    }
    Ok(())
}

/// Reads what the log of `data_dir` says besides samples.
///
/// # Errors
/// When files cannot be read. Damage is no error: [`read_wal`] reports it.
pub fn read_wal_beside(dir: &dyn Dir, data_dir: &Path) -> Result<Beside, PromDataError> {
    let mut names: HashMap<u64, Labels> = HashMap::new();
    let mut exemplars: VecDeque<Sample<Exemplar>> = VecDeque::new();
    let mut metadata: HashMap<u64, Metadata> = HashMap::new();
    each_record(dir, data_dir, &mut WalReport::default(), &mut |record, _| match record {
        Record::Series(series) => names.extend(series),
        Record::Exemplars(more) => {
            exemplars.extend(more);
            exemplars.drain(..exemplars.len().saturating_sub(EXEMPLARS_MAX));
        }
        Record::Metadata(more) => metadata.extend(more),
        _ => {}
    })?;
    let mut out = Beside::default();
    for Sample { series, value, .. } in exemplars {
        if let Some(labels) = names.get(&series) {
            out.exemplars.push((labels.clone(), value));
        }
    }
    for (series, said) in metadata {
        let name = names.get(&series).and_then(|labels| labels.get(METRIC_NAME));
        let Some(family) = name.map(|name| family_of(name, said.metric_type)) else { continue };
        if out.metadata.len() < METADATA_MAX || out.metadata.contains_key(family) {
            out.metadata.insert(family.to_owned(), said);
        }
    }
    Ok(out)
}

/// The metric family of a series, whose name may say which part of it it is.
fn family_of(name: &str, metric_type: MetricType) -> &str {
    let parts: &[&str] = match metric_type {
        MetricType::Histogram => &["_bucket", "_count", "_sum"],
        MetricType::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}

/// Reads the log of `data_dir`, in its folders `wal` and, of samples out of order, `wbl`. Returns the series with samples within
/// `range`, by labels. Holds these samples in memory: ask for a part of the time where there may be many.
///
/// # Errors
/// When files cannot be read. Damage is no error: it is in the report.
pub fn read_wal(
    dir: &dyn Dir,
    data_dir: &Path,
    range: TimeRange,
) -> Result<(Vec<Series>, WalReport), PromDataError> {
    let mut report = WalReport::default();
    let mut names: HashMap<u64, Labels> = HashMap::new();
    let mut found: HashMap<u64, Collected> = HashMap::new();
    each_record(dir, data_dir, &mut report, &mut |record, report| {
        take(record, range, &mut names, &mut found, report);
    })?;
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
    // Those out of order stand in both logs.
    report.n_samples = series.iter().map(|one| (one.values.len() + one.histograms.len()) as u64).sum();
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
        range.contains(t_ms)
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
        Record::Exemplars(_) | Record::Metadata(_) => {}
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
