//! The Alertmanager file: read strictly, checked as a whole, shown without secrets.
//!
//! In from the user's file, or the built-in one; out to the core (routes, rules, intervals) and to the notifiers.
//! Keys, defaults, checks and most wording are Alertmanager's. What is known there and not served here is refused by
//! name, never ignored.

mod check;
mod load;
mod maintenance;
mod own;
mod raw;
mod shown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::yaml::YamlError;
use spans::TracingConfig;

use crate::events::EventsConfig;
use crate::inhibit::{Dependencies, DependencyConfig, InhibitRuleConfig};
use crate::interval::Interval;
use crate::maintenance::Window;
use crate::receiver::Kind;
use crate::route::{RouteConfig, RouteTree};

pub(crate) use check::{Checker, Fault};
pub(crate) use own::HostConfig;
pub(crate) use raw::At;

/// What the program does without a file: one route by alert name, and a receiver that sends nowhere.
const BUILTIN: &str = "route:\n  receiver: none\n  group_by: [alertname]\nreceivers:\n  - name: none\n";

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that cannot be done; prints as `file:line:column: message`.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A receiver's client cannot be made, for instance because a certificate is not there.
    #[error("receiver {receiver:?}: {message}")]
    Client {
        /// Which receiver.
        receiver: String,
        /// What is wrong.
        message: String,
    },
    /// A file of templates is no template.
    #[error("{}: {message}", path.display())]
    Template {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with its line.
        message: String,
    },
    /// `success_duration` is asked for, and nobody knows which hosts are active.
    #[error(
        "success_duration says success only while the alert's host is active, and this program keeps no samples: name a Prometheus or \
         a Hinomi that has them, hinomi: {{samples: {{url: http://host:9090}}}}"
    )]
    NoSamples,
    /// The manager cannot join others.
    #[error(transparent)]
    Cluster(#[from] crate::ClusterError),
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long an alert fires that was reported without an end.
    pub(crate) resolve_timeout_ms: i64,
    pub(crate) route: RouteConfig,
    pub(crate) inhibit_rules: Vec<InhibitRuleConfig>,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) intervals: BTreeMap<String, Vec<Interval>>,
    /// Contents of the files behind `templates`, by path.
    pub(crate) templates: Vec<(PathBuf, String)>,
    /// Patterns of `templates`, not yet read.
    template_globs: Vec<String>,
    /// Whether who was told that an alert fires is told its end, whatever comes between.
    pub(crate) promises_resolves: bool,
    pub(crate) dependencies: Vec<DependencyConfig>,
    /// Behind which other host a host stands.
    pub(crate) topology: BTreeMap<String, String>,
    /// How long an acknowledgement holds that says nothing of its end; `None` for until the alert ends.
    pub(crate) ack_timeout_ms: Option<i64>,
    /// How it is known that an alert's host is active.
    pub(crate) hosts: HostConfig,
    /// Maintenance windows, with their ids.
    pub(crate) windows: Vec<(String, Arc<Window>)>,
    /// Where spans go.
    tracing: Option<TracingConfig>,
    /// Where events go.
    pub(crate) events: EventsConfig,
    /// What the API shows: defaults filled in, secrets masked.
    pub(crate) original: String,
}

/// How many of each thing a configuration has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as they are")]
pub struct Summary {
    pub n_receivers: usize,
    pub n_routes: usize,
    pub n_inhibit_rules: usize,
    pub n_intervals: usize,
    pub n_templates: usize,
}

/// Whom to tell, in one or more ways.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) name: String,
    /// Static labels; `name` is always among them.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) integrations: Vec<Arc<Integration>>,
}

/// One way of telling.
#[derive(Debug, Clone)]
pub(crate) struct Integration {
    pub(crate) receiver: String,
    /// Upstream's name of the kind, as in metrics.
    pub(crate) name: &'static str,
    /// Place in the receiver's list of this kind.
    pub(crate) idx: usize,
    pub(crate) sends_resolved: bool,
    pub(crate) kind: Arc<dyn Kind>,
}

impl Config {
    /// Reads and checks `text`; `file_name` is for errors. Files that it names are not read: see [`Config::load`].
    ///
    /// # Errors
    /// When it is not YAML, has an unknown key, contradicts itself, or asks for what is not served.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, ConfigError> {
        check::parse(file_name, text, Path::new(""))
    }

    /// Reads and checks the file at `path`, and the template files it names, through `files`.
    ///
    /// # Errors
    /// As [`Config::parse`], and when a file cannot be read or a template is none.
    pub fn load(files: &dyn stdx::Dir, path: &Path) -> Result<Self, ConfigError> {
        load::load(files, path)
    }

    /// What the program does without a file: alerts are shown and sent nowhere.
    #[must_use]
    pub fn builtin() -> Self {
        Self::parse("built-in", BUILTIN).expect("a test reads it")
    }

    /// What depends on what, without alerts yet.
    pub(crate) fn new_dependencies(&self) -> Dependencies {
        Dependencies::new(&self.dependencies, &self.topology, &self.hosts.labels)
    }

    /// Where spans go, if anywhere.
    #[must_use]
    pub fn tracing(&self) -> Option<&TracingConfig> {
        self.tracing.as_ref()
    }

    /// How many of each thing there are.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            n_receivers: self.receivers.len(),
            n_routes: self.route.count(),
            n_inhibit_rules: self.inhibit_rules.len(),
            n_intervals: self.intervals.len(),
            n_templates: self.templates.len(),
        }
    }

    /// What is odd and no error.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let tree = RouteTree::new(&self.route);
        let hasty = tree.iter().filter(|route| route.repeat_interval_ms < route.group_interval_ms);
        let hasty = hasty.map(|route| {
            format!(
                "route {}: repeat_interval is shorter than group_interval, so that notifications repeat at every group_interval",
                route.key
            )
        });
        let mut warnings: Vec<String> = hasty.collect();
        for route in tree.iter() {
            let sends =
                |name: &str| self.receiver(name).is_some_and(|receiver| !receiver.integrations.is_empty());
            if !route.escalate.is_empty() && !sends(&route.receiver) {
                warnings.push(format!(
                    "route {}: receiver {:?} sends nothing, so that the time to escalate never begins",
                    route.key, route.receiver
                ));
            }
            if route.reissue_ms.is_some_and(|ms| ms < route.group_wait_ms) {
                warnings.push(format!(
                    "route {}: reissue_duration is shorter than group_wait, which is the least time between two messages of a group here",
                    route.key
                ));
            }
        }
        warnings
    }

    /// Whether hosts can be asked about, if any route needs that.
    pub(crate) fn require_samples(&self, has_store: bool) -> Result<(), ConfigError> {
        let tree = RouteTree::new(&self.route);
        let needs = tree.iter().any(|route| route.success_ms.is_some());
        if needs && !has_store && self.hosts.samples.is_none() { Err(ConfigError::NoSamples) } else { Ok(()) }
    }

    /// Names of the receivers, in the file's order.
    pub fn receiver_names(&self) -> impl Iterator<Item = &str> {
        self.receivers.iter().map(|receiver| receiver.name.as_str())
    }

    /// Whether any receiver sends anything.
    #[must_use]
    pub fn has_integrations(&self) -> bool {
        self.receivers.iter().any(|receiver| !receiver.integrations.is_empty())
    }

    /// The effective configuration as YAML, secrets masked.
    #[must_use]
    pub fn masked_yaml(&self) -> &str {
        &self.original
    }

    /// The receiver called `name`; the check saw to it that routes name only those there are.
    pub(crate) fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }
}

#[cfg(test)]
mod tests;
