//! `POST /api/v1/otlp/v1/metrics`: OTLP over HTTP, protobuf and JSON.
//!
//! A request that cannot be read is 400 and final; one that comes too soon is 503; one of which some points cannot be taken is 200 and says so, as the
//! OTLP specification wants it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, StatusCode};
use wire::otlp::{DECODED_BYTES_MAX, Partial, decode_json, decode_protobuf};

use super::intake::{Intake, Refused};
use super::write::{come_again, refusal};
use super::{aside, chain};
use crate::otlp::{OtlpReceiver, WAIT_MAX};
use crate::respond::typed_response;
use crate::state::{Shared, Shell};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// `POST /api/v1/otlp/v1/metrics`
pub(crate) async fn metrics(State(shell): State<Arc<Shell>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let services = match Shared::from_request_parts(&mut parts, &shell).await {
        Ok(Shared(services)) => services,
        Err(response) => return response,
    };
    let Some(receiver) = services.otlp.clone() else {
        let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";
        return refusal(StatusCode::NOT_FOUND, text);
    };
    take(receiver, &parts, body).await.unwrap_or_else(|refusal| refusal)
}

async fn take(receiver: Arc<OtlpReceiver>, parts: &Parts, body: Body) -> Result<Response, Response> {
    let bad = |text: &str| refusal(StatusCode::BAD_REQUEST, text);
    let header = |name: HeaderName| parts.headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
    let content_type = header(CONTENT_TYPE);
    let is_json = match content_type.split(';').next().unwrap_or_default().trim() {
        PROTOBUF => false,
        JSON => true,
        _ => {
            return Err(bad(&format!(
                "unsupported content type: {content_type}, supported: [{JSON}, {PROTOBUF}]"
            )));
        }
    };
    let encoded = intake(&receiver).read(parts, body).await.map_err(|refused| match refused {
        Refused::Bad(text) => bad(&text),
        Refused::Later(text) => come_again(&text),
    })?;
    let received = aside(move || {
        let (body, _held) = encoded.open()?;
        let decoded = if is_json { decode_json(&body) } else { decode_protobuf(&body) };
        Ok::<_, String>(receiver.receive(decoded.map_err(|err| err.to_string())?))
    });
    match received.await {
        Ok(Ok(Ok(partial))) => Ok(answer(is_json, &partial)),
        Ok(Ok(Err(err))) => {
            tracing::warn!(error = %chain(&err), "cannot store a request of OTLP");
            Err(come_again(&chain(&err)))
        }
        Ok(Err(why)) => Err(bad(&why)),
        Err(err) => Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, &err.message)),
    }
}

pub(super) fn intake(receiver: &OtlpReceiver) -> Intake<'_> {
    let (wait_max, sheds) = (WAIT_MAX, receiver.sheds());
    Intake { gate: &receiver.gate, wait_max, sheds, bytes_max: DECODED_BYTES_MAX, encodings: &[] }
}

fn answer(is_json: bool, partial: &Partial) -> Response {
    if !partial.message.is_empty() {
        tracing::debug!(partial.message, partial.n_rejected, "parts of a request of OTLP were refused");
    }
    match is_json {
        true => typed_response(StatusCode::OK, JSON, partial.to_json()),
        false => typed_response(StatusCode::OK, PROTOBUF, partial.to_protobuf()),
    }
}
