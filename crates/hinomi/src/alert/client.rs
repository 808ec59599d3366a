//! A manager's API, asked from the command line.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use net::{HttpClient, Limits, Request};
use serde_json::Value;

use crate::http::Access;

/// How long one answer may take: a test of a slow receiver, or a long history. Chosen.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Longest answer read, in bytes. Chosen.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A manager, and how to reach it.
pub(super) struct Manager {
    client: HttpClient,
    base: String,
}

impl Manager {
    /// The manager at `url`.
    ///
    /// # Errors
    /// When the access cannot be used.
    pub(super) fn new(url: &str, access: &Access) -> Result<Self> {
        let base = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        Ok(Self { client: access.client()?, base: base.trim_end_matches('/').to_owned() })
    }

    /// An answer to a question.
    ///
    /// # Errors
    /// In the manager's words, or why it cannot be asked.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(query);
        let mut url = self.url(path)?;
        url.set_query(Some(&encoded.finish()));
        self.ask(Request::get(url)).await
    }

    /// An answer to a request in JSON.
    ///
    /// # Errors
    /// As [`Manager::get`].
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask(Request::post(self.url(path)?, "application/json", body.to_string())).await
    }

    fn url(&self, path: &str) -> Result<url::Url> {
        let base = &self.base;
        format!("{base}/api/{path}").parse().with_context(|| format!("{base:?} is not a URL"))
    }

    async fn ask(&self, request: Request) -> Result<Value> {
        let base = &self.base;
        let limits = Limits {
            timeout: TIMEOUT,
            body_bytes_max: ANSWER_BYTES_MAX,
            decoded_bytes_max: ANSWER_BYTES_MAX,
        };
        let response = self.client.request(request, &limits).await.with_context(|| {
            format!("cannot ask {base}; --alertmanager.url says which manager: a server's port is 9090, that of hinomi alertmanager 9093")
        })?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if response.status.is_success() {
            return Ok(answer);
        }
        let said = answer.as_str().or(answer["message"].as_str()).or(answer["error"].as_str());
        match said {
            Some(message) => bail!("{message}"),
            None if response.status.as_u16() == 404 => {
                bail!("{base} does not know this; is it a Hinomi of this version?")
            }
            None => bail!("{base} answered {}", response.status),
        }
    }
}
