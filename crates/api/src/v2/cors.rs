//! Pages of other origins at API v2 of an Alertmanager: any may read, and ask before it posts.
//!
//! In from sockets, around everything below `/api/v2` of `hinomi alertmanager`; a server's own origins are `lifecycle::cors`.
//! The rules are those of the middleware that Alertmanager uses, with its defaults.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// What a page may send beside what every page may, in the order in which browsers list them.
const HEADERS: [&str; 3] = ["accept", "content-type", "x-requested-with"];

/// Middleware.
pub(super) async fn keep(request: Request, next: Next) -> Response {
    let asked = request.headers();
    let is_empty = |name| asked.get(&name).is_none_or(HeaderValue::is_empty);
    if request.method() == Method::OPTIONS && !is_empty(ACCESS_CONTROL_REQUEST_METHOD) {
        return preflight(asked);
    }
    let may_read = !is_empty(ORIGIN) && is_allowed(request.method().as_str());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if may_read {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

/// Whether a page of another origin may use a method.
fn is_allowed(method: &str) -> bool {
    matches!(method, "GET" | "POST" | "HEAD" | "OPTIONS")
}

/// A browser's question before a request: nothing is said to what is not allowed.
fn preflight(asked: &HeaderMap) -> Response {
    const VARIES: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static(VARIES));
    let Some(method) = asked.get(ACCESS_CONTROL_REQUEST_METHOD) else { return response };
    let is_from_page = asked.get(ORIGIN).is_some_and(|origin| !origin.is_empty());
    let sent: Vec<&HeaderValue> = asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().collect();
    if !is_from_page || !method.to_str().is_ok_and(is_allowed) || !may_send(&sent) {
        return response;
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    if sent.first().is_some_and(|first| !first.is_empty()) {
        for value in sent {
            headers.append(ACCESS_CONTROL_ALLOW_HEADERS, value.clone());
        }
    }
    response
}

/// Whether all names are among [`HEADERS`], each once and in order, as browsers send them.
fn may_send(values: &[&HeaderValue]) -> bool {
    let mut left = HEADERS.iter();
    let names = values.iter().flat_map(|value| value.to_str().unwrap_or("\0").split(','));
    names.map(str::trim).filter(|name| !name.is_empty()).all(|name| left.any(|known| *known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_may_post_json_and_nothing_more() {
        let check = |method: &str, headers: Option<&str>, expected: Option<&str>| {
            let mut asked = HeaderMap::new();
            asked.insert(ORIGIN, HeaderValue::from_static("http://page.example"));
            asked.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_str(method).expect("a token"));
            if let Some(headers) = headers {
                let value = HeaderValue::from_str(headers).expect("visible letters");
                asked.insert(ACCESS_CONTROL_REQUEST_HEADERS, value);
            }
            let answer = preflight(&asked);
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
            let said =
                |name| answer.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or(""));
            assert_eq!(said(ACCESS_CONTROL_ALLOW_METHODS), expected, "{method} {headers:?}");
            assert_eq!(said(ACCESS_CONTROL_ALLOW_ORIGIN), expected.map(|_| "*"));
            assert_eq!(said(ACCESS_CONTROL_ALLOW_HEADERS), expected.and(headers));
        };
        check("POST", None, Some("POST"));
        check("POST", Some("content-type"), Some("POST"));
        check("GET", Some("accept,content-type, x-requested-with"), Some("GET"));
        check("POST", Some("content-type,accept"), None);
        check("POST", Some("authorization"), None);
        check("DELETE", None, None);
        check("PUT", Some("content-type"), None);
    }
}
