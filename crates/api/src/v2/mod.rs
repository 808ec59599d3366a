//! Alertmanager's API v2 on the wire: thin handlers over `alertmanager::Handle`, which knows the JSON.
//!
//! In from sockets; out as the reply that the handle gives. Bodies are capped at [`alertmanager::BODY_BYTES_MAX`].

mod cors;
mod negotiate;

use std::sync::Arc;

use alertmanager::Reply;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{OriginalUri, Path, RawQuery, Request};
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post};
use http::header::{ALLOW, CACHE_CONTROL};
use http::{HeaderValue, Method, StatusCode};

use crate::respond::{json_response, redirect, typed_response};
use crate::state::{Manager, Shell};

/// Everything below `/api/v2`. As in Alertmanager there is no `HEAD`, and `OPTIONS` is a browser's question only.
pub(crate) fn routes() -> Router<Arc<Shell>> {
    const ONE: &str = "DELETE,GET,PUT";
    let paths: [(&str, &'static str, MethodRouter<Arc<Shell>>); 19] = [
        ("/status", "GET", get(status)),
        ("/receivers", "GET", get(receivers)),
        ("/receivers/integrations", "GET", get(integrations)),
        ("/receivers/test", "POST", post(post_test)),
        ("/alerts", "GET,POST", get(alerts).post(post_alerts)),
        ("/alerts/groups", "GET", get(groups)),
        ("/alerts/watched", "GET", get(watched)),
        ("/acknowledgements", "GET,POST", get(acknowledgements).post(acknowledge)),
        ("/acknowledgements/end", "POST", post(unacknowledge)),
        ("/alerts/history", "GET", get(history)),
        ("/explain", "GET", get(explain)),
        ("/ignores", "GET", get(ignores)),
        ("/maintenance", "GET,POST", get(windows).post(post_window)),
        ("/maintenance/preview", "POST", post(preview_window)),
        ("/maintenance/{id}", ONE, get(window).put(put_window).delete(delete_window)),
        ("/maintenance/{id}/end", "POST", post(end_window)),
        ("/maintenance/{id}/preview", "GET", get(window_preview)),
        ("/silences", "GET,POST", get(silences).post(post_silences)),
        ("/silence/{id}", "DELETE,GET", get(silence).delete(delete_silence)),
    ];
    let routes = paths.into_iter().fold(Router::new(), |routes, (path, allowed, answers)| {
        let answers = refusing_others(answers.route_layer(from_fn(negotiate::keep)), allowed);
        // As in Alertmanager, a slash at the end makes no difference.
        routes.route(&format!("{path}/"), answers.clone()).route(path, answers)
    });
    let document = refusing_others(get(document), "GET");
    routes.route("/openapi.yaml", document).route("/", any(to_slash)).fallback(unknown)
}

/// All of it below `/api/v2` of a program that is an Alertmanager and nothing else, where browsers are answered as there.
pub(crate) fn alone() -> Router<Arc<Shell>> {
    let below = Router::new().nest("/api/v2", routes()).route("/api/v2/", any(unknown));
    below.layer(from_fn(cors::keep))
}

fn refusing_others(answers: MethodRouter<Arc<Shell>>, allowed: &'static str) -> MethodRouter<Arc<Shell>> {
    let refuse = move |method: Method| async move { not_allowed(&method, allowed) };
    let refuse_head = move || async move { not_allowed(&Method::HEAD, allowed) };
    let answers = if allowed.contains("GET") { answers.head(refuse_head) } else { answers };
    answers.fallback(refuse)
}

/// The path itself without its slash.
async fn to_slash(OriginalUri(uri): OriginalUri, method: Method) -> Response {
    redirect(&method, StatusCode::TEMPORARY_REDIRECT, &format!("{}/", uri.path()), uri.query())
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

/// The whole body, when it is not too long.
async fn body(request: Request) -> Result<Bytes, Response> {
    to_bytes(request.into_body(), alertmanager::BODY_BYTES_MAX).await.map_err(|err| {
        let message = format!("cannot read the body (at most {} bytes): {err}", alertmanager::BODY_BYTES_MAX);
        refuse(StatusCode::PAYLOAD_TOO_LARGE, 413, &message)
    })
}
