//! Rocket.Chat: one attachment through `chat.postMessage`.

use std::path::PathBuf;

use http::{HeaderName, Method};
use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::value::{api_url, below, cut, or_template};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure, secret_header};

const API_URL: &str = "https://open.rocket.chat/";
/// Longest title, in characters. Upstream's.
const TITLE_CHARS_MAX: usize = 1024;

/// `rocketchat_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    api_url: Option<String>,
    token_id: Option<Secret>,
    token_id_file: Option<PathBuf>,
    token: Option<Secret>,
    token_file: Option<PathBuf>,
    channel: Option<String>,
    color: Option<String>,
    title: Option<String>,
    title_link: Option<String>,
    text: Option<String>,
    fields: Option<Vec<Field>>,
    short_fields: Option<bool>,
    emoji: Option<String>,
    icon_url: Option<String>,
    image_url: Option<String>,
    thumb_url: Option<String>,
    link_names: Option<bool>,
    actions: Option<Vec<Action>>,
}

#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Field {
    short: Option<bool>,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
}

/// A button. The names without underlines are those that Alertmanager reads.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Action {
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
    #[serde(alias = "imageurl", skip_serializing_if = "String::is_empty")]
    image_url: String,
    #[serde(alias = "iswebview")]
    is_webview: bool,
    #[serde(alias = "webviewheightratio", skip_serializing_if = "String::is_empty")]
    webview_height_ratio: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    msg: String,
    #[serde(alias = "msginchatwindow")]
    msg_in_chat_window: bool,
    #[serde(alias = "msgprocessingtype", skip_serializing_if = "String::is_empty")]
    msg_processing_type: String,
}

#[derive(Debug)]
pub(super) struct RocketChat {
    http: HttpClientConfig,
    url: Url,
    token: Source,
    token_id: Source,
    color: String,
    title: String,
    title_link: String,
    text: String,
    emoji: String,
    icon_url: String,
    keys: Keys,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<RocketChat, Fault> {
        let global = checker.global;
        let token = checker.one_of_or_global(
            ("token", &self.token),
            ("token_file", &self.token_file),
            (&global.rocketchat_token, &global.rocketchat_token_file),
        )?;
        let token_id = checker.one_of_or_global(
            ("token_id", &self.token_id),
            ("token_id_file", &self.token_id_file),
            (&global.rocketchat_token_id, &global.rocketchat_token_id_file),
        )?;
        let missing =
            |what| Fault::new(format!("no global Rocketchat {what} set either inline or in a file"));
        let or_default =
            |own: &Option<String>, name: &str| or_template(own, &format!("rocketchat.default.{name}"));
        let color = || r#"{{ if eq .Status "firing" }}red{{ else }}green{{ end }}"#.to_owned();
        Ok(RocketChat {
            http: checker.http(self.http_config.as_ref()),
            url: api_url(&self.api_url, &global.rocketchat_api_url, API_URL)?,
            token_id: token_id.ok_or_else(|| missing("TokenID"))?,
            token: token.ok_or_else(|| missing("Token"))?,
            color: self.color.clone().unwrap_or_else(color),
            title: or_default(&self.title, "title"),
            title_link: or_default(&self.title_link, "titlelink"),
            text: or_default(&self.text, "text"),
            emoji: or_default(&self.emoji, "emoji"),
            icon_url: or_default(&self.icon_url, "iconurl"),
            keys: self.clone(),
        })
    }
}

#[derive(Debug, Serialize)]
struct Message {
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    emoji: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    avatar: String,
    attachments: [Attachment; 1],
}

#[derive(Debug, Serialize)]
struct Attachment {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title_link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    image_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thumb_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Action>,
}

impl RocketChat {
    fn message(&self, attempt: &Attempt<'_>) -> Result<Message, Failure> {
        let keys = &self.keys;
        let fill = |text: &Option<String>| attempt.text(text.as_deref().unwrap_or_default());
        let field = |field: &Field| {
            Ok(Field {
                short: Some(field.short.or(keys.short_fields).unwrap_or(false)),
                title: attempt.text(&field.title)?,
                value: attempt.text(&field.value)?,
            })
        };
        let action = |action: &Action| {
            Ok(Action {
                // The only type that Rocket.Chat shows.
                kind: "button".to_owned(),
                text: attempt.text(&action.text)?,
                url: attempt.text(&action.url)?,
                msg: attempt.text(&action.msg)?,
                image_url: attempt.text(&action.image_url)?,
                ..action.clone()
            })
        };
        let attachment = Attachment {
            title: cut(attempt.text(&self.title)?, TITLE_CHARS_MAX),
            title_link: attempt.text(&self.title_link)?,
            text: attempt.text(&self.text)?,
            image_url: fill(&keys.image_url)?,
            thumb_url: fill(&keys.thumb_url)?,
            color: attempt.text(&self.color)?,
            fields: keys.fields.iter().flatten().map(field).collect::<Result<_, Failure>>()?,
            actions: keys.actions.iter().flatten().map(action).collect::<Result<_, Failure>>()?,
        };
        Ok(Message {
            channel: fill(&keys.channel)?,
            emoji: attempt.text(&self.emoji)?,
            avatar: attempt.text(&self.icon_url)?,
            attachments: [attachment],
        })
    }
}

impl Kind for RocketChat {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let header = |name| HeaderName::from_static(name);
            let mut headers = secret_header(header("x-auth-token"), &attempt.secret(&self.token)?)?;
            headers.extend(secret_header(header("x-user-id"), &attempt.secret(&self.token_id)?)?);
            let message = self.message(attempt)?;
            let url = below(&self.url, "api/v1/chat.postMessage");
            let response = attempt.ask_json(Method::POST, url, headers, &message).await?;
            // It says 200 also when it refuses.
            let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            match answer["success"].as_bool() {
                Some(true) => Ok(()),
                _ => {
                    let said = answer["error"].as_str().unwrap_or("no reason given");
                    Err(Failure::refused(format!("Rocket.Chat refused the message: {said}")))
                }
            }
        })
    }
}
