//! What discovery counts about itself, by the names of Prometheus; docs/user/service-discovery.md lists them.

use std::sync::Arc;

use stdx::metrics::{Counter, Family, Gauge, Histogram, Registry};

/// Shared by all kinds.
#[derive(Debug)]
pub struct SdMetrics {
    pub(crate) refresh_failures: Arc<Family<Counter>>,
    pub(crate) refresh_duration: Arc<Family<Histogram>>,
    pub(crate) failed_configs: Arc<Family<Gauge>>,
    pub(crate) received_updates: Arc<Family<Counter>>,
    pub(crate) sent_updates: Arc<Family<Counter>>,
    pub(crate) discovered_targets: Arc<Family<Gauge>>,
    pub(crate) file_read_errors: Arc<Counter>,
    /// Failures of single kinds, by name of the metric: `prometheus_sd_<kind>_…failures_total`.
    pub(crate) http_failures: Arc<Counter>,
}

impl SdMetrics {
    /// Registers all of them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let refresh = &["mechanism", "config"];
        Self {
            refresh_failures: registry.counters(
                "prometheus_sd_refresh_failures_total",
                "Looks at a service that failed; the targets found before stay.",
                refresh,
            ),
            refresh_duration: registry.seconds(
                "prometheus_sd_refresh_duration_seconds",
                "Of one look at a service.",
                refresh,
            ),
            failed_configs: registry.gauges(
                "prometheus_sd_failed_configs",
                "Discovery configurations that could not be started.",
                &["name"],
            ),
            received_updates: registry.counters(
                "prometheus_sd_received_updates_total",
                "Answers of services.",
                &["name"],
            ),
            sent_updates: registry.counters(
                "prometheus_sd_updates_total",
                "Answers of services that changed something, and so went on.",
                &["name"],
            ),
            discovered_targets: registry.gauges(
                "prometheus_sd_discovered_targets",
                "Targets found, before relabelling.",
                &["name", "config"],
            ),
            file_read_errors: registry.counter(
                "prometheus_sd_file_read_errors_total",
                "Files of targets that could not be read or understood.",
            ),
            http_failures: registry
                .counter("prometheus_sd_http_failures_total", "Looks at http_sd_configs that failed."),
        }
    }
}
