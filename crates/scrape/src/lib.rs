//! Pulls samples on schedule from the targets that discovery finds.
//!
//! In from `scrape_configs` ([`config`]), [`discovery::Hub`] and functions of this process
//! ([`LocalTarget`]); out to a `storage::Appendable`. [`Manager`] runs it; `api` reads its [`View`].
//! Only [`driver`] awaits; all else is sync and takes `now_ms`.

pub mod config;
pub mod driver;
mod failures;
mod fetch;
pub mod ingest;
mod lanes;
pub mod local;
pub mod metrics;
mod options;
pub mod pool;
mod record;
pub mod schedule;
mod settings;
mod shared;
pub mod target;
pub mod view;

/// How a source of targets does, for those who show it.
pub use discovery::SdHealth;

pub use config::{GlobalConfig, HistogramPolicy, ScrapeConfig, ScrapeConfigError, ScrapeConfigFile};
pub use driver::Manager;
pub use ingest::StartOptions;
pub use local::LocalTarget;
pub use options::{FeatureOptions, ManagerOptions};
pub use pool::Health;
pub use view::{ActiveTarget, DroppedTarget, TargetMetadata, View};
