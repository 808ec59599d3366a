//! What rules work on, and what the configuration says of all of them.
//!
//! In from the binary at the start and at each reload; asked by groups and by what sends alerts.

use std::sync::Arc;

use model::relabel::{self, RelabelConfig};
use model::{Alert, Labels};
use promql::Engine;
use stdx::Clock;
use storage::{Appendable, Queryable};

/// Takes alerts on their way to Alertmanagers. Must not block for long: queue, do not send.
pub trait AlertSink: Send + Sync {
    /// Takes alerts that fire or were resolved, external labels added. The same alert comes again every resend delay.
    fn send(&self, alerts: Vec<Alert>);
}

/// Several sinks as one: every alert goes to each.
impl AlertSink for Vec<Arc<dyn AlertSink>> {
    fn send(&self, alerts: Vec<Alert>) {
        if let Some((last, others)) = self.split_last() {
            for sink in others {
                sink.send(alerts.clone());
            }
            last.send(alerts);
        }
    }
}

/// What rules work on.
#[derive(Clone)]
pub struct Env {
    /// Read by expressions and templates.
    pub queryable: Arc<dyn Queryable>,
    /// Takes results.
    pub appendable: Arc<dyn Appendable>,
    /// Takes alerts.
    pub sink: Arc<dyn AlertSink>,
    /// For durations and query timeouts; when to evaluate comes in as `now_ms`.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}

/// What the configuration and flags say; may change at each reload.
#[derive(Debug, Clone)]
pub struct Options {
    /// Evaluates expressions.
    pub engine: Engine,
    /// `global.external_labels`.
    pub external_labels: Labels,
    /// `--web.external-url`, without a slash at the end.
    pub external_url: Arc<str>,
    /// `global.evaluation_interval`, milliseconds, above zero.
    pub interval_ms: i64,
    /// `global.rule_query_offset`, milliseconds.
    pub query_offset_ms: i64,
    /// `alerting.alert_relabel_configs`.
    pub alert_relabel: Vec<RelabelConfig>,
    /// `--rules.alert.for-outage-tolerance`, milliseconds.
    pub outage_tolerance_ms: i64,
    /// `--rules.alert.for-grace-period`, milliseconds.
    pub grace_period_ms: i64,
    /// `--rules.alert.resend-delay`, milliseconds.
    pub resend_delay_ms: i64,
}

impl Default for Options {
    /// Prometheus' defaults.
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            external_labels: Labels::empty(),
            external_url: Arc::from(""),
            interval_ms: 60_000,
            query_offset_ms: 0,
            alert_relabel: Vec::new(),
            outage_tolerance_ms: 3_600_000,
            grace_period_ms: 600_000,
            resend_delay_ms: 60_000,
        }
    }
}

impl Options {
    /// External labels added where the alert has none of the name, then relabelled; what is dropped is gone.
    pub(crate) fn prepared(&self, alerts: Vec<Alert>) -> Vec<Alert> {
        let prepare = |mut alert: Alert| {
            let mut labels = alert.labels.to_builder();
            for (name, value) in &self.external_labels {
                if alert.labels.get(name).is_none() {
                    labels.set(name, value);
                }
            }
            alert.labels = relabel::process(&labels.build(), &self.alert_relabel)?;
            (!alert.labels.is_empty()).then_some(alert)
        };
        alerts.into_iter().filter_map(prepare).collect()
    }
}
