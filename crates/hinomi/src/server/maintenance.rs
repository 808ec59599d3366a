//! The store's clockwork: its log to the disk every second, blocks and retention every minute, or as soon as the head has enough for a block.
//!
//! When one of these fails, or the disk is nearly full, everybody who looks at the page is told.
//!
//! The engine starts no threads; here is who calls it. Each call runs on a blocking thread, one at a time.

use std::sync::Arc;
use std::time::Duration;

use stdx::dir::Space;
use stdx::{Clock, Dir};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};
use tsdb::Db;

/// Longest time that acknowledged samples are safe from `kill -9` only, and not from power loss.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How often the store does all that may be due.
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);

/// How often it is asked whether it had better do so at once: data may come faster than time goes by. Chosen.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A disk with less room than this many bytes is nearly full, for notices. Chosen: the head is cut into blocks of some hundred
/// megabytes, and compacting two needs room for their sum.
const ROOM_BYTES_MIN: u64 = 1 << 30;

/// A small disk is nearly full with this share of it left, in percent. Chosen.
const ROOM_PERCENT_MIN: u64 = 3;

/// How often it seals at most while memory is short. Chosen: each time makes a block, and what is sealed may not be what takes the memory.
const SHORT_MEMORY_EVERY: Duration = Duration::from_secs(10);

/// When what is said of metric families is first kept on the disk, and how often after that. Chosen: by then targets have been scraped, and
/// asking twenty thousand of them may take a second.
const FAMILIES_AFTER: Duration = Duration::from_secs(2 * 60);
const FAMILIES_EVERY: Duration = Duration::from_secs(60 * 60);

const NO_MEMORY: &str = "Memory for samples is short: new series are refused. See tsdb_head_memory_bytes and hinomi_storage_refused_series_total; raise --storage.memory.budget-bytes or drop series.";
const NO_ROOM: &str = "The disk of the data directory is nearly full: samples will be refused when it is. Shorten retention or make room.";
const SYNC_FAILS: &str =
    "The log cannot be written to the disk: acknowledged samples are at risk. The server's log says why.";
const MAINTENANCE_FAILS: &str = "Store maintenance fails and is tried again. The server's log says why.";

/// Runs until aborted.
pub(crate) fn spawn(
    db: Arc<Db>,
    clock: Arc<dyn Clock>,
    dir: Arc<dyn Dir>,
    notices: &Arc<api::Notices>,
) -> JoinHandle<()> {
    let notices = notices.clone();
    tokio::spawn(async move {
        tokio::join!(sync(db.clone(), &notices), maintain(db, clock, &notices), watch(dir, &notices));
    })
}

/// Keeps on the disk what targets and writers say of metric families, until aborted: exports need it.
pub(crate) fn spawn_families(db: Arc<Db>, targets: scrape::View) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::time::sleep(FAMILIES_AFTER).await;
        let mut ticks = ticks(FAMILIES_EVERY);
        loop {
            ticks.tick().await;
            keep_families(db.clone(), targets.clone()).await;
        }
    })
}

/// Does so now.
pub(crate) async fn keep_families(db: Arc<Db>, targets: scrape::View) {
    let kept = tokio::task::spawn_blocking(move || {
        let said = targets.metadata();
        db.keep_families(said.iter().map(|one| (one.metric.as_str(), &one.metadata)))
    });
    if let Ok(Err(err)) = kept.await {
        warn!(error = %crate::chain(&err), "cannot keep what was said of metric families; exports lack what is new");
    }
}

/// Looks at how full the disk is.
async fn watch(dir: Arc<dyn Dir>, notices: &api::Notices) {
    let mut ticks = ticks(MAINTAIN_EVERY);
    loop {
        ticks.tick().await;
        let dir = dir.clone();
        let Ok(Ok(space)) = tokio::task::spawn_blocking(move || dir.space()).await else { continue };
        tell(notices, NO_ROOM, is_nearly_full(&space));
    }
}

fn is_nearly_full(space: &Space) -> bool {
    space.free_bytes < ROOM_BYTES_MIN.min(space.total_bytes / 100 * ROOM_PERCENT_MIN)
}

fn tell(notices: &api::Notices, text: &str, holds: bool) {
    if holds {
        notices.raise(text);
    } else {
        notices.clear(text);
    }
}

async fn sync(db: Arc<Db>, notices: &api::Notices) {
    let mut ticks = ticks(SYNC_EVERY);
    let mut was_failing = false;
    loop {
        ticks.tick().await;
        let db = db.clone();
        let synced = tokio::task::spawn_blocking(move || db.sync()).await;
        match synced {
            Ok(Ok(())) if was_failing => {
                was_failing = false;
                notices.clear(SYNC_FAILS);
            }
            Ok(Err(err)) if !was_failing => {
                was_failing = true;
                notices.raise(SYNC_FAILS);
                error!(error = %crate::chain(&err), "cannot write the log to the disk; acknowledged samples are at risk");
            }
            _ => {}
        }
    }
}

async fn maintain(db: Arc<Db>, clock: Arc<dyn Clock>, notices: &api::Notices) {
    let mut ticks = ticks(LOOK_EVERY);
    let mut next = clock.monotonic();
    let mut soonest = next;
    let mut has_failed = false;
    loop {
        ticks.tick().await;
        let (db, now_ms, now) = (db.clone(), clock.now_ms(), clock.monotonic());
        tell(notices, NO_MEMORY, db.refuses_new_series());
        let hurries = db.is_block_full(now_ms) || now >= soonest && db.refuses_new_series();
        if now < next && (has_failed || !hurries) {
            continue;
        }
        (next, soonest) = (now.saturating_add(MAINTAIN_EVERY), now.saturating_add(SHORT_MEMORY_EVERY));
        has_failed = true;
        match tokio::task::spawn_blocking(move || db.maintain(now_ms)).await {
            Ok(Ok(report)) => {
                has_failed = false;
                for name in &report.cut {
                    info!(block = %name, "block written");
                }
                for name in &report.compacted {
                    info!(block = %name, "blocks compacted");
                }
                for name in &report.rolled_up {
                    info!(block = %name, "samples past retention rolled up");
                }
                for name in &report.expired {
                    info!(block = %name, "block past retention removed");
                }
                for what in &report.damaged {
                    warn!(%what, "a block is damaged: it is served without this part, and left out of compaction");
                }
            }
            Ok(Err(err)) => {
                error!(error = %crate::chain(&err), "store maintenance failed; it is tried again");
            }
            Err(err) => error!(error = %err, "store maintenance ended by a panic"),
        }
        tell(notices, MAINTENANCE_FAILS, has_failed);
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_nearly_full_by_bytes_or_by_share() {
        let check = |total_gib: u64, free_mib: u64, expected: bool| {
            let space = Space { total_bytes: total_gib << 30, free_bytes: free_mib << 20 };
            assert_eq!(is_nearly_full(&space), expected, "{space:?}");
        };
        check(1_000, 2_048, false);
        check(1_000, 1_023, true);
        check(1, 100, false);
        check(1, 20, true);
    }
}
