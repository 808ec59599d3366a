//! What of a batch lies behind a follower's horizon, sample by sample.
//!
//! In from the plan of a batch, which is settled and not written yet; out to `storage::Follower`. A batch ahead of the horizon, as nearly all
//! are, costs a comparison. Rows say only what changed: here they are spelled out.

use storage::{Behind, BehindValue};

use model::Labels;

use super::plan::{GroupPlan, Plan};
use crate::db::Db;
use crate::head::{ByNumber, NO_SERIES, Table};
use crate::row::{GroupKind, Row};

/// Hands over what the plan holds behind the horizon. `first_ms` is the batch's earliest sample.
pub(super) fn tell(db: &Db, plan: &Plan<'_>, first_ms: Option<i64>) {
    let Some(follower) = db.follower() else { return };
    let horizon_ms = follower.horizon_ms();
    let is_behind = first_ms.is_some_and(|first_ms| first_ms <= horizon_ms);
    let has_exemplars = horizon_ms > i64::MIN && !plan.exemplars.is_empty() && follower.wants_exemplars();
    if !is_behind && !has_exemplars {
        return;
    }
    let mut found =
        Found { plan, table: &db.head().table.read(), labels: ByNumber::default(), out: Vec::new() };
    if is_behind {
        found.samples(horizon_ms);
    }
    if has_exemplars {
        for (series, exemplar) in &plan.exemplars {
            found.put(*series, exemplar.t_ms, 0, BehindValue::Exemplar(exemplar.clone()));
        }
    }
    let out = found.out;
    if !out.is_empty() {
        follower.take(out);
    }
}

struct Found<'a> {
    plan: &'a Plan<'a>,
    table: &'a Table,
    labels: ByNumber<Option<Labels>>,
    out: Vec<Behind>,
}

impl Found<'_> {
    fn put(&mut self, series: u32, t_ms: i64, start_ms: i64, value: BehindValue) {
        let (plan, table) = (self.plan, self.table);
        let labels = self.labels.entry(series).or_insert_with(|| {
            let new = || plan.series.iter().find(|new| new.series == series).map(|new| new.labels.clone());
            plan.kept.get(&series).cloned().or_else(|| table.series.labels(series)).or_else(new)
        });
        if let Some(labels) = labels {
            self.out.push(Behind { labels: labels.clone(), t_ms, start_ms, value });
        }
    }

    fn float(&mut self, series: u32, t_ms: i64, bits: u64) {
        let start_ms = self.start_of(series, t_ms);
        self.put(series, t_ms, start_ms, BehindValue::Float(f64::from_bits(bits)));
    }

    /// The start that holds for a float of `series` at `t_ms`, once this batch is applied.
    fn start_of(&self, series: u32, t_ms: i64) -> i64 {
        let planned = self.plan.starts.iter().filter(|(of, from_ms, _)| *of == series && *from_ms <= t_ms);
        if let Some((_, _, start_ms)) = planned.max_by_key(|(_, from_ms, _)| *from_ms) {
            return *start_ms;
        }
        let head = self.plan.head;
        if !head.has_starts.load(std::sync::atomic::Ordering::Acquire) {
            return 0;
        }
        head.side.lock().starts.get(&series).map_or(0, |known| known.at(t_ms))
    }

    fn samples(&mut self, horizon_ms: i64) {
        let plan = self.plan;
        for group in &plan.groups {
            if !group.rows.is_empty() || !group.joins.is_empty() {
                self.rows(group, horizon_ms);
            }
        }
        for (series, t_ms, bits) in plan.late.iter().filter(|(_, t_ms, _)| *t_ms <= horizon_ms) {
            self.float(*series, *t_ms, *bits);
        }
        for (series, t_ms, start_ms, histogram) in &plan.histograms {
            if *t_ms <= horizon_ms {
                self.put(*series, *t_ms, *start_ms, BehindValue::Histogram(histogram.clone()));
            }
        }
    }

    fn rows(&mut self, group: &GroupPlan, horizon_ms: i64) {
        let (samples, columns) = spelled_out(self.plan, group, horizon_ms);
        for (t_ms, column, bits) in samples {
            if let Some(series) = columns.get(column as usize).filter(|series| **series != NO_SERIES) {
                // What was stored first went out then.
                if self.plan.firsts.iter().any(|(of, at_ms, _)| of == series && *at_ms == t_ms) {
                    continue;
                }
                self.float(*series, t_ms, bits);
            }
        }
    }
}

/// Time, column and bits of every sample of a group's planned rows up to the horizon, and which series its columns are.
pub(super) fn spelled_out(
    plan: &Plan<'_>,
    group: &GroupPlan,
    horizon_ms: i64,
) -> (Vec<(i64, u32, u64)>, Vec<u32>) {
    let state = group.shared.lock();
    let mut columns: Vec<u32> = state.page.columns.iter().map(|column| column.series).collect();
    columns.resize(group.n_columns as usize, NO_SERIES);
    for new in plan.columns.iter().filter(|new| new.group == group.id) {
        columns[new.column as usize] = new.series;
    }
    let times = if group.joins.is_empty() { Vec::new() } else { state.page.times.decode() };
    let mut samples = Vec::new();
    for row in &group.joins {
        let t_ms = row.join.and_then(|at| times.get(at as usize)).copied();
        if let Some(t_ms) = t_ms.filter(|t_ms| *t_ms <= horizon_ms) {
            samples.extend(row.changes.iter().map(|(column, bits)| (t_ms, *column, *bits)));
        }
    }
    // What the rows of this batch so far make of the columns.
    let mut before: Vec<(u32, u64)> = Vec::new();
    for row in group.rows.iter().take_while(|row| row.t_ms <= horizon_ms) {
        if group.kind == GroupKind::Explicit {
            samples.extend(row.changes.iter().map(|(column, bits)| (row.t_ms, *column, *bits)));
            continue;
        }
        let now = following(&state, row, &before);
        let is_open = |column: &u32| !group.closes.contains(column);
        samples.extend(
            now.iter().filter(|(column, _)| is_open(column)).map(|(column, bits)| (row.t_ms, *column, *bits)),
        );
        before = now;
    }
    (samples, columns)
}

/// All samples of a row: what it changes, over the rows `before` it in the batch, over what the head has.
fn following(state: &crate::head::Group, row: &Row, before: &[(u32, u64)]) -> Vec<(u32, u64)> {
    if row.full {
        return row.changes.clone();
    }
    if before.is_empty() {
        return state.full_changes(&row.changes);
    }
    let ended = |bits: u64| bits == model::STALE_NAN_BITS;
    let mut all: std::collections::BTreeMap<u32, u64> =
        before.iter().copied().filter(|(_, bits)| !ended(*bits)).collect();
    all.extend(row.changes.iter().copied());
    all.into_iter().collect()
}
