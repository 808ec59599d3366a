//! Metrics of the HTTP side, under Prometheus' names, since dashboards and alerts look for them.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use stdx::metrics::{Counter, Family, Gauge, Histogram, Registry};

use crate::respond::{text_response, typed_response};
use crate::state::{Role, Shell};

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) ready: Arc<Gauge>,
    requests: Requests,
}

/// Of requests.
#[derive(Debug, Clone)]
enum Requests {
    Server { answered: Arc<Family<Counter>>, seconds: Arc<Family<Histogram>> },
    Manager { seconds: Arc<Family<Histogram>> },
}

impl Metrics {
    pub(crate) fn register(registry: &Registry, role: Role) -> Self {
        const SECONDS: &str = "Time from a request to its answer, by route.";
        let ready = |name| registry.gauge(name, "Whether startup is complete and requests are answered.");
        match role {
            Role::Server | Role::Agent => Self {
                ready: ready("prometheus_ready"),
                requests: Requests::Server {
                    answered: registry.counters(
                        "prometheus_http_requests_total",
                        "HTTP requests answered, by route and status code.",
                        &["code", "handler"],
                    ),
                    seconds: registry.seconds(
                        "prometheus_http_request_duration_seconds",
                        SECONDS,
                        &["handler"],
                    ),
                },
            },
            Role::Manager => Self {
                ready: ready("alertmanager_ready"),
                requests: Requests::Manager {
                    seconds: registry.seconds(
                        "alertmanager_http_request_duration_seconds",
                        SECONDS,
                        &["handler", "method", "code"],
                    ),
                },
            },
        }
    }
}

/// Middleware: counts requests by route, never by path, so that outsiders cannot make series.
pub(crate) async fn count(State(shell): State<Arc<Shell>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let started_at = shell.clock.monotonic();
    let method = method_label(request.method());
    let response = next.run(request).await;
    let took = (shell.clock.monotonic() - started_at).as_secs_f64();
    let code = response.status();
    match &shell.metrics.requests {
        Requests::Server { answered, seconds } => {
            answered.with(&[code.as_str(), &route]).inc();
            seconds.with(&[&route]).observe(took);
        }
        Requests::Manager { seconds } => seconds.with(&[&route, method, code.as_str()]).observe(took),
    }
    response
}

/// A method that outsiders made up makes no series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "other",
    }
}

/// As the client libraries say it: names that are no legacy ones would stand there with underscores.
const PAGE_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// `GET /metrics`
pub(crate) async fn page(State(shell): State<Arc<Shell>>) -> Response {
    let write = shell.page.clone();
    match crate::v1::aside(move || write()).await {
        Ok(page) => typed_response(StatusCode::OK, PAGE_TYPE, page),
        Err(err) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{err}\n")),
    }
}
