//! Hooks of the history: what the core does, told to the recorder, and the pass that finds what came by the clock alone.

use std::ops::{AddAssign, Bound};
use std::sync::Arc;

use super::group::GroupId;
use super::job::{Job, JobId};
use super::{AlertStatus, Core, Heard};
use crate::alert::{Alert, Fingerprint};
use crate::history::{Attempted, Event, Kind, Parent, Standing, What};
use crate::notification::{Outcome, Snapshot};
use crate::route::Route;

/// Alerts that are looked at while nobody else is served. Chosen: some milliseconds, of the hundred that all of 100,000 took at once.
pub(super) const ALERTS_PER_LOOK: usize = 4_096;

/// How many alerts fire, by whether anything keeps them back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) n_active: u32,
    pub(crate) n_suppressed: u32,
}

impl Counts {
    pub(super) fn add(&mut self, status: &AlertStatus) {
        match status.state() {
            "active" => self.n_active += 1,
            _ => self.n_suppressed += 1,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.n_active += more.n_active;
        self.n_suppressed += more.n_suppressed;
    }
}

impl Core {
    /// What happened since the last call, for the history.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.history.take()
    }

    /// Looks at the alerts `after` one, or at the first: records what ended, what is held back and what is let out. Returns how many of them fire, and behind
    /// which to go on; `None` after the last, when silences have been looked at, too.
    pub(crate) fn look_around(
        &mut self,
        after: Option<Fingerprint>,
        now_ms: i64,
    ) -> (Counts, Option<Fingerprint>) {
        let mut counts = Counts::default();
        let mut recorder = std::mem::take(&mut self.history);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut n_looked, mut last) = (0, None);
        for (id, alert) in self.alerts.range((from, Bound::Unbounded)).take(ALERTS_PER_LOOK) {
            (n_looked, last) = (n_looked + 1, Some(*id));
            if alert.is_resolved_at(now_ms) {
                recorder.expire(*id, alert, now_ms);
                continue;
            }
            let status = self.status_of(&alert.labels, now_ms);
            counts.add(&status);
            if recorder.is_on() {
                recorder.stand(*id, alert, self.standing(alert, status, now_ms), now_ms);
            }
        }
        let last = last.filter(|_| n_looked == ALERTS_PER_LOOK);
        if last.is_none() && recorder.is_on() {
            self.silences.iter().for_each(|silence| recorder.silence(silence, now_ms));
        }
        self.history = recorder;
        (counts, last)
    }

    /// What keeps a firing alert back, as the history has it: what it depends on is no inhibition there.
    fn standing(&self, alert: &Alert, status: AlertStatus, now_ms: i64) -> Standing {
        let hidden_by = status.inhibited_by.into_iter().next();
        let parent = hidden_by.filter(|_| self.inhibitor.dependencies().is_some());
        let parent = parent.and_then(|_| self.hidden_because(&alert.labels, now_ms)).map(|(id, _)| id);
        let awaited = || self.waits_until_ms(alert, now_ms).map(|_| Parent::Awaited);
        Standing {
            silenced_by: status.silenced_by,
            inhibited_by: hidden_by.filter(|id| Some(*id) != parent),
            depends_on: parent.filter(|id| Some(*id) == hidden_by).map(Parent::Fires).or_else(awaited),
        }
    }

    /// Silences of the state file, and what they and other alerts hide, are no news.
    pub(crate) fn know_what_stands(&mut self, now_ms: i64) {
        if !self.history.is_on() {
            return;
        }
        let mut after = None;
        while let (_, Some(last)) = self.look_around(after, now_ms) {
            after = Some(last);
        }
        self.history.take();
    }

    /// What a flush keeps back, so that it is recorded also of what does not last.
    pub(super) fn record_flush(&mut self, id: &GroupId, route: &Route, heard: &Heard, now_ms: i64) {
        if !self.history.is_on() {
            return;
        }
        let muted_by = self.muting_intervals(route, now_ms);
        let what =
            |kind, by| What::Group { kind, receiver: route.receiver.clone(), labels: id.labels.clone(), by };
        let group_key = self.group_key(id);
        self.history.mute(&group_key, &muted_by, what, now_ms);
        let loud: std::collections::HashSet<Fingerprint> =
            heard.loud.iter().map(|alert| alert.fingerprint).collect();
        let is_quiet = |alert: &&Snapshot| alert.is_firing && !loud.contains(&alert.fingerprint);
        for alert in heard.all.iter().filter(is_quiet) {
            let status = self.status_of(&alert.alert.labels, now_ms);
            let standing = self.standing(&alert.alert, status, now_ms);
            self.history.stand(alert.fingerprint, &alert.alert, standing, now_ms);
        }
    }

    /// What an attempt came to, as it is decided.
    pub(super) fn record_outcome(&mut self, id: JobId, outcome: &Outcome, is_over: bool, now_ms: i64) {
        let Some(job) = self.jobs.get(&id) else { return };
        let (kind, reason, error) = match outcome {
            Outcome::Delivered(_) => (Kind::Sent, job.notification.reason, ""),
            Outcome::Failed { reason, message, .. } if is_over => {
                (Kind::Failed, reason.text(), message.as_str())
            }
            Outcome::Failed { reason, message, .. } => (Kind::Retry, reason.text(), message.as_str()),
        };
        let make = || attempted(job, kind, reason, error, now_ms);
        self.history.attempt(now_ms, make);
    }

    /// A message is given up because its time is over.
    pub(super) fn record_given_up(&mut self, id: JobId, now_ms: i64) {
        let Some(job) = self.jobs.get(&id) else { return };
        let make = || {
            attempted(
                job,
                Kind::Failed,
                crate::notification::Reason::Deadline.text(),
                "its group interval is over",
                job.began_ms,
            )
        };
        self.history.attempt(now_ms, make);
    }
}

fn attempted(job: &Job, kind: Kind, reason: &'static str, error: &str, ended_ms: i64) -> Attempted {
    Attempted {
        kind,
        notification: Arc::clone(&job.notification),
        integration: job.integration.name,
        idx: job.integration.idx,
        attempt: job.n_attempts,
        took_ms: ended_ms.saturating_sub(job.began_ms).max(0),
        reason,
        error: error.to_owned(),
    }
}
