//! A batch becomes log records, and then part of the head.
//!
//! In three steps under the log's lock: a *plan* says what goes where, judged against the head as it is now; the plan is written;
//! only then is it applied, so that after a failed write nothing of it is visible. Only commits add to groups, so
//! that the plan still holds when it is applied.

mod firsts;
mod follow;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Exemplar, Histogram, Labels};
use parking_lot::Mutex;
use storage::{AppendStats, StorageError};

use super::group::{Group, GroupKind, Row, SharedGroup};
use super::judge::Verdict;
use super::{Base, ByNumber, Column, Head, NEW_SERIES_BYTES, NO_SERIES, Place, Table};
use crate::db::Db;
use crate::options::Durability;
use crate::wal::{CommitWriter, NewColumn, NewSeries, RowBase, encode_definitions, put_row};

/// Columns of a group whose series came one by one, after which another is begun. Chosen: a page is then at most some megabytes.
const COHORT_COLUMNS_MAX: u32 = 4_096;
/// Rows of a page, after which another is begun. Chosen: half of what a page in a block holds.
const ROWS_MAX: u32 = 32_000;

/// Whether a batch begins a group.
pub(super) enum NewGroup {
    Yes(SharedGroup),
    No,
}

impl Op {
    /// The earliest time at which it may change what is read.
    fn t_ms(&self) -> Option<i64> {
        match self {
            Self::Row { t_ms, .. }
            | Self::Sample { t_ms, .. }
            | Self::Start { t_ms, .. }
            | Self::Zero { t_ms, .. }
            | Self::Histogram { t_ms, .. } => Some(*t_ms),
            Self::Columns { .. } | Self::Exemplar { .. } => None,
        }
    }
}

/// A part of a batch.
pub(super) enum Op {
    Columns {
        group: u32,
        new_group: NewGroup,
        first: u32,
        series: Vec<u32>,
    },
    /// `n_told`: how many moved columns the writer now knows of.
    Row {
        group: u32,
        t_ms: i64,
        changes: Vec<(u32, u64)>,
        n_told: usize,
    },
    Sample {
        series: u32,
        t_ms: i64,
        bits: u64,
    },
    /// A zero before all samples of a series since it was last heard of, or since ever.
    Zero {
        series: u32,
        t_ms: i64,
    },
    /// What holds from a sample of this batch on; 0 for none.
    Start {
        series: u32,
        t_ms: i64,
        start_ms: i64,
    },
    Histogram {
        series: u32,
        t_ms: i64,
        start_ms: i64,
        histogram: Arc<Histogram>,
    },
    Exemplar {
        series: u32,
        exemplar: Exemplar,
    },
}

/// Whether column `idx` has samples that keep its series in the head for now.
pub(super) fn is_busy(group: &Group, idx: u32) -> bool {
    let n_rows = group.n_rows();
    group.page.columns.get(idx as usize).is_some_and(|column| column.is_live() || column.has_samples(n_rows))
}

/// What a batch does to one group.
struct GroupPlan {
    id: u32,
    shared: SharedGroup,
    kind: GroupKind,
    is_new: bool,
    /// Columns, those of this batch included.
    n_columns: u32,
    newest_ms: i64,
    elsewhere_ms: i64,
    n_rows: u32,
    /// By rising time.
    rows: Vec<Row>,
    joins: Vec<Row>,
    closes: Vec<u32>,
    n_told: usize,
}

impl GroupPlan {
    fn has_row_at(&self, t_ms: i64) -> bool {
        (self.n_rows > 0 && self.newest_ms == t_ms) || self.rows.iter().any(|row| row.t_ms == t_ms)
    }

    /// Adds a sample to the planned row at `t_ms`.
    fn add(&mut self, t_ms: i64, column: u32, bits: u64) {
        let at = match self.rows.last() {
            Some(last) if last.t_ms == t_ms => self.rows.len() - 1,
            Some(last) if last.t_ms > t_ms => self.rows.partition_point(|row| row.t_ms < t_ms),
            _ => self.rows.len(),
        };
        if self.rows.get(at).is_none_or(|row| row.t_ms != t_ms) {
            self.rows.insert(at, Row { t_ms, ..Row::default() });
        }
        self.rows[at].changes.push((column, bits));
    }

    fn join(&mut self, row: u32, column: u32, bits: u64) {
        match self.joins.iter_mut().find(|join| join.join == Some(row)) {
            Some(join) => join.changes.push((column, bits)),
            None => {
                self.joins.push(Row { join: Some(row), changes: vec![(column, bits)], ..Row::default() });
            }
        }
    }
}

/// Sorts by column and keeps the first of each. Returns how many had another value, and how many the same.
fn settle(changes: &mut Vec<(u32, u64)>) -> (u64, u64) {
    if changes.is_sorted_by(|a, b| a.0 < b.0) {
        return (0, 0);
    }
    changes.sort_by_key(|(column, _)| *column);
    let (mut n_refused, mut n_same) = (0, 0);
    changes.dedup_by(|later, first| {
        let same_column = later.0 == first.0;
        if same_column {
            if later.1 == first.1 { n_same += 1 } else { n_refused += 1 }
        }
        same_column
    });
    (n_refused, n_same)
}

struct Plan<'a> {
    head: &'a Head,
    epoch: u32,
    now_ms: i64,
    kept: ByNumber<Labels>,
    stats: AppendStats,
    groups: Vec<GroupPlan>,
    group_idx: ByNumber<usize>,
    last_group: usize,
    series: Vec<NewSeries>,
    new_series: ByNumber<()>,
    columns: Vec<NewColumn>,
    places: ByNumber<Place>,
    cohorts: ByNumber64,
    late: Vec<(u32, i64, u64)>,
    /// What was stored before where a planned row has something else.
    firsts: Vec<(u32, i64, u64)>,
    starts: Vec<(u32, i64, i64)>,
    histograms: Vec<(u32, i64, i64, Arc<Histogram>)>,
    exemplars: Vec<(u32, Exemplar)>,
    room: usize,
}

type ByNumber64 = std::collections::HashMap<u64, u32>;

/// Writes and applies a batch.
pub(super) fn commit(
    db: &Db,
    now_ms: i64,
    ops: Vec<Op>,
    kept: ByNumber<Labels>,
) -> Result<AppendStats, StorageError> {
    let mut log = db.log().lock();
    if db.closed().load(Ordering::Acquire) {
        return Err(StorageError::Closed);
    }
    let first_ms = ops.iter().filter_map(Op::t_ms).min();
    let mut plan = Plan::new(db, log.epoch, now_ms, kept);
    {
        let table = db.head().table.read();
        ops.into_iter().for_each(|op| plan.take(&table, op));
        plan.settle();
        plan.find_firsts(&table);
    }
    follow::tell(db, &plan, first_ms);
    let definitions = plan.definitions();
    let commit = plan.encode();
    if definitions.is_empty() && commit.is_empty() {
        db.metrics().out_of_order.add(plan.stats.n_refused);
        return Ok(plan.stats);
    }
    let strict = db.options().durability == Durability::Strict;
    let n_bytes = log.write(&definitions, &commit.finish(), strict).inspect_err(|_| {
        db.metrics().commits_failed.inc();
    })?;
    let (n_new, n_refused) = (plan.series.len() as u64, plan.stats.n_refused);
    let stats = plan.apply();
    if let Some(first_ms) = first_ms {
        db.change_log().touched(first_ms);
    }
    db.head().memory_bytes.fetch_add(n_new * NEW_SERIES_BYTES + 2 * n_bytes, Ordering::Relaxed);
    let metrics = db.metrics();
    metrics.samples_appended.add(stats.n_samples);
    metrics.series_created.add(n_new);
    metrics.out_of_order.add(n_refused);
    metrics.wal_written_bytes.add(n_bytes);
    metrics.wal_bytes.set(log.total_bytes() as f64);
    metrics.wal_segment.set(log.rows.number() as f64);
    let (min_ms, max_ms) = db.head().span();
    metrics.head_min_time_ms.set(min_ms as f64);
    metrics.head_max_time_ms.set(max_ms as f64);
    if n_new > 0 {
        metrics.head_series.set(db.head().n_series() as f64);
    }
    Ok(stats)
}

impl<'a> Plan<'a> {
    fn new(db: &'a Db, epoch: u32, now_ms: i64, kept: ByNumber<Labels>) -> Self {
        let series_max = usize::try_from(db.options().series_max).unwrap_or(usize::MAX);
        Self {
            head: db.head(),
            epoch,
            now_ms,
            kept,
            stats: AppendStats::default(),
            groups: Vec::new(),
            group_idx: ByNumber::default(),
            last_group: 0,
            series: Vec::new(),
            new_series: ByNumber::default(),
            columns: Vec::new(),
            places: ByNumber::default(),
            cohorts: ByNumber64::default(),
            late: Vec::new(),
            firsts: Vec::new(),
            starts: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            room: series_max.saturating_sub(db.head().n_series()),
        }
    }

    fn take(&mut self, table: &Table, op: Op) {
        match op {
            Op::Columns { group, new_group, first, series } => {
                self.take_columns(table, group, new_group, first, &series);
            }
            Op::Row { group, t_ms, changes, n_told } => self.take_row(table, group, t_ms, changes, n_told),
            Op::Sample { series, t_ms, bits } => {
                let taken = self.take_sample(table, series, t_ms, bits);
                if taken.is_none() {
                    self.stats.n_refused += 1;
                }
            }
            Op::Zero { series, t_ms } => self.take_zero(table, series, t_ms),
            Op::Start { series, t_ms, start_ms } => {
                if let Some(series) = self.resolve(table, series) {
                    self.starts.push((series, t_ms, start_ms));
                }
            }
            Op::Histogram { series, t_ms, start_ms, histogram } => {
                let taken = self.take_histogram(table, series, t_ms, start_ms, histogram);
                if taken.is_none() {
                    self.stats.n_refused += 1;
                }
            }
            Op::Exemplar { series, exemplar } => {
                if let Some(series) = self.resolve(table, series) {
                    self.exemplars.push((series, exemplar));
                }
            }
        }
    }

    /// The series of this number, or the one that has its labels now; new when there is none. `None` when there is no room.
    fn resolve(&mut self, table: &Table, series: u32) -> Option<u32> {
        if table.series.contains(series) || self.new_series.contains_key(&series) {
            return Some(series);
        }
        let labels = self.kept.get(&series)?;
        if let Some(other) = table.series.get(labels) {
            return Some(other);
        }
        if self.series.len() >= self.room {
            return None;
        }
        self.series.push(NewSeries { series, labels: labels.clone() });
        self.new_series.insert(series, ());
        Some(series)
    }

    /// The plan of a group of the head.
    fn touch(&mut self, table: &Table, id: u32) -> Option<usize> {
        if self.groups.get(self.last_group).is_some_and(|plan| plan.id == id) {
            return Some(self.last_group);
        }
        if let Some(idx) = self.group_idx.get(&id) {
            self.last_group = *idx;
            return Some(*idx);
        }
        let shared = table.groups.get(&id)?.clone();
        Some(self.touch_shared(id, shared, false))
    }

    fn touch_shared(&mut self, id: u32, shared: SharedGroup, is_new: bool) -> usize {
        let mut group = shared.lock();
        if group.page.epoch != self.epoch || group.n_rows() >= ROWS_MAX {
            group.turn_page(self.epoch);
        }
        let plan = GroupPlan {
            id,
            kind: group.kind,
            is_new,
            n_columns: group.page.columns.len() as u32,
            newest_ms: group.newest_ms,
            elsewhere_ms: group.elsewhere_ms,
            n_rows: group.n_rows(),
            rows: Vec::new(),
            joins: Vec::new(),
            closes: Vec::new(),
            n_told: 0,
            shared: shared.clone(),
        };
        drop(group);
        self.last_group = self.groups.len();
        self.group_idx.insert(id, self.last_group);
        self.groups.push(plan);
        self.last_group
    }

    fn place_of(&self, table: &Table, series: u32) -> Option<Place> {
        self.places.get(&series).copied().or_else(|| table.places.get(series))
    }

    /// Ends the column that `series` has now, since it becomes one elsewhere. Returns up to when it may have samples there, and before.
    fn leave(&mut self, table: &Table, series: u32, but_for: Option<Place>) -> i64 {
        if let Some(place) = self.place_of(table, series)
            && Some(place) != but_for
            && let Some(idx) = self.touch(table, place.group)
        {
            let plan = &mut self.groups[idx];
            plan.closes.push(place.column);
            return plan.newest_ms.max(plan.elsewhere_ms);
        }
        i64::MIN
    }

    fn settle_at(&mut self, kind: GroupKind, series: u32, place: Place) {
        self.places.insert(series, place);
        self.columns.push(NewColumn { group: place.group, kind, column: place.column, series });
    }

    fn take_columns(&mut self, table: &Table, group: u32, new_group: NewGroup, first: u32, series: &[u32]) {
        let idx = match new_group {
            NewGroup::Yes(shared) => self.touch_shared(group, shared, true),
            NewGroup::No => match self.touch(table, group) {
                Some(idx) => idx,
                None => return,
            },
        };
        if self.groups[idx].n_columns != first {
            // Another writer of this group came between; a target has one, so that this is a mistake of its own.
            self.stats.n_refused += series.len() as u64;
            return;
        }
        self.groups[idx].n_columns += series.len() as u32;
        for (at, series) in series.iter().enumerate() {
            let place = Place { group, column: first + at as u32 };
            if *series == NO_SERIES {
                continue;
            }
            let Some(series) = self.resolve(table, *series) else {
                self.stats.n_refused += 1;
                continue;
            };
            let elsewhere_ms = self.leave(table, series, Some(place));
            self.groups[idx].elsewhere_ms = self.groups[idx].elsewhere_ms.max(elsewhere_ms);
            self.settle_at(GroupKind::Following, series, place);
        }
    }

    fn take_row(
        &mut self,
        table: &Table,
        group: u32,
        t_ms: i64,
        mut changes: Vec<(u32, u64)>,
        n_told: usize,
    ) {
        let newest_allowed_ms = self.head.newest_allowed_ms(self.now_ms);
        let n_refused = changes.len() as u64;
        let Some(idx) = self.touch(table, group) else {
            self.stats.n_refused += n_refused;
            return;
        };
        let plan = &mut self.groups[idx];
        let mut state = plan.shared.lock();
        if plan.rows.is_empty() && t_ms <= plan.newest_ms && plan.newest_ms > newest_allowed_ms {
            // A clock that was wrong made the newest row; it does not hold up the target.
            state.turn_page(self.epoch);
            (plan.newest_ms, plan.n_rows) = (i64::MIN, 0);
        }
        let newest_ms = plan.rows.last().map_or(plan.newest_ms, |row| row.t_ms);
        if t_ms <= newest_ms {
            self.stats.n_refused += n_refused;
            return;
        }
        let is_open = |column: u32| match state.page.columns.get(column as usize) {
            Some(column_state) => column_state.is_open() && !plan.closes.contains(&column),
            None => column < plan.n_columns,
        };
        changes.retain(|(column, _)| is_open(*column));
        self.stats.n_refused += n_refused - changes.len() as u64;
        let full = plan.n_rows == 0 && plan.rows.is_empty();
        if full {
            changes = state.full_changes(&changes);
            if !plan.closes.is_empty() {
                changes.retain(|(column, _)| !plan.closes.contains(column));
            }
        }
        drop(state);
        plan.n_told = plan.n_told.max(n_told);
        plan.rows.push(Row { t_ms, full, changes, ..Row::default() });
    }

    /// Returns `None` when the sample is refused.
    fn take_sample(&mut self, table: &Table, series: u32, t_ms: i64, bits: u64) -> Option<()> {
        let series = self.resolve(table, series)?;
        // A series whose rows are all in blocks takes what comes as in order, also where a late sample came before.
        if let Some(have) = self.head.late_at(series, t_ms) {
            self.stats.n_samples += u64::from(have == bits);
            return (have == bits).then_some(());
        }
        let too_old = t_ms < self.head.in_order_floor_ms(self.now_ms);
        let place = self.place_of(table, series);
        let Some((idx, place)) = place.and_then(|place| Some((self.touch(table, place.group)?, place)))
        else {
            return if too_old {
                self.take_late(table, series, t_ms, bits)
            } else {
                self.begin(table, series, t_ms, bits)
            };
        };
        let verdict = self.judge(idx, place.column, t_ms, bits);
        let plan = &mut self.groups[idx];
        match verdict {
            Verdict::Already => self.stats.n_samples += 1,
            Verdict::Duplicate => return None,
            _ if too_old => return self.take_late(table, series, t_ms, bits),
            Verdict::Row => {
                if t_ms <= plan.newest_ms && plan.n_rows > 0 {
                    plan.shared.lock().turn_page(self.epoch);
                    (plan.newest_ms, plan.n_rows) = (i64::MIN, 0);
                }
                plan.add(t_ms, place.column, bits);
            }
            Verdict::Join(row) => plan.join(row, place.column, bits),
            Verdict::Displaced => {
                self.leave(table, series, None);
                return self.begin(table, series, t_ms, bits);
            }
            Verdict::Late => return self.take_late(table, series, t_ms, bits),
        }
        Some(())
    }

    fn judge(&self, idx: usize, column: u32, t_ms: i64, bits: u64) -> Verdict {
        let plan = &self.groups[idx];
        let state = plan.shared.lock();
        if column as usize >= state.page.columns.len() {
            // Planned by this very batch: it has no sample but those that are planned too, which are settled later.
            return match plan.kind {
                GroupKind::Following => Verdict::Late,
                GroupKind::Explicit if t_ms > plan.newest_ms || plan.n_rows == 0 => Verdict::Row,
                GroupKind::Explicit if t_ms == plan.newest_ms => Verdict::Join(plan.n_rows - 1),
                GroupKind::Explicit => Verdict::Late,
            };
        }
        if plan.kind == GroupKind::Following && !plan.rows.is_empty() {
            // Beside a row of this very batch: nothing is known of it yet but that it goes on.
            return Verdict::Late;
        }
        state.judge(column, t_ms, bits, self.head.newest_allowed_ms(self.now_ms))
    }

    /// Makes `series` a column of its cohort's newest group, or of a new one, with this sample.
    fn begin(&mut self, table: &Table, series: u32, t_ms: i64, bits: u64) -> Option<()> {
        let labels = match self.kept.get(&series) {
            Some(labels) => labels.clone(),
            None => table.series.labels(series)?,
        };
        let cohort = table.cohort_of(&labels);
        let newest = self.cohorts.get(&cohort).or_else(|| table.cohorts.get(&cohort)).copied();
        let fits = newest.and_then(|id| self.touch(table, id)).filter(|idx| {
            let plan = &self.groups[*idx];
            let is_free = plan.newest_ms == i64::MIN && plan.rows.is_empty();
            plan.n_columns < COHORT_COLUMNS_MAX && (is_free || plan.has_row_at(t_ms))
        });
        let idx = fits.unwrap_or_else(|| {
            let id = self.head.next_group.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::new(Mutex::new(Group::new(id, GroupKind::Explicit, self.epoch)));
            self.cohorts.insert(cohort, id);
            self.touch_shared(id, shared, true)
        });
        let plan = &mut self.groups[idx];
        let place = Place { group: plan.id, column: plan.n_columns };
        plan.n_columns += 1;
        if plan.n_rows > 0 && plan.newest_ms == t_ms {
            plan.join(plan.n_rows - 1, place.column, bits);
        } else {
            plan.add(t_ms, place.column, bits);
        }
        self.settle_at(GroupKind::Explicit, series, place);
        Some(())
    }

    fn take_late(&mut self, table: &Table, series: u32, t_ms: i64, bits: u64) -> Option<()> {
        if let Some(have) = table.former_at(series, t_ms) {
            self.stats.n_samples += u64::from(have == bits);
            return (have == bits).then_some(());
        }
        if !self.head.takes_late() || t_ms < self.head.floor_ms(self.now_ms) {
            return None;
        }
        self.late.push((series, t_ms, bits));
        self.stats.n_samples += 1;
        Some(())
    }

    /// Beside the rows, where a row would repeat the other columns.
    fn take_zero(&mut self, table: &Table, series: u32, t_ms: i64) {
        if let Some(series) = self.resolve(table, series)
            && self.head.side.lock().late_at(series, t_ms).is_none()
        {
            self.late.push((series, t_ms, 0.0f64.to_bits()));
            self.stats.n_samples += 1;
        }
    }

    fn take_histogram(
        &mut self,
        table: &Table,
        series: u32,
        t_ms: i64,
        start_ms: i64,
        histogram: Arc<Histogram>,
    ) -> Option<()> {
        let series = self.resolve(table, series)?;
        let same = self.head.side.lock().histogram_at(series, t_ms).map(|(_, have)| **have == *histogram);
        let planned = self.histograms.iter().rev().find(|one| one.0 == series && one.1 == t_ms);
        match same.or(planned.map(|one| *one.3 == *histogram)) {
            Some(false) => return None,
            Some(true) => {}
            None => self.histograms.push((series, t_ms, start_ms, histogram)),
        }
        self.stats.n_samples += 1;
        Some(())
    }

    /// Brings rows into the order in which they are written and applied.
    fn settle(&mut self) {
        for plan in &mut self.groups {
            for row in plan.joins.iter_mut().chain(&mut plan.rows) {
                let (n_refused, n_same) = settle(&mut row.changes);
                self.stats.n_refused += n_refused;
                self.stats.n_samples += n_same;
            }
            plan.joins.sort_by_key(|row| row.join);
            if plan.kind == GroupKind::Explicit
                && plan.n_rows == 0
                && let Some(first) = plan.rows.first_mut()
            {
                first.full = true;
            }
        }
        if !self.starts.is_empty() {
            let side = self.head.side.lock();
            let epoch = self.epoch;
            let mut newest: ByNumber<i64> = ByNumber::default();
            self.starts.retain(|(series, t_ms, start_ms)| {
                let before = newest.get(series).copied();
                let known = side.starts.get(series);
                let holds = before
                    .or_else(|| known.filter(|known| known.epoch == epoch).map(|known| known.at(*t_ms)));
                let is_new = match holds {
                    Some(holds) => holds != *start_ms,
                    None => *start_ms != 0 || known.is_some_and(|known| known.at(*t_ms) != 0),
                };
                if is_new {
                    newest.insert(*series, *start_ms);
                }
                is_new
            });
        }
    }

    fn definitions(&self) -> Vec<Vec<u8>> {
        if self.series.is_empty() && self.columns.is_empty() {
            return Vec::new();
        }
        encode_definitions(&self.series, &self.columns)
    }

    fn encode(&mut self) -> CommitWriter {
        let mut writer = CommitWriter::default();
        for plan in &mut self.groups {
            if !plan.closes.is_empty() {
                writer.close(plan.id, &plan.closes);
            }
            encode_rows(plan, &mut writer);
        }
        for (series, t_ms, bits) in &self.late {
            writer.late(*series, *t_ms, *bits);
        }
        for (series, t_ms, bits) in &self.firsts {
            writer.first(*series, *t_ms, *bits);
        }
        for (series, t_ms, start_ms) in &self.starts {
            writer.start(*series, *t_ms, *start_ms);
        }
        for (series, t_ms, start_ms, histogram) in &self.histograms {
            writer.histogram(*series, *t_ms, *start_ms, histogram);
        }
        for (series, exemplar) in &self.exemplars {
            writer.exemplar(*series, exemplar);
        }
        writer
    }

    /// Makes everything visible.
    fn apply(mut self) -> AppendStats {
        self.stats.n_new_series = self.series.len() as u64;
        if !self.series.is_empty() || !self.columns.is_empty() {
            let mut table = self.head.table.write();
            for new in &self.series {
                table.series.insert_at(new.series, &new.labels);
            }
            for plan in self.groups.iter().filter(|plan| plan.is_new) {
                table.groups.insert(plan.id, plan.shared.clone());
            }
            table.cohorts.extend(self.cohorts.drain());
            for new in &self.columns {
                table.set_place(new.series, Place { group: new.group, column: new.column });
            }
        }
        let mut columns = ByNumber::<Vec<NewColumn>>::default();
        for new in &self.columns {
            columns.entry(new.group).or_default().push(*new);
        }
        // Before their rows are seen.
        apply_firsts(self.head, &self.firsts);
        let (mut first_ms, mut last_ms) = (i64::MAX, i64::MIN);
        for plan in self.groups {
            let mut group = plan.shared.lock();
            group.page.epoch = self.epoch;
            group.elsewhere_ms = plan.elsewhere_ms;
            if plan.n_columns > 0 && plan.n_columns as usize > group.page.columns.len() {
                let more = plan.n_columns as usize - group.page.columns.len();
                group.page.columns.reserve_exact(if plan.kind == GroupKind::Following {
                    more
                } else {
                    more.max(16)
                });
                group.page.columns.resize_with(plan.n_columns as usize, || Column::new(NO_SERIES));
            }
            for new in columns.get(&plan.id).into_iter().flatten() {
                group.set_column(new.column, new.series);
            }
            for column in plan.closes {
                group.close_column(column);
                if plan.kind == GroupKind::Following {
                    group.moved.push(column);
                }
            }
            group.moved.drain(..plan.n_told);
            for row in plan.joins.into_iter().chain(plan.rows) {
                if row.join.is_none() {
                    (first_ms, last_ms) = (first_ms.min(row.t_ms), last_ms.max(row.t_ms));
                }
                self.stats.n_samples += group.apply(row);
            }
        }
        self.stats.n_samples -= self.firsts.len() as u64;
        for (_, t_ms, ..) in &self.histograms {
            (first_ms, last_ms) = (first_ms.min(*t_ms), last_ms.max(*t_ms));
        }
        self.head.oldest_row_ms.fetch_min(first_ms, Ordering::AcqRel);
        for (_, t_ms, _) in &self.late {
            (first_ms, last_ms) = (first_ms.min(*t_ms), last_ms.max(*t_ms));
        }
        apply_beside(self.head, self.epoch, self.late, self.starts, self.histograms, self.exemplars);
        if first_ms <= last_ms {
            self.head.widen_span(first_ms, last_ms);
        }
        self.stats
    }
}

fn encode_rows(plan: &mut GroupPlan, writer: &mut CommitWriter) {
    if plan.joins.is_empty() && plan.rows.is_empty() {
        return;
    }
    let state = plan.shared.lock();
    let several = plan.joins.len() + plan.rows.len() > 1;
    // What the rows of this batch before the one at hand make of their columns.
    let mut bases: ByNumber<Base> = ByNumber::default();
    let times = &state.page.times;
    let (mut last_ms, mut step_ms, mut n_rows) = (times.last_ms().unwrap_or(0), times.step_ms(), plan.n_rows);
    let mut mask = state.mask.clone();
    for row in plan.joins.iter_mut().chain(&mut plan.rows) {
        let (full, join) = (row.full, row.join.is_some());
        let against = RowBase { kind: plan.kind, last_ms, step_ms, n_rows, mask: &mask };
        let base = |column: u32| {
            let planned = if several { bases.get(&column).copied() } else { None };
            planned.or_else(|| state.page.columns.get(column as usize).and_then(Column::base))
        };
        writer.row(plan.id, plan.kind, full, join, |out| put_row(out, row, against, base));
        if several {
            for (column, bits) in &row.changes {
                let base = |column: u32| {
                    let planned = bases.get(&column).copied();
                    planned.or_else(|| state.page.columns.get(column as usize).and_then(Column::base))
                };
                let before = if full { None } else { base(*column) };
                let (_, next) = Base::code(before, *bits);
                bases.insert(*column, next);
            }
        }
        if !join {
            step_ms = if n_rows == 0 { 0 } else { row.t_ms.wrapping_sub(last_ms) };
            last_ms = row.t_ms;
            n_rows += 1;
        }
        mask.clone_from(&row.mask);
    }
}

/// Applies what stands in place of values in rows; also used by replay.
pub(super) fn apply_firsts(head: &Head, firsts: &[(u32, i64, u64)]) {
    if firsts.is_empty() {
        return;
    }
    head.has_side.store(true, Ordering::Release);
    let mut side = head.side.lock();
    for (series, t_ms, bits) in firsts {
        head.newest_late_ms.fetch_max(*t_ms, Ordering::AcqRel);
        side.put_first(*series, *t_ms, *bits);
    }
}

/// Applies what stands beside rows; also used by replay.
pub(super) fn apply_beside(
    head: &Head,
    epoch: u32,
    late: Vec<(u32, i64, u64)>,
    starts: Vec<(u32, i64, i64)>,
    histograms: Vec<(u32, i64, i64, Arc<Histogram>)>,
    exemplars: Vec<(u32, Exemplar)>,
) {
    if !late.is_empty() || !histograms.is_empty() || !starts.is_empty() {
        head.has_side.store(true, Ordering::Release);
        if !starts.is_empty() {
            head.has_starts.store(true, Ordering::Release);
        }
        let mut side = head.side.lock();
        for (series, t_ms, bits) in late {
            head.newest_late_ms.fetch_max(t_ms, Ordering::AcqRel);
            side.put_late(series, t_ms, bits);
        }
        for (series, t_ms, start_ms) in starts {
            let known = side.starts.entry(series).or_default();
            known.epoch = epoch;
            known.put(t_ms, start_ms);
        }
        for (series, t_ms, start_ms, histogram) in histograms {
            side.put_histogram(series, t_ms, (start_ms, histogram));
        }
    }
    if !exemplars.is_empty() {
        let mut ring = head.exemplars.lock();
        exemplars.into_iter().for_each(|(series, exemplar)| ring.put(series, exemplar));
    }
}
