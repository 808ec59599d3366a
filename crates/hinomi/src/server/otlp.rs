//! The receivers of OTLP and Influx line protocol, if they are switched on.

use std::sync::Arc;

use anyhow::Result;
use arc_swap::ArcSwap;
use stdx::Clock;
use stdx::metrics::Registry;

use crate::config::Config;
use crate::flags::Values;

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
        takes_delta: features.otlp_native_delta,
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
