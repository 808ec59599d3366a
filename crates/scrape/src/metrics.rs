//! What scraping counts about itself. Prometheus' names, with `scrape_` where it says `prometheus_target_`; docs/user/scraping.md lists them.

use std::sync::Arc;

use stdx::metrics::{Counter, Family, Gauge, Histogram, Registry};

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
    pub(crate) pool_targets: Arc<Family<Gauge>>,
    pub(crate) sync_failed: Arc<Family<Counter>>,
    pub(crate) duration: Arc<Family<Histogram>>,
    pub(crate) ingest_duration: Arc<Family<Histogram>>,
}

impl ScrapeMetrics {
    /// Registers all of them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
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
            pool_targets: registry.gauges("scrape_pool_targets", "Active targets of each job.", &["scrape_job"]),
            sync_failed: registry.counters(
                "scrape_sync_failed_total",
                "Targets of each job whose labels do not make a target.",
                &["scrape_job"],
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
        }
    }
}
