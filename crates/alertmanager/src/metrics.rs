//! Metrics of the alertmanager, under upstream's names so that its dashboards and alerts work.

use std::sync::Arc;

use stdx::metrics::{Counter, Family, Gauge, Histogram, Registry};

use crate::config::{Config, Integration};
use crate::notification::Reason;

const RELOAD_SUCCESS: &str = "alertmanager_config_last_reload_successful";
const RELOAD_TIME: &str = "alertmanager_config_last_reload_success_timestamp_seconds";

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) received: Arc<Family<Counter>>,
    pub(crate) invalid: Arc<Family<Counter>>,
    alerts_limited: Arc<Family<Counter>>,
    pub(crate) deliveries: Deliveries,
    pub(crate) suppressed: Arc<Family<Counter>>,
    /// By state, and by the group's key where [`MetricDetail::group_keys`] asks for it.
    pub(crate) alerts: Arc<Family<Gauge>>,
    pub(crate) detail: MetricDetail,
    pub(crate) silences: Arc<Family<Gauge>>,
    pub(crate) groups: Arc<Gauge>,
    pub(crate) log_entries: Arc<Gauge>,
    pub(crate) reload_success: Arc<Gauge>,
    pub(crate) reload_time: Arc<Gauge>,
    pub(crate) receivers: Arc<Gauge>,
    pub(crate) integrations: Arc<Gauge>,
    pub(crate) inhibition_rules: Arc<Gauge>,
    pub(crate) cluster_enabled: Arc<Gauge>,
    pub(crate) on_call: OnCall,
    pub(crate) state_bytes: Arc<Gauge>,
    pub(crate) state_failures: Arc<Counter>,
    pub(crate) state_damaged: Arc<Counter>,
    pub(crate) keeping: Keeping,
}

/// Labels that metrics have besides the usual ones: features of Alertmanager that are off by default, since each name
/// is a series more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricDetail {
    /// Of alerts, where too many of one name were refused.
    pub alert_names: bool,
    /// Of receivers, on all that counts notifications.
    pub receiver_names: bool,
    /// Of groups, on the number of alerts.
    pub group_keys: bool,
}

/// What became of notifications, by integration, and by receiver where [`MetricDetail::receiver_names`] asks for it.
#[derive(Debug)]
pub(crate) struct Deliveries {
    has_receivers: bool,
    notifications: Arc<Family<Counter>>,
    failed: Arc<Family<Counter>>,
    requests: Arc<Family<Counter>>,
    requests_failed: Arc<Family<Counter>>,
    latency: Arc<Family<Histogram>>,
}

/// Up to how long attempts take, in seconds; the upper ones are Alertmanager's.
const LATENCY_BOUNDS: &[f64] = &[0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0];

impl Deliveries {
    fn new(registry: &Registry, has_receivers: bool) -> Self {
        let labels: &[&str] =
            if has_receivers { &["integration", "receiver_name"] } else { &["integration"] };
        let with_reason: &[&str] = if has_receivers {
            &["integration", "receiver_name", "reason"]
        } else {
            &["integration", "reason"]
        };
        Self {
            has_receivers,
            notifications: registry.counters(
                "alertmanager_notifications_total",
                "Notifications attempted.",
                labels,
            ),
            failed: registry.counters(
                "alertmanager_notifications_failed_total",
                "Notifications given up.",
                with_reason,
            ),
            requests: registry.counters(
                "alertmanager_notification_requests_total",
                "Attempts to notify.",
                labels,
            ),
            requests_failed: registry.counters(
                "alertmanager_notification_requests_failed_total",
                "Attempts to notify that failed.",
                labels,
            ),
            latency: registry.histograms(
                "alertmanager_notification_latency_seconds",
                "How long attempts to notify took.",
                labels,
                || Histogram::new(LATENCY_BOUNDS),
            ),
        }
    }

    /// Series that an alert may watch exist before the first event; those of receivers that are gone are forgotten.
    fn know(&self, config: &Config) {
        if !self.has_receivers {
            crate::receiver::NAMES.iter().for_each(|integration| self.create(&[integration]));
            return;
        }
        let integrations = config.receivers.iter().flat_map(|receiver| &receiver.integrations);
        let integrations: Vec<&Integration> = integrations.map(|integration| &**integration).collect();
        let is_there = |values: &[String]| {
            integrations.iter().any(|known| known.name == values[0] && known.receiver == values[1])
        };
        for family in [&self.notifications, &self.failed, &self.requests, &self.requests_failed] {
            family.retain(is_there);
        }
        self.latency.retain(is_there);
        integrations.iter().for_each(|integration| self.create(&self.labels(integration)));
    }

    fn create(&self, labels: &[&str]) {
        self.latency.with(labels);
        for family in [&self.notifications, &self.requests, &self.requests_failed] {
            family.with(labels);
        }
        for reason in Reason::ALL {
            self.failed.with(&[labels, &[reason.text()]].concat());
        }
    }

    fn labels<'a>(&self, of: &'a Integration) -> Vec<&'a str> {
        if self.has_receivers { vec![of.name, &of.receiver] } else { vec![of.name] }
    }

    /// A notification is to be sent.
    pub(crate) fn note_begun(&self, of: &Integration) {
        self.notifications.with(&self.labels(of)).inc();
    }

    /// A notification was given up.
    pub(crate) fn note_failed(&self, of: &Integration, reason: Reason) {
        self.failed.with(&[&self.labels(of)[..], &[reason.text()]].concat()).inc();
    }

    /// An attempt begins.
    pub(crate) fn note_request(&self, of: &Integration) {
        self.requests.with(&self.labels(of)).inc();
    }

    /// An attempt failed.
    pub(crate) fn note_request_failed(&self, of: &Integration) {
        self.requests_failed.with(&self.labels(of)).inc();
    }

    /// An attempt took so long.
    pub(crate) fn note_latency(&self, of: &Integration, seconds: f64) {
        self.latency.with(&self.labels(of)).observe(seconds);
    }
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
    /// Declares them in `registry`, with the usual labels.
    pub(crate) fn new(registry: &Registry) -> Self {
        Self::with_detail(registry, MetricDetail::default())
    }

    /// Declares them in `registry`.
    pub(crate) fn with_detail(registry: &Registry, detail: MetricDetail) -> Self {
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
            alerts_limited: registry.counters(
                "alertmanager_alerts_limited_total",
                "New alerts refused because too many are kept.",
                if detail.alert_names { &["alertname"] } else { &[] },
            ),
            deliveries: Deliveries::new(registry, detail.receiver_names),
            suppressed: registry.counters(
                "alertmanager_notifications_suppressed_total",
                "Alerts kept back from notifications.",
                &["reason"],
            ),
            alerts: registry.gauges(
                "alertmanager_alerts",
                "Alerts by state.",
                if detail.group_keys { &["state", "group_key"] } else { &["state"] },
            ),
            detail,
            silences: registry.gauges("alertmanager_silences", "Silences by state.", &["state"]),
            groups: registry.gauge("alertmanager_dispatcher_aggregation_groups", "Groups of alerts."),
            log_entries: registry.gauge("alertmanager_nflog_entries", "Entries of the notification log."),
            reload_success: registry
                .gauge(RELOAD_SUCCESS, "Whether the last configuration reload was successful."),
            reload_time: registry.gauge(RELOAD_TIME, "When the configuration was last reloaded."),
            receivers: registry.gauge("alertmanager_receivers", "Receivers configured."),
            integrations: registry.gauge("alertmanager_integrations", "Integrations configured."),
            inhibition_rules: registry.gauge("alertmanager_inhibition_rules", "Inhibition rules configured."),
            cluster_enabled: registry
                .gauge("alertmanager_cluster_enabled", "Whether this manager is one of several."),
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
        if !self.detail.alert_names {
            self.alerts_limited.with(&[]);
        }
    }

    /// A new alert of this name is not kept.
    pub(crate) fn note_limited(&self, alert_name: &str) {
        let labels: &[&str] = if self.detail.alert_names { &[alert_name] } else { &[] };
        self.alerts_limited.with(labels).inc();
    }

    /// The configuration that is at work from `now_ms` on.
    pub(crate) fn know(&self, config: &Config, now_ms: i64) {
        self.keeping.config_hash.set(f64::from(crc32c::crc32c(config.original.as_bytes())));
        self.reload_success.set(1.0);
        self.reload_time.set(now_ms as f64 / 1e3);
        self.receivers.set(config.receivers.len() as f64);
        let n_integrations: usize = config.receivers.iter().map(|receiver| receiver.integrations.len()).sum();
        self.integrations.set(n_integrations as f64);
        self.inhibition_rules.set(config.inhibit_rules.len() as f64);
        self.deliveries.know(config);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(receivers: &str) -> Config {
        let text = format!("route: {{receiver: a}}\nreceivers: {receivers}\n");
        Config::parse("a.yml", &text).expect("good")
    }

    #[test]
    fn receivers_are_told_apart_where_asked_and_forgotten_when_gone() {
        let registry = Registry::new();
        let detail = MetricDetail { receiver_names: true, alert_names: true, group_keys: true };
        let metrics = Metrics::with_detail(&registry, detail);
        let hook = "webhook_configs: [{url: 'http://h/'}]";
        let two = config(&format!("[{{name: a, {hook}}}, {{name: b, {hook}}}]"));
        metrics.know(&two, 0);
        for receiver in &two.receivers {
            metrics.deliveries.note_begun(&receiver.integrations[0]);
            metrics.deliveries.note_failed(&receiver.integrations[0], Reason::Client);
        }
        let has = |line: &str, n: u32| {
            let page = registry.render();
            let found = page.lines().any(|known| known == format!("{line} {n}"));
            assert!(found, "{line} {n} in {page}");
        };
        has("alertmanager_notifications_total{integration=\"webhook\",receiver_name=\"b\"}", 1);
        has(
            "alertmanager_notifications_failed_total{integration=\"webhook\",receiver_name=\"b\",reason=\"other\"}",
            0,
        );
        has(
            "alertmanager_notifications_failed_total{integration=\"webhook\",receiver_name=\"b\",reason=\"clientError\"}",
            1,
        );
        metrics.know(&config(&format!("[{{name: a, {hook}}}]")), 0);
        assert!(!registry.render().contains("receiver_name=\"b\""), "b is gone");
        has("alertmanager_notifications_total{integration=\"webhook\",receiver_name=\"a\"}", 1);

        assert!(!registry.render().contains("alertmanager_alerts_limited_total{"));
        metrics.note_limited("Loud");
        has("alertmanager_alerts_limited_total{alertname=\"Loud\"}", 1);
    }

    #[test]
    fn by_default_every_kind_of_receiver_has_its_series() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        metrics.know(&config("[{name: a}]"), 0);
        metrics.note_limited("Loud");
        let page = registry.render();
        assert!(page.contains("\nalertmanager_notifications_total{integration=\"jira\"} 0\n"), "{page}");
        assert!(page.contains("\nalertmanager_alerts_limited_total 1\n"), "{page}");
    }
}
