//! Sends spans: the one module here that awaits.
//!
//! In from the queue; out to the receiver, in batches, one request at a time. What the receiver cannot take now is sent again for a
//! minute; by then the queue is full, and what comes is dropped there.
//! Method: the OTLP specification of retries; OpenTelemetry's batch processor.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use net::client::status_error;
use net::grpc::{Call, GrpcClient, GrpcError};
use net::{BuildError, HttpClient, HttpClientConfig, Limits, Request};
use tokio::sync::mpsc;
use url::Url;
use wire::otlp::{KeyValue, Span, decode_rejected_spans, encode_spans};

use crate::config::{ClientType, TracingConfig};
use crate::queue::Shared;

/// Spans of one request. From OpenTelemetry.
const BATCH_SPANS_MAX: usize = 512;
/// A span waits no longer than this for others. From OpenTelemetry.
const BATCH_DELAY: Duration = Duration::from_secs(5);
/// For one request, unless the configuration says otherwise. From OTLP's exporters.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Before the first repetition; doubled each time. Chosen: OTLP's exporters wait five seconds, in which a receiver has long restarted.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// From OTLP's exporters.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// For all repetitions of a batch. From OTLP's exporters.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// Of an answer: it is empty, or some words of error. Chosen.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const HTTP_PATH: &str = "/v1/traces";

/// Sends to one receiver.
#[derive(Debug)]
pub(crate) struct Exporter {
    way: Way,
    endpoint: String,
    headers: HeaderMap,
    gzips: bool,
    timeout: Duration,
    resource: Vec<KeyValue>,
    /// The last batch was not taken; the log has said so.
    is_failing: bool,
}

#[derive(Debug)]
enum Way {
    Grpc(GrpcClient),
    Http(HttpClient, Url),
}

/// Why a batch was not taken.
#[derive(Debug)]
struct Failure {
    why: String,
    /// It may be taken later.
    is_passing: bool,
    /// Not before this time is over.
    after: Option<Duration>,
}

impl Failure {
    fn passing(why: impl ToString) -> Self {
        Self { why: why.to_string(), is_passing: true, after: None }
    }
}

impl Exporter {
    /// For what `config` says; `resource` describes this program.
    pub(crate) fn new(config: &TracingConfig, resource: Vec<KeyValue>) -> Result<Self, BuildError> {
        let invalid = |reason: String| BuildError::Invalid { what: "tracing", reason };
        let mut base = config.base().map_err(invalid)?;
        let client = HttpClientConfig {
            tls_config: config.tls_config.clone().filter(|_| !config.insecure),
            ..HttpClientConfig::default()
        };
        let way = match config.client_type {
            ClientType::Grpc => Way::Grpc(GrpcClient::new(base, &client)?),
            ClientType::Http => {
                base.set_path(HTTP_PATH);
                Way::Http(HttpClient::new(&client)?, base)
            }
        };
        let mut headers = HeaderMap::new();
        for (name, header) in &config.headers {
            // As upstream: the first one of them.
            let secret = header.secrets.first().map(net::Secret::expose);
            let Some(value) = header.values.first().map(String::as_str).or(secret) else { continue };
            let bad = |_| invalid(format!("header {name:?} has characters that HTTP forbids"));
            let mut value = HeaderValue::from_str(value).map_err(|err| bad(err.to_string()))?;
            value.set_sensitive(secret.is_some());
            let name = HeaderName::try_from(name).map_err(|err| bad(err.to_string()))?;
            headers.insert(name, value);
        }
        Ok(Self {
            way,
            endpoint: config.endpoint.clone(),
            headers,
            gzips: !config.compression.is_empty(),
            timeout: config.timeout.map_or(TIMEOUT, model::Duration::as_std),
            resource,
            is_failing: false,
        })
    }

    /// Sends what comes until nobody can put anything into the queue any more.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Span>, shared: Arc<Shared>) {
        loop {
            let mut batch = Vec::new();
            if queue.recv_many(&mut batch, BATCH_SPANS_MAX).await == 0 {
                return;
            }
            let full = async {
                while batch.len() < BATCH_SPANS_MAX {
                    let room = BATCH_SPANS_MAX - batch.len();
                    if queue.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            // Whether it is full or its time has come.
            let _ = tokio::time::timeout(BATCH_DELAY, full).await;
            self.deliver(&batch, &shared).await;
        }
    }

    /// Sends a batch until it is taken or given up.
    async fn deliver(&mut self, batch: &[Span], shared: &Shared) {
        let message = self.encoded(encode_spans(&self.resource, batch));
        let began = shared.clock.monotonic();
        let mut backoff = BACKOFF_MIN;
        let failure = loop {
            match self.send(message.clone()).await {
                Ok(n_refused) => return self.taken(batch.len() as u64, n_refused, shared),
                Err(failure) => {
                    self.say(&failure.why, batch.len());
                    let wait = failure.after.unwrap_or(backoff);
                    let waited = shared.clock.monotonic().saturating_sub(began);
                    if !failure.is_passing || waited + wait > RETRY_FOR {
                        break failure;
                    }
                    tokio::time::sleep(wait).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        };
        if let Some(metrics) = shared.metrics() {
            let reason = if failure.is_passing { "unreachable" } else { "refused" };
            metrics.dropped.with(&[reason]).add(batch.len() as u64);
        }
    }

    fn taken(&mut self, n_spans: u64, n_refused: u64, shared: &Shared) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(endpoint = self.endpoint, "spans are sent again");
        }
        if let Some(metrics) = shared.metrics() {
            metrics.sent.add(n_spans.saturating_sub(n_refused));
            metrics.dropped.with(&["refused"]).add(n_refused.min(n_spans));
        }
    }

    /// Says it once, until a batch is taken again.
    fn say(&mut self, why: &str, n_spans: usize) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let endpoint = &self.endpoint;
            tracing::warn!(
                endpoint,
                n_spans,
                error = why,
                "spans cannot be sent; those that find no room are dropped"
            );
        }
    }

    fn encoded(&self, message: Vec<u8>) -> Bytes {
        if !self.gzips {
            return message.into();
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 4), Compression::fast());
        encoder.write_all(&message).and_then(|()| encoder.finish()).expect("memory takes every byte").into()
    }

    /// Sends once; how many spans the receiver refused of those it took.
    async fn send(&self, message: Bytes) -> Result<u64, Failure> {
        let answer = match &self.way {
            Way::Grpc(client) => self.send_grpc(client, message).await?,
            Way::Http(client, url) => self.send_http(client, url, message).await?,
        };
        let (n_refused, why) = decode_rejected_spans(&answer).unwrap_or_default();
        if n_refused > 0 || !why.is_empty() {
            tracing::debug!(endpoint = self.endpoint, n_refused, why, "the receiver of spans has a remark");
        }
        Ok(n_refused)
    }

    async fn send_http(&self, client: &HttpClient, url: &Url, body: Bytes) -> Result<Bytes, Failure> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if self.gzips {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let limits = Limits {
            timeout: self.timeout,
            body_bytes_max: ANSWER_BYTES_MAX,
            decoded_bytes_max: ANSWER_BYTES_MAX,
        };
        let request = Request { method: Method::POST, url: url.clone(), headers, body };
        let response = client.request(request, &limits).await.map_err(Failure::passing)?;
        if response.status.is_success() {
            return Ok(response.body);
        }
        // The specification's four; everything else is for ever.
        let passing = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        let after = response.header(&RETRY_AFTER).parse().ok().map(Duration::from_secs);
        let is_passing = passing.contains(&response.status);
        Err(Failure { why: status_error(response.status), is_passing, after })
    }

    async fn send_grpc(&self, client: &GrpcClient, message: Bytes) -> Result<Bytes, Failure> {
        let call = Call {
            path: GRPC_PATH,
            headers: self.headers.clone(),
            message,
            encoding: self.gzips.then_some("gzip"),
            timeout: self.timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        client.call(call).await.map_err(|err| match &err {
            // Canceled, deadline exceeded, aborted, out of range, unavailable, data loss: as the specification has it.
            GrpcError::Status { code, .. } if !matches!(code, 1 | 4 | 10 | 11 | 14 | 15) => {
                Failure { is_passing: false, ..Failure::passing(err) }
            }
            _ => Failure::passing(err),
        })
    }
}
