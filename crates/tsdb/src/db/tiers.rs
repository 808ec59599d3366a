//! The tiers of roll-ups: which there are, what is committed, and which of them answers for which time.
//!
//! The list of blocks and the floor change together, under one lock, so that a reader takes each sample from one place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use parking_lot::RwLock;
use stdx::{Dir, SubDir};
use storage::{QueryError, RolledUp, SelectHints};

use crate::block::{Block, open_all, quarantine, remove_block};
use crate::error::TsdbError;
use crate::index::BlockCache;
use crate::options::{Options, RetentionRule};
use crate::report::Quarantined;
use crate::rollup::{ROLLUPS_DIR, RolledUpSet, Source, State};

/// One of them.
#[derive(Debug)]
pub(super) struct Tier {
    pub(super) interval_ms: i64,
    /// Its folder, relative to the data directory.
    pub(super) path: PathBuf,
    pub(super) dir: Arc<dyn Dir>,
    /// How long rows are kept, 0 for ever; `None` when no more are made, and none removed.
    pub(super) retention_ms: Option<i64>,
}

/// What readers see.
#[derive(Debug, Default, Clone)]
pub(super) struct View {
    pub(super) state: State,
    /// Of each tier, in the order in which a row of the first counts.
    pub(super) blocks: Vec<Vec<Arc<Block>>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tiers {
    /// Finest first.
    pub(super) tiers: Vec<Tier>,
    pub(super) view: RwLock<View>,
}

/// What roll-ups have for a selection.
pub(crate) struct FromTiers {
    /// Samples before this are not taken from raw blocks.
    pub(crate) floor_ms: i64,
    pub(crate) set: Option<RolledUpSet<'static>>,
    /// Newest first.
    pub(crate) parts: Vec<RolledUp>,
}

impl Tiers {
    /// Opens what is there and what `options` ask for. What was not committed is removed.
    pub(super) fn open(
        dir: &Arc<dyn Dir>,
        options: &Options,
        cache: &Arc<BlockCache>,
        set_aside: &mut Vec<Quarantined>,
    ) -> Result<Self, TsdbError> {
        let tiers = find(dir, options)?;
        let mut blocks = Vec::new();
        for tier in &tiers {
            let mut found = Vec::new();
            if dir.exists(&tier.path) {
                let (opened, damaged) = open_all(&tier.dir, cache)?;
                found.extend(opened.into_iter().map(Arc::new));
                set_aside.extend(damaged.into_iter().map(|one| Quarantined {
                    path: tier.path.join(one.path).display().to_string(),
                    moved_to: tier.path.join(one.moved_to).display().to_string(),
                    reason: one.reason,
                }));
            }
            blocks.push(found);
        }
        let state = match State::read(&**dir)? {
            Some(Ok(state)) => state,
            None if blocks.iter().all(Vec::is_empty) => State::default(),
            broken => {
                if let Some(Err(reason)) = broken {
                    let path = State::path();
                    let moved_to = quarantine(&**dir, &path).map_err(TsdbError::io("move", &path))?;
                    let (path, moved_to) = (path.display().to_string(), moved_to.display().to_string());
                    set_aside.push(Quarantined { path, moved_to, reason });
                }
                let floor_ms = blocks.iter().flatten().map(|block| end_of(block)).max();
                let state = State::at(floor_ms.unwrap_or(i64::MIN));
                state.write(&**dir)?;
                state
            }
        };
        for (tier, blocks) in tiers.iter().zip(&mut blocks) {
            for block in blocks.extract_if(.., |block| end_of(block) > state.floor_ms) {
                remove_block(&*tier.dir, block.name())?;
            }
        }
        Ok(Self { tiers, view: RwLock::new(View { state, blocks }) })
    }

    /// For those who want samples as they came.
    pub(super) fn none() -> Self {
        Self { tiers: Vec::new(), view: RwLock::default() }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.tiers.is_empty()
    }

    /// Whether rows are made.
    pub(super) fn are_made(&self) -> bool {
        self.tiers.iter().any(|tier| tier.retention_ms.is_some())
    }

    pub(super) fn floor_ms(&self) -> i64 {
        self.view.read().state.floor_ms
    }

    pub(super) fn blocks(&self) -> Vec<(&Tier, Vec<Arc<Block>>)> {
        self.tiers.iter().zip(self.view.read().blocks.clone()).collect()
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.view.read().blocks.iter().flatten().map(|block| block.size_bytes()).sum()
    }

    /// What they have for a selection. To be called after the list of raw blocks was taken.
    pub(super) fn answer(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<FromTiers, QueryError> {
        let view = self.view.read().clone();
        let floor_ms = view.state.floor_ms;
        let mut answer = FromTiers { floor_ms, set: None, parts: Vec::new() };
        if range.start_ms >= floor_ms || range.start_ms > range.end_ms {
            return Ok(answer);
        }
        let sources = self.sources(&view, range, &mut answer.parts);
        if !sources.is_empty() {
            let own = TimeRange::new(range.start_ms, range.end_ms.min(floor_ms - 1));
            answer.set = Some(RolledUpSet::new(&sources, matchers, own, hints, range.end_ms >= floor_ms)?);
        }
        Ok(answer)
    }

    /// Adds the blocks that may have series within `range`.
    pub(super) fn blocks_in(&self, range: TimeRange, out: &mut Vec<Arc<Block>>) {
        let view = self.view.read();
        let of_range = |block: &&Arc<Block>| {
            range.start_ms <= range.end_ms
                && range.overlaps(TimeRange::new(begin_of(block), block.range().end_ms))
        };
        out.extend(view.blocks.iter().flatten().filter(of_range).cloned());
    }

    /// Which blocks answer for which times: always the finest tier that covers it.
    fn sources(&self, view: &View, range: TimeRange, parts: &mut Vec<RolledUp>) -> Vec<Source> {
        let coarsest_ms = self.tiers.last().map_or(0, |tier| tier.interval_ms);
        // A row before the range may reach into it, and so may one after it.
        let from_ms = range.start_ms.saturating_sub(coarsest_ms);
        let to_ms = range.end_ms.saturating_add(coarsest_ms).saturating_add(1).min(view.state.floor_ms);
        let mut left = vec![(from_ms, to_ms)];
        let mut sources = Vec::new();
        for (tier, blocks) in self.tiers.iter().zip(&view.blocks) {
            let covered = blocks.iter().flat_map(|block| covers(block)).copied();
            let own: Vec<(i64, i64)> = intersection(&left, &union(covered.collect()));
            left = own.iter().fold(left, |left, part| without(&left, *part));
            for (from_ms, to_ms) in &own {
                let part = TimeRange::new(*from_ms, to_ms.saturating_sub(1));
                for block in blocks.iter().filter(|block| block.range().overlaps(part)) {
                    let block = Arc::clone(block);
                    sources.push(Source { block, interval_ms: tier.interval_ms, range: part });
                }
            }
            let within = intersection(&own, &[(range.start_ms, range.end_ms.saturating_add(1))]);
            if let Some((_, before_ms)) = within.last().and(own.last()) {
                parts.push(RolledUp { interval_ms: tier.interval_ms, before_ms: *before_ms });
            }
        }
        sources
    }

    /// Marks rows of series that match as deleted, all of whose interval or any part of it is within `range`.
    pub(super) fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<u64, TsdbError> {
        let mut n = 0;
        for (tier, blocks) in self.blocks() {
            let end_ms = range.end_ms.saturating_add(tier.interval_ms - 1);
            for block in blocks {
                n += block.delete(&*tier.dir, matchers, TimeRange::new(range.start_ms, end_ms))?;
            }
        }
        Ok(n)
    }
}

/// Those on the disk, and those that are asked for.
fn find(dir: &Arc<dyn Dir>, options: &Options) -> Result<Vec<Tier>, TsdbError> {
    let root = Path::new(ROLLUPS_DIR);
    let mut intervals: Vec<i64> = options.roll_ups.iter().map(|one| one.interval_ms).collect();
    if dir.exists(root) {
        let entries = dir.list(root).map_err(TsdbError::io("list", root))?;
        let of_name = |name: &str| name.parse::<model::Duration>().ok().filter(|one| one.to_string() == name);
        let found = entries.iter().filter(|entry| entry.is_dir).filter_map(|entry| of_name(&entry.name));
        intervals.extend(found.map(model::Duration::as_ms).filter(|ms| *ms > 0));
    }
    intervals.sort_unstable();
    intervals.dedup();
    let tier = |interval_ms: i64| {
        let path = root.join(model::Duration::from_ms(interval_ms).to_string());
        let wanted = options.roll_ups.iter().find(|one| one.interval_ms == interval_ms);
        Tier {
            interval_ms,
            dir: Arc::new(SubDir::new(Arc::clone(dir), path.clone())),
            path,
            retention_ms: wanted.map(|one| one.retention_ms),
        }
    };
    Ok(intervals.into_iter().map(tier).collect())
}

fn covers(block: &Block) -> &[(i64, i64)] {
    block.meta().compaction.rollup.as_ref().map_or(&[], |from| &from.covers)
}

/// Where what it covers ends, exclusive.
fn end_of(block: &Block) -> i64 {
    covers(block).last().map_or(i64::MIN, |(_, to_ms)| *to_ms)
}

/// First millisecond of what it covers.
pub(super) fn begin_of(block: &Block) -> i64 {
    covers(block).first().map_or_else(|| block.range().start_ms, |(from_ms, _)| *from_ms)
}

/// Of half-open intervals, sorted and joined.
fn union(mut parts: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    parts.sort_unstable();
    let mut out: Vec<(i64, i64)> = Vec::new();
    for (from, to) in parts {
        match out.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}

fn intersection(a: &[(i64, i64)], b: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let both = a.iter().flat_map(|a| b.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
    union(both.filter(|(from, to)| from < to).collect())
}

fn without(from: &[(i64, i64)], part: (i64, i64)) -> Vec<(i64, i64)> {
    let rest = from.iter().flat_map(|one| [(one.0, one.1.min(part.0)), (one.0.max(part.1), one.1)]);
    rest.filter(|(from, to)| from < to).collect()
}

/// Leaves out of a set the samples before `floor_ms`, but for series that are never rolled up.
pub(crate) struct RawSet<'a> {
    pub(crate) set: Box<dyn storage::SeriesSet + 'a>,
    pub(crate) floor_ms: i64,
    /// Series that fit one are never rolled up.
    pub(crate) rules: Vec<RetentionRule>,
}

impl storage::SeriesSet for RawSet<'_> {
    fn next(&mut self) -> Result<Option<storage::Series>, QueryError> {
        while let Some(mut series) = self.set.next()? {
            let is_early = series.timestamps.first().is_some_and(|t_ms| *t_ms < self.floor_ms)
                || series.histograms.first().is_some_and(|sample| sample.t_ms < self.floor_ms);
            if !is_early || self.rules.iter().any(|rule| rule.fits(&series.labels)) {
                return Ok(Some(series));
            }
            let n_early = series.timestamps.partition_point(|t_ms| *t_ms < self.floor_ms);
            series.timestamps = Arc::new(series.timestamps[n_early..].to_vec());
            series.values.drain(..n_early);
            series.starts.drain(..n_early.min(series.starts.len()));
            series.histograms.retain(|sample| sample.t_ms >= self.floor_ms);
            if !series.is_empty() {
                return Ok(Some(series));
            }
        }
        Ok(None)
    }

    fn n_series_max(&self) -> usize {
        self.set.n_series_max()
    }

    fn cuts(&mut self, n: usize) -> Vec<Labels> {
        self.set.cuts(n)
    }

    fn split<'s>(&mut self, n: usize, cuts: &[Labels]) -> Vec<Box<dyn storage::SeriesSet + 's>>
    where
        Self: 's,
    {
        let (floor_ms, rules) = (self.floor_ms, &self.rules);
        let wrap = |set| -> Box<dyn storage::SeriesSet + 's> {
            Box::new(RawSet { set, floor_ms, rules: rules.clone() })
        };
        self.set.split(n, cuts).into_iter().map(wrap).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_joined_cut_and_taken_away() {
        assert_eq!(union(vec![(5, 9), (1, 2), (2, 3), (6, 7)]), [(1, 3), (5, 9)]);
        assert_eq!(intersection(&[(0, 5), (7, 9)], &[(3, 8)]), [(3, 5), (7, 8)]);
        assert_eq!(without(&[(0, 10)], (3, 5)), [(0, 3), (5, 10)]);
        assert_eq!(without(&[(0, 4)], (3, 5)), [(0, 3)]);
        assert!(without(&[(3, 4)], (3, 5)).is_empty());
    }
}
