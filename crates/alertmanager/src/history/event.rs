//! Events as the core makes them: small, sharing what is in memory anyway, so that making one costs next to nothing.

use std::sync::Arc;

use model::Labels;
use serde::{Deserialize, Serialize};

use super::codec::{EventLine, map};
use crate::alert::{Alert, Fingerprint};
use crate::maintenance::WINDOW_NAME;
use crate::notification::Notification;
use crate::silence::Silence;

/// Most alerts that one event names of each state. Chosen: a search by label finds all but the largest groups whole.
const ALERTS_NAMED_MAX: usize = 1_000;
/// Longest error that is kept, in bytes. Chosen: twice what messages show of an answer.
const ERROR_BYTES_MAX: usize = 512;

/// What kind of thing happened; the words are those of the log and of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Firing,
    FiringAgain,
    Resolved,
    Expired,
    Silenced,
    Unsilenced,
    Inhibited,
    Uninhibited,
    DependencyHeld,
    DependencyFreed,
    Flapping,
    Stable,
    SuccessAwaited,
    HostAway,
    HostBack,
    Escalated,
    Acknowledged,
    Snoozed,
    GivenBack,
    Muted,
    Unmuted,
    SilenceMade,
    SilenceChanged,
    SilenceEnded,
    MaintenanceBegun,
    MaintenanceChanged,
    MaintenanceEnded,
    Sent,
    Retry,
    Failed,
    Dropped,
}

impl Kind {
    /// All of them, in the order of the documentation.
    pub(crate) const ALL: [(Self, &'static str); 31] = [
        (Self::Firing, "firing"),
        (Self::FiringAgain, "firing_again"),
        (Self::Resolved, "resolved"),
        (Self::Expired, "expired"),
        (Self::Silenced, "silenced"),
        (Self::Unsilenced, "unsilenced"),
        (Self::Inhibited, "inhibited"),
        (Self::Uninhibited, "uninhibited"),
        (Self::DependencyHeld, "dependency_held"),
        (Self::DependencyFreed, "dependency_freed"),
        (Self::Flapping, "flapping"),
        (Self::Stable, "stable"),
        (Self::SuccessAwaited, "success_awaited"),
        (Self::HostAway, "host_away"),
        (Self::HostBack, "host_back"),
        (Self::Escalated, "escalated"),
        (Self::Acknowledged, "acknowledged"),
        (Self::Snoozed, "snoozed"),
        (Self::GivenBack, "given_back"),
        (Self::Muted, "muted"),
        (Self::Unmuted, "unmuted"),
        (Self::SilenceMade, "silence_made"),
        (Self::SilenceChanged, "silence_changed"),
        (Self::SilenceEnded, "silence_ended"),
        (Self::MaintenanceBegun, "maintenance_begun"),
        (Self::MaintenanceChanged, "maintenance_changed"),
        (Self::MaintenanceEnded, "maintenance_ended"),
        (Self::Sent, "sent"),
        (Self::Retry, "retry"),
        (Self::Failed, "failed"),
        (Self::Dropped, "dropped"),
    ];

    /// Their words, as a list.
    pub(crate) fn words() -> String {
        Self::ALL.map(|(_, word)| word).join(", ")
    }

    /// The kind of this word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at_ms: i64,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// An alert began, ended, or is held back or let out; `by` whom.
    Alert {
        kind: Kind,
        alert: Arc<Alert>,
        by: Vec<String>,
    },
    /// Intervals keep a group quiet, or let it speak.
    Group {
        kind: Kind,
        receiver: String,
        labels: Labels,
        by: Vec<String>,
    },
    Silence {
        kind: Kind,
        silence: Box<Silence>,
    },
    /// One attempt to deliver.
    Attempt(Box<Attempted>),
    Dropped(u64),
}

/// What an attempt came to.
#[derive(Debug, Clone)]
pub(crate) struct Attempted {
    pub(crate) kind: Kind,
    pub(crate) notification: Arc<Notification>,
    pub(crate) integration: &'static str,
    pub(crate) idx: usize,
    pub(crate) attempt: u32,
    pub(crate) took_ms: i64,
    pub(crate) reason: &'static str,
    pub(crate) error: String,
}

impl Event {
    /// The alerts it names, those that fire first; each may have to be written down.
    pub(super) fn alerts(&self) -> impl Iterator<Item = (Fingerprint, &Arc<Alert>)> {
        let own = match &self.what {
            What::Alert { alert, .. } => Some((Fingerprint::of(&alert.labels), alert)),
            _ => None,
        };
        let told = match &self.what {
            What::Attempt(attempted) => named(&attempted.notification, true)
                .chain(named(&attempted.notification, false))
                .collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        own.into_iter().chain(told)
    }

    /// As it is written.
    pub(super) fn line(&self) -> EventLine {
        match &self.what {
            What::Alert { kind, alert, by } => {
                let is_over = matches!(kind, Kind::Resolved | Kind::Expired);
                let measured = alert.measured.filter(|_| is_over);
                EventLine {
                    alerts: vec![Fingerprint::of(&alert.labels).to_string()],
                    starts: Some(alert.starts_at_ms),
                    ends: is_over.then_some(alert.ends_at_ms),
                    value: measured.and_then(|measured| measured.value).filter(|value| value.is_finite()),
                    peak: measured.map(|measured| measured.peak).filter(|peak| peak.is_finite()),
                    by: by.clone(),
                    ..EventLine::new(self.at_ms, *kind)
                }
            }
            What::Group { kind, receiver, labels, by } => EventLine {
                receiver: Some(receiver.clone()),
                group: Some(map(labels)),
                by: by.clone(),
                ..EventLine::new(self.at_ms, *kind)
            },
            What::Silence { kind, silence } => EventLine {
                id: Some(silence.id.clone()),
                matchers: silence.matchers.iter().map(ToString::to_string).collect(),
                author: Some(silence.created_by.clone()),
                comment: Some(silence.comment.clone()),
                starts: Some(silence.starts_at_ms),
                ends: Some(silence.ends_at_ms),
                by: silence.annotations.get(WINDOW_NAME).cloned().into_iter().collect(),
                ..EventLine::new(self.at_ms, *kind)
            },
            What::Attempt(attempted) => attempted.line(self.at_ms),
            What::Dropped(n) => EventLine { n: Some(*n), ..EventLine::new(self.at_ms, Kind::Dropped) },
        }
    }
}

fn named(notification: &Notification, is_firing: bool) -> impl Iterator<Item = (Fingerprint, &Arc<Alert>)> {
    let of_state = notification.alerts.iter().filter(move |alert| alert.is_firing == is_firing);
    of_state.take(ALERTS_NAMED_MAX).map(|snapshot| (snapshot.fingerprint, &snapshot.alert))
}

impl Attempted {
    fn line(&self, at_ms: i64) -> EventLine {
        let notification = &self.notification;
        let texts = |is_firing| named(notification, is_firing).map(|(id, _)| id.to_string()).collect();
        let n_firing = notification.alerts.iter().filter(|alert| alert.is_firing).count();
        let n_resolved = notification.alerts.len() - n_firing;
        let more = |n: usize| (n > ALERTS_NAMED_MAX).then_some(n as u64);
        EventLine {
            alerts: texts(true),
            resolved: texts(false),
            n_alerts: more(n_firing),
            n_resolved: more(n_resolved),
            receiver: Some(notification.receiver.clone()),
            integration: Some(self.integration.to_owned()),
            idx: Some(self.idx as u64),
            group: Some(map(&notification.group_labels)),
            reason: Some(self.reason.to_owned()),
            error: (!self.error.is_empty()).then(|| cut(&self.error).to_owned()),
            attempt: Some(self.attempt),
            took: Some(self.took_ms),
            ..EventLine::new(at_ms, self.kind)
        }
    }
}

/// As much of `text` as is kept.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(ERROR_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
