//! Answers selections over head and blocks as one.
//!
//! The head is looked at before the list of blocks: what leaves the head is in a block by then, so that a reader meets
//! a sample at least once, and takes it once. Pages of blocks are read when their series comes up.

mod head;
mod newest;
mod turns;

use std::sync::Arc;

use model::{Matcher, TimeRange};
use storage::{ChangeLog, FirstTexts, NewestAsk, NewestSet, QueryError, Queryable, SelectHints, SeriesSet};

use crate::block::Block;
use crate::db::Db;
use crate::db::tiers::{FromTiers, RawSet};
use crate::merged::{MergedSeries, Source};
use head::HeadSet;
use newest::newest;
use turns::Turns;

impl Queryable for Db {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        select(self, matchers, range, hints)
    }

    fn newest(&self, ask: &NewestAsk<'_>) -> Result<Option<Box<dyn NewestSet + '_>>, QueryError> {
        newest(self, ask)
    }

    fn changes(&self) -> Option<&ChangeLog> {
        Some(self.change_log())
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        names(self, matchers, range, limit)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, QueryError> {
        values(self, name, matchers, range, limit)
    }
}

/// See `storage::Queryable::select`.
fn select(
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
fn names(db: &Db, matchers: &[Matcher], range: TimeRange, limit: usize) -> Result<Vec<String>, QueryError> {
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
fn values(
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
