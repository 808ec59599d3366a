//! `/api/v1`: one file per group of endpoints.

pub(crate) mod admin;
pub(crate) mod ast;
pub(crate) mod backfill;
pub(crate) mod exemplars;
pub(crate) mod import;
pub(crate) mod influx;
pub(crate) mod intake;
mod large;
pub(crate) mod openapi;
pub(crate) mod otlp;
pub(crate) mod otlp_grpc;
pub(crate) mod push;
pub(crate) mod queries;
pub(crate) mod query;
pub(crate) mod read;
pub(crate) mod rules;
pub(crate) mod search;
pub(crate) mod self_metrics;
pub(crate) mod series;
pub(crate) mod status;
pub(crate) mod targets;
pub(crate) mod try_rules;
mod value;
pub(crate) mod write;

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use net::GateError;
use net::gate::Permit;

use crate::error::{ApiError, ErrorKind};
use crate::state::Services;

/// Waits for the right to run a query.
pub(crate) async fn enter(api: &Services, timeout: Duration) -> Result<Permit, ApiError> {
    api.query_gate.enter(timeout).await.map_err(|err| {
        let message = match err {
            GateError::Timeout => "query timed out in query queue".to_owned(),
            err @ GateError::QueueFull { .. } => format!("{err} (setting: --query.max-concurrency)"),
        };
        ApiError::new(ErrorKind::Timeout, message)
    })
}

/// Runs what may wait for locks or compute for a while on a blocking thread.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let span = tracing::Span::current();
    let done = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
    done.map_err(|_| ApiError::new(ErrorKind::Internal, "the request ended by a panic"))
}

/// An error with its causes, `a: b: c`: the edge is where chains are printed.
pub(crate) fn chain(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        let cause = err.to_string();
        // Some errors print their source themselves.
        if !text.contains(&cause) {
            let _ = write!(text, ": {cause}");
        }
        source = err.source();
    }
    text
}
