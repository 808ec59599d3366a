//! `admin/tsdb/import`: samples from elsewhere come in while the server serves. Off unless `--web.enable-admin-api`.
//!
//! The work is the binary's ([`Importer`]); here are its parameters and its JSON.

use std::path::Path;
use std::sync::Arc;

use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::aside;
use crate::error::{ApiError, ErrorKind};
use crate::json::Json;
use crate::params::Params;
use crate::respond::success;
use crate::state::{Services, Shared};

/// What is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportKind {
    /// A Prometheus data directory.
    Prometheus,
    /// A file of samples with timestamps.
    OpenMetrics,
}

impl ImportKind {
    /// As parameters and files name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::OpenMetrics => "openmetrics",
        }
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportState {
    /// Under way; a restart goes on with it.
    Running,
    /// Everything is in the store.
    Done,
    /// Something is not.
    Failed,
    /// Ended by request.
    Cancelled,
}

impl ImportState {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An import as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportStatus {
    /// Whether it runs.
    pub state: ImportState,
    /// Of what.
    pub kind: ImportKind,
    /// From where, on the server's machine.
    pub path: String,
    /// When it was asked for, Unix milliseconds.
    pub started_at_ms: i64,
    /// Blocks, stretches of a log, pieces of a file.
    pub n_items: u64,
    /// Of these, done.
    pub n_done: u64,
    /// Of these, found in the store already.
    pub n_here: u64,
    /// Samples written.
    pub n_samples: u64,
    /// Bytes to read.
    pub bytes: u64,
    /// Bytes read.
    pub bytes_done: u64,
    /// Seconds until it ends, by how fast it was so far.
    pub eta_seconds: Option<u64>,
    /// What is being read.
    pub current: String,
    /// What could not be imported, and why.
    pub failed: Vec<(String, String)>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Imports in a running server, one at a time.
pub trait Importer: Send + Sync {
    /// Begins one.
    ///
    /// # Errors
    /// For people: the path cannot be read, or an import is running.
    fn start(&self, kind: ImportKind, path: &Path) -> Result<ImportStatus, String>;

    /// The newest one.
    fn status(&self) -> Option<ImportStatus>;

    /// Ends the one that runs; what was done stays.
    fn cancel(&self) -> Option<ImportStatus>;
}

/// `POST|PUT /api/v1/admin/tsdb/import`
pub(crate) async fn start(Shared(api): Shared, params: Params) -> Result<Response, ApiError> {
    let importer = enabled(&api)?;
    let kind = match params.get("kind") {
        "prometheus" => ImportKind::Prometheus,
        "openmetrics" => ImportKind::OpenMetrics,
        other => {
            let why = format!("{other:?} is neither prometheus nor openmetrics");
            return Err(ApiError::parameter("kind", why));
        }
    };
    let path = params.get("path").to_owned();
    if path.is_empty() {
        return Err(ApiError::parameter("path", "name a file or folder on the server's machine"));
    }
    let started = aside(move || importer.start(kind, Path::new(&path))).await?;
    let status = started.map_err(ApiError::bad_data)?;
    Ok(success(|json| push(json, &status)))
}

/// `GET /api/v1/admin/tsdb/import`
pub(crate) async fn status(Shared(api): Shared) -> Result<Response, ApiError> {
    answer(enabled(&api)?.status())
}

/// `DELETE /api/v1/admin/tsdb/import`
pub(crate) async fn cancel(Shared(api): Shared) -> Result<Response, ApiError> {
    answer(enabled(&api)?.cancel())
}

fn enabled(api: &Services) -> Result<Arc<dyn Importer>, ApiError> {
    api.importer.clone().ok_or_else(|| ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"))
}

fn answer(status: Option<ImportStatus>) -> Result<Response, ApiError> {
    let status = status
        .ok_or_else(|| ApiError::new(ErrorKind::NotFound, "nothing was imported in this data directory"))?;
    Ok(success(|json| push(json, &status)))
}

fn push(json: &mut Json, status: &ImportStatus) {
    json.object(|json| {
        json.key("state").text(status.state.name());
        json.key("kind").text(status.kind.name());
        json.key("path").text(&status.path);
        json.key("startedAt").sample_time(status.started_at_ms);
        json.key("items").int(status.n_items);
        json.key("done").int(status.n_done);
        json.key("here").int(status.n_here);
        json.key("samples").int(status.n_samples);
        json.key("bytes").int(status.bytes);
        json.key("bytesDone").int(status.bytes_done);
        if let Some(seconds) = status.eta_seconds {
            json.key("etaSeconds").int(seconds);
        }
        if !status.current.is_empty() {
            json.key("current").text(&status.current);
        }
        json.key("failed").array(|json| {
            for (name, error) in &status.failed {
                json.object(|json| {
                    json.key("name").text(name);
                    json.key("error").text(error);
                });
            }
        });
        if let Some(error) = &status.error {
            json.key("error").text(error);
        }
    });
}
