//! Mattermost: attachments through an incoming webhook.

use std::path::PathBuf;

use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};

use super::value::{check_url, cut, or_template};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure};

/// Longest text, in characters. Mattermost's limit.
const TEXT_CHARS_MAX: usize = 16_383;

/// `mattermost_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    webhook_url: Option<Secret>,
    webhook_url_file: Option<PathBuf>,
    channel: Option<String>,
    username: Option<String>,
    icon_url: Option<String>,
    icon_emoji: Option<String>,
    text: Option<String>,
    fallback: Option<String>,
    color: Option<String>,
    pretext: Option<String>,
    author_name: Option<String>,
    author_link: Option<String>,
    author_icon: Option<String>,
    title: Option<String>,
    title_link: Option<String>,
    fields: Option<Vec<Field>>,
    thumb_url: Option<String>,
    footer: Option<String>,
    footer_icon: Option<String>,
    image_url: Option<String>,
    attachments: Option<Vec<Attachment>>,
    #[serde(rename = "type")]
    kind: Option<String>,
    props: Option<Props>,
    priority: Option<Priority>,
}

/// What stands in one frame. Texts are templates in a file, and filled in in a message.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Attachment {
    #[serde(skip_serializing_if = "String::is_empty")]
    fallback: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pretext: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author_link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author_icon: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title_link: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "String::is_empty")]
    thumb_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    footer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    footer_icon: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    image_url: String,
}

#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Field {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<bool>,
}

#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Props {
    #[serde(skip_serializing_if = "String::is_empty")]
    card: String,
}

#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Priority {
    #[serde(skip_serializing_if = "String::is_empty")]
    priority: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    requested_ack: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    persistent_notifications: bool,
}

#[derive(Debug)]
pub(super) struct Mattermost {
    http: HttpClientConfig,
    url: Source,
    username: String,
    text: String,
    /// Whether the text stands beside the attachments rather than in the only one.
    is_text_beside: bool,
    attachments: Vec<Attachment>,
    keys: Keys,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Mattermost, Fault> {
        let global = checker.global;
        let url = checker.one_of_or_global(
            ("webhook_url", &self.webhook_url),
            ("webhook_url_file", &self.webhook_url_file),
            (&global.mattermost_webhook_url, &global.mattermost_webhook_url_file),
        )?;
        let missing = || Fault::new("missing webhook_url or webhook_url_file on mattermost_config");
        let url = url.ok_or_else(missing)?;
        if let Source::Inline(url) = &url {
            check_url(url.expose())?;
        }
        let attachments = self.attachments.clone().unwrap_or_default();
        let all_fields = self.fields.iter().flatten().chain(attachments.iter().flat_map(|a| &a.fields));
        for field in all_fields {
            for (what, text) in [("title", &field.title), ("value", &field.value)] {
                if text.is_empty() {
                    return Err(Fault::new(format!("missing {what} in Mattermost field configuration")));
                }
            }
        }
        let is_text_beside = !attachments.is_empty();
        Ok(Mattermost {
            http: checker.http(self.http_config.as_ref()),
            url,
            username: or_template(&self.username, "mattermost.default.username"),
            text: or_template(&self.text, "mattermost.default.text"),
            attachments: if is_text_beside { attachments } else { vec![self.only_attachment()] },
            is_text_beside,
            keys: self.clone(),
        })
    }
}

impl Keys {
    /// What the keys outside of `attachments` say, as one attachment.
    fn only_attachment(&self) -> Attachment {
        let given = |text: &Option<String>| text.clone().unwrap_or_default();
        let or_default =
            |own: &Option<String>, name: &str| or_template(own, &format!("mattermost.default.{name}"));
        Attachment {
            fallback: or_default(&self.fallback, "fallback"),
            color: or_default(&self.color, "color"),
            pretext: given(&self.pretext),
            text: or_default(&self.text, "text"),
            author_name: given(&self.author_name),
            author_link: given(&self.author_link),
            author_icon: given(&self.author_icon),
            title: or_default(&self.title, "title"),
            title_link: or_default(&self.title_link, "titlelink"),
            fields: self.fields.clone().unwrap_or_default(),
            thumb_url: given(&self.thumb_url),
            footer: given(&self.footer),
            footer_icon: given(&self.footer_icon),
            image_url: given(&self.image_url),
        }
    }
}

impl Attachment {
    fn filled(&self, attempt: &Attempt<'_>) -> Result<Self, Failure> {
        let field = |field: &Field| {
            Ok(Field {
                title: attempt.text(&field.title)?,
                value: attempt.text(&field.value)?,
                short: field.short,
            })
        };
        Ok(Self {
            fallback: attempt.text(&self.fallback)?,
            color: attempt.text(&self.color)?,
            pretext: attempt.text(&self.pretext)?,
            text: attempt.text(&self.text)?,
            author_name: attempt.text(&self.author_name)?,
            author_link: attempt.text(&self.author_link)?,
            author_icon: attempt.text(&self.author_icon)?,
            title: attempt.text(&self.title)?,
            title_link: attempt.text(&self.title_link)?,
            fields: self.fields.iter().map(field).collect::<Result<_, Failure>>()?,
            thumb_url: attempt.text(&self.thumb_url)?,
            footer: attempt.text(&self.footer)?,
            footer_icon: attempt.text(&self.footer_icon)?,
            image_url: attempt.text(&self.image_url)?,
        })
    }
}

/// Mattermost refuses combinations that make no sense; those become the nearest that does.
fn sensible(priority: Priority) -> Priority {
    let level = match priority.priority.to_lowercase() {
        level if ["urgent", "important"].contains(&level.as_str()) => level,
        _ => "standard".to_owned(),
    };
    Priority {
        requested_ack: priority.requested_ack && level != "standard",
        persistent_notifications: priority.persistent_notifications && level == "urgent",
        priority: level,
    }
}

#[derive(Debug, Serialize)]
struct Message {
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_emoji: String,
    attachments: Vec<Attachment>,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    props: Option<Props>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
}

impl Mattermost {
    fn message(&self, attempt: &Attempt<'_>) -> Result<Message, Failure> {
        let keys = &self.keys;
        let fill = |text: &Option<String>| attempt.text(text.as_deref().unwrap_or_default());
        let text = if self.is_text_beside { attempt.text(&self.text)? } else { String::new() };
        let props = keys.props.as_ref().filter(|props| !props.card.is_empty());
        let priority = keys.priority.as_ref().filter(|priority| !priority.priority.is_empty());
        let attachments = self.attachments.iter().map(|attachment| attachment.filled(attempt));
        Ok(Message {
            text: cut(text, TEXT_CHARS_MAX),
            channel: fill(&keys.channel)?,
            username: attempt.text(&self.username)?,
            icon_url: fill(&keys.icon_url)?,
            icon_emoji: fill(&keys.icon_emoji)?,
            attachments: attachments.collect::<Result<_, _>>()?,
            kind: fill(&keys.kind)?,
            props: props.map(|props| Ok(Props { card: attempt.text(&props.card)? })).transpose()?,
            priority: priority
                .map(|raw| {
                    let level = attempt.text(&raw.priority)?;
                    Ok(sensible(Priority { priority: level, ..raw.clone() }))
                })
                .transpose()?,
        })
    }
}

impl Kind for Mattermost {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let message = self.message(attempt)?;
            attempt.post_json(&attempt.secret(&self.url)?, &message).await
        })
    }
}
