//! Groups, inhibits, silences, routes, notifies, remembers.
//!
//! In from rules ([`Handle::put_alerts`]) and from API v2; out to mail servers, webhooks, chats and pagers ([`receiver`]).
//! A sync core (`dispatch`) that knows neither clock nor socket, and a driver around it. Works without storage and
//! without promql. Semantics are Alertmanager's; what differs is written in docs/user/alerting.md.

mod ack;
mod alert;
mod api_v2;
mod cluster;
mod config;
mod dispatch;
mod driver;
mod escalate;
mod events;
mod flap;
mod handle;
mod history;
mod hosts;
mod inhibit;
mod interval;
mod limits;
mod maintenance;
mod matcher;
mod metrics;
mod nflog;
mod notification;
mod notify;
mod promise;
mod receiver;
mod record;
mod route;
mod silence;
mod state;
mod time;
mod trying;
mod uuid;
mod watch;

pub use api_v2::{BODY_BYTES_MAX, Reply};
pub use cluster::{ClusterError, ClusterOptions, ClusterTimes};
pub use config::{Config, ConfigError, Summary};
pub use dispatch::{RECEIVER_ATTEMPTS_MAX, explain_config};
pub use driver::{BuildInfo, Options, spawn};
pub use events::read_kafka_answer;
pub use handle::Handle;
pub use history::{kinds as history_kinds, read_segment};
pub use hosts::{Asking, Host, Samples};
pub use limits::{ALERTS_MAX, Limits};
pub use maintenance::{Calendar, calendar_runs};
pub use matcher::{
    MATCHERS_BYTES_MAX, MatcherError, MatcherMode, parse_matcher, parse_matchers, set_matcher_mode,
};
pub use metrics::MetricDetail;
pub use silence::SILENCES_MAX;
