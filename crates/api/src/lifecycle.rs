//! `/-/…`: is it alive, is it ready, read the configuration again, stop. And the headers browsers need elsewhere.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderValue, Method, StatusCode};
use tokio::sync::oneshot;

use crate::respond::text_response;
use crate::state::{Command, Shell};

/// `GET /-/healthy`
pub(crate) async fn healthy() -> Response {
    text_response(StatusCode::OK, "Hinomi is Healthy.\n")
}

/// `GET /-/ready`
pub(crate) async fn ready(State(shell): State<Arc<Shell>>) -> Response {
    match shell.ready() {
        Some(_) => text_response(StatusCode::OK, "Hinomi is Ready.\n"),
        None => {
            let mut response = shell.unavailable();
            if let Some(doing) = shell.starting() {
                *response.body_mut() = format!("Service Unavailable: {doing}\n").into();
            }
            response
        }
    }
}

/// `POST|PUT /-/reload`
pub(crate) async fn reload(State(shell): State<Arc<Shell>>) -> Response {
    if !shell.options.allow_reload {
        return not_enabled();
    }
    let (reply, answer) = oneshot::channel();
    if shell.commands.send(Command::Reload(reply)).await.is_err() {
        return shell.unavailable();
    }
    match answer.await {
        Ok(Ok(())) => StatusCode::OK.into_response(),
        Ok(Err(why)) => {
            text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {why}\n"))
        }
        Err(_) => shell.unavailable(),
    }
}

/// `POST|PUT /-/quit`
pub(crate) async fn quit(State(shell): State<Arc<Shell>>) -> Response {
    if !shell.options.allow_quit {
        return not_enabled();
    }
    if shell.commands.send(Command::Quit).await.is_err() {
        return shell.unavailable();
    }
    text_response(StatusCode::OK, "Requesting termination... Goodbye!")
}

/// A method that a path does not have.
pub(crate) async fn no_such_method() -> Response {
    text_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
}

/// Any other method on the two above.
pub(crate) async fn method_not_allowed() -> Response {
    text_response(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}

/// Middleware for everything: a method that a path does not have is refused in words, and `OPTIONS` says which it has.
pub(crate) async fn methods(request: Request, next: Next) -> Response {
    let asks = *request.method() == Method::OPTIONS;
    let response = next.run(request).await;
    let is_said = response.headers().contains_key(CONTENT_TYPE);
    if response.status() != StatusCode::METHOD_NOT_ALLOWED || is_said && !asks {
        return response;
    }
    let allowed = response.headers().get(ALLOW).cloned();
    let mut said = match (asks, &allowed) {
        (true, Some(_)) => StatusCode::OK.into_response(),
        _ => text_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n"),
    };
    if let Some(allowed) = allowed {
        let listed = format!("{},OPTIONS", allowed.to_str().unwrap_or_default());
        said.headers_mut().insert(ALLOW, HeaderValue::try_from(listed).unwrap_or(allowed));
    }
    said
}

fn not_enabled() -> Response {
    text_response(StatusCode::FORBIDDEN, "Lifecycle API is not enabled. Start with --web.enable-lifecycle.\n")
}

/// Middleware for `/api`: answers preflight requests, and lets pages of allowed origins read answers.
pub(crate) async fn cors(State(shell): State<Arc<Shell>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin.filter(|origin| !origin.is_empty()) else { return response };
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Accept, Authorization, Content-Type, Origin"),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Date"));
    match &shell.options.cors_origin {
        None => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        Some(allowed) if origin.to_str().is_ok_and(|text| allowed.is_match(text)) => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        Some(_) => {}
    }
    response
}
