//! Metrics of the HTTP side, under Prometheus' names, since dashboards and alerts look for them.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use stdx::metrics::{Counter, Family, Gauge, Histogram, Registry};

use crate::respond::{text_response, typed_response};
use crate::state::Shell;

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) ready: Arc<Gauge>,
    requests: Arc<Family<Counter>>,
    request_seconds: Arc<Family<Histogram>>,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            ready: registry
                .gauge("prometheus_ready", "Whether startup is complete and queries are answered."),
            requests: registry.counters(
                "prometheus_http_requests_total",
                "HTTP requests answered, by route and status code.",
                &["code", "handler"],
            ),
            request_seconds: registry.seconds(
                "prometheus_http_request_duration_seconds",
                "Time from a request to its answer, by route.",
                &["handler"],
            ),
        }
    }
}

/// Middleware: counts requests by route, never by path, so that outsiders cannot make series.
pub(crate) async fn count(State(shell): State<Arc<Shell>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let started_at = shell.clock.monotonic();
    let response = next.run(request).await;
    let took = shell.clock.monotonic() - started_at;
    shell.metrics.requests.with(&[response.status().as_str(), &route]).inc();
    shell.metrics.request_seconds.with(&[&route]).observe(took.as_secs_f64());
    response
}

/// `GET /metrics`
pub(crate) async fn page(State(shell): State<Arc<Shell>>) -> Response {
    let write = shell.page.clone();
    match crate::v1::aside(move || write()).await {
        Ok(page) => typed_response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page),
        Err(err) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{err}\n")),
    }
}
