//! What happened: every change of an alert, a silence or a message, kept and searchable.
//!
//! In from the core as [`Event`]s, through the driver; out to a log on disk and to the API. Format, limits and what a
//! failing disk means: docs/formats/alert-history.md. Never decides anything and never holds dispatch up.

mod codec;
mod event;
mod log;
mod recorder;
mod search;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use stdx::Dir;
use stdx::metrics::{Counter, Gauge, Registry};

pub(crate) use codec::Map;
pub use codec::read_segment;
pub(crate) use event::{Attempted, Event, Kind, What};
pub(crate) use recorder::{LastAttempt, Parent, Recorder, Standing};
pub(crate) use search::{Found, Page, Wanted};

use crate::limits::ALERTS_MAX;
use log::Log;

/// Most events that wait to be written; more are dropped and counted. Chosen: an end of every alert at once fits.
pub(crate) const EVENTS_PENDING_MAX: usize = ALERTS_MAX;

/// The words of all kinds of events, for help and errors: `firing, firing_again, …`.
#[must_use]
pub fn kinds() -> String {
    Kind::words()
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryLimits {
    /// How long.
    pub(crate) keep_ms: i64,
    /// Of all segments together; 0 to keep none.
    pub(crate) bytes_max: u64,
}

/// The log and what waits to be written to it.
#[derive(Debug)]
pub(crate) struct History {
    pending: Mutex<Vec<Event>>,
    n_dropped: AtomicU64,
    log: Mutex<Log>,
    events: Arc<Counter>,
    dropped: Arc<Counter>,
    failures: Arc<Counter>,
    bytes: Arc<Gauge>,
}

impl History {
    /// Opens the log in `dir`. Never fails: what cannot be read or written is counted and named.
    pub(crate) fn open(dir: Arc<dyn Dir>, limits: HistoryLimits, registry: &Registry) -> Self {
        let history = Self {
            pending: Mutex::default(),
            n_dropped: AtomicU64::new(0),
            log: Mutex::new(Log::open(dir, limits)),
            events: registry
                .counter("hinomi_alert_history_events_total", "Events written to the alert history."),
            dropped: registry.counter(
                "hinomi_alert_history_dropped_total",
                "Events not written to the alert history: too many waited, or the disk failed.",
            ),
            failures: registry
                .counter("hinomi_alert_history_write_failures_total", "Failed writes of the alert history."),
            bytes: registry.gauge("hinomi_alert_history_bytes", "Size of the alert history."),
        };
        history.note_problem(&history.log.lock());
        history
    }

    fn note_problem(&self, log: &Log) {
        self.bytes.set(log.bytes() as f64);
        if let Some(problem) = log.problem() {
            self.failures.inc();
            tracing::error!(
                error = problem,
                "cannot write the alert history; notifications go on, events are lost until it can be written"
            );
        }
    }

    /// Takes events to be written; returns at once.
    pub(crate) fn offer(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut pending = self.pending.lock();
        let n_taken = EVENTS_PENDING_MAX.saturating_sub(pending.len()).min(events.len());
        self.drop_events(events.len() - n_taken);
        pending.extend(events.into_iter().take(n_taken));
    }

    fn drop_events(&self, n: usize) {
        self.n_dropped.fetch_add(n as u64, Ordering::Relaxed);
        self.dropped.add(n as u64);
    }

    /// Whether something waits to be written.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.pending.lock().is_empty()
    }

    /// Writes what waits. Blocks on the disk.
    pub(crate) fn flush(&self, now_ms: i64) {
        let mut log = self.log.lock();
        let mut events = std::mem::take(&mut *self.pending.lock());
        let n_dropped = self.n_dropped.swap(0, Ordering::Relaxed);
        if n_dropped > 0 {
            events.push(Event { at_ms: now_ms, what: What::Dropped(n_dropped) });
        }
        let had_problem = log.problem().is_some();
        match log.append(&events, now_ms) {
            true => {
                self.events.add(events.len() as u64);
                self.bytes.set(log.bytes() as f64);
            }
            // Once for each time it begins to fail; the counter has every one.
            false if had_problem => self.failures.inc(),
            false => self.note_problem(&log),
        }
        if log.problem().is_some() {
            let n_lost = events.iter().filter(|event| !matches!(event.what, What::Dropped(_))).count();
            self.drop_events(n_lost);
            // Known already, and not yet said in the log.
            self.n_dropped.fetch_add(n_dropped, Ordering::Relaxed);
        }
    }

    /// What is wanted, the newest first. Blocks on the disk.
    pub(crate) fn search(&self, wanted: &Wanted, now_ms: i64) -> Page {
        self.flush(now_ms);
        let (dir, segments, problem) = {
            let log = self.log.lock();
            (log.dir(), log.segments(), log.problem().map(str::to_owned))
        };
        Page { problem, ..search::search(&*dir, &segments, wanted) }
    }
}

#[cfg(test)]
mod tests;
