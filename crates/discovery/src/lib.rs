//! Finds targets: static lists, files, and every service that knows what runs where.
//!
//! In from the `*_sd_configs` of a configuration ([`with_kinds`] gives a section their keys, [`SdConfig`] is one of them
//! read); out to `scrape` and the notifier, which [subscribe](Hub::subscribe) and are told of changes. Each kind is a file
//! in [`kinds`], whose header says how to add one. Equal configurations share one watcher, and a reload leaves those that
//! stay alone. Never decides what is scraped: relabelling belongs to the caller.

pub mod dns_message;
pub mod driver;
mod error;
pub mod glob;
pub mod group;
mod health;
pub mod http;
pub mod hub;
pub mod kinds;
pub mod metrics;
mod zookeeper;

#[cfg(test)]
mod fake;

pub use driver::{Context, Owner, Provider, Task};
pub use error::SdError;
pub use group::{Groups, TargetGroup};
pub use health::{SdHealth, Trouble};
pub use hub::{Hub, HubOptions, Subscription};
pub use kinds::SdConfig;
