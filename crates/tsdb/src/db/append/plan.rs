//! The plan of a batch: what goes where, judged against the head as it is now.
//!
//! In from the appender's operations, one by one, under the log's lock; out to `commit`, which writes and applies it. Only commits
//! add to groups, so that the plan still holds when it is applied. Nothing of the head is changed here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Exemplar, Histogram, Labels};
use parking_lot::Mutex;
use storage::AppendStats;

use crate::db::Db;
use crate::head::{ByNumber, Group, Head, NO_SERIES, Place, SharedGroup, Table, Verdict};
use crate::row::{GroupKind, Row};
use crate::wal::{NewColumn, NewSeries};

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
    pub(super) fn t_ms(&self) -> Option<i64> {
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
pub(super) struct GroupPlan {
    pub(super) id: u32,
    pub(super) shared: SharedGroup,
    pub(super) kind: GroupKind,
    pub(super) is_new: bool,
    /// Columns, those of this batch included.
    pub(super) n_columns: u32,
    pub(super) newest_ms: i64,
    pub(super) elsewhere_ms: i64,
    pub(super) n_rows: u32,
    /// By rising time.
    pub(super) rows: Vec<Row>,
    pub(super) joins: Vec<Row>,
    pub(super) closes: Vec<u32>,
    pub(super) n_told: usize,
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

pub(super) struct Plan<'a> {
    pub(super) head: &'a Head,
    pub(super) epoch: u32,
    pub(super) now_ms: i64,
    pub(super) kept: ByNumber<Labels>,
    pub(super) stats: AppendStats,
    pub(super) groups: Vec<GroupPlan>,
    pub(super) group_idx: ByNumber<usize>,
    pub(super) last_group: usize,
    pub(super) series: Vec<NewSeries>,
    pub(super) new_series: ByNumber<()>,
    pub(super) columns: Vec<NewColumn>,
    pub(super) places: ByNumber<Place>,
    pub(super) cohorts: ByNumber64,
    pub(super) late: Vec<(u32, i64, u64)>,
    /// What was stored before where a planned row has something else.
    pub(super) firsts: Vec<(u32, i64, u64)>,
    pub(super) starts: Vec<(u32, i64, i64)>,
    pub(super) histograms: Vec<(u32, i64, i64, Arc<Histogram>)>,
    pub(super) exemplars: Vec<(u32, Exemplar)>,
    pub(super) room: usize,
}

type ByNumber64 = std::collections::HashMap<u64, u32>;

impl<'a> Plan<'a> {
    pub(super) fn new(db: &'a Db, epoch: u32, now_ms: i64, kept: ByNumber<Labels>) -> Self {
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

    pub(super) fn take(&mut self, table: &Table, op: Op) {
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
    pub(super) fn settle(&mut self) {
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
}
