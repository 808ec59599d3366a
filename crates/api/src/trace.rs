//! A span for each request, below the one that the client names in `traceparent`.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, OriginalUri, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName};
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

/// Middleware around all routes. Names as OpenTelemetry's conventions for servers have them.
pub(crate) async fn span(request: Request, next: Next) -> Response {
    let span = {
        let headers = request.headers();
        // Below a prefix the request's own path lacks it.
        let original = request.extensions().get::<OriginalUri>();
        let path = original.map_or(request.uri(), |uri| &uri.0).path();
        let client = request.extensions().get::<ConnectInfo<SocketAddr>>();
        info_span!(
            "HTTP",
            otel.name = %format_args!("{} {path}", request.method()),
            otel.kind = "server",
            otel.parent = text(headers, &net::trace::PARENT),
            http.request.method = request.method().as_str(),
            url.path = path,
            user_agent.original = text(headers, &USER_AGENT),
            client.address = client.map(|ConnectInfo(addr)| tracing::field::display(addr.ip())),
            http.response.status_code = Empty,
            error = Empty,
        )
    };
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("error", status.canonical_reason().unwrap_or_default());
    }
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
