//! What managers say to each other, as JSON inside of a sealed envelope ([`super::seal`]).
//!
//! In from and out to the wire, and between the meshes of the simulator as it is. Records are those of the state file.

use serde::{Deserialize, Serialize};

use crate::alert::Fingerprint;
use crate::nflog::NotifyKey;
use crate::record::codec::Line;

/// Longest name or address of a manager, in bytes. From DNS: a host name and a port.
pub(super) const NAME_BYTES_MAX: usize = 260;
/// Most managers. Chosen: everybody talks to everybody, and waits grow with the position.
pub(crate) const PEERS_MAX: usize = 32;

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// What positions are sorted by.
    pub(crate) name: String,
    /// Where it can be reached: `host:port`.
    pub(crate) address: String,
    /// Which life of it, later ones greater.
    pub(crate) incarnation: u64,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    pub(crate) from: Identity,
    /// The incarnation of the receiver that the sender knows: what was said to an earlier life does not count.
    pub(crate) echo: Option<u64>,
    /// Counts what one life said to another, from 1; 0 before they know each other.
    pub(crate) seq: u64,
    pub(crate) body: Body,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Body {
    /// Are you there? `to` is the address as it was called.
    Ping {
        to: String,
        nonce: u64,
        /// Addresses of the managers that the sender hears.
        members: Vec<String>,
        /// Sum over all shared records, now and then.
        digest: Option<u64>,
    },
    /// Yes.
    Pong { to: String, nonce: u64 },
    /// New records, the sender's own and those it heard of. Said again until it is acknowledged.
    Delta { id: u64, records: Vec<Line>, relayed: Vec<Line> },
    /// A delta has arrived.
    Ack { id: u64 },
    /// What do you know, from `after` on?
    Pull { page: u64, after: Option<Cursor> },
    /// That much, and where to go on.
    Page { page: u64, records: Vec<Line>, next: Option<Cursor> },
    /// Goodbye.
    Leave {},
}

impl Body {
    /// For the metric: upstream's two kinds.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Pull { .. } | Self::Page { .. } => "full_state",
            _ => "update",
        }
    }
}

/// A place among all shared records: maintenance windows, silences, then the notification log, then promises, then
/// acknowledgements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Cursor {
    Maintenance(String),
    Silence(String),
    Notified(NotifyKey),
    Promised(NotifyKey),
    Acked(Fingerprint),
}

/// Reads what was in an envelope; `None` when it is no message.
pub(crate) fn read(bytes: &[u8]) -> Option<Message> {
    let message: Message = serde_json::from_slice(bytes).ok()?;
    let is_named = |text: &str| !text.is_empty() && text.len() <= NAME_BYTES_MAX;
    let is_good = is_named(&message.from.name) && is_named(&message.from.address);
    let members = match &message.body {
        Body::Ping { to, members, .. } => {
            if members.len() > PEERS_MAX || to.len() > NAME_BYTES_MAX {
                return None;
            }
            members.as_slice()
        }
        _ => &[],
    };
    (is_good && members.iter().all(|text| is_named(text))).then_some(message)
}

/// The bytes for an envelope.
pub(crate) fn write(message: &Message) -> Vec<u8> {
    serde_json::to_vec(message).expect("texts, numbers and maps of texts always serialise")
}
