//! The series of several parts of the store as those of one, joined by labels and time.

use std::sync::Arc;

use model::{Labels, TimeRange};
use storage::{Joiner, QueryError, RolledUp, SelectHints, Series, SeriesSet};

use crate::block::Block;

/// A part of the store that answers.
pub(crate) struct Source {
    pub(crate) set: Box<dyn SeriesSet>,
    /// Its next series.
    peeked: Option<Series>,
    /// What has a lower turn is older than all of this.
    pub(crate) turn: usize,
}

impl Source {
    pub(crate) fn new(set: Box<dyn SeriesSet>, turn: usize) -> Self {
        Self { set, peeked: None, turn }
    }
}

/// The answer to a selection; blocks first, then the head, so that of equal times the block's sample stays.
pub(crate) struct MergedSeries {
    /// By rising turn.
    sources: Vec<Source>,
    joiner: Joiner,
    labels_only: bool,
    begun: bool,
    rolled_up: Vec<RolledUp>,
}

impl MergedSeries {
    pub(crate) fn new(sources: Vec<Source>, labels_only: bool, rolled_up: Vec<RolledUp>) -> Self {
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
