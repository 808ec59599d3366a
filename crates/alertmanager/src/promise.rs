//! Promises: who was told that an alert fires is owed its end.
//!
//! In from the dispatcher when a notification was delivered, from the state file and from other managers; asked at each
//! flush. Pure. Two registers for each notification key and alert: the last firing that was told, and the last firing that
//! whoever told an end knew of. So managers that say the same things to each other in any order end up with the same,
//! and an end does not close the firing that another manager told at the same time, whatever their clocks. The
//! notification log alone cannot tell: its last entry leaves out what was silenced when it was written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::Labels;

use crate::alert::Fingerprint;
use crate::nflog::NotifyKey;

/// How long a kept promise is remembered, in milliseconds, so that a manager that was away does not bring it back.
/// Chosen: a day away is a manager that somebody looks at.
const KEPT_MS: i64 = 24 * 3_600_000;

/// Before anything was said.
const NEVER_MS: i64 = i64::MIN;

/// Something that was said: whose firing, whose end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promised {
    pub(crate) key: NotifyKey,
    /// Of the group, for a message that comes when the group itself is gone.
    pub(crate) group_labels: Labels,
    pub(crate) at_ms: i64,
    pub(crate) firing: BTreeSet<Fingerprint>,
    pub(crate) ended: BTreeMap<Fingerprint, Ended>,
}

/// An end that was said. Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ended {
    pub(crate) ends_at_ms: i64,
    /// When the last firing was said that its teller knew of; of a later one the end is still owed.
    pub(crate) covers_ms: i64,
}

/// What was said about one alert: every field only grows. Of an end twice and an end never the first is better, so that
/// a firing stays open that nobody who told an end knew of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word {
    fired_ms: i64,
    covers_ms: i64,
    /// When an end was said last, and which.
    ended: (i64, i64),
}

impl Word {
    const NOTHING: Self = Self { fired_ms: NEVER_MS, covers_ms: NEVER_MS, ended: (NEVER_MS, NEVER_MS) };

    fn is_open(self) -> bool {
        self.fired_ms > self.covers_ms
    }

    fn at_ms(self) -> i64 {
        self.fired_ms.max(self.ended.0)
    }

    fn merged(self, other: Self) -> Self {
        Self {
            fired_ms: self.fired_ms.max(other.fired_ms),
            covers_ms: self.covers_ms.max(other.covers_ms),
            ended: self.ended.max(other.ended),
        }
    }
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
        word.is_some_and(|word| word.is_open())
    }

    /// An end that is said to `key` now, with what is known of it.
    pub(crate) fn end_of(&self, key: &NotifyKey, alert: Fingerprint, ends_at_ms: i64) -> Ended {
        let word = self.groups.get(key).and_then(|group| group.words.get(&alert));
        Ended { ends_at_ms, covers_ms: word.map_or(NEVER_MS, |word| word.fired_ms) }
    }

    /// The end of an alert that `key` was told, if that was the last word about it.
    pub(crate) fn told_end_ms(&self, key: &NotifyKey, alert: Fingerprint) -> Option<i64> {
        let word = self.groups.get(key)?.words.get(&alert)?;
        (!word.is_open()).then_some(word.ended.1)
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
        alerts.into_iter().filter_map(|alert| group.words.get(alert)).map(|word| word.at_ms()).max()
    }

    /// Takes what was said; returns whether any of it was news.
    pub(crate) fn merge(&mut self, said: &Promised) -> bool {
        let new_group = || Group { labels: said.group_labels.clone(), words: BTreeMap::new() };
        let group = self.groups.entry(said.key.clone()).or_insert_with(new_group);
        let mut is_news = false;
        let nothing = Word::NOTHING;
        let firing = said.firing.iter().map(|alert| (*alert, Word { fired_ms: said.at_ms, ..nothing }));
        let ended = said.ended.iter().map(|(alert, Ended { ends_at_ms, covers_ms })| {
            (*alert, Word { covers_ms: *covers_ms, ended: (said.at_ms, *ends_at_ms), ..nothing })
        });
        for (alert, word) in firing.chain(ended) {
            let known = group.words.get(&alert).copied().unwrap_or(nothing);
            let merged = known.merged(word);
            if merged == known {
                continue;
            }
            is_news = true;
            group.words.insert(alert, merged);
            if merged.is_open() && !known.is_open() {
                *self.n_open.entry(alert).or_default() += 1;
            } else if known.is_open() && !merged.is_open() {
                close(&mut self.n_open, alert);
            }
        }
        if group.words.is_empty() {
            self.groups.remove(&said.key);
        }
        is_news
    }

    /// Forgets the ends of `alerts` that `key` was told, when nobody else has to know.
    pub(crate) fn forget_kept(&mut self, key: &NotifyKey, alerts: &BTreeMap<Fingerprint, Ended>) {
        let Some(group) = self.groups.get_mut(key) else { return };
        group.words.retain(|alert, word| word.is_open() || !alerts.contains_key(alert));
        if group.words.is_empty() {
            self.groups.remove(key);
        }
    }

    /// Forgets ends that were told long ago.
    pub(crate) fn collect_garbage(&mut self, now_ms: i64) {
        self.groups.retain(|_, group| {
            group.words.retain(|_, word| word.is_open() || word.at_ms().saturating_add(KEPT_MS) > now_ms);
            !group.words.is_empty()
        });
    }

    /// Every open one: the key, its group's labels, the alerts.
    pub(crate) fn open(
        &self,
    ) -> impl Iterator<Item = (&NotifyKey, &Labels, impl Iterator<Item = Fingerprint>)> {
        self.groups.iter().map(|(key, group)| {
            let open = group.words.iter().filter(|(_, word)| word.is_open()).map(|(alert, _)| *alert);
            (key, &group.labels, open)
        })
    }

    /// Everything as what was said, by key and time; of keys after `after` only.
    pub(crate) fn said_after(&self, after: Option<&NotifyKey>) -> impl Iterator<Item = Promised> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.groups.range((from, Unbounded)).flat_map(|(key, group)| {
            let mut by_time: BTreeMap<i64, Promised> = BTreeMap::new();
            let mut said_at = |at_ms: i64, add: &mut dyn FnMut(&mut Promised)| {
                add(by_time.entry(at_ms).or_insert_with(|| Promised {
                    key: key.clone(),
                    group_labels: group.labels.clone(),
                    at_ms,
                    firing: BTreeSet::new(),
                    ended: BTreeMap::new(),
                }));
            };
            for (alert, word) in &group.words {
                let (ended_ms, ends_at_ms) = word.ended;
                if ended_ms > NEVER_MS {
                    let ended = Ended { ends_at_ms, covers_ms: word.covers_ms };
                    said_at(ended_ms, &mut |said| said.ended.extend([(*alert, ended)]));
                }
                if word.is_open() {
                    said_at(word.fired_ms, &mut |said| said.firing.extend([*alert]));
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
        let end = (0i64..3, 0i64..6).prop_map(|(ends_at_ms, covers_ms)| Ended { ends_at_ms, covers_ms });
        let ends = proptest::collection::btree_map((0u64..4).prop_map(Fingerprint), end, 0..4);
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
    fn an_end_told_closes_what_its_teller_knew_of_and_nothing_else() {
        let a = Fingerprint(1);
        // When, and for an end the last firing known.
        let say = |at_ms, covers_ms: Option<i64>| Promised {
            key: key(0),
            group_labels: Labels::empty(),
            at_ms,
            firing: if covers_ms.is_none() { BTreeSet::from([a]) } else { BTreeSet::new() },
            ended: covers_ms
                .map(|covers_ms| (a, Ended { ends_at_ms: at_ms, covers_ms }))
                .into_iter()
                .collect(),
        };
        let mut promises = Promises::default();
        // The end at 9, by a clock that is ahead, knows of the firing at 1, and not of that at 4.
        for (at_ms, covers_ms, expected) in
            [(1, None, true), (9, Some(1), false), (4, None, true), (5, Some(4), false), (2, None, false)]
        {
            promises.merge(&say(at_ms, covers_ms));
            assert_eq!(promises.is_open(&key(0), a), expected, "{at_ms}");
            assert_eq!(promises.has_open(a), expected);
        }
        assert_eq!(promises.end_of(&key(0), a, 7), Ended { ends_at_ms: 7, covers_ms: 4 });
        promises.collect_garbage(9 + KEPT_MS);
        assert_eq!(promises.said_after(None).count(), 0);
    }
}
