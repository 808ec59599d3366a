//! Metrics of remote write, under Prometheus' names, since dashboards and alerts know them.

use std::sync::Arc;

use stdx::metrics::{Counter, Family, Gauge, Histogram, Registry};

use crate::request::Counts;
use crate::shape::Dropped;

const QUEUE: &[&str] = &["remote_name", "url"];

type Counters = Arc<Family<Counter>>;
type Gauges = Arc<Family<Gauge>>;

/// Of samples, histograms and exemplars.
type Help = [&'static str; 3];

const SENT: Help = ["Samples sent and taken.", "Histograms sent and taken.", "Exemplars sent and taken."];
const FAILED: Help = [
    "Samples that the receiver refused.",
    "Histograms that the receiver refused.",
    "Exemplars that the receiver refused.",
];
const RETRIED: Help = [
    "Samples sent again after a failure.",
    "Histograms sent again after a failure.",
    "Exemplars sent again after a failure.",
];
const DROPPED: Help = [
    "Samples not sent: dropped by relabelling, or too old.",
    "Histograms not sent: dropped by relabelling, or too old.",
    "Exemplars not sent: dropped by relabelling, too old, or without a sample to go with.",
];

/// A counter for each kind of sample.
#[derive(Debug)]
pub(crate) struct ByKind {
    samples: Counters,
    histograms: Counters,
    exemplars: Counters,
}

impl ByKind {
    fn register(registry: &Registry, suffix: &str, help: Help) -> Self {
        let [samples, histograms, exemplars] = ["samples", "histograms", "exemplars"]
            .map(|kind| format!("prometheus_remote_storage_{kind}_{suffix}total"));
        Self {
            samples: registry.counters(&samples, help[0], QUEUE),
            histograms: registry.counters(&histograms, help[1], QUEUE),
            exemplars: registry.counters(&exemplars, help[2], QUEUE),
        }
    }

    pub(crate) fn add(&self, queue: &[&str], counts: Counts) {
        self.samples.with(queue).add(counts.n_samples);
        self.histograms.with(queue).add(counts.n_histograms);
        self.exemplars.with(queue).add(counts.n_exemplars);
    }

    fn remove(&self, queue: &[&str]) {
        [&self.samples, &self.histograms, &self.exemplars].iter().for_each(|family| family.remove(queue));
    }
}

/// All of them, by queue.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) sent: ByKind,
    pub(crate) failed: ByKind,
    pub(crate) retried: ByKind,
    dropped: ByKind,
    pub(crate) metadata: Counters,
    pub(crate) metadata_failed: Counters,
    pub(crate) metadata_retried: Counters,
    pub(crate) bytes: Counters,
    pub(crate) metadata_bytes: Counters,
    /// Stays zero: a queue that is full reads no further, and nothing has to be put in again.
    enqueue_retries: Counters,
    pub(crate) send_seconds: Arc<Family<Histogram>>,
    pub(crate) highest: Gauges,
    pub(crate) highest_sent: Gauges,
    pub(crate) pending: Gauges,
    pub(crate) shards: Gauges,
    pub(crate) shards_desired: Gauges,
    pub(crate) shards_max: Gauges,
    pub(crate) shards_min: Gauges,
    pub(crate) shard_capacity: Gauges,
    pub(crate) samples_max: Gauges,
    /// Of the store, as far as queues may read.
    pub(crate) horizon: Arc<Gauge>,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let name = |rest: &str| format!("prometheus_remote_storage_{rest}");
        let counters = |rest: &str, help| registry.counters(&name(rest), help, QUEUE);
        let gauges = |rest: &str, help| registry.gauges(&name(rest), help, QUEUE);
        Self {
            sent: ByKind::register(registry, "", SENT),
            failed: ByKind::register(registry, "failed_", FAILED),
            retried: ByKind::register(registry, "retried_", RETRIED),
            dropped: ByKind::register(registry, "dropped_", DROPPED),
            metadata: counters("metadata_total", "Metric families whose metadata was sent and taken."),
            metadata_failed: counters(
                "metadata_failed_total",
                "Metric families whose metadata the receiver refused.",
            ),
            metadata_retried: counters(
                "metadata_retried_total",
                "Metric families whose metadata is sent again after a failure.",
            ),
            bytes: counters("bytes_total", "Bytes of samples sent, compressed."),
            metadata_bytes: counters("metadata_bytes_total", "Bytes of metadata sent, compressed."),
            enqueue_retries: counters(
                "enqueue_retries_total",
                "Samples that a full queue did not take: none, since a full queue reads no further.",
            ),
            send_seconds: registry.seconds(
                &name("sent_batch_duration_seconds"),
                "How long one request took.",
                QUEUE,
            ),
            highest: gauges(
                "queue_highest_timestamp_seconds",
                "Up to which time there is something to send.",
            ),
            highest_sent: gauges(
                "queue_highest_sent_timestamp_seconds",
                "Up to which time everything is sent.",
            ),
            pending: gauges("samples_pending", "Samples read and not yet taken by the receiver."),
            shards: gauges("shards", "Requests that are sent at once."),
            shards_desired: gauges("shards_desired", "Requests that would be sent at once without a limit."),
            shards_max: gauges("shards_max", "Most requests at once."),
            shards_min: gauges("shards_min", "Fewest requests at once."),
            shard_capacity: gauges("shard_capacity", "Samples in memory for each shard."),
            samples_max: gauges("max_samples_per_send", "Most samples of one request."),
            horizon: registry.gauge(
                &name("highest_timestamp_in_seconds"),
                "Up to which time there is something to send, to any receiver.",
            ),
        }
    }

    pub(crate) fn drop(&self, queue: &[&str], dropped: Dropped) {
        let Dropped { n_samples, n_histograms, n_exemplars } = dropped;
        self.dropped.add(queue, Counts { n_samples, n_histograms, n_exemplars });
    }

    /// Zeros from the start, so that rate() sees the first failure.
    pub(crate) fn begin(&self, queue: &[&str]) {
        for kinds in [&self.sent, &self.failed, &self.retried, &self.dropped] {
            kinds.add(queue, Counts::default());
        }
        for counters in self.plain_counters() {
            counters.with(queue);
        }
    }

    fn plain_counters(&self) -> [&Counters; 6] {
        [
            &self.metadata,
            &self.metadata_failed,
            &self.metadata_retried,
            &self.bytes,
            &self.metadata_bytes,
            &self.enqueue_retries,
        ]
    }

    /// Forgets a queue that went away.
    pub(crate) fn remove(&self, queue: &[&str]) {
        for kinds in [&self.sent, &self.failed, &self.retried, &self.dropped] {
            kinds.remove(queue);
        }
        self.plain_counters().iter().for_each(|counters| counters.remove(queue));
        self.send_seconds.remove(queue);
        let gauges = [
            &self.highest,
            &self.highest_sent,
            &self.pending,
            &self.shards,
            &self.shards_desired,
            &self.shards_max,
            &self.shards_min,
            &self.shard_capacity,
            &self.samples_max,
        ];
        gauges.iter().for_each(|gauge| gauge.remove(queue));
    }
}
