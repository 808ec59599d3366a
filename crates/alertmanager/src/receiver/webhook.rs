//! Webhooks: the version 4 message as Alertmanager sends it, byte for byte.

use std::path::PathBuf;
use std::time::Duration;

use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};

use super::value::{GoDuration, check_template_url, timeout_of};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::{AlertData, Attempt, Data, Kv, status};
use crate::time::go_rfc3339;

/// `webhook_configs`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    #[serde(serialize_with = "masked_url")]
    url: Option<Secret>,
    url_file: Option<PathBuf>,
    max_alerts: Option<u64>,
    timeout: Option<GoDuration>,
    /// Any structure; texts in it are templates.
    payload: Option<serde_json::Value>,
}

/// Shows where a webhook goes, but neither credentials nor path. Stays a URL, since older clients read it as one.
fn masked_url<S: serde::Serializer>(url: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(secret) = url else { return serializer.serialize_none() };
    let parsed = url::Url::parse(secret.expose()).ok().filter(|_| !secret.expose().contains("{{"));
    match parsed.as_ref().map(|url| (url.scheme(), url.host_str(), url.port())) {
        Some((scheme, Some(host), None)) => {
            serializer.collect_str(&format_args!("{scheme}://{host}/<secret>"))
        }
        Some((scheme, Some(host), Some(port))) => {
            serializer.collect_str(&format_args!("{scheme}://{host}:{port}/<secret>"))
        }
        _ => secret.serialize(serializer),
    }
}

/// A checked webhook.
#[derive(Debug)]
pub(super) struct Webhook {
    http: HttpClientConfig,
    /// A URL or a template of one.
    url: Source,
    alerts_max: usize,
    timeout: Option<Duration>,
    /// In place of the version 4 message.
    payload: Option<serde_json::Value>,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Webhook, Fault> {
        let url = checker.one_of(("url", &self.url), ("url_file", &self.url_file))?;
        let url = url.ok_or_else(|| Fault::new("one of url or url_file must be configured"))?;
        if let Source::Inline(url) = &url {
            check_template_url(url.expose())?;
        }
        Ok(Webhook {
            http: checker.http(self.http_config.as_ref()),
            url,
            alerts_max: usize::try_from(self.max_alerts.unwrap_or(0)).unwrap_or(usize::MAX),
            timeout: timeout_of(self.timeout),
            payload: self.payload.clone(),
        })
    }
}

impl Kind for Webhook {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn alerts_max(&self) -> usize {
        self.alerts_max
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let url = attempt.text(&attempt.secret(&self.url)?)?;
            match &self.payload {
                Some(payload) => attempt.post_json(&url, &attempt.structure(payload)?).await,
                None => {
                    let message = Message::new(&attempt.data, &attempt.notification.group_key, "4");
                    attempt.post_json(&url, &message).await
                }
            }
        })
    }
}

/// The message; keys in Go's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Vec<Alert<'a>>,
    #[serde(rename = "notification_reason")]
    notification_reason: &'static str,
    group_labels: &'a Kv,
    common_labels: &'a Kv,
    common_annotations: &'a Kv,
    route_labels: &'a Kv,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: &'a Kv,
    annotations: &'a Kv,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

impl<'a> From<&'a AlertData> for Alert<'a> {
    fn from(alert: &'a AlertData) -> Self {
        Self {
            status: status(alert.is_firing),
            labels: &alert.labels,
            annotations: &alert.annotations,
            starts_at: go_rfc3339(alert.starts_at_ms),
            ends_at: go_rfc3339(alert.ends_at_ms),
            generator_url: &alert.generator_url,
            fingerprint: alert.fingerprint.to_string(),
        }
    }
}

impl<'a> Message<'a> {
    pub(crate) fn new(data: &'a Data, group_key: &'a str, version: &'static str) -> Self {
        Self {
            receiver: &data.receiver,
            status: data.status(),
            alerts: data.alerts.iter().map(Alert::from).collect(),
            notification_reason: data.reason,
            group_labels: &data.group_labels,
            common_labels: &data.common_labels,
            common_annotations: &data.common_annotations,
            route_labels: &data.route_labels,
            external_url: &data.external_url,
            version,
            group_key,
            truncated_alerts: data.n_truncated,
        }
    }

    /// Leaves out all alerts but the first, for receivers that take short messages only.
    pub(super) fn keep_first(&mut self) {
        self.alerts.truncate(1);
    }
}
