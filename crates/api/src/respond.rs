//! Bodies of answers: the envelope with data, warnings and infos, and compression when the client asks for it.

use std::io::Write as _;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::json::Json;

/// Warnings and infos each in one answer; the rest is counted. From Prometheus.
const REMARKS_MAX: usize = 10;

/// Bodies below this many bytes travel as they are. Chosen: they fit one packet either way.
const COMPRESS_FROM_BYTES: usize = 1_024;

/// Bodies from this many bytes on are compressed away from the async threads. Chosen: about 1 ms of work.
const COMPRESS_ASIDE_FROM_BYTES: usize = 64 << 10;

/// What is said beside an answer.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    pub(crate) warnings: Vec<String>,
    pub(crate) infos: Vec<String>,
}

impl Remarks {
    pub(crate) fn from_annotations(annotations: &promql::Annotations) -> Self {
        Self { warnings: annotations.warnings().to_vec(), infos: annotations.infos().to_vec() }
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}

/// `{"status":"success","data":…}` without remarks.
pub(crate) fn success(data: impl FnOnce(&mut Json)) -> Response {
    success_with(&Remarks::default(), data)
}

/// `{"status":"success","data":…,"warnings":[…],"infos":[…]}`.
pub(crate) fn success_with(remarks: &Remarks, data: impl FnOnce(&mut Json)) -> Response {
    json_response(StatusCode::OK, envelope(remarks, data))
}

/// The text of a successful answer.
pub(crate) fn envelope(remarks: &Remarks, data: impl FnOnce(&mut Json)) -> String {
    let mut json = Json::new();
    json.object(|json| {
        json.key("status").text("success");
        data(json.key("data"));
        for (key, list, kind) in [("warnings", &remarks.warnings, "warning"), ("infos", &remarks.infos, "info")] {
            if list.is_empty() {
                continue;
            }
            json.key(key).array(|json| {
                list.iter().take(REMARKS_MAX).for_each(|text| json.text(text));
                if list.len() > REMARKS_MAX {
                    json.text(&format!("{} more {kind} annotations omitted", list.len() - REMARKS_MAX));
                }
            });
        }
    });
    json.finish()
}

/// A JSON body.
pub(crate) fn json_response(status: StatusCode, body: String) -> Response {
    typed_response(status, "application/json", body)
}

/// Plain text for people.
pub(crate) fn text_response(status: StatusCode, body: impl Into<Body>) -> Response {
    typed_response(status, "text/plain; charset=utf-8", body)
}

/// A body of a type.
pub(crate) fn typed_response(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Middleware: gzip for clients that accept it, unless the handler has encoded the body itself.
pub(crate) async fn compress(request: Request, next: Next) -> Response {
    let is_wanted = accepts_gzip(request.headers());
    let response = next.run(request).await;
    if response.headers().contains_key(CONTENT_ENCODING) || response.status() == StatusCode::NOT_MODIFIED {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !is_wanted {
        return Response::from_parts(parts, body);
    }
    // Bodies are whole already, so that collecting one costs nothing.
    let Ok(plain) = axum::body::to_bytes(body, usize::MAX).await else {
        return text_response(StatusCode::INTERNAL_SERVER_ERROR, "the answer was lost\n");
    };
    if plain.len() < COMPRESS_FROM_BYTES {
        return Response::from_parts(parts, Body::from(plain));
    }
    let packed = if plain.len() < COMPRESS_ASIDE_FROM_BYTES {
        gzip(&plain)
    } else {
        let aside = plain.clone();
        tokio::task::spawn_blocking(move || gzip(&aside)).await.unwrap_or_else(|_| Vec::new())
    };
    if packed.is_empty() {
        return Response::from_parts(parts, Body::from(plain));
    }
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(Bytes::from(packed)))
}

/// Whether `Accept-Encoding` names gzip, and not with `q=0`.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = quality.trim().strip_prefix("q=").map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
        matches!(name.trim(), "gzip" | "x-gzip" | "*") && quality > 0.0
    })
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to memory does not fail; an empty answer makes the caller send the plain body.
    encoder.write_all(plain).and_then(|()| encoder.finish()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_ask() {
        let check = |value: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        };
        check("gzip, deflate, br", true);
        check("deflate;q=0.5, gzip;q=1.0", true);
        check("*", true);
        check("gzip;q=0", false);
        check("identity", false);
    }

    #[test]
    fn remarks_beyond_ten_are_counted() {
        let mut remarks = Remarks::default();
        (0..12).for_each(|i| remarks.warn(format!("w{i}")));
        let text = envelope(&remarks, |json| json.array(|_| {}));
        assert!(text.starts_with(r#"{"status":"success","data":[],"warnings":["w0","#), "{text}");
        assert!(text.ends_with(r#""w9","2 more warning annotations omitted"]}"#), "{text}");
    }
}
