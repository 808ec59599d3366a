//! Telegram: one message of a bot.

use std::collections::BTreeMap;
use std::path::PathBuf;

use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};
use url::Url;

use super::value::{api_url, below, cut, or_template};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure};

const API_URL: &str = "https://api.telegram.org";
/// Longest message, in characters. Telegram's limit.
const MESSAGE_CHARS_MAX: usize = 4096;
/// Longest subject in what is said instead of a message that is too long, in characters. Chosen.
const SUBJECT_CHARS_MAX: usize = 1024;

/// `telegram_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    api_url: Option<String>,
    bot_token: Option<Secret>,
    bot_token_file: Option<PathBuf>,
    chat_id: Option<i64>,
    chat_id_file: Option<PathBuf>,
    message_thread_id: Option<i64>,
    message: Option<String>,
    disable_notifications: Option<bool>,
    parse_mode: Option<String>,
}

#[derive(Debug)]
pub(super) struct Telegram {
    http: HttpClientConfig,
    url: Url,
    token: Source,
    /// A number, in place or in a file.
    chat_id: Source,
    thread_id: i64,
    message: String,
    is_silent: bool,
    parse_mode: String,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Telegram, Fault> {
        let global = checker.global;
        let token = checker.one_of_or_global(
            ("bot_token", &self.bot_token),
            ("bot_token_file", &self.bot_token_file),
            (&global.telegram_bot_token, &global.telegram_bot_token_file),
        )?;
        let chat_id = self.chat_id.filter(|id| *id != 0).map(|id| Secret::new(id.to_string()));
        let chat_id = checker.one_of(("chat_id", &chat_id), ("chat_id_file", &self.chat_id_file))?;
        let parse_mode = self.parse_mode.clone().unwrap_or_else(|| "HTML".to_owned());
        if !["", "Markdown", "MarkdownV2", "HTML"].contains(&parse_mode.as_str()) {
            return Err(Fault::new(
                "unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty string",
            ));
        }
        Ok(Telegram {
            http: checker.http(self.http_config.as_ref()),
            url: api_url(&self.api_url, &global.telegram_api_url, API_URL)?,
            token: token
                .ok_or_else(|| Fault::new("missing bot_token or bot_token_file on telegram_config"))?,
            chat_id: chat_id
                .ok_or_else(|| Fault::new("missing chat_id or chat_id_file on telegram_config"))?,
            thread_id: self.message_thread_id.unwrap_or(0),
            message: or_template(&self.message, "telegram.default.message"),
            is_silent: self.disable_notifications.unwrap_or(false),
            parse_mode,
        })
    }
}

impl Telegram {
    /// The message. HTML cannot be cut anywhere, so that one that is too long gives way to its subject.
    fn text(&self, attempt: &Attempt<'_>) -> Result<String, Failure> {
        if self.parse_mode != "HTML" {
            return Ok(cut(attempt.text(&self.message)?, MESSAGE_CHARS_MAX));
        }
        let html = attempt.html(&self.message)?;
        let n_chars = html.chars().count();
        if n_chars <= MESSAGE_CHARS_MAX {
            return Ok(html);
        }
        let subject = attempt.html(r#"{{ template "__subject" . }}"#)?;
        let subject = if subject.chars().count() <= SUBJECT_CHARS_MAX { subject } else { String::new() };
        let url = attempt.html(r#"{{ template "__alertmanagerURL" . }}"#)?;
        Ok(format!(
            "{subject}\n{url}\n(The whole message has {n_chars} characters; Telegram takes {MESSAGE_CHARS_MAX}.)"
        ))
    }

    fn parameters(&self, attempt: &Attempt<'_>) -> Result<BTreeMap<&'static str, String>, Failure> {
        let chat_id = attempt.secret(&self.chat_id)?;
        let chat_id: i64 =
            chat_id.parse().map_err(|_| Failure::fatal(format!("chat_id {chat_id:?} is not a number")))?;
        let mut parameters = BTreeMap::from([
            ("chat_id", chat_id.to_string()),
            ("text", self.text(attempt)?),
            ("disable_web_page_preview", "true".to_owned()),
        ]);
        if self.is_silent {
            parameters.insert("disable_notification", "true".to_owned());
        }
        if !self.parse_mode.is_empty() {
            parameters.insert("parse_mode", self.parse_mode.clone());
        }
        if self.thread_id != 0 {
            parameters.insert("message_thread_id", self.thread_id.to_string());
        }
        Ok(parameters)
    }
}

impl Kind for Telegram {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let token = attempt.secret(&self.token)?;
            let url = below(&self.url, &format!("bot{token}/sendMessage"));
            let answer = attempt.post_json(url.as_str(), &self.parameters(attempt)?).await;
            // What Telegram says may name the bot by its token.
            let redact = |failure: Failure| Failure {
                message: failure.message.replace(&token, "<redacted>"),
                ..failure
            };
            answer.map_err(redact)
        })
    }
}
