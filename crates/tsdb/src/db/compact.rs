//! The maintenance of blocks: merged, removed when they are too old or too much, and damage in them told.
//! Each step leaves everything found by readers and by a restart.

use std::path::Path;
use std::sync::Arc;

use model::Labels;

use super::{Db, rollup};
use crate::block::{Block, remove_block};
use crate::compact::{BlockInfo, Job, Retention, compact_blocks, compaction_ranges, expired, plan};
use crate::error::TsdbError;
use crate::options::Limits;
use crate::report::MaintenanceReport;

/// Merges in one call, so that a call ends. Chosen.
pub(super) const COMPACTIONS_MAX: usize = 16;
/// A block is written anew when more than one of so many series has deletions. From Prometheus: 5 %.
pub(super) const DELETED_SHARE: u64 = 20;

/// The [`Compaction::stored`](crate::block::Compaction::stored) of blocks that are published next. Right as long as maintenance is
/// locked.
pub(super) fn next_stored(db: &Db) -> u64 {
    db.blocks.read().iter().map(|block| block.meta().compaction.stored).max().unwrap_or(0) + 1
}

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
    drop(blocks);
    // What was merged answers the same, mostly; imports and roll-ups do not. It is rare enough not to look closer.
    db.changes.touched(i64::MIN);
    Ok(())
}

pub(super) fn infos(db: &Db) -> (Vec<Arc<Block>>, Vec<BlockInfo>) {
    let blocks = db.blocks.read().clone();
    let infos = infos_of(&blocks);
    (blocks, infos)
}

pub(super) fn infos_of(blocks: &[Arc<Block>]) -> Vec<BlockInfo> {
    let info = |block: &Arc<Block>| BlockInfo {
        name: block.name().to_owned(),
        min_ms: block.range().start_ms,
        last_ms: block.range().end_ms,
        size_bytes: block.size_bytes(),
        damaged: block.is_damaged(),
    };
    blocks.iter().map(info).collect()
}

/// The newest sample that is stored, or now: a clock that is ahead while nothing is written makes nothing old.
pub(super) fn newest_ms(db: &Db, now_ms: i64) -> i64 {
    let (_, head_max_ms) = db.head.span();
    let blocks = db.blocks.read();
    blocks.iter().map(|block| block.range().end_ms).fold(head_max_ms, i64::max).min(now_ms)
}

/// Merges what is due.
pub(super) fn compact(db: &Db, now_ms: i64, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    let ranges = compaction_ranges(db.options.block_ms, db.limits().retention_ms);
    let mut retention = Retention::new(&db.options, db.limits().retention_ms, newest_ms(db, now_ms));
    if db.tiers.are_made() {
        retention = retention.not_beyond(db.tiers.floor_ms());
    }
    for _ in 0..COMPACTIONS_MAX {
        let (blocks, infos) = infos(db);
        let mut plan = plan(&infos, &ranges);
        if plan.group.is_empty() {
            plan.group.extend(to_rewrite(&blocks, &retention)?);
        }
        if plan.group.is_empty() {
            return Ok(());
        }
        let group: Vec<Arc<Block>> = plan.group.iter().map(|idx| Arc::clone(&blocks[*idx])).collect();
        let keep_from = |labels: &Labels| retention.keep_from(labels);
        let names =
            match compact_blocks(&db.dir, &Job { blocks: &group, cuts: &plan.cuts, keep_from: &keep_from }) {
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
        if names.is_empty() {
            report.expired.extend(group.iter().map(|block| block.name().to_owned()));
        }
        report.compacted.extend(names);
    }
    Ok(())
}

/// A block of which enough is deleted, or that has series past a retention of their own.
fn to_rewrite(blocks: &[Arc<Block>], retention: &Retention<'_>) -> Result<Option<usize>, TsdbError> {
    for (idx, block) in blocks.iter().enumerate().filter(|(_, block)| !block.is_damaged()) {
        let n_deleted = block.deleted().tombstones.iter().count() as u64;
        let many = n_deleted * DELETED_SHARE > u64::from(block.index().toc().n_series);
        if many || retention.has_expired(block)? {
            return Ok(Some(idx));
        }
    }
    Ok(None)
}

/// Writes blocks with deletions anew, without what was deleted. Returns how many.
pub(super) fn clean_tombstones(db: &Db) -> Result<usize, TsdbError> {
    let blocks = db.blocks.read().clone();
    let mut n_cleaned = 0;
    for block in blocks.iter().filter(|block| !block.deleted().tombstones.is_empty() && !block.is_damaged()) {
        let group = std::slice::from_ref(block);
        let names = compact_blocks(&db.dir, &Job { blocks: group, cuts: &[], keep_from: &|_| None })
            .inspect_err(|_| db.metrics.compactions_failed.inc())?;
        replace(db, &names, group)?;
        db.metrics.compactions.add(names.len() as u64);
        n_cleaned += 1;
    }
    Ok(n_cleaned)
}

/// Publishes `names` and removes `group`.
fn replace(db: &Db, names: &[String], group: &[Arc<Block>]) -> Result<(), TsdbError> {
    publish(db, names, group)?;
    for old in group {
        if names.iter().all(|name| name != old.name()) {
            remove_block(&*db.dir, old.name())?;
        } else if !old.deleted().tombstones.is_empty() {
            // The same content again: what was deleted is not in it.
            old.forget_deletions(&*db.dir)?;
        }
    }
    Ok(())
}

/// Removes what is too old or too much.
pub(super) fn expire(db: &Db, now_ms: i64, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    let (_, mut infos) = infos(db);
    infos.sort_by_key(|info| info.min_ms);
    let newest_ms = newest_ms(db, now_ms);
    let retention_ms = db.options.longest_retention_ms(db.limits().retention_ms);
    let other_bytes = rollup::other_bytes(db);
    let mut names = expired(&infos, newest_ms, now_ms, retention_ms, bytes_max(db)?, other_bytes);
    if db.tiers.are_made() {
        // What is not rolled up yet stays; what is goes, unless it holds series that are kept for longer.
        let rolled_up = rollup::rolled_up(db);
        if db.options.retention_rules.is_empty() {
            names = rolled_up;
        } else {
            names.retain(|name| rolled_up.contains(name));
        }
    }
    for name in names {
        db.blocks.write().retain(|block| block.name() != name);
        db.changes.touched(i64::MIN);
        remove_block(&*db.dir, &name)?;
        report.expired.push(name);
    }
    Ok(())
}

/// How much blocks and log may take; 0 for no limit.
pub(super) fn bytes_max(db: &Db) -> Result<u64, TsdbError> {
    let Limits { retention_bytes: bytes, retention_percent: percent, .. } = db.limits();
    if percent <= 0.0 {
        return Ok(bytes);
    }
    let space = db.dir.space().map_err(TsdbError::io("ask for the size of the disk of", Path::new(".")))?;
    let of_disk = (space.total_bytes as f64 * (percent / 100.0)) as u64;
    // A share of nothing is still a limit.
    let of_disk = of_disk.max(1);
    Ok(if bytes > 0 { bytes.min(of_disk) } else { of_disk })
}

/// Says what readers and compaction found damaged since the last time.
pub(super) fn report_damage(db: &Db, report: &mut MaintenanceReport) {
    for block in db.blocks.read().iter() {
        report.damaged.extend(block.take_damage());
    }
    for (tier, blocks) in db.tiers.blocks() {
        let path = tier.path.display();
        let damage = blocks.iter().flat_map(|block| block.take_damage());
        report.damaged.extend(damage.map(|what| format!("{path}/{what}")));
    }
}
