//! What a manager is made of, and what flags say.
//!
//! In from the binary; asked by whatever scrapes.

use std::sync::Arc;

use discovery::Hub;
use stdx::clock::Clock;
use stdx::dir::Dir;
use stdx::metrics::Registry;
use storage::Appendable;

use crate::ingest::StartOptions;

/// What flags switch on for all jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeatureOptions {
    /// What `extra_scrape_metrics` is where the file does not say.
    pub extra_scrape_metrics: bool,
    /// Types and units of metrics become labels (`__type__`, `__unit__`).
    pub type_and_unit_labels: bool,
}

/// What a manager needs.
#[derive(Clone)]
pub struct ManagerOptions {
    /// Tells the time of samples.
    pub clock: Arc<dyn Clock>,
    /// Takes them.
    pub store: Arc<dyn Appendable>,
    /// Finds targets.
    pub discovery: Arc<Hub>,
    /// Holds the files of `scrape_failure_log_file`; [`stdx::dir::DiskDir::anywhere`] outside of tests.
    pub dir: Arc<dyn Dir>,
    /// Where our own metrics go.
    pub registry: Registry,
    /// What is done with `_created` lines of OpenMetrics.
    pub starts: StartOptions,
    /// What else is off by default.
    pub features: FeatureOptions,
    /// This machine's name: moves the schedule, and stands in global URLs.
    pub host_name: String,
}
