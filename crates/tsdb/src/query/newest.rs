//! The newest sample of each series: of one block, or of the head.
//!
//! Mostly all samples of a lookback are in one of them; where they are in both, or in roll-ups, or in two blocks, there is no quicker way
//! than to join series.

use std::collections::VecDeque;

use model::Labels;
use model::labels::METRIC_NAME;
use roaring::RoaringBitmap;
use storage::{Newest, NewestAsk, NewestSample, NewestSet, QueryError, SeriesSet};

use super::groups::GroupNumbers;
use super::head::HeadSet;
use super::{blocks_in, head_overlaps};
use crate::db::Db;
use crate::head::{Head, Page};

/// See `storage::Queryable::newest`.
pub(crate) fn newest<'a>(
    db: &'a Db,
    ask: &NewestAsk<'_>,
) -> Result<Option<Box<dyn NewestSet + 'a>>, QueryError> {
    let is_in_head = head_overlaps(db, ask.range);
    if ask.range.start_ms > ask.range.end_ms || is_in_head && !blocks_in(db, ask.range).is_empty() {
        return Ok(None);
    }
    let head = is_in_head.then(|| NewestOfHead::capture(db.head(), ask));
    // What left the head meanwhile is in a block by now.
    let blocks = blocks_in(db, ask.range);
    if ask.range.start_ms < db.rolled_up_floor_ms() {
        return Ok(None);
    }
    match (head, &blocks[..]) {
        (Some(head), []) => Ok(Some(Box::new(head))),
        (None, [block]) => Ok(block.newest(ask)?.map(|set| -> Box<dyn NewestSet + 'a> { set })),
        _ => Ok(None),
    }
}

/// A series of the head that matches.
struct Entry {
    series: u32,
    group: u32,
    /// There are samples beside the rows.
    is_mixed: bool,
    /// Time and bits of the newest sample in rows.
    newest: Option<(i64, u64)>,
}

/// A place of a selected series: group of rows, entry, column, series.
type Wanted = (u32, u32, u32, u32);

/// The newest samples of the head as they were at one moment; no row of a group is seen in part.
struct NewestOfHead<'a> {
    head: &'a Head,
    ask_range: model::TimeRange,
    entries: VecDeque<Entry>,
    groups: Vec<Labels>,
}

impl<'a> NewestOfHead<'a> {
    fn capture(head: &'a Head, ask: &NewestAsk<'_>) -> Self {
        let (mut entries, groups, mut wanted) = look_up(head, ask);
        wanted.sort_unstable();
        for of_group in wanted.chunk_by(|a, b| a.0 == b.0) {
            read_group(head, of_group, ask.range, &mut entries);
        }
        if head.has_side.load(std::sync::atomic::Ordering::Acquire) {
            let side = head.side.lock();
            for entry in &mut entries {
                entry.is_mixed = side.has_samples(entry.series);
            }
        }
        Self { head, ask_range: ask.range, entries: entries.into(), groups }
    }
}

fn look_up(head: &Head, ask: &NewestAsk<'_>) -> (Vec<Entry>, Vec<Labels>, Vec<Wanted>) {
    let table = head.table.read();
    let ids = table.series.select(ask.matchers);
    let series = table.series.sorted_by_labels(&ids);
    let hidden = ask.without.then_some(METRIC_NAME);
    let names: Vec<&str> = ask.by.iter().map(String::as_str).chain(hidden).collect();
    let keep = table.series.keep(&names, ask.without);
    let mut numbers = GroupNumbers::default();
    let (mut entries, mut wanted) = (Vec::with_capacity(series.len()), Vec::with_capacity(series.len()));
    for (idx, one) in series.iter().enumerate() {
        let group = numbers.of(keep.pairs(*one));
        entries.push(Entry { series: *one, group, is_mixed: false, newest: None });
        let places = table.places_of(*one);
        wanted.extend(places.map(|place| (place.group, idx as u32, place.column, *one)));
    }
    let groups = numbers.iter().map(|pairs| table.series.labels_of(pairs)).collect();
    (entries, groups, wanted)
}

fn read_group(head: &Head, wanted: &[Wanted], range: model::TimeRange, entries: &mut [Entry]) {
    let Some(shared) = head.group(wanted[0].0) else { return };
    let overlaps = |page: &Page| match (page.times.first_ms(), page.times.last_ms()) {
        (Some(first_ms), Some(last_ms)) => range.overlaps(model::TimeRange::new(first_ms, last_ms)),
        _ => false,
    };
    let mut read = |page: &Page| {
        let times = page.times.decode();
        let first = times.partition_point(|t_ms| *t_ms < range.start_ms) as u32;
        let end = times.partition_point(|t_ms| *t_ms <= range.end_ms) as u32;
        for (_, entry, column, series) in wanted {
            let column = page.columns.get(*column as usize).filter(|column| column.series == *series);
            let Some((row, bits)) = column.and_then(|column| column.newest_in(page.n_rows(), first, end))
            else {
                continue;
            };
            let (newest, t_ms) = (&mut entries[*entry as usize].newest, times[row as usize]);
            if newest.is_none_or(|(known_ms, _)| known_ms < t_ms) {
                *newest = Some((t_ms, bits));
            }
        }
    };
    let closed = {
        let group = shared.lock();
        if overlaps(&group.page) {
            read(&group.page);
        }
        group.closed.clone()
    };
    closed.iter().filter(|page| overlaps(page)).for_each(|page| read(page));
}

impl NewestSet for NewestOfHead<'_> {
    fn next(&mut self) -> Result<Option<Newest>, QueryError> {
        while let Some(Entry { series, group, is_mixed, newest }) = self.entries.pop_front() {
            let sample = if is_mixed {
                let one = |_: &crate::head::Table| RoaringBitmap::from_iter([series]);
                let whole = HeadSet::capture_among(self.head, one, self.ask_range, false).next()?;
                whole.filter(|whole| !whole.is_empty()).map(|whole| NewestSample::Whole(Box::new(whole)))
            } else {
                newest.map(|(_, bits)| NewestSample::Float(f64::from_bits(bits)))
            };
            if let Some(sample) = sample {
                return Ok(Some(Newest { series, group, sample }));
            }
        }
        Ok(None)
    }

    fn group_labels(&mut self, group: u32) -> Result<Labels, QueryError> {
        Ok(self.groups.get(group as usize).cloned().unwrap_or_default())
    }

    fn series_labels(&mut self, series: u32) -> Result<Option<Labels>, QueryError> {
        Ok(self.head.table.read().series.labels(series))
    }
}
