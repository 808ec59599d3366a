//! Putting an Alertmanager together: the one inside the server and the one alone are made here, by the same steps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use stdx::metrics::Registry;
use stdx::{Clock, DiskDir};

use crate::flags::Values;
use crate::server::web::build_info;

/// The version whose API this is: clients choose by it how to speak.
const ALERTMANAGER_VERSION: &str = "0.34.0";

/// What differs from one Alertmanager to another.
pub(crate) struct Parts {
    /// Its own folder.
    pub(crate) data_path: PathBuf,
    /// How its page is reached, without a slash at the end.
    pub(crate) external_url: String,
    /// How long silences are kept after their end.
    pub(crate) retention: model::Duration,
    /// How long alerts gather after the start.
    pub(crate) start_delay: model::Duration,
    /// How much is kept.
    pub(crate) limits: alertmanager::Limits,
    /// Whether changes of silences are said in the log.
    pub(crate) logs_silences: bool,
    /// Which labels metrics have besides the usual ones.
    pub(crate) metric_detail: alertmanager::MetricDetail,
    /// How to join other managers; `None` to be alone.
    pub(crate) cluster: Option<alertmanager::ClusterOptions>,
    /// Knows which hosts send samples; `None` without a store.
    pub(crate) samples: Option<Arc<dyn alertmanager::Samples>>,
}

/// Reads a configuration file and the template files it names.
pub(crate) fn load(path: &Path) -> Result<alertmanager::Config> {
    Ok(alertmanager::Config::load(&DiskDir::anywhere(), path)?)
}

/// What comes by default, with the history's limits of the flags.
pub(crate) fn history_limits(flags: &Values) -> Result<alertmanager::Limits> {
    Ok(alertmanager::Limits {
        history_keep: flags.positive("alerts.history-retention")?,
        history_bytes_max: flags.bytes("alerts.history-max-bytes")?,
        ..alertmanager::Limits::default()
    })
}

/// Starts it.
pub(crate) fn start(
    config: alertmanager::Config,
    parts: Parts,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> Result<alertmanager::Handle> {
    let path = &parts.data_path;
    let dir = DiskDir::open(path).with_context(|| format!("cannot use {}", path.display()))?;
    let build = build_info();
    let options = alertmanager::Options {
        config,
        dir: Arc::new(dir),
        files: Arc::new(DiskDir::anywhere()),
        clock: clock.clone(),
        registry: registry.clone(),
        external_url: parts.external_url,
        retention: parts.retention,
        start_delay: parts.start_delay,
        build: alertmanager::BuildInfo {
            version: format!("{ALERTMANAGER_VERSION}+hinomi.{}", build.version),
            revision: build.revision.to_owned(),
            branch: build.branch.to_owned(),
            build_user: build.build_user.to_owned(),
            build_date: build.build_date.to_owned(),
            compiler: build.compiler.to_owned(),
        },
        limits: parts.limits,
        logs_silences: parts.logs_silences,
        metric_detail: parts.metric_detail,
        instance: crate::server::web::hostname(),
        cluster: parts.cluster,
        samples: parts.samples,
    };
    Ok(alertmanager::spawn(options)?)
}
