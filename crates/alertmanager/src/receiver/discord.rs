//! Discord: one embed through a webhook.

use std::path::PathBuf;

use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};

use super::value::{check_webhook, cut, non_empty, or_template};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure};

/// Longest texts, in characters. Discord's limits.
const TITLE_CHARS_MAX: usize = 256;
const DESCRIPTION_CHARS_MAX: usize = 4096;
const CONTENT_CHARS_MAX: usize = 2000;
const RED: u32 = 0x99_2d_22;
const GREEN: u32 = 0x2e_cc_71;

/// `discord_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    webhook_url: Option<Secret>,
    webhook_url_file: Option<PathBuf>,
    content: Option<String>,
    title: Option<String>,
    message: Option<String>,
    username: Option<String>,
    avatar_url: Option<String>,
}

#[derive(Debug)]
pub(super) struct Discord {
    http: HttpClientConfig,
    url: Source,
    content: String,
    title: String,
    message: String,
    username: String,
    avatar_url: String,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Discord, Fault> {
        Ok(Discord {
            http: checker.http(self.http_config.as_ref()),
            url: check_webhook(checker, &self.webhook_url, &self.webhook_url_file)?,
            content: self.content.clone().unwrap_or_default(),
            title: or_template(&self.title, "discord.default.title"),
            message: or_template(&self.message, "discord.default.message"),
            username: self.username.clone().unwrap_or_default(),
            avatar_url: non_empty(&self.avatar_url).unwrap_or_default(),
        })
    }
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    content: String,
    embeds: [Embed; 1],
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    avatar_url: &'a str,
}

#[derive(Debug, Serialize)]
struct Embed {
    title: String,
    description: String,
    color: u32,
}

impl Discord {
    fn message(&self, attempt: &Attempt<'_>) -> Result<Message<'_>, Failure> {
        Ok(Message {
            content: cut(attempt.text(&self.content)?, CONTENT_CHARS_MAX),
            embeds: [Embed {
                title: cut(attempt.text(&self.title)?, TITLE_CHARS_MAX),
                description: cut(attempt.text(&self.message)?, DESCRIPTION_CHARS_MAX),
                color: if attempt.is_firing() { RED } else { GREEN },
            }],
            username: &self.username,
            avatar_url: &self.avatar_url,
        })
    }
}

impl Kind for Discord {
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
