//! Flap damping as the dispatcher obeys it: an alert that changes too often is told once as flapping, and then when it is
//! stable.
//!
//! In from reports; asked at each flush. While an alert flaps on a route it fires there, whatever was reported last, so that
//! its end is told when it is stable and not before. Meaning: docs/adr/0010-on-call.md.

use std::sync::Arc;

use model::Labels;

use super::group::GroupId;
use super::{Core, Record};
use crate::alert::{Alert, Fingerprint};
use crate::flap::{Flap, Flaps};
use crate::nflog::Entry;
use crate::notification::Snapshot;
use crate::route::Route;

/// When an alert changed its state, so far as `known` and what a report made of it say; some may have been noted before.
fn changes(known: Option<&Alert>, alert: &Alert, now_ms: i64) -> Vec<i64> {
    let is_firing = !alert.is_resolved_at(now_ms);
    let begins = known.is_none_or(|known| known.ends_at_ms <= alert.starts_at_ms);
    // Its end may have gone by without a report, or in the report that said it a clock that is behind did not see it.
    let ended = known.filter(|_| begins).map(|known| known.ends_at_ms);
    let ends = (!is_firing && known.is_some()).then_some(alert.ends_at_ms);
    let began = begins.then_some(alert.starts_at_ms).filter(|_| is_firing || known.is_some());
    // A sender whose clock is ahead changes nothing in the future.
    ended.into_iter().chain(began).chain(ends).map(|at_ms| at_ms.min(now_ms)).collect()
}

/// The annotation by which messages say that an alert flaps.
const ANNOTATION: &str = "flapping";

impl Core {
    /// Takes note of a report that made `alert` of what was `known`.
    ///
    /// Changes are dated by the alert's own times, which managers share: dated by when each of them heard, they would
    /// disagree about what flaps, and since when.
    pub(super) fn note_change(
        &mut self,
        id: Fingerprint,
        known: Option<&Alert>,
        alert: &Arc<Alert>,
        now_ms: i64,
    ) {
        let soon_ms = self.soon_ms(now_ms);
        let times = if self.routes.is_damping() { changes(known, alert, soon_ms) } else { Vec::new() };
        if times.is_empty() {
            return;
        }
        let matching = self.routes.matching(&alert.labels);
        let of_route = |idx: &crate::route::RouteIdx| {
            let route = self.routes.get(*idx);
            Some((route.key.as_str(), route.flap?))
        };
        let damping: Vec<(&str, Flap)> = matching.iter().filter_map(of_route).collect();
        if damping.is_empty() {
            return;
        }
        let n_known = self.flaps.get(id).map_or(0, |changes| changes.times.len());
        let last_ms = |flaps: &Flaps| flaps.get(id).and_then(|changes| changes.times.back().copied());
        let before_ms = last_ms(&self.flaps);
        let (mut news, mut was_stable) = (Vec::new(), Vec::new());
        for turned in times.into_iter().map(|at_ms| self.flaps.note(id, at_ms, &damping)) {
            news.extend(turned.flaps);
            was_stable.extend(turned.was_stable);
        }
        if n_known > 0 && last_ms(&self.flaps) == before_ms {
            return;
        }
        self.metrics.on_call.flaps.add(news.len() as u64);
        self.journal_flap(id);
        for group in self.groups_of(alert) {
            let route = self.routes.get(group.route);
            if was_stable.contains(&route.key) {
                self.history.flap(alert, false, &route.receiver, now_ms);
            }
            if news.contains(&route.key) {
                self.history.flap(alert, true, &route.receiver, now_ms);
                let at_ms = now_ms.saturating_add(route.group_wait_ms);
                self.flush_by(&group, at_ms);
            }
        }
    }

    fn journal_flap(&mut self, id: Fingerprint) {
        if let Some(changes) = self.flaps.get(id) {
            self.journal.push(Record::Flapped(id, changes.clone()));
        }
    }

    /// Since when an alert flaps on a route.
    fn flaps_since_ms(&self, route: &Route, id: Fingerprint) -> Option<i64> {
        route.flap?;
        self.flaps.get(id)?.since_ms(&route.key)
    }

    /// Whether a message that waited its turn would tell the end of what flaps since: that is for the next look.
    pub(super) fn has_begun_to_flap(&self, route: &Route, of: &Snapshot) -> bool {
        !of.is_firing && self.flaps_since_ms(route, of.fingerprint).is_some()
    }

    /// Ends the flapping of what is stable in a group; has it looked at again when the next one is.
    pub(super) fn settle_flaps(&mut self, id: &GroupId, now_ms: i64) {
        let route = self.routes.get(id.route);
        let (Some(flap), Some(group)) = (route.flap.filter(|_| !self.flaps.is_empty()), self.groups.get(id))
        else {
            return;
        };
        let (key, receiver) = (route.key.clone(), route.receiver.clone());
        let alerts: Vec<(Fingerprint, Arc<Alert>)> =
            group.alerts.iter().map(|(alert, of)| (*alert, Arc::clone(of))).collect();
        let mut next_ms = i64::MAX;
        for (alert, of) in alerts {
            if self.flaps.settle(alert, &key, flap.stable_ms, now_ms) {
                self.journal_flap(alert);
                self.history.flap(&of, false, &receiver, now_ms);
            }
            let flapping = self.flaps.get(alert).filter(|changes| changes.since_ms(&key).is_some());
            next_ms = next_ms.min(flapping.map_or(i64::MAX, |changes| changes.stable_at_ms(flap.stable_ms)));
        }
        self.flush_by(id, next_ms);
    }

    /// Alerts as they are while they flap: they fire, and say so.
    pub(super) fn damped(&self, route: &Route, mut alerts: Vec<Snapshot>) -> Vec<Snapshot> {
        let Some(flap) = route.flap.filter(|_| !self.flaps.is_empty()) else { return alerts };
        for snapshot in &mut alerts {
            if self.flaps_since_ms(route, snapshot.fingerprint).is_none() {
                continue;
            }
            (snapshot.is_firing, snapshot.is_flapping) = (true, true);
            let within = model::Duration::from_secs(flap.within_ms / 1_000);
            let text = format!("{} changes within {within}; told again when it is stable", flap.changes);
            let mut alert = (*snapshot.alert).clone();
            let known = alert.annotations.iter().filter(|(name, _)| *name != ANNOTATION);
            alert.annotations = Labels::from_pairs(known.chain([(ANNOTATION, text.as_str())]));
            snapshot.alert = Arc::new(alert);
        }
        alerts
    }

    /// Whether nothing is to be said of an alert since it flaps, or it is to be said that it does or does no more.
    ///
    /// One that turned while the flush waited its turn is for the next flush: the message would say what it was before, and be
    /// taken for the telling of what it is.
    pub(super) fn damping(&self, route: &Route, last: Option<&Entry>, of: &Snapshot) -> Option<bool> {
        route.flap?;
        let id = of.fingerprint;
        let changes = self.flaps.get(id)?;
        let since_ms = changes.since_ms(&route.key);
        if since_ms.is_some() != of.is_flapping {
            return Some(true);
        }
        let told_ms = last.and_then(|last| last.issued_ms(id))?;
        match (since_ms, changes.settled.get(&route.key)) {
            (Some(since_ms), _) => Some(told_ms >= since_ms),
            (None, Some(settled_ms)) if told_ms < *settled_ms => Some(false),
            _ => None,
        }
    }

    /// Forgets changes that count for nothing any more.
    pub(super) fn forget_flaps(&mut self, now_ms: i64) {
        let within_ms = self.routes.iter().filter_map(|route| route.flap).map(|flap| flap.within_ms).max();
        let alerts = &self.alerts;
        let gone = self.flaps.collect_garbage(now_ms, within_ms.unwrap_or(0), |id| alerts.contains_key(&id));
        self.journal.extend(gone.into_iter().map(Record::FlapGone));
    }

    /// Since when an alert flaps on any of its routes, how often it changed, and when it is stable.
    pub(crate) fn flapping(&self, id: Fingerprint, alert: &Alert, now_ms: i64) -> Option<(i64, usize, i64)> {
        let changes = self.flaps.get(id)?;
        self.routes.matching(&alert.labels).into_iter().find_map(|idx| {
            let route = self.routes.get(idx);
            let flap = route.flap?;
            let since_ms = changes.since_ms(&route.key)?;
            Some((since_ms, changes.n_within(flap.within_ms, now_ms), changes.stable_at_ms(flap.stable_ms)))
        })
    }
}
