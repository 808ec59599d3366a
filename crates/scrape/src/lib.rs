//! Pulls samples on schedule from the targets that discovery finds.
//!
//! In from `scrape_configs` ([`config`]), [`discovery::Hub`] and functions of this process
//! ([`LocalTarget`]); out to a `storage::Appendable`. [`Manager`] runs it; `api` reads its [`View`].
//! Only [`driver`] awaits; all else is sync and takes `now_ms`.

pub mod cache;
pub mod config;
pub mod driver;
mod failures;
mod families;
mod fetch;
pub mod ingest;
mod keys;
mod labelling;
mod lanes;
pub mod local;
pub mod metrics;
mod natives;
mod plain;
pub mod pool;
mod record;
mod report;
mod rows;
pub mod schedule;
mod starts;
mod synthesis;
pub mod target;
pub mod view;

/// How a source of targets does, for those who show it.
pub use discovery::SdHealth;

pub use config::{GlobalConfig, ScrapeConfig, ScrapeConfigError, ScrapeConfigFile};
pub use driver::{FeatureOptions, Manager, ManagerOptions};
pub use local::LocalTarget;
pub use natives::HistogramPolicy;
pub use starts::StartOptions;
pub use view::{ActiveTarget, DroppedTarget, Health, TargetMetadata, View};
