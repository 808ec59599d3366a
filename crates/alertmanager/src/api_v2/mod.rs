//! API v2 without HTTP: query string and body in, status and JSON out. `api::v2` puts it on the wire.
//!
//! Paths, parameters, JSON and most wording are Alertmanager's, since `amtool` and others read them strictly.
//! Bodies are capped by the caller at [`BODY_BYTES_MAX`]; texts inside at the limits below.

mod acks;
mod alerts;
mod explain;
mod groups;
mod history;
mod json;
mod maintenance;
mod params;
mod receivers;
mod silences;
mod status;
mod uri;
mod watched;

use serde::Serialize;

use crate::handle::Handle;

/// Longest body of a POST, in bytes. Chosen: some ten thousand alerts.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Longest value of a label, an annotation or a comment, in bytes. Chosen.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Most labels, and most annotations, of one alert. Chosen.
const LABELS_MAX: usize = 256;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON, or empty. `Content-Type: application/json` when it is not empty; `Cache-Control: no-store` always.
    pub body: String,
}

impl Reply {
    fn json(value: &impl Serialize) -> Self {
        let mut body =
            serde_json::to_string(value).expect("texts, numbers and maps of texts always serialise");
        body.push('\n');
        Self { status: 200, body }
    }

    fn empty(status: u16) -> Self {
        Self { status, body: String::new() }
    }

    /// A JSON string, as upstream's errors are.
    fn error(status: u16, message: impl AsRef<str>) -> Self {
        Self { status, ..Self::json(&message.as_ref()) }
    }

    /// What upstream's framework says about a body that does not have the required form.
    fn invalid(code: u32, message: impl AsRef<str>) -> Self {
        #[derive(Serialize)]
        struct Invalid<'a> {
            code: u32,
            message: &'a str,
        }
        let mut reply = Self::json(&Invalid { code, message: message.as_ref() });
        // The framework writes no line break behind its errors, unlike those who write JSON themselves.
        reply.body.truncate(reply.body.trim_end().len());
        Self { status: if code == 400 { 400 } else { 422 }, ..reply }
    }
}

/// A time of a body that is none: the body cannot be read.
fn bad_time(what: &str, name: &str, text: &str) -> Reply {
    let text: String = text.chars().take(100).collect();
    let why = format!("{name}: {text:?} is no time of RFC 3339 and no day");
    Reply::invalid(400, format!("parsing {what} body from \"\" failed, because {why}"))
}

/// A name in an object, as receivers are listed.
#[derive(Debug, Serialize)]
struct Named {
    name: String,
}

/// `GET`, `POST` and `DELETE` below `/api/v2`. `query` is the raw query string, without `?`.
impl Handle {
    /// `GET /api/v2/status`.
    #[must_use]
    pub fn get_status(&self) -> Reply {
        status::get(self)
    }

    /// `GET /api/v2/receivers`.
    #[must_use]
    pub fn get_receivers(&self, query: &str) -> Reply {
        status::get_receivers(self, query)
    }

    /// `GET /api/v2/alerts`.
    #[must_use]
    pub fn get_alerts(&self, query: &str) -> Reply {
        alerts::get(self, query)
    }

    /// `POST /api/v2/alerts`. Valid alerts are kept even when others are refused.
    #[must_use]
    pub fn post_alerts(&self, body: &[u8]) -> Reply {
        alerts::post(self, body)
    }

    /// `GET /api/v2/alerts/groups`.
    #[must_use]
    pub fn get_alert_groups(&self, query: &str) -> Reply {
        groups::get(self, query)
    }

    /// `GET /api/v2/alerts/watched`: what counts, was issued, is awaited on routes with settings of ours.
    #[must_use]
    pub fn get_watched(&self, query: &str) -> Reply {
        watched::get(self, query)
    }

    /// `GET /api/v2/acknowledgements`: the alerts that somebody has.
    #[must_use]
    pub fn get_acknowledgements(&self, query: &str) -> Reply {
        acks::list(self, query)
    }

    /// `POST /api/v2/acknowledgements`: somebody has alerts, until they end or until a time. Survives `kill -9`.
    #[must_use]
    pub fn post_acknowledgements(&self, body: &[u8]) -> Reply {
        acks::post(self, body, true)
    }

    /// `POST /api/v2/acknowledgements/end`: nobody has them any more.
    #[must_use]
    pub fn end_acknowledgements(&self, body: &[u8]) -> Reply {
        acks::post(self, body, false)
    }

    /// `GET /api/v2/ignores`: the ignore rules of the file.
    #[must_use]
    pub fn get_ignores(&self) -> Reply {
        watched::get_ignores(self)
    }

    /// `GET /api/v2/maintenance`: windows of planned quiet, with their next five runs.
    #[must_use]
    pub fn get_maintenance(&self) -> Reply {
        maintenance::list(self)
    }

    /// `POST /api/v2/maintenance`. Acknowledged windows survive `kill -9`.
    #[must_use]
    pub fn post_maintenance(&self, body: &[u8]) -> Reply {
        maintenance::post(self, body)
    }

    /// `POST /api/v2/maintenance/preview`: what a window would hide, and when.
    #[must_use]
    pub fn post_maintenance_preview(&self, body: &[u8]) -> Reply {
        maintenance::preview(self, body)
    }

    /// `GET /api/v2/maintenance/{id}`.
    #[must_use]
    pub fn get_maintenance_window(&self, id: &str) -> Reply {
        maintenance::get(self, id)
    }

    /// `PUT /api/v2/maintenance/{id}`.
    #[must_use]
    pub fn put_maintenance_window(&self, id: &str, body: &[u8]) -> Reply {
        maintenance::put(self, id, body)
    }

    /// `DELETE /api/v2/maintenance/{id}`.
    #[must_use]
    pub fn delete_maintenance_window(&self, id: &str) -> Reply {
        maintenance::delete(self, id)
    }

    /// `POST /api/v2/maintenance/{id}/end`: what runs of it ends now.
    #[must_use]
    pub fn end_maintenance_window(&self, id: &str) -> Reply {
        maintenance::end(self, id)
    }

    /// `GET /api/v2/maintenance/{id}/preview`.
    #[must_use]
    pub fn get_maintenance_preview(&self, id: &str) -> Reply {
        maintenance::preview_of(self, id)
    }

    /// `GET /api/v2/alerts/history`: what happened, the newest first. Reads from the disk.
    #[must_use]
    pub fn get_history(&self, query: &str) -> Reply {
        history::get(self, query)
    }

    /// `GET /api/v2/explain`: what would become of an alert with these labels; the route tree alone without any.
    #[must_use]
    pub fn get_explained(&self, query: &str) -> Reply {
        explain::get(self, query)
    }

    /// `GET /api/v2/receivers/integrations`: receivers with what they are made of, and how their last attempts ended.
    #[must_use]
    pub fn get_integrations(&self) -> Reply {
        receivers::list(self)
    }

    /// `POST /api/v2/receivers/test`: sends a test and waits for the answers.
    pub async fn post_test(&self, body: &[u8]) -> Reply {
        receivers::test(self, body).await
    }

    /// `GET /api/v2/silences`.
    #[must_use]
    pub fn get_silences(&self, query: &str) -> Reply {
        silences::list(self, query)
    }

    /// `POST /api/v2/silences`. Acknowledged silences survive `kill -9`.
    #[must_use]
    pub fn post_silences(&self, body: &[u8]) -> Reply {
        silences::post(self, body)
    }

    /// `GET /api/v2/silence/{id}`.
    #[must_use]
    pub fn get_silence(&self, id: &str) -> Reply {
        silences::get(self, id)
    }

    /// `DELETE /api/v2/silence/{id}`.
    #[must_use]
    pub fn delete_silence(&self, id: &str) -> Reply {
        silences::delete(self, id)
    }
}

#[cfg(test)]
mod tests;
