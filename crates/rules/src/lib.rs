//! Evaluates recording and alerting rules on time; keeps alert state; tells Alertmanagers.
//!
//! In from the binary: rule files ([`file`]), built-in rules ([`builtin`]), the store's seams; out to the store (results,
//! `ALERTS`, `ALERTS_FOR_STATE`) and to an [`AlertSink`] (the embedded Alertmanager, or [`notifier::Notifier`]).
//! The core is sync: [`Manager::poll`] takes the time. Only [`driver`] awaits.
//! Semantics: Prometheus 3.14's rules and notifier packages.

mod alerting;
mod backfill;
pub mod builtin;
mod config;
mod console;
pub mod driver;
mod env;
pub mod file;
mod grid;
mod group;
mod humanize;
mod manager;
mod measure;
mod metrics;
mod no_data;
mod notifier;
mod query;
mod recording;
mod replay;
mod restore;
mod template;
mod trial;
mod view;

pub use backfill::{BackfillRequest, BackfillState, BackfillStatus, Backfills, Prepared, ProgressFile};
pub use builtin::BuiltinRules;
pub use config::{AlertingConfig, AlertmanagerConfig};
pub use console::{Console, ConsoleEnv};
pub use env::{AlertSink, Env, Options};
pub use file::{Expression, GroupSpec, RuleSpec, parse_file};
pub use group::RuleFailure;
pub use manager::Manager;
pub use no_data::{NoData, NoDataSpec};
pub use notifier::{Endpoint, Notifier, NotifierOptions};
pub use replay::{
    Firing, REPLAY_FIRINGS_MAX, REPLAY_STEPS_MAX, ReplayError, ReplayRequest, ReplayRules, Replayed,
};
pub use template::{ALERT_DEFS, check_template};
pub use trial::{NoSink, Trial};
pub use view::{AlertState, AlertView, AlertingView, GroupView, Health, RuleView};
