//! One notification on its way to one integration: attempts, waits between them, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::group::GroupId;
use crate::alert::Fingerprint;
use crate::config::Integration;
use crate::nflog::{Issued, NotifyKey};
use crate::notification::Notification;
use crate::promise::Ended;

/// First wait between attempts, its growth and its bound: those of the backoff that Alertmanager uses.
const BACKOFF_FIRST_MS: f64 = 500.0;
const BACKOFF_GROWTH: f64 = 1.5;
const BACKOFF_MAX_MS: f64 = 60_000.0;

/// Names one job for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct JobId(pub(crate) u64);

/// A notification that is not delivered yet.
#[derive(Debug)]
pub(crate) struct Job {
    /// Which configuration it belongs to.
    pub(crate) epoch: u64,
    pub(crate) group: GroupId,
    pub(crate) integration: Arc<Integration>,
    pub(crate) key: NotifyKey,
    pub(crate) notification: Arc<Notification>,
    pub(crate) firing: BTreeSet<Fingerprint>,
    pub(crate) resolved: BTreeSet<Fingerprint>,
    /// The ends that the message says, with what was known when it was sent.
    pub(super) ends: BTreeMap<Fingerprint, Ended>,
    /// What the attempt under way may tell to fire, and nobody knows of yet: since when, and which.
    pub(super) pledged: Option<(i64, BTreeSet<Fingerprint>)>,
    /// When each firing alert was issued last, once this is delivered.
    pub(crate) issued: Issued,
    pub(super) since: super::due::Since,
    pub(crate) repeat_interval_ms: i64,
    pub(crate) deadline_ms: i64,
    pub(crate) next_attempt_ms: i64,
    /// When the last attempt was started.
    pub(crate) began_ms: i64,
    pub(crate) n_attempts: u32,
    pub(crate) is_in_flight: bool,
}

impl Job {
    /// How long to wait after the last failed attempt; `id` scatters jobs that failed together, by half each way.
    pub(crate) fn backoff_ms(&self, id: JobId) -> i64 {
        let n_waits = i32::try_from(self.n_attempts.saturating_sub(1)).unwrap_or(i32::MAX);
        let wait_ms = (BACKOFF_FIRST_MS * BACKOFF_GROWTH.powi(n_waits)).min(BACKOFF_MAX_MS);
        let scattered = scatter(id.0.wrapping_mul(31).wrapping_add(u64::from(self.n_attempts)));
        (wait_ms * (0.5 + scattered)) as i64
    }
}

/// A number in 0..1 from a seed (splitmix64), the same at each run so that tests replay.
fn scatter(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
