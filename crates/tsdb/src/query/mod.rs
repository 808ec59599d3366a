//! Answers selections over head and blocks as one.
//!
//! The head is looked at before the list of blocks: what leaves the head is in a block by then, so that a reader meets
//! a sample at least once, and takes it once. Chunks of blocks are read when their series comes up.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use storage::{QueryError, SelectHints, Series, SeriesSet, StorageError, merge_series};

use crate::block::Block;
use crate::compact::decode_chunks;
use crate::db::Db;
use crate::error::TsdbError;
use crate::head::{MemChunk, SeriesSnapshot};
use crate::index::{ChunkEntry, LabelIndex, label_names, label_values, resolve};

/// Chunks of one series from one place.
enum Chunks {
    Memory(Vec<MemChunk>),
    Disk(Arc<Block>, Vec<ChunkEntry>),
}

/// A series as one place has it.
struct Part {
    labels: Labels,
    chunks: Chunks,
}

/// One place that has series, and where it is.
enum Source {
    Head(std::vec::IntoIter<SeriesSnapshot>),
    Block { block: Arc<Block>, numbers: std::vec::IntoIter<u64>, range: TimeRange },
}

impl Source {
    fn next(&mut self) -> Result<Option<Part>, QueryError> {
        match self {
            Self::Head(series) => {
                Ok(series.next().map(|one| Part { labels: one.labels, chunks: Chunks::Memory(one.chunks) }))
            }
            Self::Block { block, numbers, range } => {
                for number in numbers.by_ref() {
                    let entry =
                        block.index.series(number).map_err(|reason| fail(block.corrupt_index(reason)))?;
                    let mut chunks = entry.chunks;
                    chunks.retain(|chunk| TimeRange::new(chunk.first_ms, chunk.last_ms).overlaps(*range));
                    if !chunks.is_empty() {
                        let chunks = Chunks::Disk(Arc::clone(block), chunks);
                        return Ok(Some(Part { labels: entry.labels, chunks }));
                    }
                }
                Ok(None)
            }
        }
    }
}

fn fail(err: TsdbError) -> QueryError {
    QueryError::Storage(StorageError::from(err))
}

/// The answer to a selection; blocks first, then the head, so that of equal times the block's sample stays.
struct MergedSeries {
    sources: Vec<(Source, Option<Part>)>,
    range: TimeRange,
    labels_only: bool,
    begun: bool,
}

impl SeriesSet for MergedSeries {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        if !self.begun {
            self.begun = true;
            for (source, peeked) in &mut self.sources {
                *peeked = source.next()?;
            }
        }
        loop {
            let peeked = self.sources.iter().filter_map(|(_, peeked)| peeked.as_ref());
            let Some(labels) = peeked.map(|part| &part.labels).min().cloned() else { return Ok(None) };
            let mut joined: Option<Series> = None;
            for (source, peeked) in &mut self.sources {
                if peeked.as_ref().is_none_or(|part| part.labels != labels) {
                    continue;
                }
                let Some(part) = std::mem::replace(peeked, source.next()?) else { continue };
                let series = read(part, self.range, self.labels_only)?;
                joined = Some(match joined {
                    None => series,
                    Some(first) => merge_series(first, series),
                });
            }
            // A chunk may overlap the range without a sample in it.
            if let Some(series) = joined
                && (self.labels_only || !series.values.is_empty())
            {
                return Ok(Some(series));
            }
        }
    }
}

fn read(part: Part, range: TimeRange, labels_only: bool) -> Result<Series, QueryError> {
    if labels_only {
        return Ok(Series::floats(part.labels, Arc::default(), Vec::new()));
    }
    let samples = match &part.chunks {
        Chunks::Memory(chunks) => decode_chunks(chunks.iter().map(|chunk| &chunk.bytes[..]))
            .map_err(|err| fail(TsdbError::corrupt("head".as_ref(), err.to_string())))?,
        Chunks::Disk(block, entries) => {
            let chunks = entries
                .iter()
                .map(|entry| block.chunk(entry))
                .collect::<Result<Vec<_>, _>>()
                .map_err(fail)?;
            decode_chunks(chunks.iter().map(|chunk| &chunk[..]))
                .map_err(|err| fail(block.corrupt(&entries[0], &err.to_string())))?
        }
    };
    let start = samples.timestamps.partition_point(|t_ms| *t_ms < range.start_ms);
    let end = samples.timestamps.partition_point(|t_ms| *t_ms <= range.end_ms).max(start);
    let (mut timestamps, mut values) = (samples.timestamps, samples.values);
    timestamps.truncate(end);
    timestamps.drain(..start);
    values.truncate(end);
    values.drain(..start);
    Ok(Series::floats(part.labels, Arc::new(timestamps), values))
}

/// See `storage::Queryable::select`.
pub(crate) fn select(
    db: &Db,
    matchers: &[Matcher],
    range: TimeRange,
    hints: &SelectHints,
) -> Result<Box<dyn SeriesSet>, QueryError> {
    let mut head =
        if range.start_ms <= range.end_ms { db.head().read().snapshot(matchers, range) } else { Vec::new() };
    head.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut sources = Vec::new();
    for block in blocks_in(db, range) {
        let numbers = resolve(&block.index, matchers).into_iter();
        sources.push((Source::Block { block, numbers, range }, None));
    }
    sources.push((Source::Head(head.into_iter()), None));
    Ok(Box::new(MergedSeries { sources, range, labels_only: hints.labels_only, begun: false }))
}

fn blocks_in(db: &Db, range: TimeRange) -> Vec<Arc<Block>> {
    let blocks = db.blocks().read();
    blocks
        .iter()
        .filter(|block| range.start_ms <= range.end_ms && block.range().overlaps(range))
        .cloned()
        .collect()
}

/// See `storage::Queryable::label_names`.
pub(crate) fn names(db: &Db, matchers: &[Matcher], range: TimeRange) -> Vec<String> {
    let mut out = BTreeSet::new();
    db.head().read().label_names(matchers, range, &mut out);
    for block in blocks_in(db, range) {
        label_names(&block.index, among(&block.index, matchers).as_deref(), &mut out);
    }
    out.into_iter().collect()
}

/// See `storage::Queryable::label_values`.
pub(crate) fn values(db: &Db, name: &str, matchers: &[Matcher], range: TimeRange) -> Vec<String> {
    let mut out = BTreeSet::new();
    db.head().read().label_values(name, matchers, range, &mut out);
    for block in blocks_in(db, range) {
        label_values(&block.index, name, among(&block.index, matchers).as_deref(), &mut out);
    }
    out.into_iter().collect()
}

/// The series that match; `None` for all.
fn among(index: &dyn LabelIndex, matchers: &[Matcher]) -> Option<Vec<u64>> {
    (!matchers.is_empty()).then(|| resolve(index, matchers))
}
