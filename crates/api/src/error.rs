//! What an answer says when it cannot be given: Prometheus' error types and status codes.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::json::Json;
use crate::respond::json_response;

/// Prometheus' `errorType`, with its status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: a parameter or the query text is wrong.
    BadData,
    /// 422: the query cannot be evaluated.
    Execution,
    /// 499: the client went away.
    Canceled,
    /// 503: the query took too long.
    Timeout,
    /// 500: our fault.
    Internal,
    /// 404: no such thing.
    NotFound,
    /// 500, as Prometheus has it: switched off.
    Unavailable,
}

impl ErrorKind {
    fn name(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Canceled => StatusCode::from_u16(499).expect("499 is within 100..=999"),
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal | Self::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Which kind.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
}

impl ApiError {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// 400 with the message as it is.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, message)
    }

    /// 400 `invalid parameter "name": …`.
    pub fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {why}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut json = Json::new();
        json.object(|json| {
            json.key("status").text("error");
            json.key("errorType").text(self.kind.name());
            json.key("error").text(&self.message);
        });
        json_response(self.kind.status(), json.finish())
    }
}
