//! When which stretch is rolled up: before retention takes its raw blocks. And the upkeep of the tiers themselves.
//!
//! Order: blocks of all tiers durable, then the floor, then readers see both, then raw blocks may go. Reasons: docs/adr/0003-roll-ups.md.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Labels;

use super::compact::{COMPACTIONS_MAX, DELETED_SHARE, bytes_max, infos, infos_of, newest_ms};
use super::tiers::{Tier, begin_of};
use super::{Db, maintain};
use crate::block::{Block, remove_block};
use crate::compact::{Job, Retention, compact_blocks, compaction_ranges, expired, plan};
use crate::error::TsdbError;
use crate::report::MaintenanceReport;
use crate::rollup::{State, Stretch, roll_up};

/// Time that one block of a tier begins with at most. Chosen: a series' samples of so long, at 15 s, take 3 MB.
const STRETCH_MS: i64 = 31 * 24 * 60 * 60 * 1000;
/// Stretches in one call, so that a call ends. Chosen.
const STRETCHES_MAX: usize = 4;

/// Rolls up what retention is about to take, and what came into stretches that are rolled up already.
pub(super) fn advance(db: &Db, now_ms: i64, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    if db.tiers.is_empty() {
        return Ok(());
    }
    absorb(db, report)?;
    if !db.tiers.are_made() {
        return Ok(());
    }
    for _ in 0..STRETCHES_MAX {
        let Some(due_ms) = due(db, now_ms)? else { return Ok(()) };
        let floor_ms = db.tiers.floor_ms();
        let blocks = db.blocks.read().clone();
        let behind = blocks.iter().filter(|block| block.range().end_ms >= floor_ms);
        let Some(oldest_ms) = behind.map(|block| block.range().start_ms).min() else { return Ok(()) };
        let from_ms = floor_ms.max(floor_to(oldest_ms, db.options.block_ms));
        let to_ms = due_ms.min(floor_to(from_ms.saturating_add(STRETCH_MS), db.options.block_ms));
        // Late samples from before are refused from now on; those that came meanwhile are sealed first.
        db.head.rolled_up_ms.fetch_max(to_ms, Ordering::AcqRel);
        maintain::recount(db);
        if db.head.span().0 < to_ms || to_ms <= floor_ms {
            return Ok(());
        }
        let stretch =
            blocks.iter().filter(|block| block.range().start_ms < to_ms && block.range().end_ms >= from_ms);
        roll(db, &stretch.cloned().collect::<Vec<_>>(), (from_ms, to_ms), false, report)?;
    }
    Ok(())
}

fn floor_to(t_ms: i64, step_ms: i64) -> i64 {
    t_ms.div_euclid(step_ms).saturating_mul(step_ms)
}

/// The end of what retention is about to take, a multiple of a block's length; `None` when that is rolled up.
fn due(db: &Db, now_ms: i64) -> Result<Option<i64>, TsdbError> {
    let (_, mut infos) = infos(db);
    infos.sort_by_key(|info| info.min_ms);
    let (newest_ms, block_ms) = (newest_ms(db, now_ms), db.options.block_ms);
    let end = |last_ms: i64| floor_to(last_ms, block_ms).saturating_add(block_ms);
    let keep_from_ms = match db.limits().retention_ms {
        0 => i64::MIN,
        retention_ms => newest_ms.saturating_sub(retention_ms),
    };
    let by_time = infos.iter().map(|info| end(info.last_ms)).filter(|end_ms| *end_ms <= keep_from_ms);
    let too_much = expired(&infos, newest_ms, now_ms, 0, bytes_max(db)?, other_bytes(db));
    let by_size = infos.iter().filter(|info| too_much.contains(&info.name)).map(|info| end(info.last_ms));
    // What is in the head, or still to come, cannot be rolled up.
    let complete_ms = floor_to(newest_ms.saturating_add(1), block_ms);
    let due_ms = by_time.chain(by_size).filter(|end_ms| *end_ms <= complete_ms).max();
    Ok(due_ms.filter(|due_ms| *due_ms > db.tiers.floor_ms()))
}

/// Bytes that count beside raw blocks.
pub(super) fn other_bytes(db: &Db) -> u64 {
    db.log.lock().total_bytes() + db.tiers.size_bytes()
}

/// Names of raw blocks that lie before the floor and are in the roll-ups.
pub(super) fn rolled_up(db: &Db) -> Vec<String> {
    let State { floor_ms, absorbed, .. } = db.tiers.view.read().state.clone();
    let is_in = |block: &&Arc<Block>| {
        block.range().end_ms < floor_ms
            && block.meta().compaction.sources.iter().all(|source| absorbed.contains(source))
    };
    db.blocks.read().iter().filter(is_in).map(|block| block.name().to_owned()).collect()
}

/// Raw blocks that came into stretches that are rolled up already, as imported ones do.
fn absorb(db: &Db, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    let State { floor_ms, absorbed, .. } = db.tiers.view.read().state.clone();
    let is_new = |block: &&Arc<Block>| {
        let sources = &block.meta().compaction.sources;
        block.range().start_ms < floor_ms && sources.iter().any(|source| !absorbed.contains(source))
    };
    let blocks: Vec<Arc<Block>> = db.blocks.read().iter().filter(is_new).cloned().collect();
    let Some(oldest_ms) = blocks.iter().map(|block| block.range().start_ms).min() else { return Ok(()) };
    roll(db, &blocks, (floor_to(oldest_ms, db.options.block_ms), floor_ms), true, report)
}

/// Rolls `blocks` up from `span.0` to before `span.1`, which becomes the floor when it is higher.
fn roll(
    db: &Db,
    blocks: &[Arc<Block>],
    span: (i64, i64),
    late: bool,
    report: &mut MaintenanceReport,
) -> Result<(), TsdbError> {
    let (from_ms, to_ms) = span;
    let mut state = db.tiers.view.read().state.clone();
    if state == State::default() {
        // From now on a missing state is a lost one.
        state.write(&*db.dir)?;
    }
    let retention = Retention::new(&db.options, 0, 0);
    let is_left_out = |labels: &Labels| retention.has_rule(labels);
    let stretch = Stretch { blocks, from_ms, to_ms, is_left_out: &is_left_out, late };
    let wanted: Vec<usize> =
        (0..db.tiers.tiers.len()).filter(|idx| late || db.tiers.tiers[*idx].retention_ms.is_some()).collect();
    let dirs: Vec<_> = wanted.iter().map(|idx| &db.tiers.tiers[*idx]).collect();
    let dirs: Vec<_> = dirs.iter().map(|tier| (Arc::clone(&tier.dir), tier.interval_ms)).collect();
    let names = roll_up(&stretch, &dirs).inspect_err(|_| db.metrics.compactions_failed.inc())?;
    let mut new = Vec::new();
    for (tier, name) in wanted.into_iter().zip(names) {
        if let Some(name) = name {
            new.push((tier, Arc::new(Block::open(&dirs_of(db, tier), &name, &db.cache)?)));
        }
    }
    db.dir
        .sync_dir(std::path::Path::new(crate::rollup::ROLLUPS_DIR))
        .map_err(TsdbError::io("sync", std::path::Path::new(crate::rollup::ROLLUPS_DIR)))?;
    state.floor_ms = state.floor_ms.max(to_ms);
    let early = db.blocks.read().clone();
    let early = early.iter().filter(|block| block.range().start_ms < state.floor_ms);
    let rolled = |source: &&String| {
        state.absorbed.contains(*source)
            || blocks.iter().any(|block| block.meta().compaction.sources.contains(source))
    };
    state.absorbed =
        early.flat_map(|block| &block.meta().compaction.sources).filter(rolled).cloned().collect();
    state.write(&*db.dir)?;
    db.metrics.compactions.add(new.len() as u64);
    let mut view = db.tiers.view.write();
    view.state = state;
    for (tier, block) in new {
        report.rolled_up.push(format!("{}/{}", db.tiers.tiers[tier].label(), block.name()));
        let blocks = &mut view.blocks[tier];
        blocks.retain(|old| old.name() != block.name());
        blocks.push(block);
        blocks.sort_by(|a, b| a.order().cmp(&b.order()));
    }
    drop(view);
    db.changes.touched(i64::MIN);
    Ok(())
}

fn dirs_of(db: &Db, tier: usize) -> Arc<dyn stdx::Dir> {
    Arc::clone(&db.tiers.tiers[tier].dir)
}

impl Tier {
    fn label(&self) -> String {
        model::Duration::from_ms(self.interval_ms).to_string()
    }
}

/// Merges blocks of tiers, and removes those past their retention or too much.
pub(super) fn tend(db: &Db, now_ms: i64, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    let newest_ms = newest_ms(db, now_ms);
    for (idx, tier) in db.tiers.tiers.iter().enumerate() {
        let Some(retention_ms) = tier.retention_ms else { continue };
        if retention_ms > 0 {
            let oldest_ms = newest_ms.saturating_sub(retention_ms);
            let blocks = db.tiers.view.read().blocks[idx].clone();
            for old in blocks.iter().filter(|block| block.range().end_ms < oldest_ms) {
                remove(db, idx, old, report)?;
            }
        }
        for _ in 0..COMPACTIONS_MAX {
            if !compact_once(db, idx, retention_ms, report)? {
                break;
            }
        }
    }
    shrink(db, report)
}

/// Roll-ups take no more than half of what everything may: the oldest go.
fn shrink(db: &Db, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    let limit = bytes_max(db)? / 2;
    while limit > 0 && db.tiers.are_made() && db.tiers.size_bytes() > limit {
        let view = db.tiers.view.read().clone();
        let all =
            view.blocks.iter().enumerate().flat_map(|(idx, blocks)| blocks.iter().map(move |one| (idx, one)));
        let Some((idx, oldest)) = all.min_by_key(|(_, block)| begin_of(block)) else { break };
        remove(db, idx, oldest, report)?;
    }
    Ok(())
}

fn remove(db: &Db, idx: usize, block: &Arc<Block>, report: &mut MaintenanceReport) -> Result<(), TsdbError> {
    let tier = &db.tiers.tiers[idx];
    db.tiers.view.write().blocks[idx].retain(|one| one.name() != block.name());
    db.changes.touched(i64::MIN);
    remove_block(&*tier.dir, block.name())?;
    report.expired.push(format!("{}/{}", tier.label(), block.name()));
    Ok(())
}

fn compact_once(
    db: &Db,
    idx: usize,
    retention_ms: i64,
    report: &mut MaintenanceReport,
) -> Result<bool, TsdbError> {
    let blocks = db.tiers.view.read().blocks[idx].clone();
    let mut plan = plan(&infos_of(&blocks), &compaction_ranges(db.options.block_ms, retention_ms));
    if plan.group.is_empty() {
        let is_due = |block: &Arc<Block>| {
            let n_deleted = block.deleted().tombstones.iter().count() as u64;
            !block.is_damaged() && n_deleted * DELETED_SHARE > u64::from(block.index().toc().n_series)
        };
        plan.group.extend(blocks.iter().position(is_due));
    }
    if plan.group.is_empty() {
        return Ok(false);
    }
    let group: Vec<Arc<Block>> = plan.group.iter().map(|idx| Arc::clone(&blocks[*idx])).collect();
    let names = rewrite(db, idx, &group, &plan.cuts)?;
    let label = db.tiers.tiers[idx].label();
    report.compacted.extend(names.iter().map(|name| format!("{label}/{name}")));
    Ok(true)
}

/// Writes `group` anew, without what is deleted, and puts that in its place.
fn rewrite(db: &Db, idx: usize, group: &[Arc<Block>], cuts: &[i64]) -> Result<Vec<String>, TsdbError> {
    let tier = &db.tiers.tiers[idx];
    let names = compact_blocks(&tier.dir, &Job { blocks: group, cuts, keep_from: &|_| None })
        .inspect_err(|_| db.metrics.compactions_failed.inc())?;
    let mut new = Vec::new();
    for name in names.iter().filter(|name| group.iter().all(|old| old.name() != *name)) {
        new.push(Arc::new(Block::open(&tier.dir, name, &db.cache)?));
    }
    {
        let mut view = db.tiers.view.write();
        let blocks = &mut view.blocks[idx];
        let is_gone = |old: &Arc<Block>| {
            group.iter().any(|one| one.name() == old.name()) && names.iter().all(|name| name != old.name())
        };
        blocks.retain(|old| !is_gone(old));
        blocks.extend(new);
        blocks.sort_by(|a, b| a.order().cmp(&b.order()));
    }
    for old in group {
        if names.iter().all(|name| name != old.name()) {
            remove_block(&*tier.dir, old.name())?;
        } else if !old.deleted().tombstones.is_empty() {
            old.forget_deletions(&*tier.dir)?;
        }
    }
    db.metrics.compactions.add(names.len() as u64);
    Ok(names)
}

/// Writes every block of roll-ups with deletions anew. Returns how many.
pub(super) fn clean_tombstones(db: &Db) -> Result<usize, TsdbError> {
    let mut n_cleaned = 0;
    for idx in 0..db.tiers.tiers.len() {
        let blocks = db.tiers.view.read().blocks[idx].clone();
        let has_deletions =
            |block: &&Arc<Block>| !block.deleted().tombstones.is_empty() && !block.is_damaged();
        for block in blocks.iter().filter(has_deletions) {
            rewrite(db, idx, std::slice::from_ref(block), &[])?;
            n_cleaned += 1;
        }
    }
    Ok(n_cleaned)
}
