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
    pub(crate) last_update: Arc<Family<Gauge>>,
    pub(crate) file_read_errors: Arc<Counter>,
    /// Of single kinds.
    pub(crate) kinds: KindMetrics,
}

/// What single kinds count.
#[derive(Debug)]
pub struct KindMetrics {
    pub(crate) azure_failures: Arc<Counter>,
    pub(crate) consul_failures: Arc<Counter>,
    pub(crate) consul_duration: Arc<Family<Histogram>>,
    pub(crate) dns_lookups: Arc<Counter>,
    pub(crate) dns_lookup_failures: Arc<Counter>,
    pub(crate) http_failures: Arc<Counter>,
    pub(crate) kubernetes_events: Arc<Family<Counter>>,
    pub(crate) kubernetes_failures: Arc<Counter>,
    pub(crate) kuma_failures: Arc<Counter>,
    pub(crate) kuma_skipped: Arc<Counter>,
    pub(crate) linode_failures: Arc<Counter>,
    pub(crate) nomad_failures: Arc<Counter>,
    pub(crate) zookeeper_failures: Arc<Counter>,
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
            last_update: registry.gauges(
                "prometheus_sd_last_update_timestamp_seconds",
                "When targets last went on, Unix seconds.",
                &["name"],
            ),
            file_read_errors: registry.counter(
                "prometheus_sd_file_read_errors_total",
                "Files of targets that could not be read or understood.",
            ),
            kinds: KindMetrics::new(registry),
        }
    }
}

impl KindMetrics {
    fn new(registry: &Registry) -> Self {
        Self {
            consul_failures: registry
                .counter("prometheus_sd_consul_rpc_failures_total", "Questions to Consul that failed."),
            consul_duration: registry.seconds(
                "prometheus_sd_consul_rpc_duration_seconds",
                "Of a question to Consul, waiting for a change included.",
                &["endpoint", "call"],
            ),
            dns_lookups: registry.counter("prometheus_sd_dns_lookups_total", "Names looked up."),
            dns_lookup_failures: registry
                .counter("prometheus_sd_dns_lookup_failures_total", "Names that could not be looked up."),
            kubernetes_events: registry.counters(
                "prometheus_sd_kubernetes_events_total",
                "Changes that the Kubernetes API told of.",
                &["role", "event"],
            ),
            kubernetes_failures: registry.counter(
                "prometheus_sd_kubernetes_failures_total",
                "Lists and watches of the Kubernetes API that failed.",
            ),
            kuma_failures: registry
                .counter("prometheus_sd_kuma_fetch_failures_total", "Questions to Kuma that failed."),
            kuma_skipped: registry.counter(
                "prometheus_sd_kuma_fetch_skipped_updates_total",
                "Questions to Kuma after which nothing had changed.",
            ),
            zookeeper_failures: registry.counter(
                "prometheus_treecache_zookeeper_failures_total",
                "Sessions with ZooKeeper that failed.",
            ),
            nomad_failures: registry
                .counter("prometheus_sd_nomad_failures_total", "Looks at nomad_sd_configs that failed."),
            http_failures: registry
                .counter("prometheus_sd_http_failures_total", "Looks at http_sd_configs that failed."),
            azure_failures: registry
                .counter("prometheus_sd_azure_failures_total", "Looks at azure_sd_configs that failed."),
            linode_failures: registry
                .counter("prometheus_sd_linode_failures_total", "Looks at linode_sd_configs that failed."),
        }
    }
}
