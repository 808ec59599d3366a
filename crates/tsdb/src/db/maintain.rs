//! What is due: cut, checkpoint, compact, expire. Each step leaves everything found by readers and by a restart.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use model::TimeRange;

use super::Db;
use super::compact::{compact, expire, publish, report_damage};
use crate::compact::cut_block;
use crate::error::TsdbError;
use crate::report::MaintenanceReport;
use crate::wal::write_checkpoint;

/// Ranges cut in one call. Chosen: a day of two-hour blocks after a long standstill, and then the next call.
const CUTS_MAX: usize = 12;

/// Ranges sealed in one call; busy writers begin new ones meanwhile. Chosen.
const SEALS_MAX: usize = 100;

pub(super) fn maintain(db: &Db, now_ms: i64) -> Result<MaintenanceReport, TsdbError> {
    let mut report = MaintenanceReport::default();
    let cut = cut(db, now_ms, &mut report);
    let checkpoint = if db.checkpoint_due.load(Ordering::Acquire) {
        db.checkpoint().map(|n_removed| report.n_segments_removed = n_removed)
    } else {
        Ok(())
    };
    let compacted = compact(db, now_ms, &mut report);
    let expired = expire(db, now_ms, &mut report);
    report_damage(db, &mut report);
    update_gauges(db);
    cut.and(checkpoint).and(compacted).and(expired)?;
    Ok(report)
}

/// Cuts every range that the newest sample has left behind by half a block, as Prometheus does.
fn cut(db: &Db, now_ms: i64, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    for _ in 0..CUTS_MAX {
        let range = {
            let head = db.head.read();
            let Some(range) = head.first_range() else { return Ok(()) };
            let half_ms = db.options.block_ms / 2;
            if head.trusted_max_ms(now_ms).saturating_sub(half_ms) <= range.end_ms {
                return Ok(());
            }
            range
        };
        report.cut.push(cut_range(db, range)?);
    }
    Ok(())
}

/// Cuts what the head has up to the end of `range`, complete or not.
pub(super) fn seal(db: &Db, range: TimeRange) -> Result<(), TsdbError> {
    for _ in 0..SEALS_MAX {
        let first = db.head.read().first_range();
        match first.filter(|first| first.start_ms <= range.end_ms) {
            None => break,
            Some(first) => cut_range(db, first)?,
        };
    }
    if db.checkpoint_due.load(Ordering::Acquire) {
        db.checkpoint()?;
    }
    Ok(())
}

/// Makes the head's samples in `range` a block; returns its name.
fn cut_range(db: &Db, range: TimeRange) -> Result<String, TsdbError> {
    let mut series = db.head.read().cut_snapshot(range);
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let written = cut_block(&db.dir, &format!("cut-{}", range.start_ms), &series);
    let name = written.and_then(|name| publish(db, std::slice::from_ref(&name), &[]).map(|()| name));
    let name = name.inspect_err(|_| db.metrics.compactions_failed.inc())?;
    db.metrics.compactions.inc();
    let count = |chunk: &crate::head::MemChunk| crate::chunk::n_samples(&chunk.bytes).unwrap_or(0) as u64;
    let cut: BTreeMap<u64, u64> =
        series.iter().map(|one| (one.number, one.chunks.iter().map(count).sum())).collect();
    let n_gone = {
        // The commit lock, so that no batch is between its judgement and its application.
        let _wal = db.wal.lock();
        db.head.write().truncate(range, &cut)
    };
    db.metrics.series_removed.add(n_gone as u64);
    db.checkpoint_due.store(true, Ordering::Release);
    Ok(name)
}

pub(super) fn update_gauges(db: &Db) {
    {
        let head = db.head.read();
        let (min_ms, max_ms) = head.span();
        db.metrics.head_series.set(head.n_series() as f64);
        db.metrics.head_chunks.set(head.n_chunks() as f64);
        db.metrics.head_min_time_ms.set(min_ms as f64);
        db.metrics.head_max_time_ms.set(max_ms as f64);
    }
    {
        let wal = db.wal.lock();
        db.metrics.wal_bytes.set(wal.total_bytes() as f64);
        db.metrics.wal_segment.set(wal.number() as f64);
    }
    let blocks = db.blocks.read();
    db.metrics.blocks.set(blocks.len() as f64);
    db.metrics.block_bytes.set(blocks.iter().map(|block| block.size_bytes()).sum::<u64>() as f64);
}

impl Db {
    /// Writes the head to a checkpoint, so that the segments before now can go. Returns how many went.
    ///
    /// The caller holds the maintenance lock, or is alone.
    pub(super) fn checkpoint(&self) -> Result<usize, TsdbError> {
        self.metrics.checkpoints.inc();
        self.checkpoint_due.store(true, Ordering::Release);
        self.try_checkpoint(|| Ok(())).inspect_err(|_| self.metrics.checkpoints_failed.inc())
    }

    /// `once_durable` runs before anything that the checkpoint stands for is removed.
    pub(super) fn try_checkpoint(
        &self,
        once_durable: impl FnOnce() -> Result<(), TsdbError>,
    ) -> Result<usize, TsdbError> {
        let (number, series, next_series) = {
            // The commit lock: the head is exactly what the segments before `number` say.
            let mut wal = self.wal.lock();
            let sync_old = wal.sync_handle().is_some();
            wal.roll(sync_old)?;
            let head = self.head.read();
            (wal.number(), head.checkpoint(), self.next_series.load(Ordering::Relaxed))
        };
        write_checkpoint(&*self.dir, number, &series, next_series)?;
        once_durable()?;
        let n_removed = self.wal.lock().checkpoint_done(number);
        self.checkpoint_due.store(false, Ordering::Release);
        Ok(n_removed)
    }
}
