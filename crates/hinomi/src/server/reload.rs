//! Taking a configuration: at the start, on SIGHUP, on `POST /-/reload`.
//!
//! Everything that can fail is read and checked first; only then are the parts told, one after the other.

use std::sync::Arc;

use anyhow::Result;
use stdx::metrics::{Gauge, Registry};
use tracing::{error, info, warn};

use super::{Running, load_config};
use crate::config::Config;
use crate::flags::Values;

/// What dashboards and alerts about reloading look for.
pub(super) struct ReloadMetrics {
    success: Arc<Gauge>,
    success_seconds: Arc<Gauge>,
}

impl ReloadMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            success: registry.gauge(
                "prometheus_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
            ),
            success_seconds: registry.gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
            ),
        }
    }
}

impl Running {
    /// Reads the file again and takes it, or keeps everything as it is.
    pub(super) async fn reload(&self, flags: &Values) -> Result<(), String> {
        let path = self.config_path.clone();
        let loaded = tokio::task::spawn_blocking(move || load_config(path.as_deref())).await;
        let loaded = loaded.unwrap_or_else(|err| Err(err.into()));
        match loaded.and_then(|config| self.apply(Arc::new(config), flags)) {
            Ok(()) => {
                info!("configuration reloaded");
                Ok(())
            }
            Err(err) => {
                let why = format!("{err:#}");
                error!(error = %why, "configuration not reloaded, the old one stays");
                self.metrics.success.set(0.0);
                let old = self.status.load_full();
                self.status.store(Arc::new(api::ConfigStatus { reload_success: false, ..(*old).clone() }));
                Err(why)
            }
        }
    }

    /// Tells every part; when one of them refuses, those already told go back.
    pub(super) fn apply(&self, config: Arc<Config>, flags: &Values) -> Result<()> {
        let engine = self.queries.engine(flags, &config)?;
        let query_log = self.queries.open_log(&config, self.config_path.as_deref())?;
        let prepared = self.alerting.prepare(&config, flags, engine.clone())?;
        let now_ms = self.clock.now_ms();
        self.scraping.apply_config(&config.jobs, &config.global)?;
        if let Err(err) = self.alerting.take(prepared, &config, now_ms) {
            let old = self.current.load();
            self.scraping.apply_config(&old.jobs, &old.global)?;
            let _ = self.alerting.notifier.reload(&old.alerting);
            return Err(err);
        }
        self.own.apply(&config, &self.scraping);
        self.engine.store(Arc::new(engine));
        self.queries.take_log(query_log);
        config.warnings.iter().for_each(|warning| warn!("{warning}"));
        let status = api::ConfigStatus {
            yaml: config.shown.clone(),
            reload_success: true,
            loaded_at_ms: now_ms,
            external_labels: config.global.external_labels.clone(),
        };
        self.status.store(Arc::new(status));
        self.current.store(config);
        self.metrics.success.set(1.0);
        self.metrics.success_seconds.set(now_ms as f64 / 1_000.0);
        Ok(())
    }
}
