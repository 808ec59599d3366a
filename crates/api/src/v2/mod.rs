//! Alertmanager's API v2 on the wire: thin handlers over `alertmanager::Handle`, which knows the JSON.
//!
//! In from sockets; out as the reply that the handle gives. Bodies are capped at [`alertmanager::BODY_BYTES_MAX`].

use std::sync::Arc;

use alertmanager::Reply;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{OriginalUri, Path, RawQuery, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};

use crate::respond::{json_response, typed_response};
use crate::state::{Manager, Shell};

/// Everything below `/api/v2`.
pub(crate) fn routes() -> Router<Arc<Shell>> {
    let not_get = |method: Method| async move { not_allowed(&method, "GET") };
    let not_get_post = |method: Method| async move { not_allowed(&method, "GET,POST") };
    let not_post = |method: Method| async move { not_allowed(&method, "POST") };
    let not_one = |method: Method| async move { not_allowed(&method, "DELETE,GET,PUT") };
    let not_get_delete = |method: Method| async move { not_allowed(&method, "DELETE,GET") };
    let paths: [(&str, MethodRouter<Arc<Shell>>); 20] = [
        ("/status", get(status).fallback(not_get)),
        ("/receivers", get(receivers).fallback(not_get)),
        ("/receivers/integrations", get(integrations).fallback(not_get)),
        ("/receivers/test", post(post_test).fallback(not_post)),
        ("/alerts", get(alerts).post(post_alerts).fallback(not_get_post)),
        ("/alerts/groups", get(groups).fallback(not_get)),
        ("/alerts/watched", get(watched).fallback(not_get)),
        ("/acknowledgements", get(acknowledgements).post(acknowledge).fallback(not_get_post)),
        ("/acknowledgements/end", post(unacknowledge).fallback(not_post)),
        ("/alerts/history", get(history).fallback(not_get)),
        ("/explain", get(explain).fallback(not_get)),
        ("/ignores", get(ignores).fallback(not_get)),
        ("/maintenance", get(windows).post(post_window).fallback(not_get_post)),
        ("/maintenance/preview", post(preview_window).fallback(not_post)),
        ("/maintenance/{id}", get(window).put(put_window).delete(delete_window).fallback(not_one)),
        ("/maintenance/{id}/end", post(end_window).fallback(not_post)),
        ("/maintenance/{id}/preview", get(window_preview).fallback(not_get)),
        ("/silences", get(silences).post(post_silences).fallback(not_get_post)),
        ("/silence/{id}", get(silence).delete(delete_silence).fallback(not_get_delete)),
        ("/openapi.yaml", get(document)),
    ];
    let routes = paths.into_iter().fold(Router::new(), |routes, (path, answers)| {
        // As in Alertmanager, a slash at the end makes no difference.
        routes.route(&format!("{path}/"), answers.clone()).route(path, answers)
    });
    routes.fallback(unknown).layer(middleware::from_fn(only_json))
}

/// The contract, as a document of OpenAPI.
async fn document() -> Response {
    typed_response(StatusCode::OK, "application/yaml; charset=utf-8", include_str!("openapi.yaml"))
}

/// Runs what may take long, as listing a hundred thousand alerts does, beside the threads that drive sockets.
async fn aside(
    manager: alertmanager::Handle,
    query: Option<String>,
    answer: fn(&alertmanager::Handle, &str) -> Reply,
) -> Response {
    beside(move || answer(&manager, &query.unwrap_or_default())).await
}

async fn beside(work: impl FnOnce() -> Reply + Send + 'static) -> Response {
    match crate::v1::aside(work).await {
        Ok(reply) => respond(reply),
        Err(err) => refuse(StatusCode::INTERNAL_SERVER_ERROR, 500, &err.to_string()),
    }
}

async fn status(Manager(manager): Manager) -> Response {
    respond(manager.get_status())
}

async fn receivers(Manager(manager): Manager, RawQuery(query): RawQuery) -> Response {
    respond(manager.get_receivers(&query.unwrap_or_default()))
}

async fn integrations(Manager(manager): Manager) -> Response {
    respond(manager.get_integrations())
}

async fn post_test(Manager(manager): Manager, request: Request) -> Response {
    match body(request).await {
        Ok(body) => respond(manager.post_test(&body).await),
        Err(refused) => refused,
    }
}

async fn alerts(Manager(manager): Manager, RawQuery(query): RawQuery) -> Response {
    aside(manager, query, alertmanager::Handle::get_alerts).await
}

async fn post_alerts(Manager(manager): Manager, request: Request) -> Response {
    match body(request).await {
        Ok(body) => respond(manager.post_alerts(&body)),
        Err(refused) => refused,
    }
}

async fn groups(Manager(manager): Manager, RawQuery(query): RawQuery) -> Response {
    aside(manager, query, alertmanager::Handle::get_alert_groups).await
}

async fn watched(Manager(manager): Manager, RawQuery(query): RawQuery) -> Response {
    aside(manager, query, alertmanager::Handle::get_watched).await
}

async fn acknowledgements(Manager(manager): Manager, RawQuery(query): RawQuery) -> Response {
    aside(manager, query, alertmanager::Handle::get_acknowledgements).await
}

async fn acknowledge(Manager(manager): Manager, request: Request) -> Response {
    match body(request).await {
        Ok(body) => respond(manager.post_acknowledgements(&body)),
        Err(refused) => refused,
    }
}

async fn unacknowledge(Manager(manager): Manager, request: Request) -> Response {
    match body(request).await {
        Ok(body) => respond(manager.end_acknowledgements(&body)),
        Err(refused) => refused,
    }
}

async fn history(Manager(manager): Manager, RawQuery(query): RawQuery) -> Response {
    aside(manager, query, alertmanager::Handle::get_history).await
}

async fn explain(Manager(manager): Manager, RawQuery(query): RawQuery) -> Response {
    respond(manager.get_explained(&query.unwrap_or_default()))
}

async fn ignores(Manager(manager): Manager) -> Response {
    respond(manager.get_ignores())
}

async fn windows(Manager(manager): Manager) -> Response {
    beside(move || manager.get_maintenance()).await
}

async fn post_window(Manager(manager): Manager, request: Request) -> Response {
    match body(request).await {
        Ok(body) => beside(move || manager.post_maintenance(&body)).await,
        Err(refused) => refused,
    }
}

async fn preview_window(Manager(manager): Manager, request: Request) -> Response {
    match body(request).await {
        Ok(body) => beside(move || manager.post_maintenance_preview(&body)).await,
        Err(refused) => refused,
    }
}

async fn window(Manager(manager): Manager, Path(id): Path<String>) -> Response {
    beside(move || manager.get_maintenance_window(&id)).await
}

async fn put_window(Manager(manager): Manager, Path(id): Path<String>, request: Request) -> Response {
    match body(request).await {
        Ok(body) => beside(move || manager.put_maintenance_window(&id, &body)).await,
        Err(refused) => refused,
    }
}

async fn delete_window(Manager(manager): Manager, Path(id): Path<String>) -> Response {
    respond(manager.delete_maintenance_window(&id))
}

async fn end_window(Manager(manager): Manager, Path(id): Path<String>) -> Response {
    beside(move || manager.end_maintenance_window(&id)).await
}

async fn window_preview(Manager(manager): Manager, Path(id): Path<String>) -> Response {
    beside(move || manager.get_maintenance_preview(&id)).await
}

async fn silences(Manager(manager): Manager, RawQuery(query): RawQuery) -> Response {
    aside(manager, query, alertmanager::Handle::get_silences).await
}

async fn post_silences(Manager(manager): Manager, request: Request) -> Response {
    match body(request).await {
        Ok(body) => respond(manager.post_silences(&body)),
        Err(refused) => refused,
    }
}

async fn silence(Manager(manager): Manager, Path(id): Path<String>) -> Response {
    respond(manager.get_silence(&id))
}

async fn delete_silence(Manager(manager): Manager, Path(id): Path<String>) -> Response {
    respond(manager.delete_silence(&id))
}

async fn unknown(OriginalUri(uri): OriginalUri) -> Response {
    refuse(StatusCode::NOT_FOUND, 404, &format!("path {} was not found", uri.path()))
}

fn respond(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if reply.body.is_empty() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    } else {
        json_response(status, reply.body)
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Upstream's framework's form of an error.
fn refuse(status: StatusCode, code: u16, message: &str) -> Response {
    let mut json = crate::json::Json::new();
    json.object(|json| {
        json.key("code").int(code);
        json.key("message").text(message);
    });
    respond(Reply { status: status.as_u16(), body: json.finish() })
}

fn not_allowed(method: &Method, allowed: &'static str) -> Response {
    let message = format!("method {method} is not allowed, but [{allowed}] are");
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, 405, &message);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Refuses who takes no JSON: there is nothing else but the contract itself.
async fn only_json(request: Request, next: Next) -> Response {
    let takes = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if takes_json(takes) || request.uri().path().trim_end_matches('/').ends_with("/openapi.yaml") {
        return next.run(request).await;
    }
    let message = "unsupported media type requested, only [application/json] are available";
    refuse(StatusCode::NOT_ACCEPTABLE, 406, message)
}

/// Whether values of `Accept` leave room for JSON; without any everything is taken.
fn takes_json<'a>(values: impl Iterator<Item = &'a str>) -> bool {
    let mut ranges =
        values.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty());
    let takes = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse::<f32>().ok());
        matches!(kind.as_str(), "application/json" | "application/*" | "*/*") && weight != Some(0.0)
    };
    ranges.next().is_none_or(|first| takes(first) || ranges.any(takes))
}

/// The whole body, when it says it is JSON and is not too long. Nothing is nothing of any type.
async fn body(request: Request) -> Result<Bytes, Response> {
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let bytes = to_bytes(request.into_body(), alertmanager::BODY_BYTES_MAX).await.map_err(|err| {
        let message = format!("cannot read the body (at most {} bytes): {err}", alertmanager::BODY_BYTES_MAX);
        refuse(StatusCode::PAYLOAD_TOO_LARGE, 413, &message)
    })?;
    if !bytes.is_empty() {
        let content_type = content_type.as_ref().map_or(Ok("application/octet-stream"), HeaderValue::to_str);
        if let Some(refused) = refuse_type(content_type.unwrap_or_default()) {
            return Err(refused);
        }
    }
    Ok(bytes)
}

fn refuse_type(content_type: &str) -> Option<Response> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return None;
    }
    if !kind.contains('/') {
        let message = format!(
            "parsing Content-Type header from {content_type:?} failed, because it is no type and subtype; \
             write application/json"
        );
        return Some(refuse(StatusCode::BAD_REQUEST, 400, &message));
    }
    let message = format!("unsupported media type {content_type:?}, only [application/json] are allowed");
    Some(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, &message))
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
        check(&[""], true);
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
        check("", Some(400));
    }
}
