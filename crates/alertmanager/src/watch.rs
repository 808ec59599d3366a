//! What is remembered of an alert where a route watches it: when it was detected, for which routes it counts, and from
//! when on the time without detections runs.
//!
//! In from reports, ends told and answers about hosts; asked at each flush; kept in the state file. Pure.
//! Meaning: the Monitor specification's Occurrences and SuccessDuration; docs/adr/0007-watched-alerts.md.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::Matcher;

use crate::alert::{Alert, Fingerprint};

/// Reports closer than this are one detection, in milliseconds. Chosen: replicas of a sender say the same thing within it.
const SAME_DETECTION_MS: i64 = 1_000;

/// So many detections within so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occurrences {
    /// Two or more.
    pub(crate) count: usize,
    pub(crate) within_ms: i64,
}

/// Alerts that nobody is told of until a day that somebody answers for.
#[derive(Debug, Clone)]
pub(crate) struct Ignore {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) owner: String,
    pub(crate) ends_at_ms: i64,
    pub(crate) reason: String,
}

impl Ignore {
    /// Whether it hides `labels` at `now_ms`.
    pub(crate) fn hides(&self, labels: &model::Labels, now_ms: i64) -> bool {
        now_ms < self.ends_at_ms && self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }
}

/// About one alert.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Watch {
    /// The last detections, oldest first; no more than any route asks for.
    pub(crate) seen: VecDeque<i64>,
    /// The last report that it fires.
    pub(crate) detected_ms: i64,
    /// Before this nobody could have noticed it: its host was away, or we were.
    pub(crate) deaf_until_ms: i64,
    /// Keys of the routes for which it counts.
    pub(crate) counted: BTreeSet<String>,
}

impl Watch {
    /// Takes a detection; at most `seen_max` are kept.
    fn detect(&mut self, at_ms: i64, seen_max: usize) {
        self.detected_ms = self.detected_ms.max(at_ms);
        let is_same = self.seen.back().is_some_and(|last| at_ms < last.saturating_add(SAME_DETECTION_MS));
        if !is_same {
            self.seen.push_back(at_ms);
        }
        while self.seen.len() > seen_max.max(1) {
            self.seen.pop_front();
        }
    }

    /// How many detections lie within `within_ms` before `now_ms`.
    pub(crate) fn n_within(&self, within_ms: i64, now_ms: i64) -> usize {
        self.seen.iter().filter(|at_ms| at_ms.saturating_add(within_ms) > now_ms).count()
    }

    /// Since when nobody says that `alert` fires, whatever is known of its host.
    pub(crate) fn quiet_since_ms(&self, alert: &Alert) -> i64 {
        let was_ended = !alert.is_timeout && alert.ends_at_ms <= alert.updated_at_ms;
        if was_ended { self.detected_ms.max(alert.ends_at_ms) } else { self.detected_ms }
    }

    /// When `alert` is over, unless it is detected again: `success_ms` without detections.
    pub(crate) fn over_at_ms(&self, alert: &Alert, success_ms: i64) -> i64 {
        let quiet_from_ms = self.detected_ms.max(self.deaf_until_ms);
        if alert.is_timeout {
            // Nobody said how long it holds: from the last report on.
            quiet_from_ms.saturating_add(success_ms)
        } else if alert.ends_at_ms <= alert.updated_at_ms {
            // Its end was reported.
            quiet_from_ms.max(alert.ends_at_ms).saturating_add(success_ms)
        } else {
            // Its sender answered for it until then, and fell silent.
            quiet_from_ms.saturating_add(success_ms).max(alert.ends_at_ms)
        }
    }
}

/// All watched alerts.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    by_alert: BTreeMap<Fingerprint, Watch>,
}

impl Watches {
    /// What is known of an alert.
    pub(crate) fn get(&self, alert: Fingerprint) -> Option<&Watch> {
        self.by_alert.get(&alert)
    }

    /// Begins to watch an alert that was reported last at `at_ms`, unless it is watched.
    pub(crate) fn begin(&mut self, alert: Fingerprint, at_ms: i64) {
        self.by_alert.entry(alert).or_insert_with(|| Watch { detected_ms: at_ms, ..Watch::default() });
    }

    /// Takes a detection; returns the keys of those `routes` for which the alert counts from now on.
    pub(crate) fn detect(
        &mut self,
        alert: Fingerprint,
        at_ms: i64,
        routes: &[(&str, Option<Occurrences>)],
        seen_max: usize,
    ) -> Vec<String> {
        let watch = self.by_alert.entry(alert).or_default();
        watch.detect(at_ms, seen_max);
        let mut news = Vec::new();
        for (key, occurrences) in routes {
            let Some(needed) = occurrences else { continue };
            if !watch.counted.contains(*key) && watch.n_within(needed.within_ms, at_ms) >= needed.count {
                watch.counted.insert((*key).to_owned());
                news.push((*key).to_owned());
            }
        }
        news
    }

    /// The end of an alert was told on a route: the next firing counts anew. Returns whether that is news.
    pub(crate) fn uncount(&mut self, alert: Fingerprint, route_key: &str) -> bool {
        self.by_alert.get_mut(&alert).is_some_and(|watch| watch.counted.remove(route_key))
    }

    /// Its host is not active: the time without detections does not run.
    pub(crate) fn deafen(&mut self, alert: Fingerprint, until_ms: i64) {
        if let Some(watch) = self.by_alert.get_mut(&alert) {
            watch.deaf_until_ms = watch.deaf_until_ms.max(until_ms);
        }
    }

    /// Puts one back from the state file.
    pub(crate) fn restore(&mut self, alert: Fingerprint, watch: Watch) {
        self.by_alert.insert(alert, watch);
    }

    /// We come back: nobody listened until `now_ms`.
    pub(crate) fn deafen_all(&mut self, now_ms: i64) {
        self.by_alert.values_mut().for_each(|watch| watch.deaf_until_ms = now_ms);
    }

    /// Forgets one, when the state file says it went.
    pub(crate) fn remove(&mut self, alert: Fingerprint) {
        self.by_alert.remove(&alert);
    }

    /// Forgets alerts that are known no more and whose last detection counts for nothing any more; returns which.
    pub(crate) fn collect_garbage(
        &mut self,
        now_ms: i64,
        within_max_ms: i64,
        watches_max: usize,
        is_known: impl Fn(Fingerprint) -> bool,
    ) -> Vec<Fingerprint> {
        let is_full = self.by_alert.len() > watches_max;
        let is_gone = |alert: &Fingerprint, watch: &Watch| {
            let is_stale = watch.n_within(within_max_ms, now_ms) == 0;
            !is_known(*alert) && (is_full || is_stale)
        };
        let gone: Vec<_> =
            self.by_alert.iter().filter(|(id, watch)| is_gone(id, watch)).map(|(id, _)| *id).collect();
        gone.iter().for_each(|id| self.remove(*id));
        gone
    }

    /// All of them, for the state file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fingerprint, &Watch)> {
        self.by_alert.iter().map(|(id, watch)| (*id, watch))
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    #[test]
    fn so_many_within_so_long_and_replicas_count_once() {
        let check = |at_ms: &[i64], expected: Option<i64>| {
            let needed = Occurrences { count: 3, within_ms: 10_000 };
            let mut watches = Watches::default();
            let counts = at_ms
                .iter()
                .find(|at_ms| !watches.detect(Fingerprint(1), **at_ms, &[("r", Some(needed))], 3).is_empty());
            assert_eq!(counts.copied(), expected, "{at_ms:?}");
            assert!(watches.get(Fingerprint(1)).is_none_or(|watch| watch.seen.len() <= 3));
        };
        check(&[0, 4_000, 8_000], Some(8_000));
        check(&[0, 4_000, 10_000], None);
        check(&[0, 4_000, 10_000, 13_000], Some(13_000));
        check(&[0, 300, 4_000, 4_900], None);
        check(&[0, 300, 4_000, 4_900, 5_500], Some(5_500));
        check(&[], None);
    }

    #[test]
    fn the_time_without_detections_runs_from_the_last_word() {
        let check = |ends_at_ms, is_timeout, deaf_until_ms, expected: i64| {
            let alert = Alert {
                labels: Labels::empty(),
                annotations: Labels::empty(),
                starts_at_ms: 0,
                ends_at_ms,
                generator_url: String::new(),
                updated_at_ms: 50,
                is_timeout,
                measured: None,
            };
            let watch = Watch { detected_ms: 40, deaf_until_ms, ..Watch::default() };
            assert_eq!(watch.over_at_ms(&alert, 100), expected);
        };
        // Its end was reported, at 45.
        check(45, false, 0, 145);
        check(45, false, 60, 160);
        // Nobody said how long it holds.
        check(90, true, 0, 140);
        // The sender answers for it for longer than that, or for less.
        check(190, false, 0, 190);
        check(90, false, 0, 140);
    }
}
