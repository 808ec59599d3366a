//! A response body compressed on its way out, piece by piece.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::{Body as _, Frame};

/// Bodies known to be shorter are sent as they are: the header of gzip and the work would cost more. Chosen.
const WORTH_BYTES_MIN: u64 = 512;
/// Speed before size: the network is near. Chosen; level 1 is about four times as fast as 6 on JSON.
const LEVEL: Compression = Compression::fast();

/// Whether the client takes gzip.
#[must_use]
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let offers = values.flat_map(|value| value.split(','));
    let mut takes = false;
    for offer in offers {
        let (coding, weight) = offer.split_once(';').unwrap_or((offer, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
        match coding.trim() {
            "gzip" => return weight > 0.0,
            "*" => takes = weight > 0.0,
            _ => {}
        }
    }
    takes
}

/// Compresses `response` when that is worth it: text of some length that nobody has encoded yet.
pub(crate) fn compress(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_text = (kind.starts_with("text/") && !kind.starts_with("text/event-stream"))
        || ["application/json", "application/javascript", "application/openmetrics-text", "image/svg+xml"]
            .iter()
            .any(|prefix| kind.starts_with(prefix));
    let has_body = !matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
    );
    let is_short = response.body().size_hint().exact().is_some_and(|n_bytes| n_bytes < WORTH_BYTES_MIN);
    if !is_text || !has_body || is_short || headers.contains_key(CONTENT_ENCODING) {
        return response;
    }
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    response.map(|inner| Body::new(GzipBody { inner, encoder: Some(GzEncoder::new(Vec::new(), LEVEL)) }))
}

struct GzipBody {
    inner: Body,
    /// `None` once the end was sent.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl hyper::body::Body for GzipBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            // What the encoder has put out so far goes first.
            if !encoder.get_ref().is_empty() {
                let out = std::mem::take(encoder.get_mut());
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))));
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let encoder = self.encoder.as_mut().expect("checked to be some above");
                    encoder.write_all(&data).expect("a Vec takes every write");
                }
                Some(Err(err)) => return Poll::Ready(Some(Err(err))),
                None => {
                    let encoder = self.encoder.take().expect("checked to be some above");
                    let out = encoder.finish().expect("a Vec takes every write");
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn check(accept: &str, expected: bool) {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(accept).unwrap())]);
        assert_eq!(accepts_gzip(&headers), expected, "{accept}");
    }

    #[test]
    fn reads_accept_encoding() {
        check("gzip", true);
        check("deflate, gzip;q=1.0, *;q=0.5", true);
        check("gzip;q=0", false);
        check("*", true);
        check("identity", false);
        check("", false);
    }

    #[tokio::test]
    async fn compressed_bodies_come_back() {
        let text = "up 1\n".repeat(1_000);
        let response =
            Response::builder().header(CONTENT_TYPE, "text/plain").body(Body::from(text.clone())).unwrap();
        let compressed = compress(response);
        assert_eq!(compressed.headers()[CONTENT_ENCODING], "gzip");
        let body = compressed.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() < text.len() / 10);
        assert_eq!(crate::decompress::gunzip(&body, text.len()).unwrap(), text);
    }

    #[test]
    fn pictures_and_short_bodies_stay_as_they_are() {
        for (kind, body) in [("image/png", "x".repeat(9_000)), ("text/plain", "short".to_owned())] {
            let response = Response::builder().header(CONTENT_TYPE, kind).body(Body::from(body)).unwrap();
            assert!(!compress(response).headers().contains_key(CONTENT_ENCODING));
        }
    }
}
