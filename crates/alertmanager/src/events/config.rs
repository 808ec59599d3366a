//! The section `event_recorder` of the file: where events go.
//!
//! Keys, defaults and checks are Alertmanager's.

use std::path::PathBuf;
use std::time::Duration;

use net::{HttpClientConfig, Secret};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::kafka::{KafkaConfig, RawKafka};
use crate::config::{At, Checker, Fault};

/// From Alertmanager, as the others below.
const TIMEOUT: Duration = Duration::from_secs(10);
const WORKERS: usize = 4;
const ATTEMPTS_MAX: u32 = 3;
const BACKOFF: Duration = Duration::from_millis(500);
const BATCH_EVENTS_MAX: usize = 100;
const BATCH_BYTES_MAX: usize = 1 << 20;
const BATCH_FLUSH: Duration = Duration::from_millis(100);

/// The section as it is written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawEvents {
    #[serde(skip_serializing_if = "Option::is_none")]
    file_outputs: Option<Vec<At<RawFile>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_outputs: Option<Vec<At<RawWebhook>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kafka_outputs: Option<Vec<At<RawKafka>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_outputs: Option<Vec<Option<RawStdout>>>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RawFile {
    path: PathBuf,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RawWebhook {
    url: Option<Secret>,
    http_config: Option<HttpClientConfig>,
    timeout: Option<model::Duration>,
    #[serde(deserialize_with = "count")]
    workers: Option<i64>,
    #[serde(deserialize_with = "count")]
    max_retries: Option<i64>,
    retry_backoff: Option<model::Duration>,
    batch: Option<bool>,
    #[serde(deserialize_with = "count")]
    batch_max_events: Option<i64>,
    #[serde(deserialize_with = "count")]
    batch_max_bytes: Option<i64>,
    batch_flush_interval: Option<model::Duration>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RawStdout {}

/// A whole number, also as `1e3`.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<f64>::deserialize(deserializer)? else { return Ok(None) };
    let is_whole = number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX);
    if is_whole { Ok(Some(number as i64)) } else { Err(D::Error::custom("expected a whole number")) }
}

/// The section, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct EventsConfig {
    pub(super) files: Vec<PathBuf>,
    pub(super) webhooks: Vec<WebhookConfig>,
    pub(super) kafkas: Vec<KafkaConfig>,
    /// How often each line is written to standard output.
    pub(super) n_stdout: usize,
}

/// An HTTP endpoint that takes events.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WebhookConfig {
    pub(super) url: Url,
    pub(super) http: HttpClientConfig,
    pub(super) timeout: Duration,
    pub(super) n_workers: usize,
    pub(super) attempts_max: u32,
    pub(super) backoff: Duration,
    pub(super) batch: Option<Batch>,
}

/// How much goes into one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Batch {
    pub(super) events_max: usize,
    /// Of the request; one event that is larger goes alone.
    pub(super) bytes_max: usize,
    /// How long events wait for more.
    pub(super) flush: Duration,
}

impl EventsConfig {
    /// Whether there is anything to tell events to.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.webhooks.is_empty() && self.kafkas.is_empty() && self.n_stdout == 0
    }
}

impl RawEvents {
    /// Checks it. Relative files are relative to the file it stands in.
    pub(crate) fn check(&self, checker: &Checker<'_>) -> Result<EventsConfig, Fault> {
        let files = self.file_outputs.iter().flatten().map(|at| {
            let is_missing = at.value.path.as_os_str().is_empty();
            let missing = || Fault::at(at, "event_recorder file output requires a path");
            if is_missing { Err(missing()) } else { Ok(checker.file(&at.value.path)) }
        });
        let webhooks = self.webhook_outputs.iter().flatten();
        let webhooks = webhooks.map(|at| at.value.check(checker).map_err(|fault| fault.or_at(at)));
        let kafkas = self.kafka_outputs.iter().flatten();
        let kafkas = kafkas.map(|at| at.value.check(checker).map_err(|fault| fault.or_at(at)));
        Ok(EventsConfig {
            files: files.collect::<Result<_, _>>()?,
            webhooks: webhooks.collect::<Result<_, _>>()?,
            kafkas: kafkas.collect::<Result<_, _>>()?,
            n_stdout: self.stdout_outputs.iter().flatten().count(),
        })
    }
}

/// What is not set, or below one, is the default.
pub(super) fn above_zero<T: TryFrom<i64>>(value: Option<i64>, default: T) -> T {
    value.filter(|value| *value > 0).and_then(|value| T::try_from(value).ok()).unwrap_or(default)
}

fn set(duration: Option<model::Duration>, default: Duration) -> Duration {
    let ms = duration.map_or(0, model::Duration::as_ms);
    if ms > 0 { Duration::from_millis(ms.unsigned_abs()) } else { default }
}

impl RawWebhook {
    fn check(&self, checker: &Checker<'_>) -> Result<WebhookConfig, Fault> {
        let url = self.url.as_ref().filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| Fault::new("event_recorder webhook output requires a url"))?;
        let url = crate::receiver::parse_url(url.expose())
            .map_err(|_| Fault::new("event_recorder webhook output requires an absolute http(s) url"))?;
        let counts = [self.batch_max_events, self.batch_max_bytes];
        if counts.iter().flatten().any(|count| *count < 0) {
            return Err(Fault::new("event_recorder webhook batch settings cannot be negative"));
        }
        let is_batch = self.batch == Some(true);
        let has_interval = self.batch_flush_interval.is_some_and(|interval| interval.as_ms() > 0);
        if !is_batch && (has_interval || counts.iter().flatten().any(|count| *count > 0)) {
            return Err(Fault::new("event_recorder webhook batch settings require batch: true"));
        }
        // Of receivers `global.http_config` is the default; not of these, as upstream has it.
        let http = self.http_config.as_ref().map(|own| checker.http(Some(own))).unwrap_or_default();
        Ok(WebhookConfig {
            url,
            http,
            timeout: set(self.timeout, TIMEOUT),
            n_workers: above_zero(self.workers, WORKERS),
            attempts_max: above_zero(self.max_retries, ATTEMPTS_MAX),
            backoff: set(self.retry_backoff, BACKOFF),
            batch: is_batch.then(|| Batch {
                events_max: above_zero(self.batch_max_events, BATCH_EVENTS_MAX),
                bytes_max: above_zero(self.batch_max_bytes, BATCH_BYTES_MAX),
                flush: set(self.batch_flush_interval, BATCH_FLUSH),
            }),
        })
    }
}
