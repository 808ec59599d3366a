//! One batch: judged at append, judged again at commit, written to the log, then applied and visible.

mod commit;
mod firsts;
mod follow;
mod plan;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Exemplar, Histogram, Labels, Metadata};
use parking_lot::{Mutex, MutexGuard};
use storage::{
    AppendError, AppendStats, Appender, ColumnIdx, GroupRef, RefSample, RowError, RowOutcome, SeriesRef,
    StorageError,
};

use super::Db;
use crate::head::{ByNumber, Group, NO_SERIES, Place, SharedGroup, Verdict};
use crate::row::GroupKind;
use plan::{NewGroup, Op};

/// What a batch knows of a group it adds columns or rows to.
struct BatchGroup {
    shared: SharedGroup,
    /// Columns, those of this batch included.
    n_columns: u32,
    newest_ms: i64,
}

/// What a group holds of a series at the time of a sample.
#[derive(Debug, Clone, Copy)]
struct Seen {
    verdict: Verdict,
    /// The series may leave the head before the commit.
    idle: bool,
}

impl Seen {
    #[inline]
    fn of(group: &Group, column: u32, t_ms: i64, bits: u64, trusted_ms: i64) -> Self {
        let verdict = group.judge(column, t_ms, bits, trusted_ms);
        Self { verdict, idle: !plan::is_busy(group, column) }
    }
}

/// A batch being collected. Nothing of it is visible or written yet.
pub(crate) struct DbAppender<'a> {
    db: &'a Db,
    now_ms: i64,
    ops: Vec<Op>,
    /// Series that were not in the head when they came up, and the number they will get.
    new_series: HashMap<Labels, u32>,
    /// Labels of series that may not be in the head at commit: new ones, and those that could leave it before.
    kept: ByNumber<Labels>,
    groups: ByNumber<BatchGroup>,
}

impl<'a> DbAppender<'a> {
    pub(crate) fn new(db: &'a Db, now_ms: i64) -> Self {
        Self {
            db,
            now_ms,
            ops: Vec::new(),
            new_series: HashMap::new(),
            kept: ByNumber::default(),
            groups: ByNumber::default(),
        }
    }

    fn check_bounds(&self, t_ms: i64) -> Result<(), AppendError> {
        let head = self.db.head();
        if t_ms > head.newest_allowed_ms(self.now_ms) || t_ms < head.floor_ms(self.now_ms) {
            self.db.metrics().out_of_bounds.inc();
            return Err(AppendError::OutOfBounds);
        }
        Ok(())
    }

    /// As [`DbAppender::series_for`], for a sample at `t_ms`.
    fn series_at(
        &mut self,
        labels: &Labels,
        t_ms: i64,
    ) -> Result<(u32, Option<(Place, SharedGroup)>), AppendError> {
        if labels.is_empty() {
            return Err(AppendError::NoName);
        }
        self.check_bounds(t_ms)?;
        self.series_for(labels)
    }

    /// The series with `labels`, and its column when it has one. Gives it a number when it is new.
    fn series_for(&mut self, labels: &Labels) -> Result<(u32, Option<(Place, SharedGroup)>), AppendError> {
        if labels.is_empty() {
            return Err(AppendError::NoName);
        }
        let table = self.db.head().table.read();
        if let Some(series) = table.series.get(labels) {
            let place = table.places.get(series);
            return Ok((
                series,
                place.and_then(|place| Some((place, table.groups.get(&place.group)?.clone()))),
            ));
        }
        let n_in_head = table.series.len();
        drop(table);
        if let Some(series) = self.new_series.get(labels) {
            return Ok((*series, None));
        }
        if (n_in_head + self.new_series.len()) as u64 >= self.db.options().series_max {
            self.db.metrics().series_limit.inc();
            return Err(AppendError::SeriesLimit);
        }
        self.db.check_memory(labels, self.new_series.len())?;
        let series = self.db.head().next_series.fetch_add(1, Ordering::Relaxed);
        if series >= NO_SERIES - 1 {
            // Four thousand million series in one run: no number is left, and none is ever given twice.
            self.db.head().next_series.fetch_sub(1, Ordering::Relaxed);
            return Err(AppendError::SeriesLimit);
        }
        self.new_series.insert(labels.clone(), series);
        self.kept.insert(series, labels.clone());
        Ok((series, None))
    }

    /// Adds an exemplar whose series may not be in the head, unless it is among those `here`. Whether it is taken.
    pub(crate) fn take_exemplar(
        &mut self,
        labels: &Labels,
        exemplar: &Exemplar,
        here: &HashSet<(u32, i64)>,
    ) -> bool {
        let Ok((series, _)) = self.series_for(labels) else { return false };
        let is_new = !here.contains(&(series, exemplar.t_ms));
        if is_new {
            self.kept.entry(series).or_insert_with(|| labels.clone());
            self.ops.push(Op::Exemplar { series, exemplar: exemplar.clone() });
        }
        is_new
    }

    /// Whether a sample is taken, by what the head holds now.
    fn judge(
        &mut self,
        series: u32,
        place: Option<&(Place, SharedGroup)>,
        labels: &Labels,
        t_ms: i64,
        bits: u64,
    ) -> Result<(), AppendError> {
        let trusted_ms = self.db.head().newest_allowed_ms(self.now_ms);
        let seen =
            place.map(|(place, shared)| Seen::of(&shared.lock(), place.column, t_ms, bits, trusted_ms));
        self.decide(series, seen, Some(labels), t_ms, bits)
    }

    /// Whether a sample is taken of which its series' group says what it saw.
    #[inline]
    fn decide(
        &mut self,
        series: u32,
        seen: Option<Seen>,
        labels: Option<&Labels>,
        t_ms: i64,
        bits: u64,
    ) -> Result<(), AppendError> {
        let head = self.db.head();
        let too_old = t_ms < head.in_order_floor_ms(self.now_ms);
        let mut verdict = if too_old { Verdict::Late } else { Verdict::Row };
        if let Some(seen) = seen
            && (!too_old || matches!(seen.verdict, Verdict::Already | Verdict::Duplicate))
        {
            verdict = seen.verdict;
        }
        if seen.is_none_or(|seen| seen.idle) && !self.kept.contains_key(&series) {
            let labels = labels.cloned().or_else(|| head.table.read().series.labels(series));
            self.kept.insert(series, labels.ok_or(AppendError::UnknownSeries)?);
        }
        if let Some(have) = head.late_at(series, t_ms) {
            verdict = if have == bits { Verdict::Already } else { Verdict::Duplicate };
        }
        if verdict == Verdict::Late
            && let Some(have) = head.table.read().former_at(series, t_ms)
        {
            verdict = if have == bits { Verdict::Already } else { Verdict::Duplicate };
        }
        let refused = match verdict {
            Verdict::Late if !head.takes_late() => AppendError::OutOfOrder,
            Verdict::Duplicate => AppendError::DuplicateForTimestamp,
            _ => return Ok(()),
        };
        self.db.metrics().out_of_order.inc();
        Err(refused)
    }

    /// What the head holds of each sample's series. `None` when it is not known.
    ///
    /// The table is locked once, and a group once for samples of it that follow each other: locks are most of what a sample costs
    /// here, since all senders take the same ones. No lock is waited for while another is held.
    fn see(&self, samples: &[RefSample]) -> Vec<Option<Option<Seen>>> {
        let mut groups: Vec<(u32, SharedGroup)> = Vec::new();
        let places: Vec<_> = {
            let table = self.db.head().table.read();
            let mut place_of = |sample: &RefSample| {
                let series = u32::try_from(sample.series.0).ok().filter(|id| table.series.contains(*id))?;
                let Some(place) = table.places.get(series) else { return Some(None) };
                if groups.last().is_none_or(|(id, _)| *id != place.group) {
                    let Some(shared) = table.groups.get(&place.group) else { return Some(None) };
                    groups.push((place.group, shared.clone()));
                }
                Some(Some((groups.len() - 1, place.column)))
            };
            samples.iter().map(&mut place_of).collect()
        };
        let trusted_ms = self.db.head().newest_allowed_ms(self.now_ms);
        let mut locked: Option<(usize, MutexGuard<'_, Group>)> = None;
        let mut look = |(sample, place): (&RefSample, Option<Option<(usize, u32)>>)| {
            let Some((nth, column)) = place? else { return Some(None) };
            if locked.as_ref().is_none_or(|(at, _)| *at != nth) {
                drop(locked.take());
                locked = Some((nth, groups[nth].1.lock()));
            }
            let group = &locked.as_ref()?.1;
            Some(Some(Seen::of(group, column, sample.t_ms, sample.value.to_bits(), trusted_ms)))
        };
        samples.iter().zip(places).map(&mut look).collect()
    }

    /// The series of a column that this batch adds.
    fn series_of_new(&self, wanted: GroupRef, column: u32) -> u32 {
        let found = self.ops.iter().find_map(|op| match op {
            Op::Columns { group, first, series, .. } if u64::from(*group) == wanted.0 => {
                series.get(column.checked_sub(*first)? as usize).copied()
            }
            _ => None,
        });
        found.unwrap_or(NO_SERIES)
    }

    fn batch_group(&mut self, group: GroupRef) -> Result<&mut BatchGroup, RowError> {
        let id = u32::try_from(group.0).map_err(|_| RowError::UnknownGroup)?;
        if !self.groups.contains_key(&id) {
            let shared = self.db.head().group(id).ok_or(RowError::UnknownGroup)?;
            let (n_columns, newest_ms) = {
                let group = shared.lock();
                if group.gone || group.kind != GroupKind::Following {
                    return Err(RowError::UnknownGroup);
                }
                (group.page.columns.len() as u32, group.newest_ms)
            };
            self.groups.insert(id, BatchGroup { shared, n_columns, newest_ms });
        }
        self.groups.get_mut(&id).ok_or(RowError::UnknownGroup)
    }
}

impl Appender for DbAppender<'_> {
    fn append(
        &mut self,
        _known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        self.append_with_start(None, labels, t_ms, 0, value)
    }

    fn append_refs(&mut self, samples: &[RefSample], refused: &mut Vec<(usize, AppendError)>) {
        let has_starts = self.db.head().has_starts.load(Ordering::Acquire);
        for (at, (sample, seen)) in samples.iter().zip(self.see(samples)).enumerate() {
            let Some(seen) = seen else {
                refused.push((at, AppendError::UnknownSeries));
                continue;
            };
            let (series, t_ms, bits) = (sample.series.0 as u32, sample.t_ms, sample.value.to_bits());
            let taken = self.check_bounds(t_ms).and_then(|()| self.decide(series, seen, None, t_ms, bits));
            if let Err(err) = taken {
                refused.push((at, err));
                continue;
            }
            self.ops.push(Op::Sample { series, t_ms, bits });
            if has_starts {
                self.ops.push(Op::Start { series, t_ms, start_ms: 0 });
            }
        }
    }

    fn append_with_start(
        &mut self,
        _known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        start_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        let (series, place) = self.series_at(labels, t_ms)?;
        self.judge(series, place.as_ref(), labels, t_ms, value.to_bits())?;
        self.ops.push(Op::Sample { series, t_ms, bits: value.to_bits() });
        if start_ms != 0 || self.db.head().has_starts.load(Ordering::Acquire) {
            self.ops.push(Op::Start { series, t_ms, start_ms });
        }
        Ok(SeriesRef(u64::from(series)))
    }

    fn append_zero(&mut self, labels: &Labels, t_ms: i64, start_ms: i64) -> Result<(), AppendError> {
        let head = self.db.head();
        if start_ms >= t_ms {
            return Err(AppendError::OutOfOrder);
        }
        if start_ms < head.in_order_floor_ms(self.now_ms) {
            return Err(AppendError::OutOfBounds);
        }
        let (series, place) = self.series_for(labels)?;
        let newest_ms = place.and_then(|(place, shared)| shared.lock().newest_of_any(place.column));
        let beside_ms = head.side.lock().newest_late(series);
        if newest_ms.max(beside_ms).is_some_and(|newest_ms| newest_ms >= start_ms) {
            return Err(AppendError::OutOfOrder);
        }
        self.kept.entry(series).or_insert_with(|| labels.clone());
        self.ops.push(Op::Zero { series, t_ms: start_ms });
        Ok(())
    }

    fn append_histogram(
        &mut self,
        _known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        start_ms: i64,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        let (series, place) = self.series_at(labels, t_ms)?;
        self.kept.entry(series).or_insert_with(|| labels.clone());
        let head = self.db.head();
        let newest_float = place.and_then(|(place, shared)| shared.lock().newest_of(place.column));
        let refused = {
            let side = head.side.lock();
            let newest = side.newest_histogram.get(&series).copied().max(newest_float);
            match side.histogram_at(series, t_ms) {
                Some((_, have)) if **have != *histogram => Some(AppendError::DuplicateForTimestamp),
                Some(_) => None,
                None if newest_float == Some(t_ms) => Some(AppendError::DuplicateForTimestamp),
                None if newest.is_some_and(|newest| t_ms < newest) && !head.takes_late() => {
                    Some(AppendError::OutOfOrder)
                }
                None => None,
            }
        };
        if let Some(refused) = refused {
            self.db.metrics().out_of_order.inc();
            return Err(refused);
        }
        self.ops.push(Op::Histogram { series, t_ms, start_ms, histogram: Arc::new(histogram.clone()) });
        Ok(SeriesRef(u64::from(series)))
    }

    fn append_exemplar(
        &mut self,
        _known: Option<SeriesRef>,
        labels: &Labels,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        let known = self.db.head().table.read().series.get(labels);
        // An exemplar alone makes no series.
        let series =
            known.or_else(|| self.new_series.get(labels).copied()).ok_or(AppendError::UnknownSeries)?;
        self.ops.push(Op::Exemplar { series, exemplar: exemplar.clone() });
        Ok(())
    }

    fn append_metadata(&mut self, name: &str, metadata: &Metadata) {
        self.db.head().metadata.lock().put(name, metadata);
    }

    fn add_columns(
        &mut self,
        group: Option<GroupRef>,
        labels: &[Labels],
    ) -> Result<(GroupRef, Vec<Result<ColumnIdx, AppendError>>), RowError> {
        let (id, first, new_group) = match group {
            Some(group) => {
                let known = self.batch_group(group)?;
                (group.0 as u32, known.n_columns, NewGroup::No)
            }
            None => {
                let id = self.db.head().next_group.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::new(Mutex::new(Group::new(id, GroupKind::Following, 0)));
                let new_group = NewGroup::Yes(shared.clone());
                self.groups.insert(id, BatchGroup { shared, n_columns: 0, newest_ms: i64::MIN });
                (id, 0, new_group)
            }
        };
        let mut series = Vec::with_capacity(labels.len());
        let mut answers = Vec::with_capacity(labels.len());
        for (idx, labels) in labels.iter().enumerate() {
            let column = first + idx as u32;
            let found = if column >= crate::wal::COLUMNS_MAX {
                Err(AppendError::SeriesLimit)
            } else {
                self.series_for(labels).map(|(series, _)| series)
            };
            if let Ok(series) = found {
                self.kept.entry(series).or_insert_with(|| labels.clone());
            }
            series.push(found.unwrap_or(NO_SERIES));
            answers.push(found.map(|_| column));
        }
        if let Some(known) = self.groups.get_mut(&id) {
            known.n_columns += labels.len() as u32;
        }
        self.ops.push(Op::Columns { group: id, new_group, first, series });
        Ok((GroupRef(u64::from(id)), answers))
    }

    fn append_row(
        &mut self,
        group: GroupRef,
        t_ms: i64,
        changed: &[(ColumnIdx, f64)],
    ) -> Result<RowOutcome, RowError> {
        let head = self.db.head();
        let newest_allowed_ms = head.newest_allowed_ms(self.now_ms);
        if t_ms > newest_allowed_ms || t_ms < head.in_order_floor_ms(self.now_ms) {
            self.db.metrics().out_of_bounds.inc();
            return Err(RowError::OutOfBounds);
        }
        let mut changes: Vec<(u32, u64)> = changed.iter().map(|(column, v)| (*column, v.to_bits())).collect();
        if !changes.is_sorted_by_key(|(column, _)| *column) {
            changes.sort_unstable_by_key(|(column, _)| *column);
        }
        if let Some(pair) = changes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(RowError::BadColumn(pair[0].0));
        }
        let known = self.batch_group(group)?;
        if let Some((column, _)) = changes.last().filter(|(column, _)| *column >= known.n_columns) {
            return Err(RowError::BadColumn(*column));
        }
        if t_ms <= known.newest_ms && known.newest_ms <= newest_allowed_ms {
            return Err(RowError::OutOfOrder);
        }
        known.newest_ms = t_ms;
        let (moved, n_told) = {
            let group = known.shared.lock();
            let n_before = changes.len();
            let mut moved = group.moved.clone();
            changes
                .retain(|(column, _)| group.page.columns.get(*column as usize).is_none_or(|c| c.is_open()));
            if changes.len() < n_before {
                let kept = |at: u32| changes.binary_search_by_key(&at, |(column, _)| *column).is_ok();
                moved.extend(changed.iter().map(|(column, _)| *column).filter(|column| !kept(*column)));
                moved.sort_unstable();
                moved.dedup();
            }
            (moved, group.moved.len())
        };
        self.ops.push(Op::Row { group: group.0 as u32, t_ms, changes, n_told });
        Ok(RowOutcome { moved })
    }

    fn append_row_starts(
        &mut self,
        group: GroupRef,
        t_ms: i64,
        starts: &[(ColumnIdx, i64)],
    ) -> Result<(), RowError> {
        let known = self.batch_group(group)?;
        let (shared, n_columns) = (known.shared.clone(), known.n_columns);
        let state = shared.lock();
        for (column, start_ms) in starts {
            if *column >= n_columns {
                return Err(RowError::BadColumn(*column));
            }
            let series = match state.page.columns.get(*column as usize) {
                Some(known) => known.series,
                None => self.series_of_new(group, *column),
            };
            if series != NO_SERIES {
                self.ops.push(Op::Start { series, t_ms, start_ms: *start_ms });
            }
        }
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<AppendStats, StorageError> {
        commit::commit(self.db, self.now_ms, self.ops, self.kept)
    }
}
