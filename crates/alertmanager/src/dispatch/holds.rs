//! What keeps a message about an alert back now, one thing after the other, in the order in which a flush looks.
//!
//! Asked by `explain`. Asks the same functions that a flush asks, and changes nothing.

use model::Labels;
use serde::Serialize;

use super::Core;
use super::group::GroupId;
use crate::alert::{Alert, Fingerprint};
use crate::route::Route;
use crate::time::api_rfc3339;

/// One thing that keeps a message back.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hold {
    /// `inhibition`, `dependency`, `mute`, `active`, `ignore`, `silence`, `maintenance`, `acknowledged`, `snoozed`,
    /// `flapping`, `occurrences`, `success`, `hostAway`, `noIntegrations`.
    kind: &'static str,
    /// Ids, names of intervals and windows, the host, or the labels of who inhibits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    /// Of occurrences and flapping: how many there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<usize>,
}

impl Core {
    /// All of them, for an alert with `labels` in the group that its route puts it in.
    pub(super) fn holds(&self, group: &GroupId, labels: &Labels, now_ms: i64) -> Vec<Hold> {
        let (id, route) = (Fingerprint::of(labels), self.routes.get(group.route));
        let alert = self.alerts.get(&id).map(|alert| &**alert);
        let mut holds: Vec<Hold> = self.inhibition(labels, now_ms).into_iter().collect();
        holds.extend(alert.and_then(|alert| self.parent_awaited(alert, now_ms)));
        let by = self.muting_intervals(route, now_ms);
        if !by.is_empty() {
            let kind = if by == route.active_intervals { "active" } else { "mute" };
            holds.push(Hold { kind, by, ..Hold::default() });
        }
        holds.extend(ignored(route, labels, now_ms));
        holds.extend(self.silenced(labels, now_ms));
        if let Some(alert) = alert {
            holds.extend(self.in_hand(id, alert, now_ms));
            holds.extend(self.damped_until(route, id, now_ms));
            // One whose end was told is in no group any more.
            let is_grouped = self.groups.get(group).is_some_and(|group| group.alerts.contains_key(&id));
            let awaited = self.success_awaited(route, (id, alert), now_ms);
            holds.extend(awaited.filter(|_| is_grouped));
        }
        holds.extend(self.counted(route, id, now_ms));
        let has_some =
            self.config.receiver(&route.receiver).is_some_and(|receiver| !receiver.integrations.is_empty());
        if !has_some {
            holds.push(Hold { kind: "noIntegrations", ..Hold::default() });
        }
        holds
    }

    /// An inhibition rule, or what the alert depends on.
    fn inhibition(&self, labels: &Labels, now_ms: i64) -> Option<Hold> {
        let by = self.status_of(labels, now_ms).inhibited_by.first().copied()?;
        let is_parent = self.hidden_because(labels, now_ms).is_some_and(|(parent, _)| parent == by);
        let kind = if is_parent { "dependency" } else { "inhibition" };
        let name = self.alerts.get(&by).map_or_else(|| by.to_string(), |alert| alert.labels.to_string());
        Some(Hold { kind, by: vec![name], ..Hold::default() })
    }

    /// What it depends on has time to be reported.
    fn parent_awaited(&self, alert: &Alert, now_ms: i64) -> Option<Hold> {
        let until_ms = self.waits_until_ms(alert, now_ms)?;
        Some(Hold { kind: "dependency", ends_at: Some(api_rfc3339(until_ms)), ..Hold::default() })
    }

    fn silenced(&self, labels: &Labels, now_ms: i64) -> Vec<Hold> {
        let hold = |silence: &crate::silence::Silence| {
            let window = silence.annotations.get(crate::maintenance::WINDOW_NAME);
            Hold {
                kind: if window.is_some() { "maintenance" } else { "silence" },
                by: vec![window.unwrap_or(&silence.id).clone()],
                owner: Some(silence.created_by.clone()),
                reason: Some(silence.comment.clone()),
                ends_at: Some(api_rfc3339(silence.ends_at_ms)),
                seen: None,
            }
        };
        let ids = self.silences.silencing(labels, now_ms);
        ids.iter().filter_map(|id| self.silences.get(id)).map(hold).collect()
    }

    fn in_hand(&self, id: Fingerprint, alert: &Alert, now_ms: i64) -> Option<Hold> {
        let ack = self.acks.holding(id, alert, now_ms)?;
        Some(Hold {
            kind: if ack.is_snooze { "snoozed" } else { "acknowledged" },
            owner: Some(ack.by.clone()),
            reason: Some(ack.note.clone()),
            ends_at: ack.until_ms.map(api_rfc3339),
            ..Hold::default()
        })
    }

    fn damped_until(&self, route: &Route, id: Fingerprint, now_ms: i64) -> Option<Hold> {
        let flap = route.flap?;
        let changes = self.flaps.get(id).filter(|changes| changes.since_ms(&route.key).is_some())?;
        Some(Hold {
            kind: "flapping",
            ends_at: Some(api_rfc3339(changes.stable_at_ms(flap.stable_ms))),
            seen: Some(changes.n_within(flap.within_ms, now_ms)),
            ..Hold::default()
        })
    }

    /// Its end was reported, and is no success yet.
    fn success_awaited(
        &self,
        route: &Route,
        (id, alert): (Fingerprint, &Alert),
        now_ms: i64,
    ) -> Option<Hold> {
        let over_at_ms = self.watches.get(id)?.over_at_ms(alert, route.success_ms?);
        if !alert.is_resolved_at(now_ms) || !self.fires_for(route, id, alert, now_ms) {
            return None;
        }
        let host = self.host_of(&alert.labels);
        let is_host_away = over_at_ms <= now_ms;
        Some(Hold {
            kind: if is_host_away { "hostAway" } else { "success" },
            by: host.into_iter().map(|host| format!("{}={:?}", host.label, host.value)).collect(),
            ends_at: (!is_host_away).then(|| api_rfc3339(over_at_ms)),
            ..Hold::default()
        })
    }

    fn counted(&self, route: &Route, id: Fingerprint, now_ms: i64) -> Option<Hold> {
        let needed = route.occurrences?;
        let watch = self.watches.get(id);
        if watch.is_some_and(|watch| watch.counted.contains(&route.key)) {
            return None;
        }
        let seen = watch.map_or(0, |watch| watch.n_within(needed.within_ms, now_ms));
        Some(Hold { kind: "occurrences", seen: Some(seen), ..Hold::default() })
    }
}

fn ignored(route: &Route, labels: &Labels, now_ms: i64) -> Option<Hold> {
    let ignore = route.ignored_by(labels, now_ms)?;
    Some(Hold {
        kind: "ignore",
        by: ignore.matchers.iter().map(ToString::to_string).collect(),
        owner: Some(ignore.owner.clone()),
        reason: Some(ignore.reason.clone()),
        ends_at: Some(api_rfc3339(ignore.ends_at_ms)),
        seen: None,
    })
}
