//! One aggregation group: alerts of one route with the same group labels, and when they are next looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Labels;

use crate::alert::{Alert, Fingerprint, alert_order};
use crate::notification::Snapshot;
use crate::route::RouteIdx;

use super::turn::{IN_STEP_MS, Parked};

/// Identity of a group within one configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupId {
    pub(crate) route: RouteIdx,
    pub(crate) labels: Labels,
}

/// A flush whose notifications are on their way.
#[derive(Debug)]
pub(crate) struct Flush {
    /// Integrations that have not answered for good.
    pub(crate) n_pending: usize,
    pub(crate) has_failed: bool,
    /// Resolved alerts that go when all was told, with the time of the report that was told.
    pub(crate) resolved: Vec<(Fingerprint, i64)>,
}

/// A group and its timer.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) alerts: BTreeMap<Fingerprint, Arc<Alert>>,
    pub(crate) next_flush_ms: i64,
    pub(crate) has_flushed: bool,
    /// When its last flush began.
    pub(crate) began_ms: i64,
    /// Whether its next flush was put off, to fall into step with another manager.
    pub(crate) is_put_off: bool,
    /// When the notification was sent that it fell into step with.
    pub(crate) in_step_with: Option<i64>,
    /// When the flush after the next is, to be in step with another manager.
    pub(crate) in_step_ms: Option<i64>,
    /// When the next flush was due, where the one before still waited its turn then.
    pub(crate) due_ms: Option<i64>,
    pub(crate) flush: Option<Flush>,
    /// A flush that waits for its turn among the managers.
    pub(crate) parked: Option<Parked>,
    /// Alerts that were kept back when the last flush began to wait.
    pub(crate) quiet: BTreeSet<Fingerprint>,
    /// Names of the intervals that muted the last flush.
    pub(crate) muted_by: Vec<String>,
    /// Since when the route's own receiver cannot be reached.
    pub(crate) failing_ms: Option<i64>,
    /// When its next receivers were tried last.
    pub(crate) tried_ms: Option<i64>,
}

/// By how much a look may be late, in milliseconds, and still count as on time. Chosen: a busy machine; less than any interval
/// that somebody sets.
const LATE_MS_MAX: i64 = 500;

impl Group {
    /// An empty group whose first flush is at `next_flush_ms`.
    pub(crate) fn new(next_flush_ms: i64) -> Self {
        Self {
            alerts: BTreeMap::new(),
            next_flush_ms,
            has_flushed: false,
            began_ms: i64::MIN,
            is_put_off: false,
            in_step_ms: None,
            in_step_with: None,
            due_ms: None,
            flush: None,
            parked: None,
            quiet: BTreeSet::new(),
            muted_by: Vec::new(),
            failing_ms: None,
            tried_ms: None,
        }
    }

    /// Takes the place of `old` in a new configuration: what it waits for goes on, until `by_ms` at the latest.
    pub(crate) fn keep_timer(&mut self, old: Self, by_ms: i64) {
        let alerts = std::mem::take(&mut self.alerts);
        *self = Self { alerts, next_flush_ms: old.next_flush_ms.min(by_ms), flush: None, ..old };
        if let Some(parked) = &mut self.parked {
            parked.alerts.retain(|alert| self.alerts.contains_key(&alert.fingerprint));
        }
    }

    /// Whether a flush whose wait is over goes over into the next one, which is due at this moment: those before it look then, too,
    /// and would speak at the same time. Once only, or what it has to tell would never be told.
    pub(crate) fn joins_next(&mut self, now_ms: i64) -> bool {
        let is_next_due = self.next_flush_ms.abs_diff(now_ms) <= IN_STEP_MS;
        if !is_next_due || self.parked.as_ref().is_none_or(|parked| parked.has_joined) {
            return false;
        }
        self.due_ms = Some(self.next_flush_ms);
        self.parked = None;
        true
    }

    /// Ends the wait of a flush. One that came due meanwhile is taken for begun when it was: others looked then, and counted from
    /// now its turn would come with their next look.
    pub(crate) fn unpark(&mut self, now_ms: i64) -> Option<Parked> {
        let parked = self.parked.take()?;
        self.due_ms = Some(self.next_flush_ms.max(parked.since_ms)).filter(|due_ms| *due_ms < now_ms);
        Some(parked)
    }

    /// For when a look that begins now was planned, where that was not long ago: its interval is counted from then, or looks
    /// would come later by some milliseconds each.
    pub(crate) fn due_at(&self, now_ms: i64) -> i64 {
        let late_ms = now_ms.saturating_sub(self.next_flush_ms);
        if (0..=LATE_MS_MAX).contains(&late_ms) { self.next_flush_ms } else { now_ms }
    }

    /// Its time has come, and it is over when all had their turn, `wait_ms` later; the next one is an interval later.
    pub(crate) fn begin_flush(&mut self, interval_ms: i64, wait_ms: i64, now_ms: i64) {
        let over_ms = now_ms.saturating_add(wait_ms);
        let in_step_ms = self.in_step_ms.take().filter(|next_ms| *next_ms > now_ms);
        // One that comes while this one waits would begin late, and out of step.
        let next_ms = in_step_ms
            .map(|next_ms| if next_ms > over_ms { next_ms } else { next_ms.saturating_add(interval_ms) });
        self.next_flush_ms = next_ms.unwrap_or_else(|| now_ms.saturating_add(interval_ms));
        self.has_flushed = true;
        self.began_ms = now_ms;
        self.is_put_off = false;
        self.due_ms = None;
    }

    /// Adds or renews an alert. One that began longer than `group_wait_ms` ago has waited elsewhere.
    pub(crate) fn insert(
        &mut self,
        fingerprint: Fingerprint,
        alert: Arc<Alert>,
        group_wait_ms: i64,
        now_ms: i64,
    ) {
        if !self.has_flushed && alert.starts_at_ms.saturating_add(group_wait_ms) < now_ms {
            self.next_flush_ms = self.next_flush_ms.min(now_ms);
        }
        self.alerts.insert(fingerprint, alert);
    }

    /// All alerts at `now_ms`, by job, instance, labels.
    pub(crate) fn snapshot(&self, now_ms: i64) -> Vec<Snapshot> {
        let mut alerts: Vec<Snapshot> = self
            .alerts
            .iter()
            .map(|(fingerprint, alert)| Snapshot {
                fingerprint: *fingerprint,
                alert: Arc::clone(alert),
                is_firing: !alert.is_resolved_at(now_ms),
                is_flapping: false,
            })
            .collect();
        alerts.sort_by(|a, b| alert_order(&a.alert.labels, &b.alert.labels));
        alerts
    }

    /// Ends a flush. Resolved alerts go when everybody was told, unless they were reported again since; returns which.
    pub(crate) fn finish(&mut self, flush: &Flush) -> Vec<Arc<Alert>> {
        if flush.has_failed {
            return Vec::new();
        }
        let mut gone = Vec::new();
        for (fingerprint, updated_at_ms) in &flush.resolved {
            if self.alerts.get(fingerprint).is_some_and(|alert| alert.updated_at_ms == *updated_at_ms) {
                gone.extend(self.alerts.remove(fingerprint));
            }
        }
        gone
    }
}

/// The fingerprints of those that fire, or of those that do not.
pub(crate) fn fingerprints(alerts: &[Snapshot], is_firing: bool) -> BTreeSet<Fingerprint> {
    alerts.iter().filter(|alert| alert.is_firing == is_firing).map(|alert| alert.fingerprint).collect()
}
