//! The receivers of OTLP, Influx line protocol and pushed groups, if they are switched on.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;
use scrape::local::{NativesFn, PageFn};
use stdx::Clock;
use stdx::dir::DiskDir;
use stdx::metrics::Registry;

use crate::config::Config;
use crate::flags::Values;

/// File of pushed groups, in the data directory.
const PUSHED_GROUPS: &str = "pushed-groups";

/// Takes OTLP as the configuration that runs says.
///
/// # Errors
/// When a flag cannot be used.
pub(super) fn receiver(
    flags: &Values,
    current: &Arc<ArcSwap<Config>>,
    db: &Arc<tsdb::Db>,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<api::OtlpReceiver>>> {
    if !flags.is_on("web.enable-otlp-receiver") {
        return Ok(None);
    }
    let (features, _) = flags.features()?;
    let current = Arc::clone(current);
    Ok(Some(Arc::new(api::OtlpReceiver::new(api::OtlpOptions {
        store: db.clone(),
        clock: clock.clone(),
        registry: registry.clone(),
        config: Arc::new(move || Arc::clone(&current.load().otlp)),
        lookback_ms: flags.duration_ms("query.lookback-delta")?,
        delta: features.otlp_delta,
        start_zeros: features.starts.zeros,
        type_and_unit_labels: features.scrapes.type_and_unit_labels,
    }))))
}

/// Takes Influx line protocol.
pub(super) fn influx(
    flags: &Values,
    db: &Arc<tsdb::Db>,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<api::InfluxReceiver>> {
    let options =
        || api::InfluxOptions { store: db.clone(), clock: clock.clone(), registry: registry.clone() };
    flags.is_on("web.enable-influx-receiver").then(|| Arc::new(api::InfluxReceiver::new(options())))
}

/// Keeps pushed groups, if that is switched on.
///
/// # Errors
/// When their file cannot be used.
pub(super) fn pushed(
    flags: &Values,
    data_path: &Path,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<api::PushReceiver>>> {
    if !flags.is_on("web.enable-pushgateway") {
        return Ok(None);
    }
    let (dir, clock) = (Arc::new(DiskDir::anywhere()), clock.clone());
    let options = api::PushOptions { dir, clock, registry: registry.clone() };
    let receiver = api::PushReceiver::open(options, &data_path.join(PUSHED_GROUPS));
    Ok(Some(Arc::new(receiver.context("cannot open the pushed groups")?)))
}

/// What of it is scraped.
pub(super) fn pushed_page(receiver: Arc<api::PushReceiver>) -> (PageFn, NativesFn) {
    let natives = Arc::clone(&receiver);
    (Arc::new(move || receiver.page()), Arc::new(move || natives.natives()))
}
