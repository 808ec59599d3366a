//! What the core tells the event recorder, where the configuration names outputs for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Core, GroupId, Heard, JobId};
use crate::alert::{Alert, Fingerprint};
use crate::events::{GroupInfo, Note, Sent, What};
use crate::silence::Silence;

/// What happened since the driver asked last; nothing while nobody is told.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    is_on: bool,
    list: Vec<Note>,
}

impl Notes {
    /// Without notes yet.
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, list: Vec::new() }
    }

    /// From now on, or no more.
    pub(super) fn switch(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    fn push(&mut self, at_ms: i64, what: impl FnOnce() -> What) {
        if self.is_on {
            self.list.push(Note { at_ms, what: what() });
        }
    }
}

impl Core {
    /// What happened since the last call, for the event recorder.
    pub(crate) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes.list)
    }

    /// The program begins, or ends.
    pub(crate) fn note_life(&mut self, what: What, now_ms: i64) {
        self.notes.push(now_ms, || what);
    }

    /// An alert that was not known.
    pub(super) fn note_created(&mut self, alert: &Arc<Alert>, now_ms: i64) {
        self.notes.push(now_ms, || What::Created(Arc::clone(alert)));
    }

    /// An alert comes to a group, or comes again.
    pub(super) fn note_grouped(&mut self, id: &GroupId, alert: &Arc<Alert>, now_ms: i64) {
        if self.notes.is_on {
            let group = self.group_info(id);
            self.notes.push(now_ms, || What::Grouped { alert: Arc::clone(alert), group });
        }
    }

    /// Alerts leave a group after their end was told.
    pub(super) fn note_ended(&mut self, id: &GroupId, ended: &[Arc<Alert>], now_ms: i64) {
        if self.notes.is_on && !ended.is_empty() {
            let group = self.group_info(id);
            for alert in ended {
                let what = || What::Resolved { alert: Arc::clone(alert), group: group.clone() };
                self.notes.push(now_ms, what);
            }
        }
    }

    /// A silence that was made, or changed.
    pub(super) fn note_silence(&mut self, silence: &Silence, is_new: bool, now_ms: i64) {
        let silence = || Box::new(silence.clone());
        self.notes.push(now_ms, || match is_new {
            true => What::SilenceMade(silence()),
            false => What::SilenceChanged(silence()),
        });
    }

    /// What a flush keeps back, and by what.
    pub(super) fn note_flush(&mut self, heard: &Heard, now_ms: i64) {
        if !self.notes.is_on {
            return;
        }
        let loud: BTreeSet<Fingerprint> = heard.loud.iter().map(|alert| alert.fingerprint).collect();
        for quiet in heard.all.iter().filter(|alert| !loud.contains(&alert.fingerprint)) {
            let labels = &quiet.alert.labels;
            let stored = |fingerprint| self.alerts.get(&fingerprint).map(|alert| &**alert);
            if let Some((rule, by)) = self.inhibitor.inhibited_with(labels, now_ms, stored) {
                let rule = rule.map(|rule| Box::new(rule.config().clone()));
                self.notes.push(now_ms, || What::Inhibited { rule, labels: labels.clone(), by });
                continue;
            }
            for id in self.silences.silencing(labels, now_ms) {
                let Some(silence) = self.silences.get(&id) else { continue };
                let what = || What::Silenced { silence: Box::new(silence.clone()), labels: labels.clone() };
                self.notes.push(now_ms, what);
            }
        }
    }

    /// A message was delivered.
    pub(super) fn note_sent(&mut self, id: JobId, now_ms: i64) {
        if !self.notes.is_on {
            return;
        }
        let Some(job) = self.jobs.get(&id) else { return };
        let notification = &job.notification;
        let said = notification.alerts.iter();
        let known = |id: &Fingerprint| self.alerts.get(id).cloned();
        let in_group = self.groups.get(&job.group).filter(|_| job.epoch == self.epoch);
        let muted = in_group.into_iter().flat_map(|group| &group.alerts).filter(|(id, alert)| {
            // What came since the flush was not kept back at it.
            let is_older = alert.updated_at_ms <= notification.now_ms;
            is_older && !job.firing.contains(id) && !job.resolved.contains(id)
        });
        let sent = Sent {
            alerts: said.map(|alert| (Arc::clone(&alert.alert), alert.is_firing)).collect(),
            firing: job.firing.iter().filter_map(known).collect(),
            resolved: job.resolved.iter().filter_map(known).collect(),
            muted: muted.map(|(_, alert)| Arc::clone(alert)).collect(),
            group: GroupInfo {
                key: notification.group_key.clone(),
                labels: notification.group_labels.clone(),
                receiver: notification.receiver.clone(),
            },
            matchers: in_group.map(|_| self.routes.matchers(job.group.route).to_vec()).unwrap_or_default(),
            repeat_interval_ms: job.repeat_interval_ms,
            reason: notification.reason,
            flush_ms: notification.now_ms,
            epoch: job.epoch,
            integration: job.integration.name,
            idx: job.integration.idx,
        };
        self.notes.push(now_ms, || What::Sent(Box::new(sent)));
    }

    fn group_info(&self, id: &GroupId) -> GroupInfo {
        GroupInfo {
            key: self.group_key(id),
            labels: id.labels.clone(),
            receiver: self.routes.get(id.route).receiver.clone(),
        }
    }
}
