//! What scraping counts about itself. What Prometheus counts too stands under its name besides; docs/user/scraping.md lists them.

use std::sync::Arc;
use std::time::Duration;

use stdx::metrics::{Counter, Family, Gauge, Histogram, Registry};

use crate::ingest::ScrapeCache;

/// Prometheus' names, and ours for the same.
const ALSO: &[(&str, &str)] = &[
    ("prometheus_target_scrapes_exceeded_body_size_limit_total", "scrape_exceeded_body_size_limit_total"),
    ("prometheus_target_scrapes_exceeded_sample_limit_total", "scrape_exceeded_sample_limit_total"),
    (
        "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
        "scrape_exceeded_native_histogram_bucket_limit_total",
    ),
    ("prometheus_target_scrape_pool_exceeded_label_limits_total", "scrape_pool_exceeded_label_limits_total"),
    ("prometheus_target_scrape_pool_exceeded_target_limit_total", "scrape_pool_exceeded_target_limit_total"),
    (
        "prometheus_target_scrapes_sample_duplicate_timestamp_total",
        "scrape_samples_duplicate_timestamp_total",
    ),
    ("prometheus_target_scrapes_sample_out_of_order_total", "scrape_samples_out_of_order_total"),
    ("prometheus_target_scrapes_sample_out_of_bounds_total", "scrape_samples_out_of_bounds_total"),
    ("prometheus_target_scrape_pool_targets", "scrape_pool_targets"),
    ("prometheus_target_sync_failed_total", "scrape_sync_failed_total"),
];

/// Counters shared by all pools.
#[derive(Debug)]
pub struct ScrapeMetrics {
    pub(crate) body_size_limit: Arc<Counter>,
    pub(crate) sample_limit: Arc<Counter>,
    pub(crate) bucket_limit: Arc<Counter>,
    pub(crate) label_limits: Arc<Counter>,
    pub(crate) target_limit: Arc<Counter>,
    pub(crate) duplicates: Arc<Counter>,
    pub(crate) out_of_order: Arc<Counter>,
    pub(crate) out_of_bounds: Arc<Counter>,
    pub(crate) series_limit: Arc<Counter>,
    pub(crate) samples: Arc<Counter>,
    pub(crate) scrapes: Arc<Family<Counter>>,
    pub(crate) missed: Arc<Counter>,
    pub(crate) commit_failures: Arc<Counter>,
    pub(crate) pools: Pools,
    intervals: Arc<Family<Histogram>>,
    pub(crate) duration: Arc<Family<Histogram>>,
    pub(crate) ingest_duration: Arc<Family<Histogram>>,
}

impl ScrapeMetrics {
    /// Registers all of them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let metrics = Self {
            body_size_limit: registry.counter(
                "scrape_exceeded_body_size_limit_total",
                "Scrapes that failed since the body was larger than body_size_limit.",
            ),
            sample_limit: registry.counter(
                "scrape_exceeded_sample_limit_total",
                "Scrapes that failed since there were more samples than sample_limit.",
            ),
            bucket_limit: registry.counter(
                "scrape_exceeded_native_histogram_bucket_limit_total",
                "Scrapes that failed since a native histogram had more buckets than native_histogram_bucket_limit.",
            ),
            label_limits: registry.counter(
                "scrape_pool_exceeded_label_limits_total",
                "Scrapes that failed since label_limit, label_name_length_limit or label_value_length_limit was hit.",
            ),
            target_limit: registry.counter(
                "scrape_pool_exceeded_target_limit_total",
                "Times that a job had more targets than target_limit.",
            ),
            duplicates: registry.counter(
                "scrape_samples_duplicate_timestamp_total",
                "Samples refused since their series had another value at the same time.",
            ),
            out_of_order: registry.counter(
                "scrape_samples_out_of_order_total",
                "Samples refused since their series had a newer one.",
            ),
            out_of_bounds: registry.counter(
                "scrape_samples_out_of_bounds_total",
                "Samples refused since their time was too old, or too far in the future.",
            ),
            series_limit: registry.counter(
                "scrape_samples_over_series_limit_total",
                "Samples refused since the store takes no more new series.",
            ),
            samples: registry.counter("scrape_samples_appended_total", "Samples stored by scrapes."),
            scrapes: registry.counters("scrape_scrapes_total", "Scrapes by result.", &["result"]),
            missed: registry.counter(
                "scrape_missed_total",
                "Scrapes left out since the one before took longer than the interval.",
            ),
            commit_failures: registry.counter(
                "scrape_commit_failures_total",
                "Scrapes lost since the store could not write them.",
            ),
            pools: Pools::new(registry),
            intervals: registry.seconds(
                "prometheus_target_interval_length_seconds",
                "Between the starts of two scrapes of a target, by the interval that was asked for.",
                &["interval"],
            ),
            duration: registry.seconds(
                "scrape_request_duration_seconds",
                "From the start of a scrape to its stored samples.",
                &[],
            ),
            ingest_duration: registry.seconds(
                "scrape_ingest_duration_seconds",
                "Of that, decompressing, parsing and storing.",
                &[],
            ),
        };
        ALSO.iter().for_each(|(theirs, ours)| registry.also(theirs, ours));
        metrics
    }

    /// For the scrapes of a target that are due so often.
    pub(crate) fn intervals(&self, interval: model::Duration) -> Intervals {
        Intervals { lengths: self.intervals.with(&[&interval.to_string()]), last: None }
    }
}

/// Of jobs and their targets.
#[derive(Debug)]
pub(crate) struct Pools {
    pub(crate) targets: Arc<Family<Gauge>>,
    pub(crate) sync_failed: Arc<Family<Counter>>,
    syncs: Arc<Family<Counter>>,
    sync_seconds: Arc<Family<Histogram>>,
    pub(crate) begun: Arc<Counter>,
    pub(crate) reloads: Arc<Counter>,
    metadata_entries: Arc<Family<Gauge>>,
    metadata_bytes: Arc<Family<Gauge>>,
}

impl Pools {
    fn new(registry: &Registry) -> Self {
        Self {
            targets: registry.gauges("scrape_pool_targets", "Active targets of each job.", &["scrape_job"]),
            sync_failed: registry.counters(
                "scrape_sync_failed_total",
                "Targets of each job whose labels do not make a target.",
                &["scrape_job"],
            ),
            syncs: registry.counters(
                "prometheus_target_scrape_pool_sync_total",
                "Times that the targets of each job were brought in line with discovery.",
                &["scrape_job"],
            ),
            sync_seconds: registry.seconds(
                "prometheus_target_sync_length_seconds",
                "How long that took.",
                &["scrape_job"],
            ),
            begun: registry.counter("prometheus_target_scrape_pools_total", "Jobs that were begun."),
            reloads: registry.counter(
                "prometheus_target_scrape_pool_reloads_total",
                "Jobs whose settings a reload changed.",
            ),
            metadata_entries: registry.gauges(
                "prometheus_target_metadata_cache_entries",
                "Metric families that the targets of each job told of.",
                &["scrape_job"],
            ),
            metadata_bytes: registry.gauges(
                "prometheus_target_metadata_cache_bytes",
                "Bytes of their types, units and help texts.",
                &["scrape_job"],
            ),
        }
    }

    /// A look at what discovery says of a job took so long.
    pub(crate) fn synced(&self, job: &str, took: Duration) {
        self.syncs.with(&[job]).inc();
        self.sync_seconds.with(&[job]).observe(took.as_secs_f64());
    }

    /// For one more target of a job.
    pub(crate) fn told(&self, job: &str) -> ToldMetadata {
        ToldMetadata {
            entries: self.metadata_entries.with(&[job]),
            bytes: self.metadata_bytes.with(&[job]),
            shape: (0, 0),
            size: (0, 0),
        }
    }

    /// Forgets a job.
    pub(crate) fn forget(&self, job: &str) {
        self.targets.remove(&[job]);
        self.sync_failed.remove(&[job]);
        self.syncs.remove(&[job]);
        self.sync_seconds.remove(&[job]);
        self.metadata_entries.remove(&[job]);
        self.metadata_bytes.remove(&[job]);
    }
}

/// The share of one target in what is counted of its job's metadata; taken back when the target is gone.
#[derive(Debug)]
pub(crate) struct ToldMetadata {
    entries: Arc<Gauge>,
    bytes: Arc<Gauge>,
    shape: (usize, usize),
    size: (usize, usize),
}

impl ToldMetadata {
    /// After a scrape. Counts only when families came or went.
    pub(crate) fn tell(&mut self, cache: &ScrapeCache) {
        let shape = cache.metadata_shape();
        if shape != self.shape {
            self.shape = shape;
            self.set(cache.metadata_size());
        }
    }

    fn set(&mut self, size: (usize, usize)) {
        self.entries.add(size.0 as f64 - self.size.0 as f64);
        self.bytes.add(size.1 as f64 - self.size.1 as f64);
        self.size = size;
    }
}

impl Drop for ToldMetadata {
    fn drop(&mut self) {
        self.set((0, 0));
    }
}

/// How long it really is from scrape to scrape of one target.
#[derive(Debug)]
pub(crate) struct Intervals {
    lengths: Arc<Histogram>,
    last: Option<Duration>,
}

impl Intervals {
    /// A scrape starts, by a clock that only goes forward.
    pub(crate) fn note(&mut self, now: Duration) {
        if let Some(last) = self.last.replace(now) {
            self.lengths.observe(now.saturating_sub(last).as_secs_f64());
        }
    }
}
