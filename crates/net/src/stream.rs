//! Answers that come bit by bit and may never end, as watches give them.
//!
//! In from discovery; out to sockets through [`HttpClient`]. Keeps one piece at a time.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use url::Url;

use crate::client::{HttpClient, Request, cause_of, exchange_error};
use crate::error::{Cause, HttpError};

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Streaming {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    method: Method,
    url: Url,
}

impl HttpClient {
    /// Sends, and returns as soon as the headers are there, within `timeout`.
    ///
    /// # Errors
    /// When no headers come. A status other than 2xx is an answer, not an error.
    pub async fn open(&self, request: Request, timeout: Duration) -> Result<Streaming, HttpError> {
        let (method, url) = (request.method.clone(), request.url.clone());
        match tokio::time::timeout(timeout, self.follow(request)).await {
            Err(_) => Err(exchange_error(&method, &url, Cause::Timeout)),
            Ok(answer) => {
                let (response, method, url) = answer?;
                let (parts, body) = response.into_parts();
                Ok(Streaming { status: parts.status, headers: parts.headers, body, method, url })
            }
        }
    }
}

impl Streaming {
    /// The next piece of the body, waiting no longer than `timeout`; `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes in time.
    pub async fn next(&mut self, timeout: Duration) -> Result<Option<Bytes>, HttpError> {
        loop {
            let frame = match tokio::time::timeout(timeout, self.body.frame()).await {
                Err(_) => return Err(exchange_error(&self.method, &self.url, Cause::Timeout)),
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => frame,
            };
            let frame = frame.map_err(|err| exchange_error(&self.method, &self.url, cause_of(&err)))?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
    }
}
