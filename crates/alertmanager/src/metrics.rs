//! Metrics of the alertmanager, under upstream's names so that its dashboards and alerts work.

use std::sync::Arc;

use stdx::metrics::{Counter, Family, Gauge, Histogram, Registry};

const RELOAD_SUCCESS: &str = "alertmanager_config_last_reload_successful";
const RELOAD_TIME: &str = "alertmanager_config_last_reload_success_timestamp_seconds";

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) received: Arc<Family<Counter>>,
    pub(crate) invalid: Arc<Family<Counter>>,
    pub(crate) alerts_limited: Arc<Counter>,
    pub(crate) notifications: Arc<Family<Counter>>,
    pub(crate) failed: Arc<Family<Counter>>,
    pub(crate) requests: Arc<Family<Counter>>,
    pub(crate) requests_failed: Arc<Family<Counter>>,
    pub(crate) suppressed: Arc<Family<Counter>>,
    pub(crate) latency: Arc<Family<Histogram>>,
    pub(crate) alerts: Arc<Family<Gauge>>,
    pub(crate) silences: Arc<Family<Gauge>>,
    pub(crate) groups: Arc<Gauge>,
    pub(crate) log_entries: Arc<Gauge>,
    pub(crate) reload_success: Arc<Gauge>,
    pub(crate) reload_time: Arc<Gauge>,
    pub(crate) receivers: Arc<Gauge>,
    pub(crate) integrations: Arc<Gauge>,
    pub(crate) inhibition_rules: Arc<Gauge>,
    pub(crate) on_call: OnCall,
    pub(crate) state_bytes: Arc<Gauge>,
    pub(crate) state_failures: Arc<Counter>,
    pub(crate) state_damaged: Arc<Counter>,
    pub(crate) keeping: Keeping,
}

/// Of what is kept, asked for and written down.
#[derive(Debug)]
pub(crate) struct Keeping {
    pub(crate) snapshot_bytes: [Arc<Gauge>; 2],
    pub(crate) maintenance: [Arc<Counter>; 2],
    pub(crate) maintenance_errors: [Arc<Counter>; 2],
    pub(crate) silence_queries: Arc<Counter>,
    pub(crate) log_queries: Arc<Counter>,
    pub(crate) taking_seconds: Arc<Family<Histogram>>,
    pub(crate) silences_kept: Arc<Gauge>,
    pub(crate) config_hash: Arc<Gauge>,
    pub(crate) per_name_limit: Arc<Gauge>,
}

/// Upstream keeps silences and the notification log in two files, and has these metrics for each; here one file has both.
const FILES: [&str; 2] = ["alertmanager_silences", "alertmanager_nflog"];

impl Keeping {
    fn new(registry: &Registry) -> Self {
        let each = |name: &str, help: &'static str| {
            FILES.map(|file| registry.counter(&format!("{file}_{name}"), help))
        };
        Self {
            snapshot_bytes: FILES.map(|file| {
                registry.gauge(
                    &format!("{file}_snapshot_size_bytes"),
                    "Size of the last snapshot of the state file.",
                )
            }),
            maintenance: each("maintenance_total", "How often what is over was forgotten."),
            maintenance_errors: each("maintenance_errors_total", "Failed writes of the state file."),
            silence_queries: registry.counter(
                "alertmanager_silences_queries_total",
                "How often it was asked which silences hide an alert.",
            ),
            log_queries: registry.counter(
                "alertmanager_nflog_queries_total",
                "How often it was asked what a receiver was told last.",
            ),
            taking_seconds: registry.seconds(
                "alertmanager_dispatcher_alert_processing_duration_seconds",
                "How long taking and grouping the alerts of one request took.",
                &[],
            ),
            silences_kept: registry.gauge("alertmanager_silences_state_size", "Silences that are kept."),
            per_name_limit: registry
                .gauge("alertmanager_alerts_per_alert_limit", "Most alerts of one name; 0 for no limit."),
            config_hash: registry
                .gauge("alertmanager_config_hash", "Hash of the configuration that is loaded."),
        }
    }
}

/// Of who has alerts, and who is told when nobody has.
#[derive(Debug)]
pub(crate) struct OnCall {
    pub(crate) acknowledged: Arc<Gauge>,
    pub(crate) escalations: Arc<Counter>,
    pub(crate) flaps: Arc<Counter>,
}

impl OnCall {
    fn new(registry: &Registry) -> Self {
        Self {
            acknowledged: registry
                .gauge("hinomi_alerts_acknowledged", "Alerts that fire and that somebody has."),
            flaps: registry.counter(
                "hinomi_alert_flapping_total",
                "How often an alert was found to change its state too often, for each of its routes.",
            ),
            escalations: registry.counter(
                "hinomi_alert_escalations_total",
                "Notifications of further receivers, of alerts that nobody acknowledged in time.",
            ),
        }
    }
}

impl Metrics {
    /// Declares them in `registry`.
    pub(crate) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            keeping: Keeping::new(registry),
            received: registry.counters(
                "alertmanager_alerts_received_total",
                "Alerts received.",
                &["status", "version"],
            ),
            invalid: registry.counters(
                "alertmanager_alerts_invalid_total",
                "Alerts refused as invalid.",
                &["version"],
            ),
            alerts_limited: registry.counter(
                "alertmanager_alerts_limited_total",
                "New alerts refused because too many are kept.",
            ),
            notifications: registry.counters(
                "alertmanager_notifications_total",
                "Notifications attempted.",
                &["integration"],
            ),
            failed: registry.counters(
                "alertmanager_notifications_failed_total",
                "Notifications given up.",
                &["integration", "reason"],
            ),
            requests: registry.counters(
                "alertmanager_notification_requests_total",
                "Attempts to notify.",
                &["integration"],
            ),
            requests_failed: registry.counters(
                "alertmanager_notification_requests_failed_total",
                "Attempts to notify that failed.",
                &["integration"],
            ),
            suppressed: registry.counters(
                "alertmanager_notifications_suppressed_total",
                "Alerts kept back from notifications.",
                &["reason"],
            ),
            latency: registry.seconds(
                "alertmanager_notification_latency_seconds",
                "How long attempts to notify took.",
                &["integration"],
            ),
            alerts: registry.gauges("alertmanager_alerts", "Alerts by state.", &["state"]),
            silences: registry.gauges("alertmanager_silences", "Silences by state.", &["state"]),
            groups: registry.gauge("alertmanager_dispatcher_aggregation_groups", "Groups of alerts."),
            log_entries: registry.gauge("alertmanager_nflog_entries", "Entries of the notification log."),
            reload_success: registry
                .gauge(RELOAD_SUCCESS, "Whether the last configuration reload was successful."),
            reload_time: registry.gauge(RELOAD_TIME, "When the configuration was last reloaded."),
            receivers: registry.gauge("alertmanager_receivers", "Receivers configured."),
            integrations: registry.gauge("alertmanager_integrations", "Integrations configured."),
            inhibition_rules: registry.gauge("alertmanager_inhibition_rules", "Inhibition rules configured."),
            on_call: OnCall::new(registry),
            state_bytes: registry.gauge("alertmanager_state_file_bytes", "Size of the state file."),
            state_failures: registry
                .counter("alertmanager_state_write_failures_total", "Failed writes of the state file."),
            state_damaged: registry.counter(
                "alertmanager_state_damaged_records_total",
                "Records of the state file that could not be read.",
            ),
        };
        metrics.create_series();
        metrics
    }

    /// Series that an alert may watch exist before the first event.
    fn create_series(&self) {
        for reason in
            ["silence", "inhibition", "mute_time_interval", "active_time_interval", "ignore", "dependency"]
        {
            self.suppressed.with(&[reason]);
        }
        for status in ["firing", "resolved"] {
            self.received.with(&[status, "v2"]);
        }
        self.invalid.with(&["v2"]);
        for integration in crate::receiver::NAMES {
            self.latency.with(&[integration]);
            self.notifications.with(&[integration]);
            self.requests.with(&[integration]);
            self.requests_failed.with(&[integration]);
            for reason in
                ["other", "clientError", "serverError", "contextDeadlineExceeded", "authError", "rateLimited"]
            {
                self.failed.with(&[integration, reason]);
            }
        }
    }
}
