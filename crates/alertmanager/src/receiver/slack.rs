//! Slack: one attachment, through an incoming webhook or an app; an app may change its message instead of sending another.

use std::path::PathBuf;
use std::time::Duration;

use net::config::Authorization;
use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};

use super::value::{GoDuration, check_url, cut, non_empty, or_template, timeout_of};
use super::{Kind, Sending, Source};
use crate::config::{At, Checker, Fault};
use crate::notify::{ANSWER_CHARS_MAX, Attempt, Failure};

/// Slack cuts longer titles itself, with less grace.
const TITLE_CHARS_MAX: usize = 1024;

/// Where messages of Slack apps go.
pub(crate) const APP_URL: &str = "https://slack.com/api/chat.postMessage";

/// What stands for the last part of [`APP_URL`]'s path when a message is changed.
const UPDATE_PATH: &str = "chat.update";

/// What is noted of a message to find it again, by upstream's names.
const NOTED_TIMESTAMP: &str = "threadTs";
const NOTED_CHANNEL: &str = "channelId";

/// One field of a Slack attachment. Texts are templates.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SlackField {
    pub(crate) title: String,
    pub(crate) value: String,
    pub(crate) short: Option<bool>,
}

/// The question before an action.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SlackConfirm {
    pub(crate) text: String,
    pub(crate) title: Option<String>,
    pub(crate) ok_text: Option<String>,
    pub(crate) dismiss_text: Option<String>,
}

/// A button.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SlackAction {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) url: Option<String>,
    pub(crate) style: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) confirm: Option<SlackConfirm>,
}

/// Slack's texts, all templates; `None` takes upstream's default template.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    api_url: Option<Secret>,
    api_url_file: Option<PathBuf>,
    app_token: Option<Secret>,
    app_token_file: Option<PathBuf>,
    app_url: Option<String>,
    channel: Option<String>,
    username: Option<String>,
    color: Option<String>,
    title: Option<String>,
    title_link: Option<String>,
    pretext: Option<String>,
    text: Option<String>,
    message_text: Option<String>,
    fields: Option<Vec<At<SlackField>>>,
    short_fields: Option<bool>,
    footer: Option<String>,
    fallback: Option<String>,
    callback_id: Option<String>,
    icon_emoji: Option<String>,
    icon_url: Option<String>,
    image_url: Option<String>,
    thumb_url: Option<String>,
    link_names: Option<bool>,
    mrkdwn_in: Option<Vec<String>>,
    actions: Option<Vec<At<SlackAction>>>,
    update_message: Option<At<bool>>,
    timeout: Option<GoDuration>,
}

/// A checked Slack receiver.
#[derive(Debug)]
pub(super) struct Slack {
    http: HttpClientConfig,
    url: Source,
    timeout: Option<Duration>,
    texts: Texts,
    message_text: String,
    fields: Vec<SlackField>,
    short_fields: bool,
    link_names: bool,
    mrkdwn_in: Vec<String>,
    actions: Vec<SlackAction>,
    updates_message: bool,
}

/// Templates of one text each.
#[derive(Debug)]
struct Texts {
    channel: String,
    username: String,
    color: String,
    title: String,
    title_link: String,
    pretext: String,
    text: String,
    footer: String,
    fallback: String,
    callback_id: String,
    icon_emoji: String,
    icon_url: String,
    image_url: String,
    thumb_url: String,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Slack, Fault> {
        let (url, http) = self.checked_address(checker)?;
        let update = self.update_message.as_ref().filter(|at| at.value);
        // A webhook's answer names no message.
        let is_app = matches!(&url, Source::Inline(url) if url.expose().ends_with("/api/chat.postMessage"));
        if let Some(at) = update.filter(|_| !is_app) {
            return Err(Fault::at(
                at,
                format!("update_message can only be used with bot tokens. api_url must be set to {APP_URL}"),
            ));
        }
        let mrkdwn_in = || ["fallback", "pretext", "text"].map(str::to_owned).to_vec();
        Ok(Slack {
            http,
            url,
            timeout: timeout_of(self.timeout),
            texts: self.texts(),
            message_text: self.message_text.clone().unwrap_or_default(),
            fields: self.fields.iter().flatten().map(check_field).collect::<Result<_, _>>()?,
            short_fields: self.short_fields.unwrap_or(false),
            link_names: self.link_names.unwrap_or(false),
            mrkdwn_in: self.mrkdwn_in.clone().unwrap_or_else(mrkdwn_in),
            actions: self.actions.iter().flatten().map(check_action).collect::<Result<_, _>>()?,
            updates_message: update.is_some(),
        })
    }
}

impl Keys {
    /// An incoming webhook, or the app interface with its token.
    fn checked_address(&self, checker: &Checker<'_>) -> Result<(Source, HttpClientConfig), Fault> {
        let global = checker.global;
        let mut http = checker.http(self.http_config.as_ref());
        let url = checker.one_of(("api_url", &self.api_url), ("api_url_file", &self.api_url_file))?;
        let own_token =
            checker.one_of(("app_token", &self.app_token), ("app_token_file", &self.app_token_file))?;
        if url.is_some() && own_token.is_some() {
            return Err(Fault::new(
                "at most one of api_url/api_url_file & app_token/app_token_file must be configured",
            ));
        }
        let has_own_authorization =
            self.http_config.as_ref().is_some_and(|http| http.authorization.is_some());
        let token = match own_token {
            None if url.is_none() && !has_own_authorization => checker.one_of(
                ("slack_app_token", &global.slack_app_token),
                ("slack_app_token_file", &global.slack_app_token_file),
            )?,
            own_token => own_token,
        };
        if let Some(token) = token {
            if has_own_authorization {
                return Err(Fault::new("http authorization can't be set when using Slack App tokens"));
            }
            http.authorization = Some(match token {
                Source::Inline(credentials) => Authorization { credentials, ..Authorization::default() },
                Source::File(path) => {
                    Authorization { credentials_file: Some(path), ..Authorization::default() }
                }
            });
            let app_url = non_empty(&self.app_url).or_else(|| non_empty(&global.slack_app_url));
            let app_url = app_url.unwrap_or_else(|| APP_URL.to_owned());
            check_url(&app_url)?;
            return Ok((Source::Inline(Secret::new(app_url)), http));
        }
        let inherited = checker.one_of(
            ("slack_api_url", &global.slack_api_url),
            ("slack_api_url_file", &global.slack_api_url_file),
        )?;
        let url = url.or(inherited);
        let url =
            url.ok_or_else(|| Fault::new("no Slack API URL nor App token set either inline or in a file"))?;
        if let Source::Inline(url) = &url {
            check_url(url.expose())?;
        }
        Ok((url, http))
    }

    fn texts(&self) -> Texts {
        let or_default =
            |own: &Option<String>, name: &str| or_template(own, &format!("slack.default.{name}"));
        Texts {
            channel: self.channel.clone().unwrap_or_default(),
            username: or_default(&self.username, "username"),
            color: or_default(&self.color, "color"),
            title: or_default(&self.title, "title"),
            title_link: or_default(&self.title_link, "titlelink"),
            pretext: or_default(&self.pretext, "pretext"),
            text: or_default(&self.text, "text"),
            footer: or_default(&self.footer, "footer"),
            fallback: or_default(&self.fallback, "fallback"),
            callback_id: or_default(&self.callback_id, "callbackid"),
            icon_emoji: or_default(&self.icon_emoji, "iconemoji"),
            icon_url: or_default(&self.icon_url, "iconurl"),
            image_url: self.image_url.clone().unwrap_or_default(),
            thumb_url: self.thumb_url.clone().unwrap_or_default(),
        }
    }
}

fn check_field(field: &At<SlackField>) -> Result<SlackField, Fault> {
    let missing = |what| Fault::at(field, format!("missing {what} in Slack field configuration"));
    if field.value.title.is_empty() {
        return Err(missing("title"));
    }
    if field.value.value.is_empty() { Err(missing("value")) } else { Ok(field.value.clone()) }
}

fn check_action(action: &At<SlackAction>) -> Result<SlackAction, Fault> {
    let missing = |what| Err(Fault::at(action, format!("missing {what} in Slack action configuration")));
    let is_empty = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    let value = &action.value;
    if value.kind.is_empty() {
        return missing("type");
    }
    if value.text.is_empty() {
        return missing("text");
    }
    if is_empty(&value.url) && is_empty(&value.name) {
        return missing("name or url");
    }
    if value.confirm.as_ref().is_some_and(|confirm| confirm.text.is_empty()) {
        return Err(Fault::at(action, "missing text in Slack confirmation configuration"));
    }
    let mut action = value.clone();
    if !is_empty(&action.url) {
        // A link is no button of a message: what belongs to one is left out, as upstream does.
        (action.name, action.value, action.confirm) = (None, None, None);
    }
    Ok(action)
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
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    /// Of the message to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<String>,
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
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
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

fn opt(attempt: &Attempt<'_>, text: &Option<String>) -> Result<String, Failure> {
    text.as_ref().map_or(Ok(String::new()), |text| attempt.text(text))
}

impl Slack {
    fn field(&self, attempt: &Attempt<'_>, field: &SlackField) -> Result<Field, Failure> {
        Ok(Field {
            title: attempt.text(&field.title)?,
            value: attempt.text(&field.value)?,
            short: field.short.unwrap_or(self.short_fields),
        })
    }

    fn message(&self, attempt: &Attempt<'_>) -> Result<Message<'_>, Failure> {
        let fill = |text: &str| attempt.text(text);
        let texts = &self.texts;
        let attachment = Attachment {
            title: cut(fill(&texts.title)?, TITLE_CHARS_MAX),
            title_link: fill(&texts.title_link)?,
            pretext: fill(&texts.pretext)?,
            text: fill(&texts.text)?,
            fallback: fill(&texts.fallback)?,
            callback_id: fill(&texts.callback_id)?,
            fields: self.fields.iter().map(|field| self.field(attempt, field)).collect::<Result<_, _>>()?,
            actions: self
                .actions
                .iter()
                .map(|action| filled_action(attempt, action))
                .collect::<Result<_, _>>()?,
            image_url: fill(&texts.image_url)?,
            thumb_url: fill(&texts.thumb_url)?,
            footer: fill(&texts.footer)?,
            color: fill(&texts.color)?,
            mrkdwn_in: &self.mrkdwn_in,
        };
        Ok(Message {
            channel: fill(&texts.channel)?,
            username: fill(&texts.username)?,
            icon_emoji: fill(&texts.icon_emoji)?,
            icon_url: fill(&texts.icon_url)?,
            link_names: self.link_names,
            text: fill(&self.message_text)?,
            ts: None,
            attachments: [attachment],
        })
    }
}

fn filled_action(attempt: &Attempt<'_>, action: &SlackAction) -> Result<Action, Failure> {
    let confirm = |confirm: &SlackConfirm| {
        Ok(Confirm {
            text: attempt.text(&confirm.text)?,
            title: opt(attempt, &confirm.title)?,
            ok_text: opt(attempt, &confirm.ok_text)?,
            dismiss_text: opt(attempt, &confirm.dismiss_text)?,
        })
    };
    Ok(Action {
        kind: attempt.text(&action.kind)?,
        text: attempt.text(&action.text)?,
        url: opt(attempt, &action.url)?,
        style: opt(attempt, &action.style)?,
        name: opt(attempt, &action.name)?,
        value: opt(attempt, &action.value)?,
        confirm: action.confirm.as_ref().map(confirm).transpose()?,
    })
}

impl Kind for Slack {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let mut message = self.message(attempt)?;
            let mut url = attempt.secret(&self.url)?;
            let last = (attempt.noted(NOTED_TIMESTAMP), attempt.noted(NOTED_CHANNEL));
            if let (true, (Some(timestamp), Some(channel))) = (self.updates_message, last) {
                message.ts = Some(timestamp);
                message.channel = channel;
                url = url.replace("chat.postMessage", UPDATE_PATH);
            }
            let response = attempt.ask_post(&url, &message).await?;
            check_answer(&response.body)?;
            if self.updates_message {
                note_message(attempt, &response.body);
            }
            Ok(())
        })
    }
}

/// Notes which message an answer is about, if it says so.
fn note_message(attempt: &Attempt<'_>, body: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(body) else { return };
    let text = |key: &str| answer.get(key).and_then(|value| value.as_str()).filter(|text| !text.is_empty());
    if let (Some(timestamp), Some(channel)) = (text("ts"), text("channel")) {
        attempt.note(NOTED_TIMESTAMP, timestamp);
        attempt.note(NOTED_CHANNEL, channel);
    }
}

/// Slack says 200 also when it refuses: `ok` or `{"ok":true}` is a yes.
fn check_answer(body: &[u8]) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let refuse = |what: &str| {
        let what: String = what.chars().take(ANSWER_CHARS_MAX).collect();
        Err(Failure::refused(format!("Slack refused the message: {what}")))
    };
    if text.is_empty() || text == "ok" {
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
