//! The file as it is written: one type for each section, unknown keys refused.
//!
//! In from YAML; out to `check`, which turns it into [`super::Config`], and to `render`, which shows it with defaults
//! and without secrets. An absent key is `None`; so is a key without a value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Duration;
use net::{HttpClientConfig, Secret};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::receivers::{RawEmail, RawSlack, RawWebhook};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) line: u64,
    pub(super) column: u64,
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
pub(super) struct RawConfig {
    pub(super) global: Option<RawGlobal>,
    pub(super) route: Option<At<RawRoute>>,
    pub(super) inhibit_rules: Option<Vec<Option<RawInhibitRule>>>,
    pub(super) receivers: Option<Vec<At<RawReceiver>>>,
    pub(super) templates: Option<Vec<String>>,
    pub(super) mute_time_intervals: Option<Vec<At<RawNamedInterval>>>,
    pub(super) time_intervals: Option<Vec<At<RawNamedInterval>>>,
    #[serde(skip_serializing)]
    pub(super) tracing: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) event_recorder: Option<At<IgnoredAny>>,
}

/// `global`. Keys of receivers that are not served are read, shown and otherwise without effect, since no receiver can
/// use them.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGlobal {
    pub(super) resolve_timeout: Option<Duration>,
    pub(super) http_config: Option<HttpClientConfig>,
    pub(super) smtp_from: Option<String>,
    pub(super) smtp_hello: Option<String>,
    pub(super) smtp_smarthost: Option<At<String>>,
    pub(super) smtp_auth_username: Option<String>,
    pub(super) smtp_auth_password: Option<Secret>,
    pub(super) smtp_auth_password_file: Option<PathBuf>,
    pub(super) smtp_auth_secret: Option<At<Secret>>,
    pub(super) smtp_auth_secret_file: Option<At<PathBuf>>,
    pub(super) smtp_auth_identity: Option<At<String>>,
    pub(super) smtp_require_tls: Option<bool>,
    pub(super) smtp_tls_config: Option<net::TlsConfig>,
    pub(super) smtp_force_implicit_tls: Option<bool>,
    pub(super) slack_api_url: Option<At<Secret>>,
    pub(super) slack_api_url_file: Option<PathBuf>,
    pub(super) slack_app_token: Option<At<Secret>>,
    pub(super) slack_app_token_file: Option<At<PathBuf>>,
    pub(super) slack_app_url: Option<String>,
    pub(super) pagerduty_url: Option<String>,
    pub(super) opsgenie_api_url: Option<String>,
    pub(super) opsgenie_api_key: Option<Secret>,
    pub(super) opsgenie_api_key_file: Option<PathBuf>,
    pub(super) wechat_api_url: Option<String>,
    pub(super) wechat_api_secret: Option<Secret>,
    pub(super) wechat_api_secret_file: Option<PathBuf>,
    pub(super) wechat_api_corp_id: Option<String>,
    pub(super) victorops_api_url: Option<String>,
    pub(super) victorops_api_key: Option<Secret>,
    pub(super) victorops_api_key_file: Option<PathBuf>,
    pub(super) telegram_api_url: Option<String>,
    pub(super) telegram_bot_token: Option<Secret>,
    pub(super) telegram_bot_token_file: Option<PathBuf>,
    pub(super) webex_api_url: Option<String>,
    pub(super) rocketchat_api_url: Option<String>,
    pub(super) rocketchat_token: Option<Secret>,
    pub(super) rocketchat_token_file: Option<PathBuf>,
    pub(super) rocketchat_token_id: Option<Secret>,
    pub(super) rocketchat_token_id_file: Option<PathBuf>,
    pub(super) mattermost_webhook_url: Option<Secret>,
    pub(super) mattermost_webhook_url_file: Option<PathBuf>,
    pub(super) jira_api_url: Option<String>,
}

/// One node of the route tree.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) receiver: Option<At<String>>,
    pub(super) group_by: Option<At<Vec<String>>>,
    #[serde(rename = "match")]
    pub(super) equal: Option<BTreeMap<String, String>>,
    pub(super) match_re: Option<BTreeMap<String, String>>,
    pub(super) matchers: Option<Vec<At<String>>>,
    pub(super) mute_time_intervals: Option<Vec<At<String>>>,
    pub(super) active_time_intervals: Option<Vec<At<String>>>,
    #[serde(rename = "continue")]
    pub(super) is_continue: Option<bool>,
    pub(super) routes: Option<Vec<At<RawRoute>>>,
    pub(super) group_wait: Option<Duration>,
    pub(super) group_interval: Option<Duration>,
    pub(super) repeat_interval: Option<Duration>,
    pub(super) labels: Option<BTreeMap<String, String>>,
}

/// One inhibition rule.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawInhibitRule {
    pub(super) name: Option<String>,
    pub(super) source_match: Option<BTreeMap<String, String>>,
    pub(super) source_match_re: Option<BTreeMap<String, String>>,
    pub(super) source_matchers: Option<Vec<At<String>>>,
    pub(super) target_match: Option<BTreeMap<String, String>>,
    pub(super) target_match_re: Option<BTreeMap<String, String>>,
    pub(super) target_matchers: Option<Vec<At<String>>>,
    pub(super) equal: Option<Vec<String>>,
}

/// A name for several intervals.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawNamedInterval {
    pub(super) name: Option<String>,
    pub(super) time_intervals: Option<Vec<At<RawInterval>>>,
}

/// One interval.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawInterval {
    pub(super) times: Option<Vec<At<RawTimes>>>,
    pub(super) weekdays: Option<Vec<At<String>>>,
    pub(super) days_of_month: Option<Vec<At<String>>>,
    pub(super) months: Option<Vec<At<String>>>,
    pub(super) years: Option<Vec<At<String>>>,
    pub(super) location: Option<At<String>>,
}

/// From when to when of a day.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTimes {
    pub(super) start_time: Option<String>,
    pub(super) end_time: Option<String>,
}

/// A receiver and all kinds that Alertmanager knows.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawReceiver {
    pub(super) name: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) webhook_configs: Option<Vec<At<RawWebhook>>>,
    pub(super) email_configs: Option<Vec<At<RawEmail>>>,
    pub(super) slack_configs: Option<Vec<At<RawSlack>>>,
    #[serde(skip_serializing)]
    pub(super) pagerduty_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) opsgenie_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) victorops_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) pushover_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) wechat_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) sns_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) telegram_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) discord_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) webex_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) msteams_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) msteamsv2_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) jira_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) rocketchat_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) mattermost_configs: Option<At<IgnoredAny>>,
    #[serde(skip_serializing)]
    pub(super) incidentio_configs: Option<At<IgnoredAny>>,
}

impl RawReceiver {
    /// The first kind that is used and not served, with its place.
    pub(super) fn unserved(&self) -> Option<(&'static str, &At<IgnoredAny>)> {
        [
            ("pagerduty_configs", &self.pagerduty_configs),
            ("opsgenie_configs", &self.opsgenie_configs),
            ("victorops_configs", &self.victorops_configs),
            ("pushover_configs", &self.pushover_configs),
            ("wechat_configs", &self.wechat_configs),
            ("sns_configs", &self.sns_configs),
            ("telegram_configs", &self.telegram_configs),
            ("discord_configs", &self.discord_configs),
            ("webex_configs", &self.webex_configs),
            ("msteams_configs", &self.msteams_configs),
            ("msteamsv2_configs", &self.msteamsv2_configs),
            ("jira_configs", &self.jira_configs),
            ("rocketchat_configs", &self.rocketchat_configs),
            ("mattermost_configs", &self.mattermost_configs),
            ("incidentio_configs", &self.incidentio_configs),
        ]
        .into_iter()
        .find_map(|(name, place)| place.as_ref().map(|place| (name, place)))
    }
}
