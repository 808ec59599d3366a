//! What goes between servers: the queues of `remote_write`, answers to remote read, and the servers of `remote_read`.
//!
//! In from the configuration; out to `remote`, with the store, its directory and what is known of metric families.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use stdx::metrics::Registry;
use stdx::{Clock, DiskDir};

use crate::config::Config;
use crate::flags::Values;

/// Requests of remote read that may wait for a place. Chosen, as for queries.
const READS_WAITING: usize = 1_000;

/// What remote read may cost, by flags.
pub(super) fn read_limits(flags: &Values, registry: &Registry) -> Result<Arc<api::ReadLimits>> {
    let n_at_once = usize::try_from(flags.limit("storage.remote.read-concurrent-limit")?)?;
    let gate = (n_at_once > 0).then(|| net::Gate::new("remote_read", n_at_once, READS_WAITING, registry));
    Ok(Arc::new(api::ReadLimits {
        samples_max: flags.limit("storage.remote.read-sample-limit")?,
        frame_bytes_max: usize::try_from(flags.count("storage.remote.read-max-bytes-in-frame")?)?,
        gate,
    }))
}

/// Starts the queues of `config`. To be called before anything is committed: what comes before would not be followed.
pub(super) fn start(
    db: &Arc<tsdb::Db>,
    data_path: &Path,
    config: &Config,
    targets: scrape::View,
    type_and_unit_labels: bool,
    (registry, clock): (&Registry, &Arc<dyn Clock>),
) -> Result<remote::Manager> {
    let dir = DiskDir::open(data_path).with_context(|| format!("cannot use {}", data_path.display()))?;
    let pushed = db.clone();
    // What scrapes say counts before what others pushed, as the newer word mostly.
    let metadata: remote::MetadataOf = Arc::new(move || {
        let mut all = pushed.metadata();
        all.extend(targets.metadata().into_iter().map(|entry| (entry.metric, entry.metadata)));
        all
    });
    let (store, dir, clock) = (db.clone(), Arc::new(dir), clock.clone());
    let env = remote::Env { store, dir, clock, metadata, type_and_unit_labels };
    let manager = remote::Manager::open(env, registry).context("cannot start remote write")?;
    // What comes into the store is what there is to send.
    registry
        .also("prometheus_remote_storage_samples_in_total", "prometheus_tsdb_head_samples_appended_total");
    let queues = manager.prepare(&config.remote_write, &config.global.external_labels)?;
    manager.take(queues).context("cannot start remote write")?;
    Ok(manager)
}

/// The store, and beside it the servers that `config` names.
pub(super) fn read_through(
    db: &Arc<tsdb::Db>,
    config: &Config,
    registry: &Registry,
) -> Result<Arc<remote::ReadThrough>> {
    let store = db.clone();
    let local_start_ms = Arc::new(move || store.time_span().map_or(i64::MAX, |span| span.start_ms));
    let reading = remote::ReadThrough::new(db.clone(), local_start_ms, registry);
    reading.take(remote::ReadThrough::prepare(&config.remote_read, &config.global.external_labels)?);
    Ok(Arc::new(reading))
}
