//! The head's part of an answer: columns copied under their groups' locks, decoded as the reader comes to them.
//!
//! A group is locked once for all of its columns, so that a row is seen whole or not at all; the times of its rows are decoded
//! once and shared by all series that have all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Labels, Matcher, TimeRange};
use roaring::RoaringBitmap;
use storage::{HistogramSample, Joiner, QueryError, Series, SeriesSet};

use crate::head::{Column, Head, Page, Starts, StoredHistogram, Table};

/// Rows of a page within the range.
struct Rows {
    n_rows: u32,
    first: u32,
    end: u32,
    times: Arc<Vec<i64>>,
}

impl Rows {
    /// `None` when no row is within `range`.
    fn of(all: Vec<i64>, range: TimeRange) -> Option<Self> {
        let n_rows = all.len() as u32;
        let first = all.partition_point(|t_ms| *t_ms < range.start_ms);
        let end = all.partition_point(|t_ms| *t_ms <= range.end_ms);
        if first >= end {
            return None;
        }
        let times = if end - first == all.len() { all } else { all[first..end].to_vec() };
        Some(Self { n_rows, first: first as u32, end: end as u32, times: Arc::new(times) })
    }

    /// The samples of a column in these rows; its times are shared when it has all of them.
    fn read(&self, column: &Column) -> (Arc<Vec<i64>>, Vec<f64>) {
        let mut values: Vec<f64> = Vec::with_capacity(self.times.len());
        let mut runs: Vec<(usize, usize)> = Vec::new();
        column.runs(self.n_rows, |from, to, bits| {
            let (from, to) = (from.max(self.first), to.min(self.end));
            if from < to {
                let (from, to) = ((from - self.first) as usize, (to - self.first) as usize);
                values.resize(values.len() + to - from, f64::from_bits(bits));
                match runs.last_mut() {
                    Some(last) if last.1 == from => last.1 = to,
                    _ => runs.push((from, to)),
                }
            }
        });
        if values.len() == self.times.len() {
            return (self.times.clone(), values);
        }
        let times = runs.into_iter().flat_map(|(from, to)| self.times[from..to].iter().copied());
        (Arc::new(times.collect()), values)
    }
}

/// A column as a reader holds it.
enum Held {
    Closed { page: Arc<Page>, column: u32 },
    Open(Column),
}

impl Held {
    fn column(&self) -> Option<&Column> {
        match self {
            Self::Closed { page, column } => page.columns.get(*column as usize),
            Self::Open(column) => Some(column),
        }
    }
}

/// What stands beside the rows of a series.
#[derive(Default)]
struct Beside {
    late: BTreeMap<i64, u64>,
    /// In place of what rows say.
    firsts: BTreeMap<i64, u64>,
    histograms: BTreeMap<i64, StoredHistogram>,
    starts: Option<Starts>,
}

impl Beside {
    /// When the oldest of its samples is.
    fn first_ms(&self) -> Option<i64> {
        let firsts = [self.late.keys().next(), self.firsts.keys().next(), self.histograms.keys().next()];
        firsts.into_iter().flatten().copied().min()
    }
}

struct Entry {
    labels: Labels,
    /// Into [`HeadSet::rows`], oldest first.
    parts: Vec<(u32, Held)>,
    beside: Option<Box<Beside>>,
    has_any: bool,
}

/// Series of the head, by rising labels.
pub(super) struct HeadSet {
    entries: std::vec::IntoIter<Entry>,
    rows: Arc<Vec<Rows>>,
    range: TimeRange,
    labels_only: bool,
    joiner: Joiner,
}

/// A place of a selected series: group, entry, column, series.
type Wanted = (u32, u32, u32, u32);

impl HeadSet {
    /// Takes what matches, as it is now.
    pub(super) fn capture(head: &Head, matchers: &[Matcher], range: TimeRange, labels_only: bool) -> Self {
        Self::capture_among(head, |table| table.series.select(matchers), range, labels_only)
    }

    /// Takes the series that `choose` names, as they are now.
    pub(super) fn capture_among(
        head: &Head,
        choose: impl FnOnce(&Table) -> RoaringBitmap,
        range: TimeRange,
        labels_only: bool,
    ) -> Self {
        let mut set = Self {
            entries: Vec::new().into_iter(),
            rows: Arc::default(),
            range,
            labels_only,
            joiner: Joiner::default(),
        };
        let (min_ms, max_ms) = head.span();
        if range.start_ms > range.end_ms || min_ms > max_ms || !range.overlaps(TimeRange::new(min_ms, max_ms))
        {
            return set;
        }
        let (mut entries, series, mut wanted) = look_up(head, choose);
        let mut rows = Vec::new();
        wanted.sort_unstable();
        for of_group in wanted.chunk_by(|a, b| a.0 == b.0) {
            set.capture_group(head, of_group, &mut entries, &mut rows);
        }
        set.rows = Arc::new(rows);
        if head.has_side.load(Ordering::Acquire) {
            set.capture_beside(head, &series, &mut entries);
        }
        entries.retain(|entry| entry.has_any);
        set.entries = entries.into_iter();
        set
    }

    /// When the oldest sample is.
    pub(super) fn first_ms(&self) -> Option<i64> {
        let of_rows = self.rows.iter().filter_map(|rows| rows.times.first().copied()).min();
        let beside =
            self.entries.as_slice().iter().filter_map(|entry| entry.beside.as_ref()?.first_ms()).min();
        of_rows.into_iter().chain(beside).min()
    }

    fn capture_group(&self, head: &Head, wanted: &[Wanted], entries: &mut [Entry], all_rows: &mut Vec<Rows>) {
        let Some(shared) = head.group(wanted[0].0) else { return };
        let (closed, open) = {
            let group = shared.lock();
            let overlaps = |page: &Page| match (page.times.first_ms(), page.times.last_ms()) {
                (Some(first_ms), Some(last_ms)) => self.range.overlaps(TimeRange::new(first_ms, last_ms)),
                _ => false,
            };
            let closed: Vec<Arc<Page>> = group.closed.iter().filter(|page| overlaps(page)).cloned().collect();
            let open = overlaps(&group.page).then(|| {
                let n_rows = group.n_rows();
                let columns = wanted.iter().filter_map(|(_, entry, column, series)| {
                    let column = group.page.columns.get(*column as usize)?;
                    let has = column.series == *series && column.has_samples(n_rows);
                    has.then(|| {
                        (*entry, if self.labels_only { Column::new(*series) } else { column.clone() })
                    })
                });
                (group.page.times.clone(), columns.collect::<Vec<_>>())
            });
            (closed, open)
        };
        for page in closed {
            let Some(rows) = Rows::of(page.times.decode(), self.range) else { continue };
            let n_rows = page.n_rows();
            all_rows.push(rows);
            for (_, entry, column, series) in wanted {
                let has = |state: &&Column| state.series == *series && state.has_samples(n_rows);
                if page.columns.get(*column as usize).filter(has).is_some() {
                    let held = Held::Closed { page: page.clone(), column: *column };
                    entries[*entry as usize].put(all_rows.len() - 1, held);
                }
            }
        }
        if let Some((times, columns)) = open
            && let Some(rows) = Rows::of(times.decode(), self.range)
        {
            all_rows.push(rows);
            for (entry, column) in columns {
                entries[entry as usize].put(all_rows.len() - 1, Held::Open(column));
            }
        }
    }

    fn capture_beside(&self, head: &Head, series: &[u32], entries: &mut [Entry]) {
        let side = head.side.lock();
        for (series, entry) in series.iter().zip(entries) {
            let starts = side.starts.get(series).cloned();
            if starts.is_none() && !side.has_samples(*series) {
                continue;
            }
            let (mut late, mut histograms) = (side.late_of(*series), side.histograms_of(*series));
            late.retain(|t_ms, _| self.range.contains(*t_ms));
            histograms.retain(|t_ms, _| self.range.contains(*t_ms));
            entry.has_any |= !late.is_empty() || !histograms.is_empty();
            let firsts = side.firsts_of(*series);
            entry.beside = Some(Box::new(Beside { late, firsts, histograms, starts }));
        }
    }
}

fn look_up(head: &Head, choose: impl FnOnce(&Table) -> RoaringBitmap) -> (Vec<Entry>, Vec<u32>, Vec<Wanted>) {
    let table = head.table.read();
    let ids = choose(&table);
    let series = table.series.sorted_by_labels(&ids);
    let mut entries = Vec::with_capacity(series.len());
    let mut wanted = Vec::with_capacity(series.len());
    for (idx, one) in series.iter().enumerate() {
        let labels = table.series.labels(*one).unwrap_or_default();
        entries.push(Entry { labels, parts: Vec::new(), beside: None, has_any: false });
        let places = table.places_of(*one);
        wanted.extend(places.map(|place| (place.group, idx as u32, place.column, *one)));
    }
    (entries, series, wanted)
}

impl Entry {
    fn put(&mut self, rows: usize, held: Held) {
        self.parts.push((rows as u32, held));
        self.has_any = true;
    }
}

impl SeriesSet for HeadSet {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        let Some(mut entry) = self.entries.next() else { return Ok(None) };
        let empty = Series::floats(entry.labels, Arc::default(), Vec::new());
        if self.labels_only {
            return Ok(Some(empty));
        }
        let labels = empty.labels.clone();
        entry.parts.sort_by_key(|(rows, _)| self.rows[*rows as usize].times[0]);
        let mut joined = empty;
        for (rows, held) in &entry.parts {
            let Some(column) = held.column() else { continue };
            let (times, values) = self.rows[*rows as usize].read(column);
            if !values.is_empty() {
                joined = self.joiner.join(joined, Series::floats(labels.clone(), times, values));
            }
        }
        if let Some(beside) = entry.beside {
            joined = add_beside(joined, *beside);
        }
        Ok(Some(joined))
    }

    fn n_series_max(&self) -> usize {
        self.entries.len()
    }

    fn cuts(&mut self, n: usize) -> Vec<Labels> {
        let entries = self.entries.as_slice();
        let width = entries.len().div_ceil(n.max(1)).max(1);
        entries.iter().step_by(width).skip(1).map(|entry| entry.labels.clone()).collect()
    }

    fn split<'s>(&mut self, n: usize, cuts: &[Labels]) -> Vec<Box<dyn SeriesSet + 's>>
    where
        Self: 's,
    {
        let mut shares: Vec<Vec<Entry>> = (0..n).map(|_| Vec::new()).collect();
        for entry in self.entries.by_ref() {
            shares[storage::share_of(&entry.labels, n, cuts)].push(entry);
        }
        let set = |entries: Vec<Entry>| -> Box<dyn SeriesSet + 's> {
            Box::new(Self {
                entries: entries.into_iter(),
                rows: Arc::clone(&self.rows),
                range: self.range,
                labels_only: self.labels_only,
                joiner: Joiner::default(),
            })
        };
        shares.into_iter().map(set).collect()
    }
}

/// At equal times the row's sample stays, but where another was first.
fn add_beside(mut series: Series, beside: Beside) -> Series {
    for (t_ms, bits) in beside.firsts {
        if let Ok(row) = series.timestamps.binary_search(&t_ms) {
            series.values[row] = f64::from_bits(bits);
        }
    }
    if !beside.late.is_empty() || !beside.histograms.is_empty() {
        let (times, values): (Vec<i64>, Vec<f64>) =
            beside.late.into_iter().map(|(t_ms, bits)| (t_ms, f64::from_bits(bits))).unzip();
        let mut other = Series::floats(series.labels.clone(), Arc::new(times), values);
        let sample = |(t_ms, (start_ms, histogram))| HistogramSample { t_ms, start_ms, histogram };
        other.histograms = beside.histograms.into_iter().map(sample).collect();
        series = storage::merge_series(series, other);
    }
    if let Some(starts) = beside.starts {
        let all: Vec<i64> = series.timestamps.iter().map(|t_ms| starts.at(*t_ms)).collect();
        if all.iter().any(|start_ms| *start_ms != 0) {
            series.starts = all;
        }
    }
    series
}
