//! Why an attempt failed, and when another may help.

use std::path::Path;

use net::Response;

use crate::notification::{Outcome, Reason};

/// How much of an answer an error shows, in characters.
pub(crate) const ANSWER_CHARS_MAX: usize = 256;
/// Longest wait that a receiver may ask for, in milliseconds. Chosen: a group's next flush comes by then.
const WAIT_MS_MAX: i64 = 300_000;

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) is_retryable: bool,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// How long the receiver asks to be left alone, in milliseconds.
    pub(crate) wait_ms: i64,
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        let Failure { is_retryable, reason, message, wait_ms } = failure;
        Self::Failed { is_retryable, reason, message, wait_ms }
    }
}

impl Failure {
    /// One that another attempt cannot mend.
    pub(crate) fn fatal(message: impl Into<String>) -> Self {
        Self { is_retryable: false, reason: Reason::Other, message: message.into(), wait_ms: 0 }
    }

    /// One that another attempt may mend.
    pub(crate) fn retryable(message: impl Into<String>) -> Self {
        Self { is_retryable: true, ..Self::fatal(message) }
    }

    /// The receiver understood and said no.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { reason: Reason::Client, ..Self::fatal(message) }
    }

    /// Of a template.
    pub(crate) fn template(err: &gotemplate::ExecError) -> Self {
        Self::refused(format!("failed to template: {err}"))
    }

    /// Of a file that the configuration names.
    pub(super) fn cannot_read(path: &Path, err: &dyn std::fmt::Display) -> Self {
        Self::fatal(format!("cannot read {}: {err}", path.display()))
    }

    /// The receiver asks to be left alone for so long.
    pub(crate) fn wait_s(self, wait_s: f64) -> Self {
        // As-casts of floats saturate, and NaN is no wait.
        Self { wait_ms: ((wait_s * 1e3) as i64).clamp(0, WAIT_MS_MAX), ..self }
    }

    /// Of an answer that is not 2xx: servers in trouble and those that ask for patience are asked again.
    pub(crate) fn check_status(response: &Response) -> Result<(), Self> {
        let status = response.status.as_u16();
        let (is_retryable, reason) = match status {
            200..300 => return Ok(()),
            429 => (true, Reason::RateLimited),
            401 | 403 => (false, Reason::Auth),
            500.. => (true, Reason::Server),
            400.. => (false, Reason::Client),
            _ => (false, Reason::Other),
        };
        let text: String = String::from_utf8_lossy(&response.body).chars().take(ANSWER_CHARS_MAX).collect();
        let message = format!("unexpected status code {status}: {}", text.trim());
        Err(Self { is_retryable, reason, ..Self::fatal(message) }.wait_s(asked_wait_s(response)))
    }
}

/// `Retry-After` in seconds, or as Discord and Telegram say it in their JSON. A date is taken for no wish.
fn asked_wait_s(response: &Response) -> f64 {
    if let Ok(seconds) = response.header(&http::header::RETRY_AFTER).trim().parse::<f64>() {
        return seconds;
    }
    let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let said = [&json["retry_after"], &json["parameters"]["retry_after"]];
    said.into_iter().find_map(serde_json::Value::as_f64).unwrap_or(0.0)
}
