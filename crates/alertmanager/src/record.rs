//! What is kept and shared of what happened: one [`Record`] each, and its line of JSON.
//!
//! Out of the core as its journal; in `state` appended to the file, in `cluster` sent to the other managers.

pub(crate) mod codec;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Measured;

use crate::ack::Ack;
use crate::alert::{Alert, Fingerprint};
use crate::escalate::Pause;
use crate::flap::Changes;
use crate::maintenance::WindowRecord;
use crate::nflog::{Entry, NotifyKey};
use crate::promise::Promised;
use crate::silence::Silence;
use crate::watch::Watch;

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) enum Record {
    Alert(Arc<Alert>),
    /// A known alert was reported again and nothing but its times changed.
    Renewed {
        fingerprint: Fingerprint,
        ends_at_ms: i64,
        updated_at_ms: i64,
        is_timeout: bool,
        measured: Option<Measured>,
    },
    AlertGone(Fingerprint),
    Silence(Silence),
    SilenceGone(String),
    Notified(NotifyKey, Entry),
    NotifiedGone(NotifyKey),
    Promised(Promised),
    /// Ends that are about to be told, and may have been when nothing else is said; none when it is known that they were not.
    Doubted(NotifyKey, BTreeSet<Fingerprint>),
    /// It is about to be told. Said to other managers, and not kept.
    Claimed(NotifyKey),
    Watched(Fingerprint, Watch),
    WatchGone(Fingerprint),
    Maintenance(WindowRecord),
    MaintenanceGone(String),
    Acked(Fingerprint, Ack),
    AckGone(Fingerprint),
    /// The group's key, the alert, its clock.
    Paused(String, Fingerprint, Pause),
    Flapped(Fingerprint, Changes),
    FlapGone(Fingerprint),
    Alive(i64),
}
