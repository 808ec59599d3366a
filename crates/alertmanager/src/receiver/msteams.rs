//! Microsoft Teams by its old connectors: a message card.

use std::path::PathBuf;

use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};

use super::value::{check_webhook, or_template};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::Attempt;

const RED: &str = "8C1A1A";
const GREEN: &str = "2DC72D";

/// `msteams_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    webhook_url: Option<Secret>,
    webhook_url_file: Option<PathBuf>,
    title: Option<String>,
    summary: Option<String>,
    text: Option<String>,
}

#[derive(Debug)]
pub(super) struct Teams {
    http: HttpClientConfig,
    url: Source,
    title: String,
    summary: String,
    text: String,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Teams, Fault> {
        Ok(Teams {
            http: checker.http(self.http_config.as_ref()),
            url: check_webhook(checker, &self.webhook_url, &self.webhook_url_file)?,
            title: or_template(&self.title, "msteams.default.title"),
            summary: or_template(&self.summary, "msteams.default.summary"),
            text: or_template(&self.text, "msteams.default.text"),
        })
    }
}

#[derive(Debug, Serialize)]
struct Card {
    #[serde(rename = "@context")]
    context: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    summary: String,
    text: String,
    #[serde(rename = "themeColor")]
    theme_color: &'static str,
}

impl Kind for Teams {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let card = Card {
                context: "http://schema.org/extensions",
                kind: "MessageCard",
                title: attempt.text(&self.title)?,
                summary: attempt.text(&self.summary)?,
                text: attempt.text(&self.text)?,
                theme_color: if attempt.is_firing() { RED } else { GREEN },
            };
            attempt.post_json(&attempt.secret(&self.url)?, &card).await
        })
    }
}
