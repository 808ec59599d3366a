//! Microsoft Teams by its workflows: an adaptive card.

use std::path::PathBuf;

use net::{HttpClientConfig, Secret};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::value::{check_webhook, or_template};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::Attempt;

/// `msteamsv2_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    webhook_url: Option<Secret>,
    webhook_url_file: Option<PathBuf>,
    title: Option<String>,
    text: Option<String>,
}

#[derive(Debug)]
pub(super) struct Teams {
    http: HttpClientConfig,
    url: Source,
    title: String,
    text: String,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Teams, Fault> {
        let mut http = checker.http(self.http_config.as_ref());
        // As upstream: own settings without a proxy take the global one.
        if let Some(own) = &self.http_config
            && own.proxy == Default::default()
        {
            http.proxy = checker.http(None).proxy;
        }
        Ok(Teams {
            http,
            url: check_webhook(checker, &self.webhook_url, &self.webhook_url_file)?,
            title: or_template(&self.title, "msteamsv2.default.title"),
            text: or_template(&self.text, "msteamsv2.default.text"),
        })
    }
}

/// A message that holds one card: a heading in the state's colour, and the text.
fn card(title: &str, text: &str, is_firing: bool) -> serde_json::Value {
    let color = if is_firing { "Attention" } else { "Good" };
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.2",
                "body": [
                    {"type": "TextBlock", "text": title, "weight": "Bolder", "size": "Medium", "wrap": true,
                     "style": "heading", "color": color},
                    {"type": "TextBlock", "text": text, "wrap": true},
                ],
                "msteams": {"width": "full"},
            },
        }],
    })
}

impl Kind for Teams {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let (title, text) = (attempt.text(&self.title)?, attempt.text(&self.text)?);
            let card = card(&title, &text, attempt.is_firing());
            attempt.post_json(&attempt.secret(&self.url)?, &card).await
        })
    }
}
