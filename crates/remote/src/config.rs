//! The sections `remote_write:` and `remote_read:` of the configuration.
//!
//! In from the binary's configuration file; out to [`crate::Manager`]. Checked while it is read, so that errors have a line. Keys,
//! defaults and wording of errors are Prometheus'.

use std::collections::BTreeMap;
use std::path::Path;

use model::Duration;
use model::relabel::RelabelConfig;
use net::auth::{AzureAdConfig, GoogleIamConfig, SigV4Config, Signing};
use net::{HttpClientConfig, Reach};
use serde::{Deserialize, Deserializer};
use url::Url;

/// Longest frame of an answer of chunks unless told otherwise, in bytes. From Prometheus.
const CHUNKED_READ_LIMIT: u64 = 50_000_000;
/// Which message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum WriteMessage {
    /// Version 1.0.
    #[default]
    #[serde(rename = "prometheus.WriteRequest")]
    V1,
    /// Version 2.0.
    #[serde(rename = "io.prometheus.write.v2.Request")]
    V2,
}

/// One entry of `remote_write`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RemoteWriteKeys")]
pub struct RemoteWriteConfig {
    /// Where to.
    pub url: Url,
    /// By which metrics and positions know it; may be empty.
    pub name: String,
    /// What is sent.
    pub message: WriteMessage,
    /// Of one request.
    pub timeout: Duration,
    /// Sent along.
    pub headers: BTreeMap<String, String>,
    /// Applied to series after external labels.
    pub relabel: Vec<RelabelConfig>,
    /// Version 2.0 always sends them.
    pub send_exemplars: bool,
    /// Version 2.0 always sends them.
    pub send_native_histograms: bool,
    /// Whether the log tells of each failed request.
    pub failed_request_logging: bool,
    /// Which of a receiver's addresses is connected to; `round_robin_dns`.
    pub reach: Reach,
    /// How to connect.
    pub http: HttpClientConfig,
    /// How requests are signed, for clouds that want more than a password.
    pub signing: Option<Signing>,
    /// How much at once, how often again.
    pub queue: QueueConfig,
    /// What is known of metric families.
    pub metadata: MetadataConfig,
}

impl RemoteWriteConfig {
    /// Takes relative file names as relative to `dir`, the configuration file's own directory.
    pub fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
        if let Some(Signing::GoogleIam(google)) = &mut self.signing {
            google.set_directory(dir);
        }
    }
}

/// Checks that names are not given twice.
///
/// # Errors
/// Names the one that is.
pub fn check_names(configs: &[RemoteWriteConfig]) -> Result<(), String> {
    for (idx, config) in configs.iter().enumerate().filter(|(_, config)| !config.name.is_empty()) {
        if configs[..idx].iter().any(|other| other.name == config.name) {
            return Err(format!("found multiple remote write configs with job name {:?}", config.name));
        }
    }
    Ok(())
}

/// `queue_config`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Samples in memory for each shard.
    pub capacity: i64,
    /// Most requests at once.
    pub max_shards: i64,
    /// Fewest.
    pub min_shards: i64,
    /// Samples of one request.
    pub max_samples_per_send: i64,
    /// How long samples wait for others.
    pub batch_send_deadline: Duration,
    /// Before the first repetition; doubles.
    pub min_backoff: Duration,
    /// Before later ones.
    pub max_backoff: Duration,
    /// Whether 429 is answered with a repetition.
    pub retry_on_http_429: bool,
    /// Older samples are dropped; 0 for none.
    pub sample_age_limit: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2_000,
            batch_send_deadline: Duration::from_secs(5),
            min_backoff: Duration::from_ms(30),
            max_backoff: Duration::from_secs(5),
            retry_on_http_429: false,
            sample_age_limit: Duration::from_secs(0),
        }
    }
}

impl QueueConfig {
    fn check(&self) -> Result<(), String> {
        let refuse = |what: &str| Err(format!("remote write queue {what}"));
        if self.max_shards <= 0 {
            return refuse("max_shards must be positive");
        }
        if self.min_shards <= 0 {
            return refuse("min_shards must be positive");
        }
        if self.min_shards > self.max_shards {
            return refuse("min_shards must not be greater than max_shards");
        }
        if self.max_samples_per_send <= 0 {
            return refuse("max_samples_per_send must be positive");
        }
        if self.capacity <= 0 {
            return refuse("capacity must be positive");
        }
        if self.max_backoff < self.min_backoff {
            return refuse("max_backoff must not be less than min_backoff");
        }
        Ok(())
    }
}

/// `metadata_config`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetadataConfig {
    /// Whether version 1.0 sends it at all.
    pub send: bool,
    /// How often.
    pub send_interval: Duration,
    /// Families of one request.
    pub max_samples_per_send: i64,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self { send: true, send_interval: Duration::from_secs(60), max_samples_per_send: 2_000 }
    }
}

net::with_http_keys! {
/// The keys as they stand in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RemoteWriteKeys {
    url: Option<String>,
    name: Option<String>,
    #[serde(deserialize_with = "model::yaml::null_as_empty")]
    protobuf_message: Option<MessageName>,
    remote_timeout: Option<Duration>,
    headers: Option<BTreeMap<String, String>>,
    #[serde(deserialize_with = "relabel_rules")]
    write_relabel_configs: Vec<RelabelConfig>,
    send_exemplars: Option<bool>,
    send_native_histograms: Option<bool>,
    round_robin_dns: Option<bool>,
    failed_request_logging: Option<bool>,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    queue_config: QueueConfig,
    #[serde(deserialize_with = "model::yaml::null_as_default")]
    metadata_config: MetadataConfig,
    sigv4: Option<SigV4Config>,
    azuread: Option<AzureAdConfig>,
    google_iam: Option<GoogleIamConfig>,
}
}

/// `protobuf_message`, with Prometheus' words for others.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct MessageName(WriteMessage);

impl TryFrom<String> for MessageName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "prometheus.WriteRequest" => Ok(Self(WriteMessage::V1)),
            "io.prometheus.write.v2.Request" => Ok(Self(WriteMessage::V2)),
            _ => Err(format!(
                "invalid protobuf_message value: unknown type for remote write protobuf message {name}, \
                 supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
            )),
        }
    }
}

fn relabel_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RelabelConfig>, D::Error> {
    let rules: Option<Vec<Option<RelabelConfig>>> = Option::deserialize(deserializer)?;
    let rules: Option<Vec<_>> = rules.unwrap_or_default().into_iter().collect();
    rules.ok_or_else(|| serde::de::Error::custom("empty or null relabeling rule in remote write config"))
}

impl TryFrom<RemoteWriteKeys> for RemoteWriteConfig {
    type Error = String;

    fn try_from(mut keys: RemoteWriteKeys) -> Result<Self, String> {
        keys.enable_http2.get_or_insert(false);
        let http = keys.take_http();
        let url = checked_url(keys.url, "remote_write")?;
        let headers = keys.headers.unwrap_or_default();
        net::config::check_plain_headers(&headers, INSTEAD_OF_AUTHORIZATION)?;
        let http = http?;
        let signing = signing_of(keys.sigv4, keys.azuread, keys.google_iam, &http)?;
        keys.queue_config.check()?;
        Ok(Self {
            url,
            name: keys.name.unwrap_or_default(),
            message: keys.protobuf_message.map(|name| name.0).unwrap_or_default(),
            timeout: keys.remote_timeout.unwrap_or(Duration::from_secs(30)),
            headers,
            relabel: keys.write_relabel_configs,
            send_exemplars: keys.send_exemplars.unwrap_or(false),
            send_native_histograms: keys.send_native_histograms.unwrap_or(false),
            failed_request_logging: keys.failed_request_logging.unwrap_or(false),
            reach: if keys.round_robin_dns == Some(true) { Reach::AnyAddress } else { Reach::Usual },
            http,
            signing,
            queue: keys.queue_config,
            metadata: keys.metadata_config,
        })
    }
}

/// At most one way to say who sends.
fn signing_of(
    sigv4: Option<SigV4Config>,
    azuread: Option<AzureAdConfig>,
    google_iam: Option<GoogleIamConfig>,
    http: &HttpClientConfig,
) -> Result<Option<Signing>, String> {
    let given = [
        (http.basic_auth.is_some(), "basic_auth"),
        (http.authorization.is_some(), "authorization"),
        (http.oauth2.is_some(), "oauth2"),
        (sigv4.is_some(), "sigv4"),
        (azuread.is_some(), "azuread"),
        (google_iam.is_some(), "google_iam"),
    ];
    let given: Vec<_> = given.iter().filter(|(is_given, _)| *is_given).map(|(_, key)| *key).collect();
    if given.len() > 1 {
        return Err(format!(
            "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. \
             Currently configured: [{}]",
            given.join(" ")
        ));
    }
    let sigv4 = sigv4.map(Signing::SigV4);
    Ok(sigv4.or(azuread.map(Signing::AzureAd)).or(google_iam.map(Signing::GoogleIam)))
}

/// What says who asks has keys of its own.
const INSTEAD_OF_AUTHORIZATION: &str = "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter";

/// One entry of `remote_read`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RemoteReadKeys")]
pub struct RemoteReadConfig {
    /// Where to ask.
    pub url: Url,
    /// By which metrics know it; may be empty.
    pub name: String,
    /// Of one question.
    pub timeout: Duration,
    /// Sent along.
    pub headers: BTreeMap<String, String>,
    /// A selector must have all of these, as equalities.
    pub required_matchers: BTreeMap<String, String>,
    /// Longest frame of an answer of chunks, in bytes.
    pub chunked_read_limit: u64,
    /// Whether it is asked for times that the own store has.
    pub read_recent: bool,
    /// Whether external labels are asked for, and taken off the answer.
    pub filter_external_labels: bool,
    /// How to connect.
    pub http: HttpClientConfig,
}

impl RemoteReadConfig {
    /// Takes relative file names as relative to `dir`, the configuration file's own directory.
    pub fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }

    /// Its name, or else its URL.
    pub(crate) fn shown_name(&self) -> String {
        if self.name.is_empty() { net::client::shown(&self.url) } else { self.name.clone() }
    }

    /// Whether a selector with these matchers is for it.
    pub(crate) fn is_meant(&self, matchers: &[model::Matcher]) -> bool {
        let has = |name: &String, value: &String| {
            let is_it = |matcher: &model::Matcher| {
                matcher.op == model::MatchOp::Equal && matcher.name == *name && matcher.value == *value
            };
            matchers.iter().any(is_it)
        };
        self.required_matchers.iter().all(|(name, value)| has(name, value))
    }
}

net::with_http_keys! {
/// The keys as they stand in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RemoteReadKeys {
    url: Option<String>,
    name: Option<String>,
    remote_timeout: Option<Duration>,
    chunked_read_limit: Option<u64>,
    headers: Option<BTreeMap<String, String>>,
    required_matchers: Option<BTreeMap<String, String>>,
    read_recent: Option<bool>,
    filter_external_labels: Option<bool>,
}
}

impl TryFrom<RemoteReadKeys> for RemoteReadConfig {
    type Error = String;

    fn try_from(mut keys: RemoteReadKeys) -> Result<Self, String> {
        let http = keys.take_http();
        let url = checked_url(keys.url, "remote_read")?;
        let headers = keys.headers.unwrap_or_default();
        net::config::check_plain_headers(&headers, INSTEAD_OF_AUTHORIZATION)?;
        let http = http?;
        Ok(Self {
            url,
            name: keys.name.unwrap_or_default(),
            timeout: keys.remote_timeout.unwrap_or(Duration::from_secs(60)),
            headers,
            required_matchers: keys.required_matchers.unwrap_or_default(),
            chunked_read_limit: keys.chunked_read_limit.unwrap_or(CHUNKED_READ_LIMIT),
            read_recent: keys.read_recent.unwrap_or(false),
            filter_external_labels: keys.filter_external_labels.unwrap_or(true),
            http,
        })
    }
}

/// Checks that names are not given twice.
///
/// # Errors
/// Names the one that is.
pub fn check_read_names(configs: &[RemoteReadConfig]) -> Result<(), String> {
    for (idx, config) in configs.iter().enumerate().filter(|(_, config)| !config.name.is_empty()) {
        if configs[..idx].iter().any(|other| other.name == config.name) {
            return Err(format!("found multiple remote read configs with job name {:?}", config.name));
        }
    }
    Ok(())
}

fn checked_url(url: Option<String>, section: &str) -> Result<Url, String> {
    let url = url.filter(|url| !url.is_empty()).ok_or_else(|| format!("url for {section} is empty"))?;
    let url = Url::parse(&url).map_err(|err| format!("url {url:?} of {section}: {err}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("url of {section} must begin with http:// or https://, not {}://", url.scheme()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let got = match model::yaml::parse::<Vec<RemoteWriteConfig>>("c.yml", text) {
            Ok(configs) => check_names(&configs).err().unwrap_or_default(),
            Err(err) => err.to_string(),
        };
        assert!(got.contains(expected) && (expected.is_empty() == got.is_empty()), "{text}: {got}");
    }

    #[test]
    fn what_prometheus_refuses_is_refused_in_its_words() {
        check("- name: a", "url for remote_write is empty");
        check(
            "- {url: 'http://h', name: a}\n- {url: 'http://h', name: a}",
            "found multiple remote write configs with job name \"a\"",
        );
        check("- {url: 'http://h'}\n- {url: 'http://h'}", "");
        check(
            "- {url: 'http://h', headers: {x-prometheus-remote-write-version: x}}",
            "is a reserved header. It must not be changed",
        );
        check("- {url: 'http://h', headers: {Authorization: x}}", "authorization header must be changed via");
        check("- {url: 'http://h', queue_config: {max_shards: 0}}", "max_shards must be positive");
        check("- {url: 'http://h', queue_config: {min_shards: 0}}", "min_shards must be positive");
        check(
            "- {url: 'http://h', queue_config: {min_shards: 51}}",
            "min_shards must not be greater than max_shards",
        );
        check(
            "- {url: 'http://h', queue_config: {max_samples_per_send: 0}}",
            "max_samples_per_send must be positive",
        );
        check("- {url: 'http://h', queue_config: {capacity: 0}}", "capacity must be positive");
        check(
            "- {url: 'http://h', queue_config: {max_backoff: 1ms}}",
            "max_backoff must not be less than min_backoff",
        );
        check("- {url: 'http://h', protobuf_message: x}", "invalid protobuf_message value");
        check("- {url: 'http://h', write_relabel_configs: [null]}", "empty or null relabeling rule");
        check("- {url: 'http://h', sigv4: {region: r}}", "");
        check(
            "- {url: 'http://h', sigv4: {access_key: a}}",
            "must provide a AWS SigV4 Access key and Secret Key",
        );
        check(
            "- {url: 'http://h', sigv4: {}, google_iam: {}, basic_auth: {username: u}}",
            "must be configured. Currently configured: [basic_auth sigv4 google_iam]",
        );
        check("- {url: 'http://h', azuread: {}}", "must provide an Azure Managed Identity, Azure Workload");
        check("- {url: 'http://h', round_robin_dns: true}", "");
        check("- {url: 'http://h', nonsense: 1}", "nonsense");
    }

    #[test]
    fn defaults_are_those_of_prometheus() {
        let text = "- {url: 'http://h/w', queue_config: {retry_on_http_429: true, capacity: 5}, metadata_config: {send: false}}";
        let config = &model::yaml::parse::<Vec<RemoteWriteConfig>>("c.yml", text).unwrap()[0];
        assert_eq!(
            config.queue,
            QueueConfig { retry_on_http_429: true, capacity: 5, ..QueueConfig::default() }
        );
        assert_eq!(config.metadata, MetadataConfig { send: false, ..MetadataConfig::default() });
        assert_eq!((config.timeout, config.message), (Duration::from_secs(30), WriteMessage::V1));
        assert!(config.http.follow_redirects && !config.http.enable_http2);
    }
}
