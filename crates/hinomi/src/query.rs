//! `hinomi query`: asks a running server over its API and prints samples as promtool does.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use net::config::HttpClientConfig;
use net::{HttpClient, Limits, Request};
use serde_json::Value;
use stdx::{Clock as _, SystemClock};

use crate::cli::QueryArgs;
use crate::say;

/// How long an answer may take: the server's own limit is two minutes by default.
const TIMEOUT: Duration = Duration::from_secs(150);

/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// An hour, the range when no start is given.
const RANGE_SECONDS: f64 = 3_600.0;

/// Asks and prints.
///
/// # Errors
/// When the server cannot be asked, or answers with an error.
pub(crate) fn run(args: &QueryArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(ask(args))?;
    if args.as_json {
        say(&answer);
        return Ok(());
    }
    let answer: Value = serde_json::from_str(&answer).context("the server's answer is not JSON")?;
    for key in ["warnings", "infos"] {
        for text in answer[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
            eprintln!("{text}");
        }
    }
    print(&answer["data"]);
    Ok(())
}

async fn ask(args: &QueryArgs) -> Result<String> {
    let kind = if args.is_range { "query_range" } else { "query" };
    let base = args.server.trim_end_matches('/');
    let url = format!("{base}/api/v1/{kind}").parse().with_context(|| format!("{base:?} is not a URL"))?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("query", &args.expr);
    for (name, value) in &args.params {
        form.append_pair(name, value);
    }
    if args.is_range {
        let now = SystemClock::new().now_ms() as f64 / 1_000.0;
        let given =
            |name: &str| args.params.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
        let end_seconds =
            given("end").map_or(Ok(now), |text| api::parse_time(text).map(|ms| ms as f64 / 1_000.0));
        let end_seconds = end_seconds.map_err(|why| anyhow::anyhow!("--end: {why}"))?;
        if given("end").is_none() {
            form.append_pair("end", &end_seconds.to_string());
        }
        if given("start").is_none() {
            form.append_pair("start", &(end_seconds - RANGE_SECONDS).to_string());
        }
    }
    let request = Request::post(url, "application/x-www-form-urlencoded", form.finish());
    let limits =
        Limits { timeout: TIMEOUT, body_bytes_max: ANSWER_BYTES_MAX, decoded_bytes_max: ANSWER_BYTES_MAX };
    let client = HttpClient::new(&HttpClientConfig::default())?;
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

/// `name{a="b"} => 1 @[1435781430.781]`
fn print(data: &Value) {
    let result = &data["result"];
    match data["resultType"].as_str() {
        Some("vector") => {
            for series in result.as_array().into_iter().flatten() {
                say(&format!("{} => {}", series_name(&series["metric"]), point(&series["value"])));
            }
        }
        Some("matrix") => {
            for series in result.as_array().into_iter().flatten() {
                say(&format!("{} =>", series_name(&series["metric"])));
                for value in series["values"].as_array().into_iter().flatten() {
                    say(&point(value));
                }
            }
        }
        Some("scalar") => say(&format!("scalar: {}", point(result))),
        _ => say(result[1].as_str().unwrap_or_default()),
    }
}

fn point(pair: &Value) -> String {
    format!("{} @[{}]", pair[1].as_str().unwrap_or_default(), pair[0])
}

fn series_name(metric: &Value) -> String {
    let pairs =
        metric.as_object().into_iter().flatten().map(|(name, value)| (name, value.as_str().unwrap_or("")));
    let labels = model::Labels::from_pairs(pairs);
    let rest = labels.without_metric_name();
    match (labels.metric_name(), rest.is_empty()) {
        (name, true) if !name.is_empty() => name.to_owned(),
        (name, _) => format!("{name}{rest}"),
    }
}
