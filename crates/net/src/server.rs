//! Serves a router on a socket: connection cap, TLS and users, header and body caps, read timeout, gzip, graceful stop.
//!
//! In from sockets; out to an axum [`Router`]. Speaks HTTP/1.1, and HTTP/2 to clients that agree on it within TLS, or by
//! [`ServerOptions::http2_only`].
//! Invariant: after `stop` is cancelled, [`serve`] returns within [`ServerOptions::drain_timeout`].

mod lenient;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use stdx::metrics::{Counter, Family, Gauge, Registry};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::WebConfig;
use lenient::Lenient;

/// Pause after the system refused a connection, for instance because files ran out. Chosen: as Go's net/http, which
/// goes from 5 ms to 1 s.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Most headers of a request. hyper's own default, named here.
const HEADERS_MAX: usize = 100;
/// How long a TLS handshake may take. Chosen: four round trips over the worst of lines.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at once on one connection of HTTP/2. As Go's server.
const STREAMS_MAX: u32 = 250;
/// How often an idle connection of HTTP/2 is asked whether it is still there. Chosen.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// What Go's server says to those who forgot the `s` of `https`.
const NOT_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Limits of a server. The defaults are Prometheus' where it has any.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Connections at once; more wait in the system's queue. `--web.max-connections`.
    pub connections_max: usize,
    /// Request line and headers together, in bytes. At least 8,192.
    pub header_bytes_max: usize,
    /// Body of one request, in bytes, as sent.
    pub body_bytes_max: usize,
    /// For reading one request, from its first byte to its body's last. `--web.read-timeout`.
    pub read_timeout: Duration,
    /// How long open requests may go on after the stop.
    pub drain_timeout: Duration,
    /// Whether clients without TLS speak HTTP/2 from the first byte on, as gRPC does, instead of HTTP/1.1.
    pub http2_only: bool,
    /// Whether to compress for clients that take gzip.
    pub compress: bool,
    /// Who may come in and how; `None` for everybody over plain HTTP. `--web.config.file`.
    pub web: Option<Arc<WebConfig>>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections_max: 512,
            header_bytes_max: 64 << 10,
            body_bytes_max: 32 << 20,
            read_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(5),
            http2_only: false,
            compress: true,
            web: None,
        }
    }
}

/// What a server counts about itself.
#[derive(Debug, Clone)]
pub struct ServerMetrics {
    connections: Arc<Gauge>,
    connections_waited: Arc<Counter>,
    bodies_too_large: Arc<Counter>,
    read_timeouts: Arc<Counter>,
    handshakes_failed: Arc<Counter>,
    refused: Arc<Family<Counter>>,
}

impl ServerMetrics {
    /// Registers `net_server_…`.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            connections: registry.gauge("net_server_connections", "Connections open now."),
            connections_waited: registry.counter(
                "net_server_connections_waited_total",
                "Times that new connections had to wait, as many being open as --web.max-connections allows.",
            ),
            bodies_too_large: registry.counter(
                "net_server_bodies_too_large_total",
                "Requests refused because their body was too large.",
            ),
            read_timeouts: registry
                .counter("net_server_read_timeouts_total", "Request bodies that did not arrive in time."),
            handshakes_failed: registry.counter(
                "net_server_tls_handshakes_failed_total",
                "TLS handshakes that failed, for instance because a client showed no certificate.",
            ),
            refused: registry.counters(
                "net_server_requests_refused_total",
                "Requests that --web.config.file refused: 401 for a wrong password, 429 for too many.",
                &["code"],
            ),
        }
    }
}

/// Serves `router` until `stop` is cancelled; then takes no new connection, lets open requests finish for
/// [`ServerOptions::drain_timeout`], and cuts off the rest. Handlers find the client in [`ConnectInfo`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServerOptions,
    metrics: ServerMetrics,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(options.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let shared = Arc::new(Shared { router, options, metrics, stop: stop.clone() });
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if places.available_permits() == 0 {
            shared.metrics.connections_waited.inc();
        }
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((tcp, client, place)) => {
                connections.spawn(connection(Arc::clone(&shared), tcp, client, place));
            }
            Err(err) => {
                tracing::warn!(error = %err, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(shared.options.drain_timeout, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!(
            n_open = connections.len(),
            "closing connections whose requests did not finish in time"
        );
        connections.shutdown().await;
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    let (tcp, client) = listener.accept().await?;
    Ok((tcp, client, place))
}

struct Shared {
    router: Router,
    options: ServerOptions,
    metrics: ServerMetrics,
    stop: CancellationToken,
}

async fn connection(
    shared: Arc<Shared>,
    mut tcp: TcpStream,
    client: SocketAddr,
    place: OwnedSemaphorePermit,
) {
    let _open = Open::count(&shared.metrics.connections);
    let _place = place;
    let _ = tcp.set_nodelay(true);
    let Some(web) = shared.options.web.as_ref().filter(|web| web.has_tls()) else {
        return match shared.options.http2_only {
            true => serve_http2(&shared, tcp, client).await,
            false => serve_http1(&shared, tcp, client).await,
        };
    };
    let handshake = async {
        // A request in plain text begins with a letter, a handshake with the byte 22.
        let mut first = [0];
        if matches!(tcp.peek(&mut first).await, Ok(1)) && first[0].is_ascii_alphabetic() {
            // Read first, since closing with unread bytes would take the answer back.
            let _ = tcp.read(&mut [0; 4 << 10]).await;
            let _ = tcp.write_all(NOT_TLS).await;
            return Err(std::io::Error::other("HTTP without TLS"));
        }
        let config = web.tls().ok_or_else(|| std::io::Error::other("no certificate"))?;
        TlsAcceptor::from(config).accept(tcp).await
    };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake) => shaken,
        () = shared.stop.cancelled() => return,
    };
    match shaken.unwrap_or_else(|_| Err(std::io::Error::other("the handshake took too long"))) {
        Ok(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => serve_http2(&shared, tls, client).await,
        Ok(tls) => serve_http1(&shared, tls, client).await,
        Err(err) => {
            shared.metrics.handshakes_failed.inc();
            tracing::debug!(%client, error = %err, "TLS handshake failed");
        }
    }
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin>(shared: &Arc<Shared>, stream: S, client: SocketAddr) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(shared);
        async move { Ok::<_, std::convert::Infallible>(answer(&shared, client, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.options.read_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(shared.options.header_bytes_max.max(8 << 10))
        .serve_connection(TokioIo::new(Lenient::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(err) = result {
        tracing::debug!(%client, error = %err, "connection ended");
    }
}

async fn serve_http2<S>(shared: &Arc<Shared>, stream: S, client: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(shared);
        async move { Ok::<_, std::convert::Infallible>(answer(&shared, client, request).await) }
    });
    let header_bytes_max = u32::try_from(shared.options.header_bytes_max).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(header_bytes_max)
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(Some(PING_INTERVAL))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(err) = result {
        tracing::debug!(%client, error = %err, "connection ended");
    }
}

/// Counts a connection for as long as it lives, however it ends.
struct Open<'a>(&'a Gauge);

impl<'a> Open<'a> {
    fn count(gauge: &'a Gauge) -> Self {
        gauge.add(1.0);
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.add(-1.0);
    }
}

async fn answer(shared: &Shared, client: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let Some(web) = &shared.options.web else { return routed(shared, client, request).await };
    match web.admit(request.headers()).await {
        Ok(extra) => {
            let mut response = routed(shared, client, request).await;
            extra.add(response.headers_mut());
            response
        }
        Err(refusal) => {
            shared.metrics.refused.with(&[refusal.status().as_str()]).inc();
            refusal
        }
    }
}

async fn routed(shared: &Shared, client: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let limit = shared.options.body_bytes_max;
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n_bytes| n_bytes > limit as u64) {
        shared.metrics.bodies_too_large.inc();
        let text = format!("request body is larger than {limit} bytes\n");
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        // The body is not read, so the connection cannot be used again; HTTP/2 ends the one stream by itself.
        if request.version() < http::Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        return response;
    }
    let takes_gzip = shared.options.compress && crate::gzip_body::accepts_gzip(request.headers());
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(ConnectInfo(client));
    let body = CappedBody {
        inner: body,
        rest_bytes: limit,
        limit_bytes: limit,
        deadline: Box::pin(tokio::time::sleep(shared.options.read_timeout)),
        metrics: shared.metrics.clone(),
    };
    let response = shared.router.clone().oneshot(Request::from_parts(parts, Body::new(body))).await;
    let response = response.unwrap_or_else(|never| match never {});
    if takes_gzip { crate::gzip_body::compress(response) } else { response }
}

/// Why a request's body was cut off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Larger than [`ServerOptions::body_bytes_max`].
    #[error("request body is larger than {0} bytes")]
    TooLarge(usize),
    /// Not whole within [`ServerOptions::read_timeout`].
    #[error("request body did not arrive in time")]
    Timeout,
    /// The connection broke.
    #[error("{0}")]
    Broken(hyper::Error),
}

/// A request's body that ends with an error at the cap or the deadline.
struct CappedBody {
    inner: Incoming,
    rest_bytes: usize,
    limit_bytes: usize,
    deadline: Pin<Box<tokio::time::Sleep>>,
    metrics: ServerMetrics,
}

impl hyper::body::Body for CappedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            let Some(frame) = frame else { return Poll::Ready(None) };
            let frame = frame.map_err(BodyError::Broken)?;
            if let Some(data) = frame.data_ref() {
                let Some(rest_bytes) = self.rest_bytes.checked_sub(data.len()) else {
                    self.metrics.bodies_too_large.inc();
                    return Poll::Ready(Some(Err(BodyError::TooLarge(self.limit_bytes))));
                };
                self.rest_bytes = rest_bytes;
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        ready!(self.deadline.as_mut().poll(cx));
        self.metrics.read_timeouts.inc();
        Poll::Ready(Some(Err(BodyError::Timeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
