//! Routes that watch their alerts: what counts, what is due again, what is over.
//!
//! In from reports, deliveries and answers about hosts; asked at each flush. Rules and reasons:
//! docs/adr/0007-watched-alerts.md. Routes without these settings pass through here untouched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Labels;

use super::group::GroupId;
use super::{Action, Core, Record};
use crate::alert::{Alert, Fingerprint};
use crate::config::Integration;
use crate::hosts::{ASK_INTERVAL_MS, HOSTS_PER_ROUND_MAX, Host};
use crate::limits::ALERTS_MAX;
use crate::nflog::{Entry, NotifyKey};
use crate::notification::Snapshot;
use crate::route::{Route, RouteIdx};
use crate::watch::{Ignore, Occurrences, Watch};

/// The annotation by which a message says that an end is no success.
const HOST_GONE: &str = "host_gone";

impl Core {
    /// Takes note of a report that an alert fires; returns for which routes it counts from now on.
    pub(super) fn detect(&mut self, fingerprint: Fingerprint, labels: &Labels, now_ms: i64) -> Vec<RouteIdx> {
        let matching = self.routes.matching(labels);
        let watching: Vec<RouteIdx> =
            matching.into_iter().filter(|idx| self.routes.get(*idx).is_watching()).collect();
        if watching.is_empty() {
            return Vec::new();
        }
        let route = |idx: &RouteIdx| self.routes.get(*idx);
        let asked: Vec<(&str, Option<Occurrences>)> =
            watching.iter().map(|idx| (route(idx).key.as_str(), route(idx).occurrences)).collect();
        let seen_max = self.routes.occurrences_max().0;
        let counts = self.watches.detect(fingerprint, now_ms, &asked, seen_max);
        self.note_watch(fingerprint);
        watching.into_iter().filter(|idx| counts.contains(&self.routes.get(*idx).key)).collect()
    }

    /// Puts what is known of a watched alert into the journal.
    fn note_watch(&mut self, fingerprint: Fingerprint) {
        if let Some(watch) = self.watches.get(fingerprint) {
            self.journal.push(Record::Watched(fingerprint, watch.clone()));
        }
    }

    /// An alert counts from now on: a group that has told nothing yet waits as a new one does.
    pub(super) fn wait_anew(&mut self, route: RouteIdx, labels: &Labels, now_ms: i64) {
        let of_route = self.routes.get(route);
        let id = GroupId { route, labels: of_route.group_labels(labels) };
        let is_told = |key: &NotifyKey| self.nflog.get(key).is_some_and(|entry| !entry.firing.is_empty());
        if !self.keys_of(&id).iter().any(is_told) {
            let next_ms = now_ms.saturating_add(of_route.group_wait_ms);
            self.flush_by(&id, next_ms);
        }
    }

    /// Has a group looked at no later than `at_ms`.
    pub(super) fn flush_by(&mut self, id: &GroupId, at_ms: i64) {
        if let Some(group) = self.groups.get_mut(id) {
            group.next_flush_ms = group.next_flush_ms.min(at_ms);
        }
    }

    /// What the integrations of a group's receiver are known by in the log.
    pub(super) fn keys_of(&self, id: &GroupId) -> Vec<NotifyKey> {
        let route = self.routes.get(id.route);
        let group_key = self.group_key(id);
        let integrations = self.config.receiver(&route.receiver).map(|receiver| &receiver.integrations);
        let key = |integration: &Arc<Integration>| NotifyKey {
            group_key: group_key.clone(),
            receiver: route.receiver.clone(),
            integration: integration.name.to_owned(),
            idx: integration.idx,
        };
        integrations.into_iter().flatten().map(key).collect()
    }

    /// The alerts of a group as its route sees them.
    pub(super) fn seen(&self, route: &Route, mut alerts: Vec<Snapshot>, now_ms: i64) -> Vec<Snapshot> {
        if route.success_ms.is_none() {
            return self.damped(route, alerts);
        }
        for snapshot in &mut alerts {
            snapshot.is_firing = self.fires_for(route, snapshot.fingerprint, &snapshot.alert, now_ms);
            if !snapshot.is_firing && snapshot.alert.ends_at_ms > now_ms {
                Arc::make_mut(&mut snapshot.alert).ends_at_ms = now_ms;
            }
            if let Some(why) = self.why_gone(route, snapshot, now_ms) {
                let alert = Arc::make_mut(&mut snapshot.alert);
                let known = alert.annotations.iter().filter(|(name, _)| *name != HOST_GONE);
                alert.annotations = Labels::from_pairs(known.chain([(HOST_GONE, why.as_str())]));
            }
        }
        self.damped(route, alerts)
    }

    /// Whether an alert is not over yet for a route.
    pub(super) fn fires_for(&self, route: &Route, id: Fingerprint, alert: &Alert, now_ms: i64) -> bool {
        let (Some(success_ms), Some(watch)) = (route.success_ms, self.watches.get(id)) else {
            return !alert.is_resolved_at(now_ms);
        };
        if self.is_given_up(watch, alert, now_ms) {
            return false;
        }
        if watch.over_at_ms(alert, success_ms) > now_ms {
            return true;
        }
        self.host_of(&alert.labels).is_some_and(|host| !self.is_active(&host, now_ms))
    }

    fn is_active(&self, host: &Host, now_ms: i64) -> bool {
        self.hosts.is_active(host, now_ms) == Some(true)
    }

    /// Whether an alert was not detected for so long that its end is told though nobody knows of its host.
    fn is_given_up(&self, watch: &Watch, alert: &Alert, now_ms: i64) -> bool {
        let gone_ms = self.config.hosts.gone_ms.filter(|_| alert.is_resolved_at(now_ms));
        gone_ms.is_some_and(|gone_ms| watch.quiet_since_ms(alert).saturating_add(gone_ms) <= now_ms)
    }

    /// What a message says of an end that is no success.
    fn why_gone(&self, route: &Route, snapshot: &Snapshot, now_ms: i64) -> Option<String> {
        route.success_ms?;
        let host = self.host_of(&snapshot.alert.labels).filter(|host| !self.is_active(host, now_ms))?;
        let watch = self.watches.get(snapshot.fingerprint).filter(|_| !snapshot.is_firing)?;
        let is_given_up = self.is_given_up(watch, &snapshot.alert, now_ms);
        let within = model::Duration::from_secs(self.config.hosts.gone_ms? / 1_000);
        is_given_up.then(|| {
            let Host { label, value } = host;
            format!("not detected for {within}; the host {label}={value:?} is away, so this is no success")
        })
    }

    /// Tells the history of an end that is no success yet.
    pub(super) fn note_awaited(&mut self, alert: &Arc<Alert>) {
        let routes = self.routes.matching(&alert.labels).into_iter().map(|idx| self.routes.get(idx));
        let receivers = routes.filter(|route| route.success_ms.is_some()).map(|route| route.receiver.clone());
        let receivers = receivers.collect();
        self.history.await_success(alert, receivers, alert.updated_at_ms);
    }

    /// The host that `labels` name.
    pub(super) fn host_of(&self, labels: &Labels) -> Option<Host> {
        let found = self.config.hosts.labels.iter().find_map(|label| Some((label, labels.get(label)?)));
        found.map(|(label, value)| Host { label: label.clone(), value: value.to_owned() })
    }

    /// Whether an integration may hear of an alert: it counts, and it is no news that it might still fire.
    pub(super) fn stands(&self, route: &Route, key: &NotifyKey, snapshot: &Snapshot, now_ms: i64) -> bool {
        let id = snapshot.fingerprint;
        let is_told = || self.nflog.get(key).is_some_and(|entry| entry.firing.contains(&id));
        let is_pending_end =
            route.success_ms.is_some() && snapshot.is_firing && snapshot.alert.is_resolved_at(now_ms);
        let counts = route.occurrences.is_none()
            || self.watches.get(id).is_some_and(|watch| watch.counted.contains(&route.key));
        (counts && !is_pending_end) || is_told()
    }

    /// Has a group looked at when one of its alerts is due again or over, not only at its interval; what comes within its
    /// group wait goes together.
    pub(super) fn hasten(&mut self, id: &GroupId, now_ms: i64) {
        if let Some(known_ms) = self.next_known_ms(id, now_ms) {
            self.flush_by(id, known_ms);
        }
        if let Some(open_ms) = self.next_reopening_ms(id, now_ms) {
            self.flush_by(id, open_ms);
        }
        let route = self.routes.get(id.route);
        if route.success_ms.is_none() && route.reissue_ms.is_none() {
            return;
        }
        let Some(group) = self.groups.get(id) else { return };
        let mut due_ms = i64::MAX;
        let mut consider = |at_ms: i64| {
            if at_ms > now_ms {
                due_ms = due_ms.min(at_ms);
            }
        };
        if let Some(success_ms) = route.success_ms {
            let over = group.alerts.iter().filter_map(|(id, alert)| {
                self.watches.get(*id).map(|watch| watch.over_at_ms(alert, success_ms))
            });
            over.for_each(&mut consider);
        }
        if let Some(reissue_ms) = route.reissue_ms {
            for entry in self.keys_of(id).iter().filter_map(|key| self.nflog.get(key)) {
                let of_group = entry.issued.iter().filter(|(id, _)| group.alerts.contains_key(id));
                of_group.for_each(|(_, at_ms)| consider(at_ms.saturating_add(reissue_ms)));
            }
        }
        let soonest_ms = now_ms.saturating_add(route.group_wait_ms);
        self.flush_by(id, due_ms.max(soonest_ms));
    }

    /// As [`Core::hasten`] for the groups of one alert whose end was reported.
    pub(super) fn hasten_all_of(&mut self, labels: &Labels, now_ms: i64) {
        for route in self.routes.matching(labels) {
            let id = GroupId { route, labels: self.routes.get(route).group_labels(labels) };
            self.hasten(&id, now_ms);
        }
    }

    /// The ends of alerts were told on a route: what fires again has to count anew.
    pub(super) fn uncount(&mut self, route: RouteIdx, ended: &[Fingerprint]) {
        let route = self.routes.get(route);
        if route.occurrences.is_none() {
            return;
        }
        let key = route.key.clone();
        for id in ended {
            if self.watches.uncount(*id, &key) {
                self.note_watch(*id);
            }
        }
    }

    /// When hosts are asked about next.
    pub(super) fn next_ask_ms(&self) -> i64 {
        let is_idle = !self.routes.iter().any(|route| route.success_ms.is_some());
        if is_idle { i64::MAX } else { self.next_ask_ms }
    }

    /// Asks about the hosts of alerts that will be over soon.
    pub(super) fn ask_hosts(&mut self, now_ms: i64) -> Option<Action> {
        if now_ms < self.next_ask_ms() {
            return None;
        }
        self.next_ask_ms = now_ms.saturating_add(ASK_INTERVAL_MS);
        self.hosts.collect_garbage(now_ms);
        let mut hosts = BTreeSet::new();
        for (id, group) in &self.groups {
            let Some(success_ms) = self.routes.get(id.route).success_ms else { continue };
            for (fingerprint, alert) in &group.alerts {
                let over_at_ms = self.watches.get(*fingerprint).map(|w| w.over_at_ms(alert, success_ms));
                let is_near = over_at_ms.is_some_and(|at_ms| at_ms <= self.next_ask_ms);
                if alert.is_resolved_at(now_ms) || is_near {
                    hosts.extend(self.host_of(&alert.labels));
                }
            }
        }
        // Those of which nothing is known first, so that many hosts take turns.
        let mut hosts: Vec<Host> = hosts.into_iter().collect();
        hosts.sort_by_key(|host| self.hosts.asked_ms(host));
        hosts.truncate(HOSTS_PER_ROUND_MAX);
        (!hosts.is_empty()).then(|| Action::AskHosts { hosts, fresh: self.config.hosts.fresh })
    }

    /// Takes what is known of hosts: `None` where nobody could say.
    pub(crate) fn on_hosts(&mut self, answers: Vec<(Host, Option<bool>)>, now_ms: i64) {
        let asked: BTreeMap<Host, Option<bool>> = answers.into_iter().collect();
        for (host, is_active) in &asked {
            self.hosts.put(host.clone(), *is_active, now_ms);
        }
        let (mut away, mut over, mut known) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (id, group) in &self.groups {
            let route = self.routes.get(id.route);
            if route.success_ms.is_none() {
                continue;
            }
            for (fingerprint, alert) in &group.alerts {
                let host = self.host_of(&alert.labels);
                let is_active = host.as_ref().and_then(|host| asked.get(host).copied());
                if let (Some(host), Some(Some(is_active)), true) =
                    (&host, is_active, alert.is_resolved_at(now_ms))
                {
                    known.insert(*fingerprint, (Arc::clone(alert), is_active, host.value.clone()));
                }
                match is_active {
                    Some(Some(false)) => away.push(*fingerprint),
                    Some(Some(true)) if !self.fires_for(route, *fingerprint, alert, now_ms) => {
                        over.push(id.clone());
                    }
                    _ => {}
                }
            }
        }
        for (id, (alert, is_active, host)) in known {
            self.history.host(id, &alert, !is_active, &host, now_ms);
        }
        away.into_iter().for_each(|id| self.watches.deafen(id, now_ms));
        over.iter().for_each(|id| self.flush_by(id, now_ms));
    }

    /// Forgets watched alerts that nobody will ask about.
    pub(super) fn forget_watches(&mut self, now_ms: i64) {
        let within_ms = self.routes.occurrences_max().1;
        let alerts = &self.alerts;
        let gone = self.watches.collect_garbage(now_ms, within_ms, ALERTS_MAX, |id| alerts.contains_key(&id));
        self.journal.extend(gone.into_iter().map(Record::WatchGone));
    }
}

/// What holds an alert back on a route, or what is awaited there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchState {
    /// A rule of the file hides it.
    Ignored,
    /// Not detected often enough.
    Counting,
    /// It counts and is to be delivered.
    Waiting,
    /// Delivered.
    Issued,
    /// Not detected any more; over after some time.
    Clearing,
    /// It would be over, but nobody knows that its host is active.
    HostAway,
}

/// One alert on one route that watches, reissues or ignores.
#[derive(Debug)]
pub(crate) struct WatchedView {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) alert: Arc<Alert>,
    pub(crate) route: String,
    pub(crate) receiver: String,
    pub(crate) state: WatchState,
    /// How many detections, and how many are needed within how long.
    pub(crate) occurrences: Option<(usize, Occurrences)>,
    pub(crate) detected_ms: Option<i64>,
    pub(crate) issued_ms: Option<i64>,
    pub(crate) reissue_ms: Option<i64>,
    pub(crate) over_at_ms: Option<i64>,
    pub(crate) host: Option<(Host, Option<bool>)>,
    pub(crate) ignored_by: Option<Ignore>,
}

impl Core {
    /// Alerts on routes with settings of ours, by route, then by job, instance, labels.
    pub(crate) fn watched_views(&self, is_wanted: impl Fn(&Alert) -> bool, now_ms: i64) -> Vec<WatchedView> {
        let mut views = Vec::new();
        for (id, group) in &self.groups {
            let route = self.routes.get(id.route);
            if !route.is_watching() && route.reissue_ms.is_none() && route.ignores.is_empty() {
                continue;
            }
            let keys = self.keys_of(id);
            let entries: Vec<&Entry> = keys.iter().filter_map(|key| self.nflog.get(key)).collect();
            for (fingerprint, alert) in group.alerts.iter().filter(|(_, alert)| is_wanted(alert)) {
                views.extend(self.watched_view(route, (*fingerprint, alert), &entries, now_ms));
            }
        }
        views.sort_by(|a, b| {
            let key = |view: &WatchedView| (view.route.clone(), view.alert.labels.clone());
            key(a).cmp(&key(b))
        });
        views
    }

    fn watched_view(
        &self,
        route: &Route,
        (fingerprint, alert): (Fingerprint, &Arc<Alert>),
        entries: &[&Entry],
        now_ms: i64,
    ) -> Option<WatchedView> {
        let ignored_by = route.ignored_by(&alert.labels, now_ms);
        if ignored_by.is_none() && !route.is_watching() && route.reissue_ms.is_none() {
            return None;
        }
        let watch = self.watches.get(fingerprint);
        let is_told = entries.iter().any(|entry| entry.firing.contains(&fingerprint));
        let issued = entries.iter().filter(|entry| entry.firing.contains(&fingerprint));
        let issued = issued.map(|entry| entry.issued.get(&fingerprint).copied().unwrap_or(entry.sent_at_ms));
        let issued_ms = issued.max();
        let over_at_ms = route.success_ms.zip(watch).map(|(ms, watch)| watch.over_at_ms(alert, ms));
        let host = route.success_ms.and_then(|_| self.host_of(&alert.labels));
        let counts = route.occurrences.is_none()
            || watch.is_some_and(|watch| watch.counted.contains(&route.key))
            || is_told;
        let state = match () {
            () if ignored_by.is_some() => WatchState::Ignored,
            () if !counts => WatchState::Counting,
            () if !alert.is_resolved_at(now_ms) && is_told => WatchState::Issued,
            () if !is_told => WatchState::Waiting,
            () if over_at_ms.is_some_and(|at_ms| at_ms <= now_ms) => WatchState::HostAway,
            () => WatchState::Clearing,
        };
        let occurrences = route
            .occurrences
            .map(|needed| (watch.map_or(0, |watch| watch.n_within(needed.within_ms, now_ms)), needed));
        Some(WatchedView {
            fingerprint,
            alert: Arc::clone(alert),
            route: route.key.clone(),
            receiver: route.receiver.clone(),
            state,
            occurrences,
            detected_ms: watch.map(|watch| watch.detected_ms),
            issued_ms,
            reissue_ms: issued_ms.zip(route.reissue_ms).map(|(at_ms, ms)| at_ms.saturating_add(ms)),
            over_at_ms: over_at_ms.filter(|_| alert.is_resolved_at(now_ms)),
            host: host.map(|host| {
                let is_active = self.hosts.is_active(&host, now_ms);
                (host, is_active)
            }),
            ignored_by: ignored_by.cloned(),
        })
    }

    /// The rule that ignores an alert on the first of its routes, where one does on each.
    pub(crate) fn ignored_everywhere(&self, labels: &Labels, now_ms: i64) -> Option<&Ignore> {
        if !self.routes.iter().any(|route| !route.ignores.is_empty()) {
            return None;
        }
        let routes = self.routes.matching(labels);
        let rules = routes.iter().map(|idx| self.routes.get(*idx).ignored_by(labels, now_ms));
        rules.collect::<Option<Vec<_>>>()?.first().copied()
    }

    /// Every ignore rule with the key of its route and how many alerts it hides now.
    pub(crate) fn ignore_views(&self, now_ms: i64) -> Vec<(String, Arc<Ignore>, usize)> {
        let mut views = Vec::new();
        let mut known = BTreeSet::new();
        for (idx, route) in self.routes.iter().enumerate() {
            for ignore in &route.ignores {
                // Those of the routes above are listed there.
                if !known.insert(Arc::as_ptr(ignore)) {
                    continue;
                }
                let hidden = self.alerts.values().filter(|alert| {
                    !alert.is_resolved_at(now_ms)
                        && ignore.hides(&alert.labels, now_ms)
                        && self.routes.passes(&alert.labels, RouteIdx(idx))
                });
                views.push((route.key.clone(), Arc::clone(ignore), hidden.count()));
            }
        }
        views
    }
}
