//! A manager's API v2, asked from the command line.
//!
//! In from commands; out as JSON, or as the manager's own words when it refuses.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::http::Method;
use clap::Arg;
use net::{HttpClient, Limits, Request};
use serde_json::Value;

use crate::http::Access;

/// How long one answer may take: a test of a slow receiver, or a long history. Chosen.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Longest answer read, in bytes. Chosen.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Where a server is.
const URL: &str = "http://127.0.0.1:9090";

/// A manager, and how to reach it.
pub(crate) struct Manager {
    client: HttpClient,
    base: String,
}

/// `--alertmanager.url` for clap.
pub(crate) fn url_arg() -> Arg {
    Arg::new("alertmanager.url")
        .long("alertmanager.url")
        .value_name("URL")
        .help("Manager to ask: a server (port 9090) or hinomi alertmanager (port 9093)")
        .default_value(URL)
}

/// Matchers of a silence or a window as one writes them: `job="db", severity!="critical"`
pub(crate) fn matchers(of: &Value) -> String {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let one = |matcher: &Value| {
        let op = match (matcher["isEqual"] == false, matcher["isRegex"] == true) {
            (false, false) => "=",
            (true, false) => "!=",
            (false, true) => "=~",
            (true, true) => "!~",
        };
        format!("{}{op}{:?}", text(matcher, "name"), text(matcher, "value"))
    };
    of["matchers"].as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

impl Manager {
    /// The manager at `url`.
    ///
    /// # Errors
    /// When the access cannot be used.
    pub(crate) fn new(url: &str, access: &Access) -> Result<Self> {
        let base = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        Ok(Self { client: access.client()?, base: base.trim_end_matches('/').to_owned() })
    }

    /// The answer to a question below `/api/v2`.
    ///
    /// # Errors
    /// As [`Manager::ask`].
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(query);
        self.ask(Method::GET, &format!("{path}?{}", encoded.finish()), None).await
    }

    /// The answer to a request below `/api/v2`, with a JSON body if there is one.
    ///
    /// # Errors
    /// In the manager's words, or why it cannot be asked.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let base = &self.base;
        let url =
            format!("{base}/api/v2/{path}").parse().with_context(|| format!("{base:?} is not a URL"))?;
        let request = match body {
            Some(body) => Request { method, ..Request::post(url, "application/json", body.to_string()) },
            None => Request { method, ..Request::get(url) },
        };
        let limits = Limits {
            timeout: TIMEOUT,
            body_bytes_max: ANSWER_BYTES_MAX,
            decoded_bytes_max: ANSWER_BYTES_MAX,
        };
        let response = self.client.request(request, &limits).await.with_context(|| {
            format!(
                "cannot ask {base}; --alertmanager.url says which manager: a server's port is 9090, that of hinomi alertmanager 9093"
            )
        })?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if response.status.is_success() {
            return Ok(answer);
        }
        match answer.as_str().or(answer["message"].as_str()).or(answer["error"].as_str()) {
            Some(message) => bail!("{message}"),
            None => bail!("{base} answered {}", response.status),
        }
    }
}
