//! `opentelemetry.proto.collector.metrics.v1.MetricsService/Export`: OTLP over gRPC, as unary calls of HTTP/2.
//!
//! In from a listener of its own, whose server speaks HTTP/2 in clear too; out the same as of OTLP over HTTP. gRPC itself is a header of five
//! bytes before each message, and a status behind the answer; nothing more of it is needed here.
//! Source: gRPC's «gRPC over HTTP2», and the OTLP specification's table of codes that say to come again.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::Response;
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use hyper::body::Frame;
use wire::otlp::{DECODED_BYTES_MAX, Partial, decode_protobuf};

use super::intake::Refused;
use super::otlp::intake;
use super::{aside, chain};
use crate::otlp::OtlpReceiver;
use crate::state::{Shared, Shell};

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const GRPC: &str = "application/grpc";
/// Compressed or not, and the length.
const HEADER_BYTES: usize = 5;

/// gRPC's numbers of what may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    InvalidArgument = 3,
    Unimplemented = 12,
    Internal = 13,
    /// Senders come again.
    Unavailable = 14,
}

/// How a call failed.
type Failed = (Code, String);

/// The routes of the listener for gRPC.
pub fn grpc_router(shell: Arc<Shell>) -> Router {
    let unknown = || async { failed(&(Code::Unimplemented, "no such method".to_owned())) };
    Router::new().route(EXPORT, post(export)).fallback(unknown).with_state(shell)
}

async fn export(State(shell): State<Arc<Shell>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(Shared(services)) = Shared::from_request_parts(&mut parts, &shell).await else {
        return failed(&(Code::Unavailable, "the server is not ready".to_owned()));
    };
    let Some(receiver) = services.otlp.clone() else {
        let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";
        return failed(&(Code::Unimplemented, text.to_owned()));
    };
    match take(receiver, &parts, body).await {
        Ok(partial) => answer(&partial),
        Err(why) => failed(&why),
    }
}

async fn take(receiver: Arc<OtlpReceiver>, parts: &Parts, body: Body) -> Result<Partial, Failed> {
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !header("content-type").starts_with(GRPC) {
        return Err((Code::InvalidArgument, format!("the content type must be {GRPC}")));
    }
    let encoding = header("grpc-encoding").to_owned();
    let encoded =
        intake(&receiver).read_encoded(String::new(), body).await.map_err(|refused| match refused {
            Refused::Bad(text) => (Code::InvalidArgument, text),
            Refused::Later(text) => (Code::Unavailable, text),
        })?;
    let received = aside(move || {
        let (body, _held) = encoded.open()?;
        let message = unframed(body, &encoding)?;
        let request = decode_protobuf(&message).map_err(|err| err.to_string())?;
        Ok::<_, String>(receiver.receive(request))
    });
    match received.await {
        Ok(Ok(Ok(partial))) => Ok(partial),
        Ok(Ok(Err(err))) => {
            tracing::warn!(error = %chain(&err), "cannot store a request of OTLP");
            Err((Code::Unavailable, chain(&err)))
        }
        Ok(Err(why)) => Err((Code::InvalidArgument, why)),
        Err(err) => Err((Code::Internal, err.message)),
    }
}

/// The one message of a unary call.
fn unframed(mut body: Bytes, encoding: &str) -> Result<Bytes, String> {
    if body.len() < HEADER_BYTES {
        return Err("the call has no message".to_owned());
    }
    let header = body.split_to(HEADER_BYTES);
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if length != body.len() {
        return Err(format!("the message says to have {length} bytes, and {} are there", body.len()));
    }
    match (header[0], encoding) {
        (0, _) => Ok(body),
        (1, "gzip") => {
            net::decompress::decode(encoding, body, DECODED_BYTES_MAX).map_err(|err| err.to_string())
        }
        (1, encoding) => Err(format!("unsupported compression: {encoding:?}, supported: gzip")),
        (flag, _) => Err(format!("the message begins with {flag}, which is no flag of compression")),
    }
}

fn answer(partial: &Partial) -> Response {
    if !partial.message.is_empty() {
        tracing::debug!(partial.message, partial.n_rejected, "parts of a request of OTLP were refused");
    }
    let message = partial.to_protobuf();
    let mut framed = vec![0];
    let length = u32::try_from(message.len()).expect("an answer is a few kilobytes");
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&message);
    let mut response = Response::new(Body::new(Answer { message: Some(framed.into()), is_over: false }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    response
}

fn failed((code, text): &Failed) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert("grpc-status", HeaderValue::from(*code as u16));
    let text = percent_encoding::utf8_percent_encode(text, percent_encoding::CONTROLS).to_string();
    headers.insert(
        "grpc-message",
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("refused")),
    );
    response
}

/// A message, and behind it that all went well.
struct Answer {
    message: Option<Bytes>,
    is_over: bool,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut self.is_over, true) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_one_message() {
        fn check(body: &[u8], encoding: &str, expected: Result<&[u8], &str>) {
            let got = unframed(Bytes::copy_from_slice(body), encoding);
            assert_eq!(got.as_deref().map_err(String::as_str), expected);
        }
        check(b"\0\0\0\0\x02ab", "", Ok(b"ab"));
        check(b"\0\0\0\0\0", "gzip", Ok(b""));
        check(b"\0\0\0", "", Err("the call has no message"));
        check(b"\0\0\0\0\x03ab", "", Err("the message says to have 3 bytes, and 2 are there"));
        check(b"\x01\0\0\0\x01a", "zstd", Err("unsupported compression: \"zstd\", supported: gzip"));
        check(b"\x02\0\0\0\x01a", "", Err("the message begins with 2, which is no flag of compression"));
        let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x4c\x02\0\x6d\x48\x83\x9e\x02\0\0\0";
        let framed = [&[1, 0, 0, 0, gzip.len() as u8][..], gzip].concat();
        check(&framed, "gzip", Ok(b"ab"));
    }
}
