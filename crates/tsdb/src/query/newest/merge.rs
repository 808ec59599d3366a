//! The newest samples of several parts of the store as one set.
//!
//! Series come sorted from each part; those with the same label pairs are one. Of their samples the newest stays, at the same time that of the
//! part that was stored first, which comes first.

use std::cmp::Ordering;
use std::sync::Arc;

use hashbrown::HashMap;
use model::Labels;
use storage::{Newest, NewestSample, NewestSet, QueryError, Series};

use super::head::NewestOfHead;
use crate::block::NewestOfBlock;
use crate::newest::{Pairs, Part, Translation};

/// A part of the store.
pub(super) enum Source<'a> {
    Block(Box<NewestOfBlock>),
    Head(NewestOfHead<'a>),
}

impl<'a> Source<'a> {
    /// What it has, alone.
    pub(super) fn into_set(self) -> Box<dyn NewestSet + 'a> {
        match self {
            Self::Block(set) => set,
            Self::Head(set) => Box::new(set),
        }
    }

    fn set(&mut self) -> &mut dyn NewestSet {
        match self {
            Self::Block(set) => &mut **set,
            Self::Head(set) => set,
        }
    }

    fn next_part(&mut self, pairs: &mut Pairs) -> Result<Option<Part>, QueryError> {
        match self {
            Self::Block(set) => set.next_part(Some(pairs)),
            Self::Head(set) => set.next_part(),
        }
    }

    /// Numbers of the label pairs of the series that came last.
    fn numbers(&self) -> &[u32] {
        match self {
            Self::Block(set) => set.numbers(),
            Self::Head(set) => set.numbers(),
        }
    }
}

/// A part under way.
struct Way<'a> {
    source: Source<'a>,
    next: Option<Part>,
    /// From its numbers of groups to ours.
    groups: Translation,
}

/// See the module.
pub(super) struct Merged<'a> {
    ways: Vec<Way<'a>>,
    pairs: Pairs,
    has_begun: bool,
    known_groups: HashMap<Labels, u32>,
    groups: Vec<Labels>,
    /// For each series handed out a part that has it, and its number there.
    series: Vec<(u32, u32)>,
    /// Parts that have the series at hand.
    having: Vec<usize>,
}

impl<'a> Merged<'a> {
    /// Of `sources`, those stored first before the others.
    pub(super) fn new(sources: Vec<Source<'a>>, pairs: Pairs) -> Self {
        let way = |source| Way { source, next: None, groups: Translation::default() };
        Self {
            ways: sources.into_iter().map(way).collect(),
            pairs,
            has_begun: false,
            known_groups: HashMap::new(),
            groups: Vec::new(),
            series: Vec::new(),
            having: Vec::new(),
        }
    }

    /// Finds the parts that have the series whose labels come first.
    fn find_first(&mut self) {
        self.having.clear();
        for at in 0..self.ways.len() {
            if self.ways[at].next.is_none() {
                continue;
            }
            let order = match self.having.first() {
                Some(first) => {
                    let (own, first) = (self.ways[at].source.numbers(), self.ways[*first].source.numbers());
                    self.pairs.compare(own, first)
                }
                None => Ordering::Equal,
            };
            if order == Ordering::Less {
                self.having.clear();
            }
            if order != Ordering::Greater {
                self.having.push(at);
            }
        }
    }

    /// Our number of a part's group.
    fn group_of(&mut self, at: usize, own: u32) -> Result<u32, QueryError> {
        let Self { ways, known_groups, groups, .. } = self;
        let Way { source, groups: translation, .. } = &mut ways[at];
        translation.get(own, || {
            let labels = source.set().group_labels(own)?;
            let number = *known_groups.entry(labels.clone()).or_insert(groups.len() as u32);
            if number as usize == groups.len() {
                groups.push(labels);
            }
            Ok(number)
        })
    }
}

/// The newer of two samples of one series, of which the first was stored first; both where one is more than a float.
fn newer(first: Part, second: Part) -> Part {
    let sample = match (first.sample, second.sample) {
        (NewestSample::Float(_), NewestSample::Float(value)) if second.t_ms > first.t_ms => {
            return Part { sample: NewestSample::Float(value), ..second };
        }
        (NewestSample::Float(value), NewestSample::Float(_)) => NewestSample::Float(value),
        (NewestSample::Whole(whole), NewestSample::Float(value)) => {
            let float = alone(&whole, second.t_ms, value);
            NewestSample::Whole(Box::new(storage::merge_series(*whole, float)))
        }
        (NewestSample::Float(value), NewestSample::Whole(whole)) => {
            let float = alone(&whole, first.t_ms, value);
            NewestSample::Whole(Box::new(storage::merge_series(float, *whole)))
        }
        (NewestSample::Whole(first), NewestSample::Whole(second)) => {
            NewestSample::Whole(Box::new(storage::merge_series(*first, *second)))
        }
    };
    Part { sample, ..first }
}

/// One float of the series that `whole` is: of those before it nobody asks.
fn alone(whole: &Series, t_ms: i64, value: f64) -> Series {
    Series::floats(whole.labels.clone(), Arc::new(vec![t_ms]), vec![value])
}

impl NewestSet for Merged<'_> {
    fn next(&mut self) -> Result<Option<Newest>, QueryError> {
        if !self.has_begun {
            self.has_begun = true;
            for way in &mut self.ways {
                way.next = way.source.next_part(&mut self.pairs)?;
            }
        }
        self.find_first();
        let having = std::mem::take(&mut self.having);
        let mut found: Option<(usize, Part)> = None;
        for at in &having {
            let way = &mut self.ways[*at];
            let Some(part) = std::mem::replace(&mut way.next, way.source.next_part(&mut self.pairs)?) else {
                continue;
            };
            found = Some(match found {
                None => (*at, part),
                Some((first_at, first)) => {
                    let (series, group) = (first.series, first.group);
                    (first_at, Part { series, group, ..newer(first, part) })
                }
            });
        }
        self.having = having;
        let Some((at, Part { series, group, sample, .. })) = found else { return Ok(None) };
        let group = self.group_of(at, group)?;
        let number = self.series.len() as u32;
        self.series.push((at as u32, series));
        Ok(Some(Newest { series: number, group, sample }))
    }

    fn group_labels(&mut self, group: u32) -> Result<Labels, QueryError> {
        Ok(self.groups.get(group as usize).cloned().unwrap_or_default())
    }

    fn series_labels(&mut self, series: u32) -> Result<Option<Labels>, QueryError> {
        let Some((at, own)) = self.series.get(series as usize) else { return Ok(None) };
        self.ways[*at as usize].source.set().series_labels(*own)
    }
}
