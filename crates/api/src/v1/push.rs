//! The Pushgateway's paths: `PUT|POST|DELETE /metrics/job/<job>{/<label>/<value>}`, `GET /api/v1/metrics`, `PUT /api/v1/admin/wipe`.
//!
//! 200 when a push is kept, 202 when a group is deleted, 400 when a push cannot be taken, 503 to come again. Wording from Pushgateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, StatusCode};
use model::Labels;
use model::labels::METRIC_NAME;
use wire::exposition::Format;

use super::intake::{Intake, Refused};
use super::series::unescape_name;
use super::write::{come_again, refusal};
use super::{aside, chain};
use crate::error::ApiError;
use crate::json::Json;
use crate::push::{
    BODY_BYTES_MAX, Family, Group, GroupLabels, PushError, PushReceiver, WAIT_MAX, natives_of, series_of,
};
use crate::respond::{json_response, text_response};
use crate::state::{Shared, Shell};

const BASE64: &str = "@base64";
const DISABLED: &str = "pushed metrics need to be enabled with --web.enable-pushgateway";

/// Everything below `/metrics/job`.
pub(crate) async fn group(State(shell): State<Arc<Shell>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let services = match Shared::from_request_parts(&mut parts, &shell).await {
        Ok(Shared(services)) => services,
        Err(response) => return response,
    };
    let Some(receiver) = services.push.clone() else {
        return refusal(StatusCode::NOT_FOUND, DISABLED);
    };
    let handler = if parts.method == Method::DELETE { "delete" } else { "push" };
    let method = parts.method.as_str().to_ascii_lowercase();
    let response = take(receiver.clone(), &parts, body).await.unwrap_or_else(|refused| refused);
    receiver.count(handler, response.status().as_u16(), &method);
    response
}

async fn take(receiver: Arc<PushReceiver>, parts: &Parts, body: Body) -> Result<Response, Response> {
    let bad = |text: &str| refusal(StatusCode::BAD_REQUEST, text);
    let labels = grouping_key(parts.uri.path()).map_err(|why| bad(&why))?;
    let replaces = match parts.method {
        Method::PUT => true,
        Method::POST => false,
        Method::DELETE => {
            return Ok(ended(aside(move || receiver.delete(labels)).await, StatusCode::ACCEPTED));
        }
        _ => return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")),
    };
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = match Format::from_content_type(content_type, Some(Format::Text004)) {
        Ok(Format::Protobuf) => Format::Protobuf,
        _ => Format::Text004,
    };
    let intake = Intake {
        gate: &receiver.gate,
        wait_max: WAIT_MAX,
        sheds: false,
        bytes_max: BODY_BYTES_MAX,
        encodings: &["snappy", "zstd"],
    };
    let encoded = intake.read(parts, body).await.map_err(|refused| match refused {
        Refused::Bad(text) => bad(&text),
        Refused::Later(text) => come_again(&text),
    })?;
    let pushed = aside(move || {
        let (body, _held) = encoded.open().map_err(PushError::Body)?;
        receiver.push(labels, &body, format, replaces)
    });
    Ok(ended(pushed.await, StatusCode::OK))
}

fn ended(done: Result<Result<(), PushError>, ApiError>, status: StatusCode) -> Response {
    match done {
        Ok(Ok(())) => text_response(status, ""),
        Ok(Err(err @ (PushError::Log(_) | PushError::Full(_)))) => {
            tracing::warn!(error = %chain(&err), "cannot keep a pushed group");
            come_again(&chain(&err))
        }
        Ok(Err(err)) => refusal(StatusCode::BAD_REQUEST, &err.to_string()),
        Err(err) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &err.message),
    }
}

/// Names and values of a path `/metrics/job/<job>{/<label>/<value>}`.
fn grouping_key(path: &str) -> Result<GroupLabels, String> {
    let (_, rest) = path.split_once("/metrics/").unwrap_or_default();
    let parts: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
    if !parts.len().is_multiple_of(2) {
        return Err(format!("odd number of components in label string {rest:?}"));
    }
    let mut labels = GroupLabels::new();
    for pair in parts.chunks_exact(2) {
        let (name, is_base64) = match decoded(pair[0]) {
            name if name.ends_with(BASE64) => (name[..name.len() - BASE64.len()].to_owned(), true),
            name => (name, false),
        };
        let value = decoded(pair[1]);
        let value = if is_base64 {
            let bytes = URL_SAFE_NO_PAD.decode(value.trim_end_matches('='));
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| format!("invalid base64 encoding in label {name}={value:?}"))?
        } else {
            value
        };
        let name = unescape_name(&name);
        if name.is_empty() || name.starts_with("__") {
            return Err(format!("improper label name {name:?}"));
        }
        if labels.insert(name.clone(), value).is_some() {
            return Err(format!("label {name:?} is there twice"));
        }
    }
    if labels.get("job").is_none_or(String::is_empty) {
        return Err("job name is required".to_owned());
    }
    Ok(labels)
}

fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// `PUT /api/v1/admin/wipe`, with the admin API only.
pub(crate) async fn wipe(Shared(services): Shared) -> Response {
    let Some(receiver) = services.push.clone().filter(|_| services.admin.is_some()) else {
        let text = "wiping needs --web.enable-pushgateway and --web.enable-admin-api";
        return refusal(StatusCode::NOT_FOUND, text);
    };
    ended(aside(move || receiver.wipe()).await, StatusCode::ACCEPTED)
}

/// `GET /api/v1/metrics`
pub(crate) async fn metrics(Shared(services): Shared) -> Response {
    let Some(receiver) = services.push.clone() else { return refusal(StatusCode::NOT_FOUND, DISABLED) };
    let written = aside(move || {
        let mut json = Json::new();
        json.object(|json| {
            json.key("status").text("success");
            json.key("data")
                .array(|json| receiver.groups().iter().for_each(|group| write_group(json, group)));
        });
        json.finish()
    });
    match written.await {
        Ok(text) => json_response(StatusCode::OK, text),
        Err(err) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &err.message),
    }
}

fn write_group(json: &mut Json, group: &Group) {
    json.object(|json| {
        json.key("labels").labels(&Labels::from_pairs(&group.labels));
        json.key("last_push_successful").bool(group.pushed_ms >= group.failed_ms);
        for (name, t_ms) in
            [("push_time_seconds", group.pushed_ms), ("push_failure_time_seconds", group.failed_ms)]
        {
            json.data_key(name).object(|json| {
                json.key("time_stamp").time(group.pushed_ms);
                json.key("type").text("GAUGE");
                json.key("metrics").array(|json| {
                    json.object(|json| {
                        json.key("labels").labels(&Labels::from_pairs(&group.labels));
                        json.key("value").text(&model::float::format_g(t_ms as f64 / 1_000.0));
                    });
                });
            });
        }
        for (name, family) in &group.families {
            json.data_key(name).object(|json| write_family(json, name, family));
        }
    });
}

/// What one metric of a family says: single value, or parts by name and by bound.
#[derive(Default)]
struct MetricParts {
    value: Option<f64>,
    named: BTreeMap<&'static str, f64>,
    bounds: Vec<(String, f64)>,
}

fn write_family(json: &mut Json, name: &str, family: &Family) {
    json.key("time_stamp").time(family.pushed_ms);
    json.key("type").text(&family.type_word.to_ascii_uppercase());
    if !family.help.is_empty() {
        json.key("help").text(&family.help);
    }
    let bound = match family.type_word.as_str() {
        "histogram" | "gaugehistogram" => "le",
        "summary" => "quantile",
        _ => "",
    };
    let mut metrics: BTreeMap<Labels, MetricParts> = BTreeMap::new();
    for (labels, count, sum) in natives_of(family) {
        let mut builder = labels.to_builder();
        builder.remove(METRIC_NAME);
        metrics.entry(builder.build()).or_default().named.extend([("count", count), ("sum", sum)]);
    }
    for (labels, value) in series_of(family) {
        let suffix = labels.metric_name().strip_prefix(name).unwrap_or_default().to_owned();
        let at = labels.get(bound).map(str::to_owned);
        let mut builder = labels.to_builder();
        builder.remove(METRIC_NAME);
        builder.remove(bound);
        let metric = metrics.entry(builder.build()).or_default();
        match (suffix.as_str(), at) {
            (_, Some(at)) => metric.bounds.push((at, value)),
            ("_count", None) if !bound.is_empty() => drop(metric.named.insert("count", value)),
            ("_sum", None) if !bound.is_empty() => drop(metric.named.insert("sum", value)),
            _ => metric.value = Some(value),
        }
    }
    let text = model::float::format_g;
    json.key("metrics").array(|json| {
        for (labels, metric) in &metrics {
            json.object(|json| {
                json.key("labels").labels(labels);
                if let Some(value) = metric.value {
                    json.key("value").text(&text(value));
                }
                for (part, value) in &metric.named {
                    json.key(part).text(&text(*value));
                }
                if !metric.bounds.is_empty() {
                    json.key(if bound == "le" { "buckets" } else { "quantiles" }).object(|json| {
                        for (at, value) in &metric.bounds {
                            json.data_key(at).text(&text(*value));
                        }
                    });
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_groups() {
        fn check(path: &str, expected: Result<&[(&str, &str)], &str>) {
            let got = grouping_key(path);
            let expected = expected.map(|pairs| {
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
            });
            assert_eq!(got, expected.map_err(str::to_owned), "{path}");
        }
        check("/metrics/job/a", Ok(&[("job", "a")]));
        check("/x/metrics/job/a/instance/b%20c/", Ok(&[("job", "a"), ("instance", "b c")]));
        check(
            "/metrics/job@base64/Zm9vL2Jhcg/path@base64/L3Zhcg==",
            Ok(&[("job", "foo/bar"), ("path", "/var")]),
        );
        check("/metrics/job/a/x@base64/=", Ok(&[("job", "a"), ("x", "")]));
        check("/metrics/job/a/x", Err("odd number of components in label string \"job/a/x\""));
        check("/metrics/job@base64/=", Err("job name is required"));
        check("/metrics/job/a/U__my_2e_label/y", Ok(&[("job", "a"), ("my.label", "y")]));
        check("/metrics/job/a/my.l%C3%A4bel@base64/L3Zhcg", Ok(&[("job", "a"), ("my.läbel", "/var")]));
        check("/metrics/job/a/__x/y", Err("improper label name \"__x\""));
        check("/metrics/job/a//y", Err("improper label name \"\""));
        check("/metrics/job/a/U______x/y", Err("improper label name \"__x\""));
        check("/metrics/job/a/x@base64/!", Err("invalid base64 encoding in label x=\"!\""));
    }
}
