//! The maintenance of blocks: merged, removed when they are too old or too much, and damage in them told.
//! Each step leaves everything found by readers and by a restart.

use std::sync::Arc;

use super::Db;
use crate::block::{Block, remove_block};
use crate::compact::{BlockInfo, Job, compact_blocks, compaction_ranges, expired, plan};
use crate::error::TsdbError;
use crate::report::MaintenanceReport;

/// Merges in one call, so that a call ends. Chosen.
const COMPACTIONS_MAX: usize = 16;

/// Opens new blocks and puts them in the place of `replaced`.
pub(super) fn publish(db: &Db, names: &[String], replaced: &[Arc<Block>]) -> Result<(), TsdbError> {
    let mut new = Vec::new();
    for name in names {
        let is_open = db.blocks.read().iter().any(|block| block.name() == name);
        if !is_open {
            new.push(Arc::new(Block::open(&db.dir, name, &db.cache)?));
        }
    }
    let mut blocks = db.blocks.write();
    blocks.retain(|old| {
        names.iter().any(|name| name == old.name()) || replaced.iter().all(|gone| gone.name() != old.name())
    });
    blocks.extend(new);
    blocks.sort_by(|a, b| a.order().cmp(&b.order()));
    Ok(())
}

fn infos(db: &Db) -> (Vec<Arc<Block>>, Vec<BlockInfo>) {
    let blocks = db.blocks.read().clone();
    let info = |block: &Arc<Block>| BlockInfo {
        name: block.name().to_owned(),
        min_ms: block.range().start_ms,
        last_ms: block.range().end_ms,
        size_bytes: block.size_bytes(),
        damaged: block.is_damaged(),
    };
    let infos = blocks.iter().map(info).collect();
    (blocks, infos)
}

/// Merges what is due.
pub(super) fn compact(db: &Db, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    let ranges = compaction_ranges(db.options.block_ms, db.options.retention_ms);
    for _ in 0..COMPACTIONS_MAX {
        let (blocks, infos) = infos(db);
        let plan = plan(&infos, &ranges);
        if plan.group.is_empty() {
            return Ok(());
        }
        let group: Vec<Arc<Block>> = plan.group.iter().map(|idx| Arc::clone(&blocks[*idx])).collect();
        let job = Job { blocks: &group, cuts: &plan.cuts, keep_from: &|_| None };
        let names = match compact_blocks(&db.dir, &job) {
            Ok(names) => names,
            Err(TsdbError::Corrupt { path, reason }) => {
                db.metrics.compactions_failed.inc();
                if !group.iter().any(|block| block.is_damaged()) {
                    return Err(TsdbError::Corrupt { path, reason });
                }
                // Left out of the next plan; what is good in it is still served.
                continue;
            }
            Err(other) => {
                db.metrics.compactions_failed.inc();
                return Err(other);
            }
        };
        replace(db, &names, &group)?;
        db.metrics.compactions.add(names.len() as u64);
        report.compacted.extend(names);
    }
    Ok(())
}

/// Writes blocks with deletions anew, without what was deleted. Returns how many.
pub(super) fn clean_tombstones(db: &Db) -> Result<usize, TsdbError> {
    let blocks = db.blocks.read().clone();
    let mut n_cleaned = 0;
    for block in blocks.iter().filter(|block| !block.deleted().tombstones.is_empty() && !block.is_damaged()) {
        let group = std::slice::from_ref(block);
        let names = compact_blocks(&db.dir, &Job { blocks: group, cuts: &[], keep_from: &|_| None })
            .inspect_err(|_| db.metrics.compactions_failed.inc())?;
        if names.iter().any(|name| name == block.name()) {
            // What was deleted is not there at all.
            block.forget_deletions(&*db.dir)?;
        }
        replace(db, &names, group)?;
        db.metrics.compactions.add(names.len() as u64);
        n_cleaned += 1;
    }
    Ok(n_cleaned)
}

/// Publishes `names` and removes `group`.
fn replace(db: &Db, names: &[String], group: &[Arc<Block>]) -> Result<(), TsdbError> {
    publish(db, names, group)?;
    for old in group.iter().filter(|old| names.iter().all(|name| name != old.name())) {
        remove_block(&*db.dir, old.name())?;
    }
    Ok(())
}

/// Removes what is too old or too much.
pub(super) fn expire(db: &Db, now_ms: i64, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    let (_, mut infos) = infos(db);
    infos.sort_by_key(|info| info.min_ms);
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

/// Says what readers and compaction found damaged since the last time.
pub(super) fn report_damage(db: &Db, report: &mut MaintenanceReport) {
    for block in db.blocks.read().iter() {
        report.damaged.extend(block.take_damage());
    }
}
