//! Who has an alert: acknowledgements as the dispatcher obeys them.
//!
//! In from API v2 and other managers; asked at each flush. What is acknowledged still fires: it is not said again, and a
//! group that holds it is not said to be over; its end is told. Meaning: docs/adr/0010-on-call.md.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Matcher;

use super::group::GroupId;
use super::{Core, Record};
use crate::ack::{ACKS_MAX, Ack};
use crate::alert::{Alert, Fingerprint};
use crate::nflog::Entry;
use crate::notification::Snapshot;
use crate::route::Route;

/// What somebody says about alerts: that they are in hand, or that they are not.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) by: String,
    pub(crate) note: String,
    /// Held until then; without it until the configuration's `ack_timeout`, or the end.
    pub(crate) until_ms: Option<i64>,
    pub(crate) is_held: bool,
}

/// Why a word was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordError {
    #[error("no alert that fires matches")]
    NoAlert,
    #[error("nobody has acknowledged any of these alerts")]
    NotHeld,
    #[error("more than {ACKS_MAX} acknowledgements")]
    TooMany,
}

/// Firing alerts of a message as acknowledgements part them.
#[derive(Debug, Default)]
pub(super) struct Hands {
    /// Somebody has these, or they flap and were told to: nothing is said of them.
    pub(super) held: BTreeSet<Fingerprint>,
    /// Somebody had these, or they began or ceased to flap, and nobody was told since: they are news again.
    pub(super) again: BTreeSet<Fingerprint>,
}

impl Core {
    /// The alerts that fire and that `fingerprints` or, where there are none, all of `matchers` name.
    pub(crate) fn firing(
        &self,
        fingerprints: &[Fingerprint],
        matchers: &[Matcher],
        now_ms: i64,
    ) -> Vec<(Fingerprint, Arc<Alert>)> {
        let fires = |alert: &Alert| !alert.is_resolved_at(now_ms);
        let is_match = |alert: &Alert| matchers.iter().all(|matcher| matcher.matches_labels(&alert.labels));
        if fingerprints.is_empty() {
            let all = self.alerts.iter().filter(|(_, alert)| fires(alert) && is_match(alert));
            return all.map(|(id, alert)| (*id, Arc::clone(alert))).collect();
        }
        let named = fingerprints.iter().filter_map(|id| Some((*id, Arc::clone(self.alerts.get(id)?))));
        let named = named.filter(|(_, alert)| fires(alert) && is_match(alert));
        named.collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    /// Takes what somebody says about alerts that fire; returns those it changed.
    ///
    /// # Errors
    /// When it is about no alert, or too many are in hand.
    pub(crate) fn say(
        &mut self,
        alerts: Vec<(Fingerprint, Arc<Alert>)>,
        word: &Word,
        now_ms: i64,
    ) -> Result<Vec<(Fingerprint, Arc<Alert>)>, WordError> {
        if alerts.is_empty() {
            return Err(WordError::NoAlert);
        }
        let is_open =
            |(id, alert): &(Fingerprint, Arc<Alert>)| self.acks.holding(*id, alert, now_ms).is_none();
        let changed: Vec<_> = alerts.into_iter().filter(|of| word.is_held || !is_open(of)).collect();
        if changed.is_empty() {
            return Err(WordError::NotHeld);
        }
        let n_new = changed.iter().filter(|(id, _)| self.acks.get(*id).is_none()).count();
        if self.acks.len() + n_new > ACKS_MAX {
            return Err(WordError::TooMany);
        }
        let timeout_ms = self.config.ack_timeout_ms.map(|ms| now_ms.saturating_add(ms));
        for (id, alert) in &changed {
            let ack = Ack {
                at_ms: self.later_than_said(*id, alert, word.is_held, now_ms),
                by: word.by.clone(),
                note: word.note.clone(),
                starts_at_ms: alert.starts_at_ms,
                is_held: word.is_held,
                until_ms: word.until_ms.or(timeout_ms).filter(|_| word.is_held),
                is_snooze: word.is_held && word.until_ms.is_some(),
            };
            self.journal.push(Record::Acked(*id, ack.clone()));
            self.take_ack(*id, ack, now_ms);
        }
        Ok(changed)
    }

    /// A time later than all that was said of an alert, whatever the clocks; what is given back counts as not told since.
    fn later_than_said(&self, id: Fingerprint, alert: &Alert, is_held: bool, now_ms: i64) -> i64 {
        let known_ms = self.acks.get(id).map(|ack| ack.at_ms);
        let told = self
            .groups_of(alert)
            .into_iter()
            .flat_map(|group| self.keys_of(&group))
            .filter_map(|key| self.nflog.get(&key).and_then(|entry| entry.issued_ms(id)));
        let told_ms = told.max().filter(|_| !is_held);
        let last_ms = known_ms.into_iter().chain(told_ms).max();
        last_ms.map_or(now_ms, |last_ms| now_ms.max(last_ms.saturating_add(1)))
    }

    /// The groups that an alert's labels lead to.
    pub(super) fn groups_of(&self, alert: &Alert) -> Vec<GroupId> {
        let group = |route| GroupId { route, labels: self.routes.get(route).group_labels(&alert.labels) };
        self.routes.matching(&alert.labels).into_iter().map(group).collect()
    }

    /// Keeps a word, and has the alert's groups looked at when it is open again.
    pub(super) fn take_ack(&mut self, id: Fingerprint, ack: Ack, now_ms: i64) {
        let next_ms = if ack.is_held { ack.until_ms } else { Some(now_ms) };
        let is_own = !ack.is_held && ack.by.is_empty();
        if let Some(alert) = self.alerts.get(&id) {
            self.history.hand(alert, &ack, now_ms);
        }
        self.acks.keep(id, ack);
        let Some(alert) = self.alerts.get(&id).filter(|alert| !alert.is_resolved_at(now_ms) && !is_own)
        else {
            return;
        };
        for group in next_ms
            .into_iter()
            .flat_map(|at_ms| {
                let groups = self.groups_of(alert);
                groups.into_iter().map(move |group| (group, at_ms))
            })
            .collect::<Vec<_>>()
        {
            self.flush_by(&group.0, group.1.max(now_ms));
        }
    }

    /// When the first acknowledgement of a group's alerts is over by itself.
    pub(super) fn next_reopening_ms(&self, id: &GroupId, now_ms: i64) -> Option<i64> {
        let group = self.groups.get(id).filter(|_| !self.acks.is_empty())?;
        let until = group
            .alerts
            .iter()
            .filter_map(|(id, alert)| self.acks.holding(*id, alert, now_ms).and_then(|ack| ack.until_ms));
        until.min()
    }

    /// When the first of a group's alerts has waited long enough for what it depends on.
    pub(super) fn next_known_ms(&self, id: &GroupId, now_ms: i64) -> Option<i64> {
        let dependencies = self.inhibitor.dependencies();
        let alerts = self.groups.get(id)?.alerts.values().filter(|alert| !alert.is_resolved_at(now_ms));
        alerts.filter_map(|alert| dependencies.waits_until_ms(alert, now_ms)).min()
    }

    /// The alert because of which another one is no news: its host's, or that of a host in front.
    pub(crate) fn hidden_because(
        &self,
        labels: &model::Labels,
        now_ms: i64,
    ) -> Option<(Fingerprint, Arc<Alert>)> {
        let stored = |id| self.alerts.get(&id).map(|alert| &**alert);
        let id = self.inhibitor.dependencies().hidden_by(labels, now_ms, stored)?;
        Some((id, Arc::clone(self.alerts.get(&id)?)))
    }

    /// Until when an alert waits for what it depends on to be reported.
    pub(crate) fn waits_until_ms(&self, alert: &Alert, now_ms: i64) -> Option<i64> {
        self.inhibitor.dependencies().waits_until_ms(alert, now_ms).filter(|_| !alert.is_resolved_at(now_ms))
    }

    /// Parts the firing ones of `alerts` by who has them.
    pub(super) fn hands(
        &self,
        route: &Route,
        alerts: &[Snapshot],
        last: Option<&Entry>,
        now_ms: i64,
    ) -> Hands {
        let mut hands = Hands::default();
        if self.acks.is_empty() && self.flaps.is_empty() {
            return hands;
        }
        for snapshot in alerts.iter().filter(|alert| alert.is_firing) {
            let Snapshot { fingerprint: id, alert, .. } = snapshot;
            if self.acks.holding(*id, alert, now_ms).is_some() {
                hands.held.insert(*id);
            } else if let Some(is_held) = self.damping(route, last, snapshot) {
                if is_held { &mut hands.held } else { &mut hands.again }.insert(*id);
            } else if let Some(open_ms) = self.acks.reopened_ms(*id, alert, now_ms)
                && last.and_then(|last| last.issued_ms(*id)).is_some_and(|told_ms| told_ms < open_ms)
            {
                hands.again.insert(*id);
            }
        }
        hands
    }

    /// Alerts whose end was told: nobody has them any more, should they fire again.
    pub(super) fn end_acks(&mut self, ended: &[Fingerprint], now_ms: i64) {
        for id in ended {
            let Some(ack) = self.acks.get(*id).filter(|ack| ack.is_held) else { continue };
            let is_over = self.alerts.get(id).is_none_or(|alert| alert.is_resolved_at(now_ms));
            if !is_over {
                continue;
            }
            let open = Ack {
                at_ms: now_ms.max(ack.at_ms.saturating_add(1)),
                by: String::new(),
                note: String::new(),
                starts_at_ms: ack.starts_at_ms,
                is_held: false,
                until_ms: None,
                is_snooze: false,
            };
            self.journal.push(Record::Acked(*id, open.clone()));
            self.acks.keep(*id, open);
        }
    }

    /// Forgets acknowledgements of alerts that are long gone.
    pub(super) fn forget_acks(&mut self, now_ms: i64) {
        let alerts = &self.alerts;
        let gone = self.acks.collect_garbage(now_ms, |id| alerts.contains_key(&id));
        self.journal.extend(gone.into_iter().map(Record::AckGone));
    }

    /// The word by which somebody has an alert that fires.
    pub(crate) fn ack_of(&self, id: Fingerprint, alert: &Alert, now_ms: i64) -> Option<&Ack> {
        if alert.is_resolved_at(now_ms) { None } else { self.acks.holding(id, alert, now_ms) }
    }

    /// How many alerts that fire somebody has.
    pub(crate) fn n_held(&self, now_ms: i64) -> usize {
        let held = |(id, _): &(Fingerprint, &Ack)| {
            self.alerts.get(id).is_some_and(|alert| self.ack_of(*id, alert, now_ms).is_some())
        };
        self.acks.after(None).filter(held).count()
    }
}
