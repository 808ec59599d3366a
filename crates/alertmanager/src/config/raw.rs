//! The file as it is written: one type for each section, unknown keys refused.
//!
//! In from YAML; out to `check`, which turns it into [`super::Config`], and to `shown`, which shows it with defaults
//! and without secrets. An absent key is `None`; so is a key without a value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Duration;
use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::own::{RawOwn, RawRouteOwn};
use crate::events::RawEvents;
use crate::receiver::RawReceiver;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self {
            line: spanned.referenced.line(),
            column: spanned.referenced.column(),
            value: spanned.value,
        })
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

/// The whole file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawConfig {
    pub(crate) global: Option<RawGlobal>,
    pub(crate) route: Option<At<RawRoute>>,
    pub(crate) inhibit_rules: Option<Vec<Option<RawInhibitRule>>>,
    pub(crate) receivers: Option<Vec<At<RawReceiver>>>,
    pub(crate) templates: Option<Vec<String>>,
    pub(crate) mute_time_intervals: Option<Vec<At<RawNamedInterval>>>,
    pub(crate) time_intervals: Option<Vec<At<RawNamedInterval>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hinomi: Option<RawOwn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tracing: Option<spans::ManagerTracing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_recorder: Option<RawEvents>,
}

/// `global`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawGlobal {
    pub(crate) resolve_timeout: Option<Duration>,
    pub(crate) http_config: Option<HttpClientConfig>,
    pub(crate) smtp_from: Option<String>,
    pub(crate) smtp_hello: Option<String>,
    pub(crate) smtp_smarthost: Option<At<String>>,
    pub(crate) smtp_auth_username: Option<String>,
    pub(crate) smtp_auth_password: Option<Secret>,
    pub(crate) smtp_auth_password_file: Option<PathBuf>,
    pub(crate) smtp_auth_secret: Option<Secret>,
    pub(crate) smtp_auth_secret_file: Option<PathBuf>,
    pub(crate) smtp_auth_identity: Option<String>,
    pub(crate) smtp_require_tls: Option<bool>,
    pub(crate) smtp_tls_config: Option<net::TlsConfig>,
    pub(crate) smtp_force_implicit_tls: Option<bool>,
    pub(crate) slack_api_url: Option<Secret>,
    pub(crate) slack_api_url_file: Option<PathBuf>,
    pub(crate) slack_app_token: Option<Secret>,
    pub(crate) slack_app_token_file: Option<PathBuf>,
    pub(crate) slack_app_url: Option<String>,
    pub(crate) pagerduty_url: Option<String>,
    pub(crate) opsgenie_api_url: Option<String>,
    pub(crate) opsgenie_api_key: Option<Secret>,
    pub(crate) opsgenie_api_key_file: Option<PathBuf>,
    pub(crate) wechat_api_url: Option<String>,
    pub(crate) wechat_api_secret: Option<Secret>,
    pub(crate) wechat_api_secret_file: Option<PathBuf>,
    pub(crate) wechat_api_corp_id: Option<String>,
    pub(crate) victorops_api_url: Option<String>,
    pub(crate) victorops_api_key: Option<Secret>,
    pub(crate) victorops_api_key_file: Option<PathBuf>,
    pub(crate) telegram_api_url: Option<String>,
    pub(crate) telegram_bot_token: Option<Secret>,
    pub(crate) telegram_bot_token_file: Option<PathBuf>,
    pub(crate) webex_api_url: Option<String>,
    pub(crate) rocketchat_api_url: Option<String>,
    pub(crate) rocketchat_token: Option<Secret>,
    pub(crate) rocketchat_token_file: Option<PathBuf>,
    pub(crate) rocketchat_token_id: Option<Secret>,
    pub(crate) rocketchat_token_id_file: Option<PathBuf>,
    pub(crate) mattermost_webhook_url: Option<Secret>,
    pub(crate) mattermost_webhook_url_file: Option<PathBuf>,
    pub(crate) jira_api_url: Option<String>,
}

/// One node of the route tree.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawRoute {
    pub(crate) receiver: Option<At<String>>,
    pub(crate) group_by: Option<At<Vec<String>>>,
    #[serde(rename = "match")]
    pub(crate) equal: Option<BTreeMap<String, String>>,
    pub(crate) match_re: Option<BTreeMap<String, Option<String>>>,
    pub(crate) matchers: Option<Vec<At<String>>>,
    pub(crate) mute_time_intervals: Option<Vec<At<String>>>,
    pub(crate) active_time_intervals: Option<Vec<At<String>>>,
    #[serde(rename = "continue")]
    pub(crate) is_continue: Option<bool>,
    pub(crate) routes: Option<Vec<At<RawRoute>>>,
    pub(crate) group_wait: Option<Duration>,
    pub(crate) group_interval: Option<Duration>,
    pub(crate) repeat_interval: Option<Duration>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hinomi: Option<RawRouteOwn>,
}

/// One inhibition rule.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawInhibitRule {
    pub(crate) name: Option<String>,
    pub(crate) source_match: Option<BTreeMap<String, String>>,
    pub(crate) source_match_re: Option<BTreeMap<String, Option<String>>>,
    pub(crate) source_matchers: Option<Vec<At<String>>>,
    pub(crate) target_match: Option<BTreeMap<String, String>>,
    pub(crate) target_match_re: Option<BTreeMap<String, Option<String>>>,
    pub(crate) target_matchers: Option<Vec<At<String>>>,
    pub(crate) equal: Option<Vec<String>>,
}

/// A name for several intervals.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawNamedInterval {
    pub(crate) name: Option<String>,
    pub(crate) time_intervals: Option<Vec<At<RawInterval>>>,
}

/// One interval.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawInterval {
    pub(crate) times: Option<Vec<At<RawTimes>>>,
    pub(crate) weekdays: Option<Vec<At<String>>>,
    pub(crate) days_of_month: Option<Vec<At<String>>>,
    pub(crate) months: Option<Vec<At<String>>>,
    pub(crate) years: Option<Vec<At<String>>>,
    pub(crate) location: Option<At<String>>,
}

/// From when to when of a day.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawTimes {
    pub(crate) start_time: Option<String>,
    pub(crate) end_time: Option<String>,
}
