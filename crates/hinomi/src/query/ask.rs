//! The request, and the server's words when it refuses.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use net::{Limits, Request};
use serde_json::Value;
use stdx::{Clock as _, SystemClock};

use super::QueryArgs;
use super::args::Kind;

/// How long an answer may take: the server's own limit is two minutes by default.
const TIMEOUT: Duration = Duration::from_secs(150);

/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// An hour, the range when no start is given.
const RANGE_SECONDS: f64 = 3_600.0;

/// Asks what `args` say; returns the answer's JSON.
pub(super) async fn ask(args: &QueryArgs) -> Result<String> {
    let mut form: Vec<(&str, String)> = args.params.clone();
    let path = match args.kind {
        Kind::Instant | Kind::Range | Kind::Analyze => {
            form.push(("query", args.subject.clone()));
            if args.kind == Kind::Range { "query_range" } else { "query" }.to_owned()
        }
        Kind::Series => "series".to_owned(),
        Kind::Labels if args.subject.is_empty() => "labels".to_owned(),
        Kind::Labels => format!("label/{}/values", model::NameEscaping::Values.escape(&args.subject)),
    };
    if args.kind == Kind::Range {
        let now = SystemClock::new().now_ms() as f64 / 1_000.0;
        let given =
            |name: &str| args.params.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
        let end_seconds =
            given("end").map_or(Ok(now), |text| api::parse_time(text).map(|ms| ms as f64 / 1_000.0));
        let end_seconds = end_seconds.map_err(|why| anyhow::anyhow!("--end: {why}"))?;
        if given("end").is_none() {
            form.push(("end", end_seconds.to_string()));
        }
        if given("start").is_none() {
            form.push(("start", (end_seconds - RANGE_SECONDS).to_string()));
        }
    }
    post(args, &path, &form, args.kind == Kind::Labels).await
}

/// One call; `by_get` for endpoints that take no form.
pub(super) async fn post(
    args: &QueryArgs,
    path: &str,
    form: &[(&str, String)],
    by_get: bool,
) -> Result<String> {
    let base = args.server.trim_end_matches('/');
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    form.iter().for_each(|(name, value)| {
        encoded.append_pair(name, value);
    });
    let encoded = encoded.finish();
    let url = format!("{base}/api/v1/{path}");
    let parse = |url: &str| url.parse().with_context(|| format!("{base:?} is not a URL"));
    let request = if by_get {
        Request::get(parse(&format!("{url}?{encoded}"))?)
    } else {
        Request::post(parse(&url)?, "application/x-www-form-urlencoded", encoded)
    };
    let limits =
        Limits { timeout: TIMEOUT, body_bytes_max: ANSWER_BYTES_MAX, decoded_bytes_max: ANSWER_BYTES_MAX };
    let client = args.access.client()?;
    let response = client.request(request, &limits).await?;
    let body = String::from_utf8_lossy(&response.body).into_owned();
    if !response.status.is_success() {
        let parsed: Value = serde_json::from_str(&body).unwrap_or_default();
        match parsed["error"].as_str() {
            Some(message) => bail!("{}: {message}", parsed["errorType"].as_str().unwrap_or("error")),
            None => bail!("{base} answered {}", response.status),
        }
    }
    Ok(body)
}
