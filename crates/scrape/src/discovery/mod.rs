//! Where targets come from.
//!
//! In from static lists ([`StaticDiscovery`]) and files ([`FileDiscovery`]); out groups of targets to [`crate::pool`].
//! The seam for further kinds is [`Discovery`]: sync, asked by the driver on a blocking thread.

mod file;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use file::{FileDiscovery, FileSdConfig};

/// Targets that share labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    /// Addresses, `host:port`.
    #[serde(default, deserialize_with = "model::yaml::null_as_default")]
    pub targets: Vec<String>,
    /// Labels of all of them.
    #[serde(default, deserialize_with = "model::yaml::null_as_default")]
    pub labels: BTreeMap<String, String>,
}

/// A source of targets.
pub trait Discovery: Send + std::fmt::Debug {
    /// All targets this source knows now, when that has changed since the last call (the first call counts as a
    /// change); `None` when it has not. May read files; never waits for anything else.
    fn poll(&mut self, now_ms: i64) -> Option<Vec<TargetGroup>>;

    /// Milliseconds until it wants to be asked again; `None` when it never changes.
    fn pause_ms(&self) -> Option<i64>;
}

/// Targets named in the configuration itself.
#[derive(Debug)]
pub struct StaticDiscovery {
    groups: Option<Vec<TargetGroup>>,
}

impl StaticDiscovery {
    /// From `static_configs`.
    #[must_use]
    pub fn new(groups: Vec<TargetGroup>) -> Self {
        Self { groups: Some(groups) }
    }
}

impl Discovery for StaticDiscovery {
    fn poll(&mut self, _now_ms: i64) -> Option<Vec<TargetGroup>> {
        self.groups.take()
    }

    fn pause_ms(&self) -> Option<i64> {
        None
    }
}
