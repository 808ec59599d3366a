//! The words between the core, which decides what is said to whom, and the notifier, which says it.
//!
//! A [`Notification`] goes out, an [`Outcome`] comes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;

use crate::alert::{Alert, Fingerprint};

/// Notes of a receiver about its last message, by its own names.
pub(crate) type ReceiverData = BTreeMap<String, String>;

/// An alert as it was at the moment of a flush.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) alert: Arc<Alert>,
    /// Fixed at the flush, so that an alert does not resolve while its message is being sent.
    pub(crate) is_firing: bool,
    /// Whether it flapped on its route at that moment, and counts as firing for that.
    pub(crate) is_flapping: bool,
}

/// One message: what is said to one receiver about one group.
#[derive(Debug, Clone)]
pub(crate) struct Notification {
    pub(crate) receiver: String,
    pub(crate) group_key: String,
    pub(crate) group_labels: Labels,
    /// Templates, filled in for each message.
    pub(crate) route_labels: BTreeMap<String, String>,
    /// Upstream's words for why it is sent.
    pub(crate) reason: &'static str,
    /// By job, instance, labels.
    pub(crate) alerts: Vec<Snapshot>,
    /// Whether others of the group fire of which this says nothing.
    pub(crate) others_fire: bool,
    /// What the receiver noted at the message before, about the same alerts.
    pub(crate) data: ReceiverData,
    /// When it was decided; what templates see as now.
    pub(crate) now_ms: i64,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Delivered; what the receiver wants remembered with it.
    Delivered(ReceiverData),
    /// Not delivered; another attempt may help or not.
    Failed {
        /// Whether to try again.
        is_retryable: bool,
        /// For the metric.
        reason: Reason,
        /// For the log.
        message: String,
        /// How long the receiver asks to be left alone, in milliseconds.
        wait_ms: i64,
    },
}

impl Outcome {
    /// Delivered, and nothing to remember.
    #[cfg(test)]
    pub(crate) fn delivered() -> Self {
        Self::Delivered(ReceiverData::new())
    }
}

/// Why an attempt failed, in the words of the `reason` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Other,
    Client,
    Server,
    Deadline,
    Auth,
    RateLimited,
}

impl Reason {
    pub(crate) const ALL: [Self; 6] =
        [Self::Other, Self::Client, Self::Server, Self::Deadline, Self::Auth, Self::RateLimited];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Client => "clientError",
            Self::Server => "serverError",
            Self::Deadline => "contextDeadlineExceeded",
            Self::Auth => "authError",
            Self::RateLimited => "rateLimited",
        }
    }
}
