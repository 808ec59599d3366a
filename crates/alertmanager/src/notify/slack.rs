//! Slack: one attachment through an incoming webhook.

use std::time::Duration;

use serde::Serialize;

use super::data::Data;
use super::webhook::go_json;
use super::{ANSWER_CHARS_MAX, Failure, Notification, Notifier};
use crate::config::{Integration, Slack, SlackAction, SlackField};
use crate::dispatch::Reason;

/// Slack cuts longer titles itself, with less grace.
const TITLE_CHARS_MAX: usize = 1024;

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_emoji: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_url: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    link_names: bool,
    attachments: [Attachment<'a>; 1],
}

#[derive(Debug, Serialize)]
struct Attachment<'a> {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title_link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pretext: String,
    text: String,
    fallback: String,
    callback_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Action>,
    #[serde(skip_serializing_if = "String::is_empty")]
    image_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thumb_url: String,
    footer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    mrkdwn_in: &'a [String],
}

#[derive(Debug, Serialize)]
struct Field {
    title: String,
    value: String,
    short: bool,
}

#[derive(Debug, Serialize)]
struct Action {
    #[serde(rename = "type")]
    kind: String,
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    style: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<Confirm>,
}

#[derive(Debug, Serialize)]
struct Confirm {
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ok_text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dismiss_text: String,
}

/// Fills in templates; keeps the first error.
struct Filler<'a> {
    notifier: &'a Notifier,
    data: &'a Data,
    now_ms: i64,
    failure: Option<Failure>,
}

impl Filler<'_> {
    fn text(&mut self, text: &str) -> String {
        self.notifier.templates.text(text, self.data, self.now_ms).unwrap_or_else(|err| {
            self.failure.get_or_insert(Failure::template(&err));
            String::new()
        })
    }

    fn opt(&mut self, text: Option<&String>) -> String {
        text.map(|text| self.text(text)).unwrap_or_default()
    }

    fn field(&mut self, field: &SlackField, short_fields: bool) -> Field {
        let (title, value) = (self.text(&field.title), self.text(&field.value));
        Field { title, value, short: field.short.unwrap_or(short_fields) }
    }

    fn action(&mut self, action: &SlackAction) -> Action {
        let confirm = action.confirm.as_ref().map(|confirm| Confirm {
            text: self.text(&confirm.text),
            title: self.opt(confirm.title.as_ref()),
            ok_text: self.opt(confirm.ok_text.as_ref()),
            dismiss_text: self.opt(confirm.dismiss_text.as_ref()),
        });
        Action {
            kind: self.text(&action.kind),
            text: self.text(&action.text),
            url: self.opt(action.url.as_ref()),
            style: self.opt(action.style.as_ref()),
            name: self.opt(action.name.as_ref()),
            value: self.opt(action.value.as_ref()),
            confirm,
        }
    }
}

/// The body.
pub(super) fn body(notifier: &Notifier, config: &Slack, data: &Data, now_ms: i64) -> Result<String, Failure> {
    let mut fill = Filler { notifier, data, now_ms, failure: None };
    let attachment = Attachment {
        title: cut(fill.text(&config.title), TITLE_CHARS_MAX),
        title_link: fill.text(&config.title_link),
        pretext: fill.text(&config.pretext),
        text: fill.text(&config.text),
        fallback: fill.text(&config.fallback),
        callback_id: fill.text(&config.callback_id),
        fields: config.fields.iter().map(|field| fill.field(field, config.short_fields)).collect(),
        actions: config.actions.iter().map(|action| fill.action(action)).collect(),
        image_url: fill.text(&config.image_url),
        thumb_url: fill.text(&config.thumb_url),
        footer: fill.text(&config.footer),
        color: fill.text(&config.color),
        mrkdwn_in: &config.mrkdwn_in,
    };
    let message = Message {
        channel: fill.text(&config.channel),
        username: fill.text(&config.username),
        icon_emoji: fill.text(&config.icon_emoji),
        icon_url: fill.text(&config.icon_url),
        link_names: config.link_names,
        attachments: [attachment],
    };
    match fill.failure {
        Some(failure) => Err(failure),
        None => Ok(go_json(&message)),
    }
}

/// At most `chars_max` characters, the last one an ellipsis when something is left out.
fn cut(text: String, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text;
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

pub(super) async fn send(
    notifier: &Notifier,
    integration: &Integration,
    config: &Slack,
    notification: &Notification,
    timeout: Duration,
) -> Result<(), Failure> {
    let mut data = Data::new(notification, &notifier.external_url, 0);
    notifier
        .templates
        .fill_route_labels(&mut data, notification.now_ms)
        .map_err(|err| Failure::template(&err))?;
    let body = body(notifier, config, &data, notification.now_ms)?;
    let url = notifier.read_secret(&config.url)?;
    let timeout = config.timeout.map_or(timeout, |own| own.min(timeout));
    let response = notifier.post(integration, &url, body, timeout).await?;
    Failure::check_status(&response)?;
    check_answer(&response.body)
}

/// Slack says 200 also when it refuses: `ok` or `{"ok":true}` is a yes.
fn check_answer(body: &[u8]) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let refuse = |what: &str| {
        let what: String = what.chars().take(ANSWER_CHARS_MAX).collect();
        Err(Failure {
            is_retryable: false,
            reason: Reason::Client,
            message: format!("Slack refused the message: {what}"),
        })
    };
    if is_empty(text) || text == "ok" {
        return Ok(());
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) if json.get("ok") == Some(&serde_json::Value::Bool(true)) => Ok(()),
        Ok(json) if json.get("ok").is_some() => {
            refuse(json.get("error").and_then(|e| e.as_str()).unwrap_or("no reason given"))
        }
        _ => refuse(text),
    }
}
