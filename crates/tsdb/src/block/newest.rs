//! The newest sample of each series of one block, grouped by pair numbers.
//!
//! Where in its pages a series has its newest sample of the range is worked out once for all series with the same rows; then one value is
//! read of one page. What is deleted, damaged or a histogram goes the way of [`BlockSet`], which knows what to do.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use model::Labels;
use model::labels::METRIC_NAME;
use roaring::RoaringBitmap;
use storage::{Newest, NewestAsk, NewestSample, NewestSet, QueryError, SelectHints};

use super::Block;
use super::select::{BlockSet, ReadOrFail, fail};
use crate::index::{BlockIndex, PageCursor, PageRef, ReadError};
use crate::newest::{GroupNumbers, Pairs, Part, Translation};
use crate::page::PageKind;
use crate::page::{self, PointBuffer};

/// Places remembered. Chosen: more than there are targets.
const SPOTS_MAX: usize = 4096;

/// Where the newest sample of a series is.
#[derive(Debug, Clone, Copy)]
enum Spot {
    /// Not in the range.
    Nowhere,
    /// In a row of a page of floats.
    At { page: usize, row: usize, n_rows: usize, t_ms: i64 },
    /// To be read as a whole.
    Unclear,
}

/// Which label pairs make groups.
#[derive(Debug)]
struct Keep {
    /// Pairs of the names that were given.
    named: Vec<Range<u32>>,
    without: bool,
}

impl Keep {
    fn of(index: &BlockIndex, ask: &NewestAsk<'_>) -> Result<Self, ReadError> {
        let mut named = Vec::new();
        let hidden = ask.without.then_some(METRIC_NAME);
        for name in ask.by.iter().map(String::as_str).chain(hidden) {
            named.extend(index.name(name)?.map(|name| name.first_pair..name.first_pair + name.n_values));
        }
        Ok(Self { named, without: ask.without })
    }

    /// Whether all series are in one group.
    fn is_nothing(&self) -> bool {
        self.named.is_empty() && !self.without
    }

    fn keeps(&self, pair: u32) -> bool {
        self.named.iter().any(|named| named.contains(&pair)) != self.without
    }
}

/// See the module.
pub(crate) struct NewestOfBlock {
    set: BlockSet,
    block: Arc<Block>,
    pages: PageCursor,
    keep: Keep,
    groups: GroupNumbers,
    presence: bool,
    buffer: PointBuffer,
    spots: HashMap<Box<[u32]>, Spot>,
    key: Vec<u32>,
    last_key: Vec<u32>,
    last_spot: Spot,
    /// From pair numbers of the block to those of who reads other parts too.
    translation: Translation,
    /// The pairs of the series that came last, so numbered.
    numbers: Vec<u32>,
}

impl NewestOfBlock {
    pub(super) fn new(
        block: &Arc<Block>,
        numbers: RoaringBitmap,
        ask: &NewestAsk<'_>,
    ) -> Result<Self, ReadError> {
        Ok(Self {
            keep: Keep::of(block.index(), ask)?,
            set: BlockSet::new(Arc::clone(block), numbers, ask.range, &SelectHints::default()),
            block: Arc::clone(block),
            pages: PageCursor::default(),
            groups: GroupNumbers::default(),
            presence: ask.presence,
            buffer: PointBuffer::default(),
            spots: HashMap::new(),
            key: Vec::new(),
            last_key: Vec::new(),
            last_spot: Spot::Nowhere,
            translation: Translation::default(),
            numbers: Vec::new(),
        })
    }

    /// When, and what.
    fn read(&mut self, number: u32) -> Result<Option<(i64, NewestSample)>, ReadOrFail> {
        if self.set.has_deletions(number) {
            return self.whole(number);
        }
        let (pages, here) = self.pages.pages(self.block.index(), number)?;
        self.key.clear();
        for page in pages {
            let (first, n) = page.rows.unwrap_or((0, 0));
            self.key.extend_from_slice(&[page.column, first, n, page.kind as u32]);
        }
        if self.key != self.last_key {
            self.last_spot = match self.spots.get(&self.key[..]) {
                Some(spot) => *spot,
                None => {
                    let spot = spot_of(&mut self.set, &self.block, pages)?;
                    if self.spots.len() >= SPOTS_MAX {
                        self.spots.clear();
                    }
                    self.spots.insert(self.key.as_slice().into(), spot);
                    spot
                }
            };
            std::mem::swap(&mut self.key, &mut self.last_key);
        }
        let (page, row, n_rows, t_ms) = match self.last_spot {
            Spot::Nowhere => return Ok(None),
            Spot::Unclear => return self.whole(number),
            Spot::At { page, row, n_rows, t_ms } => (page, row, n_rows, t_ms),
        };
        let place = &pages[page].place;
        if let Ok(bytes) = self.set.page(&self.block, place, here)? {
            if self.presence && page::has_only_numbers(bytes, n_rows) {
                return Ok(Some((t_ms, NewestSample::Float(0.0))));
            }
            if let Ok(value) = page::value_at(bytes, row, n_rows, &mut self.buffer) {
                return Ok(Some((t_ms, NewestSample::Float(value))));
            }
        }
        self.whole(number)
    }

    fn whole(&mut self, number: u32) -> Result<Option<(i64, NewestSample)>, ReadOrFail> {
        Ok(self.set.read(number)?.map(|series| (0, NewestSample::Whole(Box::new(series)))))
    }

    fn group_of(&mut self, number: u32) -> Result<u32, ReadError> {
        if self.keep.is_nothing() {
            return Ok(self.groups.of(std::iter::empty()));
        }
        let pairs = self.set.cursor().pairs(self.block.index(), number)?;
        Ok(self.groups.of(pairs.iter().copied().filter(|pair| self.keep.keeps(*pair))))
    }

    fn read_one(&mut self, series: u32, pairs: Option<&mut Pairs>) -> Result<Option<Part>, ReadOrFail> {
        let Some((t_ms, sample)) = self.read(series)? else { return Ok(None) };
        if let Some(pairs) = pairs {
            self.number(series, pairs)?;
        }
        Ok(Some(Part { series, group: self.group_of(series)?, t_ms, sample }))
    }

    /// Numbers the label pairs of a series.
    fn number(&mut self, series: u32, pairs: &mut Pairs) -> Result<(), ReadError> {
        let index = self.block.index();
        self.numbers.clear();
        self.numbers.extend_from_slice(self.set.cursor().pairs(index, series)?);
        for number in &mut self.numbers {
            let own = *number;
            *number = self.translation.get(own, || {
                Ok::<_, ReadError>(pairs.number_of(&self.set.cursor().labels_of(index, &[own])?))
            })?;
        }
        Ok(())
    }

    /// The next series that has a sample in the range; with `pairs` for [`NewestOfBlock::numbers`] to be asked.
    pub(crate) fn next_part(&mut self, mut pairs: Option<&mut Pairs>) -> Result<Option<Part>, QueryError> {
        while let Some(number) = self.set.next_number() {
            match self.read_one(number, pairs.as_deref_mut()) {
                Ok(Some(part)) => return Ok(Some(part)),
                Ok(None) => {}
                Err(err) => self.set.pass_over(number, err)?,
            }
        }
        Ok(None)
    }

    /// The label pairs of the series that came last, as they were numbered.
    pub(crate) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    fn labels_of(&mut self, pairs: &[u32]) -> Result<Labels, QueryError> {
        let labels = self.set.cursor().labels_of(self.block.index(), pairs);
        labels.map_err(|err| fail(self.block.index_error(err)))
    }
}

fn spot_of(set: &mut BlockSet, block: &Arc<Block>, pages: &[PageRef]) -> Result<Spot, ReadOrFail> {
    let plan = set.plan(block, pages)?;
    if plan.lost.is_some() || plan.parts.iter().any(|part| part.kind == PageKind::Histograms) {
        return Ok(Spot::Unclear);
    }
    let last = plan.parts.iter().rev().find(|part| part.kind == PageKind::Floats);
    let t_ms = plan.last_ms().unwrap_or(0);
    Ok(last.map_or(Spot::Nowhere, |part| Spot::At {
        page: part.page,
        row: part.skip + part.take - 1,
        n_rows: part.n_rows,
        t_ms,
    }))
}

impl NewestSet for NewestOfBlock {
    fn next(&mut self) -> Result<Option<Newest>, QueryError> {
        let part = self.next_part(None)?;
        Ok(part.map(|Part { series, group, sample, .. }| Newest { series, group, sample }))
    }

    fn group_labels(&mut self, group: u32) -> Result<Labels, QueryError> {
        let pairs = self.groups.pairs(group);
        self.labels_of(&pairs)
    }

    fn series_labels(&mut self, series: u32) -> Result<Option<Labels>, QueryError> {
        let labels = self.set.cursor().labels(self.block.index(), series);
        labels.map(Some).map_err(|err| fail(self.block.index_error(err)))
    }
}
