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
    /// Keys of the routes on which it flaps or did, and since when.
    pub(crate) flapping: BTreeMap<String, i64>,
    /// Keys of the routes on which it does no more, and since when it is stable.
    pub(crate) settled: BTreeMap<String, i64>,
}

/// What a change made of an alert: keys of routes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turned {
    /// On which it flaps from then on.
    pub(crate) flaps: Vec<String>,
    /// On which it had been stable before that.
    pub(crate) was_stable: Vec<String>,
}

impl Changes {
    /// Since when it flaps on a route.
    pub(crate) fn since_ms(&self, route: &str) -> Option<i64> {
        self.flapping.get(route).copied().filter(|_| !self.settled.contains_key(route))
    }

    /// As [`Flaps::settle`].
    fn settle(&mut self, route: &str, stable_ms: i64, now_ms: i64) -> bool {
        let at_ms = self.stable_at_ms(stable_ms);
        if self.since_ms(route).is_none() || at_ms > now_ms {
            return false;
        }
        // Not when that was found: managers look at different moments.
        self.settled.insert(route.to_owned(), at_ms);
        true
    }

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

    /// Takes a change of state, unless it is known; returns what that made of the alert on `routes`.
    ///
    /// What an alert is follows from its changes alone, not from when somebody looked or heard of them: it was stable before
    /// this change also if nobody asked meanwhile, and it was not when the change comes from before the moment at which it
    /// seemed to be. Managers look and hear at different moments, and must agree.
    pub(crate) fn note(&mut self, alert: Fingerprint, at_ms: i64, routes: &[(&str, Flap)]) -> Turned {
        let changes = self.by_alert.entry(alert).or_default();
        let mut turned = Turned::default();
        if changes.times.back().is_some_and(|last_ms| at_ms <= *last_ms) {
            return turned;
        }
        for (key, flap) in routes {
            if changes.settle(key, flap.stable_ms, at_ms) {
                turned.was_stable.push((*key).to_owned());
            }
            if changes.settled.get(*key).is_some_and(|settled_ms| at_ms < *settled_ms) {
                changes.settled.remove(*key);
            }
        }
        changes.times.push_back(at_ms);
        let most = routes.iter().map(|(_, flap)| flap.changes).max().unwrap_or(1);
        while changes.times.len() > most {
            changes.times.pop_front();
        }
        for (key, flap) in routes {
            if changes.since_ms(key).is_none() && changes.n_within(flap.within_ms, at_ms) >= flap.changes {
                changes.flapping.insert((*key).to_owned(), at_ms);
                changes.settled.remove(*key);
                turned.flaps.push((*key).to_owned());
            }
        }
        turned
    }

    /// Ends the flapping of an alert on a route when it is stable; returns whether it did.
    pub(crate) fn settle(&mut self, alert: Fingerprint, route: &str, stable_ms: i64, now_ms: i64) -> bool {
        self.by_alert.get_mut(&alert).is_some_and(|changes| changes.settle(route, stable_ms, now_ms))
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: Fingerprint = Fingerprint(1);
    const FLAP: Flap = Flap { changes: 3, within_ms: 100, stable_ms: 50 };

    /// Changes and looks in the order in which a manager sees them, and what it takes the alert for then.
    #[test]
    fn managers_agree_whenever_they_look_and_hear() {
        let check = |seen: &[(char, i64)], expected: (Option<i64>, Option<i64>)| {
            let mut flaps = Flaps::default();
            for (what, at_ms) in seen {
                if *what == 'c' {
                    flaps.note(ALERT, *at_ms, &[("r", FLAP)]);
                } else {
                    flaps.settle(ALERT, "r", FLAP.stable_ms, *at_ms);
                }
            }
            let changes = flaps.get(ALERT).expect("it changed");
            assert_eq!((changes.since_ms("r"), changes.settled.get("r").copied()), expected, "{seen:?}");
        };
        let flaps: &[(char, i64)] = &[('c', 10), ('c', 20), ('c', 30)];
        let then = |more: &[(char, i64)]| [flaps, more].concat();
        check(flaps, (Some(30), None));
        check(&then(&[('l', 79)]), (Some(30), None));
        check(&then(&[('l', 80)]), (None, Some(80)));
        // A change from before it seemed stable, heard of in time or late.
        check(&then(&[('c', 79), ('l', 80)]), (Some(30), None));
        check(&then(&[('l', 80), ('c', 79)]), (Some(30), None));
        // One from after it, when somebody looked between or nobody did.
        check(&then(&[('l', 80), ('c', 200)]), (None, Some(80)));
        check(&then(&[('c', 200)]), (None, Some(80)));
        // Stable, and flapping anew with the next change.
        check(&then(&[('c', 81)]), (Some(81), None));
        check(&then(&[('l', 80), ('c', 81)]), (Some(81), None));
    }
}
