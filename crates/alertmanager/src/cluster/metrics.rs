//! Metrics of a cluster, under upstream's names.

use std::sync::Arc;

use parking_lot::Mutex;
use stdx::metrics::{Counter, Family, Gauge, Registry};

use super::mesh::{Counts, Mesh};
use super::message::Body;
use super::seal::SealError;

/// All of them.
#[derive(Debug)]
pub(super) struct ClusterMetrics {
    members: Arc<Gauge>,
    failed: Arc<Gauge>,
    position: Arc<Gauge>,
    health: Arc<Gauge>,
    queued: Arc<Gauge>,
    pruned: Arc<Counter>,
    joined: Arc<Counter>,
    left: Arc<Counter>,
    reconnected: Arc<Counter>,
    conflicts: Arc<Counter>,
    received: Arc<Family<Counter>>,
    received_bytes: Arc<Family<Counter>>,
    sent: Arc<Family<Counter>>,
    sent_bytes: Arc<Family<Counter>>,
    refused: Arc<Family<Counter>>,
    last: Mutex<Counts>,
}

impl ClusterMetrics {
    pub(super) fn new(registry: &Registry, name: &str) -> Self {
        let info = "A constant 1, with the name of this manager.";
        registry.gauges("alertmanager_cluster_peer_info", info, &["peer"]).with(&[name]).set(1.0);
        let kinds = &["msg_type"];
        let metrics = Self {
            members: registry.gauge("alertmanager_cluster_members", "Managers that are there, this one included."),
            failed: registry.gauge("alertmanager_cluster_failed_peers", "Managers that should be there and are not."),
            position: registry
                .gauge("alertmanager_peer_position", "How many managers speak before this one."),
            health: registry
                .gauge("alertmanager_cluster_health_score", "0 when all managers are there, else how many are not."),
            queued: registry
                .gauge("alertmanager_cluster_messages_queued", "Records that wait to be told to other managers."),
            pruned: registry.counter(
                "alertmanager_cluster_messages_pruned_total",
                "Records that were not told at once since too many waited; comparing sums brings them.",
            ),
            joined: registry.counter("alertmanager_cluster_peers_joined_total", "Managers that came."),
            left: registry.counter("alertmanager_cluster_peers_left_total", "Managers that went, or fell silent."),
            reconnected: registry
                .counter("alertmanager_cluster_reconnections_total", "Managers that were silent and are back."),
            conflicts: registry.counter(
                "alertmanager_cluster_peer_name_conflicts_total",
                "Messages of another manager with the same name.",
            ),
            received: registry.counters("alertmanager_cluster_messages_received_total", "Messages received.", kinds),
            received_bytes: registry.counters(
                "alertmanager_cluster_messages_received_size_total",
                "Bytes of messages received.",
                kinds,
            ),
            sent: registry.counters("alertmanager_cluster_messages_sent_total", "Messages sent.", kinds),
            sent_bytes: registry.counters(
                "alertmanager_cluster_messages_sent_size_total",
                "Bytes of messages sent.",
                kinds,
            ),
            refused: registry.counters(
                "alertmanager_cluster_messages_refused_total",
                "Messages refused: key (sealed with another), version (not spoken here), malformed; or lost: queue.",
                &["reason"],
            ),
            last: Mutex::default(),
        };
        for kind in ["full_state", "update"] {
            for family in [&metrics.received, &metrics.received_bytes, &metrics.sent, &metrics.sent_bytes] {
                family.with(&[kind]);
            }
        }
        for reason in ["key", "version", "malformed", "queue"] {
            metrics.refused.with(&[reason]);
        }
        metrics
    }

    /// Takes over what the mesh counts.
    pub(super) fn set(&self, mesh: &Mesh) {
        self.members.set(mesh.n_members() as f64);
        self.failed.set(mesh.n_failed() as f64);
        self.health.set(mesh.n_failed() as f64);
        self.position.set(mesh.position() as f64);
        self.queued.set(mesh.n_queued() as f64);
        let mut last = self.last.lock();
        let now = mesh.counts;
        self.pruned.add(now.pruned - last.pruned);
        self.joined.add(now.joined - last.joined);
        self.left.add(now.left - last.left);
        self.reconnected.add(now.reconnected - last.reconnected);
        self.conflicts.add(now.conflicts - last.conflicts);
        *last = now;
    }

    pub(super) fn sent(&self, body: &Body, n_bytes: usize) {
        self.sent.with(&[body.kind()]).inc();
        self.sent_bytes.with(&[body.kind()]).add(n_bytes as u64);
    }

    pub(super) fn received(&self, body: &Body, n_bytes: usize) {
        self.received.with(&[body.kind()]).inc();
        self.received_bytes.with(&[body.kind()]).add(n_bytes as u64);
    }

    pub(super) fn refused(&self, err: SealError) {
        let reason = match err {
            SealError::Key => "key",
            SealError::Version(_) => "version",
            SealError::NoEnvelope | SealError::NoRandomness => "malformed",
        };
        self.refused.with(&[reason]).inc();
    }

    pub(super) fn dropped(&self) {
        self.refused.with(&["queue"]).inc();
    }
}
