//! Metrics of rules and of the notifier, under Prometheus' names, since dashboards and alerts know them.

use std::sync::Arc;

use stdx::metrics::{Counter, Family, Gauge, Histogram, Registry};

/// Metrics of rule evaluation. Groups are told apart by `file;name`, as in Prometheus.
#[derive(Debug, Clone)]
pub(crate) struct RuleMetrics {
    pub(crate) evaluations: Arc<Family<Counter>>,
    pub(crate) failures: Arc<Family<Counter>>,
    pub(crate) evaluation_seconds: Arc<Family<Histogram>>,
    pub(crate) iterations: Arc<Family<Counter>>,
    pub(crate) iterations_missed: Arc<Family<Counter>>,
    pub(crate) group_interval: Arc<Family<Gauge>>,
    pub(crate) group_rules: Arc<Family<Gauge>>,
    pub(crate) group_samples: Arc<Family<Gauge>>,
    pub(crate) group_last_evaluation: Arc<Family<Gauge>>,
    pub(crate) group_last_duration: Arc<Family<Gauge>>,
    pub(crate) samples_refused: Arc<Counter>,
}

const GROUP: &[&str] = &["rule_group"];

impl RuleMetrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            evaluations: registry.counters("prometheus_rule_evaluations_total", "Rules evaluated.", GROUP),
            failures: registry.counters("prometheus_rule_evaluation_failures_total", "Rule evaluations that failed.", GROUP),
            evaluation_seconds: registry.seconds("prometheus_rule_evaluation_duration_seconds", "How long one rule took.", &[]),
            iterations: registry.counters("prometheus_rule_group_iterations_total", "Evaluations of a group that were due, missed ones included.", GROUP),
            iterations_missed: registry.counters("prometheus_rule_group_iterations_missed_total", "Evaluations of a group left out because the one before took too long.", GROUP),
            group_interval: registry.gauges("prometheus_rule_group_interval_seconds", "How often a group is evaluated.", GROUP),
            group_rules: registry.gauges("prometheus_rule_group_rules", "How many rules a group has.", GROUP),
            group_samples: registry.gauges("prometheus_rule_group_last_evaluation_samples", "Samples the last evaluation of a group gave.", GROUP),
            group_last_evaluation: registry.gauges("prometheus_rule_group_last_evaluation_timestamp_seconds", "When a group was last evaluated.", GROUP),
            group_last_duration: registry.gauges("prometheus_rule_group_last_duration_seconds", "How long the last evaluation of a group took.", GROUP),
            samples_refused: registry.counter("hinomi_rules_samples_refused_total", "Results of rules that the store refused: out of order, duplicate, too old or over its series limit."),
        }
    }

    /// Forgets a group that went away.
    pub(crate) fn remove_group(&self, key: &str) {
        for counters in [&self.evaluations, &self.failures, &self.iterations, &self.iterations_missed] {
            counters.remove(&[key]);
        }
        let gauges = [
            &self.group_interval,
            &self.group_rules,
            &self.group_samples,
            &self.group_last_evaluation,
            &self.group_last_duration,
        ];
        for gauge in gauges {
            gauge.remove(&[key]);
        }
    }
}

/// Metrics of notifications, by Alertmanager.
#[derive(Debug, Clone)]
pub(crate) struct NotifierMetrics {
    pub(crate) sent: Arc<Family<Counter>>,
    pub(crate) errors: Arc<Family<Counter>>,
    pub(crate) dropped: Arc<Family<Counter>>,
    pub(crate) queue_length: Arc<Family<Gauge>>,
    pub(crate) queue_capacity: Arc<Gauge>,
    pub(crate) alertmanagers: Arc<Gauge>,
    pub(crate) latency: Arc<Family<Histogram>>,
}

const ALERTMANAGER: &[&str] = &["alertmanager"];

impl NotifierMetrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            sent: registry.counters(
                "prometheus_notifications_sent_total",
                "Alerts that an Alertmanager took.",
                ALERTMANAGER,
            ),
            errors: registry.counters(
                "prometheus_notifications_errors_total",
                "Alerts in attempts that failed; they are tried again unless the Alertmanager refused them.",
                ALERTMANAGER,
            ),
            dropped: registry.counters(
                "prometheus_notifications_dropped_total",
                "Alerts never delivered: the queue was full, or the Alertmanager refused them.",
                ALERTMANAGER,
            ),
            queue_length: registry.gauges(
                "prometheus_notifications_queue_length",
                "Alerts waiting.",
                ALERTMANAGER,
            ),
            queue_capacity: registry.gauge(
                "prometheus_notifications_queue_capacity",
                "Alerts that may wait for one Alertmanager (--alertmanager.notification-queue-capacity).",
            ),
            alertmanagers: registry.gauge(
                "prometheus_notifications_alertmanagers_discovered",
                "Alertmanagers that alerts are sent to.",
            ),
            latency: registry.seconds(
                "prometheus_notifications_latency_seconds",
                "How long one request to an Alertmanager took.",
                ALERTMANAGER,
            ),
        }
    }
}
