//! Telling: from a group of alerts to a webhook's JSON, an e-mail, a Slack message.
//!
//! In from the dispatcher, through the driver: one [`Notification`] and one integration; out to sockets.
//! One attempt per call; when to try again is the dispatcher's business. Secrets in files are read at each attempt.

mod data;
mod email;
mod functions;
mod slack;
mod template;
mod webhook;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Labels;
use net::{HttpClient, HttpClientConfig, Limits, Request, Response};
use stdx::Dir;
use url::Url;

use crate::config::{Config, ConfigError, Integration, Kind, Source};
use crate::dispatch::{Outcome, Reason, Snapshot};
use template::Templates;

/// Longest answer of a receiver that is read, in bytes. Chosen: only the beginning is shown, in the log.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How much of an answer an error shows, in characters.
const ANSWER_CHARS_MAX: usize = 256;

/// One message: what is said to one receiver about one group.
#[derive(Debug, Clone)]
pub(crate) struct Notification {
    pub(crate) receiver: String,
    pub(crate) group_key: String,
    pub(crate) group_labels: Labels,
    /// Templates, filled in for each message.
    pub(crate) route_labels: BTreeMap<String, String>,
    /// Upstream's words for why it is sent.
    pub(crate) reason: &'static str,
    /// By job, instance, labels.
    pub(crate) alerts: Vec<Snapshot>,
    /// When it was decided; what templates see as now.
    pub(crate) now_ms: i64,
}

/// Whether the templates of `config` can be read.
pub(crate) fn check_templates(config: &Config) -> Result<(), ConfigError> {
    Templates::new(config).map(|_| ())
}

/// Everything an attempt needs, for one configuration.
#[derive(Debug)]
pub(crate) struct Notifier {
    templates: Templates,
    external_url: String,
    files: Arc<dyn Dir>,
    /// By receiver, kind and index.
    clients: HashMap<(String, &'static str, usize), HttpClient>,
}

impl Notifier {
    /// Reads templates and TLS files.
    ///
    /// # Errors
    /// When one of them is not usable.
    pub(crate) fn new(config: &Config, external_url: &str, files: Arc<dyn Dir>) -> Result<Self, ConfigError> {
        let mut clients = HashMap::new();
        for integration in config.receivers.iter().flat_map(|receiver| &receiver.integrations) {
            let Some(http) = http_of(integration) else { continue };
            let client = HttpClient::new(http).map_err(|err| ConfigError::Client {
                receiver: integration.receiver.clone(),
                message: err.to_string(),
            })?;
            clients.insert((integration.receiver.clone(), integration.name(), integration.idx), client);
        }
        Ok(Self { templates: Templates::new(config)?, external_url: external_url.to_owned(), files, clients })
    }

    /// Tries once; done within `timeout`.
    pub(crate) async fn send(
        &self,
        integration: &Integration,
        notification: &Notification,
        timeout: Duration,
    ) -> Outcome {
        let result = match &integration.kind {
            Kind::Webhook(config) => webhook::send(self, integration, config, notification, timeout).await,
            Kind::Email(config) => email::send(self, config, notification, timeout).await,
            Kind::Slack(config) => slack::send(self, integration, config, notification, timeout).await,
        };
        match result {
            Ok(()) => Outcome::Delivered,
            Err(failure) => Outcome::Failed {
                is_retryable: failure.is_retryable,
                reason: failure.reason,
                message: failure.message,
            },
        }
    }

    /// The text of a secret, now.
    fn read_secret(&self, source: &Source) -> Result<String, Failure> {
        match source {
            Source::Inline(secret) => Ok(secret.expose().to_owned()),
            Source::File(path) => {
                let bytes = self.files.read(path).map_err(|err| Failure::fatal(cannot_read(path, &err)))?;
                let text = String::from_utf8(bytes).map_err(|err| Failure::fatal(cannot_read(path, &err)))?;
                Ok(text.trim().to_owned())
            }
        }
    }

    /// POSTs JSON with the integration's client. Errors never show the URL's path, which often is the secret.
    async fn post(
        &self,
        integration: &Integration,
        url: &str,
        body: String,
        timeout: Duration,
    ) -> Result<Response, Failure> {
        let url = Url::parse(url)
            .map_err(|err| Failure::fatal(format!("the receiver's URL is not a URL: {err}")))?;
        let key = (integration.receiver.clone(), integration.name(), integration.idx);
        let client =
            self.clients.get(&key).ok_or_else(|| Failure::fatal("the receiver has no HTTP client"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let limits =
            Limits { timeout, body_bytes_max: ANSWER_BYTES_MAX, decoded_bytes_max: ANSWER_BYTES_MAX };
        let secret = url.to_string();
        client.request(Request::post(url, "application/json", body), &limits).await.map_err(|err| Failure {
            is_retryable: true,
            reason: if err.is_timeout() { Reason::Deadline } else { Reason::Other },
            message: format!("{host}: {}", err.to_string().replace(&secret, "<redacted>")),
        })
    }
}

fn cannot_read(path: &std::path::Path, err: &dyn std::fmt::Display) -> String {
    format!("cannot read {}: {err}", path.display())
}

fn http_of(integration: &Integration) -> Option<&HttpClientConfig> {
    match &integration.kind {
        Kind::Webhook(config) => Some(&config.http),
        Kind::Slack(config) => Some(&config.http),
        Kind::Email(_) => None,
    }
}

/// Why an attempt failed.
#[derive(Debug)]
struct Failure {
    is_retryable: bool,
    reason: Reason,
    message: String,
}

impl Failure {
    /// One that another attempt cannot mend.
    fn fatal(message: impl Into<String>) -> Self {
        Self { is_retryable: false, reason: Reason::Other, message: message.into() }
    }

    /// Of a template.
    fn template(err: &gotemplate::ExecError) -> Self {
        Self { is_retryable: false, reason: Reason::Client, message: format!("failed to template: {err}") }
    }

    /// Of an answer that is not 2xx: servers in trouble and those that ask for patience are asked again.
    fn check_status(response: &Response) -> Result<(), Self> {
        let status = response.status.as_u16();
        let (is_retryable, reason) = match status {
            200..300 => return Ok(()),
            429 => (true, Reason::RateLimited),
            401 | 403 => (false, Reason::Auth),
            500.. => (true, Reason::Server),
            _ => (false, Reason::Client),
        };
        let text: String = String::from_utf8_lossy(&response.body).chars().take(ANSWER_CHARS_MAX).collect();
        Err(Self {
            is_retryable,
            reason,
            message: format!("unexpected status code {status}: {}", text.trim()),
        })
    }
}

/// Where template files come from in errors.
pub(crate) fn template_error(path: PathBuf, err: &gotemplate::ParseError) -> ConfigError {
    ConfigError::Template { path, message: err.to_string() }
}

#[cfg(test)]
mod tests;
