//! How long told alerts were kept back: time that does not bring the next receiver nearer.
//!
//! In from the dispatcher, which looks now and then, and from the state file; asked when an escalation is weighed. Pure.
//! Each manager keeps its own: they see the same silences and intervals. Meaning: docs/adr/0010-on-call.md.

use std::collections::BTreeMap;

use crate::alert::Fingerprint;

/// Who is told of what nobody acknowledged for so long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Escalation {
    pub(crate) after_ms: i64,
    pub(crate) receiver: String,
}

/// Of one alert in one group. Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// When the alert was told first: another telling is another clock.
    pub(crate) since_ms: i64,
    /// How long it was kept back, but for the last time.
    pub(crate) total_ms: i64,
    /// Since when it is kept back, if it is.
    pub(crate) from_ms: Option<i64>,
}

impl Pause {
    /// How long the alert has been told and not kept back.
    pub(crate) fn elapsed_ms(&self, now_ms: i64) -> i64 {
        let paused_ms = self.from_ms.map_or(0, |from_ms| now_ms.saturating_sub(from_ms).max(0));
        now_ms.saturating_sub(self.since_ms).saturating_sub(self.total_ms).saturating_sub(paused_ms)
    }

    /// The same with what is true now.
    fn noted(self, since_ms: i64, is_kept_back: bool, now_ms: i64) -> Self {
        let mut pause = match self.since_ms == since_ms {
            true => self,
            false => Self { since_ms, total_ms: 0, from_ms: None },
        };
        match (pause.from_ms, is_kept_back) {
            (None, true) => pause.from_ms = Some(now_ms),
            (Some(from_ms), false) => {
                pause.total_ms = pause.total_ms.saturating_add(now_ms.saturating_sub(from_ms).max(0));
                pause.from_ms = None;
            }
            _ => {}
        }
        pause
    }
}

/// The clocks of one group: its key's alerts.
type OfGroup = BTreeMap<Fingerprint, Pause>;

/// All clocks, by the group's key.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    by_group: BTreeMap<String, OfGroup>,
}

impl Pauses {
    /// The clock of an alert that was told first at `since_ms`.
    pub(crate) fn get(&self, group: &str, alert: Fingerprint, since_ms: i64) -> Pause {
        let known = self.by_group.get(group).and_then(|of| of.get(&alert)).copied();
        let fresh = Pause { since_ms, total_ms: 0, from_ms: None };
        known.filter(|pause| pause.since_ms == since_ms).unwrap_or(fresh)
    }

    /// Takes what is true now; returns the clock when it stopped or went on.
    pub(crate) fn note(
        &mut self,
        group: &str,
        alert: Fingerprint,
        (since_ms, is_kept_back): (i64, bool),
        now_ms: i64,
    ) -> Option<Pause> {
        let old = self.get(group, alert, since_ms);
        let new = old.noted(since_ms, is_kept_back, now_ms);
        if new == old {
            return None;
        }
        self.keep(group, alert, new);
        Some(new)
    }

    /// Puts one back from the state file.
    pub(crate) fn keep(&mut self, group: &str, alert: Fingerprint, pause: Pause) {
        self.by_group.entry(group.to_owned()).or_default().insert(alert, pause);
    }

    /// Forgets clocks that no group needs.
    pub(crate) fn retain(&mut self, is_needed: impl Fn(&str, Fingerprint) -> bool) {
        self.by_group.retain(|group, of| {
            of.retain(|alert, _| is_needed(group, *alert));
            !of.is_empty()
        });
    }

    /// All of them, for the state file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Fingerprint, Pause)> {
        self.by_group
            .iter()
            .flat_map(|(group, of)| of.iter().map(move |(alert, pause)| (group.as_str(), *alert, *pause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_kept_back_does_not_count() {
        let a = Fingerprint(1);
        let mut pauses = Pauses::default();
        // Told at 100; kept back from 110 to 150 and from 160 on.
        for (at_ms, is_kept_back, expected) in [
            (105, false, false),
            (110, true, true),
            (130, true, false),
            (150, false, true),
            (160, true, true),
        ] {
            let noted = pauses.note("g", a, (100, is_kept_back), at_ms);
            assert_eq!(noted.is_some(), expected, "{at_ms}");
        }
        assert_eq!(pauses.get("g", a, 100).elapsed_ms(200), 20);
        // Told anew: a new clock.
        assert_eq!(pauses.get("g", a, 170).elapsed_ms(200), 30);
        pauses.retain(|_, _| false);
        assert_eq!(pauses.iter().count(), 0);
    }
}
