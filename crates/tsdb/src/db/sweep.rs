//! What has no samples left in the head and takes no more leaves it: columns, groups, series.
//!
//! Candidates are found without the log's lock, and looked at again under it, so that no batch is between its
//! judgement and its application.

use roaring::RoaringBitmap;

use super::Db;
use crate::head::{Group, NO_SERIES, Place, SharedGroup};
use crate::row::GroupKind;

/// Dead columns of a target's group above which its writer begins a new one. Chosen.
const DEAD_COLUMNS_MIN: usize = 64;
/// Series removed under one hold of the locks. Chosen: some milliseconds.
const REMOVE_AT_ONCE: usize = 10_000;

/// Whether nothing of the group is in memory.
fn is_empty(group: &Group) -> bool {
    group.n_rows() == 0 && group.closed.is_empty()
}

/// Whether the column has nothing in memory and takes nothing without being told first.
fn is_dead(group: &Group, idx: usize, idle: bool) -> bool {
    let Some(column) = group.page.columns.get(idx) else { return false };
    if column.series == NO_SERIES || !group.closed.is_empty() || column.has_samples(group.n_rows()) {
        return false;
    }
    if !column.is_open() {
        return true;
    }
    match group.kind {
        GroupKind::Following => !column.is_live() || idle,
        // A series that ended with a staleness marker is not waited for.
        GroupKind::Explicit => {
            idle || column.was_idle() || model::is_stale(f64::from_bits(column.last_bits()))
        }
    }
}

/// Returns how many series left. `all`: nobody has a reference yet, so that whatever has no samples goes.
pub(super) fn sweep(db: &Db, now_ms: i64, all: bool) -> u64 {
    // A group without a row for so long is over.
    let idle_ms = if all { i64::MAX } else { db.head.in_order_floor_ms(now_ms) };
    let groups: Vec<SharedGroup> = db.head.table.read().groups.values().cloned().collect();
    let candidates: Vec<SharedGroup> = groups
        .into_iter()
        .filter(|shared| {
            let group = shared.lock();
            let idle = all || is_empty(&group) && group.newest_ms < idle_ms;
            (0..group.page.columns.len()).any(|idx| is_dead(&group, idx, idle)) || is_empty(&group) && idle
        })
        .collect();
    for shared in &candidates {
        sweep_group(db, shared, idle_ms, all);
    }
    sweep_series(db, idle_ms)
}

fn sweep_group(db: &Db, shared: &SharedGroup, idle_ms: i64, all: bool) {
    let _log = db.log.lock();
    let mut table = db.head.table.write();
    let mut group = shared.lock();
    let idle = all || is_empty(&group) && group.newest_ms < idle_ms;
    for idx in 0..group.page.columns.len() {
        if !is_dead(&group, idx, idle) {
            continue;
        }
        let series = group.page.columns[idx].series;
        let place = Place { group: group.id, column: idx as u32 };
        group.close_column(idx as u32);
        group.page.columns[idx].series = NO_SERIES;
        if table.places.get(series) == Some(place) {
            table.places.remove(series);
        }
        if let Some(former) = table.former.get_mut(&series) {
            former.retain(|one| *one != place);
            if former.is_empty() {
                table.former.remove(&series);
            }
        }
    }
    let n_dead = group.page.columns.iter().filter(|column| column.series == NO_SERIES).count();
    let n_columns = group.page.columns.len();
    if n_dead == n_columns && is_empty(&group) {
        group.gone = true;
        let id = group.id;
        table.groups.remove(&id);
        table.cohorts.retain(|_, newest| *newest != id);
    } else if group.kind == GroupKind::Following && n_dead > DEAD_COLUMNS_MIN && n_dead > n_columns / 2 {
        // Its writer is told that the group is gone and moves the living columns to a new one.
        group.gone = true;
    }
}

/// Removes series that have neither a column nor samples. Those with exemplars stay as long as these do, of which
/// there are no more than [`crate::Options::exemplars_max`].
fn sweep_series(db: &Db, idle_ms: i64) -> u64 {
    let mut ids = db.head.table.read().series.ids();
    db.head.exemplars.lock().iter().for_each(|(series, _)| {
        ids.remove(*series);
    });
    let mut dead: Vec<u32> = {
        let table = db.head.table.read();
        ids.iter().filter(|series| table.places.get(*series).is_none()).collect()
    };
    let mut n_gone = 0;
    while !dead.is_empty() {
        let some = dead.split_off(dead.len().saturating_sub(REMOVE_AT_ONCE));
        let _log = db.log.lock();
        let mut table = db.head.table.write();
        let mut side = db.head.side.lock();
        let is_dead = |series: &u32| {
            let newest = side.newest_histogram.get(series).copied().unwrap_or(i64::MIN);
            table.places.get(*series).is_none()
                && !table.former.contains_key(series)
                && !side.has_samples(*series)
                && (newest < idle_ms || newest == i64::MIN)
        };
        let gone: RoaringBitmap = some.iter().filter(|series| is_dead(series)).copied().collect();
        for series in &gone {
            side.starts.remove(&series);
            side.newest_histogram.remove(&series);
        }
        drop(side);
        n_gone += gone.len();
        table.series.remove(&gone);
        drop(table);
        if !gone.is_empty() {
            db.head.exemplars.lock().retain(|series| !gone.contains(series));
        }
    }
    n_gone
}
