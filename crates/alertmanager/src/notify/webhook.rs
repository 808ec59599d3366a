//! Webhooks: the version 4 message as Alertmanager sends it, byte for byte.

use std::time::Duration;

use serde::Serialize;

use super::data::{AlertData, Data, Kv, status};
use super::{Failure, Notification, Notifier};
use crate::config::{Integration, Webhook};
use crate::time::go_rfc3339;

/// Keys in Go's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
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

/// The body.
pub(super) fn body(data: &Data, group_key: &str) -> String {
    let message = Message {
        receiver: &data.receiver,
        status: data.status(),
        alerts: data.alerts.iter().map(Alert::from).collect(),
        notification_reason: data.reason,
        group_labels: &data.group_labels,
        common_labels: &data.common_labels,
        common_annotations: &data.common_annotations,
        route_labels: &data.route_labels,
        external_url: &data.external_url,
        version: "4",
        group_key,
        truncated_alerts: data.n_truncated,
    };
    go_json(&message)
}

/// JSON as Go's encoder writes it: no raw `<`, `>`, `&`, and a newline at the end.
pub(super) fn go_json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("texts, numbers and maps of texts always serialise");
    let mut out = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        // These occur only inside of strings.
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}

pub(super) async fn send(
    notifier: &Notifier,
    integration: &Integration,
    config: &Webhook,
    notification: &Notification,
    timeout: Duration,
) -> Result<(), Failure> {
    let mut data = Data::new(notification, &notifier.external_url, config.alerts_max);
    notifier
        .templates
        .fill_route_labels(&mut data, notification.now_ms)
        .map_err(|err| Failure::template(&err))?;
    let url = notifier.read_secret(&config.url)?;
    let url =
        notifier.templates.text(&url, &data, notification.now_ms).map_err(|err| Failure::template(&err))?;
    let timeout = config.timeout.map_or(timeout, |own| own.min(timeout));
    let body = body(&data, &notification.group_key);
    let response = notifier.post(integration, &url, body, timeout).await?;
    Failure::check_status(&response)
}
