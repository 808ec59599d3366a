//! Alerts that change their state too often: when they did, and on which routes they count as flapping.
//!
//! In from reports and the state file; asked at each flush and by the API. Pure. Meaning: docs/adr/0010-on-call.md.

use std::collections::{BTreeMap, VecDeque};

use crate::alert::Fingerprint;

/// An alert flaps that changes so often within so long, until it did not for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flap {
    /// Zero switches off.
    pub(crate) changes: usize,
    pub(crate) within_ms: i64,
    pub(crate) stable_ms: i64,
}

/// About one alert. Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    /// The last changes of its state, oldest first; no more than any route asks for.
    pub(crate) times: VecDeque<i64>,
    /// Keys of the routes on which it flaps, and since when.
    pub(crate) flapping: BTreeMap<String, i64>,
    /// Keys of the routes on which it did, and since when it is stable.
    pub(crate) settled: BTreeMap<String, i64>,
}

impl Changes {
    /// How many changes lie within `within_ms` before `now_ms`.
    pub(crate) fn n_within(&self, within_ms: i64, now_ms: i64) -> usize {
        self.times.iter().filter(|at_ms| at_ms.saturating_add(within_ms) > now_ms).count()
    }

    /// When it is stable, unless it changes again.
    pub(crate) fn stable_at_ms(&self, stable_ms: i64) -> i64 {
        self.times.back().map_or(i64::MIN, |last_ms| last_ms.saturating_add(stable_ms))
    }
}

/// All alerts that changed lately.
#[derive(Debug, Default)]
pub(crate) struct Flaps {
    by_alert: BTreeMap<Fingerprint, Changes>,
}

impl Flaps {
    /// What is known of an alert.
    pub(crate) fn get(&self, alert: Fingerprint) -> Option<&Changes> {
        self.by_alert.get(&alert)
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_alert.is_empty()
    }

    /// Takes a change of state, unless it is known; returns the keys of those `routes` on which the alert flaps from then on.
    pub(crate) fn note(&mut self, alert: Fingerprint, at_ms: i64, routes: &[(&str, Flap)]) -> Vec<String> {
        let changes = self.by_alert.entry(alert).or_default();
        if changes.times.back().is_some_and(|last_ms| at_ms <= *last_ms) {
            return Vec::new();
        }
        changes.times.push_back(at_ms);
        let most = routes.iter().map(|(_, flap)| flap.changes).max().unwrap_or(1);
        while changes.times.len() > most {
            changes.times.pop_front();
        }
        let mut news = Vec::new();
        for (key, flap) in routes {
            if !changes.flapping.contains_key(*key) && changes.n_within(flap.within_ms, at_ms) >= flap.changes
            {
                changes.flapping.insert((*key).to_owned(), at_ms);
                changes.settled.remove(*key);
                news.push((*key).to_owned());
            }
        }
        news
    }

    /// Ends the flapping of an alert on a route when it is stable; returns whether it did.
    pub(crate) fn settle(&mut self, alert: Fingerprint, route: &str, stable_ms: i64, now_ms: i64) -> bool {
        let Some(changes) = self.by_alert.get_mut(&alert) else { return false };
        if !changes.flapping.contains_key(route) || changes.stable_at_ms(stable_ms) > now_ms {
            return false;
        }
        changes.flapping.remove(route);
        // Not when that was found: managers look at different moments.
        changes.settled.insert(route.to_owned(), changes.stable_at_ms(stable_ms));
        true
    }

    /// Puts one back from the state file.
    pub(crate) fn keep(&mut self, alert: Fingerprint, changes: Changes) {
        self.by_alert.insert(alert, changes);
    }

    /// Forgets one, when the state file says it went.
    pub(crate) fn remove(&mut self, alert: Fingerprint) {
        self.by_alert.remove(&alert);
    }

    /// All of them, for the state file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fingerprint, &Changes)> {
        self.by_alert.iter().map(|(alert, changes)| (*alert, changes))
    }

    /// Forgets alerts that are known no more and whose changes count for nothing any more; returns which.
    pub(crate) fn collect_garbage(
        &mut self,
        now_ms: i64,
        within_ms: i64,
        is_known: impl Fn(Fingerprint) -> bool,
    ) -> Vec<Fingerprint> {
        let is_gone =
            |id: &Fingerprint, changes: &Changes| changes.n_within(within_ms, now_ms) == 0 && !is_known(*id);
        let gone: Vec<Fingerprint> =
            self.by_alert.iter().filter(|(id, changes)| is_gone(id, changes)).map(|(id, _)| *id).collect();
        gone.iter().for_each(|id| self.remove(*id));
        gone
    }
}
