//! What an attempt may tell is written down before it starts, so that a manager that dies meanwhile leaves word.
//!
//! In from attempts as they start and fail; out as promises (of firings that may have been told, whose end is owed then) and
//! as doubts (of ends that may have been told, after which a firing is news again). An attempt that was delivered makes them
//! promises and log entries; one that failed takes them back; of one that nobody heard of they stay.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::group::fingerprints;
use super::{Core, JobId, Record};
use crate::alert::Fingerprint;
use crate::nflog::{Entry, NotifyKey};
use crate::notification::Snapshot;
use crate::promise::Promised;

/// How long another manager's attempt is given before what it may have told counts, in milliseconds. Chosen: as a claim holds.
const UNDER_WAY_MS: i64 = 5_000;

/// Ends that receivers may have heard of.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// What this manager was about to tell.
    own: BTreeMap<NotifyKey, BTreeSet<Fingerprint>>,
    /// What others are about to tell, and since when that counts.
    others: BTreeMap<NotifyKey, (BTreeSet<Fingerprint>, i64)>,
}

impl Doubts {
    /// Takes an own word: `ended` are about to be told; none when it is known whether they were.
    pub(crate) fn keep(&mut self, key: NotifyKey, ended: BTreeSet<Fingerprint>) {
        if ended.is_empty() {
            self.own.remove(&key);
        } else {
            self.own.insert(key, ended);
        }
    }

    /// Own ones, for the state file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NotifyKey, &BTreeSet<Fingerprint>)> {
        self.own.iter()
    }

    /// Forgets those of alerts that are not known any more.
    pub(super) fn collect_garbage(&mut self, is_known: impl Fn(&Fingerprint) -> bool) {
        self.own.retain(|_, ended| ended.iter().any(&is_known));
        self.others.retain(|_, (ended, _)| ended.iter().any(&is_known));
    }

    /// Whether `key` may have heard that an alert ended.
    fn has(&self, key: &NotifyKey, alert: &Fingerprint, now_ms: i64) -> bool {
        let counts =
            |(ended, from_ms): &(BTreeSet<Fingerprint>, i64)| *from_ms <= now_ms && ended.contains(alert);
        self.own.get(key).is_some_and(|ended| ended.contains(alert))
            || self.others.get(key).is_some_and(counts)
    }
}

impl Core {
    /// An attempt is about to start: what it tells may be told from now on. On disk before the attempt is.
    pub(super) fn pledge(&mut self, id: JobId, now_ms: i64) {
        let Some(job) = self.jobs.get(&id) else { return };
        self.doubt(job.key.clone(), fingerprints(&job.notification.alerts, false));
        self.pledge_ends(id, now_ms);
    }

    /// The ends of what it tells to fire may be owed from now on.
    ///
    /// Among managers said also where they are already: another one's word of that end may be on its way here, and does not
    /// know of this firing.
    fn pledge_ends(&mut self, id: JobId, now_ms: i64) {
        let Some(job) = self.jobs.get(&id).filter(|job| job.integration.sends_resolved) else { return };
        let firing = fingerprints(&job.notification.alerts, true);
        let is_owed = |alert: &Fingerprint| self.promises.is_open_of(&job.key, *alert, self.turn.me);
        let new: BTreeSet<Fingerprint> = firing.iter().filter(|alert| !is_owed(alert)).copied().collect();
        let said = if self.turn.is_shared { firing } else { new.clone() };
        if said.is_empty() {
            return;
        }
        let said = Promised { firing: said.clone(), ..self.word_of(job, said.iter(), now_ms) };
        let pledged = Some((said.at_ms, new));
        self.give(said);
        self.jobs.entry(id).and_modify(|job| job.pledged = pledged);
    }

    /// The attempt failed: nothing was told. What was owed before stays owed.
    pub(super) fn withdraw(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (key, group_labels) = (job.key.clone(), job.notification.group_labels.clone());
        let pledged = job.pledged.take().filter(|(_, new)| !new.is_empty());
        if let Some((at_ms, withdrawn)) = pledged {
            self.give(Promised {
                withdrawn,
                ..Promised::new(key.clone(), group_labels, at_ms, self.turn.me)
            });
        }
        self.doubt(key, BTreeSet::new());
    }

    /// What was in doubt is known: it was told, or something was since.
    pub(super) fn believe(&mut self, key: &NotifyKey) {
        self.doubts.others.remove(key);
        self.doubt(key.clone(), BTreeSet::new());
    }

    fn doubt(&mut self, key: NotifyKey, ended: BTreeSet<Fingerprint>) {
        if !ended.is_empty() || self.doubts.own.contains_key(&key) {
            self.journal.push(Record::Doubted(key.clone(), ended.clone()));
            self.doubts.keep(key, ended);
        }
    }

    /// Another manager is about to tell ends, or knows whether it did.
    pub(super) fn take_doubt(&mut self, key: &NotifyKey, ended: &BTreeSet<Fingerprint>, now_ms: i64) {
        self.doubts.others.remove(key);
        if !ended.is_empty() {
            let from_ms = now_ms.saturating_add(UNDER_WAY_MS);
            self.doubts.others.insert(key.clone(), (ended.clone(), from_ms));
        }
    }

    /// The last word to `key` without the alerts that fire and whose end it may have been told since: they are news.
    pub(super) fn without_doubt<'a>(
        &self,
        key: &NotifyKey,
        mut last: Cow<'a, Entry>,
        alerts: &[Snapshot],
        now_ms: i64,
    ) -> Cow<'a, Entry> {
        for alert in alerts.iter().filter(|alert| alert.is_firing) {
            if last.firing.contains(&alert.fingerprint) && self.doubts.has(key, &alert.fingerprint, now_ms) {
                last.to_mut().firing.remove(&alert.fingerprint);
            }
        }
        last
    }
}
