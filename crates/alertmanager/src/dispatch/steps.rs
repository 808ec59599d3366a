//! Escalation: who else is told when nobody acknowledges in time.
//!
//! In from the log, which knows since when an alert is told, and from the clocks of `escalate`; out as
//! messages to the next receivers, of the alerts whose time has come, and as further lines of each flush. A further receiver has its own
//! entry in the log and its own promises, so that it hears of ends and nobody is told twice, over restarts and replicas.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::group::GroupId;
use super::owed::NO_EPOCH;
use super::{Core, Heard, Record};
use crate::alert::{Alert, Fingerprint};
use crate::config::Integration;
use crate::escalate::Escalation;
use crate::nflog::{Entry, NotifyKey, Reason};
use crate::notification::Snapshot;
use crate::route::Route;

/// How often clocks of told alerts are looked at, in milliseconds; a silence may count by so much too long or too short.
/// Chosen: far less than any time to escalate.
const LOOK_INTERVAL_MS: i64 = 5_000;
/// How long after a try the next receivers of a group are tried again, in milliseconds. Chosen, as for ends that are owed.
const RETRY_MS: i64 = 15_000;

/// One integration that a flush may tell.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) integration: Arc<Integration>,
    pub(super) key: NotifyKey,
    /// Told only of what nobody acknowledged for so long; `None` for the route's own receiver.
    pub(super) after_ms: Option<i64>,
}

impl Core {
    /// Everybody a group may be told to: its route's receiver first, then those of its escalation.
    pub(super) fn lines_of(&self, id: &GroupId) -> Vec<Line> {
        let route = self.routes.get(id.route);
        let group_key = self.group_key(id);
        let steps = route.escalate.iter().map(|step| (&step.receiver, Some(step.after_ms)));
        let mut lines = Vec::new();
        for (name, after_ms) in std::iter::once((&route.receiver, None)).chain(steps) {
            let Some(receiver) = self.config.receiver(name) else { continue };
            lines.extend(receiver.integrations.iter().map(|integration| Line {
                integration: Arc::clone(integration),
                key: NotifyKey {
                    group_key: group_key.clone(),
                    receiver: name.clone(),
                    integration: integration.name.to_owned(),
                    idx: integration.idx,
                },
                after_ms,
            }));
        }
        lines
    }

    /// Whether a group of `route` tells the receiver called `name`, at once or in time.
    pub(super) fn leads_to(&self, route: &Route, name: &str) -> bool {
        route.receiver == name || route.escalate.iter().any(|step| step.receiver == name)
    }

    /// Of what is heard what a further receiver was told before.
    pub(super) fn heard_before(&self, line: &Line, heard: &Heard) -> Heard {
        let is_told = |snapshot: &&Snapshot| {
            let last = self.nflog.get(&line.key);
            last.is_some_and(|last| last.firing.contains(&snapshot.fingerprint))
                || self.is_owed(&line.key, snapshot.fingerprint)
        };
        let loud = heard.loud.iter().filter(is_told).cloned().collect();
        Heard { at_ms: heard.at_ms, loud, all: heard.all.clone() }
    }

    /// What the integrations of the route's own receiver were told.
    fn own_entries(&self, id: &GroupId) -> Vec<&Entry> {
        self.keys_of(id).iter().filter_map(|key| self.nflog.get(key)).collect()
    }

    /// How long a firing alert has been told and not kept back; `None` while nobody knows of it. Where the route's own
    /// receiver cannot be reached, the time since that was tried.
    fn elapsed_ms(&self, id: &GroupId, entries: &[&Entry], snapshot: &Snapshot, now_ms: i64) -> Option<i64> {
        if self.acks.holding(snapshot.fingerprint, &snapshot.alert, now_ms).is_some() {
            return None;
        }
        let Some(since_ms) = told_since(entries, snapshot.fingerprint, &snapshot.alert) else {
            let tried_ms = self.groups.get(id)?.failing_ms?.max(snapshot.alert.starts_at_ms);
            return Some(now_ms.saturating_sub(tried_ms));
        };
        Some(self.pauses.get(&self.group_key(id), snapshot.fingerprint, since_ms).elapsed_ms(now_ms))
    }

    /// When clocks are looked at next.
    pub(super) fn next_look_ms(&self) -> i64 {
        if self.routes.is_escalating() && self.turn.is_ready { self.next_look_ms } else { i64::MAX }
    }

    /// Stops the clocks of alerts that are kept back and lets others go on; tells what is due.
    pub(super) fn look_at_clocks(&mut self, now_ms: i64) {
        if now_ms < self.next_look_ms() {
            return;
        }
        let escalating = |id: &&GroupId| !self.routes.get(id.route).escalate.is_empty();
        let ids: Vec<GroupId> = self.groups.keys().filter(escalating).cloned().collect();
        let mut next_ms = now_ms.saturating_add(LOOK_INTERVAL_MS);
        let mut needed: BTreeSet<(String, Fingerprint)> = BTreeSet::new();
        for id in ids {
            let key = self.group_key(&id);
            for (alert, since_ms, is_kept_back) in self.told_of(&id, now_ms) {
                if let Some(pause) = self.pauses.note(&key, alert, (since_ms, is_kept_back), now_ms) {
                    self.journal.push(Record::Paused(key.clone(), alert, pause));
                }
                needed.insert((key.clone(), alert));
            }
            next_ms = next_ms.min(self.escalate(&id, now_ms));
        }
        self.pauses.retain(|group, alert| needed.contains(&(group.to_owned(), alert)));
        self.next_look_ms = next_ms.max(now_ms.saturating_add(1));
    }

    /// The told firing alerts of a group, since when they are, and whether anything keeps them back now.
    fn told_of(&self, id: &GroupId, now_ms: i64) -> Vec<(Fingerprint, i64, bool)> {
        let route = self.routes.get(id.route);
        let Some(group) = self.groups.get(id) else { return Vec::new() };
        let entries = self.own_entries(id);
        let firing = group.snapshot(now_ms).into_iter().filter(|alert| alert.is_firing);
        let told: Vec<(Snapshot, i64)> = firing
            .filter_map(|alert| Some((told_since(&entries, alert.fingerprint, &alert.alert)?, alert)))
            .map(|(ms, alert)| (alert, ms))
            .collect();
        let snapshots = told.iter().map(|(alert, _)| alert.clone()).collect();
        let loud: BTreeSet<Fingerprint> =
            self.sift(snapshots, route, now_ms).0.iter().map(|alert| alert.fingerprint).collect();
        let of = |(Snapshot { fingerprint, alert, .. }, since_ms): (Snapshot, i64)| {
            let is_held = self.acks.holding(fingerprint, &alert, now_ms).is_some();
            (fingerprint, since_ms, is_held || !loud.contains(&fingerprint))
        };
        told.into_iter().map(of).collect()
    }

    /// Tells further receivers of the alerts whose time has come; returns when the next one's does.
    ///
    /// Outside of the group's flushes, whose cadence managers share. Each manager waits by its position on top of the
    /// route's time, and finds in the log what another one told.
    fn escalate(&mut self, id: &GroupId, now_ms: i64) -> i64 {
        let route = self.routes.get(id.route).clone();
        let Some(group) = self.groups.get(id) else { return i64::MAX };
        let may_try = group.tried_ms.is_none_or(|last_ms| last_ms.saturating_add(RETRY_MS) <= now_ms);
        let firing = group.snapshot(now_ms).into_iter().filter(|alert| alert.is_firing).collect();
        let heard = self.sift(self.seen(&route, firing, now_ms), &route, now_ms).0;
        let elapsed: Vec<(Fingerprint, i64)> = {
            let entries = self.own_entries(id);
            let of =
                |alert: &Snapshot| Some((alert.fingerprint, self.elapsed_ms(id, &entries, alert, now_ms)?));
            heard.iter().filter_map(of).collect()
        };
        let mut next_ms = i64::MAX;
        for line in self.lines_of(id) {
            let Some(after_ms) = line.after_ms.map(|ms| ms.saturating_add(self.turn.wait_ms)) else {
                continue;
            };
            let last = self.nflog.get(&line.key);
            let told = last.map(|last| last.firing.clone()).unwrap_or_default();
            let waiting = elapsed.iter().filter(|(of, _)| !told.contains(of));
            let left_ms = waiting.map(|(of, ms)| (*of, after_ms.saturating_sub(*ms)));
            let (due, later): (Vec<_>, Vec<_>) = left_ms.partition(|(_, left_ms)| *left_ms <= 0);
            let soonest_ms = later.into_iter().map(|(_, left_ms)| now_ms.saturating_add(left_ms)).min();
            next_ms = next_ms.min(soonest_ms.unwrap_or(i64::MAX));
            if due.is_empty() || !may_try || self.busy.contains_key(&line.key) {
                continue;
            }
            let due: BTreeSet<Fingerprint> = due.into_iter().map(|(of, _)| of).collect();
            let of_line =
                |alert: &&Snapshot| due.contains(&alert.fingerprint) || told.contains(&alert.fingerprint);
            let loud: Vec<Snapshot> = heard.iter().filter(of_line).cloned().collect();
            let held_ms =
                self.tell_step(id, &route, line, &Heard { at_ms: now_ms, all: loud.clone(), loud }, now_ms);
            next_ms = next_ms.min(held_ms.unwrap_or(i64::MAX));
        }
        next_ms
    }

    /// Starts the message to a further receiver, or returns when to try again. Ends that it is owed follow with the group's
    /// next flush.
    fn tell_step(
        &mut self,
        id: &GroupId,
        route: &Route,
        line: Line,
        heard: &Heard,
        now_ms: i64,
    ) -> Option<i64> {
        let mut due = self.due(&line.key, &line.integration, heard, route, now_ms)?;
        if !matches!(due.reason, Reason::First | Reason::NewAlerts) {
            return None;
        }
        if let Some(at_ms) = self.held_until_ms(&line.key, now_ms) {
            return Some(at_ms);
        }
        due.reason = Reason::Escalated;
        if let Some(last) = self.nflog.get(&line.key) {
            due.firing.extend(&last.firing);
            due.resolved.extend(&last.resolved);
        }
        if let Some(group) = self.groups.get_mut(id) {
            group.tried_ms = Some(now_ms);
        }
        let told = self.nflog.get(&line.key).map(|last| last.firing.clone()).unwrap_or_default();
        let news = due.alerts.iter().filter(|alert| alert.is_firing && !told.contains(&alert.fingerprint));
        self.history.escalate(news.map(|alert| &alert.alert), &line.key.receiver, now_ms);
        self.launch((id, NO_EPOCH), route, line, due, now_ms);
        None
    }

    /// A further receiver took its message: the next alert whose time has come need not wait as after a failure, or its time
    /// would come to be that of the next manager's turn.
    pub(super) fn note_step_told(&mut self, id: &GroupId, now_ms: i64) {
        if let Some(group) = self.groups.get_mut(id) {
            group.tried_ms = None;
            self.next_look_ms = self.next_look_ms.min(now_ms);
        }
    }

    /// A line of a flush came to its end: whether the route's own receiver can be reached.
    pub(super) fn note_reached(&mut self, id: &GroupId, receiver: &str, is_reached: bool, now_ms: i64) {
        if !self.groups.contains_key(id) || self.routes.get(id.route).receiver != receiver {
            return;
        }
        if let Some(group) = self.groups.get_mut(id) {
            group.failing_ms = if is_reached { None } else { group.failing_ms.or(Some(now_ms)) };
        }
    }

    /// The further receivers of a route that were told of an alert, and when the next one is.
    pub(crate) fn escalation_of(&self, id: Fingerprint, now_ms: i64) -> Vec<StepView> {
        let mut views = Vec::new();
        if !self.routes.is_escalating() {
            return views;
        }
        let Some(alert) = self.alerts.get(&id).filter(|alert| !alert.is_resolved_at(now_ms)) else {
            return views;
        };
        for group in self.groups_of(alert) {
            views.extend(self.steps_of(&group, id, now_ms));
        }
        views
    }

    /// The same in one group, in the order of its steps.
    pub(super) fn steps_of(&self, group: &GroupId, id: Fingerprint, now_ms: i64) -> Vec<StepView> {
        let alert = self.alerts.get(&id).filter(|alert| !alert.is_resolved_at(now_ms));
        let entries = self.own_entries(group);
        let since_ms = alert.and_then(|alert| told_since(&entries, id, alert));
        let pause = since_ms.map(|since_ms| self.pauses.get(&self.group_key(group), id, since_ms));
        let is_held = alert.is_some_and(|alert| self.acks.holding(id, alert, now_ms).is_some());
        let lines = self.lines_of(group);
        let view = |Escalation { after_ms, receiver }: &Escalation| {
            let mut of_step = lines.iter().filter(|line| line.key.receiver == *receiver);
            let is_told =
                of_step.any(|line| self.nflog.get(&line.key).is_some_and(|last| last.firing.contains(&id)));
            let runs = pause.filter(|pause| !is_told && !is_held && pause.from_ms.is_none());
            let at_ms = runs
                .map(|pause| now_ms.saturating_add(after_ms.saturating_sub(pause.elapsed_ms(now_ms)).max(0)));
            StepView { receiver: receiver.clone(), is_told, at_ms }
        };
        self.routes.get(group.route).escalate.iter().map(view).collect()
    }
}

/// One further receiver of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepView {
    pub(crate) receiver: String,
    pub(crate) is_told: bool,
    /// When it is told, unless somebody acknowledges; `None` while that time does not run.
    pub(crate) at_ms: Option<i64>,
}

/// Since when the first of the route's own integrations knows of an alert; of this firing, where the end of the one before
/// was never told.
fn told_since(entries: &[&Entry], id: Fingerprint, alert: &Alert) -> Option<i64> {
    let told = entries.iter().filter(|entry| entry.firing.contains(&id));
    let since_ms = told.filter_map(|entry| entry.since.get(&id).copied().or(entry.issued_ms(id))).min()?;
    Some(since_ms.max(alert.starts_at_ms))
}
