//! The notification log: what each integration was told last, so that nobody is told twice.
//!
//! In from the dispatcher when a notification was delivered; asked before the next one; kept in the state file.
//! Pure. The decision is Alertmanager's, case by case.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use model::Labels;

use crate::alert::Fingerprint;
use crate::notification::ReceiverData;
use crate::notification::Snapshot;

/// Whom an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct NotifyKey {
    /// Route key and group labels, as webhooks receive it.
    pub(crate) group_key: String,
    /// The receiver's name.
    pub(crate) receiver: String,
    /// `webhook`, `email`, `slack`.
    pub(crate) integration: String,
    /// Place in the receiver's list of that kind.
    pub(crate) idx: usize,
}

/// The last notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) sent_at_ms: i64,
    pub(crate) expires_at_ms: i64,
    pub(crate) firing: BTreeSet<Fingerprint>,
    pub(crate) resolved: BTreeSet<Fingerprint>,
    /// When each firing alert was delivered last, where the route delivers again one by one.
    pub(crate) issued: Issued,
    /// When each firing alert was told first, where the route escalates; anew after it was acknowledged.
    pub(crate) since: Issued,
    /// What the kind of receiver wants to know the next time, for instance which message to change.
    pub(crate) data: ReceiverData,
}

impl Entry {
    /// When a firing alert was delivered last; with the whole message, where alerts did not go one by one then.
    pub(crate) fn issued_ms(&self, id: Fingerprint) -> Option<i64> {
        self.firing.contains(&id).then(|| self.issued.get(&id).copied().unwrap_or(self.sent_at_ms))
    }

    /// When each of `firing` was delivered last.
    pub(crate) fn issued_still(&self, firing: &BTreeSet<Fingerprint>) -> Issued {
        firing.iter().filter_map(|id| Some((*id, self.issued_ms(*id)?))).collect()
    }

    /// The entry with the hashes that Alertmanager knows `alerts` by replaced by our fingerprints: entries that its data
    /// directory brought hold those, until the group is told of next.
    pub(crate) fn in_our_hashes(&self, alerts: &[Snapshot]) -> Cow<'_, Self> {
        let is_known = |id: &Fingerprint| self.firing.contains(id) || self.resolved.contains(id);
        let mut entry = Cow::Borrowed(self);
        for snapshot in alerts.iter().filter(|snapshot| !is_known(&snapshot.fingerprint)) {
            let theirs = Fingerprint(alertmanagers_hash(&snapshot.alert.labels));
            if is_known(&theirs) {
                let entry = entry.to_mut();
                for set in [&mut entry.firing, &mut entry.resolved] {
                    if set.remove(&theirs) {
                        set.insert(snapshot.fingerprint);
                    }
                }
            }
        }
        entry
    }
}

/// What Alertmanager's notification log knows an alert by: xxHash64 of its sorted labels, each text followed by 0xff.
pub(crate) fn alertmanagers_hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::with_capacity(labels.packed_bytes());
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0xff);
    }
    xxhash_rust::xxh64::xxh64(&bytes, 0)
}

/// Alerts and when they were delivered last, Unix milliseconds.
pub(crate) type Issued = BTreeMap<Fingerprint, i64>;

/// Why a notification is due. The text is what templates see as `NotificationReason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    First,
    NewAlerts,
    AllResolved,
    SomeResolved,
    Repeat,
    /// An acknowledgement is over and the alert still fires; or it began to flap, or is stable again.
    Reopened,
    /// Nobody acknowledged it in time: the next receiver is told.
    Escalated,
}

impl Reason {
    /// Upstream's words, but for what it does not have.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::First => "first notification",
            Self::NewAlerts => "new alerts added",
            Self::AllResolved => "all alerts resolved",
            Self::SomeResolved => "some alerts resolved",
            Self::Repeat => "repeat interval elapsed",
            Self::Reopened => "firing again or still",
            Self::Escalated => "escalated",
        }
    }
}

/// What the group looks like now, for [`due`].
#[derive(Debug)]
pub(crate) struct Current<'a> {
    pub(crate) firing: &'a BTreeSet<Fingerprint>,
    pub(crate) resolved: &'a BTreeSet<Fingerprint>,
    pub(crate) sends_resolved: bool,
    /// Whether the end of one of `resolved` is owed.
    pub(crate) is_owed: bool,
    /// What was said before is said again.
    pub(crate) repeated_before_ms: i64,
}

/// Whether to notify, and why.
pub(crate) fn due(last: Option<&Entry>, current: &Current<'_>) -> Option<Reason> {
    let Some(last) = last else {
        let owed = current.is_owed.then_some(Reason::AllResolved);
        return if current.firing.is_empty() { owed } else { Some(Reason::First) };
    };
    if !current.firing.is_subset(&last.firing) {
        return Some(if last.firing.is_empty() { Reason::First } else { Reason::NewAlerts });
    }
    let is_told = current.resolved.is_subset(&last.resolved);
    if current.firing.is_empty() {
        return (current.is_owed || !last.firing.is_empty() && !is_told).then_some(Reason::AllResolved);
    }
    if current.is_owed || current.sends_resolved && !is_told {
        return Some(Reason::SomeResolved);
    }
    (last.sent_at_ms < current.repeated_before_ms).then_some(Reason::Repeat)
}

/// As [`due`], alert by alert: what is new, what was issued `reissue_ms` ago and is still detected, what ended. Returns why, and
/// what is to be said.
pub(crate) fn due_again(
    last: Option<&Entry>,
    current: &Current<'_>,
    is_ended: impl Fn(Fingerprint) -> bool,
    is_detected: impl Fn(Fingerprint) -> bool,
    reissue_ms: i64,
    now_ms: i64,
) -> Option<(Reason, BTreeSet<Fingerprint>)> {
    let mut said = BTreeSet::new();
    let (mut has_new, mut has_ended) = (false, false);
    for id in current.firing {
        let issued_ms = last.and_then(|last| last.issued_ms(*id));
        let is_again =
            issued_ms.is_some_and(|ms| ms.saturating_add(reissue_ms) <= now_ms && is_detected(*id));
        has_new |= issued_ms.is_none();
        if issued_ms.is_none() || is_again {
            said.insert(*id);
        }
    }
    for id in current.resolved.iter().filter(|id| is_ended(**id)) {
        has_ended = true;
        said.insert(*id);
    }
    let is_first = last.is_none_or(|last| last.firing.is_empty());
    let reason = match (has_new, has_ended) {
        (true, _) if is_first => Reason::First,
        (true, _) => Reason::NewAlerts,
        (false, true) if current.firing.is_empty() => Reason::AllResolved,
        (false, true) => Reason::SomeResolved,
        (false, false) => Reason::Repeat,
    };
    (!said.is_empty()).then_some((reason, said))
}

/// All entries.
#[derive(Debug, Default)]
pub(crate) struct NotifyLog {
    entries: BTreeMap<NotifyKey, Entry>,
}

impl NotifyLog {
    /// The last notification to `key`.
    pub(crate) fn get(&self, key: &NotifyKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Entries of keys after `key`, all of them without one.
    pub(crate) fn after(&self, key: Option<&NotifyKey>) -> impl Iterator<Item = (&NotifyKey, &Entry)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.entries.range((key.map_or(Unbounded, Excluded), Unbounded))
    }

    /// Remembers a notification; an older one never replaces a newer one.
    pub(crate) fn put(&mut self, key: NotifyKey, entry: Entry) {
        let is_older = self.entries.get(&key).is_some_and(|known| known.sent_at_ms > entry.sent_at_ms);
        if !is_older {
            self.entries.insert(key, entry);
        }
    }

    /// Removes what has expired and whose group is gone, since a group that lives may still have an end to tell.
    /// Returns whose.
    pub(crate) fn collect_garbage(
        &mut self,
        now_ms: i64,
        is_alive: impl Fn(&NotifyKey) -> bool,
    ) -> Vec<NotifyKey> {
        let is_gone = |key: &NotifyKey, entry: &Entry| entry.expires_at_ms <= now_ms && !is_alive(key);
        let gone: Vec<_> = self
            .entries
            .iter()
            .filter(|(key, entry)| is_gone(key, entry))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &gone {
            self.entries.remove(key);
        }
        gone
    }

    /// Removes one entry, when the state file says it went.
    pub(crate) fn remove(&mut self, key: &NotifyKey) {
        self.entries.remove(key);
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[u64]) -> BTreeSet<Fingerprint> {
        values.iter().copied().map(Fingerprint).collect()
    }

    fn check(
        last: Option<(&[u64], &[u64], i64)>,
        now: (&[u64], &[u64]),
        sends_resolved: bool,
        expected: Option<Reason>,
    ) {
        let last = last.map(|(firing, resolved, sent_at_ms)| Entry {
            sent_at_ms,
            expires_at_ms: i64::MAX,
            firing: set(firing),
            resolved: set(resolved),
            issued: Issued::new(),
            since: Issued::new(),
            data: ReceiverData::new(),
        });
        let (firing, resolved) = (set(now.0), set(now.1));
        let current = Current {
            firing: &firing,
            resolved: &resolved,
            sends_resolved,
            is_owed: false,
            repeated_before_ms: 900,
        };
        assert_eq!(due(last.as_ref(), &current), expected, "{last:?} {now:?}");
    }

    #[test]
    fn alerts_are_due_again_one_by_one() {
        let last = Entry {
            sent_at_ms: 950,
            expires_at_ms: i64::MAX,
            firing: set(&[1, 2, 3]),
            resolved: set(&[]),
            issued: Issued::from([(Fingerprint(1), 900), (Fingerprint(2), 901), (Fingerprint(3), 850)]),
            since: Issued::new(),
            data: ReceiverData::new(),
        };
        let check = |last: Option<&Entry>,
                     firing: &[u64],
                     resolved: &[u64],
                     expected: Option<(Reason, &[u64])>| {
            let (firing, resolved) = (set(firing), set(resolved));
            let current = Current {
                firing: &firing,
                resolved: &resolved,
                sends_resolved: true,
                is_owed: false,
                repeated_before_ms: i64::MAX,
            };
            let is_ended = |id: Fingerprint| last.is_some_and(|last| last.firing.contains(&id));
            // The third waits for its success: it is not detected.
            let due = due_again(last, &current, is_ended, |id| id.0 != 3, 100, 1_000);
            assert_eq!(due, expected.map(|(reason, said)| (reason, set(said))), "{firing:?} {resolved:?}");
        };
        check(None, &[1, 2], &[], Some((Reason::First, &[1, 2])));
        check(None, &[], &[1], None);
        check(Some(&last), &[1, 2, 3], &[], Some((Reason::Repeat, &[1])));
        check(Some(&last), &[2, 3], &[], None);
        check(Some(&last), &[2, 3, 4], &[], Some((Reason::NewAlerts, &[4])));
        check(Some(&last), &[1, 2], &[3, 5], Some((Reason::SomeResolved, &[1, 3])));
        check(Some(&last), &[], &[1, 2, 3], Some((Reason::AllResolved, &[1, 2, 3])));
    }

    #[test]
    fn each_case_of_the_decision() {
        check(None, (&[], &[]), true, None);
        check(None, (&[], &[1]), true, None);
        check(None, (&[1], &[]), true, Some(Reason::First));
        check(Some((&[1], &[], 950)), (&[1], &[]), true, None);
        check(Some((&[1], &[], 950)), (&[1, 2], &[]), true, Some(Reason::NewAlerts));
        check(Some((&[], &[1], 950)), (&[1], &[]), true, Some(Reason::First));
        check(Some((&[1, 2], &[], 950)), (&[1], &[2]), true, Some(Reason::SomeResolved));
        check(Some((&[1, 2], &[], 950)), (&[1], &[2]), false, None);
        check(Some((&[1], &[2], 950)), (&[1], &[2]), true, None);
        check(Some((&[1], &[], 950)), (&[], &[1]), true, Some(Reason::AllResolved));
        check(Some((&[1], &[], 950)), (&[], &[1]), false, Some(Reason::AllResolved));
        check(Some((&[], &[1], 950)), (&[], &[1]), true, None);
        check(Some((&[1], &[], 900)), (&[1], &[]), true, None);
        check(Some((&[1], &[], 899)), (&[1], &[]), true, Some(Reason::Repeat));
    }
}
