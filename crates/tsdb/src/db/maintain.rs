//! What is due: seal, compact, expire. Each step leaves everything found by readers and by a restart.

use std::sync::atomic::Ordering;

use model::TimeRange;

use super::compact::{compact, expire, report_damage};
use super::seal as sealing;
use super::{Db, n_columns_with_samples, rollup};
use crate::error::TsdbError;
use crate::head::SharedGroup;
use crate::report::MaintenanceReport;

pub(super) fn maintain(db: &Db, now_ms: i64) -> Result<MaintenanceReport, TsdbError> {
    let mut report = MaintenanceReport::default();
    recount(db);
    let (min_ms, max_ms) = db.head.span();
    let memory_is_short = min_ms <= max_ms && db.budget.wants_seal(&db.head);
    let is_due = is_block_full(db, now_ms);
    if memory_is_short && !is_due {
        db.budget.sealed_early();
    }
    let sealed = if memory_is_short || is_due {
        sealing::seal(db, now_ms).map(|(names, n_segments)| {
            report.cut = names;
            report.n_segments_removed = n_segments;
        })
    } else {
        Ok(())
    };
    if db.cache.set_small(db.budget.wants_small_caches(&db.head)) {
        db.budget.made_caches_small();
    }
    let rolled_up = rollup::advance(db, now_ms, &mut report);
    // Samples that should have been rolled up must not go.
    let (compacted, expired) = if rolled_up.is_ok() {
        (compact(db, now_ms, &mut report), expire(db, now_ms, &mut report))
    } else {
        (Ok(()), Ok(()))
    };
    let tended = rollup::tend(db, now_ms, &mut report);
    report_damage(db, &mut report);
    update_gauges(db);
    sealed.and(rolled_up).and(compacted).and(expired).and(tended)?;
    Ok(report)
}

/// Seals what the head has, when any of it is within `range`.
pub(super) fn seal(db: &Db, range: TimeRange) -> Result<(), TsdbError> {
    let (min_ms, max_ms) = db.head.span();
    if min_ms <= max_ms && range.overlaps(TimeRange::new(min_ms, max_ms)) {
        sealing::seal(db, i64::MAX)?;
    }
    Ok(())
}

/// By the time of the data. Costs nothing.
pub(super) fn is_block_full(db: &Db, now_ms: i64) -> bool {
    let (min_ms, max_ms) = db.head.span();
    if min_ms > max_ms {
        return false;
    }
    let newest_ms = db.head.trusted_max_ms(now_ms);
    // Late samples alone do not hurry: their oldest may be of long ago.
    let oldest_ms = db.head.oldest_row_ms.load(Ordering::Acquire).min(newest_ms);
    let span_ms = newest_ms.saturating_sub(oldest_ms);
    span_ms >= db.options.seal_ms
}

/// Counts what the head holds: its span and its memory.
pub(super) fn recount(db: &Db) {
    let (groups, mut n_bytes) = {
        let table = db.head.table.read();
        let groups: Vec<SharedGroup> = table.groups.values().cloned().collect();
        // A former place with its list; a group's entry.
        let places = table.places.memory_bytes() + table.former.len() * 48 + table.groups.capacity() * 16;
        (groups, table.series.memory_bytes() + places)
    };
    n_bytes += groups.iter().map(|shared| shared.lock().memory_bytes()).sum::<usize>();
    n_bytes += db.head.exemplars.lock().memory_bytes();
    n_bytes += db.head.side.lock().memory_bytes();
    db.budget.counted(&db.head, (n_bytes + db.cache.bytes()) as u64);
    // What was sealed still says how far time has come, so that no gap in the samples opens the door to old ones.
    let newest_block_ms = db.blocks.read().iter().map(|block| block.range().end_ms).max().unwrap_or(i64::MIN);
    db.head.sealed_max_ms.store(newest_block_ms, Ordering::Release);
    // The commit lock, so that no commit widens the span meanwhile.
    let _log = db.log.lock();
    let (mut min_ms, mut max_ms, mut oldest_row_ms) = (i64::MAX, i64::MIN, i64::MAX);
    let groups: Vec<SharedGroup> = db.head.table.read().groups.values().cloned().collect();
    for shared in groups {
        let group = shared.lock();
        if let Some((oldest_ms, newest_ms)) = group.span() {
            oldest_row_ms = oldest_row_ms.min(oldest_ms);
            (min_ms, max_ms) = (min_ms.min(oldest_ms), max_ms.max(newest_ms));
        }
    }
    let side = db.head.side.lock();
    if let Some((first_ms, last_ms)) = side.span() {
        (min_ms, max_ms) = (min_ms.min(first_ms), max_ms.max(last_ms));
    }
    db.head.min_ms.store(min_ms, Ordering::Release);
    db.head.max_ms.store(max_ms, Ordering::Release);
    db.head.oldest_row_ms.store(oldest_row_ms.min(side.oldest_histogram_ms()), Ordering::Release);
}

pub(super) fn update_gauges(db: &Db) {
    let (min_ms, max_ms) = db.head.span();
    let groups: Vec<SharedGroup> = db.head.table.read().groups.values().cloned().collect();
    let n_chunks: u64 = groups.iter().map(|shared| n_columns_with_samples(&shared.lock())).sum();
    db.metrics.head_series.set(db.head.n_series() as f64);
    db.metrics.head_chunks.set(n_chunks as f64);
    db.metrics.head_min_time_ms.set(min_ms as f64);
    db.metrics.head_max_time_ms.set(max_ms as f64);
    {
        let log = db.log.lock();
        db.metrics.wal_bytes.set(log.total_bytes() as f64);
        db.metrics.wal_segment.set(log.rows.number() as f64);
    }
    let blocks = db.blocks.read();
    db.metrics.blocks.set(blocks.len() as f64);
    db.metrics.rollup_bytes.set(db.tiers.size_bytes() as f64);
    db.metrics.rollup_floor_ms.set(db.tiers.floor_ms() as f64);
    db.metrics.block_bytes.set(blocks.iter().map(|block| block.size_bytes()).sum::<u64>() as f64);
}
