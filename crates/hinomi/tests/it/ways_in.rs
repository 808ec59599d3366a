//! What others push: OpenTelemetry's SDK by gRPC and HTTP, InfluxDB's clients, jobs to the Pushgateway's paths.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use stdx::varint::{put_bytes, put_u64};

use crate::harness::{Hinomi, free_port, output, wait_for};

/// What `cargo xtask install` has made.
fn python(script: &str, args: &[&str]) {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../target/test-python/bin/python");
    let (code, out, err) = output(Command::new(python).arg(here.join("tests/it").join(script)).args(args));
    assert_eq!(code, 0, "{script} {args:?}: {out}{err}");
}

#[test]
fn an_official_sdk_of_opentelemetry_arrives_by_both_exporters() {
    let grpc = format!("127.0.0.1:{}", free_port());
    let listen = format!("--web.otlp-grpc.listen-address={grpc}");
    let server = Hinomi::start(Some("scrape_configs: []\n"), &["--web.enable-otlp-receiver", &listen]);
    let http = format!("{}/api/v1/otlp/v1/metrics", server.base);
    for (kind, endpoint) in [("grpc", format!("http://{grpc}")), ("http", http)] {
        python("otlp_sdk.py", &[kind, &endpoint, kind]);
        let number = |query: &str, expected: f64| {
            let query = query.replace("JOB", &format!("job=\"{kind}\""));
            let got = wait_for(&query, Duration::from_secs(10), || server.number(&query));
            assert_eq!(got, expected, "{query}");
        };
        number("requests_total{JOB,path=\"/a\"}", 7.0);
        number("queue{JOB}", -5.0);
        number("temperature_celsius{JOB}", 21.5);
        number("size_bytes_bucket{JOB,le=\"100\"}", 2.0);
        number("size_bytes_sum{JOB}", 321.0);
        number("histogram_count(exponential_seconds{JOB})", 3.0);
        number("histogram_sum(exponential_seconds{JOB})", 321.0);
        number("round(histogram_quantile(0.99, exponential_seconds{JOB}), 10) > bool 290", 1.0);
        number("count(target_info{JOB,host_name=\"h1\"})", 1.0);
    }
}

#[test]
fn an_official_sdk_that_sends_delta_is_summed_up() {
    let flags = ["--web.enable-otlp-receiver", "--enable-feature=otlp-deltatocumulative"];
    let server = Hinomi::start(Some("scrape_configs: []\n"), &flags);
    let http = format!("{}/api/v1/otlp/v1/metrics", server.base);
    python("otlp_sdk.py", &["http", &http, "summed", "delta"]);
    for (query, expected) in [
        ("requests_total{path=\"/a\"}", 17.0),
        ("queue", -5.0),
        ("size_bytes_bucket{le=\"10\"}", 2.0),
        ("size_bytes_count", 4.0),
        ("size_bytes_sum", 322.0),
        ("histogram_count(exponential_seconds)", 4.0),
        ("histogram_sum(exponential_seconds)", 1_321.0),
    ] {
        let got = wait_for(query, Duration::from_secs(10), || server.number(query));
        assert_eq!(got, expected, "{query}");
    }
}

#[test]
fn clients_of_influxdb_arrive() {
    let udp = free_port();
    let listen = format!("--web.influx-udp.listen-address=127.0.0.1:{udp}");
    let server = Hinomi::start(Some("scrape_configs: []\n"), &["--web.enable-influx-receiver", &listen]);
    let port = server.base.rsplit(':').next().unwrap();
    python("influx_clients.py", &[port, &udp.to_string()]);
    for (query, expected) in [
        ("one{host=\"a\"}", 1.5),
        ("one_n{host=\"a\"}", 2.0),
        ("two{host=\"b\"}", 3.5),
        ("udp{host=\"a\"}", 7.0),
    ] {
        let got = wait_for(query, Duration::from_secs(10), || server.number(query));
        assert_eq!(got, expected, "{query}");
    }
}

#[test]
fn pushed_groups_stand_until_they_are_deleted() {
    let config = "global: {scrape_interval: 1s, scrape_timeout: 1s}\n";
    let mut server = Hinomi::start(Some(config), &["--web.enable-pushgateway"]);
    let url = format!("{}/metrics/job/backup/path@base64/L3Zhcg", server.base);
    ureq::put(&url).send("# TYPE done gauge\ndone 42\n").unwrap();
    let query = "done{job=\"backup\",path=\"/var\",instance=\"\"}";
    let seen = |server: &Hinomi| wait_for(query, Duration::from_secs(15), || server.number(query));
    assert_eq!(seen(&server), 42.0);
    assert_eq!(server.number("up{job=\"pushgateway\"}"), Some(1.0));
    server.process.kill9();
    server.restart();
    let again = "count_over_time(done[5s])";
    wait_for("samples after a restart", Duration::from_secs(15), || {
        server.number(again).filter(|n| *n >= 3.0)
    });
    assert_eq!(ureq::delete(&url).call().unwrap().status(), 202);
    wait_for("the end of the group", Duration::from_secs(15), || {
        server.number(query).is_none().then_some(())
    });
    let refused = ureq::put(&url).config().http_status_as_error(false).build().send("done 1 5\n").unwrap();
    assert_eq!(refused.status(), 400);
}

/// A field with a message, or with text.
fn field(number: u64, inside: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_u64(&mut out, number << 3 | 2);
    put_bytes(&mut out, inside);
    out
}

/// Fields with numbers; `sint` as protobuf zigzags them.
fn varints(numbers: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, value) in numbers {
        put_u64(&mut out, number << 3);
        put_u64(&mut out, *value);
    }
    out
}

/// One family as client libraries send it: buckets ]1, 2], ]2, 4] and ]4, 8] with 1, 2 and 1 observations, and the classic ones up to 4.
fn pushed_histogram() -> Vec<u8> {
    let float =
        |number: u64, value: f64| [vec![(number << 3 | 1) as u8], value.to_le_bytes().to_vec()].concat();
    let bucket = |count: u64, le: f64| field(3, &[varints(&[(1, count)]), float(2, le)].concat());
    let histogram = [
        varints(&[(1, 4)]),
        float(2, 13.0),
        bucket(1, 2.0),
        bucket(3, 4.0),
        varints(&[(5, 0)]),
        float(6, 0.001),
        field(12, &varints(&[(1, 2), (2, 3)])),
        // 1, then one more, then one less.
        varints(&[(13, 2), (13, 2), (13, 1)]),
    ]
    .concat();
    let family = [field(1, b"took_seconds"), varints(&[(3, 4)]), field(4, &field(7, &histogram))].concat();
    let mut body = Vec::new();
    put_bytes(&mut body, &family);
    body
}

#[test]
fn a_pushed_native_histogram_is_stored_as_such_and_its_quantiles_are_right() {
    let config = "global: {scrape_interval: 1s, scrape_timeout: 1s}\n";
    let server = Hinomi::start(Some(config), &["--web.enable-pushgateway"]);
    let protobuf =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let url = format!("{}/metrics/job/nightly/shard/7", server.base);
    ureq::put(&url).header("Content-Type", protobuf).send(&pushed_histogram()[..]).unwrap();
    for (query, expected) in [
        ("histogram_count(took_seconds{GROUP})", 4.0),
        ("histogram_sum(took_seconds{GROUP})", 13.0),
        ("histogram_quantile(0.25, took_seconds{GROUP})", 2.0),
        ("histogram_quantile(0.5, took_seconds{GROUP})", 8f64.sqrt()),
        ("histogram_quantile(1, took_seconds{GROUP})", 8.0),
        ("histogram_fraction(2, 4, took_seconds{GROUP})", 0.5),
        ("took_seconds_bucket{GROUP,le=\"4.0\"}", 3.0),
        ("took_seconds_count{GROUP}", 4.0),
    ] {
        let query = query.replace("GROUP", "job=\"nightly\",shard=\"7\"");
        let got = wait_for(&query, Duration::from_secs(15), || server.number(&query));
        assert!((got - expected).abs() < 1e-12, "{query}: {got} for {expected}");
    }
}
