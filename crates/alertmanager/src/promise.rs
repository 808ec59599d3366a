//! Promises: who was told that an alert fires is owed its end.
//!
//! In from the dispatcher when a notification was delivered, from the state file and from other managers; asked at each
//! flush. Pure. One register for each notification key and alert, and the later word counts, so that managers that say
//! the same things to each other in any order end up with the same. The notification log alone cannot tell: its last
//! entry leaves out what was silenced when it was written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::Labels;

use crate::alert::Fingerprint;
use crate::nflog::NotifyKey;

/// How long a kept promise is remembered, in milliseconds, so that a manager that was away does not bring it back.
/// Chosen: a day away is a manager that somebody looks at.
const KEPT_MS: i64 = 24 * 3_600_000;

/// Something that was said: whose firing, whose end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promised {
    pub(crate) key: NotifyKey,
    /// Of the group, for a message that comes when the group itself is gone.
    pub(crate) group_labels: Labels,
    pub(crate) at_ms: i64,
    pub(crate) firing: BTreeSet<Fingerprint>,
    /// With the ends that were said, Unix milliseconds.
    pub(crate) ended: BTreeMap<Fingerprint, i64>,
}

/// The last word about one alert. Ordered: what is greater counts. At the same time a promise stays open, since an end
/// said twice is better than one never said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Word {
    at_ms: i64,
    is_open: bool,
    /// The end that was said; 0 while none was.
    ends_at_ms: i64,
}

#[derive(Debug)]
struct Group {
    labels: Labels,
    words: BTreeMap<Fingerprint, Word>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    groups: BTreeMap<NotifyKey, Group>,
    /// For how many keys an alert's promise is open.
    n_open: HashMap<Fingerprint, u32>,
}

impl Promises {
    /// Whether `key` is owed the end of an alert.
    pub(crate) fn is_open(&self, key: &NotifyKey, alert: Fingerprint) -> bool {
        let word = self.groups.get(key).and_then(|group| group.words.get(&alert));
        word.is_some_and(|word| word.is_open)
    }

    /// The end of an alert that `key` was told, if that was the last word about it.
    pub(crate) fn told_end_ms(&self, key: &NotifyKey, alert: Fingerprint) -> Option<i64> {
        let word = self.groups.get(key)?.words.get(&alert)?;
        (!word.is_open).then_some(word.ends_at_ms)
    }

    /// Whether anybody is owed the end of an alert.
    pub(crate) fn has_open(&self, alert: Fingerprint) -> bool {
        self.n_open.contains_key(&alert)
    }

    /// How many ends are owed.
    pub(crate) fn n_open(&self) -> usize {
        self.n_open.values().map(|n| *n as usize).sum()
    }

    /// The time of the last word to `key` about any of `alerts`, so that the next one can be later whatever the clocks.
    pub(crate) fn last_ms<'a>(
        &self,
        key: &NotifyKey,
        alerts: impl IntoIterator<Item = &'a Fingerprint>,
    ) -> Option<i64> {
        let group = self.groups.get(key)?;
        alerts.into_iter().filter_map(|alert| group.words.get(alert)).map(|word| word.at_ms).max()
    }

    /// Takes what was said; returns whether any of it was news.
    pub(crate) fn merge(&mut self, said: &Promised) -> bool {
        let new_group = || Group { labels: said.group_labels.clone(), words: BTreeMap::new() };
        let group = self.groups.entry(said.key.clone()).or_insert_with(new_group);
        let mut is_news = false;
        let firing = said.firing.iter().map(|alert| (*alert, true, 0));
        let ended = said.ended.iter().map(|(alert, ends_at_ms)| (*alert, false, *ends_at_ms));
        for (alert, is_open, ends_at_ms) in firing.chain(ended) {
            let word = Word { at_ms: said.at_ms, is_open, ends_at_ms };
            let known = group.words.get(&alert).copied();
            if known.is_some_and(|known| known >= word) {
                continue;
            }
            is_news = true;
            group.words.insert(alert, word);
            let was_open = known.is_some_and(|known| known.is_open);
            if is_open && !was_open {
                *self.n_open.entry(alert).or_default() += 1;
            } else if was_open && !is_open {
                close(&mut self.n_open, alert);
            }
        }
        if group.words.is_empty() {
            self.groups.remove(&said.key);
        }
        is_news
    }

    /// Forgets the ends of `alerts` that `key` was told, when nobody else has to know.
    pub(crate) fn forget_kept(&mut self, key: &NotifyKey, alerts: &BTreeMap<Fingerprint, i64>) {
        let Some(group) = self.groups.get_mut(key) else { return };
        group.words.retain(|alert, word| word.is_open || !alerts.contains_key(alert));
        if group.words.is_empty() {
            self.groups.remove(key);
        }
    }

    /// Forgets ends that were told long ago.
    pub(crate) fn collect_garbage(&mut self, now_ms: i64) {
        self.groups.retain(|_, group| {
            group.words.retain(|_, word| word.is_open || word.at_ms.saturating_add(KEPT_MS) > now_ms);
            !group.words.is_empty()
        });
    }

    /// Every open one: the key, its group's labels, the alerts.
    pub(crate) fn open(
        &self,
    ) -> impl Iterator<Item = (&NotifyKey, &Labels, impl Iterator<Item = Fingerprint>)> {
        self.groups.iter().map(|(key, group)| {
            let open = group.words.iter().filter(|(_, word)| word.is_open).map(|(alert, _)| *alert);
            (key, &group.labels, open)
        })
    }

    /// Everything as what was said, by key and time; of keys after `after` only.
    pub(crate) fn said_after(&self, after: Option<&NotifyKey>) -> impl Iterator<Item = Promised> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.groups.range((from, Unbounded)).flat_map(|(key, group)| {
            let mut by_time: BTreeMap<i64, Promised> = BTreeMap::new();
            for (alert, word) in &group.words {
                let said = by_time.entry(word.at_ms).or_insert_with(|| Promised {
                    key: key.clone(),
                    group_labels: group.labels.clone(),
                    at_ms: word.at_ms,
                    firing: BTreeSet::new(),
                    ended: BTreeMap::new(),
                });
                match word.is_open {
                    true => said.firing.extend([*alert]),
                    false => said.ended.extend([(*alert, word.ends_at_ms)]),
                }
            }
            by_time.into_values()
        })
    }
}

fn close(n_open: &mut HashMap<Fingerprint, u32>, alert: Fingerprint) {
    if let Some(n) = n_open.get_mut(&alert) {
        *n -= 1;
        if *n == 0 {
            n_open.remove(&alert);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(idx: usize) -> NotifyKey {
        NotifyKey { group_key: "{}:{}".into(), receiver: "r".into(), integration: "webhook".into(), idx }
    }

    fn said() -> impl Strategy<Value = Promised> {
        let set = || proptest::collection::btree_set((0u64..4).prop_map(Fingerprint), 0..4);
        let ends = proptest::collection::btree_map((0u64..4).prop_map(Fingerprint), 0i64..3, 0..4);
        (0usize..2, 0i64..6, set(), ends).prop_map(|(idx, at_ms, firing, ended)| Promised {
            key: key(idx),
            group_labels: Labels::empty(),
            at_ms,
            firing,
            ended,
        })
    }

    fn all_of(words: &[Promised]) -> (Vec<Promised>, usize) {
        let mut promises = Promises::default();
        for said in words {
            promises.merge(said);
        }
        (promises.said_after(None).collect(), promises.n_open())
    }

    proptest! {
        /// Associative, commutative and idempotent at once: any order, any repetition, any way of handing on.
        #[test]
        fn the_same_words_in_any_order_come_to_the_same(
            words in proptest::collection::vec(said(), 0..12),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..24),
        ) {
            let expected = all_of(&words);
            let mut shuffled: Vec<Promised> = words.iter().rev().cloned().collect();
            if !words.is_empty() {
                shuffled.extend(order.iter().map(|idx| idx.get(&words).clone()));
            }
            prop_assert_eq!(&all_of(&shuffled), &expected);
            // What one hands on is worth what it heard.
            prop_assert_eq!(&all_of(&expected.0), &expected);
            let n_open: usize = all_of(&words).0.iter().map(|said| said.firing.len()).sum();
            prop_assert_eq!(n_open, expected.1);
        }
    }

    #[test]
    fn an_end_told_closes_and_a_later_firing_opens_again() {
        let a = Fingerprint(1);
        let say = |at_ms, is_open: bool| Promised {
            key: key(0),
            group_labels: Labels::empty(),
            at_ms,
            firing: if is_open { BTreeSet::from([a]) } else { BTreeSet::new() },
            ended: if is_open { BTreeMap::new() } else { BTreeMap::from([(a, at_ms)]) },
        };
        let mut promises = Promises::default();
        for (at_ms, is_open, expected) in
            [(1, true, true), (3, false, false), (2, true, false), (3, true, true)]
        {
            promises.merge(&say(at_ms, is_open));
            assert_eq!(promises.is_open(&key(0), a), expected, "{at_ms}");
            assert_eq!(promises.has_open(a), expected);
        }
        promises.merge(&say(4, false));
        promises.collect_garbage(4 + KEPT_MS);
        assert_eq!(promises.said_after(None).count(), 0);
    }
}
