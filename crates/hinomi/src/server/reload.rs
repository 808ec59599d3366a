//! Taking a configuration: at the start, on SIGHUP, on `POST /-/reload`.
//!
//! Everything that can fail is read and checked first; only then are the parts told, one after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use api::Command;
use stdx::metrics::{Gauge, Registry};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::alerting::Alerting;
use super::{Running, load_config};
use crate::config::Config;
use crate::flags::Values;

/// What the page says then, in Prometheus' words.
const RELOAD_FAILED: &str = "Configuration reload has failed.";

/// What dashboards, alerts and people who look at the page learn of reloading.
pub(super) struct ReloadMetrics {
    success: Arc<Gauge>,
    success_seconds: Arc<Gauge>,
    notices: Arc<api::Notices>,
}

impl ReloadMetrics {
    pub(super) fn register(registry: &Registry, notices: &Arc<api::Notices>) -> Self {
        Self {
            success: registry.gauge(
                "prometheus_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
            ),
            success_seconds: registry.gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
            ),
            notices: notices.clone(),
        }
    }
}

/// Asks for a reload whenever the configuration's files have changed, also for one that will be refused: the log then says why, once.
pub(super) struct Watch {
    path: PathBuf,
    every: Duration,
    commands: mpsc::Sender<Command>,
}

impl Watch {
    /// Looks at `path` as `--config.auto-reload-interval` says.
    ///
    /// # Errors
    /// When there is no file to look at, or the interval is under a second.
    pub(super) fn new(flags: &Values, path: Option<&Path>, commands: mpsc::Sender<Command>) -> Result<Self> {
        let Some(path) = path else {
            bail!("--config.auto-reload: give --config.file, too: there is nothing to watch")
        };
        let every = flags.positive_duration("config.auto-reload-interval")?;
        if every < Duration::from_secs(1) {
            bail!("--config.auto-reload-interval: must be at least 1s");
        }
        Ok(Self { path: path.to_owned(), every, commands })
    }

    /// Runs until aborted.
    pub(super) async fn run(self) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = None;
        loop {
            ticks.tick().await;
            let path = self.path.clone();
            let now = tokio::task::spawn_blocking(move || Config::fingerprint(&path)).await.ok();
            let before = seen.replace(now);
            if before.is_none_or(|before| before == now) {
                continue;
            }
            info!("the configuration's files have changed");
            let (reply, done) = tokio::sync::oneshot::channel();
            if self.commands.send(Command::Reload(reply)).await.is_err() {
                return;
            }
            let _ = done.await;
        }
    }
}

impl Running {
    /// Reads the file again and takes it, or keeps everything as it is.
    pub(super) async fn reload(&self, flags: &Values) -> Result<(), String> {
        let (path, is_agent) = (self.config_path.clone(), flags.is_agent());
        let loaded = tokio::task::spawn_blocking(move || load_config(path.as_deref(), is_agent)).await;
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
                self.metrics.notices.raise(RELOAD_FAILED);
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
        let tracing = self.tracer.prepare(Alerting::tracing(&prepared, &config)).context("tracing")?;
        let receivers = self.remote.prepare(&config.remote_write, &config.global.external_labels)?;
        let readers = remote::ReadThrough::prepare(&config.remote_read, &config.global.external_labels)?;
        let limits = config.storage.limits(flags)?;
        self.db.check_limits(limits).context("storage")?;
        let now_ms = self.clock.now_ms();
        self.scraping.apply_config(&config.jobs, &config.global)?;
        if let Err(err) = self.alerting.take(prepared, &config, now_ms) {
            let old = self.current.load();
            self.scraping.apply_config(&old.jobs, &old.global)?;
            let _ = self.alerting.notifier.reload(&old.alerting);
            return Err(err);
        }
        // After what may still refuse: a queue that is gone is forgotten.
        self.remote.take(receivers)?;
        self.reading.take(readers);
        self.tracer.take(tracing);
        self.db.set_limits(limits)?;
        self.own.apply(&config, &self.scraping);
        self.engine.store(Arc::new(engine));
        self.queries.take_log(query_log);
        config.warnings.iter().chain(&config.missing).for_each(|warning| warn!("{warning}"));
        let status = api::ConfigStatus {
            yaml: config.shown.clone(),
            scrape_configs: config.sections.clone(),
            reload_success: true,
            loaded_at_ms: now_ms,
            external_labels: config.global.external_labels.clone(),
            retention: crate::config::storage::shown(&limits),
        };
        self.status.store(Arc::new(status));
        self.current.store(config);
        self.metrics.success.set(1.0);
        self.metrics.notices.clear(RELOAD_FAILED);
        self.metrics.success_seconds.set(now_ms as f64 / 1_000.0);
        Ok(())
    }
}
