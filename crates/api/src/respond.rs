//! Bodies of answers: the envelope with data, warnings and infos. Compression is `net::server`'s.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, StatusCode};

use crate::json::Json;

/// Warnings and infos each in one answer; the rest is counted. From Prometheus.
const REMARKS_MAX: usize = 10;

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
    written(remarks, data).finish()
}

/// A successful answer.
pub(crate) fn written(remarks: &Remarks, data: impl FnOnce(&mut Json)) -> Json {
    let mut json = Json::new();
    json.object(|json| {
        json.key("status").text("success");
        data(json.key("data"));
        for (key, list, kind) in
            [("warnings", &remarks.warnings, "warning"), ("infos", &remarks.infos, "info")]
        {
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
    json
}

/// A JSON body.
pub(crate) fn json_response(status: StatusCode, body: String) -> Response {
    typed_response(status, "application/json", body)
}

/// Plain text for people. Errors may quote what was asked: no browser is to take them for something else.
pub(crate) fn text_response(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = typed_response(status, "text/plain; charset=utf-8", body);
    if status.is_client_error() || status.is_server_error() {
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// Leads to `path` with the same query, in the form of Go's router.
pub(crate) fn redirect(method: &Method, status: StatusCode, path: &str, query: Option<&str>) -> Response {
    let to = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut response = match *method {
        Method::GET | Method::HEAD => {
            let shown =
                to.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
            let why = status.canonical_reason().unwrap_or_default();
            typed_response(status, "text/html; charset=utf-8", format!("<a href=\"{shown}\">{why}</a>.\n\n"))
        }
        _ => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        }
    };
    // A path that came in a request line can stand in a header.
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

/// A body of a type.
pub(crate) fn typed_response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_beyond_ten_are_counted() {
        let mut remarks = Remarks::default();
        (0..12).for_each(|i| remarks.warn(format!("w{i}")));
        let text = envelope(&remarks, |json| json.array(|_| {}));
        assert!(text.starts_with(r#"{"status":"success","data":[],"warnings":["w0","#), "{text}");
        assert!(text.ends_with(r#""w9","2 more warning annotations omitted"]}"#), "{text}");
    }
}
