//! A resolve is a promise: who was told that an alert fires is told its end, whatever came between.
//!
//! In from deliveries, which make and keep promises; out as alerts that a silence, an inhibition or a mute interval does
//! not keep back, and as messages to receivers that no group leads to any more. Receivers with `send_resolved: false`
//! are promised nothing. With `hinomi: {promised_resolves: false}` all is as in Alertmanager.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::Labels;

use super::group::{GroupId, fingerprints};
use super::job::{Job, JobId};
use super::{Core, FLUSH_MS_MIN, Heard, Record};
use crate::alert::{Alert, Fingerprint};
use crate::config::Integration;
use crate::nflog::{NotifyKey, Reason};
use crate::notification::Notification;
use crate::notification::Snapshot;
use crate::promise::{Ended, Promised};
use crate::route::{Route, RouteIdx};

/// How often promises without a group are looked at, in milliseconds. Chosen: they are rare, and an end may be late by it.
const SWEEP_INTERVAL_MS: i64 = 15_000;
/// How long after an end that another manager told reports of the same firing do not count, in milliseconds. Chosen: a
/// manager that is not sure hears of the end again within a minute, and clocks are not much more than that apart.
const TOLD_END_MS: i64 = 90_000;
/// The epoch of jobs that belong to no configuration's groups.
pub(super) const NO_EPOCH: u64 = u64::MAX;

impl Core {
    /// Puts a promise back from the state file.
    pub(crate) fn restore_promise(&mut self, said: &Promised) {
        self.promises.merge(said);
    }

    /// Whether `key` has to be told the end of an alert.
    pub(super) fn is_owed(&self, key: &NotifyKey, alert: Fingerprint) -> bool {
        self.config.promises_resolves && self.promises.is_open(key, alert)
    }

    /// What an integration hears: what nothing keeps back, and the ends it is owed.
    pub(super) fn with_owed(
        &self,
        key: &NotifyKey,
        integration: &Integration,
        route: &Route,
        heard: &Heard,
        now_ms: i64,
    ) -> Vec<Snapshot> {
        let is_current = |snapshot: &&Snapshot| {
            !self.is_said_to_be_over(key, snapshot)
                && !self.has_begun_to_flap(route, snapshot)
                && (snapshot.is_firing || !self.is_hearsay(&snapshot.alert, now_ms))
        };
        let stands = |snapshot: &&Snapshot| self.stands(route, key, snapshot, now_ms);
        if !integration.sends_resolved || !route.is_watching() && heard.loud.len() == heard.all.len() {
            return heard.loud.iter().filter(stands).filter(is_current).cloned().collect();
        }
        let loud = heard.loud.iter().filter(stands);
        let loud: BTreeSet<Fingerprint> = loud.map(|snapshot| snapshot.fingerprint).collect();
        let is_told = |snapshot: &&Snapshot| {
            let id = snapshot.fingerprint;
            loud.contains(&id) || !snapshot.is_firing && self.is_owed(key, id)
        };
        heard.all.iter().filter(is_told).filter(is_current).cloned().collect()
    }

    /// Whether another manager told the end of an alert. Nothing is said of it then, unless it began after that end.
    ///
    /// One that fires here may do so since a clock that is behind says that its end is to come: not if it is still
    /// reported some time after that end.
    fn is_said_to_be_over(&self, key: &NotifyKey, snapshot: &Snapshot) -> bool {
        let alert = &snapshot.alert;
        let is_over = |told_ms: i64| {
            let is_recent = alert.updated_at_ms <= told_ms.saturating_add(TOLD_END_MS);
            alert.starts_at_ms <= told_ms && (is_recent || !snapshot.is_firing)
        };
        let told_ms = self.promises.told_end_ms(key, snapshot.fingerprint);
        self.turn.is_shared && told_ms.is_some_and(is_over)
    }

    /// Whether an alert is known from the disk alone, and those who send it had no time to report it. Another manager may know of
    /// a later firing, whose end this one's is not.
    fn is_hearsay(&self, alert: &Alert, now_ms: i64) -> bool {
        let has_had_time = self.start_ms.saturating_add(TOLD_END_MS) <= now_ms;
        let is_told_later = self.turn.is_shared && self.config.promises_resolves;
        is_told_later && !has_had_time && alert.updated_at_ms < self.start_ms
    }

    /// The ends that a message to `key` says, with what is known when it is sent: what another manager tells while it is on
    /// its way it does not cover.
    pub(super) fn ends_said(
        &self,
        key: &NotifyKey,
        alerts: &[Snapshot],
        now_ms: i64,
    ) -> BTreeMap<Fingerprint, Ended> {
        let end_of = |alert: &Snapshot| {
            let ends_at_ms = alert.alert.ends_at_ms.min(now_ms);
            (alert.fingerprint, self.promises.end_of(key, alert.fingerprint, ends_at_ms))
        };
        alerts.iter().filter(|alert| !alert.is_firing).map(end_of).collect()
    }

    /// Makes and keeps the promises of a notification that was delivered.
    pub(super) fn promise(&mut self, id: JobId, now_ms: i64) {
        let Some(job) = self.jobs.get(&id) else { return };
        if !job.integration.sends_resolved {
            return;
        }
        let mut firing = fingerprints(&job.notification.alerts, true);
        let mut ended = job.ends.clone();
        let word = self.word_of(job, firing.iter().chain(ended.keys()), now_ms);
        if !self.turn.is_shared {
            firing.retain(|alert| !self.promises.is_open(&word.key, *alert));
            ended.retain(|alert, _| self.promises.is_open(&word.key, *alert));
        }
        self.give(Promised { firing, ended, ..word });
    }

    /// What is said of `alerts` with a message, later than all that was said of them.
    pub(super) fn word_of<'a>(
        &self,
        job: &Job,
        alerts: impl IntoIterator<Item = &'a Fingerprint>,
        now_ms: i64,
    ) -> Promised {
        let last_ms = self.promises.last_ms(&job.key, alerts);
        let at_ms = last_ms.map_or(now_ms, |last_ms| now_ms.max(last_ms.saturating_add(1)));
        Promised::new(job.key.clone(), job.notification.group_labels.clone(), at_ms, self.turn.me)
    }

    /// Takes own words of promises, and writes them down where they are news.
    pub(super) fn give(&mut self, said: Promised) {
        if self.promises.merge(&said) {
            if !self.turn.is_shared {
                self.promises.forget_kept(&said);
            }
            self.journal.push(Record::Promised(said));
        }
    }

    /// When promises are looked at next.
    pub(super) fn next_sweep_ms(&self) -> i64 {
        let is_idle = self.promises.n_open() == 0 || !self.turn.is_ready || !self.config.promises_resolves;
        if is_idle { i64::MAX } else { self.next_sweep_ms.max(self.start_ms) }
    }

    /// Tells ends that are owed and that no group will tell: its route is gone, or the alert left it.
    pub(super) fn sweep_promises(&mut self, now_ms: i64) {
        if now_ms < self.next_sweep_ms || !self.config.promises_resolves {
            return;
        }
        self.next_sweep_ms = now_ms.saturating_add(SWEEP_INTERVAL_MS);
        let mut groups: HashMap<String, &GroupId> = HashMap::new();
        for id in self.groups.keys() {
            groups.insert(self.group_key(id), id);
        }
        let mut owed: Vec<(NotifyKey, Labels, Vec<Fingerprint>)> = Vec::new();
        for (key, labels, open) in self.promises.open() {
            let group = groups.get(&key.group_key).and_then(|id| {
                let is_its_receiver = self.leads_to(self.routes.get(id.route), &key.receiver);
                self.groups.get(*id).filter(|_| is_its_receiver && self.integration(key).is_some())
            });
            let is_ended = |id: &Fingerprint| {
                let is_in_group = group.is_some_and(|group| group.alerts.contains_key(id));
                let alert = self.alerts.get(id).filter(|alert| alert.is_resolved_at(now_ms));
                // Those who come first get as long to tell as they have for a group.
                let is_turn = alert.is_some_and(|alert| {
                    let since_ms = alert.ends_at_ms.max(alert.updated_at_ms);
                    since_ms.saturating_add(self.turn.wait_ms) <= now_ms && !self.is_hearsay(alert, now_ms)
                });
                !is_in_group && is_turn
            };
            let ended: Vec<Fingerprint> = open.filter(is_ended).collect();
            if !ended.is_empty() && !self.busy.contains_key(key) {
                owed.push((key.clone(), labels.clone(), ended));
            }
        }
        for (key, labels, ended) in owed {
            if let Some(at_ms) = self.held_until_ms(&key, now_ms) {
                self.next_sweep_ms = self.next_sweep_ms.min(at_ms);
                continue;
            }
            self.tell_ends(key, labels, &ended, now_ms);
        }
    }

    /// The integration that `key` names in the configuration of now.
    fn integration(&self, key: &NotifyKey) -> Option<Arc<Integration>> {
        let integrations = &self.config.receiver(&key.receiver)?.integrations;
        let is_it = |it: &&Arc<Integration>| it.name == key.integration && it.idx == key.idx;
        integrations.iter().find(is_it).filter(|it| it.sends_resolved).cloned()
    }

    /// Starts a message with ends alone, outside of any group.
    fn tell_ends(&mut self, key: NotifyKey, group_labels: Labels, ended: &[Fingerprint], now_ms: i64) {
        let Some(integration) = self.integration(&key) else {
            tracing::warn!(receiver = %key.receiver, integration = %key.integration, alerts = ended.len(),
                "the end of alerts cannot be told: the configuration has no such receiver any more");
            let at_ms = self.promises.last_ms(&key, ended).map_or(now_ms, |said_ms| now_ms.max(said_ms + 1));
            let ended = ended.iter().map(|id| (*id, self.promises.end_of(&key, *id, now_ms))).collect();
            let said = Promised { ended, ..Promised::new(key, group_labels, at_ms, self.turn.me) };
            self.promises.merge(&said);
            self.journal.push(Record::Promised(said));
            return;
        };
        let snapshot = |id: &Fingerprint| {
            let alert = Arc::clone(self.alerts.get(id)?);
            Some(Snapshot { fingerprint: *id, alert, is_firing: false, is_flapping: false })
        };
        let alerts: Vec<Snapshot> = ended.iter().filter_map(snapshot).collect();
        let last = self.nflog.get(&key);
        let mut firing = last.map(|last| last.firing.clone()).unwrap_or_default();
        firing.retain(|id| !ended.contains(id));
        let notification = Notification {
            receiver: key.receiver.clone(),
            group_key: key.group_key.clone(),
            group_labels: group_labels.clone(),
            route_labels: BTreeMap::new(),
            reason: Reason::AllResolved.text(),
            alerts,
            others_fire: false,
            data: last.map(|last| last.data.clone()).unwrap_or_default(),
            now_ms,
        };
        let ends = self.ends_said(&key, &notification.alerts, now_ms);
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.metrics.deliveries.note_begun(&integration);
        let job = Job {
            epoch: NO_EPOCH,
            // No group has it: nothing waits for this job.
            group: GroupId { route: RouteIdx(usize::MAX), labels: group_labels },
            integration,
            key,
            resolved: fingerprints(&notification.alerts, false),
            ends,
            pledged: None,
            firing,
            issued: last.map(|last| last.issued.clone()).unwrap_or_default(),
            since: last
                .map(|last| last.since.iter().map(|(id, ms)| (*id, Some(*ms))).collect())
                .unwrap_or_default(),
            notification: Arc::new(notification),
            repeat_interval_ms: self.retention_ms / 2,
            deadline_ms: now_ms.saturating_add(FLUSH_MS_MIN),
            next_attempt_ms: now_ms,
            began_ms: now_ms,
            n_attempts: 0,
            is_in_flight: false,
        };
        self.occupy(&job.key, id);
        self.jobs.insert(id, job);
    }
}
