//! Asks a server's HTTP API.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use ureq::Body;
use ureq::http::Response;

/// How long one query may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A server.
#[derive(Debug)]
pub struct Server {
    base: String,
    agent: ureq::Agent,
}

/// An answer: what is in it, or the server's error. Anything else (no connection, no JSON) is an error of the call.
pub type Answer = std::result::Result<Reply, String>;

/// What is in an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// `data`.
    pub data: Value,
    /// `warnings` and `infos`, each with its kind before it.
    pub notices: BTreeSet<String>,
}

impl Reply {
    fn new(mut body: Value) -> Self {
        let mut notices = BTreeSet::new();
        for kind in ["warnings", "infos"] {
            let texts = body[kind].as_array().into_iter().flatten().filter_map(Value::as_str);
            notices.extend(texts.map(|text| format!("{kind}: {text}")));
        }
        Self { data: body["data"].take(), notices }
    }
}

/// When an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// At one time, in milliseconds.
    Instant(i64),
    /// From, to, step, in milliseconds.
    Range(i64, i64, i64),
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

impl Server {
    /// A server at `base`, such as `http://127.0.0.1:9090`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
        Self { base: base.trim_end_matches('/').to_owned(), agent: config.build().into() }
    }

    /// A form posted to an endpoint under `/api/v1`.
    ///
    /// # Errors
    /// When there is no answer, or none in JSON.
    pub fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer> {
        let url = format!("{}/api/v1/{path}", self.base);
        let response = self.agent.post(&url).send_form(form.iter().copied());
        answer(&url, response.with_context(|| url.clone())?)
    }

    /// The number before the first point of its version; a build that was given none counts as of 3.
    ///
    /// # Errors
    /// When it does not tell one.
    pub fn major_version(&self) -> Result<u32> {
        let url = format!("{}/api/v1/status/buildinfo", self.base);
        let response = self.agent.get(&url).call().with_context(|| url.clone())?;
        let reply = answer(&url, response)?.map_err(anyhow::Error::msg)?;
        let version = reply.data["version"].as_str().context("the server tells no version")?;
        if version.is_empty() {
            return Ok(3);
        }
        let major = version.split('.').next().unwrap_or_default();
        major.parse().with_context(|| format!("the version {version}"))
    }

    /// Sends a snappy block of remote write 2.0.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn write(&self, block: &[u8]) -> Result<()> {
        let url = format!("{}/api/v1/write", self.base);
        let request =
            self.agent.post(&url).content_type("application/x-protobuf;proto=io.prometheus.write.v2.Request");
        let request = request.header("Content-Encoding", "snappy");
        let request = request.header("X-Prometheus-Remote-Write-Version", "2.0.0");
        let mut response = request.send(block).with_context(|| url.clone())?;
        let status = response.status();
        if !status.is_success() {
            bail!("{url}: {status}: {}", response.body_mut().read_to_string()?);
        }
        Ok(())
    }

    /// Evaluates an expression.
    ///
    /// # Errors
    /// As [`Server::post`].
    pub fn eval(&self, expr: &str, when: When) -> Result<Answer> {
        match when {
            When::Instant(t_ms) => self.post("query", &[("query", expr), ("time", &seconds(t_ms))]),
            When::Range(from, to, step) => self.post(
                "query_range",
                &[
                    ("query", expr),
                    ("start", &seconds(from)),
                    ("end", &seconds(to)),
                    ("step", &seconds(step)),
                ],
            ),
        }
    }
}

fn answer(url: &str, mut response: Response<Body>) -> Result<Answer> {
    let text =
        response.body_mut().with_config().limit(1 << 30).read_to_string().with_context(|| url.to_owned())?;
    let Ok(body) = serde_json::from_str::<Value>(&text) else {
        bail!("{url}: no JSON in {}", text.chars().take(200).collect::<String>());
    };
    Ok(match body["status"].as_str() {
        Some("success") => Ok(Reply::new(body)),
        _ => Err(format!("{}: {}", body["errorType"], body["error"])),
    })
}
