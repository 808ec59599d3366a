//! The store's clockwork: its log to the disk every second, blocks and retention every minute, or as soon as the head has enough for a block.
//!
//! The engine starts no threads; here is who calls it. Each call runs on a blocking thread, one at a time.

use std::sync::Arc;
use std::time::Duration;

use stdx::Clock;
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

/// Runs until aborted.
pub(crate) fn spawn(db: Arc<Db>, clock: Arc<dyn Clock>) -> JoinHandle<()> {
    tokio::spawn(async move { tokio::join!(sync(db.clone()), maintain(db, clock)).0 })
}

async fn sync(db: Arc<Db>) {
    let mut ticks = ticks(SYNC_EVERY);
    let mut was_failing = false;
    loop {
        ticks.tick().await;
        let db = db.clone();
        let synced = tokio::task::spawn_blocking(move || db.sync()).await;
        match synced {
            Ok(Ok(())) => was_failing = false,
            Ok(Err(err)) if !was_failing => {
                was_failing = true;
                error!(error = %crate::chain(&err), "cannot write the log to the disk; acknowledged samples are at risk");
            }
            _ => {}
        }
    }
}

async fn maintain(db: Arc<Db>, clock: Arc<dyn Clock>) {
    let mut ticks = ticks(LOOK_EVERY);
    let mut next = clock.monotonic();
    let mut has_failed = false;
    loop {
        ticks.tick().await;
        let (db, now_ms) = (db.clone(), clock.now_ms());
        if clock.monotonic() < next && (has_failed || !db.is_block_full(now_ms)) {
            continue;
        }
        next = clock.monotonic().saturating_add(MAINTAIN_EVERY);
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
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
