//! From rules to those who are told: the Alertmanager inside, and those of the `alerting` section.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use rules::{AlertSink, BuiltinRules, Env, Notifier, NotifierOptions};
use stdx::dir::DiskDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Base;
use super::samples::StoreSamples;
use crate::cluster;
use crate::config::{Config, beyond_language};
use crate::flags::Values;
use crate::manager::compose;

/// How long silences are kept after their end, as Alertmanager's `--data.retention`.
const SILENCE_RETENTION: model::Duration = model::Duration::from_secs(120 * 3_600);

/// How far a backfill of rules is, in the data directory.
const RULE_BACKFILL: &str = "rule-backfill";

/// Rules, the queue to other Alertmanagers, and the Alertmanager inside.
pub(super) struct Alerting {
    pub(super) rules: Arc<rules::Manager>,
    pub(super) backfills: Arc<rules::Backfills>,
    pub(super) alertmanager: alertmanager::Handle,
    pub(super) notifier: Arc<Notifier>,
    external_url: Arc<str>,
    stop_rules: CancellationToken,
    stop_notifier: CancellationToken,
    rules_task: JoinHandle<()>,
    notifier_task: JoinHandle<()>,
}

/// A checked configuration of all three, ready to be taken.
pub(super) struct Prepared {
    alertmanager: alertmanager::Config,
    groups: Vec<rules::GroupSpec>,
    options: rules::Options,
}

/// Alerts of rules go straight into the Alertmanager inside.
struct Inside(alertmanager::Handle);

impl AlertSink for Inside {
    fn send(&self, alerts: Vec<model::Alert>) {
        self.0.put_alerts(alerts);
    }
}

impl Alerting {
    /// Starts the Alertmanager, then rules without groups; [`Alerting::take`] brings those.
    pub(super) fn start(
        flags: &Values,
        config: &Config,
        data_path: &Path,
        external_url: &str,
        (db, queryable): (Arc<tsdb::Db>, Arc<remote::ReadThrough>),
        base: &Base,
    ) -> Result<Self> {
        let Base { registry, clock, discovery } = base;
        let samples = StoreSamples {
            queryable: queryable.clone(),
            clock: clock.clone(),
            engine: promql::Engine::default(),
        };
        let parts = compose::Parts {
            data_path: data_path.join("alertmanager"),
            external_url: external_url.to_owned(),
            retention: SILENCE_RETENTION,
            start_delay: model::Duration::ZERO,
            limits: compose::history_limits(flags)?,
            logs_silences: false,
            metric_detail: alertmanager::MetricDetail::default(),
            cluster: cluster::options(flags)?,
            samples: Some(Arc::new(samples)),
        };
        let alertmanager = compose::start(alertmanager_config(flags, config)?, parts, registry, clock)?;
        let queue_capacity = usize::try_from(flags.count("alertmanager.notification-queue-capacity")?)?;
        let options = NotifierOptions { queue_capacity, ..NotifierOptions::default() };
        let notifier = Arc::new(Notifier::new(options, registry, discovery.clone()));
        let sinks: Vec<Arc<dyn AlertSink>> = vec![Arc::new(Inside(alertmanager.clone())), notifier.clone()];
        let env = Env { queryable, appendable: db, sink: Arc::new(sinks), clock: clock.clone() };
        let rules = Arc::new(rules::Manager::new(env, registry));
        let (stop_rules, stop_notifier) = (CancellationToken::new(), CancellationToken::new());
        let rules_task =
            tokio::spawn(rules::driver::run_rules(rules.clone(), clock.clone(), stop_rules.clone()));
        let notifier_task =
            tokio::spawn(rules::driver::run_notifier(notifier.clone(), clock.clone(), stop_notifier.clone()));
        Ok(Self {
            backfills: Arc::new(rules::Backfills::new(rules.clone(), Some(backfill_file(data_path)))),
            rules,
            alertmanager,
            notifier,
            external_url: Arc::from(external_url),
            stop_rules,
            stop_notifier,
            rules_task,
            notifier_task,
        })
    }

    /// Checks whatever can be checked without changing anything.
    pub(super) fn prepare(
        &self,
        config: &Config,
        flags: &Values,
        engine: promql::Engine,
    ) -> Result<Prepared> {
        let alertmanager = alertmanager_config(flags, config);
        let alertmanager = alertmanager.inspect_err(|_| self.alertmanager.reload_failed())?;
        let mut groups = config.groups.clone();
        if config.own.builtin_rules {
            groups.extend(BuiltinRules::groups(&config.own.builtin_disabled));
        }
        if let Some(why) = beyond_language(&groups, engine.options().features).into_iter().next() {
            bail!(why);
        }
        let options = rules::Options {
            engine,
            external_labels: config.global.external_labels.clone(),
            external_url: self.external_url.clone(),
            interval_ms: config.global.evaluation_interval.as_ms(),
            query_offset_ms: config.global.rule_query_offset.as_ms(),
            alert_relabel: config.alerting.alert_relabel_configs.clone(),
            outage_tolerance_ms: flags.duration_ms("rules.alert.for-outage-tolerance")?,
            grace_period_ms: flags.duration_ms("rules.alert.for-grace-period")?,
            resend_delay_ms: flags.duration_ms("rules.alert.resend-delay")?,
        };
        Ok(Prepared { alertmanager, groups, options })
    }

    /// Where the spans of this program go: its own file says so, or else that of the Alertmanager within.
    pub(super) fn tracing<'a>(
        prepared: &'a Prepared,
        config: &'a Config,
    ) -> Option<&'a spans::TracingConfig> {
        let within = prepared.alertmanager.tracing();
        if within.is_some() && config.tracing.is_some() {
            tracing::warn!("tracing stands in both files: one program has one; that of --config.file counts");
        }
        config.tracing.as_ref().or(within)
    }

    /// Takes a configuration. Certificates and templates may still refuse; what was told before them is harmless:
    /// the queue to other Alertmanagers alone, which the caller sets back by taking the old configuration.
    pub(super) fn take(&self, prepared: Prepared, config: &Config, now_ms: i64) -> Result<()> {
        self.notifier.reload(&config.alerting).map_err(|why| anyhow!("{why}"))?;
        self.alertmanager.reload(prepared.alertmanager)?;
        // Waits for groups that are being evaluated; nothing else runs on this thread meanwhile.
        tokio::task::block_in_place(|| self.rules.reload(prepared.groups, prepared.options, now_ms));
        Ok(())
    }

    /// Goes on with a backfill of rules that a restart cut off; to be called once rules are loaded.
    pub(super) fn resume(&self) {
        if let Some(prepared) = self.backfills.resume() {
            let backfills = Arc::clone(&self.backfills);
            drop(tokio::task::spawn_blocking(move || backfills.run(prepared)));
        }
    }

    /// Stops rules, then sends what waits, then stops the Alertmanager.
    pub(super) async fn stop(self) {
        self.backfills.stop();
        self.stop_rules.cancel();
        let _ = self.rules_task.await;
        self.stop_notifier.cancel();
        let _ = self.notifier_task.await;
        self.alertmanager.shutdown().await;
    }
}

/// The configuration of the Alertmanager inside: the flag's file, else the configuration's, else what comes built in.
fn alertmanager_config(flags: &Values, config: &Config) -> Result<alertmanager::Config> {
    let by_flag = Some(flags.text("alertmanager.config-file")).filter(|path| !path.is_empty()).map(Path::new);
    match by_flag.or(config.own.alertmanager_file.as_deref()) {
        None => Ok(alertmanager::Config::builtin()),
        Some(path) => compose::load(path),
    }
}

/// Where it is kept how far a backfill of rules is.
fn backfill_file(data_path: &Path) -> rules::ProgressFile {
    rules::ProgressFile { dir: Arc::new(DiskDir::anywhere()), path: data_path.join(RULE_BACKFILL) }
}
