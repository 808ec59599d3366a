//! Metrics of the store: our names, and Prometheus' where dashboards of the community ask for them.

use std::sync::Arc;

use stdx::metrics::{Counter, Gauge, Registry};

use crate::options::Limits;

/// Counters under our name and Prometheus'.
#[derive(Debug)]
pub(crate) struct Counters(Vec<Arc<Counter>>);

impl Counters {
    pub(crate) fn add(&self, n: u64) {
        self.0.iter().for_each(|counter| counter.add(n));
    }

    pub(crate) fn inc(&self) {
        self.add(1);
    }
}

const CLEAN_START: &str =
    "1 when the last server in this directory ended in order, 0 when it was killed or the power failed.";

/// Gauges under our name and Prometheus'.
#[derive(Debug)]
pub(crate) struct Gauges(Vec<Arc<Gauge>>);

impl Gauges {
    pub(crate) fn set(&self, value: f64) {
        self.0.iter().for_each(|gauge| gauge.set(value));
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) head_series: Gauges,
    pub(crate) head_chunks: Gauges,
    pub(crate) head_min_time_ms: Gauges,
    pub(crate) head_max_time_ms: Gauges,
    pub(crate) samples_appended: Counters,
    pub(crate) series_created: Counters,
    pub(crate) series_removed: Counters,
    pub(crate) out_of_order: Counters,
    pub(crate) out_of_bounds: Counters,
    pub(crate) series_limit: Counters,
    pub(crate) commits_failed: Counters,
    pub(crate) wal_segment: Gauges,
    pub(crate) wal_bytes: Gauges,
    pub(crate) wal_written_bytes: Counters,
    pub(crate) syncs_failed: Counters,
    pub(crate) checkpoints: Counters,
    pub(crate) checkpoints_failed: Counters,
    pub(crate) blocks: Gauges,
    pub(crate) block_bytes: Gauges,
    pub(crate) rollup_bytes: Gauges,
    pub(crate) rollup_floor_ms: Gauges,
    retention: [Arc<Gauge>; 3],
    pub(crate) compactions: Counters,
    pub(crate) compactions_failed: Counters,
    pub(crate) quarantined: Counters,
    pub(crate) clean_start: Gauges,
}

impl Metrics {
    /// Says how much is kept.
    pub(crate) fn limits(&self, limits: &Limits) {
        let values =
            [limits.retention_ms as f64 / 1_000.0, limits.retention_bytes as f64, limits.retention_percent];
        self.retention.iter().zip(values).for_each(|(gauge, value)| gauge.set(value));
    }

    /// Registers everything. `tsdb_x` is ours; where Prometheus has it, `prometheus_tsdb_x` stands beside it.
    pub(crate) fn register(registry: &Registry) -> Self {
        let both = |ours: &str, theirs: &str| [ours, theirs].map(str::to_owned);
        let gauge = |ours: &str, theirs: &str, help| {
            let names = both(ours, theirs);
            Gauges(names.iter().filter(|n| !n.is_empty()).map(|n| registry.gauge(n, help)).collect())
        };
        let counter = |ours: &str, theirs: &str, help| {
            let names = both(ours, theirs);
            Counters(names.iter().filter(|n| !n.is_empty()).map(|n| registry.counter(n, help)).collect())
        };
        let same =
            |name: &str, help| counter(&format!("tsdb_{name}"), &format!("prometheus_tsdb_{name}"), help);
        Self {
            head_series: gauge("tsdb_head_series", "prometheus_tsdb_head_series", "Series in the head."),
            head_chunks: gauge("tsdb_head_chunks", "prometheus_tsdb_head_chunks", "Chunks in the head."),
            head_min_time_ms: gauge(
                "tsdb_head_min_time_ms",
                "prometheus_tsdb_head_min_time",
                "First sample in the head, Unix milliseconds.",
            ),
            head_max_time_ms: gauge(
                "tsdb_head_max_time_ms",
                "prometheus_tsdb_head_max_time",
                "Last sample in the head, Unix milliseconds.",
            ),
            samples_appended: counter(
                "tsdb_head_samples_appended_total",
                "prometheus_tsdb_head_samples_appended_total",
                "Samples committed.",
            ),
            series_created: counter(
                "tsdb_head_series_created_total",
                "prometheus_tsdb_head_series_created_total",
                "Series that came into the head.",
            ),
            series_removed: counter(
                "tsdb_head_series_removed_total",
                "prometheus_tsdb_head_series_removed_total",
                "Series that left the head.",
            ),
            out_of_order: counter(
                "tsdb_out_of_order_samples_total",
                "prometheus_tsdb_out_of_order_samples_total",
                "Samples refused: out of order or duplicate.",
            ),
            out_of_bounds: counter(
                "tsdb_out_of_bound_samples_total",
                "prometheus_tsdb_out_of_bound_samples_total",
                "Samples refused: too old, or too far ahead.",
            ),
            series_limit: counter(
                "tsdb_series_limit_hits_total",
                "",
                "Samples refused since the series limit is reached (--storage.head.series-max).",
            ),
            clean_start: gauge("tsdb_clean_start", "prometheus_tsdb_clean_start", CLEAN_START),
            commits_failed: counter("tsdb_commits_failed_total", "", "Batches that could not be written."),
            wal_segment: gauge(
                "tsdb_wal_segment_current",
                "prometheus_tsdb_wal_segment_current",
                "Number of the WAL segment being written.",
            ),
            wal_bytes: gauge(
                "tsdb_wal_storage_size_bytes",
                "prometheus_tsdb_wal_storage_size_bytes",
                "Size of the WAL.",
            ),
            wal_written_bytes: counter("tsdb_wal_written_bytes_total", "", "Bytes written to the WAL."),
            syncs_failed: counter(
                "tsdb_wal_syncs_failed_total",
                "",
                "Times the disk failed to make the WAL durable.",
            ),
            checkpoints: counter(
                "tsdb_checkpoint_creations_total",
                "prometheus_tsdb_checkpoint_creations_total",
                "WAL checkpoints begun.",
            ),
            checkpoints_failed: counter(
                "tsdb_checkpoint_creations_failed_total",
                "prometheus_tsdb_checkpoint_creations_failed_total",
                "WAL checkpoints that failed.",
            ),
            blocks: gauge("tsdb_blocks_loaded", "prometheus_tsdb_blocks_loaded", "Blocks open."),
            rollup_bytes: gauge("tsdb_storage_rollups_bytes", "", "Size of all blocks of roll-ups."),
            rollup_floor_ms: gauge(
                "tsdb_rollups_floor_timestamp_ms",
                "",
                "Samples before this, in Unix milliseconds, are answered from roll-ups.",
            ),
            block_bytes: gauge(
                "tsdb_storage_blocks_bytes",
                "prometheus_tsdb_storage_blocks_bytes",
                "Size of all blocks.",
            ),
            retention: retention_gauges(registry),
            compactions: same("compactions_total", "Blocks written, from the head or from smaller ones."),
            compactions_failed: same("compactions_failed_total", "Blocks that could not be written."),
            quarantined: counter(
                "tsdb_quarantined_total",
                "prometheus_tsdb_reloads_failures_total",
                "Damaged files and blocks set aside.",
            ),
        }
    }
}

fn retention_gauges(registry: &Registry) -> [Arc<Gauge>; 3] {
    [
        ("prometheus_tsdb_retention_limit_seconds", "How long samples are kept; 0 for ever."),
        ("prometheus_tsdb_retention_limit_bytes", "Most bytes of blocks and log; 0 for no limit."),
        ("prometheus_tsdb_retention_limit_percentage", "The same in percent of the disk's size."),
    ]
    .map(|(name, help)| registry.gauge(name, help))
}
