//! What is due: cut, checkpoint, compact, expire. Each step leaves everything found by readers and by a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Db;
use crate::block::{Block, remove_block};
use crate::compact::{BlockInfo, compact_blocks, compaction_ranges, cut_block, expired, plan};
use crate::error::TsdbError;
use crate::report::MaintenanceReport;
use crate::wal::write_checkpoint;

/// Blocks merged in one call, so that a call ends. Chosen.
const COMPACTIONS_MAX: usize = 16;
/// Ranges cut in one call. Chosen: a day of two-hour blocks after a long standstill, and then the next call.
const CUTS_MAX: usize = 12;

pub(super) fn maintain(db: &Db, now_ms: i64) -> Result<MaintenanceReport, TsdbError> {
    let mut report = MaintenanceReport::default();
    let cut = cut(db, now_ms, &mut report);
    let checkpoint = if db.checkpoint_due.load(Ordering::Acquire) {
        db.checkpoint().map(|n_removed| report.n_segments_removed = n_removed)
    } else {
        Ok(())
    };
    let compacted = compact(db, &mut report);
    let expired = expire(db, now_ms, &mut report);
    update_gauges(db);
    cut.and(checkpoint).and(compacted).and(expired)?;
    Ok(report)
}

/// Cuts every range that the newest sample has left behind by half a block, as Prometheus does.
fn cut(db: &Db, now_ms: i64, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    for _ in 0..CUTS_MAX {
        let (range, mut series) = {
            let head = db.head.read();
            let Some(range) = head.first_range() else { return Ok(()) };
            let half_ms = db.options.block_ms / 2;
            if head.trusted_max_ms(now_ms).saturating_sub(half_ms) <= range.end_ms {
                return Ok(());
            }
            (range, head.cut_snapshot(range))
        };
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let written = cut_block(&db.dir, &format!("cut-{}", range.start_ms), &series);
        let name = written.and_then(|name| publish(db, &name, &[]).map(|()| name));
        let name = name.inspect_err(|_| db.metrics.compactions_failed.inc())?;
        db.metrics.compactions.inc();
        report.cut.push(name);
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
    }
    Ok(())
}

/// Opens a new block and puts it in the place of `replaced`.
fn publish(db: &Db, name: &str, replaced: &[Arc<Block>]) -> Result<(), TsdbError> {
    let is_open = db.blocks.read().iter().any(|block| block.name() == name);
    let block = if is_open { None } else { Some(Arc::new(Block::open(&*db.dir, name)?)) };
    let mut blocks = db.blocks.write();
    blocks.retain(|old| old.name() == name || replaced.iter().all(|gone| gone.name() != old.name()));
    blocks.extend(block);
    blocks.sort_by(|a, b| (a.meta.min_time, a.name()).cmp(&(b.meta.min_time, b.name())));
    Ok(())
}

fn infos(db: &Db) -> (Vec<Arc<Block>>, Vec<BlockInfo>) {
    let blocks = db.blocks.read().clone();
    let info = |block: &Arc<Block>| BlockInfo {
        name: block.name().to_owned(),
        min_ms: block.range().start_ms,
        last_ms: block.range().end_ms,
        size_bytes: block.size_bytes,
        damaged: block.is_damaged(),
    };
    let infos = blocks.iter().map(info).collect();
    (blocks, infos)
}

fn compact(db: &Db, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    let ranges = compaction_ranges(db.options.block_ms, db.options.retention_ms);
    for _ in 0..COMPACTIONS_MAX {
        let (blocks, infos) = infos(db);
        let group: Vec<Arc<Block>> =
            plan(&infos, &ranges).into_iter().map(|idx| Arc::clone(&blocks[idx])).collect();
        if group.is_empty() {
            return Ok(());
        }
        let name = match compact_blocks(&db.dir, &group) {
            Ok(name) => name,
            Err(TsdbError::Corrupt { path, reason }) => {
                db.metrics.compactions_failed.inc();
                let damaged: Vec<_> = group.iter().filter(|block| block.is_damaged()).collect();
                if damaged.is_empty() {
                    return Err(TsdbError::Corrupt { path, reason });
                }
                // Left out of the next plan; its good chunks are still served.
                report.damaged.extend(damaged.into_iter().map(|block| block.name().to_owned()));
                continue;
            }
            Err(other) => {
                db.metrics.compactions_failed.inc();
                return Err(other);
            }
        };
        publish(db, &name, &group)?;
        db.metrics.compactions.inc();
        for old in group.iter().filter(|old| old.name() != name) {
            remove_block(&*db.dir, old.name())?;
        }
        report.compacted.push(name);
    }
    Ok(())
}

fn expire(db: &Db, now_ms: i64, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    let (_, infos) = infos(db);
    let (_, head_max_ms) = db.head.read().span();
    let newest_ms = infos.iter().map(|info| info.last_ms).fold(head_max_ms, i64::max);
    let wal_bytes = db.wal.lock().total_bytes();
    let (retention_ms, retention_bytes) = (db.options.retention_ms, db.options.retention_bytes);
    let names = expired(&infos, newest_ms, now_ms, retention_ms, retention_bytes, wal_bytes);
    for name in names {
        db.blocks.write().retain(|block| block.name() != name);
        remove_block(&*db.dir, &name)?;
        report.expired.push(name);
    }
    Ok(())
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
    db.metrics.block_bytes.set(blocks.iter().map(|block| block.size_bytes).sum::<u64>() as f64);
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
