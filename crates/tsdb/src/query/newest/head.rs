//! The newest samples of the head, under the locks of its groups.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;

use model::Labels;
use model::labels::METRIC_NAME;
use roaring::RoaringBitmap;
use storage::{Newest, NewestAsk, NewestSample, NewestSet, QueryError, SeriesSet};

use crate::head::{Head, Page, Table};
use crate::newest::{GroupNumbers, Pairs, Part, Translation};
use crate::query::head::HeadSet;

/// A series of the head that matches.
struct Entry {
    /// Where in `numbers` the numbers of its label pairs end; they begin where those of the entry before end.
    numbers_end: u32,
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
pub(super) struct NewestOfHead<'a> {
    head: &'a Head,
    ask_range: model::TimeRange,
    entries: VecDeque<Entry>,
    groups: Vec<Labels>,
    /// For who compares series with others': numbers of label pairs, entry after entry.
    numbers: Vec<u32>,
    /// Those of the entry that came last, and where the next one's begin.
    at: Range<usize>,
    next: usize,
}

impl<'a> NewestOfHead<'a> {
    /// As the head is now. With `pairs` also what its series are labelled with, in numbers of those.
    pub(super) fn capture(head: &'a Head, ask: &NewestAsk<'_>, pairs: Option<&mut Pairs>) -> Self {
        let (mut set, mut wanted) = look_up(head, ask, pairs);
        wanted.sort_unstable();
        let entries = set.entries.make_contiguous();
        for of_group in wanted.chunk_by(|a, b| a.0 == b.0) {
            read_group(head, of_group, ask.range, entries);
        }
        if head.has_side.load(std::sync::atomic::Ordering::Acquire) {
            let side = head.side.lock();
            for entry in entries {
                entry.is_mixed = side.has_samples(entry.series);
            }
        }
        set
    }

    /// The next series that has a sample in the range.
    pub(super) fn next_part(&mut self) -> Result<Option<Part>, QueryError> {
        while let Some(Entry { series, group, is_mixed, newest, numbers_end }) = self.entries.pop_front() {
            self.at = self.next..numbers_end as usize;
            self.next = numbers_end as usize;
            let (t_ms, sample) = if is_mixed {
                let one = |_: &Table| RoaringBitmap::from_iter([series]);
                let whole = HeadSet::capture_among(self.head, one, self.ask_range, false).next()?;
                let whole = whole.filter(|whole| !whole.is_empty());
                (0, whole.map(|whole| NewestSample::Whole(Box::new(whole))))
            } else {
                let t_ms = newest.map_or(0, |(t_ms, _)| t_ms);
                (t_ms, newest.map(|(_, bits)| NewestSample::Float(f64::from_bits(bits))))
            };
            if let Some(sample) = sample {
                return Ok(Some(Part { series, group, t_ms, sample }));
            }
        }
        Ok(None)
    }

    /// The label pairs of the series that came last, as they were numbered when it was captured.
    pub(super) fn numbers(&self) -> &[u32] {
        &self.numbers[self.at.clone()]
    }
}

fn look_up<'a>(
    head: &'a Head,
    ask: &NewestAsk<'_>,
    mut pairs: Option<&mut Pairs>,
) -> (NewestOfHead<'a>, Vec<Wanted>) {
    let table = head.table.read();
    let ids = table.series.select(ask.matchers);
    let series = table.series.sorted_by_labels(&ids);
    let hidden = ask.without.then_some(METRIC_NAME);
    let names: Vec<&str> = ask.by.iter().map(String::as_str).chain(hidden).collect();
    let keep = table.series.keep(&names, ask.without);
    let (mut groups, mut known, mut numbers) = (GroupNumbers::default(), Translation::default(), Vec::new());
    let (mut entries, mut wanted) = (VecDeque::with_capacity(series.len()), Vec::with_capacity(series.len()));
    for (idx, one) in series.iter().enumerate() {
        let group = groups.of(keep.pairs(*one));
        if let Some(pairs) = pairs.as_deref_mut() {
            for pair in table.series.pairs_of(*one) {
                let found = || Ok::<_, Infallible>(pairs.number_of(&table.series.labels_of(&[pair])));
                numbers.extend(known.get(pair, found));
            }
        }
        let numbers_end = numbers.len() as u32;
        entries.push_back(Entry { series: *one, group, is_mixed: false, newest: None, numbers_end });
        let places = table.places_of(*one);
        wanted.extend(places.map(|place| (place.group, idx as u32, place.column, *one)));
    }
    let groups = groups.iter().map(|pairs| table.series.labels_of(pairs)).collect();
    let set = NewestOfHead { head, ask_range: ask.range, entries, groups, numbers, at: 0..0, next: 0 };
    (set, wanted)
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
        let part = self.next_part()?;
        Ok(part.map(|Part { series, group, sample, .. }| Newest { series, group, sample }))
    }

    fn group_labels(&mut self, group: u32) -> Result<Labels, QueryError> {
        Ok(self.groups.get(group as usize).cloned().unwrap_or_default())
    }

    fn series_labels(&mut self, series: u32) -> Result<Option<Labels>, QueryError> {
        Ok(self.head.table.read().series.labels(series))
    }
}
