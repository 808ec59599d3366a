//! Asks a server's HTTP API.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// How long one query may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A server.
#[derive(Debug)]
pub struct Server {
    base: String,
    agent: ureq::Agent,
}

/// An answer: the data, or the server's error. Anything else (no connection, no JSON) is an error of the call.
pub type Answer = std::result::Result<Value, String>;

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
        let mut response =
            self.agent.post(&url).send_form(form.iter().copied()).with_context(|| url.clone())?;
        let text =
            response.body_mut().with_config().limit(1 << 30).read_to_string().with_context(|| url.clone())?;
        let Ok(mut body) = serde_json::from_str::<Value>(&text) else {
            bail!("{url}: no JSON in {}", text.chars().take(200).collect::<String>());
        };
        Ok(match body["status"].as_str() {
            Some("success") => Ok(body["data"].take()),
            _ => Err(format!("{}: {}", body["errorType"], body["error"])),
        })
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
