//! Answers selections over head and blocks as one.
//!
//! The head is looked at before the list of blocks: what leaves the head is in a block by then, so that a reader meets
//! a sample at least once, and takes it once. Pages of blocks are read when their series comes up.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Matcher, TimeRange};
use storage::{QueryError, SelectHints, Series, SeriesSet, StorageError, merge_series};

use crate::block::Block;
use crate::compact::decode_chunks;
use crate::db::Db;
use crate::error::TsdbError;
use crate::head::SeriesSnapshot;

/// One place that has series, sorted by labels.
enum Source {
    Head { series: std::vec::IntoIter<SeriesSnapshot>, range: TimeRange, labels_only: bool },
    Block(Box<dyn SeriesSet + Send>),
}

impl Source {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        match self {
            Self::Block(set) => set.next(),
            Self::Head { series, range, labels_only } => {
                series.next().map(|one| read_head(one, *range, *labels_only)).transpose()
            }
        }
    }
}

/// The answer to a selection; blocks first, then the head, so that of equal times the block's sample stays.
struct MergedSeries {
    sources: Vec<(Source, Option<Series>)>,
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
                let Some(series) = std::mem::replace(peeked, source.next()?) else { continue };
                joined = Some(match joined {
                    None => series,
                    Some(first) => merge_series(first, series),
                });
            }
            // A chunk may overlap the range without a sample in it.
            if let Some(series) = joined
                && (self.labels_only || !series.is_empty())
            {
                return Ok(Some(series));
            }
        }
    }
}

fn read_head(one: SeriesSnapshot, range: TimeRange, labels_only: bool) -> Result<Series, QueryError> {
    if labels_only {
        return Ok(Series::floats(one.labels, Arc::default(), Vec::new()));
    }
    let samples = decode_chunks(one.chunks.iter().map(|chunk| &chunk.bytes[..])).map_err(|err| {
        QueryError::Storage(StorageError::from(TsdbError::corrupt("head".as_ref(), err.to_string())))
    })?;
    let start = samples.timestamps.partition_point(|t_ms| *t_ms < range.start_ms);
    let end = samples.timestamps.partition_point(|t_ms| *t_ms <= range.end_ms).max(start);
    let (mut timestamps, mut values) = (samples.timestamps, samples.values);
    timestamps.truncate(end);
    timestamps.drain(..start);
    values.truncate(end);
    values.drain(..start);
    Ok(Series::floats(one.labels, Arc::new(timestamps), values))
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
    let labels_only = hints.labels_only;
    let mut sources = Vec::new();
    for block in blocks_in(db, range) {
        sources.push((Source::Block(block.select(matchers, range, hints)?), None));
    }
    sources.push((Source::Head { series: head.into_iter(), range, labels_only }, None));
    Ok(Box::new(MergedSeries { sources, labels_only, begun: false }))
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
pub(crate) fn names(db: &Db, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, QueryError> {
    let mut out = BTreeSet::new();
    db.head().read().label_names(matchers, range, &mut out);
    for block in blocks_in(db, range) {
        block.label_names(matchers, &mut out)?;
    }
    Ok(out.into_iter().collect())
}

/// See `storage::Queryable::label_values`.
pub(crate) fn values(
    db: &Db,
    name: &str,
    matchers: &[Matcher],
    range: TimeRange,
) -> Result<Vec<String>, QueryError> {
    let mut out = BTreeSet::new();
    db.head().read().label_values(name, matchers, range, &mut out);
    for block in blocks_in(db, range) {
        block.label_values(name, matchers, &mut out)?;
    }
    Ok(out.into_iter().collect())
}
