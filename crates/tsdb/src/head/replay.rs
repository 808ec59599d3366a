//! The head as the log says it was: definitions first, then rows.
//!
//! In from `db::open`, alone with the head; uses the very code that applies commits, so that columns come into the state in which
//! their next value was coded. Rows of columns whose definition was lost with a power failure are
//! read over: their places stay taken, so that no later series gets their samples.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::beside::{apply_beside, apply_firsts};
use super::column::NO_SERIES;
use super::group::Group;
use super::{ByNumber, Column, Head, Place, SharedGroup};
use crate::row::{GroupKind, Row};
use crate::wal::{
    BadRecord, Definition, Item, NewColumn, RowBase, decode_commit, decode_definitions, get_row,
};

/// A head being restored.
#[derive(Debug)]
pub(crate) struct Restore<'a> {
    head: &'a mut Head,
    /// Series that came in under another number before: old number → the one in use.
    aliases: ByNumber<u32>,
    next_series: u32,
    next_group: u32,
    span: (i64, i64),
    /// Segments of rows before this are gone on purpose.
    pub(crate) floor: Option<u64>,
    pub(crate) n_samples: u64,
    pub(crate) n_orphans: u64,
}

impl<'a> Restore<'a> {
    pub(crate) fn new(head: &'a mut Head) -> Self {
        Self {
            head,
            aliases: ByNumber::default(),
            next_series: 0,
            next_group: 0,
            span: (i64::MAX, i64::MIN),
            floor: None,
            n_samples: 0,
            n_orphans: 0,
        }
    }

    /// A record of the series log.
    pub(crate) fn define(&mut self, payload: &[u8]) -> Result<(), BadRecord> {
        decode_definitions(payload, &mut |part| match part {
            Definition::Series(new) => {
                self.next_series = self.next_series.max(new.series.saturating_add(1));
                let table = self.head.table.get_mut();
                let series = table.series.insert_at(new.series, &new.labels);
                if series != new.series {
                    self.aliases.insert(new.series, series);
                }
            }
            Definition::Column(new) => self.column(new),
            Definition::Floor(number) => self.floor = Some(number),
            Definition::End { next_series, .. } => self.next_series = self.next_series.max(next_series),
        })
    }

    fn column(&mut self, new: NewColumn) {
        self.next_group = self.next_group.max(new.group.saturating_add(1));
        let series = self.aliases.get(&new.series).copied().unwrap_or(new.series);
        let table = self.head.table.get_mut();
        if new.kind == GroupKind::Explicit
            && new.column == 0
            && let Some(labels) = table.series.labels(series)
        {
            let cohort = table.cohort_of(&labels);
            table.cohorts.insert(cohort, new.group);
        }
        group_of(&mut table.groups, new.group, new.kind).lock().set_column(new.column, series);
        table.set_place(series, Place { group: new.group, column: new.column });
    }

    /// A record of the rows' log.
    pub(crate) fn commit(&mut self, payload: &[u8]) -> Result<(), BadRecord> {
        let (mut late, mut starts, mut histograms, mut exemplars) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        decode_commit(payload, &mut |item| {
            match item {
                Item::Row { group, kind, full, join, body } => {
                    return self.row(group, kind, full, join, body);
                }
                Item::Close { group, columns } => {
                    if let Some(shared) = self.head.table.get_mut().groups.get(&group) {
                        let mut group = shared.lock();
                        columns.into_iter().for_each(|column| group.close_column(column));
                    }
                }
                Item::Late { series, t_ms, bits } => {
                    if let Some(series) = self.known(series, t_ms) {
                        late.push((series, t_ms, bits));
                        self.n_samples += 1;
                    }
                }
                Item::First { series, t_ms, bits } => {
                    if let Some(series) = self.known(series, t_ms) {
                        apply_firsts(self.head, &[(series, t_ms, bits)]);
                    }
                }
                Item::Histogram { series, t_ms, start_ms, histogram } => {
                    if let Some(series) = self.known(series, t_ms) {
                        histograms.push((series, t_ms, start_ms, Arc::from(histogram)));
                        self.n_samples += 1;
                    }
                }
                Item::Start { series, t_ms, start_ms } => {
                    if let Some(series) = self.known(series, i64::MIN) {
                        starts.push((series, t_ms, start_ms));
                    }
                }
                Item::Exemplar { series, exemplar } => {
                    if let Some(series) = self.known(series, i64::MIN) {
                        exemplars.push((series, exemplar));
                    }
                }
            }
            Ok(())
        })?;
        apply_beside(self.head, 0, late, starts, histograms, exemplars);
        Ok(())
    }

    /// The series of this number, with a sample at `t_ms` but for `i64::MIN`.
    fn known(&mut self, series: u32, t_ms: i64) -> Option<u32> {
        self.next_series = self.next_series.max(series.saturating_add(1));
        let series = self.aliases.get(&series).copied().unwrap_or(series);
        if !self.head.table.get_mut().series.contains(series) {
            self.n_orphans += 1;
            return None;
        }
        if t_ms != i64::MIN {
            self.span = (self.span.0.min(t_ms), self.span.1.max(t_ms));
        }
        Some(series)
    }

    fn row(
        &mut self,
        id: u32,
        kind: GroupKind,
        full: bool,
        join: bool,
        body: &[u8],
    ) -> Result<(), BadRecord> {
        self.next_group = self.next_group.max(id.saturating_add(1));
        let shared = group_of(&mut self.head.table.get_mut().groups, id, kind);
        let mut group = shared.lock();
        if group.kind != kind {
            return Err(BadRecord("row of another kind of group"));
        }
        if full && join {
            return Err(BadRecord("first row of a page that joins one"));
        }
        if !full && group.n_rows() == 0 {
            return Err(BadRecord("row without the first one of its page"));
        }
        let times = &group.page.times;
        let against = RowBase {
            kind,
            last_ms: times.last_ms().unwrap_or(0),
            step_ms: times.step_ms(),
            n_rows: group.n_rows(),
            mask: &group.mask,
        };
        let base = |column: u32| group.page.columns.get(column as usize).and_then(Column::base);
        let row: Row = get_row(body, full, join, against, base)?;
        let takes = |column: u32, at: u32| {
            group.page.columns.get(column as usize).is_none_or(|column| column.takes_at(at))
        };
        if row.join.is_some_and(|at| row.changes.iter().any(|(column, _)| !takes(*column, at))) {
            return Err(BadRecord("row joins one that a column of it has passed"));
        }
        if row.join.is_none() {
            self.span = (self.span.0.min(row.t_ms), self.span.1.max(row.t_ms));
        }
        if let Some((last, _)) = row.changes.last()
            && *last as usize >= group.page.columns.len()
        {
            group.set_column(*last, NO_SERIES);
        }
        let is_orphan = |(column, _): &&(u32, u64)| group.page.columns[*column as usize].series == NO_SERIES;
        let n_orphans = row.changes.iter().filter(is_orphan).count() as u64;
        self.n_orphans += n_orphans;
        self.n_samples += group.apply(row).saturating_sub(n_orphans);
        Ok(())
    }

    /// Ends the replay: numbers that were taken stay so.
    pub(crate) fn finish(self) -> (u64, u64) {
        let head = self.head;
        head.table.get_mut().look_elsewhere();
        head.next_series.store(self.next_series, Ordering::Relaxed);
        head.next_group.store(self.next_group, Ordering::Relaxed);
        head.min_ms.store(self.span.0, Ordering::Release);
        head.max_ms.store(self.span.1, Ordering::Release);
        (self.n_samples, self.n_orphans)
    }
}

fn group_of(groups: &mut ByNumber<SharedGroup>, id: u32, kind: GroupKind) -> SharedGroup {
    groups.entry(id).or_insert_with(|| Arc::new(parking_lot::Mutex::new(Group::new(id, kind, 0)))).clone()
}
