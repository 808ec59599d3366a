//! Acknowledgements: who has an alert, since when, and until when.
//!
//! In from API v2, the state file and other managers; asked at each flush and by the API. Pure. One register for each
//! alert: the last word counts, of two at the same time the greater text, so that managers that took the same words in
//! any order know the same. Meaning: docs/adr/0010-on-call.md.

use std::collections::BTreeMap;

use crate::alert::{Alert, Fingerprint};

/// How many are kept. Chosen: as many alerts as anybody can have in hand, some 50 MB.
pub(crate) const ACKS_MAX: usize = 100_000;
/// How long one is remembered after its alert is known no more, in milliseconds, so that a manager that was away does not
/// bring it back. Chosen: as long as kept promises.
const KEPT_MS: i64 = 24 * 3_600_000;

/// The last word about one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) at_ms: i64,
    /// Who said it; empty when the alert itself ended.
    pub(crate) by: String,
    pub(crate) note: String,
    /// When the firing began that it is about.
    pub(crate) starts_at_ms: i64,
    /// Whether somebody has the alert; `false` when it was given back, or ended.
    pub(crate) is_held: bool,
    /// When it is open again by itself.
    pub(crate) until_ms: Option<i64>,
    /// Whether that time was asked for, and is not the configuration's.
    pub(crate) is_snooze: bool,
}

impl Ack {
    /// Whether it is about this firing of the alert. A sender's clock may be ahead of the one that wrote the word.
    fn is_about(&self, alert: &Alert) -> bool {
        alert.starts_at_ms <= self.at_ms.max(self.starts_at_ms)
    }

    /// Whether somebody has the alert at `now_ms`, as far as the word itself says.
    fn holds_at(&self, now_ms: i64) -> bool {
        self.is_held && self.until_ms.is_none_or(|until_ms| now_ms < until_ms)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    by_alert: BTreeMap<Fingerprint, Ack>,
}

impl Acks {
    /// The last word about an alert.
    pub(crate) fn get(&self, alert: Fingerprint) -> Option<&Ack> {
        self.by_alert.get(&alert)
    }

    /// The word by which somebody has a firing alert at `now_ms`.
    pub(crate) fn holding(&self, id: Fingerprint, alert: &Alert, now_ms: i64) -> Option<&Ack> {
        self.by_alert.get(&id).filter(|ack| ack.is_about(alert) && ack.holds_at(now_ms))
    }

    /// Since when nobody has this firing of an alert any more, where somebody had it.
    pub(crate) fn reopened_ms(&self, id: Fingerprint, alert: &Alert, now_ms: i64) -> Option<i64> {
        let ack = self.by_alert.get(&id).filter(|ack| ack.is_about(alert))?;
        match (ack.is_held, ack.until_ms) {
            (false, _) => Some(ack.at_ms),
            (true, until_ms) => until_ms.filter(|until_ms| *until_ms <= now_ms),
        }
    }

    /// Takes the last word about an alert, whatever was known.
    pub(crate) fn keep(&mut self, alert: Fingerprint, ack: Ack) {
        self.by_alert.insert(alert, ack);
    }

    /// Forgets one, when the state file says it went.
    pub(crate) fn remove(&mut self, alert: Fingerprint) {
        self.by_alert.remove(&alert);
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.by_alert.len()
    }

    /// Whether there is none, as for most of the time.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_alert.is_empty()
    }

    /// All of them by alert; behind `after` only.
    pub(crate) fn after(&self, after: Option<Fingerprint>) -> impl Iterator<Item = (Fingerprint, &Ack)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.by_alert.range((from, Unbounded)).map(|(alert, ack)| (*alert, ack))
    }

    /// Whether a word is so old that it says nothing any more about an alert that is not known.
    pub(crate) fn is_stale(ack: &Ack, now_ms: i64) -> bool {
        let last_ms = ack.until_ms.map_or(ack.at_ms, |until_ms| until_ms.max(ack.at_ms));
        last_ms.saturating_add(KEPT_MS) <= now_ms
    }

    /// Forgets what is stale of alerts that are known no more; returns which.
    pub(crate) fn collect_garbage(
        &mut self,
        now_ms: i64,
        is_known: impl Fn(Fingerprint) -> bool,
    ) -> Vec<Fingerprint> {
        let is_gone = |id: &Fingerprint, ack: &Ack| Self::is_stale(ack, now_ms) && !is_known(*id);
        let gone: Vec<Fingerprint> =
            self.by_alert.iter().filter(|(id, ack)| is_gone(id, ack)).map(|(id, _)| *id).collect();
        for id in &gone {
            self.by_alert.remove(id);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    #[test]
    fn who_has_an_alert_at_which_time() {
        let ack = |is_held, until_ms| Ack {
            at_ms: 100,
            by: "kim".into(),
            note: String::new(),
            starts_at_ms: 50,
            is_held,
            until_ms,
            is_snooze: until_ms.is_some(),
        };
        let check = |ack: Ack, starts_at_ms, now_ms, expected: (bool, Option<i64>)| {
            let alert = Alert {
                labels: Labels::empty(),
                annotations: Labels::empty(),
                starts_at_ms,
                ends_at_ms: i64::MAX,
                generator_url: String::new(),
                updated_at_ms: 0,
                is_timeout: false,
                measured: None,
            };
            let mut acks = Acks::default();
            acks.keep(Fingerprint(1), ack);
            let found = acks.holding(Fingerprint(1), &alert, now_ms).is_some();
            assert_eq!((found, acks.reopened_ms(Fingerprint(1), &alert, now_ms)), expected);
        };
        check(ack(true, None), 50, 120, (true, None));
        check(ack(true, Some(130)), 50, 129, (true, None));
        check(ack(true, Some(130)), 50, 130, (false, Some(130)));
        check(ack(false, None), 50, 120, (false, Some(100)));
        // Another firing: nobody has that.
        check(ack(true, None), 110, 120, (false, None));
        check(ack(false, None), 110, 120, (false, None));
        // Acknowledged by a clock that is behind the sender's.
        check(Ack { starts_at_ms: 150, ..ack(true, None) }, 150, 160, (true, None));
    }
}
