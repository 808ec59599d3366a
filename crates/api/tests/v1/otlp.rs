//! `/api/v1/otlp/v1/metrics` over the reference store.

use api::{OtlpConfig, OtlpDelta, OtlpOptions, OtlpReceiver};

use super::*;

/// What the official Python SDK sent at a time long past; its times are replaced.
const FROM_SDK: &[u8] = include_bytes!("../../../wire/tests/otlp/python-sdk.bin");

fn taking(config: &str, delta: OtlpDelta) -> Server {
    taking_typed(config, delta, false)
}

fn taking_typed(config: &str, delta: OtlpDelta, type_and_unit_labels: bool) -> Server {
    let server = Server::starting();
    let config: Arc<OtlpConfig> = Arc::new(model::yaml::parse("otlp.yml", config).unwrap());
    let mut services = server.services();
    services.otlp = Some(Arc::new(OtlpReceiver::new(OtlpOptions {
        store: server.store.clone(),
        clock: server.clock.clone(),
        registry: server.registry.clone(),
        config: Arc::new(move || config.clone()),
        lookback_ms: 300_000,
        delta,
        type_and_unit_labels,
        start_zeros: false,
    })));
    server.shell.set_ready(services);
    server
}

/// The bytes with the times of all points set to now: each is a `fixed64` behind the tags of its fields.
fn now(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let now = (NOW_MS as u64 * 1_000_000).to_le_bytes();
    for at in 0..bytes.len() - 9 {
        let was = u64::from_le_bytes(bytes[at + 1..at + 9].try_into().unwrap());
        if matches!(bytes[at], 0x11 | 0x19) && (1.7e18 as u64..2e18 as u64).contains(&was) {
            bytes[at + 1..at + 9].copy_from_slice(&now);
        }
    }
    bytes
}

impl Server {
    async fn otlp(&self, content_type: &str, body: impl Into<Body>) -> (u16, String) {
        let request = Request::post("/api/v1/otlp/v1/metrics").header("content-type", content_type);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// `labels value` of every series a query finds, sorted.
    async fn found(&self, query: &str) -> Vec<String> {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let (status, body) = self.get(&format!("/api/v1/query?query={encoded}")).await;
        assert_eq!(status, 200, "{body}");
        let mut found: Vec<String> = body
            .split("{\"metric\":")
            .skip(1)
            .map(|series| {
                let (labels, rest) = series.split_once(",\"value\":[").unwrap();
                let value = rest.split('"').nth(1).unwrap();
                format!("{} {value}", labels.replace('"', ""))
            })
            .collect();
        found.sort();
        found
    }

    pub(super) async fn check_found(&self, query: &str, expected: &[&str]) {
        assert_eq!(self.found(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn what_the_sdk_sends_arrives() {
    let server = taking("", OtlpDelta::Refused);
    assert_eq!(server.otlp("application/x-protobuf", now(FROM_SDK)).await, (200, String::new()));
    let of = "instance:i1,job:eu/shop";
    server
        .check_found("requests_total", &[&format!("{{__name__:requests_total,http_method:GET,{of}}} 7")])
        .await;
    server
        .check_found("temperature_celsius", &[&format!("{{__name__:temperature_celsius,{of}}} 21.5")])
        .await;
    server.check_found("queue_size", &[&format!("{{__name__:queue_size,{of}}} -2")]).await;
    server
        .check_found(
            "{__name__=~\"latency_seconds.*\"}",
            &[
                &format!("{{__name__:latency_seconds_bucket,{of},le:+Inf}} 3"),
                &format!("{{__name__:latency_seconds_bucket,{of},le:0.1}} 1"),
                &format!("{{__name__:latency_seconds_bucket,{of},le:1}} 2"),
                &format!("{{__name__:latency_seconds_count,{of}}} 3"),
                &format!("{{__name__:latency_seconds_sum,{of}}} 5.35"),
            ],
        )
        .await;
    server.check_found("histogram_count(sizes_bytes)", &[&format!("{{{of}}} 4")]).await;
    server.check_found("histogram_sum(sizes_bytes)", &[&format!("{{{of}}} 1003")]).await;
    let info = server.found("target_info").await;
    assert!(
        info.len() == 1 && info[0].contains("host_name:h1") && !info[0].contains("service_name"),
        "{info:?}"
    );
}

#[tokio::test]
async fn types_and_units_become_labels_where_they_are_wanted() {
    let server = taking_typed("", OtlpDelta::Refused, true);
    assert_eq!(server.otlp("application/x-protobuf", now(FROM_SDK)).await, (200, String::new()));
    let of = "instance:i1,job:eu/shop";
    let check = async |query: &str, expected: &str| server.check_found(query, &[expected]).await;
    check("requests_total", &format!("{{__name__:requests_total,__type__:counter,http_method:GET,{of}}} 7"))
        .await;
    check(
        "temperature_celsius",
        &format!("{{__name__:temperature_celsius,__type__:gauge,__unit__:celsius,{of}}} 21.5"),
    )
    .await;
    check(
        "latency_seconds_count",
        &format!("{{__name__:latency_seconds_count,__type__:histogram,__unit__:seconds,{of}}} 3"),
    )
    .await;
    let info = server.found("target_info").await;
    assert!(info.len() == 1 && !info[0].contains("__type__"), "{info:?}");
}

fn json(metric: &str) -> String {
    let resource = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"a"}},{"key":"zone","value":{"stringValue":"z"}}]}"#;
    let scope = r#"{"name":"lib","version":"2","attributes":[{"key":"k","value":{"intValue":1}}]}"#;
    let metric = metric.replace("NOW", &format!("\"timeUnixNano\":\"{NOW_MS}000000\""));
    format!(
        r#"{{"resourceMetrics":[{{"resource":{resource},"scopeMetrics":[{{"scope":{scope},"metrics":[{metric}]}}]}}]}}"#
    )
}

const SUM: &str = r#"{"name":"c.d","sum":{"aggregationTemporality":KIND,"isMonotonic":true,"dataPoints":[{NOW,"asInt":"3","attributes":[
    {"key":"a.b","value":{"stringValue":"1"}},{"key":"a_b","value":{"stringValue":"2"}}]}]}}"#;

#[tokio::test]
async fn the_configuration_decides_about_names_and_labels() {
    let check = async |config: &str, query: &str, expected: &str| {
        let server = taking(config, OtlpDelta::Refused);
        let body = json(&SUM.replace("KIND", "2"));
        assert_eq!(server.otlp("application/json", body).await, (200, "{}".to_owned()));
        server.check_found(query, &[expected]).await;
    };
    check("", "c_d_total", "{__name__:c_d_total,a_b:1;2,job:a} 3").await;
    check(
        "{translation_strategy: NoTranslation, promote_resource_attributes: [zone]}",
        "{\"c.d\"}",
        "{__name__:c.d,a.b:1,a_b:2,job:a,zone:z} 3",
    )
    .await;
    check(
        "{promote_all_resource_attributes: true, ignore_resource_attributes: [zone], promote_scope_metadata: true}",
        "c_d_total",
        "{__name__:c_d_total,a_b:1;2,job:a,otel_scope_k:1,otel_scope_name:lib,otel_scope_version:2,service_name:a} 3",
    )
    .await;
    check(
        "keep_identifying_resource_attributes: true",
        "target_info",
        "{__name__:target_info,job:a,service_name:a,zone:z} 1",
    )
    .await;
}

#[tokio::test]
async fn delta_is_refused_by_name_unless_it_is_wanted() {
    let body = json(&SUM.replace("KIND", "1"));
    let server = taking("", OtlpDelta::Refused);
    let (status, answer) = server.otlp("application/json", body.clone()).await;
    let expected = r#"invalid temporality and type combination for metric \"c.d\": send cumulative ones"#;
    assert!(
        status == 200 && answer.contains(r#""rejectedDataPoints":"1""#) && answer.contains(expected),
        "{answer}"
    );
    let server = taking("", OtlpDelta::Stored);
    assert_eq!(server.otlp("application/json", body).await, (200, "{}".to_owned()));
    server.check_found("c_d_total", &["{__name__:c_d_total,a_b:1;2,job:a} 3"]).await;
}

#[tokio::test]
async fn delta_is_summed_up_where_that_is_wanted() {
    let server = taking("", OtlpDelta::Summed);
    let send = async |metrics: &str, before_ms: i64| {
        let (time, start) = (NOW_MS - before_ms, NOW_MS - before_ms - 1_000);
        let times = format!("\"startTimeUnixNano\":\"{start}000000\",\"timeUnixNano\":\"{time}000000\"");
        server.otlp("application/json", json(&metrics.replace("AT", &times))).await
    };
    let first = r#"{"name":"c","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{AT,"asInt":"3"},
            {AT,"asDouble":0.5,"attributes":[{"key":"a","value":{"stringValue":"1"}},{"key":"b","value":{"intValue":1}}]}]}},
        {"name":"u","sum":{"aggregationTemporality":2,"dataPoints":[{AT,"asInt":"7"}]}},
        {"name":"h","histogram":{"aggregationTemporality":1,"dataPoints":[{AT,"count":"4","sum":9,"bucketCounts":[1,0,3],"explicitBounds":[1,2]}]}},
        {"name":"e","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[
            {AT,"count":"3","sum":5,"scale":1,"zeroCount":"1","positive":{"offset":0,"bucketCounts":[1,1]}}]}}"#;
    let second = r#"{"name":"c","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{AT,"asInt":"4"},
            {AT,"asInt":"2","attributes":[{"key":"b","value":{"intValue":1}},{"key":"a","value":{"stringValue":"1"}}]}]}},
        {"name":"u","sum":{"aggregationTemporality":2,"dataPoints":[{AT,"asInt":"5"}]}},
        {"name":"h","histogram":{"aggregationTemporality":1,"dataPoints":[{AT,"count":"2","sum":3,"bucketCounts":[0,2,0],"explicitBounds":[1,2]}]}},
        {"name":"e","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[
            {AT,"count":"2","sum":40,"scale":0,"positive":{"offset":4,"bucketCounts":[2]}}]}}"#;
    assert_eq!(send(first, 5_000).await, (200, "{}".to_owned()));
    assert_eq!(send(second, 4_000).await, (200, "{}".to_owned()));
    server
        .check_found("c_total", &["{__name__:c_total,a:1,b:1,job:a} 2.5", "{__name__:c_total,job:a} 7"])
        .await;
    server.check_found("u", &["{__name__:u,job:a} 5"]).await;
    server.check_found("h_sum", &["{__name__:h_sum,job:a} 12"]).await;
    server.check_found("h_bucket{le=~\"2.*\"}", &["{__name__:h_bucket,job:a,le:2} 3"]).await;
    server.check_found("histogram_count(e)", &["{job:a} 5"]).await;
    server.check_found("histogram_sum(e)", &["{job:a} 45"]).await;
    server.check_found("histogram_fraction(1, 4, e)", &["{job:a} 0.4"]).await;
    // What was summed up already is not summed up again, and nothing comes before a series' first point.
    let (status, answer) = send(second, 4_000).await;
    assert!(status == 200 && answer.contains("out of order: dropped delta sample"), "{answer}");
    let (_, answer) = send(second, 9_000).await;
    assert!(answer.contains("its series starts later"), "{answer}");
    server.check_found("c_total{a=\"\"}", &["{__name__:c_total,job:a} 7"]).await;
    // A series that ends begins anew.
    let end =
        r#"{"name":"c","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{AT,"flags":1}]}}"#;
    assert_eq!(send(end, 3_000).await.0, 200);
    let again = r#"{"name":"c","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{AT,"asInt":"1"}]}}"#;
    assert_eq!(send(again, 2_000).await.0, 200);
    server.check_found("c_total{a=\"\"}", &["{__name__:c_total,job:a} 1"]).await;
}

#[tokio::test]
async fn histograms_summaries_and_ends_of_series_are_taken() {
    let server = taking("convert_histograms_to_nhcb: true", OtlpDelta::Refused);
    let metrics = r#"{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[
        {NOW,"count":"4","sum":9,"bucketCounts":[1,0,3],"explicitBounds":[1,2]},
        {NOW,"count":"5","bucketCounts":[1],"explicitBounds":[1,2],"attributes":[{"key":"bad","value":{"stringValue":"x"}}]}]}},
      {"name":"s","summary":{"dataPoints":[{NOW,"count":2,"sum":3.5,"quantileValues":[{"quantile":0.5,"value":1.5}]}]}},
      {"name":"gone","gauge":{"dataPoints":[{NOW,"flags":1}]}},
      {"name":"u","unit":"1","gauge":{"dataPoints":[{NOW,"asDouble":0.25}]}}"#;
    let (status, answer) = server.otlp("application/json", json(metrics)).await;
    assert!(status == 200 && answer.contains("histogram has 2 bounds and 1 buckets"), "{answer}");
    server.check_found("histogram_fraction(0, 1, h)", &["{job:a} 0.25"]).await;
    server.check_found("s", &["{__name__:s,job:a,quantile:0.5} 1.5"]).await;
    server.check_found("s_sum", &["{__name__:s_sum,job:a} 3.5"]).await;
    server.check_found("u_ratio", &["{__name__:u_ratio,job:a} 0.25"]).await;
    server.check_found("gone", &[]).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let server = taking("", OtlpDelta::Refused);
    let check = async |content_type: &str, body: &'static str, status: u16, expected: &str| {
        let (got, text) = server.otlp(content_type, body).await;
        assert!(got == status && text.contains(expected), "{got} {text}");
    };
    check("text/plain", "", 400, "unsupported content type: text/plain").await;
    check("application/json", "{", 400, "json: ").await;
    check("application/x-protobuf", "\n", 400, "protobuf: ").await;
    check("application/json; charset=utf-8", "{}", 200, "{}").await;
    let (status, text) = Server::start().otlp("application/json", "{}").await;
    assert_eq!(
        (status, text.as_str()),
        (404, "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n")
    );
}
