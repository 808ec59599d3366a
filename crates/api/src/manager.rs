//! The table of routes of a program that is an Alertmanager and nothing else, with what its router does beside them.
//!
//! In from `hinomi alertmanager`; out as a router like that of `routes`, from which it takes pages, metrics and the prefix.
//! As there: a path is cleaned first; a method that a path does not have is refused with those it has, `OPTIONS` lists them,
//! and a path that differs in letters' case or a slash at its end leads to the one that was meant.

use std::sync::Arc;

use axum::Router;
use axum::extract::{OriginalUri, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use crate::json::Json;
use crate::limits::{self, RequestLimits};
use crate::respond::{json_response, redirect, text_response};
use crate::state::{Manager, Shell};
use crate::v1::status;
use crate::{lifecycle, metrics, notices, routes, trace, ui, v2};

/// All routes, below the route prefix.
pub fn manager_router(shell: Arc<Shell>, limits: RequestLimits) -> Router {
    let gone = || get(version_1_is_gone);
    // What the page's status needs of version 1; the rest went with Alertmanager 0.27.
    let own = Router::new()
        .route("/api/v1/status/buildinfo", get(status::build_info))
        .route("/api/v1/status/runtimeinfo", get(status::runtime_info))
        .route("/api/v1/status/flags", get(status::flags))
        .route("/api/v1/status/config", get(status::config))
        .route("/api/v1/notifications", get(notices::list))
        .route("/api/v1/notifications/live", get(notices::live))
        .method_not_allowed_fallback(lifecycle::no_such_method);
    let paths: [(&str, &'static str, MethodRouter<Arc<Shell>>); 9] = [
        ("/-/healthy", "GET, HEAD, OPTIONS", get(healthy).head(|| async { StatusCode::OK })),
        ("/-/ready", "GET, HEAD, OPTIONS", get(ready).head(|_: Manager| async { StatusCode::OK })),
        ("/-/reload", "OPTIONS, POST", post(lifecycle::reload)),
        ("/metrics", "GET, OPTIONS", get(metrics::page)),
        ("/api/v1/status", "GET, OPTIONS", gone()),
        ("/api/v1/receivers", "GET, OPTIONS", gone()),
        ("/api/v1/alerts", "GET, OPTIONS, POST", gone().post(version_1_is_gone)),
        ("/api/v1/silences", "GET, OPTIONS, POST", gone().post(version_1_is_gone)),
        ("/api/v1/silence/{id}", "DELETE, GET, OPTIONS", gone().merge(delete(version_1_is_gone))),
    ];
    let table = paths
        .into_iter()
        .fold(own, |table, (path, allowed, answers)| table.route(path, refusing_others(answers, allowed)));
    let routes = table
        .merge(v2::alone())
        .fallback(elsewhere)
        .layer(from_fn_with_state(limits, limits::keep))
        .layer(from_fn_with_state(shell.clone(), metrics::count))
        .layer(from_fn(trace::span));
    Router::new().fallback_service(routes::below_prefix(routes, shell)).layer(from_fn(cleaned))
}

/// `GET /-/healthy`
async fn healthy() -> Response {
    text_response(StatusCode::OK, "OK")
}

/// `GET /-/ready`
async fn ready(_: Manager) -> Response {
    text_response(StatusCode::OK, "OK")
}

/// What version 1 had, which Alertmanager left behind.
async fn version_1_is_gone() -> Response {
    let mut json = Json::new();
    json.object(|json| {
        json.key("status").text("deprecated");
        json.key("error").text("The Alertmanager v1 API was deprecated in version 0.16.0 and is removed as of version 0.27.0 - please use the equivalent route in the v2 API");
    });
    json_response(StatusCode::GONE, json.finish() + "\n")
}

fn refusing_others(answers: MethodRouter<Arc<Shell>>, allowed: &'static str) -> MethodRouter<Arc<Shell>> {
    let refuse = move |method: Method| async move {
        let mut refused = match method == Method::OPTIONS {
            true => StatusCode::OK.into_response(),
            false => text_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n"),
        };
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        refused
    };
    // `HEAD` would be answered by what answers `GET`.
    let has_own = allowed.contains("HEAD") || !allowed.contains("GET");
    let answers = if has_own { answers } else { answers.head(refuse) };
    answers.fallback(refuse)
}

/// Everything else: the web page, its files, and ways to where a path was meant to go.
async fn elsewhere(
    shell: State<Arc<Shell>>,
    OriginalUri(original): OriginalUri,
    request: Request,
) -> Response {
    let Some(meant) = meant(request.method(), request.uri().path()) else {
        return ui::serve(shell, request).await;
    };
    let status = match *request.method() {
        Method::GET => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::TEMPORARY_REDIRECT,
    };
    // The route prefix stands in front of what the routes see.
    let prefix = original.path().strip_suffix(request.uri().path()).unwrap_or_default();
    redirect(request.method(), status, &format!("{prefix}{meant}"), original.query())
}

/// The path of a method that differs in letters' case or a slash at the end.
fn meant(method: &Method, path: &str) -> Option<&'static str> {
    const READ: &[&str] = &[
        "/metrics",
        "/-/healthy",
        "/-/ready",
        "/api/v1/status",
        "/api/v1/receivers",
        "/api/v1/alerts",
        "/api/v1/silences",
        "/favicon.ico",
    ];
    let known = match *method {
        Method::GET => READ,
        Method::HEAD => &["/-/healthy", "/-/ready"],
        Method::POST => &["/-/reload", "/api/v1/alerts", "/api/v1/silences"],
        _ => &[],
    };
    let without_slash = path.strip_suffix('/').unwrap_or(path);
    known.iter().copied().find(|known| known.eq_ignore_ascii_case(without_slash) && *known != path)
}

/// Middleware: a path with empty parts, `.` or `..` leads to the clean one.
async fn cleaned(request: Request, next: Next) -> Response {
    match clean(request.uri().path()) {
        Some(path) => {
            redirect(request.method(), StatusCode::TEMPORARY_REDIRECT, &path, request.uri().query())
        }
        None => next.run(request).await,
    }
}

/// The clean form of a path that is not clean.
fn clean(path: &str) -> Option<String> {
    let is_odd = |part: &str| matches!(part, "" | "." | "..");
    let below = path.strip_prefix('/')?;
    let (parts, has_slash) = match below.strip_suffix('/') {
        Some(parts) => (parts, true),
        None => (below, false),
    };
    if below.is_empty() || !parts.split('/').any(is_odd) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for part in parts.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    let end = if has_slash && !kept.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(clean(path).as_deref(), expected, "{path}");
        };
        check("/", None);
        check("/api/v2/alerts", None);
        check("/api/v2/alerts/", None);
        check("*", None);
        check("//", Some("/"));
        check("//-/healthy", Some("/-/healthy"));
        check("/api/v2//alerts/", Some("/api/v2/alerts/"));
        check("/api/v2/../v2/./status", Some("/api/v2/status"));
        check("/../x", Some("/x"));
    }

    #[test]
    fn a_slash_or_a_capital_letter_too_many_leads_on() {
        let check = |method: Method, path: &str, expected: Option<&str>| {
            assert_eq!(meant(&method, path), expected, "{method} {path}");
        };
        check(Method::GET, "/-/healthy/", Some("/-/healthy"));
        check(Method::GET, "/-/Healthy", Some("/-/healthy"));
        check(Method::HEAD, "/-/ready/", Some("/-/ready"));
        check(Method::POST, "/-/reload/", Some("/-/reload"));
        check(Method::POST, "/-/healthy/", None);
        check(Method::GET, "/alerts", None);
        check(Method::GET, "/Favicon.ico", Some("/favicon.ico"));
        check(Method::GET, "/favicon.ico", None);
    }
}
