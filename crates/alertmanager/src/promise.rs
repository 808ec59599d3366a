//! Promises: who was told that an alert fires is owed its end.
//!
//! In from the dispatcher before a notification is sent and when it was delivered, from the state file and from other managers;
//! asked at each flush. Pure. Two registers for each notification key, alert and manager: the last firing that this manager told, and the
//! last one of its firings that whoever told an end knew of. So managers that say the same things to each other in any order
//! end up with the same, and an end does not close the firing that another manager told at the same time, whatever their
//! clocks: times of two managers are never compared. The notification log alone cannot tell: its last entry leaves out what was silenced when it was written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::Labels;

use crate::alert::Fingerprint;
use crate::nflog::NotifyKey;

/// How long a kept promise is remembered, in milliseconds, so that a manager that was away does not bring it back.
/// Chosen: a day away is a manager that somebody looks at.
const KEPT_MS: i64 = 24 * 3_600_000;

/// Before anything was said.
const NEVER_MS: i64 = i64::MIN;

/// Which manager said something: a number made of its name.
pub(crate) type Who = u64;
/// One that has no others.
pub(crate) const ALONE: Who = 0;

/// Something that was said, or may have been: whose firing, whose end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promised {
    pub(crate) key: NotifyKey,
    /// Of the group, for a message that comes when the group itself is gone.
    pub(crate) group_labels: Labels,
    pub(crate) at_ms: i64,
    pub(crate) by: Who,
    pub(crate) firing: BTreeSet<Fingerprint>,
    pub(crate) ended: BTreeMap<Fingerprint, Ended>,
    /// Those that `by` was about to tell at `at_ms`, and did not.
    pub(crate) withdrawn: BTreeSet<Fingerprint>,
}

impl Promised {
    /// Without any alert yet.
    pub(crate) fn new(key: NotifyKey, group_labels: Labels, at_ms: i64, by: Who) -> Self {
        let (firing, ended, withdrawn) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        Self { key, group_labels, at_ms, by, firing, ended, withdrawn }
    }
}

/// An end that was said. Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) ends_at_ms: i64,
    /// When each manager had said the last firing that the teller of the end knew of; of a later one the end is still owed.
    pub(crate) covers: BTreeMap<Who, i64>,
}

/// What one manager said of one alert to fire, and what was said of that to end: every field only grows. Of an end twice and an end never the first is better, so that
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
        self.fired_ms.max(self.covers_ms).max(self.ended.0)
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
    words: BTreeMap<(Fingerprint, Who), Word>,
}

impl Group {
    fn new(labels: &Labels) -> Self {
        Self { labels: labels.clone(), words: BTreeMap::new() }
    }

    /// What was said of one alert, and of whose firings.
    fn of(&self, alert: Fingerprint) -> impl Iterator<Item = (Who, &Word)> {
        self.words.range((alert, Who::MIN)..=(alert, Who::MAX)).map(|((_, who), word)| (*who, word))
    }

    /// Of whose firings ends were told, and until when.
    fn covers(&self, alert: Fingerprint) -> BTreeMap<Who, i64> {
        let covered = self.of(alert).filter(|(_, word)| word.covers_ms > NEVER_MS);
        covered.map(|(who, word)| (who, word.covers_ms)).collect()
    }

    fn is_open(&self, alert: Fingerprint) -> bool {
        self.of(alert).any(|(_, word)| word.is_open())
    }

    /// All words as what was said, by time.
    fn said(&self, key: &NotifyKey) -> Vec<Promised> {
        let mut by_time: BTreeMap<(i64, Who), Promised> = BTreeMap::new();
        let mut said_at = |at_ms: i64, by: Who, add: &mut dyn FnMut(&mut Promised)| {
            let new = || Promised::new(key.clone(), self.labels.clone(), at_ms, by);
            add(by_time.entry((at_ms, by)).or_insert_with(new));
        };
        for ((alert, who), word) in &self.words {
            let (ended_ms, ends_at_ms) = word.ended;
            if ended_ms > NEVER_MS {
                let ended = Ended { ends_at_ms, covers: self.covers(*alert) };
                said_at(ended_ms, *who, &mut |said| said.ended.extend([(*alert, ended.clone())]));
            }
            // Elsewhere with the end that covers it.
            let has_end = || self.of(*alert).any(|(_, word)| word.ended.0 > NEVER_MS);
            if word.covers_ms > NEVER_MS && !has_end() {
                said_at(word.covers_ms, *who, &mut |said| said.withdrawn.extend([*alert]));
            }
            if word.is_open() {
                said_at(word.fired_ms, *who, &mut |said| said.firing.extend([*alert]));
            }
        }
        by_time.into_values().collect()
    }

    /// Takes a word; returns whether it was news.
    fn take(&mut self, alert: Fingerprint, who: Who, word: Word) -> bool {
        let known = self.words.entry((alert, who)).or_insert(Word::NOTHING);
        let merged = known.merged(word);
        std::mem::replace(known, merged) != merged
    }
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
        self.groups.get(key).is_some_and(|group| group.is_open(alert))
    }

    /// An end that is said to `key` now, with what is known of it.
    pub(crate) fn end_of(&self, key: &NotifyKey, alert: Fingerprint, ends_at_ms: i64) -> Ended {
        let words = self.groups.get(key).into_iter().flat_map(|group| group.of(alert));
        let fired = words.filter(|(_, word)| word.fired_ms > NEVER_MS);
        Ended { ends_at_ms, covers: fired.map(|(who, word)| (who, word.fired_ms)).collect() }
    }

    /// Whether `who` told `key` of a firing whose end is owed, or may have.
    pub(crate) fn is_open_of(&self, key: &NotifyKey, alert: Fingerprint, who: Who) -> bool {
        let word = self.groups.get(key).and_then(|group| group.words.get(&(alert, who)));
        word.is_some_and(|word| word.is_open())
    }

    /// The end of an alert that `key` was told, if that was the last word about it.
    pub(crate) fn told_end_ms(&self, key: &NotifyKey, alert: Fingerprint) -> Option<i64> {
        let group = self.groups.get(key).filter(|group| !group.is_open(alert))?;
        group.of(alert).map(|(_, word)| word.ended).max().map(|(_, ends_at_ms)| ends_at_ms)
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
        alerts.into_iter().flat_map(|alert| group.of(*alert)).map(|(_, word)| word.at_ms()).max()
    }

    /// Takes what was said; returns whether any of it was news.
    pub(crate) fn merge(&mut self, said: &Promised) -> bool {
        let group = self.groups.entry(said.key.clone()).or_insert_with(|| Group::new(&said.group_labels));
        let mut is_news = false;
        let nothing = Word::NOTHING;
        let alerts: BTreeSet<Fingerprint> =
            said.firing.iter().chain(said.ended.keys()).chain(&said.withdrawn).copied().collect();
        for alert in &alerts {
            let was_open = group.is_open(*alert);
            if said.firing.contains(alert) {
                is_news |= group.take(*alert, said.by, Word { fired_ms: said.at_ms, ..nothing });
            }
            if let Some(Ended { ends_at_ms, covers }) = said.ended.get(alert) {
                let ended = (said.at_ms, *ends_at_ms);
                is_news |= group.take(*alert, said.by, Word { ended, ..nothing });
                for (who, covers_ms) in covers {
                    is_news |= group.take(*alert, *who, Word { covers_ms: *covers_ms, ..nothing });
                }
            }
            if said.withdrawn.contains(alert) {
                is_news |= group.take(*alert, said.by, Word { covers_ms: said.at_ms, ..nothing });
            }
            match (was_open, group.is_open(*alert)) {
                (false, true) => *self.n_open.entry(*alert).or_default() += 1,
                (true, false) => close(&mut self.n_open, *alert),
                _ => {}
            }
        }
        if group.words.is_empty() {
            self.groups.remove(&said.key);
        }
        is_news
    }

    /// Forgets what is not owed of the alerts of `said`, when nobody else has to know.
    pub(crate) fn forget_kept(&mut self, said: &Promised) {
        let Some(group) = self.groups.get_mut(&said.key) else { return };
        let is_said = |alert: &Fingerprint| said.ended.contains_key(alert) || said.withdrawn.contains(alert);
        group.words.retain(|(alert, _), word| word.is_open() || !is_said(alert));
        if group.words.is_empty() {
            self.groups.remove(&said.key);
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
            let open = group.words.iter().filter(|(_, word)| word.is_open()).map(|((alert, _), _)| *alert);
            let open: BTreeSet<Fingerprint> = open.collect();
            (key, &group.labels, open.into_iter())
        })
    }

    /// Everything as what was said, by key and time; of keys after `after` only.
    pub(crate) fn said_after(&self, after: Option<&NotifyKey>) -> impl Iterator<Item = Promised> {
        self.by_key(after).flat_map(|(_, said)| said)
    }

    /// The same for each key.
    pub(crate) fn by_key(
        &self,
        after: Option<&NotifyKey>,
    ) -> impl Iterator<Item = (&NotifyKey, Vec<Promised>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.groups.range((from, Unbounded)).map(|(key, group)| (key, group.said(key)))
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
        let covers = proptest::collection::btree_map(0u64..3, 0i64..6, 0..3);
        let end = (0i64..3, covers).prop_map(|(ends_at_ms, covers)| Ended { ends_at_ms, covers });
        let ends = proptest::collection::btree_map((0u64..4).prop_map(Fingerprint), end, 0..4);
        (0usize..2, 0i64..6, 0u64..3, set(), ends, set()).prop_map(
            |(idx, at_ms, by, firing, ended, withdrawn)| Promised {
                firing,
                ended,
                withdrawn,
                ..Promised::new(key(idx), Labels::empty(), at_ms, by)
            },
        )
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
            let firing = |said: Promised| said.firing.into_iter().map(move |alert| (said.key.idx, alert));
            let open: BTreeSet<_> = all_of(&words).0.into_iter().flat_map(firing).collect();
            prop_assert_eq!(open.len(), expected.1);
        }
    }

    #[test]
    fn an_end_told_closes_what_its_teller_knew_of_and_nothing_else() {
        let a = Fingerprint(1);
        // When and who; for an end the last firings known.
        let say = |at_ms, by, covers: Option<&[(Who, i64)]>| Promised {
            firing: if covers.is_none() { BTreeSet::from([a]) } else { BTreeSet::new() },
            ended: covers
                .map(|covers| (a, Ended { ends_at_ms: at_ms, covers: covers.iter().copied().collect() }))
                .into_iter()
                .collect(),
            ..Promised::new(key(0), Labels::empty(), at_ms, by)
        };
        let mut promises = Promises::default();
        // The end at 9, by a clock that is ahead, knows of the firing at 1, and not of that at 4.
        let covers: [&[(Who, i64)]; 2] = [&[(1, 1)], &[(1, 4)]];
        for (at_ms, covers, expected) in [
            (1, None, true),
            (9, Some(covers[0]), false),
            (4, None, true),
            (5, Some(covers[1]), false),
            (2, None, false),
        ] {
            promises.merge(&say(at_ms, 1, covers));
            assert_eq!(promises.is_open(&key(0), a), expected, "{at_ms}");
            assert_eq!(promises.has_open(a), expected);
        }
        assert_eq!(promises.end_of(&key(0), a, 7), Ended { ends_at_ms: 7, covers: BTreeMap::from([(1, 4)]) });
        // Another one's firing, by a clock that is behind, which who told the end did not know of.
        promises.merge(&say(3, 2, None));
        assert!(promises.is_open(&key(0), a));
        promises.merge(&say(10, 1, Some(&[(1, 4)])));
        assert!(promises.is_open(&key(0), a));
        promises.merge(&say(11, 1, Some(&[(1, 4), (2, 3)])));
        assert!(!promises.is_open(&key(0), a));
        promises.collect_garbage(11 + KEPT_MS);
        assert_eq!(promises.said_after(None).count(), 0);
    }

    #[test]
    fn what_was_not_told_after_all_is_not_owed_and_hides_nothing_else() {
        let a = Fingerprint(1);
        let firing = |at_ms, by| Promised {
            firing: BTreeSet::from([a]),
            ..Promised::new(key(0), Labels::empty(), at_ms, by)
        };
        let withdrawn = |at_ms, by| Promised {
            withdrawn: BTreeSet::from([a]),
            ..Promised::new(key(0), Labels::empty(), at_ms, by)
        };
        let mut promises = Promises::default();
        for (said, expected) in [
            (firing(1, 1), [true, false]),
            (withdrawn(1, 1), [false, false]),
            // Said again, and delivered this time: the word of before does not close it.
            (firing(3, 1), [true, false]),
            (withdrawn(1, 1), [true, false]),
            // Another one's does not either.
            (firing(2, 2), [true, true]),
            (withdrawn(2, 2), [true, false]),
        ] {
            promises.merge(&said);
            assert_eq!([1, 2].map(|who| promises.is_open_of(&key(0), a, who)), expected, "{said:?}");
            assert_eq!(promises.n_open(), usize::from(expected.contains(&true)));
        }
        // Who was away with the firing of 2 open hears that it was withdrawn.
        let mut away = Promises::default();
        away.merge(&firing(2, 2));
        for said in promises.said_after(None) {
            away.merge(&said);
        }
        assert_eq!([1, 2].map(|who| away.is_open_of(&key(0), a, who)), [true, false]);
    }
}
