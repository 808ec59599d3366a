//! Answers selections over head and blocks as one.
//!
//! The head is looked at before the list of blocks: what leaves the head is in a block by then, so that a reader meets
//! a sample at least once, and takes it once. Pages of blocks are read when their series comes up.

mod groups;
mod head;
mod newest;

use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use storage::{FirstTexts, Joiner, QueryError, RolledUp, SelectHints, Series, SeriesSet};

use crate::block::Block;
use crate::db::Db;
use crate::db::tiers::{FromTiers, RawSet};
pub(crate) use groups::GroupNumbers;
use head::HeadSet;
pub(crate) use newest::{Pairs, Part, Translation, newest};

/// The answer to a selection; blocks first, then the head, so that of equal times the block's sample stays.
struct MergedSeries {
    sources: Vec<(Box<dyn SeriesSet>, Option<Series>)>,
    joiner: Joiner,
    labels_only: bool,
    begun: bool,
    rolled_up: Vec<RolledUp>,
}

impl MergedSeries {
    fn new(
        sources: Vec<(Box<dyn SeriesSet>, Option<Series>)>,
        labels_only: bool,
        rolled_up: Vec<RolledUp>,
    ) -> Self {
        Self { sources, joiner: Joiner::default(), labels_only, begun: false, rolled_up }
    }
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
                    // Asked for only where sources follow each other.
                    Some(mut first) if !first.summaries.is_empty() || !series.summaries.is_empty() => {
                        first.append(series);
                        first
                    }
                    Some(first) => self.joiner.join(first, series),
                });
            }
            // A page may overlap the range without a sample in it.
            if let Some(series) = joined
                && (self.labels_only || !series.is_empty())
            {
                return Ok(Some(series));
            }
        }
    }

    fn rolled_up(&self) -> &[RolledUp] {
        &self.rolled_up
    }

    fn n_series_max(&self) -> usize {
        // The sources mostly have the same series.
        self.sources.iter().map(|(source, _)| source.n_series_max()).max().unwrap_or(0)
    }

    fn cuts(&mut self, n: usize) -> Vec<Labels> {
        let largest = self.sources.iter_mut().max_by_key(|(source, _)| source.n_series_max());
        largest.map(|(source, _)| source.cuts(n)).unwrap_or_default()
    }

    fn split<'s>(&mut self, n: usize, cuts: &[Labels]) -> Vec<Box<dyn SeriesSet + 's>>
    where
        Self: 's,
    {
        let mut shares: Vec<Self> =
            (0..n).map(|_| Self::new(Vec::new(), self.labels_only, self.rolled_up.clone())).collect();
        for (mut source, _) in self.sources.drain(..) {
            for (share, part) in shares.iter_mut().zip(source.split(n, cuts)) {
                share.sources.push((part, None));
            }
        }
        shares.into_iter().map(|share| -> Box<dyn SeriesSet + 's> { Box::new(share) }).collect()
    }
}

/// See `storage::Queryable::select`.
pub(crate) fn select(
    db: &Db,
    matchers: &[Matcher],
    range: TimeRange,
    hints: &SelectHints,
) -> Result<Box<dyn SeriesSet>, QueryError> {
    let head = HeadSet::capture(db.head(), matchers, range, hints.labels_only);
    let blocks = blocks_in(db, range);
    let FromTiers { floor_ms, set, parts } = db.rolled_up(matchers, range, hints)?;
    // Rows take the place of some samples, so that pages are not what is asked for.
    let is_raw = range.start_ms >= floor_ms;
    let in_turn = if hints.summaries && is_raw { one_after_another(&blocks, head.first_ms()) } else { None };
    let hints = &SelectHints { summaries: in_turn.is_some(), ..hints.clone() };
    let mut sources: Vec<(Box<dyn SeriesSet>, Option<Series>)> = Vec::new();
    if let Some(set) = set {
        sources.push((Box::new(set), None));
    }
    let rules = &db.options().retention_rules;
    for block in in_turn.unwrap_or(blocks) {
        if block.range().start_ms >= floor_ms {
            sources.push((block.select(matchers, range, hints)?, None));
        } else if rules.is_empty() {
            let range = TimeRange::new(range.start_ms.max(floor_ms), range.end_ms);
            if range.start_ms <= range.end_ms && block.range().overlaps(range) {
                sources.push((block.select(matchers, range, hints)?, None));
            }
        } else {
            let set = block.select(matchers, range, hints)?;
            sources.push((Box::new(RawSet { set, floor_ms, rules: rules.clone() }), None));
        }
    }
    sources.push((Box::new(head), None));
    Ok(Box::new(MergedSeries::new(sources, hints.labels_only, parts)))
}

/// All samples of `blocks` within `range`; of equal times the first block's.
pub(crate) fn select_blocks(blocks: &[Arc<Block>], range: TimeRange) -> Result<impl SeriesSet, QueryError> {
    let mut sources: Vec<(Box<dyn SeriesSet>, Option<Series>)> = Vec::new();
    for block in blocks {
        sources.push((block.select(&[], range, &SelectHints::default())?, None));
    }
    Ok(MergedSeries::new(sources, false, Vec::new()))
}

/// The blocks by time, if neither they nor what the head holds from `head_ms` on overlap: then nothing has to be told apart
/// sample by sample. Else their order says whose sample stays.
fn one_after_another(blocks: &[Arc<Block>], head_ms: Option<i64>) -> Option<Vec<Arc<Block>>> {
    let mut blocks = blocks.to_vec();
    blocks.sort_by_key(|block| block.range().start_ms);
    let ends = blocks.iter().map(|block| block.range().end_ms);
    let begins = blocks.iter().skip(1).map(|block| block.range().start_ms);
    let last_ms = blocks.last().map(|block| block.range().end_ms);
    let are_apart = ends.zip(begins).all(|(end_ms, start_ms)| end_ms < start_ms)
        && last_ms.zip(head_ms).is_none_or(|(last_ms, head_ms)| last_ms < head_ms);
    are_apart.then_some(blocks)
}

fn blocks_in(db: &Db, range: TimeRange) -> Vec<Arc<Block>> {
    let blocks = db.blocks().read();
    blocks
        .iter()
        .filter(|block| range.start_ms <= range.end_ms && block.range().overlaps(range))
        .cloned()
        .collect()
}

fn all_blocks_in(db: &Db, range: TimeRange) -> Vec<Arc<Block>> {
    let mut blocks = blocks_in(db, range);
    db.rolled_up_blocks(range, &mut blocks);
    blocks
}

/// Whether the head has samples in `range`.
fn head_overlaps(db: &Db, range: TimeRange) -> bool {
    let (min_ms, max_ms) = db.head().span();
    range.start_ms <= range.end_ms && min_ms <= max_ms && range.overlaps(TimeRange::new(min_ms, max_ms))
}

/// See `storage::Queryable::label_names`.
pub(crate) fn names(
    db: &Db,
    matchers: &[Matcher],
    range: TimeRange,
    limit: usize,
) -> Result<Vec<String>, QueryError> {
    let mut out = FirstTexts::new(limit);
    if head_overlaps(db, range) {
        let table = db.head().table.read();
        let among = (!matchers.is_empty()).then(|| table.series.select(matchers));
        table.series.label_names(among.as_ref(), &mut out);
    }
    for block in all_blocks_in(db, range) {
        block.label_names(matchers, &mut out)?;
    }
    Ok(out.into_vec())
}

/// See `storage::Queryable::label_values`.
pub(crate) fn values(
    db: &Db,
    name: &str,
    matchers: &[Matcher],
    range: TimeRange,
    limit: usize,
) -> Result<Vec<String>, QueryError> {
    let mut out = FirstTexts::new(limit);
    if head_overlaps(db, range) {
        let table = db.head().table.read();
        let among = (!matchers.is_empty()).then(|| table.series.select(matchers));
        table.series.label_values(name, among.as_ref(), &mut out);
    }
    for block in all_blocks_in(db, range) {
        block.label_values(name, matchers, &mut out)?;
    }
    Ok(out.into_vec())
}
