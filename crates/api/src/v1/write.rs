//! `POST /api/v1/write`: remote write 1.0 and 2.0.
//!
//! Status codes tell senders what to do: 4xx is final, the rest of the request being stored where the message was
//! readable; 5xx comes again, and then finds what is stored already without harm. Wording from Prometheus where it has one.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use storage::StorageError;

use super::{aside, chain};
use crate::respond::text_response;
use crate::state::{Shared, Shell};
use crate::write::{Outcome, Receiver, WAIT_MAX, WriteError, WriteMessage};

/// A body as it is sent; the server has a limit of its own, which is lower by default. As the decompressed one.
const BODY_BYTES_MAX: usize = wire::remote_write::DECODED_BYTES_MAX;
/// Seconds after which to come again. Chosen: what overloads us takes that long to pass.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("5");
const MEDIA_TYPE: &str = "application/x-protobuf";

/// Asks how safe the samples must be before the answer: [`INTERVAL`] or [`STRICT`].
const DURABILITY: HeaderName = HeaderName::from_static("x-hinomi-durability");
/// Safe from `kill -9`, and from power loss a second later: what is done without the header.
const INTERVAL: &str = "interval";
/// Safe from power loss.
const STRICT: &str = "strict";

const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// `POST /api/v1/write`
pub(crate) async fn write(State(shell): State<Arc<Shell>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let services = match Shared::from_request_parts(&mut parts, &shell).await {
        Ok(Shared(services)) => services,
        Err(response) => return response,
    };
    let Some(receiver) = services.receiver.clone() else {
        let text = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
        return refusal(StatusCode::NOT_FOUND, text);
    };
    take(receiver, &parts, body).await.unwrap_or_else(|refusal| refusal)
}

async fn take(receiver: Arc<Receiver>, parts: &Parts, body: Body) -> Result<Response, Response> {
    let message = message_of(&parts.headers, &receiver.accepted)
        .map_err(|text| refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text))?;
    let strict = is_strict(&parts.headers).map_err(|text| refusal(StatusCode::BAD_REQUEST, &text))?;
    if receiver.sheds() {
        return Err(come_again("memory is short: come again later, or raise --storage.memory.budget-bytes"));
    }
    let body = to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|err| refusal(StatusCode::BAD_REQUEST, &format!("cannot read the body: {}", chain(&err))))?;
    let permit = receiver.gate.enter(WAIT_MAX).await.map_err(|err| come_again(&err.to_string()))?;
    let received = aside(move || {
        let _held = permit;
        receiver.receive(message, &body, strict)
    });
    match received.await {
        Ok(Ok(outcome)) => Ok(answer(message, &outcome)),
        Ok(Err(err)) => {
            let mut response = match &err {
                WriteError::Decode(_) => refusal(StatusCode::BAD_REQUEST, &err.to_string()),
                WriteError::Store(StorageError::Closed) => come_again(&err.to_string()),
                WriteError::Store(err) => {
                    tracing::warn!(error = %chain(err), "cannot store a request of remote write");
                    refusal(StatusCode::INTERNAL_SERVER_ERROR, &chain(err))
                }
            };
            put_written(&mut response, message, &Outcome::default());
            Ok(response)
        }
        Err(err) => Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, &err.message)),
    }
}

fn answer(message: WriteMessage, outcome: &Outcome) -> Response {
    let mut response = match outcome.complaint(message) {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(complaint) => {
            tracing::debug!(complaint, "parts of a request of remote write were refused");
            refusal(StatusCode::BAD_REQUEST, &complaint)
        }
    };
    put_written(&mut response, message, outcome);
    response
}

/// What was stored, for senders of version 2; those of version 1 do not know the headers.
fn put_written(response: &mut Response, message: WriteMessage, outcome: &Outcome) {
    if message == WriteMessage::V1 {
        return;
    }
    for (name, n_written) in [
        (SAMPLES_WRITTEN, outcome.n_samples),
        (HISTOGRAMS_WRITTEN, outcome.n_histograms),
        (EXEMPLARS_WRITTEN, outcome.n_exemplars),
    ] {
        response.headers_mut().insert(name, HeaderValue::from(n_written));
    }
}

/// Which message the headers announce, if it is one that is accepted and compressed in the one way there is.
fn message_of(headers: &HeaderMap, accepted: &[WriteMessage]) -> Result<WriteMessage, String> {
    let header = |name| headers.get(name).map_or("", |value: &HeaderValue| value.to_str().unwrap_or("?"));
    let encoding = header(CONTENT_ENCODING);
    if !matches!(encoding, "" | "snappy") {
        return Err(format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        ));
    }
    let message = parse_content_type(header(CONTENT_TYPE))?;
    if !accepted.contains(&message) {
        let names: Vec<_> = accepted.iter().map(|message| message.name()).collect();
        return Err(format!(
            "{} protobuf message is not accepted by this server; only accepts {}",
            message.name(),
            names.join(", ")
        ));
    }
    Ok(message)
}

/// Whether the samples must survive power loss before the answer.
fn is_strict(headers: &HeaderMap) -> Result<bool, String> {
    let mut strict = false;
    for value in headers.get_all(DURABILITY) {
        match value.as_bytes() {
            value if value == STRICT.as_bytes() => strict = true,
            value if value == INTERVAL.as_bytes() => {}
            value => {
                let value = String::from_utf8_lossy(value);
                return Err(format!("{DURABILITY} is {STRICT} or {INTERVAL}, got {value:?}"));
            }
        }
    }
    Ok(strict)
}

/// No content type is version 1, as is one that does not name the message.
fn parse_content_type(text: &str) -> Result<WriteMessage, String> {
    let text = text.trim();
    let mut parts = text.split(';');
    if !matches!(parts.next().unwrap_or("").trim(), "" | MEDIA_TYPE) {
        return Err(format!("expected {MEDIA_TYPE} as the first (media) part, got {text} content-type"));
    }
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got \
                 {part} in {text} content-type"
            ));
        };
        if name.trim() == "proto" {
            let value = value.trim().trim_matches('"');
            return value.parse().map_err(|err| format!("got {text} content type; {err}"));
        }
    }
    Ok(WriteMessage::V1)
}

pub(super) fn refusal(status: StatusCode, text: &str) -> Response {
    text_response(status, format!("{text}\n"))
}

pub(super) fn come_again(text: &str) -> Response {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECS);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_name_the_message() {
        fn check(text: &str, expected: Result<WriteMessage, &str>) {
            let got = parse_content_type(text);
            assert_eq!(got.as_ref().map_err(String::as_str), expected.as_ref().map_err(|err| *err), "{text}");
        }
        check("", Ok(WriteMessage::V1));
        check("application/x-protobuf", Ok(WriteMessage::V1));
        check("application/x-protobuf;proto=prometheus.WriteRequest", Ok(WriteMessage::V1));
        check("application/x-protobuf; proto=io.prometheus.write.v2.Request", Ok(WriteMessage::V2));
        check("application/x-protobuf;a=b;proto=io.prometheus.write.v2.Request", Ok(WriteMessage::V2));
        check(
            "application/json",
            Err(
                "expected application/x-protobuf as the first (media) part, got application/json content-type",
            ),
        );
        check(
            "application/x-protobuf;proto=x",
            Err(
                "got application/x-protobuf;proto=x content type; unknown type for remote write protobuf message x, \
                 supported: prometheus.WriteRequest, io.prometheus.write.v2.Request",
            ),
        );
        check(
            "application/x-protobuf;a",
            Err(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got a \
                 in application/x-protobuf;a content-type",
            ),
        );
    }
}
