//! `POST /write` and `POST /api/v2/write`: Influx line protocol, as InfluxDB 1 and 2 take it; `GET /ping`.
//!
//! 204 when all lines were stored; 400 names those that were not, the others being stored, and is final; 503 says to come again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::request::Parts;

use super::intake::{Intake, Refused};
use super::write::come_again;
use super::{aside, chain};
use crate::influx::{DECODED_BYTES_MAX, InfluxReceiver, Precision, WAIT_MAX};
use crate::json::Json;
use crate::params::Params;
use crate::respond::json_response;
use crate::state::{Shared, Shell};

/// Whose words a refusal is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    V1,
    V2,
}

/// `POST /write`
pub(crate) async fn write_v1(State(shell): State<Arc<Shell>>, request: Request) -> Response {
    write(&shell, request, Api::V1).await
}

/// `POST /api/v2/write`
pub(crate) async fn write_v2(State(shell): State<Arc<Shell>>, request: Request) -> Response {
    write(&shell, request, Api::V2).await
}

/// `GET /ping`: clients ask whether we are there.
pub(crate) async fn ping() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn write(shell: &Arc<Shell>, request: Request, api: Api) -> Response {
    let (mut parts, body) = request.into_parts();
    let services = match Shared::from_request_parts(&mut parts, shell).await {
        Ok(Shared(services)) => services,
        Err(response) => return response,
    };
    let Some(receiver) = services.influx.clone() else {
        let text = "line protocol needs to be enabled with --web.enable-influx-receiver";
        return refusal(api, StatusCode::NOT_FOUND, text);
    };
    take(receiver, &parts, body, api).await.unwrap_or_else(|refusal| refusal)
}

async fn take(
    receiver: Arc<InfluxReceiver>,
    parts: &Parts,
    body: Body,
    api: Api,
) -> Result<Response, Response> {
    let bad = |text: &str| refusal(api, StatusCode::BAD_REQUEST, text);
    let params = Params::new(parts.uri.query().unwrap_or(""), b"");
    let text = params.get("precision");
    let precision = Precision::parse(text)
        .ok_or_else(|| bad(&format!("precision is one of ns, us, ms, s, m, h, got {text:?}")))?;
    let intake = Intake {
        gate: &receiver.gate,
        wait_max: WAIT_MAX,
        sheds: receiver.sheds(),
        bytes_max: DECODED_BYTES_MAX,
        encodings: &[],
    };
    let encoded = intake.read(parts, body).await.map_err(|refused| match refused {
        Refused::Bad(text) => bad(&text),
        Refused::Later(text) => come_again(&text),
    })?;
    let received = aside(move || {
        let (body, _held) = encoded.open()?;
        Ok::<_, String>(receiver.receive(&body, precision))
    });
    match received.await {
        Ok(Ok(Ok(partial))) if partial.n_rejected == 0 => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Ok(Ok(partial))) => {
            let text = format!("partial write: {} dropped={}", partial.message, partial.n_rejected);
            Err(bad(&text))
        }
        Ok(Ok(Err(err))) => {
            tracing::warn!(error = %chain(&err), "cannot store a request of line protocol");
            Err(come_again(&chain(&err)))
        }
        Ok(Err(why)) => Err(bad(&why)),
        Err(err) => Err(refusal(api, StatusCode::INTERNAL_SERVER_ERROR, &err.message)),
    }
}

fn refusal(api: Api, status: StatusCode, text: &str) -> Response {
    let mut json = Json::new();
    json.object(|json| match api {
        Api::V1 => json.key("error").text(text),
        Api::V2 => {
            let code = match status {
                StatusCode::BAD_REQUEST => "invalid",
                StatusCode::NOT_FOUND => "not found",
                _ => "internal error",
            };
            json.key("code").text(code);
            json.key("message").text(text);
        }
    });
    json_response(status, json.finish())
}
