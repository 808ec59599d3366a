//! How many GET requests an Alertmanager answers at once, and how long one request may take: `--web.get-concurrency`, `--web.timeout`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use stdx::metrics::{Counter, Gauge, Registry};
use tokio::sync::Semaphore;

use crate::respond::text_response;

/// Both limits. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct RequestLimits {
    gets: Arc<Semaphore>,
    gets_max: usize,
    timeout: Option<Duration>,
    in_flight: Arc<Gauge>,
    exceeded: Arc<Counter>,
}

impl RequestLimits {
    /// At most `gets_max` GET requests at once; `timeout` for each request of any kind.
    #[must_use]
    pub fn new(gets_max: usize, timeout: Option<Duration>, registry: &Registry) -> Self {
        let in_flight = registry.gauges(
            "alertmanager_http_requests_in_flight",
            "Current number of HTTP requests being processed.",
            &["method"],
        );
        let exceeded = registry.counters(
            "alertmanager_http_concurrency_limit_exceeded_total",
            "Total number of times an HTTP request failed because the concurrency limit was reached.",
            &["method"],
        );
        Self {
            gets: Arc::new(Semaphore::new(gets_max)),
            gets_max,
            timeout,
            in_flight: in_flight.with(&["get"]),
            exceeded: exceeded.with(&["get"]),
        }
    }
}

/// Counts the request while it is being answered.
struct Inside<'a>(&'a Gauge);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.add(-1.0);
    }
}

/// Middleware: 503 over either limit, in upstream's words.
pub(crate) async fn keep(State(limits): State<RequestLimits>, request: Request, next: Next) -> Response {
    let permit = match *request.method() {
        Method::GET => match limits.gets.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => {
                limits.exceeded.inc();
                let text = format!(
                    "Limit of concurrent GET requests reached ({}), try again later.\n",
                    limits.gets_max
                );
                return text_response(StatusCode::SERVICE_UNAVAILABLE, text);
            }
        },
        _ => None,
    };
    let _inside = permit.as_ref().map(|_| {
        limits.in_flight.add(1.0);
        Inside(&limits.in_flight)
    });
    let Some(timeout) = limits.timeout else { return next.run(request).await };
    tokio::time::timeout(timeout, next.run(request)).await.unwrap_or_else(|_| {
        let text = format!("Exceeded configured timeout of {timeout:?}.\n");
        text_response(StatusCode::SERVICE_UNAVAILABLE, text)
    })
}
