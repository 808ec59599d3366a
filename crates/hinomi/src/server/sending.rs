//! Sending on what is stored: the queues of `remote_write`.
//!
//! In from the configuration; out to `remote`, with the store, its directory and what is known of metric families.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use stdx::metrics::Registry;
use stdx::{Clock, DiskDir};

use crate::config::Config;

/// Starts the queues of `config`. To be called before anything is committed: what comes before would not be followed.
pub(super) fn start(
    db: &Arc<tsdb::Db>,
    data_path: &Path,
    config: &Config,
    targets: scrape::View,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> Result<remote::Manager> {
    let dir = DiskDir::open(data_path).with_context(|| format!("cannot use {}", data_path.display()))?;
    let pushed = db.clone();
    // What scrapes say counts before what others pushed, as the newer word mostly.
    let metadata: remote::MetadataOf = Arc::new(move || {
        let mut all = pushed.metadata();
        all.extend(targets.metadata().into_iter().map(|entry| (entry.metric, entry.metadata)));
        all
    });
    let env = remote::Env { store: db.clone(), dir: Arc::new(dir), clock: clock.clone(), metadata };
    let manager = remote::Manager::open(env, registry).context("cannot start remote write")?;
    let queues = manager.prepare(&config.remote_write, &config.global.external_labels)?;
    manager.take(queues).context("cannot start remote write")?;
    Ok(manager)
}
