//! A batch becomes log records, and then part of the head.
//!
//! In three steps under the log's lock: a [`Plan`] says what goes where; it is written; only then is it applied, so that after a
//! failed write nothing of it is visible.

use std::sync::atomic::Ordering;

use model::Labels;
use storage::{AppendStats, StorageError};

use super::follow;
use super::plan::{GroupPlan, Op, Plan};
use crate::coded::Base;
use crate::db::Db;
use crate::head::{ByNumber, Column, NEW_SERIES_BYTES, NO_SERIES, Place, apply_beside, apply_firsts};
use crate::options::Durability;
use crate::row::GroupKind;
use crate::wal::{CommitWriter, NewColumn, RowBase, encode_definitions, put_row};

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

impl Plan<'_> {
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
