//! What a request says of the types it brings and takes: JSON both ways, as Alertmanager's framework reads the headers.
//!
//! In from sockets, before the handlers of API v2 and only for methods that a path has; out as 400, 406, 415, or to the handler.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::refuse;

/// Middleware. Who sends JSON is answered in JSON whatever it accepts.
pub(super) async fn keep(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let refused = match has_body(headers) {
        true => {
            let content_type =
                headers.get(CONTENT_TYPE).map_or(Ok("application/octet-stream"), HeaderValue::to_str);
            refuse_type(content_type.unwrap_or_default())
        }
        false => refuse_accept(headers),
    };
    match refused {
        Some(refused) => refused,
        None => next.run(request).await,
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

fn refuse_type(content_type: &str) -> Option<Response> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return None;
    }
    let has_subtype =
        kind.split_once('/').is_some_and(|(first, second)| !first.is_empty() && !second.is_empty());
    if !has_subtype {
        let message = format!(
            "parsing Content-Type header from {content_type:?} failed, because mediatype: malformed: \
             {content_type:?} has no subtype"
        );
        return Some(refuse(StatusCode::BAD_REQUEST, 400, &message));
    }
    let message = format!("unsupported media type {content_type:?}, only [application/json] are allowed");
    Some(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, &message))
}

fn refuse_accept(headers: &HeaderMap) -> Option<Response> {
    if takes_json(headers.get_all(ACCEPT).iter().map(|value| value.to_str().unwrap_or_default())) {
        return None;
    }
    let message = "unsupported media type requested, only [application/json] are available";
    Some(refuse(StatusCode::NOT_ACCEPTABLE, 406, message))
}

/// Whether values of `Accept` leave room for JSON; without the header everything is taken.
fn takes_json<'a>(mut values: impl Iterator<Item = &'a str>) -> bool {
    let takes = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse::<f32>().ok());
        matches!(kind.as_str(), "application/json" | "application/*" | "*/*") && weight != Some(0.0)
    };
    let any_takes = |value: &str| value.split(',').map(str::trim).any(takes);
    values.next().is_none_or(|first| any_takes(first) || values.any(any_takes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_no_json_is_told() {
        let check = |values: &[&str], expected: bool| {
            assert_eq!(takes_json(values.iter().copied()), expected, "{values:?}");
        };
        check(&[], true);
        check(&[""], false);
        check(&["*/*"], true);
        check(&["text/html, application/xhtml+xml;q=0.9, */*;q=0.1"], true);
        check(&["Application/JSON;q=0.5"], true);
        check(&["text/html", "application/*"], true);
        check(&["text/html"], false);
        check(&["text/*, image/png"], false);
        check(&["application/json;q=0"], false);
    }

    #[test]
    fn bodies_say_that_they_are_json() {
        let check = |content_type: &str, expected: Option<u16>| {
            let refused = refuse_type(content_type);
            assert_eq!(refused.map(|response| response.status().as_u16()), expected, "{content_type}");
        };
        check("application/json", None);
        check("APPLICATION/JSON; charset=latin1", None);
        check("text/plain", Some(415));
        check("application/octet-stream", Some(415));
        check("application/jsonx", Some(415));
        check("json", Some(400));
        check("json/", Some(400));
        check("", Some(400));
    }
}
