//! Unary calls of gRPC: a message there, a message back, over HTTP/2 with TLS or in clear.
//!
//! In from `spans`; out to sockets. gRPC itself is a header of five bytes before each message, and a status behind the answer; nothing
//! more of it is needed here.
//! Source: gRPC's «gRPC over HTTP2».

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use url::Url;

use crate::client::{HttpClient, Request, Version, cause_of, exchange_error, status_error};
use crate::config::HttpClientConfig;
use crate::connect::Reach;
use crate::error::{BuildError, Cause, HttpError};

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// Compressed or not, and the length.
const HEADER_BYTES: usize = 5;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrpcError {
    /// It did not come as far as a status.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server says no.
    #[error("server returned gRPC status {code}: {message}")]
    Status {
        /// gRPC's number.
        code: u32,
        /// The server's words.
        message: String,
    },
    /// What came back is none of gRPC's answers.
    #[error("{0}")]
    NoAnswer(String),
}

/// A client of one server.
#[derive(Debug)]
pub struct GrpcClient {
    http: HttpClient,
    base: Url,
}

/// A call.
#[derive(Debug)]
pub struct Call<'a> {
    /// `/package.Service/Method`
    pub path: &'a str,
    /// Besides gRPC's own.
    pub headers: HeaderMap,
    /// As it is sent within its frame.
    pub message: Bytes,
    /// How the message is compressed, if it is.
    pub encoding: Option<&'static str>,
    /// For everything until the status is there.
    pub timeout: Duration,
    /// Of the answer.
    pub answer_bytes_max: usize,
}

impl GrpcClient {
    /// A client of the server at `base`: over TLS for `https`, in clear for `http`.
    ///
    /// # Errors
    /// When a TLS file cannot be read or used.
    pub fn new(base: Url, config: &HttpClientConfig) -> Result<Self, BuildError> {
        Ok(Self { http: HttpClient::speaking(Version::Http2, config, None, Reach::Usual)?, base })
    }

    /// Calls, and returns the message that came back.
    ///
    /// # Errors
    /// When there is no whole answer in time, or its status says that something went wrong.
    pub async fn call(&self, call: Call<'_>) -> Result<Bytes, GrpcError> {
        let mut url = self.base.clone();
        url.set_path(call.path);
        let (timeout, bytes_max) = (call.timeout, call.answer_bytes_max);
        let exchange = async {
            let request = request_of(url.clone(), call);
            let (response, method, url) = self.http.follow(request).await?;
            read_answer(response, (&method, &url), bytes_max).await
        };
        let answered = tokio::time::timeout(timeout, exchange).await;
        answered.unwrap_or_else(|_| Err(exchange_error(&Method::POST, &url, Cause::Timeout).into()))
    }
}

fn request_of(url: Url, call: Call<'_>) -> Request {
    let mut headers = call.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    // At most eight digits, so that milliseconds reach for a day.
    headers.insert(TIMEOUT, millis(call.timeout));
    if let Some(encoding) = call.encoding {
        headers.insert(ENCODING, HeaderValue::from_static(encoding));
    }
    let mut body = BytesMut::with_capacity(HEADER_BYTES + call.message.len());
    body.put_u8(u8::from(call.encoding.is_some()));
    body.put_u32(u32::try_from(call.message.len()).expect("messages of 4 GiB are not made"));
    body.put(call.message);
    Request { method: Method::POST, url, headers, body: body.freeze() }
}

/// `10000m`
fn millis(timeout: Duration) -> HeaderValue {
    let ms = timeout.as_millis().min(99_999_999);
    HeaderValue::try_from(format!("{ms}m")).expect("digits and a letter")
}

async fn read_answer(
    response: http::Response<Incoming>,
    (method, url): (&Method, &Url),
    bytes_max: usize,
) -> Result<Bytes, GrpcError> {
    let (parts, mut incoming) = response.into_parts();
    if !parts.status.is_success() {
        return Err(GrpcError::NoAnswer(status_error(parts.status)));
    }
    let (mut body, mut trailers) = (BytesMut::new(), parts.headers);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|err| exchange_error(method, url, cause_of(&err)))?;
        match frame.into_data() {
            Ok(piece) if body.len() + piece.len() > bytes_max => {
                return Err(HttpError::BodyTooLarge { limit_bytes: bytes_max }.into());
            }
            Ok(piece) => body.extend_from_slice(&piece),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let code = text(STATUS).and_then(|code| code.parse().ok());
    match code {
        Some(0) => unframed(body.freeze()),
        Some(code) => {
            let message = percent_encoding::percent_decode_str(text(MESSAGE).unwrap_or_default());
            Err(GrpcError::Status { code, message: message.decode_utf8_lossy().into_owned() })
        }
        None => {
            Err(GrpcError::NoAnswer("the server's answer is none of gRPC: it has no grpc-status".to_owned()))
        }
    }
}

/// The one message of a unary answer, which nobody was told to compress.
fn unframed(mut body: Bytes) -> Result<Bytes, GrpcError> {
    if body.is_empty() {
        return Ok(body);
    }
    if body.len() < HEADER_BYTES || body[0] != 0 {
        return Err(GrpcError::NoAnswer("the server's answer has no plain message".to_owned()));
    }
    Ok(body.split_off(HEADER_BYTES))
}
