//! WeChat Work: a message to users, parties or tags, with a token that is asked for and kept for two hours.

use std::path::PathBuf;

use net::{HttpClientConfig, Request, Secret};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::value::{api_url, below, non_empty, or_template};
use super::{Kind, Sending, Source};
use crate::config::{Checker, Fault};
use crate::notify::{Attempt, Failure};

const API_URL: &str = "https://qyapi.weixin.qq.com/cgi-bin/";
/// How long a token is used. WeChat's own life of one.
const TOKEN_MS: i64 = 2 * 3600 * 1000;
/// WeChat's code for a token that has ended.
const TOKEN_ENDED: i64 = 42_001;

/// `wechat_configs`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    pub(super) send_resolved: Option<bool>,
    http_config: Option<HttpClientConfig>,
    api_secret: Option<Secret>,
    api_secret_file: Option<PathBuf>,
    corp_id: Option<String>,
    message: Option<String>,
    api_url: Option<String>,
    to_user: Option<String>,
    to_party: Option<String>,
    to_tag: Option<String>,
    agent_id: Option<String>,
    message_type: Option<String>,
}

#[derive(Debug)]
pub(super) struct WeChat {
    http: HttpClientConfig,
    url: Url,
    secret: Source,
    corp_id: String,
    is_markdown: bool,
    message: String,
    to_user: String,
    to_party: String,
    to_tag: String,
    agent_id: String,
    /// And when it was given.
    token: Mutex<Option<(String, i64)>>,
}

impl Keys {
    pub(super) fn check(&self, checker: &Checker<'_>) -> Result<WeChat, Fault> {
        let global = checker.global;
        let is_markdown = match non_empty(&self.message_type).as_deref() {
            None | Some("text") => false,
            Some("markdown") => true,
            Some(other) => {
                return Err(Fault::new(format!(
                    "weChat message type {other:?} does not match valid options ^(text|markdown)$"
                )));
            }
        };
        let secret = checker.one_of_or_global(
            ("api_secret", &self.api_secret),
            ("api_secret_file", &self.api_secret_file),
            (&global.wechat_api_secret, &global.wechat_api_secret_file),
        )?;
        let secret =
            secret.ok_or_else(|| Fault::new("no global Wechat Api Secret set either inline or in a file"))?;
        let corp_id = non_empty(&self.corp_id).or_else(|| non_empty(&global.wechat_api_corp_id));
        let or_default =
            |own: &Option<String>, name: &str| or_template(own, &format!("wechat.default.{name}"));
        Ok(WeChat {
            http: checker.http(self.http_config.as_ref()),
            url: api_url(&self.api_url, &global.wechat_api_url, API_URL)?,
            secret,
            corp_id: corp_id.ok_or_else(|| Fault::new("no global Wechat CorpID set"))?,
            is_markdown,
            message: or_default(&self.message, "message"),
            to_user: or_default(&self.to_user, "to_user"),
            to_party: or_default(&self.to_party, "to_party"),
            to_tag: or_default(&self.to_tag, "to_tag"),
            agent_id: or_default(&self.agent_id, "agent_id"),
            token: Mutex::new(None),
        })
    }
}

#[derive(Debug, Default, Serialize)]
struct Content {
    content: String,
}

/// Keys in upstream's order; what is empty is left out, but for the two contents.
#[derive(Debug, Serialize)]
struct Message {
    text: Content,
    #[serde(skip_serializing_if = "String::is_empty")]
    touser: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    toparty: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    totag: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    agentid: String,
    safe: &'static str,
    msgtype: &'static str,
    markdown: Content,
}

impl WeChat {
    async fn token(&self, attempt: &Attempt<'_>) -> Result<String, Failure> {
        let now_ms = attempt.notification.now_ms;
        if let Some((token, at_ms)) = self.token.lock().as_ref()
            && (0..TOKEN_MS).contains(&now_ms.saturating_sub(*at_ms))
        {
            return Ok(token.clone());
        }
        let mut url = below(&self.url, "gettoken");
        url.query_pairs_mut()
            .append_pair("corpid", &attempt.text(&self.corp_id)?)
            .append_pair("corpsecret", &attempt.text(&attempt.secret(&self.secret)?)?);
        let response = attempt.request(Request::get(url)).await?;
        Failure::check_status(&response)?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match answer["access_token"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => {
                *self.token.lock() = Some((token.to_owned(), now_ms));
                Ok(token.to_owned())
            }
            None => Err(Failure::refused(format!("invalid APISecret for CorpID: {}", self.corp_id))),
        }
    }

    fn message(&self, attempt: &Attempt<'_>) -> Result<Message, Failure> {
        let content = Content { content: attempt.text(&self.message)? };
        let (text, markdown) =
            if self.is_markdown { (Content::default(), content) } else { (content, Content::default()) };
        Ok(Message {
            text,
            touser: attempt.text(&self.to_user)?,
            toparty: attempt.text(&self.to_party)?,
            totag: attempt.text(&self.to_tag)?,
            agentid: attempt.text(&self.agent_id)?,
            safe: "0",
            msgtype: if self.is_markdown { "markdown" } else { "text" },
            markdown,
        })
    }
}

impl Kind for WeChat {
    fn http(&self) -> Option<&HttpClientConfig> {
        Some(&self.http)
    }

    fn send<'a>(&'a self, attempt: &'a Attempt<'_>) -> Sending<'a> {
        Box::pin(async move {
            let token = self.token(attempt).await?;
            let mut url = below(&self.url, "message/send");
            url.query_pairs_mut().append_pair("access_token", &token);
            let response = attempt.ask_post(url.as_str(), &self.message(attempt)?).await?;
            let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            let said = answer["errmsg"].as_str().unwrap_or("no reason given");
            match answer["errcode"].as_i64() {
                Some(0) => Ok(()),
                Some(TOKEN_ENDED) => {
                    *self.token.lock() = None;
                    Err(Failure::retryable(said))
                }
                _ => Err(Failure::refused(said)),
            }
        })
    }
}
