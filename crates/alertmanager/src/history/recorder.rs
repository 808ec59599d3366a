//! What was recorded last of each alert, group and silence, so that only changes become events.
//!
//! In from the core's hooks (`dispatch::history`); out as [`Event`]s, taken by the driver. Holds nothing of what is over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::event::{Attempted, Event, Kind, What};
use crate::ack::Ack;
use crate::alert::{Alert, Fingerprint};
use crate::maintenance::held_by;
use crate::silence::{Silence, SilenceState};

/// What keeps an alert back: ids of silences, the alert that inhibits it, what it depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) silenced_by: Vec<String>,
    pub(crate) inhibited_by: Option<Fingerprint>,
    pub(crate) depends_on: Option<Parent>,
}

/// What an alert depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    /// It fires, or did a moment ago.
    Fires(Fingerprint),
    /// It has time to be reported.
    Awaited,
}

impl Standing {
    fn is_free(&self) -> bool {
        self.silenced_by.is_empty() && self.inhibited_by.is_none() && self.depends_on.is_none()
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    is_on: bool,
    events: Vec<Event>,
    /// Alerts whose beginning is recorded and whose end is not.
    open: HashSet<Fingerprint>,
    held: HashMap<Fingerprint, Standing>,
    /// Alerts whose success is awaited and whose host is away.
    away: HashSet<Fingerprint>,
    /// Intervals that keep a group quiet, by its key.
    muted: BTreeMap<String, Vec<String>>,
    /// State and time of the last change.
    silences: HashMap<String, (SilenceState, i64)>,
    /// By receiver, integration and index; as many as the configurations since the start have.
    last: BTreeMap<(String, &'static str, usize), LastAttempt>,
}

/// What the last attempt of an integration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastAttempt {
    pub(crate) at_ms: i64,
    pub(crate) is_delivered: bool,
    pub(crate) took_ms: i64,
    pub(crate) error: String,
}

impl Recorder {
    /// One that records.
    pub(crate) fn on() -> Self {
        Self { is_on: true, ..Self::default() }
    }

    /// Whether it records.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// What happened since the last call.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn push(&mut self, at_ms: i64, what: What) {
        self.events.push(Event { at_ms, what });
    }

    fn alert(&mut self, at_ms: i64, kind: Kind, alert: &Arc<Alert>, by: Vec<String>) {
        self.push(at_ms, What::Alert { kind, alert: Arc::clone(alert), by });
    }

    /// An alert of the state file: what it was is recorded already.
    pub(crate) fn restore(&mut self, id: Fingerprint, alert: &Alert, now_ms: i64) {
        if self.is_on && !alert.is_resolved_at(now_ms) {
            self.open.insert(id);
        }
    }

    /// A report made `new` of what was `known`.
    pub(crate) fn report(
        &mut self,
        id: Fingerprint,
        known: Option<&Arc<Alert>>,
        new: &Arc<Alert>,
        now_ms: i64,
    ) {
        if !self.is_on {
            return;
        }
        let is_open = self.open.contains(&id);
        match (is_open, new.is_resolved_at(now_ms)) {
            (true, false) => {
                // Its end went by, and nobody had looked since.
                let Some(known) = known.filter(|known| known.is_resolved_at(now_ms)) else { return };
                self.alert(now_ms, Kind::Expired, known, Vec::new());
                self.alert(now_ms, Kind::FiringAgain, new, Vec::new());
            }
            (false, false) => {
                self.open.insert(id);
                let kind = if known.is_some() { Kind::FiringAgain } else { Kind::Firing };
                self.alert(now_ms, kind, new, Vec::new());
            }
            (true, true) => {
                let was_over = known.is_some_and(|known| known.is_resolved_at(now_ms));
                self.end(id, if was_over { Kind::Expired } else { Kind::Resolved }, new, now_ms);
            }
            (false, true) => {}
        }
    }

    /// An alert is over, if that is news.
    pub(crate) fn expire(&mut self, id: Fingerprint, alert: &Arc<Alert>, now_ms: i64) {
        if self.open.contains(&id) {
            self.end(id, Kind::Expired, alert, now_ms);
        }
    }

    fn end(&mut self, id: Fingerprint, kind: Kind, alert: &Arc<Alert>, now_ms: i64) {
        self.open.remove(&id);
        self.held.remove(&id);
        self.alert(now_ms, kind, alert, Vec::new());
    }

    /// What keeps a firing alert back now.
    pub(crate) fn stand(&mut self, id: Fingerprint, alert: &Arc<Alert>, now: Standing, now_ms: i64) {
        if !self.is_on || (now.is_free() && !self.held.contains_key(&id)) || !self.open.contains(&id) {
            return;
        }
        let was = self.held.get(&id).cloned().unwrap_or_default();
        if now.silenced_by != was.silenced_by {
            let has_more = now.silenced_by.iter().any(|id| !was.silenced_by.contains(id));
            if has_more {
                self.alert(now_ms, Kind::Silenced, alert, now.silenced_by.clone());
            } else if now.silenced_by.is_empty() {
                self.alert(now_ms, Kind::Unsilenced, alert, was.silenced_by.clone());
            }
        }
        // Which of several it is does not matter, and may change from look to look.
        match (was.inhibited_by, now.inhibited_by) {
            (None, Some(by)) => self.alert(now_ms, Kind::Inhibited, alert, vec![by.to_string()]),
            (Some(by), None) => self.alert(now_ms, Kind::Uninhibited, alert, vec![by.to_string()]),
            _ => {}
        }
        let parent = |of: Parent| match of {
            Parent::Fires(id) => vec![id.to_string()],
            Parent::Awaited => Vec::new(),
        };
        match (was.depends_on, now.depends_on) {
            // That the awaited one was reported is news; which of several it is, is not.
            (None | Some(Parent::Awaited), Some(by @ Parent::Fires(_))) | (None, Some(by)) => {
                self.alert(now_ms, Kind::DependencyHeld, alert, parent(by));
            }
            (Some(by), None) => self.alert(now_ms, Kind::DependencyFreed, alert, parent(by)),
            _ => {}
        }
        if now.is_free() {
            self.held.remove(&id);
        } else {
            self.held.insert(id, now);
        }
    }

    /// An alert flaps, or is stable again, on a route that tells `receiver`.
    pub(crate) fn flap(&mut self, alert: &Arc<Alert>, is_flapping: bool, receiver: &str, now_ms: i64) {
        if self.is_on {
            let kind = if is_flapping { Kind::Flapping } else { Kind::Stable };
            self.alert(now_ms, kind, alert, vec![receiver.to_owned()]);
        }
    }

    /// Alerts that nobody acknowledged go to a further receiver.
    pub(crate) fn escalate<'a>(
        &mut self,
        alerts: impl Iterator<Item = &'a Arc<Alert>>,
        receiver: &str,
        now_ms: i64,
    ) {
        if self.is_on {
            alerts.for_each(|alert| self.alert(now_ms, Kind::Escalated, alert, vec![receiver.to_owned()]));
        }
    }

    /// The end of an alert was reported, and is no success yet for these receivers.
    pub(crate) fn await_success(&mut self, alert: &Arc<Alert>, receivers: Vec<String>, now_ms: i64) {
        if self.is_on && !receivers.is_empty() {
            self.alert(now_ms, Kind::SuccessAwaited, alert, receivers);
        }
    }

    /// Whether the host of an alert is away whose success is awaited.
    pub(crate) fn host(
        &mut self,
        id: Fingerprint,
        alert: &Arc<Alert>,
        is_away: bool,
        host: &str,
        now_ms: i64,
    ) {
        let is_news = self.is_on && if is_away { self.away.insert(id) } else { self.away.remove(&id) };
        if is_news {
            let kind = if is_away { Kind::HostAway } else { Kind::HostBack };
            self.alert(now_ms, kind, alert, vec![host.to_owned()]);
        }
    }

    /// Forgets whose host is away, of alerts that are known no more.
    pub(crate) fn forget_host(&mut self, id: Fingerprint) {
        self.away.remove(&id);
    }

    /// Somebody has an alert, or gives it back; `by` is who, and what they say.
    pub(crate) fn hand(&mut self, alert: &Arc<Alert>, ack: &Ack, now_ms: i64) {
        // A snooze that is over by itself is nobody's word.
        if !self.is_on || ack.by.is_empty() {
            return;
        }
        let kind = match (ack.is_held, ack.is_snooze) {
            (false, _) => Kind::GivenBack,
            (true, true) => Kind::Snoozed,
            (true, false) => Kind::Acknowledged,
        };
        let by = [&ack.by, &ack.note].into_iter().filter(|text| !text.is_empty()).cloned().collect();
        self.alert(now_ms, kind, alert, by);
    }

    /// The intervals that keep a group quiet at a flush.
    pub(crate) fn mute(
        &mut self,
        group_key: &str,
        now_by: &[String],
        what: impl FnOnce(Kind, Vec<String>) -> What,
        now_ms: i64,
    ) {
        if !self.is_on || self.muted.get(group_key).map_or(&[][..], Vec::as_slice) == now_by {
            return;
        }
        if now_by.is_empty() {
            let by = self.muted.remove(group_key).unwrap_or_default();
            self.push(now_ms, what(Kind::Unmuted, by));
        } else {
            self.muted.insert(group_key.to_owned(), now_by.to_vec());
            self.push(now_ms, what(Kind::Muted, now_by.to_vec()));
        }
    }

    /// Forgets groups that are gone.
    pub(crate) fn keep_groups(&mut self, is_alive: impl Fn(&str) -> bool) {
        self.muted.retain(|key, _| is_alive(key));
    }

    /// A silence as it is now.
    pub(crate) fn silence(&mut self, silence: &Silence, now_ms: i64) {
        if !self.is_on {
            return;
        }
        let now = (silence.state_at(now_ms), silence.updated_at_ms);
        let was = self.silences.get(&silence.id).copied();
        if was == Some(now) {
            return;
        }
        self.silences.insert(silence.id.clone(), now);
        let is_over = now.0 == SilenceState::Expired;
        let is_run = held_by(silence).is_some();
        let of = |silence: Kind, run: Kind| if is_run { run } else { silence };
        let kind = match was {
            // One from another manager that is over already.
            None if is_over => return,
            None => of(Kind::SilenceMade, Kind::MaintenanceBegun),
            Some((SilenceState::Expired, _)) if is_over => return,
            Some(_) if is_over => of(Kind::SilenceEnded, Kind::MaintenanceEnded),
            Some((_, updated_at_ms)) if updated_at_ms == now.1 => return,
            Some(_) => of(Kind::SilenceChanged, Kind::MaintenanceChanged),
        };
        self.push(now_ms, What::Silence { kind, silence: Box::new(silence.clone()) });
    }

    /// Silences that are kept no longer.
    pub(crate) fn forget_silences(&mut self, ids: &[String]) {
        for id in ids {
            self.silences.remove(id);
        }
    }

    /// An attempt to deliver came to an end.
    pub(crate) fn attempt(&mut self, at_ms: i64, make: impl FnOnce() -> Attempted) {
        if !self.is_on {
            return;
        }
        let attempted = make();
        let key = (attempted.notification.receiver.clone(), attempted.integration, attempted.idx);
        let last = LastAttempt {
            at_ms,
            is_delivered: attempted.kind == Kind::Sent,
            took_ms: attempted.took_ms,
            error: attempted.error.clone(),
        };
        self.last.insert(key, last);
        self.push(at_ms, What::Attempt(Box::new(attempted)));
    }

    /// What the last attempt of an integration came to, since the start.
    pub(crate) fn last_attempt(
        &self,
        receiver: &str,
        integration: &'static str,
        idx: usize,
    ) -> Option<&LastAttempt> {
        self.last.get(&(receiver.to_owned(), integration, idx))
    }
}
