//! Webex: a markdown message in a room.

use net::HttpClientConfig;
use serde::{Deserialize, Serialize};
use url::Url;

use super::value::{api_url, cut_bytes, non_empty, or_template};
use super::{Kind, Sending};
use crate::config::{Checker, Fault};
use crate::notify::Attempt;

const API_URL: &str = "https://webexapis.com/v1/messages";
/// Longest message, in bytes. Webex' limit before encryption.
const MESSAGE_BYTES_MAX: usize = 7439;

/// `webex_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    api_url: Option<String>,
    message: Option<String>,
    room_id: Option<String>,
}

#[derive(Debug)]
pub(super) struct Webex {
    http: HttpClientConfig,
    url: Url,
    message: String,
    room_id: String,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<Webex, Fault> {
        let room_id = non_empty(&self.room_id);
        let room_id = room_id.ok_or_else(|| Fault::new("missing room_id on webex_config"))?;
        if self.http_config.as_ref().is_none_or(|http| http.authorization.is_none()) {
            return Err(Fault::new("missing webex_configs.http_config.authorization"));
        }
        Ok(Webex {
            http: checker.http(self.http_config.as_ref()),
            url: api_url(&self.api_url, &checker.global.webex_api_url, API_URL)?,
            message: or_template(&self.message, "webex.default.message"),
            room_id,
        })
    }
}

#[derive(Debug, Serialize)]
struct Message {
    markdown: String,
    #[serde(rename = "roomId")]
    room_id: String,
}

impl Kind for Webex {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let message = Message {
                markdown: cut_bytes(attempt.text(&self.message)?, MESSAGE_BYTES_MAX),
                room_id: attempt.text(&self.room_id)?,
            };
            attempt.post_json(self.url.as_str(), &message).await
        })
    }
}
