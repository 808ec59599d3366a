//! The one door to a running alertmanager: alerts in, configuration in, API answers out.

use std::sync::Arc;

use model::{Labels, Measured};

use crate::alert::{Alert, ZERO_TIME_MS};
use crate::config::{Config, ConfigError};
use crate::dispatch::Refused;
use crate::driver::Shared;
use crate::events::NewOutputs;
use crate::notify::Notifier;

/// A running alertmanager. Cheap to clone; all clones are the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

/// A report as it came in; `None` is «not said».
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) starts_at_ms: Option<i64>,
    pub(crate) ends_at_ms: Option<i64>,
    pub(crate) generator_url: String,
    pub(crate) measured: Option<Measured>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Takes alerts from rules. An end of Go's zero time means «not said»: such an alert ends after `resolve_timeout`
    /// unless it is sent again. Returns at once; what is refused because too many are kept is counted and logged.
    pub fn put_alerts(&self, alerts: Vec<model::Alert>) {
        let said = |at_ms: i64| (at_ms != ZERO_TIME_MS).then_some(at_ms);
        let incoming = alerts.into_iter().map(|alert| Incoming {
            starts_at_ms: said(alert.starts_at_ms),
            ends_at_ms: said(alert.ends_at_ms),
            labels: alert.labels,
            annotations: alert.annotations,
            generator_url: alert.generator_url,
            measured: alert.measured,
        });
        let refused = self.put(incoming.collect());
        for reason in refused {
            tracing::warn!(reason = %reason, "alert from a rule refused");
        }
    }

    /// Takes reports; returns why some were refused. The others are kept in any case.
    pub(crate) fn put(&self, incoming: Vec<Incoming>) -> Vec<String> {
        let metrics = Arc::clone(&self.shared.metrics);
        let began = self.shared.clock.monotonic();
        let (mut n_firing, mut n_resolved) = (0, 0);
        let refused = self.shared.change(|core, now_ms| {
            let mut refused = Vec::new();
            for report in incoming {
                let alert = complete(report, now_ms, core.config.resolve_timeout_ms);
                *(if alert.is_resolved_at(now_ms) { &mut n_resolved } else { &mut n_firing }) += 1;
                if let Err(reason) = check(&alert) {
                    metrics.invalid.with(&["v2"]).inc();
                    refused.push(reason);
                } else if core.put_alert(alert, now_ms) == Err(Refused::TooMany) {
                    refused.push(format!(
                        "more than {} alerts are kept; new ones are refused",
                        crate::ALERTS_MAX
                    ));
                }
            }
            refused
        });
        metrics.received.with(&["firing", "v2"]).add(n_firing);
        metrics.received.with(&["resolved", "v2"]).add(n_resolved);
        let took = self.shared.clock.monotonic().saturating_sub(began);
        metrics.keeping.taking_seconds.with(&[]).observe(took.as_secs_f64());
        refused
    }

    /// Takes a new configuration, or keeps the old one as a whole. Nothing is sent twice because of it.
    ///
    /// # Errors
    /// When a template or a certificate of the new one is not usable.
    pub fn reload(&self, config: Config) -> Result<(), ConfigError> {
        let shared = &self.shared;
        if let Err(err) = config.require_samples(shared.samples.is_some()) {
            self.reload_failed();
            return Err(err);
        }
        let notifier = match Notifier::new(&config, &shared.external_url, Arc::clone(&shared.files)) {
            Ok(notifier) => notifier,
            Err(err) => {
                self.reload_failed();
                return Err(err);
            }
        };
        let outputs = match NewOutputs::new(&config.events) {
            Ok(outputs) => outputs,
            Err(err) => {
                self.reload_failed();
                return Err(err);
            }
        };
        let config = Arc::new(config);
        shared.change(|core, now_ms| {
            // Under the core's lock, so that no action of one configuration meets the notifier of another.
            *shared.notifier.write() = Arc::new(notifier);
            shared.metrics.know(&config, now_ms);
            core.reload(config, now_ms);
        });
        shared.events.apply(outputs);
        Ok(())
    }

    /// Shows in the metrics that a configuration was refused, for callers that read the file themselves.
    pub fn reload_failed(&self) {
        self.shared.metrics.reload_success.set(0.0);
    }

    /// How many attempts to notify are under way.
    #[must_use]
    pub fn n_in_flight(&self) -> usize {
        self.shared.look(|core, _| core.n_in_flight())
    }

    /// Stops: attempts under way get three seconds, then everything is written down. Later calls return at once.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        let task = self.shared.task.lock().take();
        if let Some(task) = task
            && let Err(err) = task.await
        {
            tracing::error!(error = %err, "the alertmanager's task broke off");
        }
    }
}

/// Fills in what was not said, as Alertmanager does.
fn complete(report: Incoming, now_ms: i64, resolve_timeout_ms: i64) -> Alert {
    let starts_at_ms =
        report.starts_at_ms.unwrap_or_else(|| report.ends_at_ms.map_or(now_ms, |end| end.min(now_ms)));
    Alert {
        starts_at_ms,
        ends_at_ms: report.ends_at_ms.unwrap_or_else(|| now_ms.saturating_add(resolve_timeout_ms)),
        is_timeout: report.ends_at_ms.is_none(),
        labels: report.labels,
        annotations: report.annotations,
        generator_url: report.generator_url,
        updated_at_ms: now_ms,
        measured: report.measured,
    }
}

/// Upstream's checks, in its words.
fn check(alert: &Alert) -> Result<(), String> {
    if alert.ends_at_ms < alert.starts_at_ms {
        return Err("start time must be before end time".to_owned());
    }
    if alert.labels.is_empty() { Err("at least one label pair required".to_owned()) } else { Ok(()) }
}
