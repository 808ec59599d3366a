//! Answers selections over head and blocks as one.
//!
//! The head is looked at before the list of blocks: what leaves the head is in a block by then, so that a reader meets
//! a sample at least once, and takes it once. Pages of blocks are read when their series comes up.

mod head;
mod newest;
mod turns;

use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use storage::{FirstTexts, Joiner, QueryError, RolledUp, SelectHints, Series, SeriesSet};

use crate::block::Block;
use crate::db::Db;
use crate::db::tiers::{FromTiers, RawSet};
use head::HeadSet;
pub(crate) use newest::newest;
use turns::Turns;

/// A part of the store that answers.
struct Source {
    set: Box<dyn SeriesSet>,
    /// Its next series.
    peeked: Option<Series>,
    /// What has a lower turn is older than all of this.
    turn: usize,
}

impl Source {
    fn new(set: Box<dyn SeriesSet>, turn: usize) -> Self {
        Self { set, peeked: None, turn }
    }
}

/// The answer to a selection; blocks first, then the head, so that of equal times the block's sample stays.
struct MergedSeries {
    /// By rising turn.
    sources: Vec<Source>,
    joiner: Joiner,
    labels_only: bool,
    begun: bool,
    rolled_up: Vec<RolledUp>,
}

impl MergedSeries {
    fn new(sources: Vec<Source>, labels_only: bool, rolled_up: Vec<RolledUp>) -> Self {
        Self { sources, joiner: Joiner::default(), labels_only, begun: false, rolled_up }
    }
}

impl SeriesSet for MergedSeries {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        if !self.begun {
            self.begun = true;
            for source in &mut self.sources {
                source.peeked = source.set.next()?;
            }
        }
        loop {
            let peeked = self.sources.iter().filter_map(|source| source.peeked.as_ref());
            let Some(labels) = peeked.map(|part| &part.labels).min().cloned() else { return Ok(None) };
            // Of the turns that are over, and of the one that is not.
            let (mut joined, mut own): (Option<Series>, Option<(usize, Series)>) = (None, None);
            for source in &mut self.sources {
                if source.peeked.as_ref().is_none_or(|part| part.labels != labels) {
                    continue;
                }
                let Some(series) = std::mem::replace(&mut source.peeked, source.set.next()?) else {
                    continue;
                };
                own = Some(match own.take() {
                    Some((turn, first)) if turn == source.turn => (turn, self.joiner.join(first, series)),
                    Some((_, older)) => {
                        joined = Some(behind(joined, older));
                        (source.turn, series)
                    }
                    None => (source.turn, series),
                });
            }
            let joined = own.map(|(_, newest)| behind(joined, newest));
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
        self.sources.iter().map(|source| source.set.n_series_max()).max().unwrap_or(0)
    }

    fn cuts(&mut self, n: usize) -> Vec<Labels> {
        let largest = self.sources.iter_mut().max_by_key(|source| source.set.n_series_max());
        largest.map(|source| source.set.cuts(n)).unwrap_or_default()
    }

    fn split<'s>(&mut self, n: usize, cuts: &[Labels]) -> Vec<Box<dyn SeriesSet + 's>>
    where
        Self: 's,
    {
        let mut shares: Vec<Self> =
            (0..n).map(|_| Self::new(Vec::new(), self.labels_only, self.rolled_up.clone())).collect();
        for mut source in self.sources.drain(..) {
            for (share, set) in shares.iter_mut().zip(source.set.split(n, cuts)) {
                share.sources.push(Source { set, peeked: None, turn: source.turn });
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
    let turns = if hints.summaries && is_raw {
        Turns::of_blocks(blocks, head.first_ms())
    } else {
        Turns::one(blocks)
    };
    let mut sources: Vec<Source> = Vec::new();
    if let Some(set) = set {
        sources.push(Source::new(Box::new(set), 0));
    }
    let rules = &db.options().retention_rules;
    for (turn, block) in &turns.parts {
        let summaries = hints.summaries && is_raw && turns.is_alone(*turn);
        let hints = &SelectHints { summaries, ..hints.clone() };
        if block.range().start_ms >= floor_ms {
            sources.push(Source::new(block.select(matchers, range, hints)?, *turn));
        } else if rules.is_empty() {
            let range = TimeRange::new(range.start_ms.max(floor_ms), range.end_ms);
            if range.start_ms <= range.end_ms && block.range().overlaps(range) {
                sources.push(Source::new(block.select(matchers, range, hints)?, *turn));
            }
        } else {
            let set = block.select(matchers, range, hints)?;
            sources.push(Source::new(Box::new(RawSet { set, floor_ms, rules: rules.clone() }), *turn));
        }
    }
    sources.push(Source::new(Box::new(head), turns.head));
    sources.sort_by_key(|source| source.turn);
    Ok(Box::new(MergedSeries::new(sources, hints.labels_only, parts)))
}

/// All samples of `blocks` within `range`; of equal times the first block's.
pub(crate) fn select_blocks(blocks: &[Arc<Block>], range: TimeRange) -> Result<impl SeriesSet, QueryError> {
    let mut sources = Vec::new();
    for block in blocks {
        sources.push(Source::new(block.select(&[], range, &SelectHints::default())?, 0));
    }
    Ok(MergedSeries::new(sources, false, Vec::new()))
}

/// `later` behind what there is of older turns.
fn behind(older: Option<Series>, later: Series) -> Series {
    let Some(mut older) = older else { return later };
    older.append(later);
    older
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
