//! What the core tells the event recorder: small, sharing what is in memory anyway.

use std::sync::Arc;

use model::{Labels, Matcher};

use crate::alert::{Alert, Fingerprint};
use crate::inhibit::InhibitRuleConfig;
use crate::silence::Silence;

/// Something that happened, in the order in which it did.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) at_ms: i64,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Started {
        version: String,
        build: String,
    },
    Stopped,
    Created(Arc<Alert>),
    Grouped {
        alert: Arc<Alert>,
        group: GroupInfo,
    },
    Resolved {
        alert: Arc<Alert>,
        group: GroupInfo,
    },
    Sent(Box<Sent>),
    SilenceMade(Box<Silence>),
    SilenceChanged(Box<Silence>),
    Silenced {
        silence: Box<Silence>,
        labels: Labels,
    },
    /// By a rule; without one the alert depends on the other.
    Inhibited {
        rule: Option<Box<InhibitRuleConfig>>,
        labels: Labels,
        by: Fingerprint,
    },
}

impl What {
    /// Upstream's word, for the metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Started { .. } => "alertmanager_startup_event",
            Self::Stopped => "alertmanager_shutdown_event",
            Self::Created(_) => "alert_created",
            Self::Grouped { .. } => "alert_grouped",
            Self::Resolved { .. } => "alert_resolved",
            Self::Sent(_) => "notification",
            Self::SilenceMade(_) => "silence_created",
            Self::SilenceChanged(_) => "silence_updated",
            Self::Silenced { .. } => "silence_muted_alert",
            Self::Inhibited { .. } => "inhibition_muted_alert",
        }
    }
}

/// Which group.
#[derive(Debug, Clone)]
pub(crate) struct GroupInfo {
    pub(crate) key: String,
    pub(crate) labels: Labels,
    pub(crate) receiver: String,
}

/// A message that was delivered.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// Those that were said, each with whether it fired then.
    pub(crate) alerts: Vec<(Arc<Alert>, bool)>,
    /// All of the group that fired, ended or were kept back.
    pub(crate) firing: Vec<Arc<Alert>>,
    pub(crate) resolved: Vec<Arc<Alert>>,
    pub(crate) muted: Vec<Arc<Alert>>,
    pub(crate) group: GroupInfo,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) repeat_interval_ms: i64,
    /// As templates see it.
    pub(crate) reason: &'static str,
    /// When the group was looked at, which tells its flushes apart.
    pub(crate) flush_ms: i64,
    /// Counts configurations: a group of another one is another group.
    pub(crate) epoch: u64,
    pub(crate) integration: &'static str,
    pub(crate) idx: usize,
}
