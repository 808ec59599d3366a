//! The state file: silences, notification log and alerts, kept over restarts.
//!
//! In from the core's journal, appended as things happen; out to the core at the start.
//! Format, guarantees and what happens to damaged lines: docs/formats/alertmanager-state.md.
//! Never refuses to start: what cannot be read is set aside and named.

mod import;
mod rewrite;

use std::path::Path;
use std::sync::Arc;

use stdx::{Dir, File};

use crate::alert::Fingerprint;
use crate::dispatch::Core;
use crate::metrics::Metrics;
use crate::record::{Record, codec};
use rewrite::Pages;
pub(crate) use rewrite::Rewrite;

const FILE: &str = "state";
const HEADER: &str = "hinomi-alertmanager-state 1\n";
/// A file shorter than this is not worth a snapshot.
const SNAPSHOT_BYTES_MIN: u64 = 1 << 20;
/// How many times longer than its last snapshot the file may grow, until it is written anew.
const GROWTH_MAX: u64 = 4;

/// The open file.
#[derive(Debug)]
pub(crate) struct Store {
    dir: Arc<dyn Dir>,
    /// `None` after a failed write: the next one is a snapshot.
    file: Option<Box<dyn File>>,
    bytes: u64,
    snapshot_bytes: u64,
    metrics: Arc<Metrics>,
    is_dirty: bool,
    /// How often the file was written anew: only the last time counts.
    n_rewrites: u64,
    /// What was appended since the file is being written anew.
    since: Option<String>,
}

impl Store {
    /// Reads the file in `dir`, else what an Alertmanager left there, and puts it into `core`; then writes a snapshot.
    pub(crate) fn open(dir: Arc<dyn Dir>, core: &mut Core, metrics: Arc<Metrics>, now_ms: i64) -> Self {
        let mut store = Self {
            dir,
            file: None,
            bytes: 0,
            snapshot_bytes: 0,
            metrics,
            is_dirty: false,
            n_rewrites: 0,
            since: None,
        };
        // Left by one that was killed; what it holds is in the other, too.
        let _ = store.dir.remove_file(Path::new(rewrite::NEW_FILE));
        if store.dir.exists(Path::new(FILE)) {
            store.read(core, now_ms);
        } else {
            import::from_alertmanager(&*store.dir, core, now_ms);
        }
        store.snapshot(core, now_ms);
        store
    }

    fn read(&self, core: &mut Core, now_ms: i64) {
        let bytes = match self.dir.read(Path::new(FILE)) {
            Ok(bytes) => bytes,
            Err(err) => {
                tracing::error!(error = %err, "cannot read the alertmanager's state; starting without it");
                self.set_aside(now_ms);
                return;
            }
        };
        let replayed = codec::replay(&bytes, HEADER);
        if replayed.n_damaged > 0 {
            self.metrics.state_damaged.add(replayed.n_damaged);
            self.set_aside(now_ms);
        }
        restore(core, replayed.records, now_ms);
    }

    fn set_aside(&self, now_ms: i64) {
        let aside = format!("{FILE}.damaged-{now_ms}");
        match self.dir.rename(Path::new(FILE), Path::new(&aside)) {
            Ok(()) => {
                tracing::warn!(file = %aside, "damaged alertmanager state set aside; what could be read is kept");
            }
            Err(err) => tracing::error!(error = %err, "cannot set the damaged alertmanager state aside"),
        }
    }

    /// Appends `records`. A failure is logged and counted; the next write tries again with everything.
    pub(crate) fn append(&mut self, core: &Core, records: &[Record], now_ms: i64) {
        if records.is_empty() {
            return;
        }
        let Some(file) = self.file.as_mut() else {
            self.snapshot(core, now_ms);
            return;
        };
        let mut text = String::new();
        let is_kept = |record: &&Record| !matches!(record, Record::Claimed(_));
        records.iter().filter(is_kept).for_each(|record| codec::push(&mut text, record));
        match file.append(text.as_bytes()) {
            Ok(()) => {
                self.bytes += text.len() as u64;
                self.is_dirty = true;
                self.metrics.state_bytes.set(self.bytes as f64);
                self.since.iter_mut().for_each(|since| since.push_str(&text));
            }
            Err(err) => self.on_failure(&err),
        }
    }

    /// Begins to write the file anew, where it has grown long and nobody is at it.
    pub(crate) fn begin_rewrite(&mut self) -> Option<Rewrite> {
        let is_long = self.bytes > SNAPSHOT_BYTES_MIN && self.bytes / GROWTH_MAX > self.snapshot_bytes;
        if !is_long || self.since.is_some() || self.file.is_none() {
            return None;
        }
        self.n_rewrites += 1;
        match Rewrite::new(Arc::clone(&self.dir), self.n_rewrites, HEADER) {
            Ok(rewrite) => {
                self.since = Some(String::new());
                Some(rewrite)
            }
            Err(err) => {
                self.give_up_rewrite(&err);
                None
            }
        }
    }

    /// Has the file that was written anew take the place of the other, unless another one did meanwhile.
    pub(crate) fn end_rewrite(&mut self, rewrite: std::io::Result<Rewrite>) {
        let done = rewrite.and_then(|rewrite| {
            let is_current = rewrite.number == self.n_rewrites;
            let Some(since) = self.since.take_if(|_| is_current) else { return Ok(()) };
            let Rewrite { mut file, bytes, .. } = rewrite;
            file.append(since.as_bytes())?;
            self.dir.rename(Path::new(rewrite::NEW_FILE), Path::new(FILE))?;
            self.file = Some(file);
            self.on_snapshot(bytes);
            self.bytes += since.len() as u64;
            self.is_dirty = true;
            Ok(())
        });
        if let Err(err) = done {
            self.give_up_rewrite(&err);
        }
    }

    /// The file stays as it is, and is written anew when it has grown as much again.
    fn give_up_rewrite(&mut self, err: &std::io::Error) {
        tracing::error!(error = %err, "cannot write the alertmanager's state anew; its file grows on");
        self.metrics.state_failures.inc();
        self.since = None;
        self.snapshot_bytes = self.bytes;
        let _ = self.dir.remove_file(Path::new(rewrite::NEW_FILE));
    }

    /// Writes all of `core` anew, at once.
    fn snapshot(&mut self, core: &Core, now_ms: i64) {
        self.since = None;
        let mut text = HEADER.to_owned();
        let mut pages = Pages::new();
        while pages.push_next(&mut text, core, now_ms) {}
        self.file = None;
        let written = self.dir.write_atomic(Path::new(FILE), text.as_bytes());
        match written.and_then(|()| self.dir.open(Path::new(FILE))) {
            Ok(file) => {
                self.file = Some(file);
                self.is_dirty = false;
                self.on_snapshot(text.len() as u64);
            }
            Err(err) => self.on_failure(&err),
        }
    }

    fn on_snapshot(&mut self, bytes: u64) {
        (self.bytes, self.snapshot_bytes) = (bytes, bytes);
        self.metrics.keeping.snapshot_bytes.iter().for_each(|gauge| gauge.set(bytes as f64));
        self.metrics.state_bytes.set(bytes as f64);
    }

    fn on_failure(&mut self, err: &std::io::Error) {
        // Once per failure; a full disk is noticed at each write, which alerts themselves space out.
        tracing::error!(error = %err, "cannot write the alertmanager's state; it is kept in memory and tried again");
        self.metrics.state_failures.inc();
        self.metrics.keeping.maintenance_errors.iter().for_each(|counter| counter.inc());
        self.file = None;
    }

    /// A second handle on the file when there is something to sync, so that no lock is held while the disk works.
    pub(crate) fn take_unsynced(&mut self) -> Option<Box<dyn File>> {
        if !std::mem::take(&mut self.is_dirty) {
            return None;
        }
        self.dir.open(Path::new(FILE)).ok()
    }

    /// Whether something waits to be synced.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Makes all of it durable, at the end.
    pub(crate) fn close(&mut self, core: &Core, now_ms: i64) {
        self.snapshot(core, now_ms);
    }
}

/// Puts records into `core`, in order.
fn restore(core: &mut Core, records: Vec<Record>, now_ms: i64) {
    let mut alerts = std::collections::BTreeMap::new();
    let mut alive_ms = i64::MIN;
    for record in records {
        match record {
            Record::Alert(alert) => {
                alive_ms = alive_ms.max(alert.updated_at_ms);
                alerts.insert(Fingerprint::of(&alert.labels), alert);
            }
            Record::Renewed { fingerprint, ends_at_ms, updated_at_ms, is_timeout, measured } => {
                alive_ms = alive_ms.max(updated_at_ms);
                if let Some(alert) = alerts.get_mut(&fingerprint).map(Arc::make_mut) {
                    alert.ends_at_ms = ends_at_ms;
                    alert.updated_at_ms = updated_at_ms;
                    alert.is_timeout = is_timeout;
                    alert.measured = measured;
                }
            }
            Record::AlertGone(fingerprint) => {
                alerts.remove(&fingerprint);
            }
            Record::Silence(silence) => core.silences.keep(silence),
            Record::SilenceGone(id) => core.silences.remove(&id),
            Record::Notified(key, entry) => {
                // An end that was told is an end, also when no later sign of life was written.
                alive_ms = alive_ms.max(entry.sent_at_ms);
                core.nflog.put(key, entry);
            }
            Record::NotifiedGone(key) => core.nflog.remove(&key),
            Record::Promised(said) => core.restore_promise(&said),
            Record::Doubted(key, ended) => core.doubts.keep(key, ended),
            Record::Watched(alert, watch) => core.watches.restore(alert, watch),
            Record::WatchGone(alert) => core.watches.remove(alert),
            Record::Maintenance(window) => {
                core.windows.merge(&window);
            }
            Record::MaintenanceGone(id) => core.windows.remove(&id),
            Record::Acked(alert, ack) => core.acks.keep(alert, ack),
            Record::AckGone(alert) => core.acks.remove(alert),
            Record::Flapped(alert, changes) => core.flaps.keep(alert, changes),
            Record::FlapGone(alert) => core.flaps.remove(alert),
            Record::Paused(group, alert, pause) => core.pauses.keep(&group, alert, pause),
            Record::Claimed(_) => {}
            Record::Alive(at_ms) => alive_ms = alive_ms.max(at_ms),
        }
    }
    core.watches.deafen_all(now_ms);
    for alert in alerts.into_values() {
        let mut alert = Arc::unwrap_or_clone(alert);
        let was_firing = alert.ends_at_ms > alive_ms.min(now_ms) && alert.ends_at_ms > alert.updated_at_ms;
        let grace_ms = now_ms.saturating_add(core.config.resolve_timeout_ms);
        if was_firing && alert.ends_at_ms < grace_ms {
            alert.ends_at_ms = grace_ms;
            alert.is_timeout = true;
        }
        core.restore_alert(alert, now_ms);
    }
}

#[cfg(test)]
mod tests;
