//! What a server in agent mode leaves out: it scrapes and sends on, and nothing is asked of it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::error::{ApiError, ErrorKind};
use crate::state::{Role, Shell};

/// What is answered instead. Prometheus'.
const UNAVAILABLE: &str = "unavailable with Prometheus Agent";

/// Paths, and all below those that end in a slash. Prometheus' own, and of ours what reads the store, rules or alerts.
const OFF: &[&str] = &[
    "/api/v1/admin/",
    "/api/v1/alertmanagers",
    "/api/v1/alerts",
    "/api/v1/format_query",
    "/api/v1/label/",
    "/api/v1/labels",
    "/api/v1/parse_query",
    "/api/v1/query",
    "/api/v1/query_exemplars",
    "/api/v1/query_range",
    "/api/v1/read",
    "/api/v1/rules",
    "/api/v1/rules/try",
    "/api/v1/search/",
    "/api/v1/series",
    "/api/v1/status/backfill",
    "/api/v1/status/queries",
    "/api/v1/status/queries/",
    "/api/v1/status/tsdb",
    "/api/v1/status/tsdb/",
    "/api/v2/",
    "/consoles/",
    "/federate",
];

/// Middleware for everything below the route prefix.
pub(crate) async fn refuse(State(shell): State<Arc<Shell>>, request: Request, next: Next) -> Response {
    if shell.options.role == Role::Agent && is_off(request.uri().path()) {
        return ApiError::new(ErrorKind::Execution, UNAVAILABLE).into_response();
    }
    next.run(request).await
}

fn is_off(path: &str) -> bool {
    // Line protocol is a way in, as remote write and OTLP are.
    path != "/api/v2/write"
        && OFF.iter().any(|off| path == *off || off.ends_with('/') && path.starts_with(off))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_is_off_and_what_tells_is_not() {
        for path in
            ["/api/v1/query", "/api/v1/label/job/values", "/api/v2/alerts", "/api/v1/admin/tsdb/snapshot"]
        {
            assert!(is_off(path), "{path}");
        }
        for path in ["/api/v1/targets", "/api/v1/write", "/api/v2/write", "/metrics", "/api/v1/labelsx", "/"]
        {
            assert!(!is_off(path), "{path}");
        }
    }
}
