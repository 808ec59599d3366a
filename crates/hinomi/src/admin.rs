//! Long work of a running server, asked for and watched from the command line: imports, backfills.
//!
//! In from the commands; out to the admin API over HTTP, and to the terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::http::Method;
use net::{HttpClient, Limits, Request};
use serde_json::Value;

use crate::http::Access;

/// Between two looks. Chosen: quick enough for eyes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer may take that is worked out while one waits. Chosen: above the server's own limit.
const PATIENT_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest answer read: it names what failed.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A server, and how to reach it.
pub(crate) struct Admin {
    client: HttpClient,
    base: String,
    timeout: Duration,
}

impl Admin {
    /// The server at `url`.
    ///
    /// # Errors
    /// When the access cannot be used.
    pub(crate) fn new(url: &str, access: &Access) -> Result<Self> {
        let base = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { client: access.client()?, base, timeout: TIMEOUT })
    }

    /// For what the server takes its time for.
    #[must_use]
    pub(crate) fn patient(self) -> Self {
        Self { timeout: PATIENT_TIMEOUT, ..self }
    }

    /// `data` of the answer to a form.
    ///
    /// # Errors
    /// In the server's words, or why it cannot be asked.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, String)]) -> Result<Value> {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(form);
        let body = encoded.finish();
        self.ask(Request::post(self.url(path)?, "application/x-www-form-urlencoded", body)).await
    }

    /// `data` of an answer.
    ///
    /// # Errors
    /// As [`Admin::post`].
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Request::get(self.url(path)?)).await
    }

    /// As [`Admin::get`], for what ends something.
    ///
    /// # Errors
    /// As [`Admin::post`].
    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.ask(Request { method: Method::DELETE, ..Request::get(self.url(path)?) }).await
    }

    /// Looks at `path` until what `status` says no longer runs, and shows a `line` of each look.
    ///
    /// # Errors
    /// As [`Admin::post`].
    pub(crate) async fn watch(
        &self,
        path: &str,
        mut status: Value,
        line: impl Fn(&Value) -> String,
    ) -> Result<Value> {
        let mut shown = String::new();
        while status["state"] == "running" {
            let now = line(&status);
            if now != shown {
                // On a terminal one line that changes; elsewhere one for each change.
                if std::io::stderr().is_terminal() {
                    eprint!("\r\x1b[K{now}");
                } else {
                    eprintln!("{now}");
                }
                shown = now;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            status = self.get(path).await?;
        }
        if std::io::stderr().is_terminal() && !shown.is_empty() {
            eprintln!();
        }
        Ok(status)
    }

    fn url(&self, path: &str) -> Result<url::Url> {
        let base = &self.base;
        format!("{base}/api/v1/{path}").parse().with_context(|| format!("{base:?} is not a URL"))
    }

    async fn ask(&self, request: Request) -> Result<Value> {
        let base = &self.base;
        let limits = Limits {
            timeout: self.timeout,
            body_bytes_max: ANSWER_BYTES_MAX,
            decoded_bytes_max: ANSWER_BYTES_MAX,
        };
        let response =
            self.client.request(request, &limits).await.with_context(|| format!("cannot ask {base}"))?;
        let body = String::from_utf8_lossy(&response.body);
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        if response.status.is_success() {
            return Ok(answer["data"].clone());
        }
        match answer["error"].as_str() {
            Some("admin APIs disabled") => {
                bail!("the server does not allow it: start it with --web.enable-admin-api")
            }
            Some(message) => bail!("{message}"),
            None => bail!("{base} answered {}", response.status),
        }
    }
}

/// Runs what asks a server to its end.
///
/// # Errors
/// As `work`'s, or when there are no threads.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
