//! What one integration has to be told of a group, if anything.
//!
//! Asked at each flush; out as [`Due`], which becomes a job. Decides by the notification log, promises, acknowledgements
//! and the route's settings; changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::group::fingerprints;
use super::oncall::Hands;
use super::steps::Line;
use super::{Core, Heard};
use crate::alert::Fingerprint;
use crate::config::Integration;
use crate::nflog::{self, Current, Entry, Issued, NotifyKey, Reason};
use crate::notification::{ReceiverData, Snapshot};
use crate::route::Route;

/// When each firing alert was told first; `None` for with this message.
pub(super) type Since = BTreeMap<Fingerprint, Option<i64>>;

/// What to tell an integration, why, and what it will know then.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) reason: Reason,
    pub(super) alerts: Vec<Snapshot>,
    pub(super) firing: BTreeSet<Fingerprint>,
    pub(super) resolved: BTreeSet<Fingerprint>,
    pub(super) issued: Issued,
    pub(super) since: Since,
    /// Whether others of the group fire that were told before.
    pub(super) others_fire: bool,
    pub(super) data: ReceiverData,
}

/// Why, and what is to be said where that is not everything.
type Decision = (Reason, Option<BTreeSet<Fingerprint>>);

impl Core {
    /// What a line of a flush has to be told, if anything. A further receiver hears here of what it was told before; of
    /// more in its own time.
    pub(super) fn due_on(&self, line: &Line, heard: &Heard, route: &Route, now_ms: i64) -> Option<Due> {
        if line.after_ms.is_none() {
            return self.due(&line.key, &line.integration, heard, route, now_ms);
        }
        self.due(&line.key, &line.integration, &self.heard_before(line, heard), route, now_ms)
    }

    /// What one integration has to be told, if anything.
    pub(super) fn due(
        &self,
        key: &NotifyKey,
        integration: &Integration,
        heard: &Heard,
        route: &Route,
        now_ms: i64,
    ) -> Option<Due> {
        let alerts = self.with_owed(key, integration, route, heard, now_ms);
        if alerts.is_empty() {
            return None;
        }
        let (own, resolved) = (fingerprints(&alerts, true), fingerprints(&alerts, false));
        self.metrics.keeping.log_queries.inc();
        let last = self.nflog.get(key).map(|entry| entry.in_our_hashes(&alerts));
        let last = last.map(|last| self.without_doubt(key, last, &alerts, now_ms));
        let last = last.as_deref();
        let hands = self.hands(route, &alerts, last, now_ms);
        // What somebody has stays known where it was told, and is no news where it was not.
        let is_known = |id: &&Fingerprint| {
            !hands.held.contains(*id) || last.is_some_and(|last| last.firing.contains(*id))
        };
        let mut firing: BTreeSet<Fingerprint> = own.iter().filter(is_known).copied().collect();
        firing.extend(self.known_to_others(last));
        let current = Current {
            firing: &firing,
            resolved: &resolved,
            sends_resolved: integration.sends_resolved,
            is_owed: integration.sends_resolved && resolved.iter().any(|id| self.is_owed(key, *id)),
            repeated_before_ms: heard.at_ms.saturating_sub(route.repeat_interval_ms),
        };
        let (reason, said) = self.decide((key, route), &alerts, last, &current, &hands, now_ms)?;
        // A first notification begins anew: what was noted belongs to the message before.
        let is_first = reason == Reason::First;
        let data = last.filter(|_| !is_first).map(|last| last.data.clone()).unwrap_or_default();
        let is_said = |id: &Fingerprint| said.as_ref().is_none_or(|said| said.contains(id));
        let others_fire = own.iter().any(|id| firing.contains(id) && !is_said(id));
        let issued = said.iter().flatten().filter(|id| firing.contains(id)).map(|id| (*id, now_ms));
        let known = last.filter(|_| said.is_some()).map(|last| last.issued_still(&firing));
        let issued = known.into_iter().flatten().chain(issued).collect();
        let since = if route.escalate.is_empty() { Since::new() } else { since(last, &firing, &hands) };
        let alerts = alerts.into_iter().filter(|alert| is_said(&alert.fingerprint)).collect();
        Some(Due { reason, alerts, firing, resolved, issued, since, others_fire, data })
    }

    /// Why a message is due; and which alerts go into it, where not all do.
    fn decide(
        &self,
        (key, route): (&NotifyKey, &Route),
        alerts: &[Snapshot],
        last: Option<&Entry>,
        current: &Current<'_>,
        hands: &Hands,
        now_ms: i64,
    ) -> Option<Decision> {
        let is_open = |alert: &&Snapshot| alert.is_firing && !hands.held.contains(&alert.fingerprint);
        let n_open = alerts.iter().filter(is_open).count();
        let is_detected = |alert: &&Snapshot| is_open(alert) && !alert.alert.is_resolved_at(now_ms);
        let needs_detected = route.reissue_ms.is_some() || route.success_ms.is_some();
        let detected = alerts.iter().filter(|_| needs_detected).filter(is_detected);
        let detected: BTreeSet<Fingerprint> = detected.map(|alert| alert.fingerprint).collect();
        let due: Option<Decision> = match route.reissue_ms {
            None => {
                let all_but_held = || {
                    let ids = alerts.iter().map(|alert| alert.fingerprint);
                    ids.filter(|id| !hands.held.contains(id)).collect()
                };
                let said = (!hands.held.is_empty()).then(all_but_held);
                let reason = nflog::due(last, current);
                let again = (!hands.again.is_empty()).then_some(Reason::Reopened);
                reason.filter(|reason| *reason != Reason::Repeat).or(again).or(reason).map(|why| (why, said))
            }
            Some(reissue_ms) => {
                let is_ended = |id: Fingerprint| {
                    current.sends_resolved && self.is_owed(key, id)
                        || last.is_some_and(|last| last.firing.contains(&id))
                };
                let is_detected = |id: Fingerprint| detected.contains(&id);
                let due = nflog::due_again(last, current, is_ended, is_detected, reissue_ms, now_ms);
                match due {
                    Some((reason, mut said)) => {
                        said.extend(&hands.again);
                        Some((reason, Some(said)))
                    }
                    None => (!hands.again.is_empty()).then(|| (Reason::Reopened, Some(hands.again.clone()))),
                }
            }
        };
        // What only waits for its success is not said again, nor is what only others know of or somebody has.
        let is_awaited = route.success_ms.is_some() && detected.is_empty();
        due.filter(|(reason, _)| *reason != Reason::Repeat || n_open > 0 && !is_awaited)
    }
}

/// When each of `firing` was told first; what is told again after an acknowledgement begins anew.
fn since(last: Option<&Entry>, firing: &BTreeSet<Fingerprint>, hands: &Hands) -> Since {
    let known = |id: &Fingerprint| {
        let last = last.filter(|last| last.firing.contains(id) && !hands.again.contains(id))?;
        last.since.get(id).copied().or(last.issued_ms(*id))
    };
    firing.iter().map(|id| (*id, known(id))).collect()
}
